//! Records, arrays and maps of Avro as structs, arrays and maps of SQL, in both directions.

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as Avro;
use arrow_array::RecordBatch;
use arrow_schema::{DataType, Schema};
use proptest::prelude::*;
use serde_json::json;
use tidemill_formats::Avro as Format;
use tidemill_types::format::{Change, Column, Format as _, Options, SinkSpec};
use tidemill_types::sql_type::{array, map, structure};

use super::super::kit::{Spec, data, reasons};
use super::super::nested::{self, fitting, record, types};
use super::contracts::{framed, of_versions};
use super::{record_of, source, text, written};

const ADDRESS: &str = r#"{"name": "address", "type": ["null", {"type": "record", "name": "Address", "fields": [
    {"name": "street", "type": "string"},
    {"name": "city", "type": ["null", "string"]},
    {"name": "zip", "type": "long"}
]}]}"#;

fn schema(fields: &str) -> String {
    format!(r#"{{"type": "record", "name": "Order", "fields": [{fields}]}}"#)
}

fn address(street: &str, city: Option<&str>, zip: i64) -> Avro {
    let city = city.map_or(Avro::Null, text);
    let city = Avro::Union(u32::from(city != Avro::Null), Box::new(city));
    let address = [
        ("street", text(street)),
        ("city", city),
        ("zip", Avro::Long(zip)),
    ];
    Avro::Union(1, Box::new(record_of(&address)))
}

fn address_column() -> Column {
    let fields = [("zip", DataType::Int32), ("city", DataType::Utf8)];
    data("address", record(&fields))
}

#[test]
fn records_arrays_and_maps_are_columns() {
    let fields = format!(
        r#"{ADDRESS},
        {{"name": "lines", "type": {{"type": "array", "items": ["null", {{"type": "record", "name": "Line", "fields": [
            {{"name": "price", "type": {{"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}}}},
            {{"name": "at", "type": {{"type": "long", "logicalType": "timestamp-micros"}}}}
        ]}}]}}}},
        {{"name": "counts", "type": {{"type": "map", "values": ["null", "int"]}}}}"#
    );
    let schema = schema(&fields);
    let line = [
        ("price", Avro::Decimal(vec![1, 244].into())),
        ("at", Avro::TimestampMicros(1_767_225_600_000_001)),
    ];
    let lines = Avro::Array(vec![
        Avro::Union(1, Box::new(record_of(&line))),
        Avro::Union(0, Box::new(Avro::Null)),
    ]);
    let counts = [("b", Some(2)), ("a", None)].map(|(key, count)| {
        let value = count.map_or(Avro::Null, Avro::Int);
        let value = Avro::Union(u32::from(count.is_some()), Box::new(value));
        (key.to_owned(), value)
    });
    let record_of = |address: Avro, lines: Avro, counts: Avro| {
        let fields = [("address", address), ("lines", lines), ("counts", counts)];
        written(&schema, record_of(&fields))
    };
    let records = [
        record_of(
            address("x", Some("Bonn"), 53_111),
            lines,
            Avro::Map(counts.into()),
        ),
        record_of(
            Avro::Union(0, Box::new(Avro::Null)),
            Avro::Array(Vec::new()),
            Avro::Map([].into()),
        ),
        record_of(
            address("x", None, 1 << 40),
            Avro::Array(Vec::new()),
            Avro::Map([].into()),
        ),
    ];
    let columns = vec![
        address_column(),
        data(
            "lines",
            array(record(&[
                ("at", super::super::kit::TIMESTAMP),
                ("price", DataType::Decimal128(18, 2)),
            ])),
        ),
        data("counts", map(DataType::Int64)),
    ];
    let records: Vec<_> = records.iter().map(Vec::as_slice).collect();
    let decoded = source(&schema, columns).decode(&records);
    assert_eq!(
        nested::written(&decoded.rows),
        [
            r#"{"address":{"zip":53111,"city":"Bonn"},"lines":[{"at":"2026-01-01T00:00:00.000Z","price":"5.00"},null],"counts":{"a":null,"b":2}}"#,
            r#"{"address":null,"lines":[],"counts":{}}"#,
        ]
    );
    assert_eq!(
        reasons(&decoded),
        ["field 'address.zip': expected INT, found 1099511627776 (out of range)"]
    );
}

#[test]
fn a_column_with_a_part_that_the_schema_does_not_have_is_refused() {
    let schema = schema(ADDRESS);
    let town = data("address", record(&[("town", DataType::Utf8)]));
    let error = source(&schema, vec![town]).decoder().err().unwrap();
    assert_eq!(
        error.to_string(),
        "column 'address' stands for the field 'address.town', which 'avro.schema' does not have; name another one, or leave the column out"
    );
}

#[test]
fn parts_of_values_follow_the_contract_as_columns_do() {
    let item = |fields: &str| {
        format!(
            r#"{{"name": "items", "type": {{"type": "array", "items": {{"type": "record", "name": "Item", "fields": [
                {{"name": "sku", "type": "string"}}{fields}
            ]}}}}}}"#
        )
    };
    let planned = item(r#", {"name": "note", "type": ["null", "string"], "default": null}"#);
    let without = item("");
    let retyped = item(r#", {"name": "note", "type": "long"}"#);
    let defaulted = item(r#", {"name": "note", "type": "string", "default": "none"}"#);
    let items = |fields: &[(&str, Avro)]| Avro::Array(vec![record_of(fields)]);
    let columns = || {
        let fields = [("sku", DataType::Utf8), ("note", DataType::Utf8)];
        vec![data("items", array(record(&fields)))]
    };
    let decode = |versions: &[&str], planned_with, version: usize, of: &[(&str, Avro)]| {
        let avro = written(
            &schema(versions[version - 1]),
            record_of(&[("items", items(of))]),
        );
        let record = framed(70 + u32::try_from(version).unwrap(), &avro);
        let decoded = of_versions(versions, planned_with, columns()).decode(&[&record]);
        let reasons = reasons(&decoded).into_iter().map(str::to_owned);
        (nested::written(&decoded.rows), reasons.collect::<Vec<_>>())
    };
    let sku = [("sku", text("a"))];
    let row = r#"{"items":[{"sku":"a","note":null}]}"#.to_owned();
    assert_eq!(
        decode(&[&without, &planned], 2, 1, &sku),
        (vec![row], vec![])
    );
    let (rows, reasons) = decode(&[&planned, &without], 1, 2, &sku);
    assert!(rows.is_empty());
    assert!(
        reasons[0].contains("has no field 'items[].note' any more"),
        "{reasons:?}"
    );
    let with = [("sku", text("a")), ("note", Avro::Long(1))];
    let (_, reasons) = decode(&[&planned, &retyped], 1, 2, &with);
    assert!(
        reasons[0].contains("has a long in the field 'items[].note'"),
        "{reasons:?}"
    );
    let (_, reasons) = decode(&[&without, &defaulted], 2, 1, &sku);
    assert!(
        reasons[0].contains("a default is not put into a value"),
        "{reasons:?}"
    );
}

fn sink<'a>(schema: &'a Schema, options: &'a Options) -> SinkSpec<'a> {
    SinkSpec {
        envelope: "plain",
        schema,
        key: &[],
        metadata: None,
        contract: None,
        key_contract: None,
        options,
    }
}

#[test]
fn the_records_in_a_derived_schema_are_named_by_their_place() {
    let geo = structure([("x".to_owned(), DataType::Float64)]);
    let item = structure([("geo".to_owned(), geo.clone())]);
    let schema = Schema::new(vec![
        arrow_schema::Field::new("geo", geo, false),
        arrow_schema::Field::new("items", array(item), true),
        arrow_schema::Field::new("counts", map(DataType::Int64), false),
    ]);
    let options = Options::from([("avro.name".to_owned(), "shop.order".to_owned())]);
    let derived = Format
        .contract_schema(&sink(&schema, &options), None)
        .unwrap();
    let geo = |name: &str| json!({"type": "record", "name": name, "fields": [{"name": "x", "type": ["null", "double"], "default": null}]});
    let item = json!({"type": "record", "name": "shop.order.items", "fields": [
        {"name": "geo", "type": ["null", geo("shop.order.items.geo")], "default": null}
    ]});
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&derived).unwrap(),
        json!({"type": "record", "name": "shop.order", "fields": [
            {"name": "geo", "type": geo("shop.order.geo")},
            {"name": "items", "type": ["null", {"type": "array", "items": ["null", item]}], "default": null},
            {"name": "counts", "type": {"type": "map", "values": ["null", "long"]}}
        ]})
    );
    apache_avro::Schema::parse_str(&derived).unwrap();
    let wrong = structure([("due on".to_owned(), DataType::Date32)]);
    let schema = Schema::new(vec![arrow_schema::Field::new("x", wrong, true)]);
    let error = Format
        .contract_schema(&sink(&schema, &options), None)
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("column 'due on' has a name that the format 'avro' cannot carry")
    );
}

