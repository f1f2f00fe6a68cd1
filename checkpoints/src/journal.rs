//! The journal: one record per committed epoch, written together with the epoch's outputs, and one claim per run. The last readable record is
//! the truth about what was committed, the last entry about whose the job is.
//!
//! An entry is one line of JSON, fields in the order of [`Record`] or [`Claim`], maps sorted by key: the same entry is always the same bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidemill_types::Epoch;

use crate::Error;

/// Version of the layout.
pub const VERSION: u32 = 2;

/// Per source and partition the offset to read next.
pub type Positions = BTreeMap<String, BTreeMap<u32, i64>>;

/// Per source which log of its name it reads, as its connector names it; empty where the connector cannot tell.
pub type Incarnations = BTreeMap<String, String>;

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
    /// The run that committed it.
    pub owner: String,
    /// Identity of the plan that produced the outputs.
    pub plan_hash: String,
    /// Which history the epochs are counted in: the run that claimed the journal while it was empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub history: String,
    /// The epoch's reading of the wall clock, in milliseconds since 1970 UTC.
    pub clock_ms: i64,
    /// What the epoch knew of the data's time.
    pub time: DataTimes,
    /// Where every source partition stands after the epoch. Its range starts where the record before ends; an epoch that read nothing from
    /// a partition repeats its position. So these are also all the partitions that the sources had.
    pub positions: Positions,
    /// Of the partitions that no record before has: where the epoch's range starts.
    #[serde(default, skip_serializing_if = "Positions::is_empty")]
    pub started: Positions,
    /// Which logs the positions are of.
    pub incarnations: Incarnations,
    /// How many bytes a record of each sink could have, key and value together: larger ones became dead letters. Empty where no sink has
    /// a limit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub record_bytes_max: Vec<Option<u64>>,
}

impl Record {
    /// A record of the current version, of a source-less epoch; the fields are public.
    #[must_use]
    pub fn new(epoch: Epoch, owner: String, plan_hash: String, clock_ms: i64) -> Self {
        Self {
            version: VERSION,
            epoch,
            owner,
            plan_hash,
            history: String::new(),
            clock_ms,
            time: DataTimes::default(),
            positions: Positions::new(),
            started: Positions::new(),
            incarnations: Incarnations::new(),
            record_bytes_max: Vec::new(),
        }
    }

    /// The record's bytes, without a line feed.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a record has only strings and integers for keys")
    }
}

/// What a run writes before its first commit: from here on the journal is its own. Stands for no epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Version of the layout, [`VERSION`].
    pub version: u32,
    /// The last epoch that was committed before; 0 for none.
    pub claims_after: Epoch,
    /// The run.
    pub owner: String,
    /// Which history the epochs are counted in, as in the records.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub history: String,
}

impl Claim {
    /// A claim of the current version; its history is public.
    #[must_use]
    pub const fn new(claims_after: Epoch, owner: String) -> Self {
        Self {
            version: VERSION,
            claims_after,
            owner,
            history: String::new(),
        }
    }

    /// The claim's bytes, without a line feed.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a claim has only strings and integers")
    }
}

/// What a journal says, as far as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Journal {
    /// The records, oldest first.
    pub records: Vec<Record>,
    /// The run that wrote the newest entry, be it a record or a claim; `None` if there is no entry.
    pub owner: Option<String>,
    /// Which history the newest entry tells of; empty if none does.
    pub history: String,
}

impl Journal {
    /// Reads entries, oldest first.
    ///
    /// # Errors
    /// `Corrupt` if bytes are no entry, `Invalid` if they are of a version that is not known here.
    pub fn decode<B: AsRef<[u8]>>(entries: &[B]) -> Result<Self, Error> {
        let mut journal = Self::default();
        for (index, bytes) in entries.iter().enumerate() {
            let (owner, history) = match decode(bytes.as_ref(), index)? {
                Entry::Claim(claim) => (claim.owner, claim.history),
                Entry::Record(record) => {
                    let told = (record.owner.clone(), record.history.clone());
                    journal.records.push(record);
                    told
                }
            };
            (journal.owner, journal.history) = (Some(owner), history);
        }
        Ok(journal)
    }

    /// The newest record.
    #[must_use]
    pub fn last(&self) -> Option<&Record> {
        self.records.last()
    }

    /// The last committed epoch; 0 for none.
    #[must_use]
    pub fn committed(&self) -> Epoch {
        self.last().map_or(Epoch(0), |last| last.epoch)
    }
}

enum Entry {
    Record(Record),
    Claim(Claim),
}

/// Reads an entry; `index` is its place in the journal, for the error.
fn decode(bytes: &[u8], index: usize) -> Result<Entry, Error> {
    #[derive(Deserialize)]
    struct Head {
        version: u32,
        claims_after: Option<Epoch>,
    }
    let bad = |error: serde_json::Error| Error::BadJournalRecord {
        index,
        reason: error.to_string(),
    };
    let head: Head = serde_json::from_slice(bytes).map_err(bad)?;
    if head.version != VERSION {
        return Err(Error::UnknownVersion {
            what: format!("journal record {index}"),
            found: head.version,
            expected: VERSION,
        });
    }
    match head.claims_after {
        Some(_) => serde_json::from_slice(bytes).map(Entry::Claim),
        None => serde_json::from_slice(bytes).map(Entry::Record),
    }
    .map_err(bad)
}
