//! What was written to the sinks, folded to what they hold.

use std::collections::{BTreeMap, BTreeSet};

use super::Expected;
use crate::codec::{Said, SinkCodec};
use crate::random_job::job::Job;
use crate::value::canonical;

/// What the sinks of a job hold after the records that were told.
#[derive(Debug, Clone)]
pub struct Written {
    topics: BTreeMap<String, Expected>,
    codecs: BTreeMap<String, SinkCodec>,
    /// The topics whose records have times that a column says.
    timed: BTreeSet<String>,
}

/// What stands beside key and value of a record.
#[derive(Debug, Clone, Default)]
pub struct Beside {
    /// Its headers.
    pub headers: BTreeMap<String, String>,
    /// Its time, in milliseconds since 1970.
    pub timestamp_ms: Option<i64>,
}

impl Beside {
    /// The text of a value with this behind it.
    pub(super) fn behind(&self, value: String) -> String {
        let mut text = value;
        if !self.headers.is_empty() {
            text += &format!(" headers {:?}", self.headers);
        }
        if let Some(ms) = self.timestamp_ms {
            text += &format!(" at {ms}");
        }
        text
    }
}

impl Written {
    /// Nothing was written yet. By topic, which columns of its sink may be null, as the plan has it: the bytes of Avro depend on that.
    #[must_use]
    pub fn new(job: &Job, nullable: &BTreeMap<String, Vec<bool>>) -> Self {
        let topics = job.sinks.iter().map(|sink| {
            let empty = if sink.upsert {
                Expected::Upsert(BTreeMap::new())
            } else {
                Expected::Append(BTreeMap::new())
            };
            (sink.topic.clone(), empty)
        });
        let codecs = job.sinks.iter().map(|sink| {
            let nullable = nullable.get(&sink.topic).map_or(&[][..], Vec::as_slice);
            let codec = SinkCodec::new(sink, &job.relations[sink.input], nullable);
            (sink.topic.clone(), codec)
        });
        let timed = job.sinks.iter().filter(|sink| sink.timestamp.is_some());
        Self {
            topics: topics.collect(),
            codecs: codecs.collect(),
            timed: timed.map(|sink| sink.topic.clone()).collect(),
        }
    }

    /// A record was written; no value is a tombstone.
    ///
    /// # Errors
    /// If no sink has the topic, the key is not JSON or the value none of the sink's, a change does not begin with what is there, or a
    /// tombstone was appended or takes away what is not there.
    pub fn record(
        &mut self,
        topic: &str,
        (key, value): (&[u8], Option<&[u8]>),
        mut beside: Beside,
    ) -> Result<(), String> {
        let text = |bytes: &[u8]| {
            canonical(bytes).map_err(|error| {
                format!("'{}' is no JSON: {error}", String::from_utf8_lossy(bytes))
            })
        };
        // A reader of files gives no key for the key of a NULL.
        let key = if key.is_empty() { &b"null"[..] } else { key };
        if !self.timed.contains(topic) {
            beside.timestamp_ms = None;
        }
        let (Some(held), Some(codec)) = (self.topics.get_mut(topic), self.codecs.get(topic)) else {
            return Err(format!("no sink has the topic '{topic}'"));
        };
        let said = value.map(|value| codec.read(value)).transpose()?;
        match (held, said) {
            (Expected::Upsert(rows), Some(Said::Row(row))) => {
                rows.insert(text(key)?, beside.behind(row));
            }
            (Expected::Upsert(rows), Some(Said::Change { before, after })) => {
                let key = text(key)?;
                let held = rows.get(&key);
                // What stands beside the row is behind its text.
                let is_held = match (held, &before) {
                    (Some(held), Some(before)) => held.starts_with(before),
                    (held, before) => held.is_none() && before.is_none(),
                };
                if !is_held {
                    return Err(format!(
                        "a change of {key} in '{topic}' from {before:?}, which has {held:?}"
                    ));
                }
                match after {
                    Some(after) => rows.insert(key, beside.behind(after)),
                    None => rows.remove(&key),
                };
            }
            (Expected::Upsert(rows), None) => {
                let key = text(key)?;
                if rows.remove(&key).is_none() {
                    return Err(format!("a tombstone for {key}, which is not in '{topic}'"));
                }
            }
            (Expected::Append(rows), Some(Said::Row(row))) => {
                *rows.entry(beside.behind(row)).or_default() += 1;
            }
            (Expected::Append(_), Some(Said::Change { .. }) | None) => {
                return Err(format!("no row in '{topic}', which is appended to"));
            }
        }
        Ok(())
    }

    /// What the sinks hold, by topic.
    #[must_use]
    pub const fn content(&self) -> &BTreeMap<String, Expected> {
        &self.topics
    }
}

/// The first difference between what is expected and what was written, in words.
#[must_use]
pub fn difference(
    expected: &BTreeMap<String, Expected>,
    written: &BTreeMap<String, Expected>,
) -> Option<String> {
    expected.iter().find_map(|(topic, wanted)| {
        let found = written.get(topic)?;
        let (missing, extra) = match (wanted, found) {
            (Expected::Upsert(a), Expected::Upsert(b)) => (without(a, b), without(b, a)),
            (Expected::Append(a), Expected::Append(b)) => (without(a, b), without(b, a)),
            _ => return Some(format!("'{topic}' upserts here and appends there")),
        };
        (!missing.is_empty() || !extra.is_empty()).then(|| {
            format!(
                "'{topic}' lacks {} and has {}",
                listed(&missing),
                listed(&extra)
            )
        })
    })
}

fn without<V: PartialEq + std::fmt::Debug>(
    a: &BTreeMap<String, V>,
    b: &BTreeMap<String, V>,
) -> Vec<String> {
    let only = a.iter().filter(|(key, value)| b.get(*key) != Some(*value));
    only.map(|(key, value)| format!("{key}: {value:?}"))
        .collect()
}

fn listed(rows: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = rows.iter().take(SHOWN).cloned().collect::<Vec<_>>();
    format!("{} rows [{}]", rows.len(), shown.join("; "))
}
