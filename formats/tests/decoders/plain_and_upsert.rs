//! Records that are rows, and records that are the state of their key.

use arrow_schema::DataType;
use tidemill_types::RawRecords;
use tidemill_types::format::Column;

use super::kit::{
    Spec, TIMESTAMP, UUID, at, data, decode, key, keyed, metadata, reasons, required, shown,
};

fn orders() -> Vec<Column> {
    vec![
        required(data("order_id", DataType::Int64)),
        data("total", DataType::Decimal128(10, 2)),
        at("city", "customer.address.city", DataType::Utf8),
        at("zip", "customer.address.zip", DataType::Utf8),
    ]
}

#[test]
fn every_record_is_a_row_and_members_are_found_by_their_path() {
    let records: [&[u8]; 4] = [
        br#"{"order_id": 1, "total": 9.5, "customer": {"name": "A", "address": {"zip": "1", "city": "Rome"}}}"#,
        br#"{"customer": {"address": {"city": "Bonn"}, "address": {"zip": "2"}}, "order_id": 2}"#,
        br#"{"order_id": 3, "customer": {"address": "Via Appia 1"}}"#,
        br#"{"order_id": 4, "customer": null}"#,
    ];
    let decoded = Spec::new("plain", orders()).decode(&records);
    assert_eq!(
        shown(&decoded.rows),
        [
            "create 1 9.50 Rome 1",
            "create 2 null null 2",
            "create 3 null null null",
            "create 4 null null null"
        ]
    );
    assert!(!decoded.rows.schema().field(0).is_nullable());
}

#[test]
fn a_record_without_value_is_no_row() {
    let mut decoder = Spec::new("plain", orders()).decoder().unwrap();
    let decoded = decode(&mut *decoder, &keyed(&[(Some(b"1"), None)]));
    assert_eq!(
        reasons(&decoded),
        [
            "empty record: it has no value, and its envelope no such deletes (envelope = 'upsert' has)"
        ]
    );
}

#[test]
fn the_position_and_the_headers_are_columns() {
    let columns = vec![
        metadata("timestamp", TIMESTAMP),
        metadata("key", DataType::Utf8),
        metadata("headers.trace", DataType::Utf8),
        metadata("partition", DataType::Int32),
    ];
    let columns = columns.into_iter().map(|column| Column {
        nullable: true,
        ..column
    });
    let mut decoder = Spec::new("plain", columns.collect()).decoder().unwrap();
    let mut records = RawRecords::of(9);
    records.push(5, Some(b"k"), Some(b"{}"));
    records.push_header(b"trace", Some(b"old"));
    records.push_header(b"trace", Some(b"x-1"));
    records.push(6, None, Some(b"{}"));
    records.push_header(b"trace", Some(b"\xff"));
    records.push(7, None, Some(b"{}"));
    records.timestamps = vec![1_767_225_600_000; 3];
    let decoded = decode(&mut *decoder, &records);
    assert_eq!(
        shown(&decoded.rows),
        [
            "create 2026-01-01T00:00:00 k x-1 9",
            "create 2026-01-01T00:00:00 null null 9"
        ]
    );
    assert_eq!(
        reasons(&decoded),
        ["field 'headers.trace': expected VARCHAR, found \u{fffd} (not in its text form)"]
    );
}

#[test]
fn a_key_without_value_is_a_delete_that_has_the_columns_of_the_key() {
    let columns = vec![
        key("id", DataType::Int64),
        required(data("name", DataType::Utf8)),
    ];
    let mut decoder = Spec::new("upsert", columns).decoder().unwrap();
    let records = keyed(&[
        (Some(b"1"), Some(br#"{"name": "a", "id": 99}"#)),
        (Some(br#"{"id": 2}"#), Some(br#"{"name": "b"}"#)),
        (Some(b"1"), None),
        (Some(b"2"), Some(b" null\n")),
        (None, Some(br#"{"name": "c"}"#)),
        (Some(b"3"), Some(b"{}")),
        (Some(b"x"), None),
        (Some(b"\"4\""), None),
        (Some(b"{}"), None),
        (Some(b"null"), None),
    ]);
    let decoded = decode(&mut *decoder, &records);
    assert_eq!(
        shown(&decoded.rows),
        ["create 1 a", "create 2 b", "delete 1 null", "delete 2 null"]
    );
    assert_eq!(
        reasons(&decoded),
        [
            "the record has no key, which the columns of the option 'key' are read from",
            "field 'name': expected VARCHAR NOT NULL, found nothing",
            "key: invalid JSON at byte 0: expected value",
            "key: field 'id': expected BIGINT, found \"4\"",
            "key: field 'id': expected BIGINT NOT NULL, found nothing",
            "key: field 'id': expected BIGINT NOT NULL, found null",
        ]
    );
    assert!(!decoded.rows.schema().field(0).is_nullable());
    assert!(decoded.rows.schema().field(1).is_nullable());
}

#[test]
fn keys_have_several_columns_of_any_type_or_are_plain_text() {
    let columns = vec![key("region", DataType::Utf8), key("day", DataType::Date32)];
    let mut decoder = Spec::new("upsert", columns).decoder().unwrap();
    let record = (Some(&br#"{"day": "2026-01-31", "region": "EU"}"#[..]), None);
    let decoded = decode(&mut *decoder, &keyed(&[record]));
    assert_eq!(shown(&decoded.rows), ["delete EU 2026-01-31"]);

    let text = "0190f3a1-7b2c-7def-8123-456789abcdef";
    let raw = Spec::new("upsert", vec![key("id", UUID)]).with("key.format", "raw");
    let mut decoder = raw.decoder().unwrap();
    let records = keyed(&[(Some(text.as_bytes()), None), (Some(b"\xff"), None)]);
    let decoded = decode(&mut *decoder, &records);
    assert_eq!(
        shown(&decoded.rows),
        [format!("delete {}", text.replace('-', ""))]
    );
    assert_eq!(reasons(&decoded), ["key: invalid UTF-8 at byte 0"]);
    let two = vec![key("a", DataType::Utf8), key("b", DataType::Utf8)];
    let error = Spec::new("upsert", two).with("key.format", "raw").decoder();
    assert_eq!(
        error.err().unwrap().to_string(),
        "option 'key.format' is 'raw'; expected 'json', 'avro', 'protobuf', or 'raw' for a key of one column"
    );
}

#[test]
fn a_producer_may_count_from_1970_in_other_units() {
    let columns = vec![
        data("day", DataType::Date32),
        data("at", TIMESTAMP),
        data("seen", TIMESTAMP),
        data("amount", DataType::Decimal128(10, 2)),
    ];
    let spec = Spec::new("plain", columns)
        .with("dates", "days")
        .with("timestamps", "microseconds")
        .with("timestamps.seen", "nanoseconds")
        .with("decimals", "base64");
    let record = br#"{"day": 20484, "at": 1767225600123456, "seen": -1, "amount": "/zg="}"#;
    let decoded = spec.decode(&[record]);
    assert_eq!(
        shown(&decoded.rows),
        ["create 2026-01-31 2026-01-01T00:00:00.123 1969-12-31T23:59:59.999 -2.00"]
    );
}