/// The rows without the columns that are not declared.
fn declared(rows: &RecordBatch) -> RecordBatch {
    rows.project(&[0]).unwrap()
}

proptest! {
    #[test]
    fn random_values_of_random_types_are_read_back_as_they_were(
        (of, values) in types().prop_flat_map(|of| {
            let values = prop::collection::vec(fitting(&of), 1..6);
            (Just(of), values)
        })
    ) {
        let columns = || vec![data("x", of.clone())];
        let records: Vec<_> = values.iter().map(|value| json!({"x": value}).to_string()).collect();
        let records: Vec<_> = records.iter().map(String::as_str).collect();
        let rows = declared(&nested::decode(&Spec::new("plain", columns()), &records).rows);
        let (schema, options) = (rows.schema(), Options::new());
        let spec = sink(&schema, &options);
        let derived = Format.contract_schema(&spec, None).unwrap();
        let encoder = Format.encoder(&spec).unwrap();
        let bound = encoder.bind(&rows, 0).unwrap();
        let avro: Vec<Vec<u8>> = (0..rows.num_rows()).map(|row| {
            let mut out = Vec::new();
            assert!(bound.write_value(Change::Insert(row), &mut out));
            out
        }).collect();
        let records: Vec<_> = avro.iter().map(Vec::as_slice).collect();
        let decoded = source(&derived, columns()).decode(&records);
        prop_assert_eq!(reasons(&decoded), [""; 0]);
        prop_assert_eq!(nested::written(&decoded.rows), nested::written(&rows));
        let parsed = apache_avro::Schema::parse_str(&derived).unwrap();
        for mut record in records {
            let reader = GenericDatumReader::builder(&parsed).build().unwrap();
            let value = reader.read_value(&mut record).unwrap();
            prop_assert!(value.validate(&parsed) && record.is_empty());
        }
    }
}
