//! Avro in every envelope: bare, by the schema of an option, and in Confluent's framing, by those of a registry.

use std::sync::LazyLock;

use arrow_schema::DataType;
use serde_json::{Value, json};

use super::source::{Source, TIMESTAMP, UUID, registry};
use crate::input::Record;
use crate::seeds;

/// The schemas of the corpus, by id.
pub static SCHEMAS: LazyLock<Value> = LazyLock::new(|| json_of("avro/schemas.json"));
/// Those of Debezium's records.
static DEBEZIUM: LazyLock<Value> = LazyLock::new(|| json_of("debezium/postgres/avro-schemas.json"));
/// The schema of Debezium's changes of a payment.
const CHANGE: u32 = 27;

/// Fields of a payment.
pub const MEMBERS: [(&str, DataType); 30] = [
    ("id", DataType::Int64),
    ("budget_id", DataType::Int32),
    ("amount", DataType::Decimal128(18, 2)),
    ("amount", DataType::Utf8),
    ("fee", DataType::Decimal128(18, 4)),
    ("huge", DataType::Decimal128(38, 10)),
    ("score", DataType::Float64),
    ("weight", DataType::Float64),
    ("urgent", DataType::Boolean),
    ("payee", DataType::Utf8),
    ("note", DataType::Utf8),
    ("due_on", DataType::Date32),
    ("cutoff_us", DataType::Int64),
    ("created", TIMESTAMP),
    ("seen", TIMESTAMP),
    ("local_seen", TIMESTAMP),
    ("ref", UUID),
    ("state", DataType::Utf8),
    ("digest", UUID),
    ("digest", DataType::Utf8),
    ("receipt", DataType::Utf8),
    ("tags", DataType::Utf8),
    ("limits", DataType::Utf8),
    ("payer", DataType::Utf8),
    ("payer.iban", DataType::Utf8),
    ("payer.address.floor", DataType::Int32),
    ("others", DataType::Utf8),
    ("either", DataType::Int64),
    ("either", DataType::Utf8),
    ("nothing", DataType::Utf8),
];

/// Columns of a payment as Debezium has it.
const CHANGED: [(&str, DataType); 10] = [
    ("id", DataType::Int64),
    ("budget_id", DataType::Int32),
    ("amount", DataType::Decimal128(18, 2)),
    ("fx", DataType::Decimal128(20, 10)),
    ("urgent", DataType::Boolean),
    ("payee", DataType::Utf8),
    ("due_on", DataType::Date32),
    ("created", TIMESTAMP),
    ("seen", TIMESTAMP),
    ("ref", UUID),
];

fn json_of(file: &str) -> Value {
    serde_json::from_slice(&seeds::bytes(file)).expect("the corpora's schemas are JSON")
}

/// The schema of rows.
fn row() -> Value {
    SCHEMAS["1"]["schema"].clone()
}

fn record(name: &str, fields: &Value) -> String {
    json!({"type": "record", "name": name, "fields": fields}).to_string()
}

fn change_schema() -> String {
    let source = json!({"type": "record", "name": "Source", "fields": [
        {"name": "ts_ms", "type": ["null", "long"]}, {"name": "lsn", "type": "long"}
    ]});
    let fields = json!([
        {"name": "before", "type": ["null", row()]}, {"name": "after", "type": ["null", "corpus.Payment"]},
        {"name": "op", "type": "string"}, {"name": "ts_ms", "type": ["null", "long"]}, {"name": "source", "type": source}
    ]);
    record("Change", &fields)
}

fn event_schema() -> String {
    let kind = json!({"type": "enum", "name": "Kind", "symbols": ["create", "read", "update", "delete", "other"]});
    let fields = json!([
        {"name": "uuid", "type": "string"}, {"name": "type", "type": kind}, {"name": "ts", "type": "long"},
        {"name": "entity", "type": "string"}, {"name": "id", "type": "long"}, {"name": "data", "type": ["null", row()]}
    ]);
    record("Event", &fields)
}

fn bare(envelope: &'static str, schema: &str) -> Source {
    Source::new("avro", envelope)
        .data(&MEMBERS)
        .with("avro.schema", schema)
}

/// With these schemas in a registry, the first of them the contract.
fn registered(mut source: Source, schemas: &[(u32, String)]) -> Source {
    source.options.remove("avro.schema");
    source.contracts = Some(registry(schemas));
    source
}

/// Bare records that are rows.
pub fn plain() -> Vec<Source> {
    let all = bare("plain", &row().to_string());
    vec![all.clone().position().timed("created"), all.required()]
}

/// Bare records that are states of their keys.
pub fn upsert() -> Vec<Source> {
    let all = bare("upsert", &json!(["null", row()]).to_string());
    vec![
        all.clone().key(&[("key", DataType::Int64)]),
        all.key(&[("key", DataType::Utf8)])
            .with("key.format", "raw"),
    ]
}

/// Bare records that are the studio's events.
pub fn crud() -> Vec<Source> {
    let all = bare("crud", &event_schema());
    vec![all.metadata(&[
        ("uuid", DataType::Utf8),
        ("type", DataType::Utf8),
        ("ts", TIMESTAMP),
    ])]
}

/// Bare records that are changes of rows.
pub fn debezium() -> Vec<Source> {
    let all = bare("debezium", &change_schema());
    vec![all.metadata(&[
        ("op", DataType::Utf8),
        ("source.lsn", DataType::Int64),
        ("ts", TIMESTAMP),
    ])]
}

