//! Change events of databases, with and without their schema.

use arrow_schema::DataType;
use tidemill_types::format::Column;

use super::kit::{
    Spec, TIMESTAMP, at, data, decode, keyed, metadata, reasons, records, required, shown,
};

fn columns() -> Vec<Column> {
    vec![
        data("id", DataType::Int64),
        data("amount", DataType::Decimal128(18, 2)),
    ]
}

fn event(op: &str, before: &str, after: &str) -> String {
    format!(
        r#"{{"before":{before},"after":{after},"source":{{"ts_ms":1767225600123,"lsn":7}},"op":"{op}","ts_ms":1767225600200}}"#
    )
}

#[test]
fn each_operation_takes_the_state_that_it_has() {
    let (old, new) = (r#"{"id":1,"amount":"1.00"}"#, r#"{"id":1,"amount":"2.50"}"#);
    let events = [
        event("r", "null", old),
        event("c", "null", old),
        event("u", old, new),
        event("u", "null", new),
        event("d", new, "null"),
        event("d", "null", "null"),
        event("m", "null", "null"),
    ];
    let values: Vec<_> = events.iter().map(String::as_bytes).collect();
    let decoded = Spec::new("debezium", columns()).decode(&values);
    assert_eq!(
        shown(&decoded.rows),
        [
            "create 1 1.00",
            "create 1 1.00",
            "update 1 2.50",
            "update 1 2.50",
            "delete 1 2.50",
            "delete null null"
        ]
    );
    assert_eq!((decoded.ignored, decoded.dead_letters.len()), (1, 0));
    assert_eq!(
        decoded.event_time.map(|time| time.max_ms),
        Some(1_767_225_600_123)
    );
}

#[test]
fn a_tombstone_after_a_delete_changes_nothing() {
    let mut decoder = Spec::new("debezium", columns()).decoder().unwrap();
    let decoded = decode(&mut *decoder, &keyed(&[(Some(b"{\"id\":1}"), None)]));
    assert_eq!((decoded.rows.num_rows(), decoded.ignored), (0, 1));
}

#[test]
fn what_is_no_change_of_a_row_is_a_dead_letter() {
    let events = [
        event("t", "null", "null"),
        event("x", "null", "null"),
        event("u", "null", "null"),
        event("c", "null", "[]"),
        r#"{"id":1}"#.to_owned(),
    ];
    let values: Vec<_> = events.iter().map(String::as_bytes).collect();
    let decoded = Spec::new("debezium", columns()).decode(&values);
    assert_eq!(
        reasons(&decoded),
        [
            "the table was truncated (op 't'): delete its rows by events, or load it again",
            "envelope member 'op': expected c, r, u or d, found \"x\"",
            "the envelope has no 'after'",
            "envelope member 'after': expected an object, found an array",
            "the envelope has no 'op'",
        ]
    );
}

#[test]
fn the_source_is_metadata_by_its_path() {
    let columns = vec![
        metadata("op", DataType::Utf8),
        metadata("ts", TIMESTAMP),
        metadata("source.lsn", DataType::Int64),
    ];
    let event = event("c", "null", "{}");
    let decoded = Spec::new("debezium", columns).decode(&[event.as_bytes()]);
    assert_eq!(shown(&decoded.rows), ["create c 2026-01-01T00:00:00.123 7"]);
}

/// What Kafka Connect's converter writes, with the type of the member `amount`.
fn with_schema(amount: &str, payload: &str) -> String {
    let row = |name: &str| {
        format!(
            r#"{{"type":"struct","field":"{name}","fields":[{{"type":"int64","field":"id"}},{{"field":"amount",{amount}}},{{"type":"int64","name":"io.debezium.time.MicroTimestamp","field":"at"}},{{"type":"int32","name":"io.debezium.time.Date","field":"day"}}]}}"#
        )
    };
    format!(
        r#"{{"schema":{{"type":"struct","fields":[{},{}],"name":"x.Envelope"}},"payload":{payload}}}"#,
        row("before"),
        row("after")
    )
}

const DECIMAL: &str =
    r#""type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2"}"#;

#[test]
fn the_schema_in_a_record_says_what_its_values_stand_for() {
    let columns = vec![
        required(data("id", DataType::Int64)),
        data("amount", DataType::Decimal128(18, 4)),
        data("at", TIMESTAMP),
        data("day", DataType::Date32),
    ];
    let variable = r#""type":"struct","name":"io.debezium.data.VariableScaleDecimal""#;
    let text = r#""type":"string""#;
    let rows = [
        (DECIMAL, r#""MDk=""#),
        (DECIMAL, r#""MDk=""#),
        (variable, r#"{"scale":3,"value":"MDk="}"#),
        (text, r#""12.5""#),
        (DECIMAL, r#""/w==""#),
    ];
    let events = rows.map(|(schema, amount)| {
        let after = format!(r#"{{"id":1,"amount":{amount},"at":1767225600123456,"day":20484}}"#);
        with_schema(schema, &event("c", "null", &after))
    });
    let values: Vec<_> = events.iter().map(String::as_bytes).collect();
    let decoded = Spec::new("debezium", columns).decode(&values);
    assert_eq!(reasons(&decoded), [""; 0]);
    let line = |amount| format!("create 1 {amount} 2026-01-01T00:00:00.123 2026-01-31");
    assert_eq!(
        shown(&decoded.rows),
        ["123.4500", "123.4500", "12.3450", "12.5000", "-0.0100"].map(line)
    );
}

#[test]
fn cells_of_cassandra_are_no_rows_but_can_be_read_by_their_paths() {
    let event = r#"{"op":"u","ts_ms":5,"source":{"connector":"cassandra","ts_ms":5},"after":{"id":{"value":1,"deletion_ts":null,"set":true},"note":{"value":null,"deletion_ts":7,"set":true}}}"#;
    let decoded =
        Spec::new("debezium", vec![data("id", DataType::Utf8)]).decode(&[event.as_bytes()]);
    assert!(
        reasons(&decoded)[0].starts_with("an event of Debezium's connector for Cassandra"),
        "{:?}",
        reasons(&decoded)
    );
    let columns = vec![
        at("op", "op", DataType::Utf8),
        at("id", "after.id.value", DataType::Int64),
        at("note", "after.note.value", DataType::Utf8),
        at("has_note", "after.note.set", DataType::Boolean),
        at("has_city", "after.city.set", DataType::Boolean),
    ];
    let decoded = Spec::new("plain", columns).decode(&[event.as_bytes()]);
    assert_eq!(shown(&decoded.rows), ["create u 1 null true null"]);
}

#[test]
fn members_after_the_payload_and_spaces_are_read_all_the_same() {
    let spaced = r#" { "payload" : {"op":"c","after":{"id":3},"ts_ms":1}, "schema" : null } "#;
    let first = with_schema(DECIMAL, &event("c", "null", r#"{"id":1}"#));
    let more = first
        .strip_suffix('}')
        .map(|whole| format!("{whole},\"more\":1}}"))
        .unwrap();
    let columns = vec![data("id", DataType::Int64)];
    let mut decoder = Spec::new("debezium", columns).decoder().unwrap();
    let values = [first.as_bytes(), more.as_bytes(), spaced.as_bytes()];
    let decoded = decode(&mut *decoder, &records(&values));
    assert_eq!(reasons(&decoded), [""; 0]);
    assert_eq!(shown(&decoded.rows), ["create 1", "create 1", "create 3"]);
}

#[test]
fn a_record_is_read_by_its_own_schema_whatever_came_before_it() {
    let one = DECIMAL.replace('2', "1");
    let change = event("c", "null", r#"{"id":1,"amount":"MDk="}"#);
    let plain = event("c", "null", r#"{"id":1,"amount":"12.50"}"#);
    let before = with_schema(DECIMAL, &change);
    let line = with_schema(&one, &change) + "\n";
    let schema = with_schema(&one, "0");
    let schema = schema
        .strip_prefix("{\"schema\":")
        .and_then(|rest| rest.strip_suffix(",\"payload\":0}"))
        .unwrap();
    let behind = format!(r#"{{"payload":{change},"schema":{schema}}}"#);
    let values = [&before, &plain, &before, &line, &before, &behind];
    let values = values.map(|value| value.as_bytes());
    let decoded = Spec::new("debezium", columns()).decode(&values);
    assert_eq!(reasons(&decoded), [""; 0]);
    let amounts = ["123.45", "12.50", "123.45", "1234.50", "123.45", "1234.50"];
    assert_eq!(
        shown(&decoded.rows),
        amounts.map(|amount| format!("create 1 {amount}"))
    );
}
