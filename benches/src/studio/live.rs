//! Payments at a steady rate, and when each became visible.
//!
//! The producer publishes new payments in ticks of 10 ms. Every payment is due at its tick, whatever holds the producer up, and latency
//! counts from there: a stall of producer, broker or job delays all that was due meanwhile, and all of it shows (no coordinated
//! omission). The reader sees only committed records; a payment is visible when its row in `finance.payment_enriched` is.
//!
//! Each payment names a production, a budget and a talent that are known to exist, so each must become visible exactly once.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};
use serde::Deserialize;
use tidemill_connectors_kafka::tools::{Bulk, Tail, read_topic};
use tidemill_studio::Topic;
use tidemill_studio::generator::WallClock;
use tidemill_studio::topic::{PAYMENT_ENRICHED, PRODUCTION};

use crate::report::Latencies;

/// Beyond the ids that the generator gives to its payments.
pub const FIRST_ID: u64 = 1_000_000_000;
/// Partitions that the generator fills, and the payments too.
pub const PARTITIONS: u32 = 4;
const TICK: Duration = Duration::from_millis(10);
const TICKS_PER_S: u64 = 100;
/// From how many of the newest payments what new ones refer to is taken.
const REFERENCES_MAX: usize = 50_000;
/// How long the reader waits for a record before it looks whether it should end.
const READ_WAIT: Duration = Duration::from_millis(50);

/// What a payment refers to.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Reference {
    production_id: i64,
    budget_id: Option<i64>,
    talent_id: Option<i64>,
}

/// When the payments are due.
#[derive(Debug, Clone, Copy)]
struct Schedule {
    start: Instant,
    per_tick: u64,
    /// The id of the first one.
    first_id: u64,
}

impl Schedule {
    fn due(&self, payment: u64) -> Instant {
        self.start
            + TICK
                * u32::try_from(payment / self.per_tick).expect("a run has fewer than 2^32 ticks")
    }

    /// How many payments are due by now.
    fn count(&self, now: Instant) -> u64 {
        let ticks = now.saturating_duration_since(self.start).as_micros() / TICK.as_micros() + 1;
        u64::try_from(ticks).expect("a run has fewer than 2^64 ticks") * self.per_tick
    }
}

/// When an epoch was seen.
#[derive(Debug, Clone, Copy)]
pub struct SeenEpoch {
    /// Number.
    pub epoch: u64,
    /// Its first record.
    pub at: Instant,
}

/// What the reader has seen.
#[derive(Debug, Default)]
struct Seen {
    /// Latency by payment, in microseconds; `u32::MAX` if it is not visible yet.
    latency_us: Vec<u32>,
    count: u64,
    repeated: u64,
    epochs: Vec<SeenEpoch>,
}

/// The producer and the reader at work.
pub struct Live {
    schedule: Schedule,
    seen: Arc<Mutex<Seen>>,
    produced: Arc<AtomicU64>,
    stop_producer: Arc<AtomicBool>,
    stop_reader: Arc<AtomicBool>,
    producer: Option<JoinHandle<Result<()>>>,
    reader: Option<JoinHandle<Result<()>>>,
}

impl Live {
    /// Starts both: `rate` payments a second, rounded to whole hundreds, with ids from `first_id` on that nobody has used.
    ///
    /// # Errors
    /// If the broker does not answer, or the job has committed no payments to take references from.
    pub fn start(bootstrap: &str, rate: u64, first_id: u64) -> Result<Self> {
        let references = references(bootstrap)?;
        let tail = Tail::open(bootstrap, PAYMENT_ENRICHED)?;
        let bulk = Bulk::new(bootstrap)?;
        let schedule = Schedule {
            start: Instant::now() + Duration::from_millis(100),
            per_tick: (rate / TICKS_PER_S).max(1),
            first_id,
        };
        let mut live = Self {
            schedule,
            seen: Arc::default(),
            produced: Arc::default(),
            stop_producer: Arc::default(),
            stop_reader: Arc::default(),
            producer: None,
            reader: None,
        };
        let (produced, stop) = (Arc::clone(&live.produced), Arc::clone(&live.stop_producer));
        live.producer = Some(std::thread::spawn(move || {
            produce(bulk, &schedule, &references, &produced, &stop)
        }));
        let (seen, stop) = (Arc::clone(&live.seen), Arc::clone(&live.stop_reader));
        live.reader = Some(std::thread::spawn(move || {
            read(tail, &schedule, &seen, &stop)
        }));
        Ok(live)
    }

