//! The dead letters and the late ledger: rows of `topic`, `partition`, `offset`, `reason`, `bytes` (base64).

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hashbrown::HashMap;
use serde::Deserialize;

use super::SinkReport;
use crate::oracle::DeadLetters;
use crate::oracle::rows::Text;
use crate::{Error, OutputReader, Topic, topic};

#[derive(Deserialize)]
struct Row<'a> {
    #[serde(borrow)]
    topic: Text<'a>,
    partition: u32,
    offset: i64,
    #[serde(borrow, rename = "reason")]
    _reason: Text<'a>,
    #[serde(borrow)]
    bytes: Text<'a>,
}

type Position = (Topic, u32, i64);

/// A ledger that was read, by position.
pub struct Ledger {
    rows: HashMap<Position, Box<[u8]>>,
    len: u64,
    report: SinkReport,
}

impl Ledger {
    /// Reads a ledger; what is no row, or a position for the second time, is extra.
    pub fn read(outputs: &dyn OutputReader, name: &'static str) -> Result<Self, Error> {
        let mut ledger = Self {
            rows: HashMap::new(),
            len: 0,
            report: SinkReport::new(name),
        };
        outputs.read(name, &mut |partition, offset, _epoch, _key, value| {
            ledger.len += 1;
            let added = value.and_then(parse).is_some_and(|(position, bytes)| ledger.rows.insert(position, bytes).is_none());
            if !added {
                let found = String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
                ledger.report.extra += 1;
                ledger.report.example(|| format!("extra: no row of the ledger, or for the second time, at {partition}/{offset}: {found}"));
            }
        })?;
        Ok(ledger)
    }

    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Takes the row of a position; true if there was one. Its bytes must be the record's.
    pub fn take(&mut self, topic: Topic, partition: u32, offset: i64, bytes: &[u8]) -> bool {
        let Some(found) = self.rows.remove(&(topic, partition, offset)) else {
            return false;
        };
        if *found == *bytes {
            self.report.equal += 1;
        } else {
            self.report.different += 1;
            let (found, bytes) = (
                String::from_utf8_lossy(&found),
                String::from_utf8_lossy(bytes),
            );
            self.report.example(|| {
                format!(
                    "different: {}/{partition}/{offset} holds '{found}' instead of '{bytes}'",
                    topic.name()
                )
            });
        }
        true
    }

    /// What nobody took is extra.
    pub fn finish(mut self) -> SinkReport {
        for (topic, partition, offset) in self.rows.into_keys() {
            self.report.extra += 1;
            self.report.example(|| {
                format!(
                    "extra: {}/{partition}/{offset} does not belong here",
                    topic.name()
                )
            });
        }
        self.report
    }
}

fn parse(value: &[u8]) -> Option<(Position, Box<[u8]>)> {
    let row: Row<'_> = serde_json::from_slice(value).ok()?;
    // A source of files may be named by its folder.
    let topic = Topic::ALL
        .into_iter()
        .find(|topic| row.topic.0.rsplit('/').next() == Some(topic.name()))?;
    Some((
        (topic, row.partition, row.offset),
        BASE64_STANDARD.decode(row.bytes.0.as_bytes()).ok()?.into(),
    ))
}

/// Exactly the undecodable records, byte for byte.
pub fn compare_dead_letters(
    outputs: &dyn OutputReader,
    expected: DeadLetters,
) -> Result<SinkReport, Error> {
    let mut ledger = Ledger::read(outputs, topic::DEAD_LETTERS)?;
    for ((topic, partition, offset), (reason, bytes)) in expected {
        if !ledger.take(topic, partition, offset, &bytes) {
            ledger.report.missing += 1;
            let record = String::from_utf8_lossy(&bytes);
            ledger.report.example(|| {
                format!(
                    "missing: {}/{partition}/{offset} ({}): {record}",
                    topic.name(),
                    reason.label()
                )
            });
        }
    }
    Ok(ledger.finish())
}
