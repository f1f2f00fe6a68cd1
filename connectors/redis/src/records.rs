//! What a record is in Redis: its key, and what becomes of that.
//!
//! Promises: different keys of a sink have different keys in Redis; a column's value is the text that the sink's format writes. Pure.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;
use tidemill_connectors_api::{Parcel, Rejected};
use tidemill_types::Epoch;

use crate::options::Type;
use crate::progress::{OWN_KEY, Place};

/// How much goes with one step: so little that other clients of the server wait a few milliseconds for it.
const BYTES_MAX: usize = 512 << 10;
const RECORDS_MAX: usize = 1_000;
/// How many fields Lua passes on at once, names and values, is bounded.
const FIELDS_MAX: usize = 3_000;

/// A record that is delivered.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    pub place: Place,
    key: &'a [u8],
    value: Option<&'a [u8]>,
}

/// Fields by name.
type Fields = Vec<(String, String)>;

/// What becomes of a record's key.
#[derive(Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// It has this value.
    Value(&'a [u8]),
    /// It has these fields, and those without a value no more.
    Fields(Fields, Vec<String>),
    /// It is gone.
    Gone,
}

impl<'a> Record<'a> {
    /// The record's key in Redis, behind the prefix: a text without its quotes, everything else as it is.
    ///
    /// Texts that would then be something else keep the quotes: `null`, and those that begin with a quote.
    pub fn key(&self) -> Cow<'a, [u8]> {
        let text = match self.key.first() {
            Some(b'"') => serde_json::from_slice::<String>(self.key).ok(),
            _ => None,
        };
        let bare = text.filter(|text| text != "null" && !text.starts_with('"'));
        bare.map_or(Cow::Borrowed(self.key), |text| {
            Cow::Owned(text.into_bytes())
        })
    }

    /// What becomes of its key; why nothing does.
    pub fn change(&self, kept_as: Type) -> Result<Change<'a>, String> {
        if kept_as != Type::Stream && *self.key() == *OWN_KEY.as_bytes() {
            return Err(format!(
                "its key is '{OWN_KEY}', where the sink notes how far it came"
            ));
        }
        match (kept_as, self.value) {
            (Type::String, Some(value)) => Ok(Change::Value(value)),
            (Type::String | Type::Hash, None) => Ok(Change::Gone),
            (Type::Hash, Some(value)) => {
                let (fields, without) = fields(value)?;
                Ok(Change::Fields(fields, without))
            }
            (Type::Stream, Some(value)) => match fields(value)? {
                (fields, _) if fields.is_empty() => {
                    Err("none of its columns has a value, and an entry has to have one".to_owned())
                }
                (fields, _) => Ok(Change::Fields(fields, Vec::new())),
            },
            (Type::Stream, None) => {
                Err("it has no value, and entries of a stream are not taken away".to_owned())
            }
        }
    }

    /// That it is not taken.
    pub fn rejected(&self, reason: String) -> Rejected {
        Rejected {
            epoch: Epoch(self.place.epoch),
            record: usize::try_from(self.place.record).expect("it was counted in memory"),
            reason,
        }
    }

    fn bytes(&self) -> usize {
        self.key.len() + self.value.map_or(0, <[u8]>::len)
    }
}

/// The fields of a row that have a value, and the names of those that have none.
fn fields(value: &[u8]) -> Result<(Fields, Vec<String>), String> {
    let members: BTreeMap<String, &RawValue> = serde_json::from_slice(value)
        .map_err(|error| format!("its value is no object of JSON: {error}"))?;
    if members.len() > FIELDS_MAX {
        return Err(format!(
            "it has {} columns, and {FIELDS_MAX} fields at most can be written",
            members.len()
        ));
    }
    let (mut fields, mut without) = (Vec::new(), Vec::new());
    for (name, member) in members {
        let text = member.get();
        match text.as_bytes().first() {
            Some(b'n') => without.push(name),
            Some(b'"') => {
                let text = serde_json::from_str(text)
                    .map_err(|error| format!("its '{name}' is no text: {error}"))?;
                fields.push((name, text));
            }
            _ => fields.push((name, text.to_owned())),
        }
    }
    Ok((fields, without))
}

