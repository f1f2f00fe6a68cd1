//! What this crate asks of the outside world: somewhere to put events, and someone who reads topics back.

use crate::{Error, Topic};

/// Takes the generated events. Called from one thread, in the order of arrival over all topics.
pub trait EventSink {
    /// Takes one event. `value` never contains a line feed.
    ///
    /// # Errors
    /// If the event cannot be taken; the generator stops.
    fn write(
        &mut self,
        topic: Topic,
        partition: u32,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), Error>;

    /// Makes everything visible that was taken. Called at the end, and before each pause of a paced run.
    ///
    /// # Errors
    /// If something that was taken is lost.
    fn flush(&mut self) -> Result<(), Error>;
}

/// Takes one input record: partition, offset, bytes.
pub type OnInput<'a> = dyn FnMut(u32, i64, &[u8]) + 'a;

/// Takes one output record: partition, offset, epoch, key (empty if there is none), value (`None` is a tombstone).
pub type OnOutput<'a> = dyn FnMut(u32, i64, u64, &[u8], Option<&[u8]>) + 'a;

/// Reads the records that a job was given.
pub trait InputReader {
    /// Calls `on_record` for every record of the topic; those of one partition in the order of their offsets.
    ///
    /// # Errors
    /// If not everything could be read.
    fn read(&self, topic: &str, on_record: &mut OnInput<'_>) -> Result<(), Error>;
}

/// Reads the records that a job committed.
pub trait OutputReader {
    /// Calls `on_record` for every committed record of the topic; those of one partition in the order of their offsets.
    /// A topic that was never written has no records.
    ///
    /// # Errors
    /// If not everything could be read.
    fn read(&self, topic: &str, on_record: &mut OnOutput<'_>) -> Result<(), Error>;
}
