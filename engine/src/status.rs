//! What a running job says about itself: counts and gauges that its threads raise and that the status line, `--json` and `/metrics` read.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidemill_jobs::plan::JobPlan;
use tidemill_operators::Counter;
use tidemill_types::TopicPartition;
use tidemill_types::place::Places;

use crate::busy::Busy;
use crate::letters::ByContract;

/// Upper bounds of the histograms' buckets, in seconds.
const BUCKETS_S: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 3600.0,
];

/// A histogram of durations.
#[derive(Debug, Default)]
pub struct Histogram {
    /// Count per bucket of [`BUCKETS_S`], then those beyond.
    counts: [AtomicU64; BUCKETS_S.len() + 1],
    sum_micros: AtomicU64,
    last_micros: AtomicU64,
}

impl Histogram {
    /// Adds a duration `n` times.
    pub fn observe(&self, seconds: f64, n: u64) {
        let bucket = BUCKETS_S
            .iter()
            .position(|&bound| seconds <= bound)
            .unwrap_or(BUCKETS_S.len());
        self.counts[bucket].fetch_add(n, Ordering::Relaxed);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "durations are positive and far below 2^64 microseconds"
        )]
        let micros = (seconds.max(0.0) * 1e6) as u64;
        self.sum_micros
            .fetch_add(micros.saturating_mul(n), Ordering::Relaxed);
        self.last_micros.store(micros, Ordering::Relaxed);
    }

    /// The newest duration, in milliseconds.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a reading for a person")]
    pub fn last_ms(&self) -> f64 {
        self.last_micros.load(Ordering::Relaxed) as f64 / 1e3
    }
}

/// Where the job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    /// Reading the journal, restoring, replaying.
    #[default]
    Recovering,
    /// Reading and committing.
    Running,
    /// Everything that the sources hold is committed.
    CaughtUp,
    /// The final checkpoint is being written.
    Stopping,
}

impl Phase {
    /// As it stands in `--json`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Recovering => "recovering",
            Self::Running => "running",
            Self::CaughtUp => "caught_up",
            Self::Stopping => "stopping",
        }
    }
}

/// Counts of one source.
#[derive(Debug, Default)]
pub struct SourceStatus {
    /// What it reads: the topic, or what topics.
    pub topic: String,
    /// Which partitions of which topics its partitions are.
    places: Mutex<Places>,
    /// Records read, since the process started.
    pub records: Counter,
    /// Bytes read.
    pub bytes: Counter,
    /// Records that change nothing.
    pub ignored: Counter,
    /// Undecodable records.
    pub dead_letters: Counter,
    /// The same by the contract of their writers, where the source has one.
    pub by_contract: Arc<ByContract>,
    /// Records that wait until the registry has said what their schema is.
    pub awaiting_schema: Arc<AtomicU64>,
    /// Events dropped by a dedup.
    pub duplicates: Counter,
    /// Per partition `(partition, committed position, end)`, by the source's numbers.
    pub positions: Mutex<Vec<(u32, i64, i64)>>,
}

impl SourceStatus {
    /// Of a source that reads `topic`.
    fn of(topic: String) -> Self {
        Self {
            places: Mutex::new(Places::new(&topic, [])),
            topic,
            ..Self::default()
        }
    }

    /// Its partitions are these.
    pub(crate) fn set_places(&self, places: impl IntoIterator<Item = (u32, TopicPartition)>) {
        let places = Places::new(&self.topic, places);
        *self.places.lock().unwrap_or_else(PoisonError::into_inner) = places;
    }

