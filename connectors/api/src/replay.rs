//! The port that puts records back into the topic that they were read from, each once.

use std::collections::BTreeSet;

use tidemill_types::dead_letter::Header;

use crate::Error;

/// Name of the header that says which record it was: `topic/partition/offset`. Only where records have headers.
pub const REPLAY_OF_HEADER: &str = "tidemill-replay-of";

/// Where a record was read: partition and offset.
pub type Place = (u32, i64);

/// A record to put back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReplayRecord {
    /// Where it was read. It goes into the same partition.
    pub place: Place,
    /// When it was written, in milliseconds since 1970; none where that is not known.
    pub timestamp_ms: Option<i64>,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// Its headers.
    pub headers: Vec<Header>,
}

/// Puts records of one topic back. One value per run; used from one thread.
///
/// That a record was put back is written down together with it: either both are there, or neither, whenever the process dies. So a replay that
/// is done twice, or again after it was killed, puts nothing there twice.
pub trait Replay: Send {
    /// The places of the records that were put back before, as far as that is certain. Disturbs nobody.
    ///
    /// # Errors
    /// `Invalid` if the topic does not exist or cannot be written, `Retry` if the other side does not answer.
    fn put_before(&mut self) -> Result<BTreeSet<Place>, Error>;

    /// Puts those of the records back that were not before, of each partition all of them or none; returns their places. The first call makes this the only
    /// one that can put records of the topic back: what another one was at is then either complete or undone, and that one fails.
    ///
    /// # Errors
    /// As [`Replay::put_before`]. `Fenced` if another one took over. After any error some of the records may be there or not: a new value
    /// finds out.
    fn put_back(&mut self, records: &[ReplayRecord]) -> Result<Vec<Place>, Error>;
}
