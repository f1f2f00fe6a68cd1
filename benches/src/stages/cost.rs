//! What stages cost: counts, bytes and time of each, in the order in which they first ran.

use std::collections::BTreeMap;
use std::fmt;

use arrow_array::Array;
use serde_json::{Value, json};
use tidemill_types::ChangeBatch;

use super::section::{self, Took};

/// What a stage cost.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    /// Records that went in.
    pub records: u64,
    /// Records that came out.
    pub output: u64,
    /// Bytes that went in: of raw records theirs, of columns the buffers of the rows.
    pub bytes_in: u64,
    /// Bytes that came out.
    pub bytes_out: u64,
    /// Time in the stage.
    pub took: Took,
}

impl Cost {
    /// Nanoseconds by the clock, per record that went in.
    #[must_use]
    pub fn ns_per_record(&self) -> f64 {
        self.took.wall.as_secs_f64() * 1e9 / as_float(self.records.max(1))
    }

    /// Nanoseconds of processors, per record that went in.
    #[must_use]
    pub fn cpu_ns_per_record(&self) -> f64 {
        self.took.cpu.as_secs_f64() * 1e9 / as_float(self.records.max(1))
    }

    /// Bytes of a record that goes in.
    #[must_use]
    pub fn bytes_per_record_in(&self) -> f64 {
        as_float(self.bytes_in) / as_float(self.records.max(1))
    }

    /// Bytes of a record that comes out.
    #[must_use]
    pub fn bytes_per_record_out(&self) -> f64 {
        as_float(self.bytes_out) / as_float(self.output.max(1))
    }

    fn add(&mut self, other: Self) {
        self.records += other.records;
        self.output += other.output;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.took += other.took;
    }
}

/// What the stages cost.
#[derive(Debug, Clone, Default)]
pub struct Costs {
    /// Events of the whole mix.
    pub events: u64,
    /// In the order in which they ran.
    pub stages: Vec<(&'static str, Cost)>,
    /// The stages as they ended, those more than once that have several operators: what [`section::stage_ends`] was told.
    pub ends: Vec<&'static str>,
}

impl Costs {
    /// Adds to a stage.
    pub fn add(&mut self, stage: &'static str, cost: Cost) {
        self.of(stage).add(cost);
    }

    /// What was added lately was all of an operator.
    pub fn end(&mut self, stage: &'static str) {
        section::stage_ends(stage);
        self.ends.push(stage);
    }

    /// Takes what another worker cost that ran beside.
    pub fn add_beside(&mut self, other: &Self) {
        for (stage, cost) in &other.stages {
            let sum = self.of(stage);
            let took = sum.took.beside(cost.took);
            sum.add(*cost);
            sum.took = took;
        }
        self.ends.extend(&other.ends);
    }

    /// Of each stage the faster of two runs: whatever disturbs only adds.
    #[must_use]
    pub fn fastest(mut self, other: &Self) -> Self {
        for ((_, best), (_, cost)) in self.stages.iter_mut().zip(&other.stages) {
            if cost.took.wall < best.took.wall {
                *best = *cost;
            }
        }
        self
    }

    fn of(&mut self, stage: &'static str) -> &mut Cost {
        let found = self.stages.iter().position(|(name, _)| *name == stage);
        let at = found.unwrap_or_else(|| {
            self.stages.push((stage, Cost::default()));
            self.stages.len() - 1
        });
        &mut self.stages[at].1
    }

    /// The stages' share of an event of the whole mix.
    fn ns_per_event(&self, cost: &Cost) -> f64 {
        cost.took.wall.as_secs_f64() * 1e9 / as_float(self.events.max(1))
    }

    /// The line's figures.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let by_stage = |figure: &dyn Fn(&Cost) -> f64| -> BTreeMap<&str, f64> {
            let stages = self.stages.iter();
            stages
                .map(|(name, cost)| (*name, figure(cost).round()))
                .collect()
        };
        json!({
            "ns_per_record": by_stage(&Cost::ns_per_record),
            "cpu_ns_per_record": by_stage(&Cost::cpu_ns_per_record),
            "ns_per_event": by_stage(&|cost| self.ns_per_event(cost)),
            "bytes_per_record_in": by_stage(&Cost::bytes_per_record_in),
            "bytes_per_record_out": by_stage(&Cost::bytes_per_record_out),
        })
    }
}

impl fmt::Display for Costs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<15} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "stage", "in", "out", "ns/record", "cpu ns", "ns/event", "bytes in", "bytes out"
        )?;
        for (name, cost) in &self.stages {
            writeln!(
                f,
                "{name:<15} {:>9} {:>9} {:>9.0} {:>9.0} {:>9.0} {:>9.0} {:>9.0}",
                cost.records,
                cost.output,
                cost.ns_per_record(),
                cost.cpu_ns_per_record(),
                self.ns_per_event(cost),
                cost.bytes_per_record_in(),
                cost.bytes_per_record_out(),
            )?;
        }
        Ok(())
    }
}

/// Rows of batches.
#[must_use]
pub fn count(batches: &[ChangeBatch]) -> u64 {
    batches.iter().map(|batch| batch.len() as u64).sum()
}

/// Bytes of the rows of batches: what their columns' buffers hold of them, and their diffs.
#[must_use]
pub fn bytes(batches: &[ChangeBatch]) -> u64 {
    let of_column =
        |column: &arrow_array::ArrayRef| column.to_data().get_slice_memory_size().unwrap_or(0);
    let of_batch = |batch: &ChangeBatch| {
        let diffs = batch.diffs.as_ref().map_or(0, |diffs| diffs.len() * 8);
        batch.rows.columns().iter().map(of_column).sum::<usize>() + diffs
    };
    batches.iter().map(|batch| of_batch(batch) as u64).sum()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of a bench are far below 2^52"
)]
const fn as_float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Cost, Costs};
    use crate::stages::section::Took;

    fn cost(ms: u64) -> Cost {
        let took = Duration::from_millis(ms);
        Cost {
            records: 1,
            output: 2,
            bytes_in: 30,
            bytes_out: 40,
            took: Took {
                wall: took,
                cpu: took,
            },
        }
    }

    fn costs(of: &[(&'static str, u64)]) -> Costs {
        let mut costs = Costs::default();
        for &(stage, ms) in of {
            costs.add(stage, cost(ms));
        }
        costs
    }

    #[test]
    fn of_each_stage_the_fastest_run_counts() {
        let best =
            costs(&[("decode", 5), ("dedup", 2)]).fastest(&costs(&[("decode", 3), ("dedup", 9)]));
        let took = best
            .stages
            .iter()
            .map(|(_, cost)| cost.took.wall.as_millis());
        assert_eq!(took.collect::<Vec<_>>(), [3, 2]);
    }

    #[test]
    fn workers_side_by_side_add_records_and_processor_time_but_not_the_clock() {
        let mut both = costs(&[("decode", 5)]);
        both.add_beside(&costs(&[("decode", 3)]));
        let (_, sum) = both.stages[0];
        assert_eq!((sum.records, sum.bytes_out), (2, 80));
        assert_eq!(sum.took.wall, Duration::from_millis(5));
        assert_eq!(sum.took.cpu, Duration::from_millis(8));
    }
}
