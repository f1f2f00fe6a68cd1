//! Schemas that are themselves part of the input: the text of an Avro schema, and the descriptors of a Protobuf message, with records of them.
//!
//! An input is a schema, a zero byte that no text has (or, of descriptors, its length), and records. What is no schema is refused; the records
//! of what is one are held to what all records are held to.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use arrow_schema::DataType;

use super::protobuf;
use super::source::Source;
use crate::input::{self, Record};
use crate::seeds;

const COLUMNS: [(&str, DataType); 3] = [
    ("a", DataType::Utf8),
    ("b", DataType::Int64),
    ("a.b", DataType::Utf8),
];

/// Reads records by an Avro schema.
pub fn avro(input: &[u8]) {
    let end = input.iter().position(|&byte| byte == 0);
    let (schema, records) = input.split_at(end.unwrap_or(input.len()));
    let Ok(schema) = std::str::from_utf8(schema) else {
        return;
    };
    for columns in [&COLUMNS[..], &COLUMNS[..1], &[]] {
        let source = Source::new("avro", "plain")
            .data(columns)
            .with("avro.schema", schema);
        if source.decoder().is_ok() {
            super::decode(&[source], records);
        }
    }
}

/// Reads records by descriptors.
pub fn protobuf(input: &[u8]) {
    let Some((length, rest)) = input.split_first_chunk::<2>() else {
        return;
    };
    let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
    let (descriptors, records) = rest.split_at(length);
    for columns in [&COLUMNS[..], &COLUMNS[1..2], &[]] {
        let source = Source::new("protobuf", "plain")
            .data(columns)
            .with("protobuf.message", "M")
            .with("protobuf.descriptors", &BASE64_STANDARD.encode(descriptors));
        if source.decoder().is_ok() {
            super::decode(&[source], records);
        }
    }
}

/// Schemas in which types lie in others in every way, each with a record.
pub fn avro_seeds() -> Vec<Vec<u8>> {
    let record = |fields: &str| format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#);
    let schemas = [
        (
            record(r#"{"name":"a","type":"string"},{"name":"b","type":"long"}"#),
            &b"\x02x\x0e"[..],
        ),
        (
            record(
                r#"{"name":"a","type":["null","R"]},{"name":"b","type":{"type":"array","items":"int"}}"#,
            ),
            b"\x02\x00\x00\x04\x01\x02\x00",
        ),
        (
            record(
                r#"{"name":"a","type":{"type":"map","values":{"type":"fixed","name":"F","size":2}}}"#,
            ),
            b"\x02\x02kab\x00",
        ),
        (
            record(r#"{"name":"a","type":{"type":"enum","name":"E","symbols":["x","y"]}}"#),
            b"\x02",
        ),
        (
            record(
                r#"{"name":"a","type":{"type":"record","name":"I","namespace":"n","fields":[{"name":"b","type":"double"}]}},{"name":"b","type":"n.I"}"#,
            ),
            &[0; 16],
        ),
        (
            record(
                r#"{"name":"a","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},{"name":"b","type":{"type":"long","logicalType":"timestamp-micros"}}"#,
            ),
            b"\x04\x01\x00\x80\x01",
        ),
    ];
    schemas
        .iter()
        .map(|(schema, value)| {
            let records = input::of(
                0,
                &[Record {
                    value: Some(value.to_vec()),
                    ..Record::default()
                }],
            );
            [schema.as_bytes(), &records].concat()
        })
        .collect()
}

/// Descriptors of a message that holds itself, with a record.
pub fn protobuf_seeds() -> Vec<Vec<u8>> {
    let text = r#"syntax = "proto3"; message M { oneof c { string a = 1; M n = 3; } int64 b = 2; repeated M all = 4; map<string, M> by = 5; enum E { X = 0; } E e = 6; }"#;
    let nested = r#"syntax = "proto3"; message M { message A { bytes b = 1; } A a = 1; optional sint64 b = 2; }"#;
    let of = |text: &str, value: &[u8]| {
        let descriptors = protobuf::compiled(text);
        let length = u16::try_from(descriptors.len()).unwrap_or(u16::MAX);
        let records = input::of(
            0,
            &[Record {
                value: Some(value.to_vec()),
                ..Record::default()
            }],
        );
        [&length.to_le_bytes()[..], &descriptors, &records].concat()
    };
    vec![
        of(text, b"\x0a\x01x\x10\x07\x22\x02\x10\x01"),
        of(nested, b"\x0a\x03\x0a\x01b\x10\x05"),
        [
            &[0xff, 0xff][..],
            &seeds::bytes("protobuf/payment.binpb")[..2048],
        ]
        .concat(),
    ]
}