    /// Payments a second.
    #[must_use]
    pub const fn rate(&self) -> u64 {
        self.schedule.per_tick * TICKS_PER_S
    }

    /// How many payments are due by now: where a window of measurement starts or ends.
    #[must_use]
    pub fn mark(&self) -> u64 {
        self.schedule.count(Instant::now())
    }

    /// The latencies of the payments between two marks, and how many of them are not visible.
    #[must_use]
    pub fn latencies(&self, marks: std::ops::Range<u64>) -> (Latencies, u64) {
        let seen = self.seen();
        let of = |payment: u64| {
            usize::try_from(payment)
                .ok()
                .and_then(|i| seen.latency_us.get(i))
                .copied()
                .filter(|&us| us != u32::MAX)
        };
        let visible: Vec<u32> = marks.clone().filter_map(of).collect();
        let missing = (marks.end - marks.start) - visible.len() as u64;
        (Latencies::new(visible), missing)
    }

    /// The first epoch after `epoch` that was seen, and the last one up to it.
    #[must_use]
    pub fn around(&self, epoch: u64) -> (Option<SeenEpoch>, Option<SeenEpoch>) {
        let seen = self.seen();
        let next = seen.epochs.iter().find(|seen| seen.epoch > epoch).copied();
        (
            next,
            seen.epochs
                .iter()
                .rev()
                .find(|seen| seen.epoch <= epoch)
                .copied(),
        )
    }

    /// When the first payment that was due from a mark on became visible, if one has.
    #[must_use]
    pub fn first_visible_from(&self, mark: u64) -> Option<Instant> {
        let seen = self.seen();
        let from = usize::try_from(mark).ok()?;
        let visible = (mark..).zip(seen.latency_us.get(from..)?);
        visible
            .filter(|&(_, &us)| us != u32::MAX)
            .map(|(payment, &us)| self.schedule.due(payment) + Duration::from_micros(us.into()))
            .min()
    }

    /// Ends the producer, and waits until all it produced is visible, or nothing new was for `wait_max`.
    ///
    /// # Errors
    /// If the producer failed.
    pub fn wait(&mut self, wait_max: Duration) -> Result<()> {
        self.stop_producer.store(true, Ordering::Relaxed);
        join(self.producer.take(), "producer")?;
        let produced = self.produced.load(Ordering::Relaxed);
        let (mut visible, mut since) = (0, Instant::now());
        while visible < produced && since.elapsed() < wait_max {
            std::thread::sleep(TICK);
            let now_visible = self.seen().count;
            if now_visible > visible {
                (visible, since) = (now_visible, Instant::now());
            }
        }
        Ok(())
    }

    /// As [`Live::wait`], and then ends the reader.
    ///
    /// # Errors
    /// If the producer or the reader failed.
    pub fn finish(mut self, wait_max: Duration) -> Result<Totals> {
        self.wait(wait_max)?;
        let produced = self.produced.load(Ordering::Relaxed);
        self.stop_reader.store(true, Ordering::Relaxed);
        join(self.reader.take(), "reader")?;
        let seen = self.seen();
        Ok(Totals {
            produced,
            missing: produced.saturating_sub(seen.count),
            repeated: seen.repeated,
        })
    }

    /// Fails if one of the two threads has ended.
    ///
    /// # Errors
    /// With what it ended for.
    pub fn check(&mut self) -> Result<()> {
        if self.producer.as_ref().is_some_and(JoinHandle::is_finished) {
            join(self.producer.take(), "producer")?;
        }
        if self.reader.as_ref().is_some_and(JoinHandle::is_finished) {
            join(self.reader.take(), "reader")?;
        }
        Ok(())
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.stop_producer.store(true, Ordering::Relaxed);
        self.stop_reader.store(true, Ordering::Relaxed);
    }
}

