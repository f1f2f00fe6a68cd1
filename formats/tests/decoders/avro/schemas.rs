//! What schemas can say: envelopes, Kafka Connect's names, unions, types within themselves; and what is refused while planning.

use apache_avro::types::Value as Avro;
use arrow_schema::DataType;

use super::super::kit::{
    Spec, TIMESTAMP, at, data, decode, key, keyed, metadata, reasons, required, shown,
};
use super::{record_of, source, text, written};

const ROW: &str = r#"{"type": "record", "name": "Row", "fields": [
    {"name": "id", "type": "long"}, {"name": "name", "type": ["null", "string"]}]}"#;

fn null() -> Avro {
    Avro::Union(0, Box::new(Avro::Null))
}

#[test]
fn an_upsert_is_a_row_or_the_end_of_its_key() {
    let columns = vec![key("k", DataType::Int64), data("name", DataType::Utf8)];
    let spec = Spec {
        envelope: "upsert",
        ..source(ROW, columns)
    };
    let name = Avro::Union(1, Box::new(text("x")));
    let row = written(ROW, record_of(&[("id", Avro::Long(7)), ("name", name)]));
    let records = keyed(&[
        (Some(b"7"), Some(&row)),
        (Some(b"7"), None),
        (Some(b"8"), Some(b"")),
    ]);
    let decoded = decode(&mut *spec.decoder().unwrap(), &records);
    assert_eq!(shown(&decoded.rows), ["create 7 x", "delete 7 null"]);
    assert_eq!(
        reasons(&decoded),
        ["invalid Avro at byte 0, field 'id': truncated: the record ends within a number"]
    );
}

#[test]
fn an_event_of_crud_has_its_state_in_a_record_that_may_be_null() {
    let schema = r#"{"type": "record", "name": "Event", "fields": [
        {"name": "uuid", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "type", "type": {"type": "enum", "name": "Op", "symbols": ["create", "delete"]}},
        {"name": "ts", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "entity", "type": "string"}, {"name": "id", "type": "int"},
        {"name": "data", "type": ["null", "long", {"type": "record", "name": "Row", "fields": [{"name": "a", "type": "double"}]}]}]}"#;
    let event = |op: u32, data: Avro| {
        let name = ["create", "delete"][op as usize];
        let uuid = "0190f3a1-7b2c-7def-8123-456789abcdef".parse().unwrap();
        let fields = [
            ("uuid", Avro::Uuid(uuid)),
            ("type", Avro::Enum(op, name.to_owned())),
            ("ts", Avro::TimestampMicros(1_767_225_600_123_456)),
            ("entity", text("payment")),
            ("id", Avro::Int(42)),
            ("data", data),
        ];
        written(schema, record_of(&fields))
    };
    let state = Avro::Union(2, Box::new(record_of(&[("a", Avro::Double(0.5))])));
    let number = Avro::Union(1, Box::new(Avro::Long(1)));
    let columns = vec![
        data("id", DataType::Int64),
        data("a", DataType::Float64),
        metadata("ts", TIMESTAMP),
    ];
    let spec = Spec {
        envelope: "crud",
        ..source(schema, columns)
    };
    let decoded = spec.decode(&[
        &event(0, state),
        &event(1, null()),
        &event(0, null()),
        &event(0, number),
    ]);
    assert_eq!(
        shown(&decoded.rows),
        [
            "create 42 0.5 2026-01-01T00:00:00.123",
            "delete 42 null 2026-01-01T00:00:00.123"
        ]
    );
    assert_eq!(
        reasons(&decoded),
        [
            "create without 'data': no state in the event and no lookup is configured",
            "envelope member 'data': expected an object, found a number"
        ]
    );
}

