//! The reading port.

use std::time::Duration;

use tidemill_types::{RawRecords, TopicPartition};

use crate::Error;

/// Consecutive records of one partition, and where the partition stands after them.
///
/// ```
/// use tidemill_connectors_api::SourceBatch;
///
/// let mut batch = SourceBatch::of(3);
/// batch.push(7, Some(b"key"), Some(b"a record"));
/// assert_eq!((batch.records.len(), batch.next_offset), (1, 8));
/// assert!(SourceBatch::end(3, 8).records.is_empty());
/// ```
#[derive(Debug, Clone, Default)]
pub struct SourceBatch {
    /// The records, none if the batch only moves the position.
    pub records: RawRecords,
    /// The offset to read next: beyond the last record where transaction markers follow it.
    pub next_offset: i64,
    /// On a batch without records that moves nothing: the offset after the partition's last readable record, asked for after everything
    /// before this batch was read. It tells a partition that has nothing from one that was not read.
    pub end_offset: Option<i64>,
    /// True inside a transaction of the system that is read: more of it follows in the same partition, and no epoch ends before it is whole.
    /// The next batch of the partition that says false ends it, which may have no records.
    pub is_within: bool,
}

impl SourceBatch {
    /// No records yet, of a partition.
    #[must_use]
    pub fn of(partition: u32) -> Self {
        Self {
            records: RawRecords::of(partition),
            ..Self::default()
        }
    }

    /// What is known of a partition's end, and nothing else.
    #[must_use]
    pub fn end(partition: u32, end_offset: i64) -> Self {
        Self {
            end_offset: Some(end_offset),
            ..Self::of(partition)
        }
    }

    /// Partition that the records were read from.
    #[must_use]
    pub const fn partition(&self) -> u32 {
        self.records.partition
    }

    /// Appends a record, and moves the position after it.
    ///
    /// # Panics
    /// As [`RawRecords::push`].
    pub fn push(&mut self, offset: i64, key: Option<&[u8]>, value: Option<&[u8]>) {
        self.records.push(offset, key, value);
        self.next_offset = offset + 1;
    }
}

/// What a source reads, as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// Which log of this name it is: another one after the log was deleted and made again under the same name (Kafka: the topic ids of
    /// KIP-516). Where a source reads several topics, it tells of each, and which number stands for which of their partitions: see
    /// [`PartitionMap`](crate::PartitionMap). Empty where the system has no such thing: then nothing can be told apart, and nothing is refused.
    pub incarnation: String,
    /// Whether it goes on from the incarnation before: whether partition and offset still name the record that they named then.
    pub goes_on: bool,
    /// The partitions, in order, by their numbers in the source.
    pub partitions: Vec<u32>,
}

/// A partitioned, replayable log of records. One value per `CREATE SOURCE`; used from one thread.
pub trait Source: Send {
    /// What is read, for messages: the topic, or what topics.
    fn topic(&self) -> &str;

    /// The topic of a partition, and its number there. Known once the source was described.
    fn place(&self, partition: u32) -> TopicPartition {
        TopicPartition::new(self.topic(), partition)
    }

    /// Which log it is, and its partitions. `before` is the incarnation that positions are known of, empty for none: partitions that it tells
    /// of keep their numbers.
    ///
    /// # Errors
    /// `Invalid` if the topic does not exist (says how to create it), or one that was read does not exist any more, `Retry` if the other side
    /// does not answer.
    fn describe(&mut self, before: &str) -> Result<Described, Error>;

    /// For every partition the offset after the last readable record now, as `(partition, offset)`, for a run that ends there. Asks and
    /// waits: not to be called while polling, see [`Source::known_ends`].
    ///
    /// # Errors
    /// As [`Source::describe`].
    fn end_offsets(&mut self) -> Result<Vec<(u32, i64)>, Error>;

    /// True if what is read has transactions, so that nobody may part a batch's records into two epochs; see [`SourceBatch::is_within`].
    fn has_transactions(&self) -> bool {
        false
    }

    /// Where partitions ended, by what the source heard since this was last called: what it heard before says nothing of now, least of all of
    /// a partition that is away. Those that it heard nothing of are missing. Never waits.
    fn known_ends(&mut self) -> Vec<(u32, i64)>;

    /// True once it is known that there are partitions which were not opened, because they, or their topics, were added later. Never waits. Polls bring nothing
    /// of them: they are read after the next [`Source::open`] that names them.
    fn has_grown(&self) -> bool {
        false
    }

    /// Opens every partition at its exact next offset; `None` is the oldest retained record. Returns where each partition was opened, in the
    /// order given: the first poll goes on exactly there. May be called again before the first poll.
    ///
    /// # Errors
    /// `Invalid` if an offset is no longer retained: names partition, offset, and the choices.
    fn open(&mut self, positions: &[(u32, Option<i64>)]) -> Result<Vec<(u32, i64)>, Error>;

    /// Waits up to `max_wait` for records and appends what is there, at most about `max_bytes` of memory
    /// ([`RawRecords::held_bytes`](tidemill_types::RawRecords::held_bytes)), each batch of one partition.
    /// Batches of one partition come in order. Not polling is the backpressure: a source buffers a bounded amount by itself.
    ///
    /// # Errors
    /// `Retry` while the other side is away (the next call goes on where this stopped). `Invalid` or `Corrupt` when reading cannot go on: also
    /// when the records to read next are retained no longer, or the log was made again meanwhile. Nothing is ever skipped.
    fn poll(
        &mut self,
        max_wait: Duration,
        max_bytes: usize,
        out: &mut Vec<SourceBatch>,
    ) -> Result<(), Error>;

    /// From now on polls bring no records of these partitions, until [`Source::resume`]. For who needs only some of them for a while, and
    /// would have to keep the others' records.
    ///
    /// # Errors
    /// As [`Source::poll`].
    fn pause(&mut self, partitions: &[u32]) -> Result<(), Error>;

    /// Polls bring the records of all partitions again: of each from where it stopped.
    ///
    /// # Errors
    /// As [`Source::poll`].
    fn resume(&mut self) -> Result<(), Error>;

    /// No restore will open these partitions before these positions any more, as `(partition, next offset)`: the system that is read may forget
    /// what lies before them. Told now and then between polls, never waits for long; what is not heard is told again with a later position.
    ///
    /// # Errors
    /// As [`Source::poll`].
    fn confirm(&mut self, _positions: &[(u32, i64)]) -> Result<(), Error> {
        Ok(())
    }
}
