//! The corpus, each column on its own: what Python's protobuf says of a value is in the column, or the record is a dead letter where the
//! column cannot have it.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type, TimestampMillisecondType,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tidemill_formats::{decimal, temporal};
use tidemill_types::format::{Contract, SchemaText, Schemas, WriterSchema};

use super::source;
use crate::kit::{Spec, TIMESTAMP, at, decode, keyed, reasons};

/// Wide enough for 64 bits without sign.
const UNSIGNED: DataType = DataType::Decimal128(20, 0);
const AMOUNT: DataType = DataType::Decimal128(38, 9);

pub const COLUMNS: [(&str, DataType); 47] = [
    ("id", DataType::Int64),
    ("plain32", DataType::Int32),
    ("unsigned32", DataType::Int64),
    ("unsigned32", DataType::Int32),
    ("unsigned64", UNSIGNED),
    ("unsigned64", DataType::Int64),
    ("zigzag32", DataType::Int32),
    ("zigzag64", DataType::Int64),
    ("fixed_32", DataType::Int64),
    ("fixed_64", UNSIGNED),
    ("signed_fixed32", DataType::Int32),
    ("signed_fixed64", DataType::Int64),
    ("weight", DataType::Float64),
    ("score", DataType::Float64),
    ("urgent", DataType::Boolean),
    ("payee", DataType::Utf8),
    ("receipt", DataType::Utf8),
    ("maybe_int", DataType::Int32),
    ("maybe_text", DataType::Utf8),
    ("maybe_bool", DataType::Boolean),
    ("maybe_double", DataType::Float64),
    ("maybe_bytes", DataType::Utf8),
    ("maybe_state", DataType::Utf8),
    ("text", DataType::Utf8),
    ("number", DataType::Int64),
    ("flag", DataType::Boolean),
    ("line.label", DataType::Utf8),
    ("line.discount", DataType::Int32),
    ("chosen", DataType::Utf8),
    ("state", DataType::Utf8),
    ("first.label", DataType::Utf8),
    ("first.discount", DataType::Int32),
    ("first.amount", AMOUNT),
    ("first.amount.value", DataType::Utf8),
    ("seen", TIMESTAMP),
    ("wrapped_int", DataType::Int64),
    ("wrapped_text", DataType::Utf8),
    ("wrapped_bool", DataType::Boolean),
    ("wrapped_double", DataType::Float64),
    ("wrapped_bytes", DataType::Utf8),
    ("amount", AMOUNT),
    ("money.units", DataType::Int64),
    ("money.nanos", DataType::Int32),
    ("money.currency_code", DataType::Utf8),
    ("due_on", DataType::Date32),
    ("amount_text", AMOUNT),
    ("legacy", DataType::Boolean),
];

/// What became of a record, in one column.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    Is(String),
    Null,
    DeadLetter,
}

/// The records of a file.
pub fn records(file: &str) -> Vec<Option<Vec<u8>>> {
    let of = |line: &str| {
        let record: Value = serde_json::from_str(line).unwrap();
        let value = record["value"].as_str();
        value.map(|value| STANDARD.decode(value).unwrap())
    };
    read(file).lines().map(of).collect()
}

fn truth(file: &str) -> Vec<Value> {
    serde_json::from_str(&read(file)).unwrap()
}

fn read(file: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/protobuf/");
    std::fs::read_to_string(format!("{folder}{file}")).unwrap()
}

/// What our decoder makes of one column of records.
fn found(
    version: usize,
    framing: &str,
    (path, data_type): &(&str, DataType),
    records: &[Option<Vec<u8>>],
) -> Vec<Cell> {
    let column = at("x", path, data_type.clone());
    let spec = source(version, "corpus.Payment", vec![column]).with("protobuf.framing", framing);
    cells(&spec, records)
}

/// The one column of each record.
fn cells(spec: &Spec, records: &[Option<Vec<u8>>]) -> Vec<Cell> {
    let mut decoder = spec.decoder().unwrap();
    let of = |record: &Option<Vec<u8>>| {
        let decoded = decode(&mut *decoder, &keyed(&[(None, record.as_deref())]));
        match decoded.rows.num_rows() {
            0 => Cell::DeadLetter,
            _ => cell(decoded.rows.column(0), float),
        }
    };
    records.iter().map(of).collect()
}

