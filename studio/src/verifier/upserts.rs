//! Upsert topics: folds them while reading, holding a value only as long as it differs from what is expected.

use std::fmt::Debug;
use std::hash::Hash;

use hashbrown::HashMap;
use serde::Serialize;

use super::SinkReport;
use crate::{Error, OutputReader};

/// What a value is worth.
pub enum Verdict {
    /// As expected.
    Equal,
    /// Another row is expected, or the value is no row: says what is expected.
    Different(String),
    /// No row is expected.
    Extra,
}

/// Whether a key must have a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// It must.
    Required,
    /// A watermark may still hold it back.
    Pending,
}

/// The last value of a key.
enum Held {
    Equal,
    Different(Box<[u8]>, String),
    Extra(Box<[u8]>),
}

/// Compares a decoded value with the expected row.
pub fn verdict<R: PartialEq + Serialize>(
    expected: Option<&R>,
    found: Result<R, serde_json::Error>,
) -> Verdict {
    let Some(expected) = expected else {
        return Verdict::Extra;
    };
    match found {
        Ok(found) if found == *expected => Verdict::Equal,
        Ok(_) => Verdict::Different(json(expected)),
        Err(error) => Verdict::Different(format!("{} ({error})", json(expected))),
    }
}

fn json(row: &impl Serialize) -> String {
    serde_json::to_string(row).expect("rows have text names and no maps")
}

/// An upsert topic and how to judge it.
pub struct Upserts<P, V> {
    pub topic: &'static str,
    pub parse_key: P,
    pub verdict: V,
}

impl<P, V> Upserts<P, V> {
    /// Folds the topic and compares it with the expected keys.
    pub fn compare<K>(
        &self,
        outputs: &dyn OutputReader,
        expected: impl Iterator<Item = (K, Expected)>,
    ) -> Result<SinkReport, Error>
    where
        K: Hash + Eq + Debug,
        P: Fn(&[u8]) -> Option<K>,
        V: Fn(&K, &[u8]) -> Verdict,
    {
        let mut report = SinkReport::new(self.topic);
        let held = self.fold(outputs, &mut report)?;
        for (key, expected) in expected {
            if held.contains_key(&key) {
                continue;
            }
            if expected == Expected::Pending {
                report.pending += 1;
            } else {
                report.missing += 1;
                report.example(|| format!("missing: {key:?}"));
            }
        }
        for (key, held) in held {
            match held {
                Held::Equal => report.equal += 1,
                Held::Different(found, expected) => {
                    report.different += 1;
                    report.example(|| {
                        format!(
                            "different: {key:?} is {} instead of {expected}",
                            String::from_utf8_lossy(&found)
                        )
                    });
                }
                Held::Extra(found) => {
                    report.extra += 1;
                    report.example(|| {
                        format!("extra: {key:?} is {}", String::from_utf8_lossy(&found))
                    });
                }
            }
        }
        Ok(report)
    }

    fn fold<K>(
        &self,
        outputs: &dyn OutputReader,
        report: &mut SinkReport,
    ) -> Result<HashMap<K, Held>, Error>
    where
        K: Hash + Eq,
        P: Fn(&[u8]) -> Option<K>,
        V: Fn(&K, &[u8]) -> Verdict,
    {
        let mut rows = HashMap::new();
        outputs.read(
            self.topic,
            &mut |partition, offset, _epoch, key_bytes, value| {
                let Some(key) = (self.parse_key)(key_bytes) else {
                    report.extra += 1;
                    report.example(|| {
                        format!(
                            "extra: '{}' at {partition}/{offset} is no key",
                            String::from_utf8_lossy(key_bytes)
                        )
                    });
                    return;
                };
                let Some(value) = value else {
                    rows.remove(&key);
                    return;
                };
                let held = match (self.verdict)(&key, value) {
                    Verdict::Equal => Held::Equal,
                    Verdict::Different(expected) => Held::Different(value.into(), expected),
                    Verdict::Extra => Held::Extra(value.into()),
                };
                rows.insert(key, held);
            },
        )?;
        Ok(rows)
    }
}
