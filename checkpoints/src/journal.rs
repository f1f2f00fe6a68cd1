//! The journal: one record per committed epoch, written together with the epoch's outputs. The last readable record is the truth about what
//! was committed.
//!
//! A record is one line of JSON, fields in the order of [`Record`], maps sorted by key: the same record is always the same bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidemill_types::Epoch;

use crate::Error;

/// Version of the layout.
pub const VERSION: u32 = 2;

/// Per topic and partition the offset to read next.
pub type Positions = BTreeMap<String, BTreeMap<u32, i64>>;

/// What an epoch knew of the data's time, beside its one reading of the wall clock.
///
/// The data's clock says how old a record may be that is still to come: what was bound to an earlier time can be forgotten.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataTimes {
    /// The steady clock: set by the wall clock once, it goes on only while the job runs. In milliseconds since 1970 UTC.
    pub steady_ms: i64,
    /// The data's clock before the epoch: no source is behind this time, as far as it has been read. In milliseconds since 1970 UTC.
    pub oldest_ms: i64,
    /// The time of the newest record up to the epoch, in milliseconds since 1970 UTC.
    pub newest_ms: i64,
    /// By source, in order: the partitions that had nothing to read when everything before the epoch had been read, and so did not hold
    /// its watermark back.
    pub idle: BTreeMap<String, Vec<u32>>,
}

/// What one epoch was made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Version of the layout, [`VERSION`].
    pub version: u32,
    /// The epoch.
    pub epoch: Epoch,
    /// Identity of the plan that produced the outputs.
    pub plan_hash: String,
    /// The epoch's reading of the wall clock, in milliseconds since 1970 UTC.
    pub clock_ms: i64,
    /// What the epoch knew of the data's time.
    pub time: DataTimes,
    /// Where every source partition stands after the epoch. Its range starts where the record before ends; an epoch that read nothing from
    /// a partition repeats its position.
    pub positions: Positions,
}

impl Record {
    /// A record of the current version.
    #[must_use]
    pub const fn new(
        epoch: Epoch,
        plan_hash: String,
        clock_ms: i64,
        time: DataTimes,
        positions: Positions,
    ) -> Self {
        Self {
            version: VERSION,
            epoch,
            plan_hash,
            clock_ms,
            time,
            positions,
        }
    }

    /// The record's bytes, without a line feed.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a record has only strings and integers for keys")
    }

    /// Reads a record; `index` is its place in the journal, for the error.
    ///
    /// # Errors
    /// `Corrupt` if the bytes are no record, `Invalid` if they are of a version that is not known here.
    pub fn decode(bytes: &[u8], index: usize) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Head {
            version: u32,
        }
        let bad = |error: serde_json::Error| Error::BadJournalRecord {
            index,
            reason: error.to_string(),
        };
        let Head { version } = serde_json::from_slice(bytes).map_err(bad)?;
        if version != VERSION {
            return Err(Error::UnknownVersion {
                what: format!("journal record {index}"),
                found: version,
                expected: VERSION,
            });
        }
        serde_json::from_slice(bytes).map_err(bad)
    }
}

/// Reads all records of a journal, oldest first.
///
/// # Errors
/// As [`Record::decode`].
pub fn decode_all<B: AsRef<[u8]>>(records: &[B]) -> Result<Vec<Record>, Error> {
    records
        .iter()
        .enumerate()
        .map(|(index, bytes)| Record::decode(bytes.as_ref(), index))
        .collect()
}
