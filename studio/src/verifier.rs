//! Compares what a job committed with what the oracle says, row by row.
//!
//! Promises: every row of every sink is compared; money exactly. Upsert topics are folded (the last value of a key stands, a tombstone takes it
//! away); append-only topics must hold every expected row exactly once. What a watermark may still hold back at the end of an unbounded input
//! (windows not yet closed, audit rows not yet in order) may be missing, and is counted as pending; nothing else may.
//! Does not check the moments in between: see [`crate::epochs`].

mod audit;
mod ledgers;
mod report;
mod upserts;

use hashbrown::HashMap;

use crate::calendar::DAY_MS;
use crate::oracle::rows::{
    DailyKeyColumns, DailyRow, PaymentRow, ProductionRow, SpendKeyColumns, SpendRow,
};
use crate::oracle::{Books, Loader, Seen, Tables};
use crate::{Error, InputReader, OutputReader, topic};
use audit::Audit;
use ledgers::Ledger;
use upserts::{Expected, Upserts, verdict};

pub use report::{Overrun, Report, SinkReport};

/// How far event time of cash flows must pass the end of a day before its window closes.
const WINDOW_DELAY_MS: i64 = 60 * 60 * 1000;
/// How many overruns a report lists.
const OVERRUNS: usize = 5;

/// What the verifier cannot know from the data.
#[derive(Debug, Clone)]
pub struct VerifySettings {
    /// The time up to which (and a day beyond) event times are accepted, in milliseconds since 1970: when the job ran.
    pub now_ms: i64,
    /// Partitions of each input topic.
    pub partitions: u32,
    /// How long the audit waits for events in order.
    pub audit_within_ms: i64,
    /// True if the inputs were closed and the job ended: then nothing may be pending.
    pub ended: bool,
    /// How much later than when its record was written an event's time may be, in milliseconds: no event moves a watermark beyond that, so the
    /// job may be behind what the events say by so much.
    pub ahead_ms: i64,
}

impl VerifySettings {
    /// For inputs of four partitions that may go on, and a job that ran at `now_ms`.
    #[must_use]
    pub const fn at(now_ms: i64) -> Self {
        Self {
            now_ms,
            partitions: 4,
            audit_within_ms: 5_000,
            ended: false,
            ahead_ms: 0,
        }
    }
}

/// How far event time has come in a topic.
#[derive(Debug, Default)]
struct Progress(HashMap<u32, i64>);

impl Progress {
    fn see(&mut self, seen: Seen<'_>) {
        if let Some(time) = seen.time {
            let highest = self.0.entry(seen.partition).or_insert(i64::MIN);
            *highest = time.max(*highest);
        }
    }

    fn highest_in(&self, partition: u32) -> Option<i64> {
        self.0.get(&partition).copied()
    }

    /// The highest time that every partition has reached; none if a partition is silent.
    fn reached_by_all(&self, partitions: u32) -> Option<i64> {
        if (self.0.len() as u64) < u64::from(partitions) {
            None
        } else {
            self.0.values().min().copied()
        }
    }

    /// The time that the job has come to for certain.
    fn reached(&self, settings: &VerifySettings) -> Option<i64> {
        if settings.ended {
            return Some(i64::MAX);
        }
        let reached = self.reached_by_all(settings.partitions);
        reached.map(|reached| reached - settings.ahead_ms)
    }

    fn reached_by_one(&self) -> Option<i64> {
        self.0.values().max().copied()
    }
}

/// Verifies all sinks of the finance job.
///
/// # Errors
/// If inputs or outputs cannot be read. A wrong row is no error: see [`Report::is_correct`].
pub fn verify(
    inputs: &dyn InputReader,
    outputs: &dyn OutputReader,
    settings: &VerifySettings,
) -> Result<Report, Error> {
    let mut late = Ledger::read(outputs, topic::LATE)?;
    let late_rows = late.len();
    let mut audit = Audit::new(settings.audit_within_ms);
    let mut cash_progress = Progress::default();
    let mut loader = Loader::new(inputs, settings.now_ms);
    let tables = Tables {
        productions: loader.load(|_| ())?,
        talents: loader.load(|_| ())?,
        schedules: loader.load(|_| ())?,
        budgets: loader.load(|_| ())?,
        payments: loader.load(|seen| audit.expect(seen, &mut late))?,
        cash_flows: loader.load(|seen| cash_progress.see(seen))?,
    };
    let Loader {
        texts,
        dead_letters,
        counts,
        ..
    } = loader;
    let books = Books::new(tables, texts);

    let dead_by_reason = dead_letters.values().fold(
        std::collections::BTreeMap::new(),
        |mut counts, (reason, _)| {
            *counts.entry(reason.label()).or_default() += 1;
            counts
        },
    );
    let unexplained_late = audit.unexplained_late;
    let audit = audit.compare(outputs, settings)?;
    let daily = compare_daily(&books, outputs, &cash_progress, settings)?;
    let sinks = vec![
        compare_productions(&books, outputs)?,
        compare_payments(&books, outputs)?,
        compare_spend(&books, outputs)?,
        daily,
        audit,
        late.finish(),
        ledgers::compare_dead_letters(outputs, dead_letters)?,
    ];
    Ok(Report {
        inputs: counts,
        dead_by_reason,
        sinks,
        late_rows,
        unexplained_late,
        overruns: overruns(&books),
    })
}

