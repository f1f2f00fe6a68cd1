//! Keys that are messages: what Python's protobuf and prost-reflect wrote, bare and framed, and what is written.

use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch, StringArray};
use arrow_schema::DataType;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost::Message;
use prost_reflect::{DynamicMessage, Value};
use tidemill_formats::{Json, Protobuf};
use tidemill_types::format::{Change, Column, Contract, Error, Format, Options, SinkSpec};

use super::{DESCRIPTORS, corpus, descriptor, source};
use crate::kit::{Spec, at, data, decoded_keys, key};
use crate::subject::{Subject, schema_text};

/// A source in JSON whose keys are messages of the corpus.
fn keys(mut columns: Vec<Column>) -> Spec {
    columns.push(data("n", DataType::Int64));
    Spec::new("upsert", columns)
        .with("key.format", "protobuf")
        .with("key.protobuf.descriptors", &STANDARD.encode(DESCRIPTORS[0]))
        .with("key.protobuf.message", "corpus.Payment")
}

fn id_and_payee() -> Vec<Column> {
    vec![key("id", DataType::Int64), key("payee", DataType::Utf8)]
}

#[test]
fn what_python_s_protobuf_wrote_is_read_from_keys_as_from_values() {
    for (file, framing) in [
        ("bare.jsonl", "none"),
        ("damaged.jsonl", "none"),
        ("confluent.jsonl", "confluent"),
    ] {
        let values: Vec<_> = corpus::records(file).into_iter().flatten().collect();
        assert!(values.len() > 5, "{file}");
        for (path, data_type) in corpus::COLUMNS {
            let spec = source(1, "corpus.Payment", vec![at("x", path, data_type)]);
            spec.with("protobuf.framing", framing)
                .is_read_alike_from_keys(&values);
        }
    }
}

#[test]
fn a_key_that_cannot_be_read_is_a_dead_letter_that_says_so() {
    let mut payment = DynamicMessage::new(descriptor("corpus.Payment"));
    payment.set_field_by_name("id", Value::I64(7));
    payment.set_field_by_name("payee", Value::String("Ann".to_owned()));
    let good = payment.encode_to_vec();
    let cut = &good[..good.len() - 1];
    // An empty message has the defaults of its fields.
    let all = [
        Some(&*good),
        Some(&[]),
        None,
        Some(cut),
        Some(&[0x0a, 1, b'x']),
    ];
    let (rows, reasons) = decoded_keys(&keys(id_and_payee()), &all);
    assert_eq!(rows, ["create 7 Ann 1", "create 0  1"]);
    assert_eq!(
        reasons,
        [
            "the record has no key, which the columns of the option 'key' are read from",
            "key: invalid Protobuf at byte 3, field 'payee': its length is 3 bytes, and 2 are left",
            "key: invalid Protobuf at byte 0, field 'id': expected a varint, as the schema says, found bytes with their length",
        ]
    );
    let framed = keys(id_and_payee()).with("key.protobuf.framing", "confluent");
    let (_, reasons) = decoded_keys(&framed, &[Some(&[]), Some(b"garbage")]);
    assert_eq!(
        reasons,
        [
            "key: not in Confluent's framing: expected five bytes before the message, found 0",
            "key: not in Confluent's framing: expected the first byte to be 0, found 103",
        ]
    );
    let unread = decoded_keys(&keys(vec![]), &[None, Some(b"garbage")]);
    assert_eq!((unread.0.len(), unread.1.len()), (2, 0));
}

#[test]
fn a_message_of_keys_without_a_column_is_refused() {
    let error = |spec: Spec| spec.decoder().err().unwrap().to_string();
    assert_eq!(
        error(keys(vec![key("ids", DataType::Int64)])),
        "column 'ids' stands for the field 'ids', which 'corpus.Payment' does not have; name another one, or leave the column out"
    );
    let text = error(keys(vec![key("payee", DataType::Boolean)]));
    assert!(
        text.starts_with("column 'payee' has another type than the field 'payee'"),
        "{text}"
    );
    let mut none = keys(id_and_payee());
    none.options.remove("key.protobuf.descriptors");
    let text = error(none);
    assert!(
        text.starts_with("option 'key.protobuf.descriptors' is ''; expected what"),
        "{text}"
    );
    let text = error(keys(id_and_payee()).with("key.protobuf.message", "corpus.Nothing"));
    assert!(
        text.starts_with("option 'key.protobuf.message' is 'corpus.Nothing'; expected"),
        "{text}"
    );
}

const VERSIONS: [&str; 3] = [
    "syntax = \"proto3\"; message K { int64 id = 1; }",
    "syntax = \"proto3\"; message K { sint64 number = 1; optional string payee = 2; }",
    "syntax = \"proto3\"; message K { int64 id = 1; int64 payee = 2; }",
];

fn registered(planned_with: Option<usize>, columns: Vec<Column>) -> Spec {
    let subject = Subject(VERSIONS.iter().map(|text| schema_text(text)).collect());
    let planned = planned_with.map(|version| subject.contract(version));
    let mut spec = keys(columns);
    spec.options.remove("key.protobuf.descriptors");
    spec.options.remove("key.protobuf.message");
    spec.key_contracts = Some((planned, Arc::new(subject)));
    spec
}

fn framed(version: usize, message: &[u8]) -> Vec<u8> {
    let id = Subject::number(version).to_be_bytes();
    [&[0], &id[..], &[0], message].concat()
}