/// The records of parcels, in their order.
pub fn records(parcels: &[Parcel]) -> Vec<Record<'_>> {
    let of_parcel = |parcel: &'_ Parcel| parcel.epoch.0;
    let records = parcels.iter().flat_map(|parcel| {
        (0..)
            .zip(parcel.records.iter())
            .map(move |(number, record)| Record {
                place: Place {
                    epoch: of_parcel(parcel),
                    record: number,
                },
                key: record.key,
                value: record.value,
            })
    });
    records.collect()
}

/// How many of records go with the next step; one that is larger than a step is one.
pub fn fit(records: &[Record<'_>]) -> usize {
    let mut bytes = 0;
    let fitting = records.iter().take(RECORDS_MAX).take_while(|record| {
        bytes += record.bytes();
        bytes <= BYTES_MAX
    });
    fitting.count().max(1).min(records.len())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{BYTES_MAX, Change, RECORDS_MAX, Record, fit};
    use crate::options::Type;
    use crate::progress::Place;

    fn record<'a>(key: &'a str, value: Option<&'a str>) -> Record<'a> {
        Record {
            place: Place::default(),
            key: key.as_bytes(),
            value: value.map(str::as_bytes),
        }
    }

    #[test]
    fn a_key_is_its_own_text_and_no_two_become_one() {
        let mut seen = BTreeSet::new();
        for (key, text) in [
            ("42", "42"),
            (r#""US""#, "US"),
            (r#""M\u00fcller \"x\"""#, "Müller \"x\""),
            (
                r#"{"id":42,"currency":"USD"}"#,
                r#"{"id":42,"currency":"USD"}"#,
            ),
            ("null", "null"),
            (r#""null""#, r#""null""#),
            (r#""\"null\"""#, r#""\"null\"""#),
            (r#""""#, ""),
        ] {
            let key = record(key, None).key().into_owned();
            assert_eq!(String::from_utf8_lossy(&key), text);
            assert!(seen.insert(key));
        }
    }

    #[test]
    fn a_value_is_as_it_was_written_and_a_field_is_its_text() {
        let value =
            r#"{"id":9007199254740993,"label":"a \"b\"","paid":"1.50","tags":["x"],"at":null}"#;
        let put = record("1", Some(value));
        assert_eq!(
            put.change(Type::String),
            Ok(Change::Value(value.as_bytes()))
        );
        let fields = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter();
            pairs
                .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
                .collect()
        };
        let written = fields(&[
            ("id", "9007199254740993"),
            ("label", "a \"b\""),
            ("paid", "1.50"),
            ("tags", r#"["x"]"#),
        ]);
        let of_hash = Change::Fields(written, vec!["at".to_owned()]);
        assert_eq!(put.change(Type::Hash), Ok(of_hash));
        for kept_as in [Type::String, Type::Hash] {
            assert_eq!(record("1", None).change(kept_as), Ok(Change::Gone));
        }
    }

    #[test]
    fn what_cannot_be_written_says_why() {
        for (kept_as, key, value, told) in [
            (Type::Hash, "1", Some("[1]"), "no object of JSON"),
            (Type::Hash, "1", Some(r#"{"a":"\ud800"}"#), "'a' is no text"),
            (
                Type::String,
                r#"".tidemill""#,
                Some("{}"),
                "how far it came",
            ),
            (Type::Stream, "", None, "not taken away"),
            (Type::Stream, "", Some(r#"{"a":null}"#), "has to have one"),
        ] {
            let why = record(key, value).change(kept_as).unwrap_err();
            assert!(why.contains(told), "{why}");
        }
        let columns: Vec<String> = (0..3_001).map(|n| format!("\"c{n}\":1")).collect();
        let wide = format!("{{{}}}", columns.join(","));
        let why = record("1", Some(&wide)).change(Type::Hash).unwrap_err();
        assert!(why.contains("3001 columns"), "{why}");
    }

    #[test]
    fn a_step_has_some_records_and_never_none() {
        let long = "x".repeat(BYTES_MAX);
        let (short, long) = (record("1", Some("a")), record("2", Some(&long)));
        assert_eq!(fit(&[short; 5]), 5);
        assert_eq!(fit(&vec![short; RECORDS_MAX + 1]), RECORDS_MAX);
        assert_eq!(fit(&[long, short]), 1);
        assert_eq!(fit(&[short, long]), 1);
        assert_eq!(fit(&[]), 0);
    }
}
