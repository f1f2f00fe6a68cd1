//! The writing port: outputs and journal become visible together.

use tidemill_types::{Epoch, OutputRecords, TopicPartition};

use crate::Error;

/// Where a source's partition stands after an epoch, for ordinary lag tools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceOffset {
    /// Which partition of which topic.
    pub place: TopicPartition,
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
    /// Positions after the epoch; a committer whose system tracks positions tells them to it after the commit.
    pub source_offsets: Vec<SourceOffset>,
}

/// One sink as the committer sees it.
#[derive(Debug, Clone)]
pub struct SinkSpec {
    /// Name of the `CREATE SINK`.
    pub name: String,
    /// Its options.
    pub options: crate::Options,
    /// True if only the newest record of a key counts.
    pub compacted: bool,
}

/// Makes epochs visible, all sinks and the journal together. One value per run of a job; used from one thread.
///
/// The order of a start: [`read_journal`](Committer::read_journal) and decide, which disturbs nobody; [`fence`](Committer::fence); read and
/// decide again, on what is there now; [`claim`](Committer::claim); only then [`commit`](Committer::commit). What a run may conclude about a
/// commit of unknown outcome is decided by the claims and records in the journal, never by being able to fence.
pub trait Committer: Send {
    /// The journal's entries (records of epochs, and claims) in the order in which they were written: all of epochs from `from` on, and at
    /// least the newest one. Older ones may come before them. Disturbs no owner, and may be called before [`Committer::fence`].
    ///
    /// What an unfinished commit wrote is not among them, nor is anything after it: absence proves something only after
    /// [`Committer::fence`], which leaves no commit unfinished.
    ///
    /// # Errors
    /// `Retry` or `Corrupt`; `Invalid` if the journal is another job's.
    fn read_journal(&mut self, from: Epoch) -> Result<Vec<Vec<u8>>, Error>;

    /// Becomes the job's only owner: any other owner's later commit fails as `Fenced`, and its unfinished commit is either completed or
    /// undone before this returns. Called at the start, and again after a commit with an unknown outcome.
    ///
    /// # Errors
    /// `Retry` if the other side does not answer, `Fenced` if a newer owner took over meanwhile or the owner before cannot be replaced,
    /// `Invalid` for settings.
    fn fence(&mut self) -> Result<(), Error>;

    /// Appends a claim to the journal: an entry that tells whose the journal is from here on and stands for no epoch. `epoch` is the last
    /// committed one.
    ///
    /// # Errors
    /// As [`Committer::commit`]. After `Retry` the claim may stand or not; the caller fences and begins again.
    fn claim(&mut self, epoch: Epoch, claim: &[u8]) -> Result<(), Error>;

    /// Commits consecutive epochs, all together or none of them.
    ///
    /// # Errors
    /// `Retry`: the outcome is unknown; the caller finds out from the journal whether it is still the owner and what stands, and sends again
    /// what does not. `Fenced`: a newer owner exists. `Invalid`: a record cannot be written (too large; says which sink and key), or an epoch
    /// cannot be committed within the time that the system allows.
    fn commit(&mut self, epochs: &[EpochOutput]) -> Result<(), Error>;

    /// The journal's entries of epochs before `before` are needed no more; some of them may stay for a while. The newest entry always stays.
    /// Called between commits; must not keep the next one waiting for long.
    ///
    /// # Errors
    /// `Retry` or `Invalid`; nothing depends on it, the job goes on.
    fn trim(&mut self, before: Epoch) -> Result<(), Error>;

    /// How many bytes key and value of one record of a sink may have together; `None` where there is no limit or it is not known. A larger
    /// record makes its commit fail as `Invalid`. Known after [`Committer::fence`].
    fn record_bytes_max(&self, sink: usize) -> Option<usize>;
}