#[test]
fn every_key_is_read_by_the_schema_of_its_writer() {
    let columns = vec![
        Column {
            name: "id".to_owned(),
            ..key("number", DataType::Int64)
        },
        Column {
            nullable: true,
            ..key("payee", DataType::Utf8)
        },
    ];
    let keys = [
        framed(1, &[8, 7]),
        framed(2, b"\x08\x10\x12\x01x"),
        framed(3, &[8, 7, 16, 1]),
        framed(29, &[8, 7]),
        framed(1, &[8]),
    ];
    let keys: Vec<_> = keys.iter().map(|key| Some(&**key)).collect();
    let (rows, reasons) = decoded_keys(&registered(Some(2), columns.clone()), &keys);
    assert_eq!(rows, ["create 7 null 1", "create 8 x 1"]);
    assert_eq!(
        reasons,
        [
            "key: schema 73 ('orders-value' version 3), by which it was written, has an integer in the field 'payee', which column 'payee' is read from; version 2, which the job was planned with, has a string",
            "key: the registry has no schema 99, which stands in front of the record",
            "key: invalid Protobuf at byte 7, field 'id': the message ends within a number, or before it",
        ]
    );
    let options = registered(Some(2), columns).with("key.protobuf.descriptors", "x");
    assert_eq!(
        options.decoder().err().unwrap().to_string(),
        "option 'key.protobuf.descriptors' is 'a descriptor set'; expected no such option beside a registry, which has the schemas"
    );
}

/// What a sink makes of its rows.
struct Written {
    schema: Result<String, Error>,
    keys: Result<Vec<Vec<u8>>, Error>,
}

fn written(options: &[(&str, &str)], contract: Option<&Contract>) -> Written {
    let rows = RecordBatch::try_from_iter_with_nullable([
        ("n", Arc::new(Int64Array::from(vec![1, 2])) as _, false),
        ("id", Arc::new(Int64Array::from(vec![7, 0])) as _, false),
        (
            "payee",
            Arc::new(StringArray::from(vec![Some("Ann"), None])) as _,
            true,
        ),
    ])
    .unwrap();
    let options = options.iter().chain(&[("key.format", "protobuf")]);
    let options: Options = options
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let spec = SinkSpec {
        envelope: "upsert",
        schema: &rows.schema(),
        key: &["payee".to_owned(), "id".to_owned()],
        metadata: None,
        contract: None,
        key_contract: contract,
        options: &options,
    };
    let encoder = Json.encoder(&spec);
    let keys = encoder.map(|encoder| {
        let bound = encoder.bind(&rows, 0).unwrap();
        let key = |row| {
            let (mut key, mut value) = (Vec::new(), Vec::new());
            bound.write_key(row, &mut key);
            assert!(bound.write_value(Change::Insert(row), &mut value));
            assert!(value.starts_with(b"{\"n\":"));
            key
        };
        (0..rows.num_rows()).map(key).collect()
    });
    Written {
        schema: Protobuf.key_contract_schema(&spec, None),
        keys,
    }
}

#[test]
fn a_key_is_written_as_a_message_that_prost_reflect_reads() {
    let descriptors = STANDARD.encode(DESCRIPTORS[0]);
    let options = [
        ("key.protobuf.descriptors", &*descriptors),
        ("key.protobuf.message", "corpus.Payment"),
    ];
    let keys = written(&options, None).keys.unwrap();
    let read = |bytes: &[u8]| DynamicMessage::decode(descriptor("corpus.Payment"), bytes).unwrap();
    let cell = |key: &DynamicMessage, name: &str| key.get_field_by_name(name).unwrap().into_owned();
    let first = read(&keys[0]);
    assert_eq!(cell(&first, "id"), Value::I64(7));
    assert_eq!(cell(&first, "payee"), Value::String("Ann".to_owned()));
    // A message of no bytes would be no key.
    assert_eq!(keys[1], [8, 0]);
}

#[test]
fn a_sink_s_keys_have_a_schema_of_their_own_and_its_number_in_front() {
    let schema = written(&[], None).schema.unwrap();
    assert_eq!(
        schema,
        "syntax = \"proto3\";\nmessage Key {\n  optional string payee = 1;\n  int64 id = 2;\n}\n"
    );
    let named = written(&[("key.protobuf.message", "shop.PaymentKey")], None).schema;
    assert!(
        named
            .unwrap()
            .contains("package shop;\nmessage PaymentKey {")
    );
    let subject = Subject(vec![schema_text(&schema)]);
    let keys = written(&[], Some(&subject.contract(1))).keys.unwrap();
    assert_eq!(keys[0], b"\x00\x00\x00\x00\x47\x00\x0a\x03Ann\x10\x07");
    assert_eq!(keys[1], b"\x00\x00\x00\x00\x47\x00");
    let alone = written(&[], None).keys.err().unwrap().to_string();
    assert!(
        alone.starts_with("option 'key.protobuf.descriptors' is ''"),
        "{alone}"
    );
}

#[test]
fn the_columns_that_a_contract_has_of_a_key_are_its_fields() {
    let contract = Subject(vec![schema_text(VERSIONS[1])]).contract(1);
    let names = ["payee", "number", "other"].map(str::to_owned);
    let columns = Protobuf.key_contract_columns(&contract, &names, &Options::new());
    let payee = Column {
        nullable: true,
        ..key("payee", DataType::Utf8)
    };
    assert_eq!(columns.unwrap(), [key("number", DataType::Int64), payee]);
}
