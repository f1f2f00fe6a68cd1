//! What the threads of a run tell the coordinator, and what it tells the workers.

use arrow_array::RecordBatch;
use tidemill_checkpoints::Manifest;
use tidemill_operators::Tick;
use tidemill_operators::decode::RawBatch;
use tidemill_types::OutputRecords;

use crate::Error;

/// To a worker.
pub enum Command {
    /// Input of an epoch: its tick, and batches by source.
    Epoch {
        /// The epoch.
        epoch: u64,
        /// Its clock, and whether it is the one restored from.
        tick: Tick,
        /// Source index and batch.
        batches: Vec<(usize, RawBatch)>,
    },
    /// Finish everything through the epoch, then freeze the state.
    Freeze {
        /// The newest admitted epoch.
        epoch: u64,
        /// The data's clock before it, in milliseconds since 1970.
        oldest_ms: i64,
    },
    /// End.
    Stop,
}

/// To the coordinator.
pub enum Event {
    /// A worker's part of a sink's output in an epoch.
    Output {
        /// The epoch.
        epoch: u64,
        /// Index of the sink.
        sink: usize,
        /// The source's partition that the records come from, where they are written in its order.
        partition: Option<u32>,
        /// Its records.
        records: OutputRecords,
    },
    /// Dead letters of an epoch that are kept beside the state: those that no sink is declared for, and records that are too large for one.
    DeadLetters {
        /// The epoch.
        epoch: u64,
        /// They, as rows of the ledger: as letters they would take several times the memory.
        rows: RecordBatch,
    },
    /// Some of an epoch's events, for freshness: middle of the range of their own times, and how many.
    Decoded {
        /// The epoch.
        epoch: u64,
        /// Milliseconds since 1970.
        time_ms: i64,
        /// How many rows.
        rows: u64,
    },
    /// A worker has finished every epoch before this one.
    Progress {
        /// The worker.
        worker: usize,
        /// The first epoch that it has not finished.
        before: u64,
    },
    /// A worker has frozen its state as of the end of an epoch.
    Frozen {
        /// The worker.
        worker: usize,
        /// The epoch.
        epoch: u64,
    },
    /// How large a worker's state is.
    Size {
        /// The worker.
        worker: usize,
        /// On disk, in bytes.
        disk_bytes: u64,
        /// In caches, in bytes.
        cache_bytes: u64,
    },
    /// Everything up to an epoch is committed.
    Committed {
        /// The newest committed epoch.
        epoch: u64,
    },
    /// A checkpoint is whole.
    Checkpointed {
        /// Its epoch.
        epoch: u64,
        /// How long it took, in seconds.
        seconds: f64,
        /// The oldest one that is kept.
        oldest: Box<Manifest>,
    },
    /// A checkpoint could not be written; the job goes on with the one before.
    CheckpointFailed {
        /// Its epoch.
        epoch: u64,
        /// Why.
        error: Error,
    },
    /// A thread cannot go on.
    Failed(Error),
}
