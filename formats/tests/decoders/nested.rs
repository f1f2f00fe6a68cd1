//! Structs, arrays and maps from JSON: each value against a slow reading of the same text, and what is said of the ones that do not fit.
//!
//! Catches: a value read as another, in another place, or left over from a record that failed; entries of maps out of order; a reason without
//! the way to its value. Cannot catch: what the scalar types themselves get wrong (`properties` and `dead_letters` have those).

use arrow_array::RecordBatch;
use arrow_schema::DataType;
use proptest::prelude::*;
use serde_json::{Value, json};
use tidemill_formats::Json;
use tidemill_types::format::{Change, Decoded, Format, Options, SinkSpec};
use tidemill_types::sql_type::{array, map, structure};

use super::kit::{Spec, TIMESTAMP, data, key, reasons, required, shown};

pub fn record(fields: &[(&str, DataType)]) -> DataType {
    let fields = fields.iter();
    structure(fields.map(|(name, of)| ((*name).to_owned(), of.clone())))
}

/// `STRUCT<city VARCHAR, zip INT>`.
fn address() -> DataType {
    record(&[("city", DataType::Utf8), ("zip", DataType::Int32)])
}

/// `ARRAY<STRUCT<name VARCHAR, price DECIMAL(18, 2)>>`.
fn items() -> DataType {
    array(record(&[
        ("name", DataType::Utf8),
        ("price", DataType::Decimal128(18, 2)),
    ]))
}

fn columns() -> Spec {
    Spec::new(
        "plain",
        vec![
            data("address", address()),
            data("items", items()),
            data("counts", map(DataType::Int64)),
        ],
    )
}

pub fn decode(spec: &Spec, values: &[&str]) -> Decoded {
    let values: Vec<_> = values.iter().map(|value| value.as_bytes()).collect();
    spec.decode(&values)
}

/// The rows as the JSON sink writes them, without the columns that are not declared.
pub fn written(rows: &RecordBatch) -> Vec<String> {
    let schema = rows.schema();
    let declared = schema.fields().iter().enumerate();
    let declared: Vec<_> = declared
        .filter(|(_, field)| !field.name().starts_with("__"))
        .map(|(i, _)| i)
        .collect();
    let rows = rows.project(&declared).unwrap();
    let encoder = Json.encoder(&SinkSpec {
        envelope: "plain",
        schema: &rows.schema(),
        key: &[],
        metadata: None,
        contract: None,
        key_contract: None,
        options: &Options::new(),
    });
    let encoder = encoder.unwrap();
    let bound = encoder.bind(&rows, 0).unwrap();
    let text = |row| {
        let mut out = Vec::new();
        assert!(bound.write_value(Change::Insert(row), &mut out));
        String::from_utf8(out).unwrap()
    };
    (0..rows.num_rows()).map(text).collect()
}

#[test]
fn values_lie_in_values_as_deep_as_the_type_says() {
    let records = [
        r#"{"address": {"zip": 53111, "city": "Bonn", "street": [1]}, "items": [{"name": "a", "price": "1.50"}, null, {}], "counts": {"b": 2, "a": null}}"#,
        r#"{"address": null, "items": [], "counts": {}}"#,
        r#"{"address": {}}"#,
    ];
    let decoded = decode(&columns(), &records);
    assert_eq!(reasons(&decoded), [""; 0]);
    assert_eq!(
        written(&decoded.rows),
        [
            r#"{"address":{"city":"Bonn","zip":53111},"items":[{"name":"a","price":"1.50"},null,{"name":null,"price":null}],"counts":{"a":null,"b":2}}"#,
            r#"{"address":null,"items":[],"counts":{}}"#,
            r#"{"address":{"city":null,"zip":null},"items":null,"counts":null}"#,
        ]
    );
}

