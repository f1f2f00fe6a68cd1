//! Those who work for the coordinator: the workers, the committer, and whoever writes checkpoints.
//!
//! The coordinator speaks to them through this port alone, and hears of them by [`Event`]s; no handle of theirs crosses it. In a process
//! they are threads (`threads`); a simulation may do their work in whatever order it likes, since none of these calls waits.

use tidemill_checkpoints::Manifest;
use tidemill_operators::Tick;
use tidemill_operators::decode::RawBatch;

#[cfg(doc)]
use crate::Event;
use crate::committing::CompleteEpoch;

/// Input of an epoch for one worker: source index and batch.
pub type WorkerInput = Vec<(usize, RawBatch)>;

/// The port.
pub trait Crew {
    /// Gives an epoch to the workers, its input by worker. Epochs come in order. Answered by outputs, then by [`Event::Progress`].
    fn admit(&mut self, epoch: u64, tick: Tick, input: Vec<WorkerInput>);

    /// Asks every worker to finish all epochs through this one, the newest admitted, and to freeze its state then. `oldest_ms` is the
    /// data's clock before it. Answered by [`Event::Frozen`], once per worker.
    fn freeze(&mut self, epoch: u64, oldest_ms: i64);

    /// Writes the state that all workers froze, the manifest last, and removes all but the `keep` newest checkpoints. Answered by
    /// [`Event::Checkpointed`] or [`Event::CheckpointFailed`].
    fn write(&mut self, manifest: Manifest, keep: usize);

    /// Tells the committer that no restore needs the journal before an epoch any more.
    fn trim(&mut self, before: u64);

    /// Gives a complete epoch to the committer. Epochs come in order. Answered by [`Event::Committed`].
    fn commit(&mut self, epoch: CompleteEpoch);
}