/// What became of all payments.
#[derive(Debug, Clone, Copy)]
pub struct Totals {
    /// Published.
    pub produced: u64,
    /// Never visible.
    pub missing: u64,
    /// Visible more than once.
    pub repeated: u64,
}

fn join(thread: Option<JoinHandle<Result<()>>>, name: &str) -> Result<()> {
    let Some(thread) = thread else { return Ok(()) };
    thread
        .join()
        .map_err(|_| anyhow::anyhow!("the {name} panicked"))?
        .with_context(|| format!("the {name} of payments"))
}

/// What the newest payments refer to, of which the production is still there.
fn references(bootstrap: &str) -> Result<Vec<Reference>> {
    let mut productions = std::collections::HashSet::new();
    read_topic(bootstrap, PRODUCTION, true, |record| {
        if let Some(id) = number(record.key) {
            if record.value.is_some() {
                productions.insert(id)
            } else {
                productions.remove(&id)
            };
        }
    })?;
    let mut newest = std::collections::VecDeque::with_capacity(REFERENCES_MAX);
    read_topic(bootstrap, PAYMENT_ENRICHED, true, |record| {
        if let Some(value) = record.value {
            if newest.len() == REFERENCES_MAX {
                newest.pop_front();
            }
            newest.push_back(value.to_vec());
        }
    })?;
    let parsed = newest
        .iter()
        .filter_map(|value| serde_json::from_slice::<Reference>(value).ok());
    let references: Vec<Reference> = parsed
        .filter(|reference| {
            u64::try_from(reference.production_id).is_ok_and(|id| productions.contains(&id))
        })
        .collect();
    ensure!(
        !references.is_empty(),
        "the job has committed no payment; generate more events"
    );
    Ok(references)
}

fn produce(
    mut bulk: Bulk,
    schedule: &Schedule,
    references: &[Reference],
    produced: &AtomicU64,
    stop: &AtomicBool,
) -> Result<()> {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(7);
    let (mut next, mut key, mut value) = (0, Vec::new(), Vec::new());
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(schedule.due(next).saturating_duration_since(Instant::now()));
        let (due, ts) = (schedule.count(Instant::now()), WallClock::now_ms());
        while next < due {
            let reference = references[random.random_range(0..references.len())];
            key.clear();
            value.clear();
            write!(key, "{}", schedule.first_id + next)?;
            write_payment(
                &mut value,
                schedule.first_id + next,
                ts,
                reference,
                random.random_range(10_000..1_000_000),
            )?;
            let partition = u32::try_from(next % u64::from(PARTITIONS))?;
            let topic = Topic::Payment.name();
            bulk.produce(topic, Some(partition), Some(&key), Some(&value))?;
            next += 1;
        }
        // Sends what lingers, and waits until the broker has it.
        bulk.flush()?;
        produced.store(next, Ordering::Relaxed);
    }
    Ok(())
}

fn write_payment(
    out: &mut Vec<u8>,
    id: u64,
    ts: i64,
    reference: Reference,
    cents: u64,
) -> std::io::Result<()> {
    write!(
        out,
        "{{\"uuid\":\"7e57bec4-0000-4000-8000-{id:012x}\",\"type\":\"create\",\"ts\":{ts},\"entity\":\"payment\",\"id\":{id},\"data\":{{"
    )?;
    write!(out, "\"production_id\":{}", reference.production_id)?;
    if let Some(budget) = reference.budget_id {
        write!(out, ",\"budget_id\":{budget}")?;
    }
    if let Some(talent) = reference.talent_id {
        write!(out, ",\"talent_id\":{talent}")?;
    }
    let (day, whole, part) = (1 + id % 28, cents / 100, cents % 100);
    write!(
        out,
        ",\"amount\":\"{whole}.{part:02}\",\"currency\":\"USD\",\"due_on\":\"2027-05-{day:02}\",\"status\":\"planned\"}}}}"
    )
}

