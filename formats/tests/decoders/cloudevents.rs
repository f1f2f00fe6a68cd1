//! Events of the CNCF's specification, in either mode.

use arrow_schema::DataType;
use tidemill_types::RawRecords;
use tidemill_types::format::Column;

use super::kit::{Spec, TIMESTAMP, data, decode, metadata, reasons, shown};

fn columns() -> Vec<Column> {
    let optional = |column| Column {
        nullable: true,
        ..column
    };
    vec![
        metadata("id", DataType::Utf8),
        metadata("type", DataType::Utf8),
        optional(metadata("time", TIMESTAMP)),
        optional(metadata("extension.region", DataType::Utf8)),
        data("amount", DataType::Int64),
    ]
}

#[test]
fn attributes_stand_in_the_value_or_in_headers() {
    let mut records = RawRecords::of(0);
    let structured = br#"{"specversion":"1.0","id":"e1","source":"/s","type":"paid","time":"2026-01-01T00:00:00Z","region":"EU","data":{"amount":5,"id":"no"}}"#;
    records.push(1, None, Some(structured));
    records.push_header(b"content-type", Some(b"application/cloudevents+json"));
    let binary = br#"{"amount":6,"id":"no","type":"no","region":"no"}"#;
    records.push(2, None, Some(binary));
    for (name, value) in [
        ("ce_specversion", "1.0"),
        ("ce_id", "e2"),
        ("ce_source", "/s"),
        ("ce_type", "paid"),
        ("ce_time", "2026-01-01T00:00:01Z"),
    ] {
        records.push_header(name.as_bytes(), Some(value.as_bytes()));
    }
    records.push(
        3,
        None,
        Some(br#"{"specversion":"1.0","id":"e3","source":"/s","type":"void"}"#),
    );
    records.push(4, None, Some(br#"{"id":"e4","source":"/s","type":"paid"}"#));
    records.push(5, None, Some(b"{}"));
    records.push_header(b"ce_specversion", Some(b"1.0"));
    records.push_header(b"ce_id", Some(b"e5"));
    let mut decoder = Spec::new("cloudevents", columns()).decoder().unwrap();
    let decoded = decode(&mut *decoder, &records);
    assert_eq!(
        shown(&decoded.rows),
        [
            "create e1 paid 2026-01-01T00:00:00 EU 5",
            "create e2 paid 2026-01-01T00:00:01 null 6",
            "create e3 void null null null",
        ]
    );
    assert_eq!(
        reasons(&decoded),
        [
            "the envelope has no 'specversion'",
            "the record has no header 'ce_source'"
        ]
    );
}
