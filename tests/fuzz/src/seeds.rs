//! Inputs to begin with, made of the corpora of `formats`: what others wrote, and what is written by hand.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use crate::input::{self, Record};

/// So many records of a file are taken, over the whole of it.
const RECORDS_MAX: usize = 12;
/// Larger ones are not taken.
const RECORD_BYTES_MAX: usize = 8 * 1024;

/// The folder of the corpora.
#[must_use]
pub fn corpora() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../formats/tests/corpus")
}

/// A file of the corpora.
///
/// # Panics
/// If it is not there.
#[must_use]
pub fn bytes(name: &str) -> Vec<u8> {
    let path = corpora().join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The records of a file of the corpora.
///
/// # Panics
/// If a line is no record.
#[must_use]
pub fn records(name: &str) -> Vec<Record> {
    let text = String::from_utf8(bytes(name)).expect("the corpora's records are JSON");
    text.lines().map(record).collect()
}

fn record(line: &str) -> Record {
    let record: Value = serde_json::from_str(line).expect("a line of a corpus is JSON");
    let part = |value: &Value| {
        let text = value.as_str()?;
        Some(BASE64_STANDARD.decode(text).expect("parts are in base64"))
    };
    let headers = record["headers"].as_array().cloned().unwrap_or_default();
    Record {
        key: part(&record["key"]),
        value: part(&record["value"]),
        headers: headers
            .iter()
            .map(|of| {
                let name = of[0].as_str().unwrap_or_default().as_bytes().to_vec();
                (name, part(&of[1]))
            })
            .collect(),
        timestamp_ms: record["timestamp"].as_i64(),
    }
}

/// Inputs of the records of files, a record each, and one of all that fit, for so many variants of a target.
#[must_use]
pub fn of_files(variants: u8, names: &[&str]) -> Vec<Vec<u8>> {
    let mut inputs = Vec::new();
    for name in names {
        let all = records(name);
        let step = all.len().div_ceil(RECORDS_MAX).max(1);
        let few: Vec<_> = all
            .into_iter()
            .step_by(step)
            .filter(|record| record.value.as_ref().map_or(0, Vec::len) < RECORD_BYTES_MAX)
            .collect();
        let numbers = (0..variants).cycle();
        inputs.extend(
            few.iter()
                .zip(numbers)
                .map(|(record, variant)| input::of(variant, std::slice::from_ref(record))),
        );
        let few = &few[..few.len().min(4)];
        inputs.extend((0..variants).map(|variant| input::of(variant, few)));
    }
    inputs
}

/// Inputs of these values: each alone, and all in one, for so many variants.
#[must_use]
pub fn texts(variants: u8, values: &[&str]) -> Vec<Vec<u8>> {
    let record = |value: &&str| Record {
        value: Some(value.as_bytes().to_vec()),
        ..Record::default()
    };
    let records: Vec<_> = values.iter().map(record).collect();
    let mut inputs = self::variants(variants, &records);
    if let [_, _, ..] = records.as_slice() {
        for (record, variant) in records.iter().zip((0..variants).cycle()) {
            inputs.push(input::of(variant, std::slice::from_ref(record)));
        }
    }
    inputs
}

/// Inputs of these records, one for each of so many variants.
#[must_use]
pub fn variants(variants: u8, records: &[Record]) -> Vec<Vec<u8>> {
    (0..variants)
        .map(|variant| input::of(variant, records))
        .collect()
}