/// Records of several schemas that are rows.
pub fn confluent_plain() -> Vec<Source> {
    let text = |id: &str| SCHEMAS[id]["schema"].to_string();
    let schemas = [
        (1, text("1")),
        (2, text("2")),
        (3, "\"string\"".to_owned()),
        (4, "{".to_owned()),
    ];
    vec![registered(bare("plain", ""), &schemas).position()]
}

/// Records of several schemas that are states of their keys.
pub fn confluent_upsert() -> Vec<Source> {
    let text = |id: &str| SCHEMAS[id]["schema"].to_string();
    let schemas = [(1, text("1")), (2, text("2"))];
    vec![registered(
        bare("upsert", "").key(&[("key", DataType::Int64), ("more", DataType::Utf8)]),
        &schemas,
    )]
}

/// Records that are the studio's events.
pub fn confluent_crud() -> Vec<Source> {
    vec![registered(bare("crud", ""), &[(1, event_schema())])]
}

/// What Debezium writes, by its own schemas.
pub fn confluent_debezium() -> Vec<Source> {
    let mut schemas = vec![(CHANGE, DEBEZIUM[CHANGE.to_string()].to_string())];
    let others = DEBEZIUM.as_object().into_iter().flatten();
    let others = others.filter_map(|(id, schema)| Some((id.parse().ok()?, schema.to_string())));
    schemas.extend(others.filter(|(id, _)| *id != CHANGE));
    let source = Source::new("avro", "debezium")
        .data(&CHANGED)
        .metadata(&[("ts", TIMESTAMP), ("source.lsn", DataType::Int64)])
        .timed("ts");
    vec![registered(source, &schemas)]
}

/// Rows.
pub fn plain_seeds() -> Vec<Vec<u8>> {
    seeds::of_files(
        2,
        &[
            "avro/bare.jsonl",
            "avro/unusual.jsonl",
            "avro/damaged.jsonl",
        ],
    )
}

/// Some rows of the corpus.
fn rows() -> Vec<Vec<u8>> {
    let records = seeds::records("avro/bare.jsonl").into_iter();
    records.filter_map(|record| record.value).take(6).collect()
}

fn keyed(prefix: &[u8], rest: &[u8]) -> Record {
    Record {
        key: Some(b"7".to_vec()),
        value: Some([prefix, rest].concat()),
        ..Record::default()
    }
}

/// States.
pub fn upsert_seeds() -> Vec<Vec<u8>> {
    let mut records: Vec<_> = rows().iter().map(|row| keyed(&[2], row)).collect();
    records.push(keyed(&[0], &[]));
    let alone = records
        .iter()
        .flat_map(|record| seeds::variants(2, std::slice::from_ref(record)));
    alone.chain(seeds::variants(2, &records)).collect()
}

/// Events: a uuid, a kind, a time, an entity, an id, and the row.
pub fn crud_seeds() -> Vec<Vec<u8>> {
    let events = rows().into_iter().zip([0, 4, 2, 6, 8]);
    let events = events.map(|(row, kind)| {
        let head = [b"\x02u", &[kind, 2][..], b"\x0epayment", &[84, 2]].concat();
        keyed(&head, &row)
    });
    let mut events: Vec<_> = events.collect();
    events.push(keyed(
        &[b"\x02u", &[6, 2][..], b"\x0epayment", &[84, 0]].concat(),
        &[],
    ));
    let alone = events
        .iter()
        .flat_map(|record| seeds::variants(1, std::slice::from_ref(record)));
    alone.chain(seeds::variants(1, &events)).collect()
}

/// Changes: the row before and after, the operation, and when.
pub fn debezium_seeds() -> Vec<Vec<u8>> {
    let rows = rows();
    let tail = |op: u8| [2, op, 2, 0x80, 1, 2, 0x80, 1, 14];
    let changes = [
        [&[0, 2][..], &rows[0], &tail(b'c')].concat(),
        [&[2][..], &rows[1], &[2], &rows[2], &tail(b'u')].concat(),
        [&[2][..], &rows[3], &[0], &tail(b'd')].concat(),
        [&[0, 0][..], &tail(b't')].concat(),
    ];
    let changes = changes.iter().map(|change| keyed(change, &[]));
    let changes: Vec<_> = changes.collect();
    let alone = changes
        .iter()
        .flat_map(|record| seeds::variants(1, std::slice::from_ref(record)));
    alone.chain(seeds::variants(1, &changes)).collect()
}

/// Rows by two schemas, and tombstones.
pub fn confluent_seeds() -> Vec<Vec<u8>> {
    seeds::of_files(1, &["avro/confluent.jsonl", "avro/damaged.jsonl"])
}

/// Events with the number of their schema.
pub fn confluent_crud_seeds() -> Vec<Vec<u8>> {
    let framed = |input: Vec<u8>| {
        // After the variant, the flags and the key of one byte.
        let (head, event) = input.split_at(4);
        [head, &[0, 0, 0, 0, 1], event].concat()
    };
    crud_seeds().into_iter().take(6).map(framed).collect()
}

/// What Debezium wrote.
pub fn confluent_debezium_seeds() -> Vec<Vec<u8>> {
    seeds::of_files(
        1,
        &[
            "debezium/postgres/avro.payment.jsonl",
            "debezium/postgres/avro.ledger.jsonl",
        ],
    )
}
