//! What can be set about running a job. Each setting has its unit in its name and its default here.

use std::path::PathBuf;

/// Settings of one run of a job.
#[derive(Debug, Clone)]
pub struct Settings {
    /// An id that no other run of any job has: a random UUID. What this run commits carries it.
    pub owner: String,
    /// Timely workers (threads).
    pub workers: usize,
    /// Where checkpoints and live state lie.
    pub state_dir: PathBuf,
    /// How long an epoch gathers input at most, in milliseconds: the commit interval. Half of it while nothing else is in flight.
    pub epoch_interval_ms: u64,
    /// An epoch whose input takes this much memory is closed at once, in bytes: what the records have, and some 40 for each.
    pub epoch_bytes_max: usize,
    /// How many epochs may be admitted and not yet committed.
    pub epochs_in_flight_max: usize,
    /// Time between two checkpoints, in milliseconds.
    pub checkpoint_interval_ms: u64,
    /// How many checkpoints are kept.
    pub checkpoints_kept: usize,
    /// Memory for state of all workers together, in bytes: write-back caches, block caches, memtables.
    pub state_memory_bytes: usize,
    /// Stop, successfully, once everything that the sources held at the start is committed.
    pub until_caught_up: bool,
    /// What a source may read beyond the journalled epochs while some of its partitions are still behind in them, in bytes, and about a poll more:
    /// those that are ahead wait then.
    pub replay_ahead_bytes_max: usize,
    /// An epoch without input is closed after this long where a job waits for time to pass (idle partitions), in milliseconds.
    pub idle_epoch_ms: u64,
    /// A sink that is delivered holds the job back while so much waits in its outbox, in bytes.
    pub outbox_bytes_max: u64,
    /// Whether the time that each operator takes is told: it costs some 3 % of the processor.
    pub operator_times: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            owner: String::new(),
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            state_dir: PathBuf::from("tidemill-state"),
            epoch_interval_ms: 100,
            epoch_bytes_max: 5 << 19,
            epochs_in_flight_max: 4,
            checkpoint_interval_ms: 30_000,
            checkpoints_kept: 3,
            state_memory_bytes: 384 << 20,
            until_caught_up: false,
            replay_ahead_bytes_max: 16 << 20,
            idle_epoch_ms: 1_000,
            outbox_bytes_max: 1 << 30,
            operator_times: false,
        }
    }
}