#[test]
fn a_schema_that_does_not_fit_is_refused_while_planning() {
    let error = |schema: &str| {
        let spec = source(schema, vec![data("a", DataType::Int64)]);
        spec.decoder().err().unwrap().to_string()
    };
    let cases = [
        (
            "",
            "option 'avro.schema' is ''; expected the schema that the records were written by, in JSON",
        ),
        (
            r#""long""#,
            r#"is '"long"'; expected the schema of a record"#,
        ),
        (
            r#"["null", "what"]"#,
            "expected an Avro schema in JSON: there is no type 'what'",
        ),
        ("{", "expected an Avro schema in JSON: EOF while parsing"),
        (
            ROW,
            "column 'a' stands for the field 'a', which 'avro.schema' does not have",
        ),
        (
            r#"{"type": "record", "name": "R"}"#,
            "a record without 'fields'",
        ),
        (r#"[["null"]]"#, "a union lies directly in a union"),
    ];
    for (schema, expected) in cases {
        let error = error(schema);
        assert!(error.contains(expected), "{schema}: {error}");
    }
    let framed = source(ROW, vec![]).with("avro.framing", "other");
    assert_eq!(
        framed.decoder().err().unwrap().to_string(),
        "option 'avro.framing' is 'other'; expected 'none' or 'confluent'"
    );
}

#[test]
fn what_kafka_connect_says_of_types_without_a_name_counts() {
    let schema = r#"{"type": "record", "name": "R", "fields": [
        {"name": "d", "type": {"type": "int", "connect.name": "io.debezium.time.Date"}},
        {"name": "n", "type": {"type": "long", "connect.name": "io.debezium.time.NanoTimestamp"}},
        {"name": "m", "type": {"type": "bytes", "connect.name": "org.apache.kafka.connect.data.Decimal",
            "connect.parameters": {"scale": "1"}}},
        {"name": "v", "type": {"type": "record", "name": "VariableScaleDecimal", "namespace": "io.debezium.data",
            "connect.name": "io.debezium.data.VariableScaleDecimal",
            "fields": [{"name": "scale", "type": "int"}, {"name": "value", "type": "bytes"}]}}]}"#;
    let variable = record_of(&[
        ("scale", Avro::Int(3)),
        ("value", Avro::Bytes(vec![0x04, 0xd2])),
    ]);
    let fields = [
        ("d", Avro::Int(20_484)),
        ("n", Avro::Long(1_767_225_600_123_456_789)),
        ("m", Avro::Bytes(vec![0xff, 0x38])),
        ("v", variable),
    ];
    let columns = vec![
        data("d", DataType::Date32),
        data("n", TIMESTAMP),
        data("m", DataType::Decimal128(10, 2)),
        data("v", DataType::Decimal128(10, 3)),
    ];
    let decoded = source(schema, columns).decode(&[&written(schema, record_of(&fields))]);
    assert_eq!(
        shown(&decoded.rows),
        ["create 2026-01-31 2026-01-01T00:00:00.123 -20.00 1.234"]
    );
}

#[test]
fn what_a_number_without_a_meaning_counts_the_options_say() {
    let schema = r#"{"type": "record", "name": "R", "fields": [{"name": "d", "type": "int"}, {"name": "t", "type": "long"}]}"#;
    let fields = [("d", Avro::Int(1)), ("t", Avro::Long(1_500_000))];
    let record = written(schema, record_of(&fields));
    let columns = vec![data("d", DataType::Date32), data("t", TIMESTAMP)];
    let spec = source(schema, columns).with("timestamps", "microseconds");
    assert_eq!(
        reasons(&spec.decode(&[&record])),
        ["field 'd': expected DATE, found 1"]
    );
    assert_eq!(
        shown(&spec.with("dates", "days").decode(&[&record]).rows),
        ["create 1970-01-02 1970-01-01T00:00:01.500"]
    );
}