fn compare_productions(books: &Books, outputs: &dyn OutputReader) -> Result<SinkReport, Error> {
    let upserts = Upserts {
        topic: topic::PRODUCTION,
        parse_key: |key: &[u8]| serde_json::from_slice(key).ok(),
        verdict: |id: &i64, value: &[u8]| {
            verdict(
                books.production(*id).as_ref(),
                serde_json::from_slice::<ProductionRow<'_>>(value),
            )
        },
    };
    upserts.compare(
        outputs,
        books.production_ids().map(|id| (id, Expected::Required)),
    )
}

fn compare_payments(books: &Books, outputs: &dyn OutputReader) -> Result<SinkReport, Error> {
    let upserts = Upserts {
        topic: topic::PAYMENT_ENRICHED,
        parse_key: |key: &[u8]| serde_json::from_slice(key).ok(),
        verdict: |id: &i64, value: &[u8]| {
            verdict(
                books.payment(*id).as_ref(),
                serde_json::from_slice::<PaymentRow<'_>>(value),
            )
        },
    };
    upserts.compare(
        outputs,
        books.payment_ids().map(|id| (id, Expected::Required)),
    )
}

fn compare_spend(books: &Books, outputs: &dyn OutputReader) -> Result<SinkReport, Error> {
    let upserts = Upserts {
        topic: topic::SPEND_BY_REGION_YEAR,
        parse_key: |key: &[u8]| {
            let key: SpendKeyColumns<'_> = serde_json::from_slice(key).ok()?;
            Some((key.region.map(|region| region.0.into_owned()), key.year))
        },
        verdict: |key: &(Option<String>, Option<i32>), value: &[u8]| {
            verdict(
                books.spend(key).as_ref(),
                serde_json::from_slice::<SpendRow<'_>>(value),
            )
        },
    };
    upserts.compare(
        outputs,
        books.spend_keys().map(|key| (key, Expected::Required)),
    )
}

fn compare_daily(
    books: &Books,
    outputs: &dyn OutputReader,
    progress: &Progress,
    settings: &VerifySettings,
) -> Result<SinkReport, Error> {
    let reached = progress.reached(settings);
    let closed = |day: i64| {
        reached.is_some_and(|reached| day + DAY_MS <= reached.saturating_sub(WINDOW_DELAY_MS))
    };
    let may_be_closed = |day: i64| {
        settings.ended
            || progress
                .reached_by_one()
                .is_some_and(|reached| day + DAY_MS <= reached)
    };
    let upserts = Upserts {
        topic: topic::CASH_FLOW_DAILY,
        parse_key: |key: &[u8]| {
            let key: DailyKeyColumns = serde_json::from_slice(key).ok()?;
            Some((key.production_id, key.day.0))
        },
        verdict: |key: &(Option<i64>, i64), value: &[u8]| {
            let expected = books.daily(key).filter(|_| may_be_closed(key.1));
            verdict(expected, serde_json::from_slice::<DailyRow>(value))
        },
    };
    let expected = |day: i64| {
        if closed(day) {
            Expected::Required
        } else {
            Expected::Pending
        }
    };
    upserts.compare(
        outputs,
        books.daily_keys().map(|key| (key, expected(key.1))),
    )
}

fn overruns(books: &Books) -> Vec<Overrun> {
    let rows = books
        .production_ids()
        .filter_map(|id| books.production(id))
        .filter(|row| row.over_budget);
    let mut overruns: Vec<_> = rows.map(|row| (row.variance, row.production_id)).collect();
    overruns.sort_unstable();
    overruns.truncate(OVERRUNS);
    let title = |id| {
        books
            .production(id)
            .and_then(|row| row.title.map(|title| title.0.into_owned()))
    };
    overruns
        .into_iter()
        .map(|(variance, id)| Overrun {
            production_id: id,
            title: title(id).unwrap_or_else(|| "(untitled)".to_owned()),
            variance,
        })
        .collect()
}

#[cfg(test)]
mod tests;
