//! Records that name their schemas, which a registry has, and columns that a contract has.

use std::sync::Arc;

use apache_avro::types::Value as Avro;
use arrow_schema::DataType;
use tidemill_formats::Avro as Format;
use tidemill_types::format::{Column, Format as _, Options};
use tidemill_types::sql_type::{array, map, structure};

use super::{record_of, text, written};
use crate::kit::{Spec, TIMESTAMP, data, reasons, required, shown};
use crate::subject::{Subject, schema_text};

fn record(fields: &str) -> String {
    format!(r#"{{"type": "record", "name": "Order", "fields": [{fields}]}}"#)
}

const ID: &str = r#"{"name": "id", "type": "long"}"#;
const NOTE: &str = r#"{"name": "note", "type": ["null", "string"], "default": null}"#;
const CITY: &str = r#"{"name": "city", "type": "string", "default": "Paris"}"#;
const EXTRA: &str = r#"{"name": "extra", "type": ["null", "long"], "default": null}"#;

pub fn framed(id: u32, avro: &[u8]) -> Vec<u8> {
    [&[0], &id.to_be_bytes()[..], avro].concat()
}

/// A source that is planned with one of some versions.
pub fn of_versions(versions: &[&str], planned_with: usize, columns: Vec<Column>) -> Spec {
    let subject = Subject(
        versions
            .iter()
            .map(|fields| schema_text(&record(fields)))
            .collect(),
    );
    let mut spec = Spec::new("plain", columns).in_format("avro");
    spec.contracts = Some((Some(subject.contract(planned_with)), Arc::new(subject)));
    spec
}

fn columns() -> Vec<Column> {
    vec![
        required(data("id", DataType::Int64)),
        data("note", DataType::Utf8),
        data("city", DataType::Utf8),
    ]
}

/// The record of a version of the subject.
fn of_version(versions: &[&str], version: usize, fields: &[(&str, Avro)]) -> Vec<u8> {
    let avro = written(&record(versions[version - 1]), record_of(fields));
    framed(Subject::number(version), &avro)
}

#[test]
fn every_record_is_read_by_its_own_schema_and_a_new_nullable_field_changes_nothing() {
    let old = ID.to_owned();
    let planned = format!("{ID}, {NOTE}, {CITY}");
    let newer = format!("{EXTRA}, {CITY}, {NOTE}, {ID}");
    let versions = [old.as_str(), &planned, &newer];
    let note = || Avro::Union(1, Box::new(text("hi")));
    let records = [
        of_version(&versions, 1, &[("id", Avro::Long(1))]),
        of_version(
            &versions,
            2,
            &[
                ("id", Avro::Long(2)),
                ("note", note()),
                ("city", text("Rome")),
            ],
        ),
        of_version(
            &versions,
            3,
            &[
                ("extra", Avro::Union(1, Box::new(Avro::Long(9)))),
                ("city", text("Bonn")),
                ("note", note()),
                ("id", Avro::Long(3)),
            ],
        ),
        of_version(&versions, 1, &[("id", Avro::Long(4))]),
    ];
    let records: Vec<_> = records.iter().map(Vec::as_slice).collect();
    let decoded = of_versions(&versions, 2, columns()).decode(&records);
    assert_eq!(reasons(&decoded), [""; 0]);
    assert_eq!(
        shown(&decoded.rows),
        [
            "create 1 null Paris",
            "create 2 hi Rome",
            "create 3 hi Bonn",
            "create 4 null Paris"
        ]
    );
}

#[test]
fn a_field_that_was_removed_or_has_another_type_makes_dead_letters_that_name_it() {
    let planned = format!("{ID}, {NOTE}, {CITY}");
    let removed = format!("{ID}, {NOTE}");
    let retyped = format!(r#"{ID}, {NOTE}, {{"name": "city", "type": "long"}}"#);
    let versions = [planned.as_str(), &removed, &retyped];
    let null = || Avro::Union(0, Box::new(Avro::Null));
    let records = [
        of_version(&versions, 2, &[("id", Avro::Long(2)), ("note", null())]),
        of_version(
            &versions,
            3,
            &[
                ("id", Avro::Long(3)),
                ("note", null()),
                ("city", Avro::Long(7)),
            ],
        ),
        framed(99, &[2]),
        b"{}".to_vec(),
    ];
    let records: Vec<_> = records.iter().map(Vec::as_slice).collect();
    let decoded = of_versions(&versions, 1, columns()).decode(&records);
    assert_eq!(decoded.rows.num_rows(), 0);
    assert_eq!(
        reasons(&decoded),
        [
            "schema 72 ('orders-value' version 2), by which it was written, has no field 'city' any more, which column 'city' is read from; the job was planned with version 1",
            "schema 73 ('orders-value' version 3), by which it was written, has a long in the field 'city', which column 'city' is read from; version 1, which the job was planned with, has a string",
            "the registry has no schema 99, which stands in front of the record",
            "not in Confluent's framing: expected the first byte to be 0, found 123",
        ]
    );
    // A job that does not use the column is not concerned.
    let decoded =
        of_versions(&versions, 1, vec![data("id", DataType::Int64)]).decode(&records[..2]);
    assert_eq!(shown(&decoded.rows), ["create 2", "create 3"]);
}

#[test]
fn an_older_writer_without_a_field_that_has_no_default_makes_a_dead_letter() {
    let planned = format!(r#"{ID}, {{"name": "city", "type": "string"}}"#);
    let versions = [ID, planned.as_str()];
    let old = of_version(&versions, 1, &[("id", Avro::Long(1))]);
    let columns = vec![data("id", DataType::Int64), data("city", DataType::Utf8)];
    let decoded = of_versions(&versions, 2, columns).decode(&[&old]);
    assert_eq!(
        reasons(&decoded),
        [
            "schema 71 ('orders-value' version 1), by which it was written, has no field 'city', which column 'city' is read from, and version 2 has no default for it"
        ]
    );
}

#[test]
fn a_contract_without_a_column_s_field_is_refused() {
    let error = of_versions(&[ID], 1, columns()).decoder().err().unwrap();
    assert_eq!(
        error.to_string(),
        "column 'note' stands for the field 'note', which ''orders-value' version 1 (id 71)' does not have; name another one, or leave the column out"
    );
}

#[test]
fn the_columns_of_a_contract_are_the_fields_of_its_rows() {
    let fields = r#"
        {"name": "id", "type": "long"},
        {"name": "count", "type": "int"},
        {"name": "paid", "type": ["null", "boolean"]},
        {"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 2}},
        {"name": "due", "type": {"type": "int", "logicalType": "date"}},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "rate", "type": ["float", "null"]},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
        {"name": "lines", "type": ["null", {"type": "array", "items": {"type": "record", "name": "Line", "fields": [
            {"name": "sku", "type": "string"},
            {"name": "by", "type": {"type": "map", "values": ["null", "long"]}},
            {"name": "parts", "type": {"type": "array", "items": "Line"}}
        ]}}]},
        {"name": "either", "type": [{"type": "array", "items": "int"}, "string"]},
        {"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["open"]}}"#;
    let subject = Subject(vec![schema_text(&record(fields))]);
    // A record that lies in itself is text there.
    let line = structure([
        ("sku".to_owned(), DataType::Utf8),
        ("by".to_owned(), map(DataType::Int64)),
        ("parts".to_owned(), array(DataType::Utf8)),
    ]);
    let expected = [
        ("id", DataType::Int64, false),
        ("count", DataType::Int32, false),
        ("paid", DataType::Boolean, true),
        ("amount", DataType::Decimal128(18, 2), false),
        ("due", DataType::Date32, false),
        ("at", TIMESTAMP, false),
        ("rate", DataType::Float64, true),
        ("tags", array(DataType::Utf8), false),
        ("lines", array(line), true),
        ("either", DataType::Utf8, false),
        ("state", DataType::Utf8, false),
    ];
    let expected = expected.map(|(name, data_type, nullable)| Column {
        nullable,
        ..data(name, data_type)
    });
    let contract = subject.contract(1);
    let columns = Format
        .contract_columns(&contract, "plain", &Options::new())
        .unwrap();
    assert_eq!(columns, expected);
    let error = Format
        .contract_columns(&contract, "debezium", &Options::new())
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "contract 'orders-value' version 1 (id 71): its records carry no row of the envelope 'debezium'; name another envelope, or the columns"
    );
}
