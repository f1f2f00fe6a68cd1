//! The records that are decoded: a payment (some 250 bytes of JSON) in each format, of which five of ten columns are read.

use arrow_schema::{DataType, TimeUnit};
use serde::Deserialize;
use serde::de::IgnoredAny;
use tidemill_types::RawRecords;
use tidemill_types::format::{Column, ColumnOrigin, Path};

use super::{avro, protobuf};

const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Millisecond, None);

/// Records of one format, and how they are read.
pub struct Sample {
    /// What it is called in the figures.
    pub name: &'static str,
    /// Name of the format.
    pub format: &'static str,
    /// Name of the envelope.
    pub envelope: &'static str,
    /// The format's options.
    pub options: &'static [(&'static str, &'static str)],
    /// The columns that are read.
    pub columns: Vec<Column>,
    /// The records.
    pub records: RawRecords,
    /// Parses a record as the format's library does.
    pub reference: fn(&[u8]) -> usize,
    /// Records a second that are not to be undercut.
    pub floor: f64,
    /// Records a second that are wished for.
    pub goal: f64,
}

/// All samples.
pub fn samples(count: usize) -> Vec<Sample> {
    let of = |record: fn(usize) -> String| drawn(count, record);
    vec![
        Sample {
            name: "json_plain",
            format: "json",
            envelope: "plain",
            options: &[],
            columns: columns(),
            records: of(state),
            reference: |bytes| weight(serde_json::from_slice::<Payment<'_>>(bytes)),
            floor: 1e6,
            goal: 1.5e6,
        },
        Sample {
            name: "json_crud",
            format: "json",
            envelope: "crud",
            options: &[],
            columns: columns(),
            records: of(crud),
            reference: |bytes| weight(serde_json::from_slice::<Crud<'_>>(bytes)),
            floor: 0.8e6,
            goal: 1.2e6,
        },
        Sample {
            name: "json_debezium",
            format: "json",
            envelope: "debezium",
            options: &[],
            columns: columns(),
            records: of(debezium),
            reference: |bytes| weight(serde_json::from_slice::<Change<'_>>(bytes)),
            floor: 0.8e6,
            goal: 1.2e6,
        },
        Sample {
            name: "json_debezium_with_schema",
            format: "json",
            envelope: "debezium",
            options: &[],
            columns: columns(),
            records: of(debezium_with_schema),
            reference: |bytes| weight(serde_json::from_slice::<Wrapped<'_>>(bytes)),
            floor: 0.4e6,
            goal: 0.8e6,
        },
        Sample {
            name: "csv_plain",
            format: "csv",
            envelope: "plain",
            options: &[(
                "csv.columns",
                "id, production_id, budget_id, talent_id, amount, currency, due_on, status, note, updated_at",
            )],
            columns: columns(),
            records: of(csv),
            reference: count_fields,
            floor: 1.5e6,
            goal: 3e6,
        },
        avro_plain(count),
        protobuf_plain(count),
    ]
}

fn avro_plain(count: usize) -> Sample {
    Sample {
        name: "avro_plain",
        format: "avro",
        envelope: "plain",
        options: &[("avro.schema", avro::SCHEMA)],
        columns: columns(),
        records: drawn(count, avro::payment),
        reference: avro::count_fields,
        floor: 3e6,
        goal: 4e6,
    }
}

fn protobuf_plain(count: usize) -> Sample {
    Sample {
        name: "protobuf_plain",
        format: "protobuf",
        envelope: "plain",
        options: &[
            ("protobuf.descriptors", protobuf::DESCRIPTORS),
            ("protobuf.message", protobuf::MESSAGE),
        ],
        columns: columns(),
        records: drawn(count, protobuf::state),
        reference: protobuf::parsed,
        floor: 2.5e6,
        goal: 4e6,
    }
}

fn drawn<R: AsRef<[u8]>>(count: usize, record: fn(usize) -> R) -> RawRecords {
    let mut records = RawRecords::of(0);
    for (offset, number) in (0..).zip(0..count) {
        records.push(offset, None, Some(record(number).as_ref()));
    }
    records
}

fn columns() -> Vec<Column> {
    let column = |(name, data_type): (&str, DataType)| Column {
        name: name.to_owned(),
        data_type,
        nullable: true,
        origin: ColumnOrigin::Data(Path::member(name)),
    };
    [
        ("id", DataType::Int64),
        ("budget_id", DataType::Int64),
        ("amount", DataType::Decimal128(18, 2)),
        ("currency", DataType::Utf8),
        ("updated_at", TIMESTAMP),
    ]
    .map(column)
    .into()
}

/// The ten columns of a payment.
fn state(i: usize) -> String {
    format!(
        r#"{{"id":{i},"production_id":{},"budget_id":{},"talent_id":{},"amount":"{}.{:02}","currency":"USD","due_on":"2026-{:02}-15","status":"planned","note":"second instalment, see contract {i:08}, to be approved","updated_at":{}}}"#,
        100_000 + i % 500,
        200_000 + i % 3000,
        300_000 + i % 700,
        10_000 + i % 900_000,
        i % 100,
        1 + i % 12,
        1_767_225_600_000 + i,
    )
}

fn crud(i: usize) -> String {
    format!(
        r#"{{"uuid":"0190f3a1-7b2c-7def-8123-{i:012x}","type":"update","ts":{},"entity":"payment","id":{i},"data":{}}}"#,
        1_767_225_600_000 + i,
        state(i)
    )
}

fn debezium(i: usize) -> String {
    format!(
        r#"{{"before":null,"after":{},"source":{{"version":"3.5.0.Final","connector":"postgresql","name":"db","ts_ms":{},"snapshot":"false","db":"studio","schema":"public","table":"payment","txId":{i},"lsn":{i}}},"op":"u","ts_ms":{},"transaction":null}}"#,
        state(i),
        1_767_225_600_000 + i,
        1_767_225_600_100 + i,
    )
}

/// With the schema that Connect's converter writes, of some 3 kB.
fn debezium_with_schema(i: usize) -> String {
    let names = [
        "id",
        "production_id",
        "budget_id",
        "talent_id",
        "updated_at",
    ];
    let numbers =
        names.map(|name| format!(r#"{{"type":"int64","optional":false,"field":"{name}"}}"#));
    let texts = ["amount", "currency", "due_on", "status", "note"]
        .map(|name| format!(r#"{{"type":"string","optional":true,"field":"{name}"}}"#));
    let fields = [numbers, texts].concat().join(",");
    let row = |name| {
        format!(
            r#"{{"type":"struct","fields":[{fields}],"optional":true,"name":"db.public.payment.Value","field":"{name}"}}"#
        )
    };
    let source = ["version", "connector", "name", "db", "schema", "table"]
        .map(|name| format!(r#"{{"type":"string","optional":false,"field":"{name}"}}"#))
        .join(",");
    format!(
        r#"{{"schema":{{"type":"struct","fields":[{},{},{{"type":"struct","fields":[{source}],"optional":false,"name":"io.debezium.connector.postgresql.Source","version":1,"field":"source"}},{{"type":"string","optional":false,"field":"op"}},{{"type":"int64","optional":true,"field":"ts_ms"}}],"optional":false,"name":"db.public.payment.Envelope","version":2}},"payload":{}}}"#,
        row("before"),
        row("after"),
        debezium(i)
    )
}

fn csv(i: usize) -> String {
    format!(
        r#"{i},{},{},{},{}.{:02},USD,2026-{:02}-15,planned,"second instalment, see contract {i:08}, to be approved",{}"#,
        100_000 + i % 500,
        200_000 + i % 3000,
        300_000 + i % 700,
        10_000 + i % 900_000,
        i % 100,
        1 + i % 12,
        1_767_225_600_000 + i,
    )
}

/// The columns that are read, borrowed.
#[derive(Deserialize)]
struct Payment<'a> {
    id: i64,
    budget_id: i64,
    amount: &'a str,
    currency: &'a str,
    updated_at: i64,
}

#[derive(Deserialize)]
struct Crud<'a> {
    #[serde(borrow)]
    data: Payment<'a>,
}

#[derive(Deserialize)]
struct Change<'a> {
    #[serde(borrow)]
    after: Payment<'a>,
}

#[derive(Deserialize)]
struct Wrapped<'a> {
    #[serde(rename = "schema")]
    _schema: IgnoredAny,
    #[serde(borrow)]
    payload: Change<'a>,
}

/// Something that depends on all columns that are read.
trait Weighed {
    fn weight(&self) -> usize;
}

impl Weighed for Payment<'_> {
    fn weight(&self) -> usize {
        let numbers = self.id ^ self.budget_id ^ self.updated_at;
        usize::try_from(numbers).unwrap_or_default() + self.amount.len() + self.currency.len()
    }
}

impl Weighed for Crud<'_> {
    fn weight(&self) -> usize {
        self.data.weight()
    }
}

impl Weighed for Change<'_> {
    fn weight(&self) -> usize {
        self.after.weight()
    }
}

impl Weighed for Wrapped<'_> {
    fn weight(&self) -> usize {
        self.payload.weight()
    }
}

fn weight<T: Weighed>(parsed: serde_json::Result<T>) -> usize {
    parsed.map_or(0, |parsed| parsed.weight())
}

/// The fields of a line, as the csv crate finds them.
fn count_fields(bytes: &[u8]) -> usize {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .buffer_capacity(512)
        .from_reader(bytes);
    let mut record = csv::ByteRecord::new();
    match reader.read_byte_record(&mut record) {
        Ok(_) => record.iter().map(<[u8]>::len).sum(),
        Err(_) => 0,
    }
}
