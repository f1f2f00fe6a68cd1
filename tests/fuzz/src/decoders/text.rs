//! CSV and raw text.

use arrow_schema::DataType;

use super::source::{Source, TIMESTAMP, UUID};
use crate::input::Record;
use crate::seeds;

const NAMES: &str = "id, amount, payee, note, due_on, urgent";

fn csv(envelope: &'static str) -> Source {
    Source::new("csv", envelope)
        .data(&[
            ("amount", DataType::Decimal128(18, 2)),
            ("payee", DataType::Utf8),
            ("note", DataType::Utf8),
            ("due_on", DataType::Date32),
            ("urgent", DataType::Boolean),
        ])
        .with("csv.columns", NAMES)
}

/// Lines that are rows.
pub fn csv_plain() -> Vec<Source> {
    let of_id = |data_type: DataType| csv("plain").data(&[("id", data_type)]);
    vec![
        of_id(DataType::Int64).position(),
        of_id(DataType::Int32).with("csv.delimiter", ";"),
        of_id(DataType::Float64).with("csv.delimiter", "\\t"),
        of_id(TIMESTAMP).timed("id"),
        of_id(UUID).required(),
    ]
}

/// Lines that are states of their keys.
pub fn csv_upsert() -> Vec<Source> {
    vec![
        csv("upsert").key(&[("id", DataType::Int64)]),
        csv("upsert").key(&[("id", DataType::Int64), ("region", DataType::Utf8)]),
        csv("upsert")
            .key(&[("id", DataType::Utf8)])
            .with("key.format", "raw"),
    ]
}

fn raw(envelope: &'static str, data_type: DataType) -> Source {
    Source::new("raw", envelope).data(&[("value", data_type)])
}

/// Texts that are rows of one value, of every type.
pub fn raw_plain() -> Vec<Source> {
    [
        DataType::Utf8,
        DataType::Int64,
        DataType::Int32,
        DataType::Float64,
        DataType::Boolean,
        DataType::Decimal128(18, 2),
        DataType::Decimal128(38, 10),
        DataType::Date32,
        TIMESTAMP,
        UUID,
    ]
    .map(|data_type| raw("plain", data_type).position())
    .into()
}

/// Texts that are the value of their key.
pub fn raw_upsert() -> Vec<Source> {
    vec![
        raw("upsert", DataType::Float64).key(&[("id", DataType::Int64)]),
        raw("upsert", DataType::Utf8)
            .key(&[("id", UUID)])
            .with("key.format", "raw"),
        raw("upsert", DataType::Decimal128(9, 3))
            .key(&[("id", DataType::Date32), ("at", TIMESTAMP)]),
    ]
}

/// Lines.
pub fn csv_plain_seeds() -> Vec<Vec<u8>> {
    let mut inputs = seeds::of_files(5, &["csv/rows.jsonl", "csv/damaged.jsonl"]);
    inputs.extend(seeds::texts(5, &["1;12.50;\"a;b\";;2026-01-31;true\r\n"]));
    inputs
}

/// Lines with keys.
pub fn csv_upsert_seeds() -> Vec<Vec<u8>> {
    keyed(3, &["1,12.50,\"a, \"\"b\"\"\",,2026-01-31,true", ",,,,,"])
}

/// Texts.
pub fn raw_plain_seeds() -> Vec<Vec<u8>> {
    seeds::texts(
        10,
        &[
            "21.5",
            "-7",
            "true",
            "2026-01-31",
            "2026-01-31T12:00:00.123+01:00",
            "0190f3a1-7b2c-7def-8123-456789abcdef",
            "línea",
            "",
        ],
    )
}

/// Texts with keys.
pub fn raw_upsert_seeds() -> Vec<Vec<u8>> {
    keyed(3, &["21.5", "a text"])
}

fn keyed(count: u8, values: &[&str]) -> Vec<Vec<u8>> {
    let keys = [
        "7",
        r#"{"id": 7, "region": "EU"}"#,
        r#"{"id": "2026-01-31", "at": 0}"#,
        "0190f3a1-7b2c-7def-8123-456789abcdef",
    ];
    let mut inputs = Vec::new();
    for key in keys {
        let key = Some(key.as_bytes().to_vec());
        let mut records: Vec<_> = values
            .iter()
            .map(|value| Record {
                key: key.clone(),
                value: Some(value.as_bytes().to_vec()),
                ..Record::default()
            })
            .collect();
        records.push(Record {
            key,
            ..Record::default()
        });
        inputs.extend(seeds::variants(count, &records));
    }
    inputs
}
