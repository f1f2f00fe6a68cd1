//! What the verifier found.

use std::collections::BTreeMap;
use std::fmt;

use crate::Topic;
use crate::money::Money;
use crate::oracle::Counts;

/// How many wrong rows of a sink are shown.
const EXAMPLES: usize = 5;

/// One sink against the oracle.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SinkReport {
    /// The sink's topic.
    pub topic: &'static str,
    /// Rows that are as they must be.
    pub equal: u64,
    /// Rows that must be there and are not.
    pub missing: u64,
    /// Rows that must not be there, or not so often.
    pub extra: u64,
    /// Rows with another value.
    pub different: u64,
    /// Rows in the wrong order.
    pub disordered: u64,
    /// Rows that a watermark may still hold back, and does.
    pub pending: u64,
    /// The first wrong rows, for a person.
    pub examples: Vec<String>,
}

impl SinkReport {
    pub(super) fn new(topic: &'static str) -> Self {
        Self {
            topic,
            ..Self::default()
        }
    }

    /// True if nothing is wrong.
    #[must_use]
    pub const fn is_correct(&self) -> bool {
        self.missing + self.extra + self.different + self.disordered == 0
    }

    pub(super) fn example(&mut self, text: impl FnOnce() -> String) {
        if self.examples.len() < EXAMPLES {
            self.examples.push(text());
        }
    }
}

/// A production that spent more than its budgets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overrun {
    /// The production.
    pub production_id: i64,
    /// Its title.
    pub title: String,
    /// Budgets minus payments: below zero.
    pub variance: Money,
}

/// All sinks against the oracle.
#[derive(Debug, Clone)]
pub struct Report {
    /// What became of the records of each input topic.
    pub inputs: BTreeMap<Topic, Counts>,
    /// Dead letters by our own reason.
    pub dead_by_reason: BTreeMap<&'static str, u64>,
    /// Each sink.
    pub sinks: Vec<SinkReport>,
    /// Rows of the late ledger.
    pub late_rows: u64,
    /// Late rows whose own partition had not run ahead of them: right only if an idle partition was left behind.
    pub unexplained_late: u64,
    /// The worst overruns, by the oracle.
    pub overruns: Vec<Overrun>,
}

impl Report {
    /// True if no sink has a wrong row.
    #[must_use]
    pub fn is_correct(&self) -> bool {
        self.sinks.iter().all(SinkReport::is_correct)
    }

    /// Rows that equal the oracle, over all sinks.
    #[must_use]
    pub fn rows_equal(&self) -> u64 {
        self.sinks.iter().map(|sink| sink.equal).sum()
    }

    /// Repeated input records.
    #[must_use]
    pub fn duplicates(&self) -> u64 {
        self.inputs.values().map(|counts| counts.duplicates).sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (topic, counts) in &self.inputs {
            let Counts {
                records,
                accepted,
                duplicates,
                reads,
                dead,
            } = counts;
            writeln!(
                f,
                "{:18} {records} records: {accepted} accepted, {duplicates} duplicates, {reads} reads, {dead} dead letters",
                topic.name()
            )?;
        }
        for (reason, count) in &self.dead_by_reason {
            writeln!(f, "dead letters, {reason}: {count}")?;
        }
        writeln!(
            f,
            "late: {} ({} of them not explained by their own partition)",
            self.late_rows, self.unexplained_late
        )?;
        for sink in &self.sinks {
            let SinkReport {
                topic,
                equal,
                missing,
                extra,
                different,
                disordered,
                pending,
                examples,
            } = sink;
            write!(
                f,
                "{topic:28} {equal} equal, {missing} missing, {extra} extra, {different} different"
            )?;
            writeln!(f, ", {disordered} out of order, {pending} pending")?;
            for example in examples {
                writeln!(f, "    {example}")?;
            }
        }
        for Overrun {
            production_id,
            title,
            variance,
        } in &self.overruns
        {
            writeln!(
                f,
                "overrun: {title} (production {production_id}) {variance}"
            )?;
        }
        if self.is_correct() {
            write!(f, "verified: {} rows equal the oracle", self.rows_equal())
        } else {
            let wrong: u64 = self
                .sinks
                .iter()
                .map(|sink| sink.missing + sink.extra + sink.different + sink.disordered)
                .sum();
            write!(
                f,
                "not verified: {wrong} rows are wrong, {} equal the oracle",
                self.rows_equal()
            )
        }
    }
}
