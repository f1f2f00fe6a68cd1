//! Protobuf in every envelope, bare and in Confluent's framing.

use std::sync::LazyLock;

use arrow_schema::DataType;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};
use tidemill_types::sql_type::{array, map, structure};

use super::source::{Source, TIMESTAMP};
use crate::input::Record;
use crate::seeds;

/// The message of the corpus, and the files that it is of.
pub static PAYMENT: LazyLock<String> =
    LazyLock::new(|| BASE64_STANDARD.encode(seeds::bytes("protobuf/payment.binpb")));
/// Messages around a row.
static EVENTS: LazyLock<String> =
    LazyLock::new(|| BASE64_STANDARD.encode(compiled(include_str!("../../schemas/events.proto"))));

pub const MEMBERS: [(&str, DataType); 30] = [
    ("id", DataType::Int64),
    ("plain32", DataType::Int32),
    ("unsigned32", DataType::Int64),
    ("unsigned64", DataType::Decimal128(20, 0)),
    ("zigzag32", DataType::Int32),
    ("zigzag64", DataType::Int64),
    ("fixed_32", DataType::Int64),
    ("signed_fixed64", DataType::Int64),
    ("weight", DataType::Float64),
    ("score", DataType::Float64),
    ("urgent", DataType::Boolean),
    ("payee", DataType::Utf8),
    ("receipt", DataType::Utf8),
    ("maybe_text", DataType::Utf8),
    ("maybe_state", DataType::Utf8),
    ("text", DataType::Utf8),
    ("number", DataType::Int64),
    ("flag", DataType::Boolean),
    ("line.label", DataType::Utf8),
    ("chosen", DataType::Utf8),
    ("state", DataType::Utf8),
    ("first.amount", DataType::Decimal128(38, 9)),
    ("first.amount.value", DataType::Utf8),
    ("seen", TIMESTAMP),
    ("wrapped_int", DataType::Int64),
    ("wrapped_bytes", DataType::Utf8),
    ("amount", DataType::Decimal128(38, 9)),
    ("money.units", DataType::Int64),
    ("due_on", DataType::Date32),
    ("amount_text", DataType::Decimal128(38, 9)),
];

const ROW: [(&str, DataType); 5] = [
    ("id", DataType::Int64),
    ("note", DataType::Utf8),
    ("amount", DataType::Decimal128(18, 2)),
    ("at", TIMESTAMP),
    ("inner.floor", DataType::Int32),
];

/// The descriptors of a schema's text.
///
/// # Panics
/// If it is no schema.
pub fn compiled(text: &str) -> Vec<u8> {
    struct Text(String);
    impl FileResolver for Text {
        fn open_file(&self, name: &str) -> Result<File, protox::Error> {
            if name == "it.proto" {
                File::from_source(name, &self.0)
            } else {
                Err(protox::Error::file_not_found(name))
            }
        }
    }
    let mut files = ChainFileResolver::new();
    files.add(Text(text.to_owned()));
    files.add(GoogleFileResolver::new());
    let mut compiler = Compiler::with_file_resolver(files);
    compiler.include_imports(true);
    compiler
        .open_file("it.proto")
        .expect("the schemas here are schemas");
    compiler.encode_file_descriptor_set()
}

fn payment(envelope: &'static str) -> Source {
    Source::new("protobuf", envelope)
        .data(&MEMBERS)
        .with("protobuf.message", "corpus.Payment")
        .with("protobuf.descriptors", &PAYMENT)
}

fn event(envelope: &'static str, message: &str) -> Source {
    Source::new("protobuf", envelope)
        .data(&ROW)
        .with("protobuf.message", message)
        .with("protobuf.descriptors", &EVENTS)
}

/// Both framings.
fn framed(sources: impl IntoIterator<Item = Source>) -> Vec<Source> {
    let both = sources
        .into_iter()
        .flat_map(|source| [source.clone(), source.with("protobuf.framing", "confluent")]);
    both.collect()
}

