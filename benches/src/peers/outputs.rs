//! What a system has committed, held against the studio's oracle, and against itself at every cut.
//!
//! The same verifier judges all systems. A peer may write a key as an object of one number; nothing else is forgiven.

use std::collections::HashMap;

use anyhow::Result;
use serde_json::{Value, json};
use tidemill_connectors_kafka::tools::read_topic;
use tidemill_studio::epochs::check_atomic;
use tidemill_studio::ports::{OnInput, OnOutput};
use tidemill_studio::topic::{PAYMENT_ENRICHED, PRODUCTION};
use tidemill_studio::verifier::SinkReport;
use tidemill_studio::{Error, InputReader, OutputReader, VerifySettings};

use super::cuts::{Cuts, OUTPUTS};
use crate::studio::live::number;

/// How the final rows compare with the oracle.
#[derive(Debug, Clone)]
pub struct Verified {
    /// Every output's rows.
    pub sinks: Vec<SinkReport>,
}

impl Verified {
    /// Rows as they must be.
    #[must_use]
    pub fn equal(&self) -> u64 {
        self.sinks.iter().map(|sink| sink.equal).sum()
    }

    /// Rows that are missing, too many or different.
    #[must_use]
    pub fn wrong(&self) -> u64 {
        let wrong =
            |sink: &SinkReport| sink.missing + sink.extra + sink.different + sink.disordered;
        self.sinks.iter().map(wrong).sum()
    }

    /// For the line of JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let sink = |sink: &SinkReport| {
            let found = json!({
                "equal": sink.equal, "missing": sink.missing, "extra": sink.extra,
                "different": sink.different, "pending": sink.pending, "examples": sink.examples,
            });
            (sink.topic.to_owned(), found)
        };
        let sinks: serde_json::Map<_, _> = self.sinks.iter().map(sink).collect();
        json!({"verified": self.wrong() == 0, "equal": self.equal(), "wrong": self.wrong(), "sinks": sinks})
    }
}

/// Totals that no state of the inputs can have given, at the moments that were looked at.
#[derive(Debug, Clone, Default)]
pub struct Impossible {
    /// Cuts.
    pub cuts: usize,
    /// Totals of productions compared, over all cuts.
    pub compared: u64,
    /// How many of them were impossible.
    pub impossible: u64,
    /// The first of them.
    pub examples: Vec<String>,
}

/// Compares the final rows.
///
/// With `windows_wait`, rows of days that are not over may be missing, and must not be there early.
///
/// # Errors
/// If a topic cannot be read.
pub fn verify(
    bootstrap: &str,
    now_ms: i64,
    partitions: u32,
    windows_wait: bool,
) -> Result<Verified> {
    let topics = Topics { bootstrap };
    let settings = VerifySettings {
        partitions,
        ended: !windows_wait,
        ..VerifySettings::at(now_ms)
    };
    let mut report = tidemill_studio::verify(&topics, &topics, &settings)?;
    report.sinks.retain(|sink| OUTPUTS.contains(&sink.topic));
    Ok(Verified {
        sinks: report.sinks,
    })
}

/// Compares, at every cut, each production's total with the sum of its payments.
///
/// # Errors
/// If a topic cannot be read.
pub fn impossible(bootstrap: &str, cuts: &Cuts) -> Result<Impossible> {
    let report = check_atomic(&CutTopics { bootstrap, cuts })?;
    Ok(Impossible {
        cuts: cuts.count(),
        compared: report.compared,
        impossible: report.violations,
        examples: report.examples,
    })
}

/// A key in the form that the verifier knows.
fn plain_key<'a>(topic: &str, key: &'a [u8], digits: &'a mut String) -> &'a [u8] {
    if let (PRODUCTION | PAYMENT_ENRICHED, Some(number)) = (topic, number(key)) {
        *digits = number.to_string();
        return digits.as_bytes();
    }
    key
}

/// The topics as they are; those that this job does not write have no records.
struct Topics<'a> {
    bootstrap: &'a str,
}

impl InputReader for Topics<'_> {
    fn read(&self, topic: &str, on_record: &mut OnInput<'_>) -> Result<(), Error> {
        let read = read_topic(self.bootstrap, topic, true, |record| {
            on_record(
                record.partition,
                record.offset,
                record.value.unwrap_or_default(),
            );
        });
        read.map_err(|error| Error::port(topic, error))
    }
}

impl OutputReader for Topics<'_> {
    fn read(&self, topic: &str, on_record: &mut OnOutput<'_>) -> Result<(), Error> {
        if !OUTPUTS.contains(&topic) {
            return Ok(());
        }
        let mut digits = String::new();
        let read = read_topic(self.bootstrap, topic, true, |record| {
            let key = plain_key(topic, record.key, &mut digits);
            on_record(record.partition, record.offset, 0, key, record.value);
        });
        read.map_err(|error| Error::port(topic, error))
    }
}

/// The topics with cuts in the place of epochs: of a key's records between two cuts only the last one, as a reader at the cut knows it.
struct CutTopics<'a> {
    bootstrap: &'a str,
    cuts: &'a Cuts,
}

struct Kept {
    partition: u32,
    offset: i64,
    cut: usize,
    key: Vec<u8>,
    value: Option<Vec<u8>>,
}

impl OutputReader for CutTopics<'_> {
    fn read(&self, topic: &str, on_record: &mut OnOutput<'_>) -> Result<(), Error> {
        let (mut kept, mut newest) = (Vec::<Kept>::new(), HashMap::<Vec<u8>, usize>::new());
        let mut digits = String::new();
        let read = read_topic(self.bootstrap, topic, true, |record| {
            let Some(cut) = self.cuts.first_with(topic, record.partition, record.offset) else {
                return;
            };
            let key = plain_key(topic, record.key, &mut digits);
            let value = record.value.map(<[u8]>::to_vec);
            if let Some(earlier) = newest.get(key).and_then(|&i| kept.get_mut(i))
                && earlier.cut == cut
            {
                (earlier.offset, earlier.value) = (record.offset, value);
                return;
            }
            newest.insert(key.to_vec(), kept.len());
            kept.push(Kept {
                partition: record.partition,
                offset: record.offset,
                cut,
                key: key.to_vec(),
                value,
            });
        });
        read.map_err(|error| Error::port(topic, error))?;
        for record in &kept {
            let (value, cut) = (record.value.as_deref(), record.cut as u64);
            on_record(record.partition, record.offset, cut, &record.key, value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tidemill_studio::topic::PAYMENT_ENRICHED;

    use super::plain_key;
    use crate::peers::cuts::OUTPUTS;

    #[test]
    fn an_object_of_one_number_is_that_number_in_the_topics_that_are_keyed_by_one() {
        let mut digits = String::new();
        let key: &[u8] = br#"{"payment_id":7}"#;
        assert_eq!(plain_key(PAYMENT_ENRICHED, key, &mut digits), b"7");
        assert_eq!(plain_key(OUTPUTS[2], key, &mut digits), key);
    }
}