/// What is in a column of one row.
pub fn cell(column: &ArrayRef, float: fn(f64) -> String) -> Cell {
    if column.is_null(0) {
        return Cell::Null;
    }
    Cell::Is(match column.data_type() {
        DataType::Boolean => column.as_boolean().value(0).to_string(),
        DataType::Int32 => column.as_primitive::<Int32Type>().value(0).to_string(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(0).to_string(),
        DataType::Float64 => float(column.as_primitive::<Float64Type>().value(0)),
        DataType::Decimal128(..) => column.as_primitive::<Decimal128Type>().value(0).to_string(),
        DataType::Utf8 => column.as_string::<i32>().value(0).to_owned(),
        DataType::Date32 => column.as_primitive::<Date32Type>().value(0).to_string(),
        _ => {
            let times = column.as_primitive::<TimestampMillisecondType>();
            times.value(0).to_string()
        }
    })
}

/// All digits but the last ones, which serde_json does not read exactly; random messages have all of them compared.
fn float(number: f64) -> String {
    format!("{number:.12e}")
}

/// What Python says of a path, as it is in a column.
fn expected(value: &Value, (path, data_type): &(&str, DataType)) -> Cell {
    let mut value = value;
    for name in path.split('.') {
        value = &value[name];
    }
    if value.is_null() {
        return Cell::Null;
    }
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let is_bytes = ["receipt", "maybe_bytes", "wrapped_bytes"].contains(path);
    let is = match data_type {
        DataType::Utf8 if is_bytes => String::from_utf8(STANDARD.decode(text).unwrap()).ok(),
        DataType::Int32 => text.parse::<i32>().ok().map(|number| number.to_string()),
        DataType::Int64 => text.parse::<i64>().ok().map(|number| number.to_string()),
        DataType::Float64 => {
            let number: f64 = text.parse().unwrap();
            // Python shows a float by the fewest digits that tell it from other floats.
            let number = if *path == "weight" {
                f64::from(text.parse::<f32>().unwrap())
            } else {
                number
            };
            number.is_finite().then(|| float(number))
        }
        &DataType::Decimal128(precision, scale) => {
            let text = match value.get("value").and_then(Value::as_str) {
                Some("") => "0",
                Some(text) => text,
                None => &text,
            };
            let parsed = decimal::parse(text, precision, scale);
            parsed.ok().map(|unscaled| unscaled.to_string())
        }
        DataType::Date32 => {
            let [year, month, day] =
                ["year", "month", "day"].map(|part| value[part].as_i64().unwrap());
            let text = format!("{year:04}-{month:02}-{day:02}");
            temporal::parse_date(&text).map(|days| days.to_string())
        }
        DataType::Timestamp(..) => {
            let time = chrono::DateTime::parse_from_rfc3339(&text).unwrap();
            Some(time.timestamp_millis().to_string())
        }
        _ => Some(text),
    };
    is.map_or(Cell::DeadLetter, Cell::Is)
}

#[test]
fn bare_messages_have_the_values_that_were_written() {
    let (records, truth) = (records("bare.jsonl"), truth("bare.truth.json"));
    for column in &COLUMNS {
        let found = found(1, "none", column, &records);
        for (i, (found, truth)) in found.iter().zip(&truth).enumerate() {
            assert_eq!(
                found,
                &expected(truth, column),
                "record {i}, column {column:?}"
            );
        }
    }
}

#[test]
fn unusual_messages_are_read_as_python_reads_them() {
    const STRICTER: &str = "a known field of another wire type is unknown";
    let (records, truth) = (records("unusual.jsonl"), truth("unusual.truth.json"));
    for column in &COLUMNS {
        let found = found(1, "none", column, &records);
        for (found, truth) in found.iter().zip(&truth) {
            let why = truth["why"].as_str().unwrap();
            let is_stricter = why == STRICTER && ["id", "plain32", "payee"].contains(&column.0);
            let expected = match expected(&truth["value"], column) {
                _ if is_stricter => Cell::DeadLetter,
                expected => expected,
            };
            assert_eq!(found, &expected, "{why}, column {column:?}");
        }
    }
}

#[test]
fn framed_messages_are_read_by_either_version_and_other_messages_are_named() {
    let (records, truth) = (records("confluent.jsonl"), truth("confluent.truth.json"));
    for column in &COLUMNS {
        for version in [1, 2] {
            if version == 2 && column.0 == "legacy" {
                continue;
            }
            let found = found(version, "confluent", column, &records);
            for (found, truth) in found.iter().zip(&truth) {
                let value = match (version, truth.get("read_as_1")) {
                    (1, Some(older)) => older,
                    (2, None) if truth["schema"] == 1 => continue,
                    _ => &truth["value"],
                };
                let expected = match truth["message"].as_str() {
                    Some("corpus.Payment") => expected(value, column),
                    _ => Cell::DeadLetter,
                };
                assert_eq!(found, &expected, "version {version}, column {column:?}");
            }
        }
    }
    let spec = source(
        1,
        "corpus.Payment.Line",
        vec![at("x", "label", DataType::Utf8)],
    )
    .with("protobuf.framing", "confluent");
    let values: Vec<_> = records.iter().flatten().map(Vec::as_slice).collect();
    let decoded = spec.decode(&values);
    assert_eq!(decoded.rows.num_rows(), 3);
    let mut reasons = reasons(&decoded);
    reasons.dedup();
    assert_eq!(
        reasons,
        ["corpus.Payment", "corpus.Note", "corpus.Payment.Line.Tax"].map(|name| format!(
            "the record is the message '{name}', expected 'corpus.Payment.Line'"
        ))
    );
}

/// The files that the corpus imports and that no compiler brings along, as far as messages go.
const IMPORTED: [(&str, &str); 3] = [
    (
        "google/type/date.proto",
        "message Date { int32 year = 1; int32 month = 2; int32 day = 3; }",
    ),
    (
        "google/type/decimal.proto",
        "message Decimal { string value = 1; }",
    ),
    (
        "google/type/money.proto",
        "message Money { string currency_code = 1; int64 units = 2; int32 nanos = 3; }",
    ),
];

/// A registry with both versions of the corpus.
#[derive(Debug)]
struct Versions;

impl Versions {
    fn schema(version: u32) -> SchemaText {
        let file = ["payment.proto", "payment_2.proto"][version as usize - 1];
        let import = |(name, messages): (&str, &str)| {
            let text = format!("syntax = \"proto3\"; package google.type; {messages}");
            (name.to_owned(), text)
        };
        SchemaText {
            text: read(file),
            references: IMPORTED.map(import).to_vec(),
        }
    }
}

impl Schemas for Versions {
    fn schema(&self, id: u32) -> Option<Arc<WriterSchema>> {
        (1..=2).contains(&id).then(|| {
            Arc::new(WriterSchema {
                schema: Self::schema(id),
                places: vec![("payments-value".to_owned(), id)],
            })
        })
    }
}

#[test]
fn with_a_registry_each_message_is_read_by_the_version_that_wrote_it() {
    let (records, truth) = (records("confluent.jsonl"), truth("confluent.truth.json"));
    let contract = Contract {
        subject: "payments-value".to_owned(),
        version: 1,
        id: 1,
        schema: Versions::schema(1),
    };
    for column in &COLUMNS {
        let (path, data_type) = column;
        let mut spec = Spec::new("plain", vec![at("x", path, data_type.clone())])
            .in_format("protobuf")
            .with("protobuf.message", "corpus.Payment");
        spec.contracts = Some((Some(contract.clone()), Arc::new(Versions)));
        for (found, truth) in cells(&spec, &records).iter().zip(&truth) {
            let is_removed = *path == "legacy" && truth["schema"] == 2;
            let expected = match truth["message"].as_str() {
                Some("corpus.Payment") if !is_removed => expected(&truth["value"], column),
                _ => Cell::DeadLetter,
            };
            assert_eq!(found, &expected, "column {column:?}");
        }
    }
}

/// Which columns are read of damaged messages: those that have a value in each that is not damaged.
fn is_in_all((path, data_type): &(&str, DataType)) -> bool {
    let is_too_narrow =
        path.starts_with("unsigned") && !matches!(data_type, DataType::Decimal128(..));
    !["amount_text", "receipt"].contains(path) && !is_too_narrow
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "UPDATE_GOLDEN=1 rewrites what is expected"
)]
fn damaged_messages_say_where_they_are_broken() {
    let columns = COLUMNS.iter().filter(|column| is_in_all(column));
    let columns = columns
        .enumerate()
        .map(|(i, (path, data_type))| at(&format!("x{i}"), path, data_type.clone()));
    let spec = source(1, "corpus.Payment", columns.collect()).with("protobuf.framing", "confluent");
    let mut decoder = spec.decoder().unwrap();
    let mut became = String::new();
    for (record, truth) in records("damaged.jsonl")
        .iter()
        .zip(truth("damaged.truth.json"))
    {
        let decoded = decode(&mut *decoder, &keyed(&[(None, record.as_deref())]));
        let reason = reasons(&decoded)
            .first()
            .map_or("a row", |reason| reason)
            .to_owned();
        became += &format!("{}: {reason}\n", truth["why"].as_str().unwrap());
    }
    let golden = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/decoders/protobuf/damaged.txt"
    );
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(golden, &became).unwrap();
    }
    assert_eq!(became, std::fs::read_to_string(golden).unwrap());
}
