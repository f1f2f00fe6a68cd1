//! What was written to the sinks, folded to what they hold.

use std::collections::{BTreeMap, BTreeSet};

use super::Expected;
use crate::random_job::job::Job;
use crate::value::canonical;

/// What the sinks of a job hold after the records that were told.
#[derive(Debug, Clone)]
pub struct Written {
    topics: BTreeMap<String, Expected>,
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
    /// Nothing was written yet.
    #[must_use]
    pub fn new(job: &Job) -> Self {
        let topics = job.sinks.iter().map(|sink| {
            let empty = if sink.upsert {
                Expected::Upsert(BTreeMap::new())
            } else {
                Expected::Append(BTreeMap::new())
            };
            (sink.topic.clone(), empty)
        });
        let timed = job.sinks.iter().filter(|sink| sink.timestamp.is_some());
        Self {
            topics: topics.collect(),
            timed: timed.map(|sink| sink.topic.clone()).collect(),
        }
    }

    /// A record was written; no value is a tombstone.
    ///
    /// # Errors
    /// If no sink has the topic, key or value is not JSON, or a tombstone was appended or takes away what is not there.
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
        let value = value.map(text).transpose()?;
        let value = value.map(|value| beside.behind(value));
        match (self.topics.get_mut(topic), value) {
            (None, _) => return Err(format!("no sink has the topic '{topic}'")),
            (Some(Expected::Upsert(rows)), Some(value)) => {
                rows.insert(text(key)?, value);
            }
            (Some(Expected::Upsert(rows)), None) => {
                let key = text(key)?;
                if rows.remove(&key).is_none() {
                    return Err(format!("a tombstone for {key}, which is not in '{topic}'"));
                }
            }
            (Some(Expected::Append(rows)), Some(value)) => *rows.entry(value).or_default() += 1,
            (Some(Expected::Append(_)), None) => {
                return Err(format!("a tombstone in '{topic}', which is appended to"));
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
