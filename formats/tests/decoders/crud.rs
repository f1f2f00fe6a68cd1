//! The rules of the envelope, one by one: what becomes a row, and of which values.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type, TimestampMillisecondType,
    UInt8Type, UInt32Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::DataType;

use tidemill_types::ErrorKind;
use tidemill_types::format::{Column, Decoded, Decoder, TimeLimit, TimeRange};
use tidemill_types::system_columns::{self, Kept};

use super::kit::{self, CLOCK_MS, STEADY_MS, Spec, TIMESTAMP, data, metadata};

const UUID: &str = "0190f3a1-7b2c-7def-8123-456789abcdef";

fn spec(columns: Vec<Column>) -> Spec {
    Spec::new("crud", columns).with("entity", "payment")
}

fn decode_with(decoder: &mut dyn Decoder, texts: &[&[u8]]) -> Decoded {
    kit::decode(decoder, &kit::records(texts))
}

/// Of records that were written at these times.
fn decode_written(decoder: &mut dyn Decoder, texts: &[&[u8]], timestamps: &[i64]) -> Decoded {
    let mut records = kit::records(texts);
    records.times = timestamps.to_vec();
    kit::decode(decoder, &records)
}

/// An update of payment 42 with this state.
pub fn update(state: &str) -> String {
    event("update", &format!(", \"data\": {state}"))
}

fn event(kind: &str, rest: &str) -> String {
    format!(
        r#"{{"uuid": "{UUID}", "type": "{kind}", "ts": 1767225600123, "entity": "payment", "id": 42{rest}}}"#
    )
}

/// The reason why a record is a dead letter.
pub fn reason(columns: Vec<Column>, record: &[u8]) -> String {
    let decoded = spec(columns).decode(&[record]);
    assert_eq!(decoded.rows.num_rows(), 0);
    let [letter] = decoded.dead_letters.as_slice() else {
        panic!("no dead letter for {}", String::from_utf8_lossy(record))
    };
    assert_eq!(
        (letter.topic.as_str(), letter.partition, letter.offset),
        ("studio.payment", 3, 100)
    );
    assert_eq!(letter.bytes.as_deref(), Some(record));
    letter.reason.clone()
}

fn column<'a>(rows: &'a RecordBatch, name: &str) -> &'a ArrayRef {
    rows.column_by_name(name).expect("a column")
}

#[test]
fn every_type_is_decoded() {
    let columns = vec![
        data("paid", DataType::Boolean),
        data("part", DataType::Int32),
        data("budget_id", DataType::Int64),
        data("rate", DataType::Float64),
        data("amount", DataType::Decimal128(18, 2)),
        data("currency", DataType::Utf8),
        data("due_on", DataType::Date32),
        data("sent_at", TIMESTAMP),
        data("contract", DataType::FixedSizeBinary(16)),
    ];
    let full = update(&format!(
        r#"{{"paid": true, "part": -7, "ignored": {{"a": [1, "}}"]}}, "budget_id": 9007199254740993, "rate": 1e-3, "amount": "123.4", "currency": "\u20ac \"",
            "due_on": "2026-01-31", "sent_at": "2026-01-31T12:00:00Z", "contract": "{UUID}"}}"#
    ));
    let decoded = spec(columns).decode(&[full.as_bytes(), update("{}").as_bytes()]);
    assert_eq!(decoded.dead_letters, []);
    let rows = &decoded.rows;
    assert!(column(rows, "paid").as_boolean().value(0));
    assert_eq!(
        column(rows, "part").as_primitive::<Int32Type>().value(0),
        -7
    );
    assert_eq!(
        column(rows, "budget_id")
            .as_primitive::<Int64Type>()
            .value(0),
        9_007_199_254_740_993
    );
    assert_eq!(
        column(rows, "rate")
            .as_primitive::<Float64Type>()
            .value(0)
            .to_bits(),
        1e-3_f64.to_bits()
    );
    assert_eq!(
        column(rows, "amount")
            .as_primitive::<Decimal128Type>()
            .value(0),
        12_340
    );
    assert_eq!(column(rows, "currency").as_string::<i32>().value(0), "€ \"");
    assert_eq!(
        column(rows, "due_on").as_primitive::<Date32Type>().value(0),
        20_484
    );
    assert_eq!(
        column(rows, "sent_at")
            .as_primitive::<TimestampMillisecondType>()
            .value(0),
        1_769_860_800_000
    );
    assert_eq!(
        column(rows, "contract").as_fixed_size_binary().value(0),
        uuid::Uuid::try_parse(UUID).expect("valid").as_bytes()
    );
    assert!((0..9).all(|i| rows.column(i).is_valid(0) && rows.column(i).is_null(1)));
}

