//! What travels on a stream: a batch of changes and the worker that it is for.

use arrow_ipc::{reader::StreamReader, writer::StreamWriter};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::Error as _};
use tidemill_types::ChangeBatch;
use timely::dataflow::Stream;

/// A stream of changes; the timestamp is the epoch.
pub type Changes<'scope> = Stream<'scope, u64, Vec<Packet>>;

/// A batch of changes addressed to a worker.
#[derive(Debug, Clone)]
pub struct Packet {
    /// Index of the worker that the batch is for, where it travels through an exchange.
    pub worker: u64,
    /// The changes.
    pub changes: ChangeBatch,
    /// Where the rows come from, as long as they are what stateless stages make of one batch of a source, in its order.
    pub place: Option<SourcePlace>,
}

/// A place in a source; by these, batches come into the order of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SourcePlace {
    /// Partition.
    pub partition: u32,
    /// Offset of the first record.
    pub offset: i64,
}

impl Packet {
    /// What a stateless stage makes of this packet's rows.
    #[must_use]
    pub const fn derived(&self, changes: ChangeBatch) -> Self {
        Self {
            worker: 0,
            changes,
            place: self.place,
        }
    }
}

impl From<ChangeBatch> for Packet {
    fn from(changes: ChangeBatch) -> Self {
        Self {
            worker: 0,
            changes,
            place: None,
        }
    }
}

/// Between processes a packet travels as an Arrow IPC stream; within one it is moved.
impl Serialize for Packet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::new();
        let mut writer = StreamWriter::try_new(&mut bytes, &self.changes.rows.schema())
            .map_err(S::Error::custom)?;
        writer.write(&self.changes.rows).map_err(S::Error::custom)?;
        writer.finish().map_err(S::Error::custom)?;
        drop(writer);
        (self.worker, &self.changes.diffs, self.place, bytes).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Packet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        type Fields = (u64, Option<Vec<i64>>, Option<SourcePlace>, Vec<u8>);
        let (worker, diffs, place, bytes) = Fields::deserialize(deserializer)?;
        let mut reader = StreamReader::try_new(bytes.as_slice(), None).map_err(D::Error::custom)?;
        let rows = reader
            .next()
            .ok_or_else(|| D::Error::custom("a packet without a batch"))?
            .map_err(D::Error::custom)?;
        Ok(Self {
            worker,
            changes: ChangeBatch { rows, diffs },
            place,
        })
    }
}
