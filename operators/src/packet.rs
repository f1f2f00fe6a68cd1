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
}

impl From<ChangeBatch> for Packet {
    fn from(changes: ChangeBatch) -> Self {
        Self { worker: 0, changes }
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
        (self.worker, &self.changes.diffs, bytes).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Packet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (worker, diffs, bytes) = <(u64, Option<Vec<i64>>, Vec<u8>)>::deserialize(deserializer)?;
        let mut reader = StreamReader::try_new(bytes.as_slice(), None).map_err(D::Error::custom)?;
        let rows = reader
            .next()
            .ok_or_else(|| D::Error::custom("a packet without a batch"))?
            .map_err(D::Error::custom)?;
        Ok(Self {
            worker,
            changes: ChangeBatch { rows, diffs },
        })
    }
}
