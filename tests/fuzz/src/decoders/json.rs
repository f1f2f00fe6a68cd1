//! JSON in every envelope.

use arrow_schema::DataType;

use super::source::{Source, TIMESTAMP, UUID};
use crate::input::Record;
use crate::seeds;

/// Members of a payment, in the corpora and beyond, with every type that a column can have.
const MEMBERS: [(&str, DataType); 24] = [
    ("id", DataType::Int64),
    ("budget_id", DataType::Int32),
    ("amount", DataType::Decimal128(18, 2)),
    ("fx", DataType::Decimal128(20, 10)),
    ("amount", DataType::Utf8),
    ("score", DataType::Float64),
    ("urgent", DataType::Boolean),
    ("currency", DataType::Utf8),
    ("payee", DataType::Utf8),
    ("note", DataType::Utf8),
    ("due_on", DataType::Date32),
    ("created", TIMESTAMP),
    ("changed", TIMESTAMP),
    ("seen", TIMESTAMP),
    ("at", TIMESTAMP),
    ("ref", UUID),
    ("nothing", DataType::Utf8),
    ("state", DataType::Utf8),
    ("payer", DataType::Utf8),
    ("payer.iban", DataType::Utf8),
    ("payer.address.floor", DataType::Int32),
    ("a.b", DataType::Float64),
    ("tags", DataType::Utf8),
    ("large", DataType::Decimal128(38, 38)),
];

fn base(envelope: &'static str) -> Source {
    Source::new("json", envelope).data(&MEMBERS)
}

/// The ways in which a database's values travel.
fn conversions(source: Source) -> [Source; 4] {
    [
        source.clone(),
        source
            .clone()
            .with("decimals", "base64")
            .with("dates", "days")
            .with("timestamps", "microseconds"),
        source
            .clone()
            .with("timestamps.seen", "nanoseconds")
            .with("connect.schema", "false"),
        source.with("connect.schema", "true"),
    ]
}

/// Every record is a row.
pub fn plain() -> Vec<Source> {
    conversions(base("plain").position().timed("created")).into()
}

/// Every record is the state of its key.
pub fn upsert() -> Vec<Source> {
    let one = base("upsert").key(&[("id", DataType::Int64)]).position();
    let text = base("upsert").key(&[("id", DataType::Utf8)]);
    let several = base("upsert").key(&[
        ("id", DataType::Int64),
        ("region", DataType::Utf8),
        ("day", DataType::Date32),
    ]);
    let uuid = base("upsert").key(&[("id", UUID)]);
    vec![
        one.required(),
        text.with("key.format", "raw"),
        several,
        uuid.with("key.format", "raw")
            .with("connect.schema", "true"),
    ]
}

/// The studio's events.
pub fn crud() -> Vec<Source> {
    let all = base("crud").metadata(&[
        ("uuid", UUID),
        ("uuid", DataType::Utf8),
        ("type", DataType::Utf8),
        ("ts", TIMESTAMP),
        ("entity", DataType::Utf8),
        ("id", DataType::Int64),
    ]);
    let named = base("crud")
        .with("member.data", "payload")
        .with("member.ts", "at")
        .with("entity", "payment");
    vec![
        all.clone().timed("ts"),
        all.with("connect.schema", "true"),
        named,
    ]
}

/// Changes of a database's rows.
pub fn debezium() -> Vec<Source> {
    let all = base("debezium")
        .metadata(&[
            ("op", DataType::Utf8),
            ("source.lsn", DataType::Int64),
            ("source.snapshot", DataType::Utf8),
            ("transaction.id", DataType::Utf8),
            ("ts", TIMESTAMP),
        ])
        .timed("ts")
        .position();
    conversions(all).into()
}

/// Events of the CNCF, in both modes.
pub fn cloudevents() -> Vec<Source> {
    let all = base("cloudevents").metadata(&[
        ("id", DataType::Utf8),
        ("source", DataType::Utf8),
        ("type", DataType::Utf8),
        ("subject", DataType::Utf8),
        ("extension.tenant", DataType::Utf8),
        ("extension.region", DataType::Int64),
        ("time", TIMESTAMP),
    ]);
    vec![all.clone().timed("time"), all]
}

/// Rows.
pub fn plain_seeds() -> Vec<Vec<u8>> {
    let mut inputs = seeds::of_files(
        4,
        &[
            "debezium/postgres/json-flat.payment.jsonl",
            "debezium/postgres/json-schemas-flat.payment.jsonl",
        ],
    );
    for value in [
        r#"{"id": 1, "amount": 12.50, "due_on": "2026-01-31", "payer": {"iban": "x", "address": {"floor": 3}}, "a": {"b": 1e3}}"#,
        r#"{"id": 9007199254740993, "amount": "-0.01", "created": "2026-01-31T12:00:00.123+01:00", "tags": ["a", {}], "note": "\ud83d\ude00\n"}"#,
        r#"{"ref": "0190f3a1-7b2c-7def-8123-456789abcdef", "urgent": true, "large": 0.1, "payer": [[[[]]]], "a": {"b": {"b": []}}}"#,
    ] {
        inputs.extend(seeds::texts(4, &[value]));
    }
    inputs
}

/// States and tombstones.
pub fn upsert_seeds() -> Vec<Vec<u8>> {
    let state = Some(br#"{"id": 5, "amount": "1.00"}"#.to_vec());
    let keyed = |key: &str, value: &Option<Vec<u8>>| Record {
        key: Some(key.as_bytes().to_vec()),
        value: value.clone(),
        ..Record::default()
    };
    let keys = [
        "5",
        "\"5\"",
        r#"{"id": 5, "region": "EU", "day": "2026-01-31"}"#,
        r#"{"schema": {"type": "int64"}, "payload": 5}"#,
        "0190f3a1-7b2c-7def-8123-456789abcdef",
    ];
    let mut inputs = Vec::new();
    for key in keys {
        let records = [keyed(key, &state), keyed(key, &None)];
        inputs.extend(seeds::variants(4, &records));
    }
    inputs.extend(seeds::of_files(
        4,
        &["debezium/postgres/json-flat.ledger.jsonl"],
    ));
    inputs
}

/// The studio's events.
pub fn crud_seeds() -> Vec<Vec<u8>> {
    let event = |kind: &str, data: &str| {
        format!(
            r#"{{"uuid": "0190f3a1-7b2c-7def-8123-456789abcdef", "type": "{kind}", "ts": 1767225600123, "entity": "payment", "id": 42{data}}}"#
        )
    };
    let data = r#", "data": {"amount": "12.50", "due_on": "2026-01-31", "payer": {"iban": null}}"#;
    let payload = r#", "at": 5, "payload": {"amount": "12.50"}"#;
    let events = [
        event("create", data),
        event("update", payload),
        event("delete", ""),
        event("read", ""),
    ];
    let events: Vec<&str> = events.iter().map(String::as_str).collect();
    seeds::texts(3, &events)
}

/// What Debezium wrote.
pub fn debezium_seeds() -> Vec<Vec<u8>> {
    seeds::of_files(
        4,
        &[
            "debezium/postgres/json.payment.jsonl",
            "debezium/postgres/json-schemas.payment.jsonl",
            "debezium/postgres/json-transactions.payment.jsonl",
            "debezium/mariadb/json-nulls.payment.jsonl",
        ],
    )
}

/// Events in both modes.
pub fn cloudevents_seeds() -> Vec<Vec<u8>> {
    seeds::of_files(
        2,
        &[
            "cloudevents/structured.jsonl",
            "cloudevents/binary.jsonl",
            "cloudevents/damaged.jsonl",
        ],
    )
}
