//! Keys in Avro and Protobuf: bare, by the schema of an option, and in Confluent's framing, by those of a registry.

use arrow_schema::DataType;

use super::source::{Source, registry};
use super::{avro, protobuf};
use crate::input::{self, Record};
use crate::seeds;

/// A source of states in JSON, whose keys have these columns.
fn states(format: &str, columns: &[(&str, DataType)]) -> Source {
    Source::new("json", "upsert")
        .data(&[("n", DataType::Int64)])
        .key(columns)
        .with("key.format", format)
}

/// The columns that lie in no other.
fn outermost(columns: &[(&'static str, DataType)]) -> Vec<(&'static str, DataType)> {
    let columns = columns.iter().filter(|(path, _)| !path.contains('.'));
    columns.cloned().collect()
}

fn one() -> [(&'static str, DataType); 1] {
    [("id", DataType::Int64)]
}

/// Keys in Avro: records and single values.
pub fn avro() -> Vec<Source> {
    let text = |id: &str| avro::SCHEMAS[id]["schema"].to_string();
    let rows = || states("avro", &outermost(&avro::MEMBERS));
    let single = |schema: &str| {
        states("avro", &one())
            .required()
            .with("key.avro.schema", schema)
    };
    let registered = |mut source: Source, schemas: &[String]| {
        let schemas = (1..).zip(schemas.iter().cloned());
        source.key_contracts = Some(registry(&schemas.collect::<Vec<_>>()));
        source
    };
    let long = "\"long\"".to_owned();
    let versions = [text("1"), text("2"), long.clone(), "{".to_owned()];
    let of_longs = [long, r#"["null", "int"]"#.to_owned(), text("1")];
    vec![
        rows().with("key.avro.schema", &text("1")),
        single("\"long\""),
        single(r#"["null", "string", "long"]"#),
        registered(rows(), &versions),
        registered(states("avro", &one()).required(), &of_longs),
    ]
}

/// Keys that are messages.
pub fn protobuf() -> Vec<Source> {
    let payments = || {
        states("protobuf", &outermost(&protobuf::MEMBERS))
            .with("key.protobuf.message", "corpus.Payment")
            .with("key.protobuf.descriptors", &protobuf::PAYMENT)
    };
    let mut registered = states("protobuf", &one());
    let versions = [
        "message K { int64 id = 1; }",
        "message K { sint64 number = 1; optional string note = 2; }",
        "message K { string id = 1; }",
        "message",
    ];
    let versions = versions.map(|text| format!("syntax = \"proto3\"; {text}"));
    let versions: Vec<_> = (1..).zip(versions).collect();
    registered.key_contracts = Some(registry(&versions));
    vec![
        payments(),
        payments().with("key.protobuf.framing", "confluent"),
        registered,
    ]
}

/// Records that have in their keys what those of files have in their values.
fn of_values(variants: u8, names: &[&str], more: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut inputs = Vec::new();
    let keyed = |key: Vec<u8>| Record {
        key: Some(key),
        value: Some(br#"{"n": 1}"#.to_vec()),
        ..Record::default()
    };
    let of_files = names.iter().flat_map(|name| seeds::records(name));
    let of_files = of_files.filter_map(|record| record.value);
    let of_files = of_files.filter(|value| value.len() < 1_000).step_by(5);
    let keys = of_files.chain(more.iter().map(|key| key.to_vec()));
    let records: Vec<_> = keys.map(keyed).collect();
    for (record, variant) in records.iter().zip((0..variants).cycle()) {
        inputs.push(input::of(variant, std::slice::from_ref(record)));
    }
    let few = &records[..records.len().min(4)];
    inputs.extend((0..variants).map(|variant| input::of(variant, few)));
    inputs
}

/// Rows by several schemas, and single values.
pub fn avro_seeds() -> Vec<Vec<u8>> {
    of_values(
        5,
        &[
            "avro/bare.jsonl",
            "avro/confluent.jsonl",
            "avro/damaged.jsonl",
        ],
        &[
            &[14],
            &[0, 14],
            &[4, 14],
            &[0, 0, 0, 0, 1, 14],
            &[0, 0, 0, 0, 2, 2, 14],
            &[],
        ],
    )
}

/// Messages by several schemas.
pub fn protobuf_seeds() -> Vec<Vec<u8>> {
    of_values(
        3,
        &[
            "protobuf/bare.jsonl",
            "protobuf/confluent.jsonl",
            "protobuf/damaged.jsonl",
        ],
        &[
            &[0, 0, 0, 0, 1, 0, 8, 7],
            &[0, 0, 0, 0, 2, 0, 8, 7, 18, 1, 120],
            &[0, 0, 0, 0, 3, 0, 10, 1, 120],
            &[],
        ],
    )
}