/// Values that have others in them.
fn nested() -> Source {
    let line = structure([
        ("label".to_owned(), DataType::Utf8),
        ("discount".to_owned(), DataType::Int32),
    ]);
    let members = [
        ("packed", array(DataType::Int32)),
        ("unpacked", array(DataType::Int64)),
        ("packed_doubles", array(DataType::Float64)),
        ("tags", array(DataType::Utf8)),
        ("history", array(TIMESTAMP)),
        ("limits", map(DataType::Int64)),
        ("by_number", map(line.clone())),
        ("first", line.clone()),
        ("line", line.clone()),
        ("lines", array(line)),
    ];
    Source::new("protobuf", "plain")
        .data(&members)
        .with("protobuf.message", "corpus.Payment")
        .with("protobuf.descriptors", &PAYMENT)
}

/// Messages that are rows.
pub fn plain() -> Vec<Source> {
    framed([payment("plain").position().timed("seen"), nested()])
}

/// Messages that are states of their keys.
pub fn upsert() -> Vec<Source> {
    let raw = payment("upsert").key(&[("key", DataType::Utf8)]);
    framed([
        payment("upsert").key(&[("key", DataType::Int64), ("more", DataType::Utf8)]),
        raw.with("key.format", "raw"),
    ])
}

/// Messages that are the studio's events.
pub fn crud() -> Vec<Source> {
    framed([event("crud", "t.Event").metadata(&[
        ("uuid", DataType::Utf8),
        ("type", DataType::Utf8),
        ("ts", TIMESTAMP),
    ])])
}

/// Messages that are changes of rows.
pub fn debezium() -> Vec<Source> {
    framed([event("debezium", "t.Change").metadata(&[
        ("op", DataType::Utf8),
        ("source.lsn", DataType::Int64),
        ("ts", TIMESTAMP),
    ])])
}

fn files(names: &[&str]) -> Vec<Vec<u8>> {
    seeds::of_files(2, names)
}

/// Rows.
pub fn plain_seeds() -> Vec<Vec<u8>> {
    files(&[
        "protobuf/bare.jsonl",
        "protobuf/unusual.jsonl",
        "protobuf/confluent.jsonl",
        "protobuf/damaged.jsonl",
    ])
}

/// States.
pub fn upsert_seeds() -> Vec<Vec<u8>> {
    let records = seeds::records("protobuf/bare.jsonl").into_iter().take(3);
    let mut records: Vec<_> = records
        .map(|record| Record {
            key: Some(b"7".to_vec()),
            value: record.value,
            ..Record::default()
        })
        .collect();
    records.push(Record {
        key: Some(br#"{"key": 7, "more": "x"}"#.to_vec()),
        ..Record::default()
    });
    seeds::variants(4, &records)
}

/// `id` 5, `note` "x", an amount, a time, something within.
const A_ROW: &[u8] = b"\x08\x05\x12\x01x\x1a\x0412.5\x22\x02\x08\x07\x2a\x02\x08\x03";

/// Bare and framed.
fn messages(path: u8, messages: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut inputs = Vec::new();
    for message in messages {
        let framed = [&[0, 0, 0, 0, 1, 2, path * 2][..], message].concat();
        for (variant, value) in [(0, message.clone()), (1, framed)] {
            let record = Record {
                value: Some(value),
                ..Record::default()
            };
            inputs.push(crate::input::of(variant, &[record]));
        }
    }
    inputs
}

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let length = u8::try_from(bytes.len()).unwrap_or_default();
    [&[number << 3 | 2, length][..], bytes].concat()
}

/// Events of every kind.
pub fn crud_seeds() -> Vec<Vec<u8>> {
    let events = (0..5).map(|kind| {
        let head = [field(1, b"u"), vec![0x10, kind, 0x18, 9], field(4, b"p")].concat();
        [head, vec![0x28, 42], field(6, A_ROW)].concat()
    });
    messages(3, &events.collect::<Vec<_>>())
}

/// Changes of every kind.
pub fn debezium_seeds() -> Vec<Vec<u8>> {
    let changes = ["c", "r", "u", "d", "t"].map(|op| {
        let states = [field(1, A_ROW), field(2, A_ROW)].concat();
        [
            states,
            field(3, op.as_bytes()),
            vec![0x20, 9],
            field(5, b"\x08\x09\x10\x07"),
        ]
        .concat()
    });
    messages(2, &changes)
}
