//! The writing port: outputs and journal become visible together.

use tidemill_types::{Epoch, OutputRecords};

use crate::Error;

/// Where a source's partition stands after an epoch, for ordinary lag tools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceOffset {
    /// Topic of the source.
    pub topic: String,
    /// Partition.
    pub partition: u32,
    /// The offset to read next.
    pub next_offset: i64,
}

/// All that one epoch makes visible.
#[derive(Debug, Clone, Default)]
pub struct EpochOutput {
    /// The epoch; written as 8 bytes big endian in the `tidemill-epoch` header (Kafka) or the `epoch` field (files) of each record.
    pub epoch: Epoch,
    /// Per sink, in the order of the [`SinkSpec`]s.
    pub sinks: Vec<OutputRecords>,
    /// The journal record, opaque to the connector.
    pub journal: Vec<u8>,
    /// Positions after the epoch; a committer whose system tracks positions stores them in the same transaction.
    pub source_offsets: Vec<SourceOffset>,
}

/// One sink as the committer sees it.
#[derive(Debug, Clone)]
pub struct SinkSpec {
    /// Name of the `CREATE SINK`.
    pub name: String,
    /// The `WITH` options after the profile was applied.
    pub options: crate::Options,
    /// True for upserts by key with tombstones, false for an append-only stream.
    pub upsert: bool,
}

/// Makes epochs visible, all sinks and the journal together. One value per run of a job; used from one thread.
pub trait Committer: Send {
    /// Becomes the job's only owner: any other owner's later commit fails as `Fenced`, and its unfinished commit is either completed or
    /// undone before this returns. Called at the start, and again after a commit with an unknown outcome.
    ///
    /// # Errors
    /// `Retry` if the other side does not answer, `Fenced` if a newer owner took over meanwhile, `Invalid` for settings.
    fn fence(&mut self) -> Result<(), Error>;

    /// The committed journal records, oldest first. Called after [`Committer::fence`].
    ///
    /// # Errors
    /// `Retry` or `Corrupt`.
    fn read_journal(&mut self) -> Result<Vec<Vec<u8>>, Error>;

    /// Commits consecutive epochs, all together or none of them.
    ///
    /// # Errors
    /// `Retry`: the outcome is unknown; the caller fences, reads the journal, and sends again what did not stand.
    /// `Fenced`: a newer owner exists. `Invalid`: a record cannot be written (too large; says which sink and key).
    fn commit(&mut self, epochs: &[EpochOutput]) -> Result<(), Error>;
}