fn read(mut tail: Tail, schedule: &Schedule, seen: &Mutex<Seen>, stop: &AtomicBool) -> Result<()> {
    let mut arrived: Vec<(Option<u64>, Option<u64>, Instant)> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        tail.poll(READ_WAIT, |record| {
            let payment = number(record.key).and_then(|id| id.checked_sub(schedule.first_id));
            arrived.push((payment, record.epoch.map(|epoch| epoch.0), Instant::now()));
        })?;
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        for (payment, epoch, at) in arrived.drain(..) {
            seen.take(schedule, payment, epoch, at);
        }
    }
    Ok(())
}

impl Seen {
    fn take(&mut self, schedule: &Schedule, payment: Option<u64>, epoch: Option<u64>, at: Instant) {
        if let Some(epoch) = epoch
            && self.epochs.last().is_none_or(|last| last.epoch < epoch)
        {
            self.epochs.push(SeenEpoch { epoch, at });
        }
        let Some(payment) = payment else { return };
        let index = usize::try_from(payment).expect("a run has fewer payments than memory");
        if self.latency_us.len() <= index {
            self.latency_us.resize(index + 1, u32::MAX);
        }
        if self.latency_us[index] != u32::MAX {
            self.repeated += 1;
            return;
        }
        let us = at
            .saturating_duration_since(schedule.due(payment))
            .as_micros();
        self.latency_us[index] = u32::try_from(us).unwrap_or(u32::MAX - 1);
        self.count += 1;
    }
}

/// A key that is one number, as the job writes it, or the one number of an object, as others do.
pub fn number(key: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(key).ok()?;
    let inner = text
        .strip_prefix('{')
        .and_then(|text| text.strip_suffix('}'))
        .and_then(|text| text.rsplit_once(':'))
        .map_or(text, |(_, number)| number.trim());
    inner.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::{FIRST_ID, Reference, Schedule, Seen, TICK, number, write_payment};

    #[test]
    fn a_payment_is_due_at_its_tick_and_latency_counts_from_there() {
        let schedule = Schedule {
            start: Instant::now(),
            per_tick: 50,
            first_id: FIRST_ID,
        };
        assert_eq!(schedule.due(49), schedule.start);
        assert_eq!(schedule.due(50), schedule.start + TICK);
        assert_eq!(schedule.count(schedule.start), 50);
        assert_eq!(schedule.count(schedule.start + TICK), 100);
        let mut seen = Seen::default();
        seen.take(&schedule, Some(120), Some(9), schedule.start + 3 * TICK);
        assert_eq!(seen.latency_us[120], 10_000);
        assert_eq!(seen.latency_us[119], u32::MAX, "not visible");
    }

    #[test]
    fn a_payment_that_comes_again_is_counted_and_changes_nothing() {
        let schedule = Schedule {
            start: Instant::now(),
            per_tick: 50,
            first_id: FIRST_ID,
        };
        let mut seen = Seen::default();
        for ticks in [1, 2] {
            seen.take(&schedule, Some(0), Some(9), schedule.start + ticks * TICK);
        }
        assert_eq!(
            (seen.count, seen.repeated, seen.latency_us[0]),
            (1, 1, 10_000)
        );
    }

    #[test]
    fn a_payment_is_json_with_the_studios_envelope() {
        let mut bytes = Vec::new();
        write_payment(
            &mut bytes,
            FIRST_ID + 31,
            1_767_225_600_000,
            Reference {
                production_id: 5,
                budget_id: None,
                talent_id: Some(9),
            },
            12_305,
        )
        .unwrap();
        let event: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(event["id"], 1_000_000_031);
        assert_eq!(event["data"]["amount"], "123.05");
        assert_eq!(event["data"]["talent_id"], 9);
        assert_eq!(event["data"]["due_on"], "2027-05-24");
    }

    #[test]
    fn a_key_is_a_number_or_an_object_of_one() {
        assert_eq!(number(b"17"), Some(17));
        assert_eq!(number(br#"{"payment_id":17}"#), Some(17));
        assert_eq!(number(br#"{"production_id":1,"day":"2026-01-01"}"#), None);
    }
}