#[test]
fn of_members_with_one_name_the_last_one_counts() {
    let record = r#"{"address": {"city": "Bonn", "zip": 1, "city": "Ulm"}, "counts": {"b": 1, "a": 2, "b": 3, "\u0061": 4}}"#;
    let decoded = decode(&columns(), &[record]);
    assert_eq!(
        written(&decoded.rows),
        [r#"{"address":{"city":"Ulm","zip":1},"items":null,"counts":{"a":4,"b":3}}"#]
    );
}

#[test]
fn a_reason_names_the_way_to_the_value_at_fault() {
    let cases = [
        (
            r#"{"address": "Bonn"}"#,
            r#"field 'address': expected STRUCT<city VARCHAR, zip INT>, found "Bonn""#,
        ),
        (
            r#"{"address": ["Bonn"]}"#,
            r#"field 'address': expected STRUCT<city VARCHAR, zip INT>, found ["Bonn"]"#,
        ),
        (
            r#"{"address": {"zip": 3000000000}}"#,
            "field 'address.zip': expected INT, found 3000000000 (out of range)",
        ),
        (
            r#"{"items": {"name": "a"}}"#,
            r#"field 'items': expected ARRAY<STRUCT<name VARCHAR, price DECIMAL(18, 2)>>, found {"name": "a"}"#,
        ),
        (
            r#"{"items": [{"price": 1}, {"price": 2}, {"price": "x"}]}"#,
            r#"field 'items[3].price': expected DECIMAL(18, 2), found "x" (not in its text form)"#,
        ),
        (
            r#"{"items": [{"price": 1.234}]}"#,
            "field 'items[1].price': expected DECIMAL(18, 2), found 1.234 (more fractional digits than the scale)",
        ),
        (
            r#"{"items": [null, 7]}"#,
            "field 'items[2]': expected STRUCT<name VARCHAR, price DECIMAL(18, 2)>, found 7",
        ),
        (
            r#"{"counts": [1]}"#,
            "field 'counts': expected MAP<VARCHAR, BIGINT>, found [1]",
        ),
        (
            r#"{"counts": {"a": 1, "b": "two"}}"#,
            r#"field 'counts.b': expected BIGINT, found "two""#,
        ),
        (
            r#"{"counts": {"\ud800": 1}}"#,
            r#"field 'counts': expected MAP<VARCHAR, BIGINT>, found {"\ud800": 1} (not in its text form)"#,
        ),
    ];
    for (record, reason) in cases {
        assert_eq!(
            reasons(&decode(&columns(), &[record])),
            [reason],
            "{record}"
        );
    }
}

#[test]
fn a_record_that_fails_midway_leaves_nothing_behind() {
    let good = r#"{"address": {"city": "Bonn"}, "items": [{"name": "a"}], "counts": {"a": 1}}"#;
    let bad = [
        r#"{"address": {"city": "Ulm", "zip": "x"}, "items": [{"name": "b"}], "counts": {"b": 2}}"#,
        r#"{"address": {"city": "Ulm"}, "items": [{"name": "b"}, {"name": 1}], "counts": {"b": 2}}"#,
        r#"{"address": {"city": "Ulm"}, "items": [{"name": "b"}], "counts": {"b": 2, "c": "x"}}"#,
    ];
    let mut records = vec![good];
    records.extend(bad.iter().flat_map(|bad| [*bad, good]));
    let decoded = decode(&columns(), &records);
    assert_eq!(decoded.dead_letters.len(), 3);
    let row = r#"{"address":{"city":"Bonn","zip":null},"items":[{"name":"a","price":null}],"counts":{"a":1}}"#;
    assert_eq!(written(&decoded.rows), [row; 4]);
}

#[test]
fn a_column_that_is_never_null_may_have_nulls_in_its_values() {
    let spec = Spec::new(
        "plain",
        vec![required(data("counts", map(DataType::Int64)))],
    );
    let decoded = decode(&spec, &[r#"{"counts": {"a": null}}"#, "{}"]);
    assert_eq!(written(&decoded.rows), [r#"{"counts":{"a":null}}"#]);
    assert_eq!(
        reasons(&decoded),
        ["field 'counts': expected MAP<VARCHAR, BIGINT> NOT NULL, found nothing"]
    );
}

#[test]
fn options_hold_for_the_values_in_values() {
    let fields = record(&[
        ("at", TIMESTAMP),
        ("on", DataType::Date32),
        ("sum", DataType::Decimal128(9, 2)),
    ]);
    let spec = Spec::new("plain", vec![data("list", array(fields))]);
    let spec = spec
        .with("timestamps", "microseconds")
        .with("dates", "days")
        .with("decimals", "base64");
    let decoded = decode(
        &spec,
        &[r#"{"list": [{"at": 1767225600000001, "on": 1, "sum": "AfQ="}]}"#],
    );
    assert_eq!(
        written(&decoded.rows),
        [r#"{"list":[{"at":"2026-01-01T00:00:00.000Z","on":"1970-01-02","sum":"5.00"}]}"#]
    );
}

#[test]
fn a_schema_in_the_records_holds_for_the_values_in_values() {
    let micros = r#"{"type": "int64", "name": "io.debezium.time.MicroTimestamp", "field": "at"}"#;
    let schema = format!(
        r#"{{"type": "struct", "fields": [
            {{"type": "array", "field": "list", "items": {{"type": "struct", "fields": [{micros}]}}}},
            {{"type": "map", "field": "by", "values": {micros}}}
        ]}}"#
    );
    let spec = Spec::new(
        "plain",
        vec![
            data("list", array(record(&[("at", TIMESTAMP)]))),
            data("by", map(TIMESTAMP)),
        ],
    );
    let spec = spec.with("connect.schema", "true");
    let payload = r#"{"list": [{"at": 1767225600000001}], "by": {"x": 1767225600000001}}"#;
    let wrapped = format!(r#"{{"schema": {schema}, "payload": {payload}}}"#);
    let decoded = decode(&spec, &[&wrapped, &wrapped]);
    let row =
        r#"{"list":[{"at":"2026-01-01T00:00:00.000Z"}],"by":{"x":"2026-01-01T00:00:00.000Z"}}"#;
    assert_eq!(written(&decoded.rows), [row; 2]);
}

#[test]
fn an_array_that_a_database_left_out_is_a_dead_letter() {
    let columns = vec![
        data("tags", array(DataType::Utf8)),
        data("sizes", array(DataType::Int64)),
        data("labels", map(DataType::Utf8)),
    ];
    let spec = Spec::new("debezium", columns);
    let left_out = "__debezium_unavailable_value";
    let of = |state: Value| json!({"op": "u", "source": {"ts_ms": 1}, "after": state}).to_string();
    let records = [
        of(json!({"tags": [left_out]})),
        of(json!({"sizes": left_out.as_bytes()})),
        of(json!({"labels": {left_out: left_out}})),
        of(json!({"tags": ["a"], "sizes": [95], "labels": {"b": "c"}})),
    ];
    let decoded = decode(&spec, &records.each_ref().map(String::as_str));
    let reason = |field| {
        format!(
            "field '{field}': the database left its value out, which the update did not change; set REPLICA IDENTITY FULL for the table, or do \
             not read the column"
        )
    };
    assert_eq!(reasons(&decoded), ["tags", "sizes", "labels"].map(reason));
    assert_eq!(decoded.rows.num_rows(), 1);
}

#[test]
fn keys_and_flat_encodings_have_no_values_in_values() {
    let refused = |spec: Spec| spec.decoder().err().unwrap().to_string();
    let spec = Spec::new("plain", vec![data("tags", array(DataType::Int32))]);
    for format in ["csv", "raw"] {
        assert_eq!(
            refused(spec.clone().in_format(format).with("csv.columns", "tags")),
            format!(
                "column 'tags' has type ARRAY<INT>, and the format '{format}' has no values within values; choose 'json' or 'avro', or a \
                 column for each of the values in it"
            )
        );
    }
    assert_eq!(
        refused(Spec::new("upsert", vec![key("id", address())])),
        "column 'id' has type STRUCT<city VARCHAR, zip INT>, which no key has; leave it out of the option 'key', or name a value in it"
    );
}

/// What lies in the values of the random columns.
fn scalars() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(|number| json!(number)),
        "[a-c]{0,2}".prop_map(Value::String),
        any::<bool>().prop_map(Value::Bool),
    ]
}

/// A value that fits some of the random columns, or none.
fn values() -> impl Strategy<Value = Value> {
    scalars().prop_recursive(4, 24, 4, |inner| {
        let members = prop::collection::vec(("[a-c]", inner.clone()), 0..4);
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Value::Array),
            members.prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// A type with others in it, three deep.
pub fn types() -> impl Strategy<Value = DataType> {
    let leaf = prop_oneof![
        Just(DataType::Int64),
        Just(DataType::Utf8),
        Just(DataType::Boolean)
    ];
    let nested = leaf.prop_recursive(3, 8, 3, |inner| {
        let fields = prop::collection::vec(inner.clone(), 1..=3);
        prop_oneof![
            inner.clone().prop_map(array),
            inner.prop_map(map),
            fields.prop_map(|of| structure(["a", "b", "c"].map(str::to_owned).into_iter().zip(of))),
        ]
    });
    nested.prop_filter("a type with others in it", DataType::is_nested)
}

/// A value that fits a type, or almost.
pub fn fitting(of: &DataType) -> BoxedStrategy<Value> {
    let right = match of {
        DataType::Int64 => any::<i64>().prop_map(|number| json!(number)).boxed(),
        DataType::Utf8 => "\\PC{0,3}".prop_map(Value::String).boxed(),
        DataType::Boolean => any::<bool>().prop_map(Value::Bool).boxed(),
        DataType::List(element) => prop::collection::vec(fitting(element.data_type()), 0..4)
            .prop_map(Value::Array)
            .boxed(),
        DataType::Struct(fields) => {
            let fields: Vec<_> = fields.iter().collect();
            let values: Vec<_> = fields.iter().map(|of| fitting(of.data_type())).collect();
            let names: Vec<_> = fields.iter().map(|of| of.name().clone()).collect();
            let members = move |values: Vec<Value>| names.iter().cloned().zip(values).collect();
            values
                .prop_map(move |values| Value::Object(members(values)))
                .boxed()
        }
        other => {
            let value = fitting(tidemill_types::sql_type::map_value(other).unwrap());
            let members = prop::collection::vec(("\\PC{0,2}", value), 0..4);
            members
                .prop_map(|members| Value::Object(members.into_iter().collect()))
                .boxed()
        }
    };
    prop_oneof![40 => right, 1 => Just(Value::Null), 1 => values()].boxed()
}

/// What a value is in a column, slowly; none if it does not fit.
fn oracle(value: &Value, of: &DataType) -> Option<Value> {
    if value.is_null() {
        return Some(Value::Null);
    }
    match of {
        DataType::Int64 => value.as_i64().map(|number| json!(number)),
        DataType::Utf8 => value.as_str().map(|text| json!(text)),
        DataType::Boolean => value.as_bool().map(Value::Bool),
        DataType::List(element) => {
            let items = value.as_array()?.iter();
            items
                .map(|item| oracle(item, element.data_type()))
                .collect()
        }
        DataType::Struct(fields) => {
            let members = value.as_object()?;
            let fields = fields.iter().map(|field| {
                let value = members.get(field.name()).unwrap_or(&Value::Null);
                Some((field.name().clone(), oracle(value, field.data_type())?))
            });
            fields.collect::<Option<_>>().map(Value::Object)
        }
        other => {
            let value_type = tidemill_types::sql_type::map_value(other)?;
            let members = value.as_object()?.iter();
            let members = members.map(|(key, of)| Some((key.clone(), oracle(of, value_type)?)));
            members.collect::<Option<_>>().map(Value::Object)
        }
    }
}

proptest! {
    #[test]
    fn random_values_of_random_types_are_read_and_written_as_a_slow_reader_says(
        (of, values) in types().prop_flat_map(|of| {
            let values = prop::collection::vec(fitting(&of), 1..6);
            (Just(of), values)
        })
    ) {
        let spec = Spec::new("plain", vec![data("x", of.clone())]);
        let records: Vec<String> = values.iter().map(|value| json!({"x": value}).to_string()).collect();
        let records: Vec<&str> = records.iter().map(String::as_str).collect();
        let decoded = decode(&spec, &records);
        let expected: Vec<_> = values.iter().map(|value| oracle(value, &of)).collect();
        let rows: Vec<_> = expected.iter().flatten().map(|x| json!({"x": x})).collect();
        let written = written(&decoded.rows);
        let read: Vec<Value> = written.iter().map(|row| serde_json::from_str(row).unwrap()).collect();
        prop_assert_eq!(read, rows);
        let bad = expected.iter().filter(|value| value.is_none()).count();
        prop_assert_eq!(decoded.dead_letters.len(), bad);
        prop_assert_eq!(shown(&decoded.rows).len() + bad, values.len());
    }
}