#[test]
#[expect(clippy::too_many_lines, reason = "one column after the other")]
fn metadata_and_system_columns_come_from_the_envelope_and_the_position() {
    let columns = vec![
        metadata("uuid", DataType::FixedSizeBinary(16)),
        metadata("type", DataType::Utf8),
        metadata("ts", TIMESTAMP),
        metadata("entity", DataType::Utf8),
        metadata("id", DataType::Int64),
        metadata("partition", DataType::Int32),
        metadata("offset", DataType::Int64),
        metadata("topic", DataType::Utf8),
    ];
    let records = [
        update("{}"),
        event("read", ""),
        event("delete", ""),
        event("create", r#", "data": {}"#),
    ];
    let texts: Vec<&[u8]> = records.iter().map(String::as_bytes).collect();
    let decoded = (Spec {
        kept: Kept {
            time: true,
            bytes: true,
        },
        ..spec(columns)
    })
    .decode(&texts);
    assert_eq!((decoded.ignored, decoded.dead_letters.len()), (1, 0));
    assert_eq!(
        decoded.event_time,
        Some(TimeRange {
            min_ms: 1_767_225_600_123,
            max_ms: 1_767_225_600_123
        })
    );
    let rows = &decoded.rows;
    assert_eq!(
        column(rows, "m_uuid").as_fixed_size_binary().value(0),
        uuid::Uuid::try_parse(UUID).expect("valid").as_bytes()
    );
    assert_eq!(column(rows, "m_type").as_string::<i32>().value(1), "delete");
    assert_eq!(
        column(rows, "m_ts")
            .as_primitive::<TimestampMillisecondType>()
            .value(2),
        1_767_225_600_123
    );
    assert_eq!(
        column(rows, "m_entity").as_string::<i32>().value(0),
        "payment"
    );
    assert_eq!(
        column(rows, "m_id").as_primitive::<Int64Type>().values(),
        &[42, 42, 42]
    );
    assert_eq!(
        column(rows, "m_partition")
            .as_primitive::<Int32Type>()
            .values(),
        &[3, 3, 3]
    );
    assert_eq!(
        column(rows, "m_offset")
            .as_primitive::<Int64Type>()
            .values(),
        &[100, 102, 103]
    );
    assert_eq!(
        column(rows, "m_topic").as_string::<i32>().value(2),
        "studio.payment"
    );
    assert_eq!(
        column(rows, system_columns::OP)
            .as_primitive::<UInt8Type>()
            .values(),
        &[
            system_columns::OP_UPDATE,
            system_columns::OP_DELETE,
            system_columns::OP_CREATE
        ]
    );
    assert_eq!(
        column(rows, system_columns::PARTITION)
            .as_primitive::<UInt32Type>()
            .values(),
        &[3, 3, 3]
    );
    assert_eq!(
        column(rows, system_columns::OFFSET)
            .as_primitive::<Int64Type>()
            .values(),
        &[100, 102, 103]
    );
    assert_eq!(
        column(rows, system_columns::BYTES)
            .as_binary::<i32>()
            .value(1),
        records[2].as_bytes()
    );
}

#[test]
fn a_missing_value_is_null_or_a_dead_letter_where_null_is_not_allowed() {
    let required = || {
        vec![Column {
            nullable: false,
            ..data("amount", DataType::Decimal128(18, 2))
        }]
    };
    assert_eq!(
        reason(required(), update("{}").as_bytes()),
        "field 'amount': expected DECIMAL(18, 2) NOT NULL, found nothing"
    );
    assert_eq!(
        reason(required(), update(r#"{"amount": null}"#).as_bytes()),
        "field 'amount': expected DECIMAL(18, 2) NOT NULL, found null"
    );
    let delete = spec(required()).decode(&[event("delete", "").as_bytes()]);
    assert!(delete.rows.column(0).is_null(0));
    let delete =
        spec(required()).decode(&[event("delete", r#", "data": {"amount": 5}"#).as_bytes()]);
    assert_eq!(
        delete
            .rows
            .column(0)
            .as_primitive::<Decimal128Type>()
            .value(0),
        500
    );
}

#[test]
fn the_data_field_id_falls_back_to_the_key_of_the_envelope() {
    let columns = || {
        vec![Column {
            nullable: false,
            ..data("id", DataType::Int64)
        }]
    };
    let records = [
        event("delete", ""),
        update("{}"),
        update(r#"{"id": null}"#),
        update(r#"{"id": 43}"#),
    ];
    let texts: Vec<&[u8]> = records.iter().map(String::as_bytes).collect();
    let decoded = spec(columns()).decode(&texts);
    assert_eq!(
        decoded.rows.column(0).as_primitive::<Int64Type>().values(),
        &[42, 42, 42, 43]
    );
    assert!(!decoded.rows.schema().field(0).is_nullable());
}

#[test]
fn a_record_that_fails_midway_leaves_nothing_in_any_column() {
    let columns = vec![
        data("a", DataType::Utf8),
        data("b", DataType::Boolean),
        data("c", DataType::FixedSizeBinary(16)),
        data("d", DataType::Int64),
    ];
    let good = update(&format!(
        r#"{{"a": "good", "b": true, "c": "{UUID}", "d": 1}}"#
    ));
    let nulls = update("{}");
    let bad = update(&format!(
        r#"{{"a": "bad", "b": false, "c": "{UUID}", "d": "bad"}}"#
    ));
    let texts = [
        bad.as_bytes(),
        good.as_bytes(),
        bad.as_bytes(),
        bad.as_bytes(),
        nulls.as_bytes(),
        good.as_bytes(),
        bad.as_bytes(),
    ];
    let mut decoder = spec(columns).decoder().unwrap();
    let decoded = decode_with(&mut *decoder, &texts);
    assert_eq!(
        decoded
            .dead_letters
            .iter()
            .map(|letter| letter.offset)
            .collect::<Vec<_>>(),
        [100, 102, 103, 106]
    );
    let clean = decode_with(
        &mut *decoder,
        &[good.as_bytes(), nulls.as_bytes(), good.as_bytes()],
    );
    for i in 0..4 {
        assert_eq!(decoded.rows.column(i), clean.rows.column(i));
    }
    assert_eq!(
        column(&decoded.rows, system_columns::OFFSET)
            .as_primitive::<Int64Type>()
            .values(),
        &[101, 104, 105]
    );
}

#[test]
fn of_two_members_with_one_name_the_last_one_wins() {
    let columns = || vec![data("x", DataType::Int64), data("y", DataType::Int64)];
    let twice = update(r#"{"x": "old", "x": 2}"#);
    let data_twice = event("update", r#", "data": {"x": 1, "y": 1}, "data": {"y": 2}"#);
    let decoded = spec(columns()).decode(&[twice.as_bytes(), data_twice.as_bytes()]);
    let x = decoded.rows.column(0).as_primitive::<Int64Type>();
    assert_eq!(
        (
            x.value(0),
            x.is_null(1),
            decoded.rows.column(1).as_primitive::<Int64Type>().value(1)
        ),
        (2, true, 2)
    );
}

#[test]
fn names_and_values_may_be_escaped_and_come_in_any_order() {
    let record = format!(
        r#"{{"data": {{"y": 2, "\u0078": 1}}, "\u0069d": 42, "extra": [{{}}], "entity": "pay\u006dent", "ts": "2026-01-01T00:00:00.123Z", "type": "\u0075pdate", "uuid": "{UUID}"}}"#
    );
    let decoded = spec(vec![data("x", DataType::Int64), data("y", DataType::Int64)])
        .decode(&[record.as_bytes()]);
    assert_eq!(decoded.dead_letters, []);
    assert_eq!(
        decoded.rows.column(0).as_primitive::<Int64Type>().value(0),
        1
    );
    assert_eq!(
        decoded.rows.column(1).as_primitive::<Int64Type>().value(0),
        2
    );
    assert_eq!(
        decoded.event_time.map(|time| time.min_ms),
        Some(1_767_225_600_123)
    );
}

#[test]
fn a_time_too_far_ahead_of_the_clock_is_a_dead_letter_and_moves_no_watermark() {
    let timed = || Spec {
        time_limit: Some(TimeLimit {
            column: "at".into(),
            max_future_ms: 1_000,
        }),
        ..spec(vec![data("at", TIMESTAMP), data("note", DataType::Utf8)])
    };
    let at = |ms: i64| update(&format!(r#"{{"at": {ms}, "note": "n"}}"#));
    let records = [
        at(CLOCK_MS + 1_000),
        at(CLOCK_MS + 1_001),
        at(5),
        update("{}"),
        event("delete", r#", "data": {"at": 7}"#),
    ];
    let texts: Vec<&[u8]> = records.iter().map(String::as_bytes).collect();
    let decoded = timed().decode(&texts);
    assert_eq!(
        (decoded.rows.num_rows(), decoded.time_max),
        (4, Some(CLOCK_MS)),
        "what is ahead of the clock tells of nothing that is still to come"
    );
    assert_eq!(
        decoded.dead_letters[0].reason,
        "field 'at': 1767225601001 is 1001 ms ahead of its record's time, at most 1000 ms are allowed (watermark.max-future)"
    );
    assert_eq!(timed().decode(&[update("{}").as_bytes()]).time_max, None);
}

#[test]
fn a_time_is_compared_with_the_time_at_which_its_record_was_written() {
    let spec = Spec {
        time_limit: Some(TimeLimit {
            column: "at".into(),
            max_future_ms: 1_000,
        }),
        kept: Kept {
            time: true,
            bytes: false,
        },
        ..spec(vec![data("at", TIMESTAMP)])
    };
    let mut decoder = spec.decoder().unwrap();
    let records = [110, 1_190, 1_201].map(|ms| update(&format!(r#"{{"at": {ms}}}"#)));
    let texts: Vec<&[u8]> = records.iter().map(String::as_bytes).collect();
    let decoded = decode_written(&mut *decoder, &texts, &[120, 190, 200]);
    assert_eq!(
        decoded.time_max,
        Some(190),
        "what was written at 190 says nothing of 1190"
    );
    assert_eq!(decoded.dead_letters.len(), 1);
    let times = |decoded: &Decoded| {
        let times = decoded.rows.column_by_name(system_columns::TIME);
        let times = times.expect("kept").as_primitive::<Int64Type>();
        times.values().to_vec()
    };
    assert_eq!(times(&decoded), [120, 190]);
    let decoded = decode_with(&mut *decoder, &texts);
    assert_eq!(times(&decoded), [STEADY_MS; 3], "not known when");
    assert_eq!(decoded.time_max, Some(1_201));
}

#[test]
fn the_least_and_the_greatest_integers_are_exact_and_minus_zero_is_zero() {
    let values = ["-9223372036854775808", "9223372036854775807", "-0"];
    let records = values.map(|value| update(&format!(r#"{{"x": {value}}}"#)));
    let texts: Vec<&[u8]> = records.iter().map(String::as_bytes).collect();
    let decoded = spec(vec![data("x", DataType::Int64)]).decode(&texts);
    let x = decoded.rows.column(0).as_primitive::<Int64Type>();
    assert_eq!(x.values(), &[i64::MIN, i64::MAX, 0]);
}

#[test]
fn without_a_declared_entity_any_entity_passes() {
    let other = update("{}").replace("payment", "refund");
    assert_eq!(
        Spec::new("crud", Vec::new())
            .decode(&[other.as_bytes()])
            .rows
            .num_rows(),
        1
    );
}

#[test]
fn no_records_give_no_rows() {
    let mut decoder = spec(vec![data("x", DataType::Utf8)]).decoder().unwrap();
    let decoded = decode_with(&mut *decoder, &[]);
    assert_eq!(
        (
            decoded.rows.num_rows(),
            decoded.event_time,
            decoded.time_max
        ),
        (0, None, None)
    );
}

#[test]
fn a_declaration_that_cannot_work_is_refused_with_the_column() {
    let limit = |column: &str| {
        Some(TimeLimit {
            column: column.into(),
            max_future_ms: 0,
        })
    };
    let cases = [
        (
            spec(vec![data("x", DataType::Utf8View)]),
            "column 'x' has type Utf8View",
        ),
        (
            spec(vec![metadata("colour", DataType::Utf8)]),
            "'colour', which does not exist; use one of uuid, type",
        ),
        (
            spec(vec![metadata("id", DataType::Date32)]),
            "declare it as BIGINT, INT, VARCHAR or UUID",
        ),
        (
            Spec {
                time_limit: limit("x"),
                ..spec(vec![data("x", DataType::Int64)])
            },
            "time column 'x' is not a TIMESTAMP column",
        ),
        (
            Spec {
                time_limit: limit("y"),
                ..spec(Vec::new())
            },
            "time column 'y'",
        ),
    ];
    for (spec, expected) in cases {
        let error = spec.decoder().err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains(expected), "{error}");
    }
}
