//! Whether any commit ever showed an impossible total.
//!
//! Every record carries its epoch. Folded up to any epoch, each production's `paid_total` and `payments` in `finance.production` must be the
//! sum and the count of its rows in `finance.payment_enriched`, as both are written in one commit; and a production without a row has no enriched
//! payments. Besides, a key has at most one record per epoch, and epochs never go back within a partition.
//!
//! Only what an epoch touches is looked at again, so the check is linear in the outputs. It keeps some 64 bytes per output record.

use std::fmt;

use hashbrown::{HashMap, HashSet};
use serde::Deserialize;

use crate::money::Money;
use crate::{Error, OutputReader, topic};

/// How many violations are described.
const EXAMPLES: usize = 5;

/// What the check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AtomicReport {
    /// Epochs with at least one record in the two topics; all were checked.
    pub epochs: u64,
    /// Productions compared, over all epochs.
    pub compared: u64,
    /// How often something impossible was visible.
    pub violations: u64,
    /// The first of them.
    pub examples: Vec<String>,
}

impl AtomicReport {
    /// True if nothing impossible was ever visible.
    #[must_use]
    pub const fn is_correct(&self) -> bool {
        self.violations == 0
    }

    fn violation(&mut self, text: impl FnOnce() -> String) {
        self.violations += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(text());
        }
    }
}

impl fmt::Display for AtomicReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for example in &self.examples {
            writeln!(f, "impossible: {example}")?;
        }
        let Self {
            epochs,
            compared,
            violations,
            ..
        } = self;
        write!(
            f,
            "checked {epochs} epochs, {compared} totals: {violations} violations"
        )
    }
}

/// What a production's row says, or what its payments sum up to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Paid {
    total: Money,
    payments: i64,
}

#[derive(Deserialize)]
struct ProductionColumns {
    paid_total: Money,
    payments: i64,
}

#[derive(Deserialize)]
struct PaymentColumns {
    production_id: i64,
    amount: Option<Money>,
}

/// A record of one of the topics, decoded; `None` is a tombstone.
struct Written<T> {
    epoch: u64,
    key: i64,
    row: Option<T>,
}

/// Folds both topics epoch by epoch.
///
/// # Errors
/// If the outputs cannot be read. Something impossible is no error: see [`AtomicReport::is_correct`].
pub fn check_atomic(outputs: &dyn OutputReader) -> Result<AtomicReport, Error> {
    let mut report = AtomicReport::default();
    let productions = read(outputs, topic::PRODUCTION, &mut report, |value| {
        let ProductionColumns {
            paid_total,
            payments,
        } = serde_json::from_slice(value).ok()?;
        Some(Paid {
            total: paid_total,
            payments,
        })
    })?;
    let payments = read(outputs, topic::PAYMENT_ENRICHED, &mut report, |value| {
        let PaymentColumns {
            production_id,
            amount,
        } = serde_json::from_slice(value).ok()?;
        Some((production_id, amount.unwrap_or_default()))
    })?;
    let mut fold = Fold::default();
    let (mut productions, mut payments) = (&productions[..], &payments[..]);
    while let Some(epoch) = productions
        .first()
        .map(|row| row.epoch)
        .into_iter()
        .chain(payments.first().map(|row| row.epoch))
        .min()
    {
        let (now, later) =
            productions.split_at(productions.partition_point(|row| row.epoch <= epoch));
        now.iter().for_each(|row| fold.production(row));
        productions = later;
        let (now, later) = payments.split_at(payments.partition_point(|row| row.epoch <= epoch));
        now.iter().for_each(|row| fold.payment(row));
        payments = later;
        fold.check(epoch, &mut report);
    }
    Ok(report)
}

/// Reads a topic, sorted by epoch.
fn read<T>(
    outputs: &dyn OutputReader,
    name: &'static str,
    report: &mut AtomicReport,
    decode: impl Fn(&[u8]) -> Option<T>,
) -> Result<Vec<Written<T>>, Error> {
    let mut written = Vec::new();
    let mut newest: HashMap<u32, u64> = HashMap::new();
    outputs.read(name, &mut |partition, offset, epoch, key, value| {
        let newest = newest.entry(partition).or_insert(epoch);
        if epoch < *newest {
            report.violation(|| {
                format!("'{name}' goes back from epoch {newest} to {epoch} at {partition}/{offset}")
            });
        }
        *newest = epoch.max(*newest);
        let row = value.map(&decode);
        match (serde_json::from_slice(key), row) {
            (Ok(key), None) => written.push(Written {
                epoch,
                key,
                row: None,
            }),
            (Ok(key), Some(Some(row))) => written.push(Written {
                epoch,
                key,
                row: Some(row),
            }),
            _ => report.violation(|| {
                format!(
                    "'{name}' has no row at {partition}/{offset}: {}",
                    String::from_utf8_lossy(value.unwrap_or_default())
                )
            }),
        }
    })?;
    written.sort_by_key(|row| (row.epoch, row.key));
    for pair in written
        .windows(2)
        .filter(|pair| (pair[0].epoch, pair[0].key) == (pair[1].epoch, pair[1].key))
    {
        report.violation(|| {
            format!(
                "'{name}' has key {} twice in epoch {}",
                pair[1].key, pair[1].epoch
            )
        });
    }
    Ok(written)
}

/// Both topics as of an epoch.
#[derive(Default)]
struct Fold {
    productions: HashMap<i64, Paid>,
    payments: HashMap<i64, (i64, Money)>,
    sums: HashMap<i64, Paid>,
    touched: HashSet<i64>,
}

impl Fold {
    fn production(&mut self, row: &Written<Paid>) {
        self.touched.insert(row.key);
        match row.row {
            Some(paid) => self.productions.insert(row.key, paid),
            None => self.productions.remove(&row.key),
        };
    }

    fn payment(&mut self, row: &Written<(i64, Money)>) {
        let before = match row.row {
            Some(payment) => self.payments.insert(row.key, payment),
            None => self.payments.remove(&row.key),
        };
        if let Some((production_id, amount)) = before {
            let sum = self.sums.entry(production_id).or_default();
            sum.total -= amount;
            sum.payments -= 1;
            self.touched.insert(production_id);
        }
        if let Some((production_id, amount)) = row.row {
            let sum = self.sums.entry(production_id).or_default();
            sum.total += amount;
            sum.payments += 1;
            self.touched.insert(production_id);
        }
    }

    /// Compares what the epoch touched.
    fn check(&mut self, epoch: u64, report: &mut AtomicReport) {
        report.epochs += 1;
        for id in self.touched.drain() {
            report.compared += 1;
            let sum = self.sums.get(&id).copied().unwrap_or_default();
            match self.productions.get(&id) {
                Some(said) if *said != sum => report.violation(|| {
                    let Paid { total, payments } = said;
                    format!("after epoch {epoch}, production {id} says {total} in {payments} payments, which are {} in {}", sum.total, sum.payments)
                }),
                None if sum.payments != 0 => {
                    report.violation(|| format!("after epoch {epoch}, production {id} has no row but {} enriched payments", sum.payments));
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