#[test]
fn a_member_of_several_records_of_a_union_is_found_in_each() {
    let schema = r#"{"type": "record", "name": "n.R", "fields": [{"name": "of", "type": [
        {"type": "record", "name": "A", "fields": [{"name": "x", "type": "long"}]},
        {"type": "record", "name": "B", "fields": [{"name": "y", "type": "string"}, {"name": "x", "type": "int"}]},
        "null", "string"]},
        {"name": "last", "type": ["n.A", "null"]}]}"#;
    let a = |x| record_of(&[("x", Avro::Long(x))]);
    let of = |branch, value| {
        let last = Avro::Union(0, Box::new(a(9)));
        let of = Avro::Union(branch, Box::new(value));
        written(schema, record_of(&[("of", of), ("last", last)]))
    };
    let columns = vec![
        at("x", "of.x", DataType::Int64),
        required(at("last", "last.x", DataType::Int64)),
    ];
    let b = record_of(&[("y", text("…")), ("x", Avro::Int(2))]);
    let decoded = source(schema, columns).decode(&[
        &of(0, a(1)),
        &of(1, b),
        &of(2, Avro::Null),
        &of(3, text("x")),
    ]);
    assert_eq!(
        shown(&decoded.rows),
        ["create 1 9", "create 2 9", "create null 9", "create null 9"]
    );
}

#[test]
fn a_value_within_itself_is_followed_to_a_depth() {
    let schema = r#"{"type": "record", "name": "L", "fields": [
        {"name": "v", "type": "int"}, {"name": "next", "type": ["null", "L"]}]}"#;
    let list = |length: usize| {
        let mut bytes = [0, 2].repeat(length);
        bytes.extend([0, 0]);
        bytes
    };
    let columns = vec![
        data("v", DataType::Int64),
        at("third", "next.next.v", DataType::Int32),
    ];
    let decoded = source(schema, columns).decode(&[&list(0), &list(2), &list(100_000)]);
    assert_eq!(shown(&decoded.rows), ["create 0 null", "create 0 0"]);
    assert!(reasons(&decoded)[0].ends_with("values lie in each other deeper than 64"));
    let whole = source(schema, vec![data("next", DataType::Utf8)]);
    let decoded = whole.decode(&[&list(1), &list(100_000)]);
    assert_eq!(shown(&decoded.rows), [r#"create {"v":0,"next":null}"#]);
    assert_eq!(reasons(&decoded).len(), 1);
}

#[test]
fn items_without_bytes_are_no_more_than_the_record_has() {
    let schema = r#"{"type": "record", "name": "R", "fields": [
        {"name": "a", "type": {"type": "array", "items": {"type": "array", "items": "null"}}}]}"#;
    let spec = source(schema, vec![data("a", DataType::Utf8)]);
    // One array of two nulls; then twenty of thirty each, in a record of 42 bytes.
    let good = [2, 4, 0, 0];
    let mut bad = vec![40];
    bad.extend([60, 0].repeat(20));
    bad.push(0);
    let decoded = spec.decode(&[&good, &bad]);
    assert_eq!(shown(&decoded.rows), ["create [[null,null]]"]);
    assert!(reasons(&decoded)[0].contains("a block of 30 items, more than the record has bytes"));
}

#[test]
fn records_without_bytes_in_each_other_are_no_work_without_end() {
    let mut within = r#"{"type": "record", "name": "R0", "fields": []}"#.to_owned();
    for level in 1..30 {
        let before = level - 1;
        within = format!(
            r#"{{"type": "record", "name": "R{level}", "fields": [{{"name": "x", "type": {within}}}, {{"name": "y", "type": "R{before}"}}]}}"#
        );
    }
    let schema = format!(
        r#"{{"type": "record", "name": "R", "fields": [{{"name": "a", "type": {within}}}, {{"name": "b", "type": "long"}}]}}"#
    );
    for column in ["a", "b"] {
        let decoded = source(&schema, vec![data(column, DataType::Utf8)]).decode(&[&[2]]);
        assert!(reasons(&decoded)[0].contains("more values than a record of so many bytes has"));
    }
}