    /// Which partitions of which topics its partitions are.
    pub(crate) fn places(&self) -> Places {
        let places = self.places.lock();
        places.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Everything before these positions, by partition, is committed.
    pub(crate) fn committed(&self, positions: impl Iterator<Item = (u32, i64)>) {
        let mut known = self.known();
        for (partition, next) in positions {
            match known.iter_mut().find(|known| known.0 == partition) {
                Some(known) => (known.1, known.2) = (next, known.2.max(next)),
                None => known.push((partition, next, next)),
            }
        }
    }

    /// The partitions end here.
    pub(crate) fn ends(&self, ends: &[(u32, i64)]) {
        let mut known = self.known();
        for &(partition, end) in ends {
            match known.iter_mut().find(|known| known.0 == partition) {
                Some(known) => known.2 = end,
                None => known.push((partition, 0, end)),
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, Vec<(u32, i64, i64)>> {
        let known = self.positions.lock();
        known.unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts of one sink.
#[derive(Debug, Default)]
pub struct SinkStatus {
    /// Topic.
    pub topic: String,
    /// Records committed, since the process started.
    pub records: Counter,
    /// Rows that are not written because another one has their key.
    pub conflicts: Counter,
    /// Of a sink that is delivered.
    pub delivery: DeliveryStatus,
}

/// Counts of a sink that is given what is committed afterwards.
#[derive(Debug, Default)]
pub struct DeliveryStatus {
    /// Name of the sink, if it is such a one.
    pub sink: Option<String>,
    /// The newest epoch that its target has for certain.
    pub epoch: AtomicU64,
    /// What waits in its outbox, in bytes.
    pub outbox_bytes: AtomicU64,
    /// Deliveries that failed.
    pub failures: Counter,
    /// Records that the target does not take.
    pub rejected: Counter,
}

/// All of it. Shared between the job's threads and whoever shows it.
#[derive(Debug, Default)]
pub struct Status {
    /// Name of the job.
    pub job: String,
    /// Where the job stands.
    pub phase: Mutex<Phase>,
    /// Last committed epoch.
    pub epoch: AtomicU64,
    /// Epoch of the newest checkpoint; 0 for none.
    pub checkpoint_epoch: AtomicU64,
    /// How long recovery took until the first epoch could be admitted, in milliseconds; -1 while it goes on.
    pub recovery_ms: AtomicI64,
    /// Epochs that recovery replays.
    pub replayed_epochs: AtomicU64,
    /// Sources, in the plan's order.
    pub sources: Vec<SourceStatus>,
    /// Sinks, in the plan's order.
    pub sinks: Vec<SinkStatus>,
    /// Events about a key that a newer one had already overtaken.
    pub stale: Counter,
    /// Rows in the late ledger, and rows for windows that are over.
    pub late: Counter,
    /// Rows that an expression could not be computed for.
    pub failed_rows: Counter,
    /// Rows that fall in no window because they have no time.
    pub untimed: Counter,
    /// From an epoch's last input to its commit.
    pub commit_seconds: Histogram,
    /// From a checkpoint's epoch to its manifest.
    pub checkpoint_seconds: Histogram,
    /// From an event's `ts` to its commit.
    pub freshness_seconds: Histogram,
    /// State on disk, in bytes.
    pub state_bytes: AtomicU64,
    /// State in caches, in bytes.
    pub cache_bytes: AtomicU64,
    /// Times that admission waited because too much was in flight.
    pub backpressure_waits: Counter,
    /// How long the operators were at work.
    pub busy: Busy,
}

/// One reading of the status, for a line or a JSON object.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Snapshot {
    /// `recovering`, `running`, `caught_up`, `stopping`.
    pub state: &'static str,
    /// Last committed epoch.
    pub epoch: u64,
    /// Records read since the process started.
    pub records_in: u64,
    /// Records committed since the process started.
    pub records_out: u64,
    /// Records that wait in the sources; bytes for sources of files.
    pub lag: u64,
    /// Events dropped by deduplication.
    pub duplicates: u64,
    /// Rows in the late ledger, and rows for windows that are over.
    pub late: u64,
    /// Undecodable records and rows that could not be computed.
    pub dead_letters: u64,
    /// The newest commit's duration, in milliseconds.
    pub commit_ms: f64,
    /// Epoch of the newest checkpoint.
    pub checkpoint_epoch: u64,
    /// Duration of recovery, in milliseconds.
    pub recovery_ms: Option<i64>,
    /// State on disk and in caches, in bytes.
    pub state_bytes: u64,
    /// Resident memory of the process, in bytes.
    pub resident_bytes: u64,
}

impl Status {
    /// A status for a job's sources and sinks (topics), in the plan's order.
    #[must_use]
    pub fn new(job: &str, sources: Vec<String>, sinks: Vec<String>) -> Self {
        Self {
            job: job.to_owned(),
            recovery_ms: AtomicI64::new(-1),
            sources: sources.into_iter().map(SourceStatus::of).collect(),
            sinks: sinks
                .into_iter()
                .map(|topic| SinkStatus {
                    topic,
                    ..SinkStatus::default()
                })
                .collect(),
            ..Self::default()
        }
    }

    /// A status for a job.
    #[must_use]
    pub fn of(plan: &JobPlan) -> Self {
        let sources = plan.sources.iter().map(|source| source.topic().to_owned());
        let sinks = plan.sinks.iter().map(|sink| sink.target.clone());
        let mut status = Self::new(&plan.name, sources.collect(), sinks.collect());
        for (sink, planned) in status.sinks.iter_mut().zip(&plan.sinks) {
            sink.delivery.sink = planned.is_delivered.then(|| planned.name.clone());
        }
        status
    }

    /// Changes where the job stands.
    pub fn set_phase(&self, phase: Phase) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    /// Where the job stands.
    pub fn phase(&self) -> Phase {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True if everything that the sources are known to hold is committed.
    pub(crate) fn is_caught_up(&self) -> bool {
        self.sources.iter().all(|source| lag(source) == 0)
    }

    /// One reading.
    pub fn snapshot(&self) -> Snapshot {
        let sum =
            |count: &dyn Fn(&SourceStatus) -> u64| self.sources.iter().map(count).sum::<u64>();
        let recovery_ms = self.recovery_ms.load(Ordering::Relaxed);
        Snapshot {
            state: self.phase().name(),
            epoch: self.epoch.load(Ordering::Relaxed),
            records_in: sum(&|source| source.records.get()),
            records_out: self.sinks.iter().map(|sink| sink.records.get()).sum(),
            lag: self.sources.iter().map(lag).sum(),
            duplicates: sum(&|source| source.duplicates.get()),
            late: self.late.get(),
            dead_letters: sum(&|source| source.dead_letters.get()) + self.failed_rows.get(),
            commit_ms: self.commit_seconds.last_ms(),
            checkpoint_epoch: self.checkpoint_epoch.load(Ordering::Relaxed),
            recovery_ms: (recovery_ms >= 0).then_some(recovery_ms),
            state_bytes: self.state_bytes.load(Ordering::Relaxed)
                + self.cache_bytes.load(Ordering::Relaxed),
            resident_bytes: resident_bytes(),
        }
    }

    /// All of it in Prometheus' text format.
    pub fn prometheus(&self) -> String {
        crate::metrics::text(self)
    }
}

impl Histogram {
    /// Cumulative counts per bucket bound in seconds, then the total and the sum in seconds.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a reading for a monitor")]
    pub fn cumulative(&self) -> (Vec<(f64, u64)>, u64, f64) {
        let mut total = 0;
        let mut buckets = Vec::new();
        for (i, count) in self.counts.iter().enumerate() {
            total += count.load(Ordering::Relaxed);
            buckets.extend(BUCKETS_S.get(i).map(|&bound| (bound, total)));
        }
        (
            buckets,
            total,
            self.sum_micros.load(Ordering::Relaxed) as f64 / 1e6,
        )
    }
}

/// What a source's partitions still hold.
pub(crate) fn lag(source: &SourceStatus) -> u64 {
    let left = |&(_, committed, end): &(u32, i64, i64)| u64::try_from(end - committed).unwrap_or(0);
    source.known().iter().map(left).sum()
}

/// Resident memory of this process, in bytes; 0 where the system does not tell.
#[must_use]
pub fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}
