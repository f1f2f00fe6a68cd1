//! The corpus against its truths: `tests/corpus/README.md`.

use arrow_cast::display::array_value_to_string;
use arrow_schema::DataType;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use proptest::prelude::*;
use serde_json::Value;
use tidemill_formats::temporal;
use tidemill_types::format::Column;

use super::super::kit::{Spec, TIMESTAMP, UUID, at};
use super::source;

fn file(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/avro");
    std::fs::read_to_string(format!("{folder}/{name}")).unwrap()
}

fn truth(name: &str) -> Vec<Value> {
    serde_json::from_str(&file(&format!("{name}.truth.json"))).unwrap()
}

pub fn values(name: &str) -> Vec<Option<Vec<u8>>> {
    let value = |line: &str| {
        let record: Value = serde_json::from_str(line).unwrap();
        let value = record["value"].as_str()?;
        Some(BASE64_STANDARD.decode(value).unwrap())
    };
    file(&format!("{name}.jsonl")).lines().map(value).collect()
}

pub fn schema(id: usize) -> String {
    let schemas: Value = serde_json::from_str(&file("schemas.json")).unwrap();
    schemas[id.to_string()]["schema"].to_string()
}

/// A value of ours as text, null, or why there is none.
type Cell = Result<Option<String>, String>;

fn read(spec: &Spec, record: &[u8]) -> Cell {
    let decoded = spec.decode(&[record]);
    if let [letter] = decoded.dead_letters.as_slice() {
        return Err(letter.reason.clone());
    }
    let column = decoded.rows.column(0);
    let text = || array_value_to_string(column, 0).unwrap();
    Ok((!column.is_null(0)).then(text))
}

/// The columns of a payment, by their paths.
pub fn columns() -> Vec<(&'static str, DataType)> {
    vec![
        ("id", DataType::Int64),
        ("budget_id", DataType::Int32),
        ("amount", DataType::Decimal128(18, 2)),
        ("fee", DataType::Decimal128(18, 4)),
        ("huge", DataType::Decimal128(38, 10)),
        ("score", DataType::Float64),
        ("weight", DataType::Float64),
        ("urgent", DataType::Boolean),
        ("payee", DataType::Utf8),
        ("note", DataType::Utf8),
        ("due_on", DataType::Date32),
        ("cutoff", DataType::Int32),
        ("cutoff_us", DataType::Int64),
        ("created", TIMESTAMP),
        ("seen", TIMESTAMP),
        ("local_created", TIMESTAMP),
        ("local_seen", TIMESTAMP),
        ("ref", UUID),
        ("state", DataType::Utf8),
        ("digest", DataType::Utf8),
        ("receipt", DataType::Utf8),
        ("tags", DataType::Utf8),
        ("limits", DataType::Utf8),
        ("payer", DataType::Utf8),
        ("payer.iban", DataType::Utf8),
        ("payer.address.street", DataType::Utf8),
        ("payer.address.floor", DataType::Int32),
        ("others", DataType::Utf8),
        ("either", DataType::Int64),
        ("either", DataType::Utf8),
        ("nothing", DataType::Utf8),
    ]
}

/// Microseconds of a time of day.
fn micros(text: &str) -> i64 {
    let seconds = text.split([':', '.']).take(3);
    let seconds = seconds.fold(0, |sum, part| sum * 60 + part.parse::<i64>().unwrap());
    let fraction = text.split_once('.').unwrap().1;
    seconds * 1_000_000 + format!("{fraction:0<6}").parse::<i64>().unwrap()
}

/// Whether a cell is what the truth says.
fn agrees(name: &str, data_type: &DataType, truth: &Value, cell: &Cell) -> bool {
    let out_of_range = || cell.as_ref().is_err_and(|of| of.contains("out of range"));
    let is = |text: String| *cell == Ok(Some(text));
    let found = || cell.as_ref().ok().and_then(Option::as_ref);
    match (data_type, truth) {
        (_, Value::Null) => *cell == Ok(None),
        (DataType::Float64, Value::String(_)) => out_of_range(),
        // The parser of the truth is off by one in the last bit now and then.
        (DataType::Float64, number) => found().is_some_and(|found| {
            let bits = number.as_f64().unwrap().to_bits();
            let found: f64 = found.parse().unwrap();
            found.to_bits().abs_diff(bits) <= 1
        }),
        (DataType::Timestamp(..) | DataType::Date32, Value::String(text))
            if text.starts_with(['+', '-']) =>
        {
            out_of_range()
        }
        (DataType::Timestamp(..), Value::String(text)) => found().is_some_and(|found| {
            temporal::parse_timestamp(found) == temporal::parse_timestamp(text)
        }),
        (_, Value::String(text)) if name == "cutoff" => is((micros(text) / 1_000).to_string()),
        (_, Value::String(text)) if name == "cutoff_us" => is(micros(text).to_string()),
        (DataType::FixedSizeBinary(_), Value::String(text)) => is(text.replace('-', "")),
        (DataType::Int32, Value::Number(number))
            if number.as_i64().is_some_and(|of| i32::try_from(of).is_err()) =>
        {
            out_of_range()
        }
        (DataType::Int64 | DataType::Int32, Value::Number(number)) if number.is_i64() => {
            is(number.to_string())
        }
        (DataType::Int64 | DataType::Int32, _) => cell.is_err(),
        (DataType::Utf8, Value::Array(_) | Value::Object(_)) => {
            found().is_some_and(|found| serde_json::from_str::<Value>(found).unwrap() == *truth)
        }
        (DataType::Utf8, Value::Bool(_) | Value::Number(_)) => cell.is_err(),
        (_, Value::String(text)) => is(text.clone()),
        (_, other) => is(other.to_string()),
    }
}

fn every_value_is_the_truths(spec: impl Fn(Vec<Column>) -> Spec, records: &[(Vec<u8>, Value)]) {
    for (path, data_type) in columns() {
        let spec = spec(vec![at("c", path, data_type.clone())]);
        for (i, (record, truth)) in records.iter().enumerate() {
            let cell = read(&spec, record);
            let truth = path.split('.').fold(truth, |of, name| &of[name]);
            assert!(
                agrees(path, &data_type, truth, &cell),
                "record {i}, {path}: {truth} is read as {cell:?}"
            );
        }
    }
}

#[test]
fn every_value_is_read_as_its_writer_meant_it() {
    let bare = values("bare").into_iter().flatten();
    let bare: Vec<_> = bare.zip(truth("bare")).collect();
    every_value_is_the_truths(|columns| source(&schema(1), columns), &bare);
    let truths = truth("confluent");
    for id in [1, 2] {
        let records = values("confluent").into_iter().zip(&truths);
        let records: Vec<_> = records
            .filter(|(_, truth)| truth["schema"] == id)
            .filter_map(|(record, truth)| Some((record?, truth["value"].clone())))
            .collect();
        assert!(records.len() > 15);
        let schema = schema(id);
        let framed = |columns| source(&schema, columns).with("avro.framing", "confluent");
        every_value_is_the_truths(framed, &records);
    }
}

#[test]
fn what_is_correct_and_seldom_seen_is_read() {
    let truths = truth("unusual").into_iter();
    let truths = truths.map(|truth| truth["value"].clone());
    let records = values("unusual").into_iter().flatten().zip(truths);
    let records: Vec<_> = records.collect();
    let schema = schema(1);
    let framed = |columns| source(&schema, columns).with("avro.framing", "confluent");
    every_value_is_the_truths(framed, &records);
}

/// What becomes of each damaged record when its columns are read.
fn damaged() -> Vec<(String, Cell)> {
    let columns = columns().into_iter().filter(|(path, _)| *path != "either");
    let columns = columns.map(|(path, of)| at(path, path, of)).collect();
    let spec = source(&schema(1), columns).with("avro.framing", "confluent");
    let records = values("damaged").into_iter().flatten();
    let damaged = records.zip(truth("damaged")).map(|(record, truth)| {
        let why = truth["why"].as_str().unwrap().to_owned();
        (why, read(&spec, &record))
    });
    damaged.collect()
}

#[test]
fn a_damaged_record_is_a_dead_letter_that_says_where() {
    let damaged = damaged();
    let accepted = damaged.iter().filter(|(_, cell)| cell.is_ok());
    let accepted: Vec<_> = accepted.map(|(why, _)| why.as_str()).collect();
    assert_eq!(
        accepted,
        [
            // All numbers are taken for the one schema's.
            "no schema has this id",
            "no schema has this id, the largest",
            "the id of another schema",
            // A time of day is the number that it is.
            "a time of 24 hours",
            "a negative time",
            "a uuid in capitals without hyphens",
        ]
    );
    let expected = [
        (
            "nothing but the first byte",
            "truncated: expected a zero byte and the schema's number in four bytes, found 1 bytes",
        ),
        (
            "no byte after the schema's id",
            "invalid Avro at byte 5, field 'id': truncated: the record ends within a number",
        ),
        (
            "a byte too many",
            "invalid Avro at byte 822: the record goes on for 1 bytes after its end",
        ),
        (
            "a string of 2^62 bytes",
            "invalid Avro at byte 31, field 'payee': a length of 4611686018427387904 bytes, where 492 are left",
        ),
        (
            "a string that is not UTF-8",
            "invalid Avro at byte 32, field 'payee': invalid UTF-8",
        ),
        (
            "a negative branch",
            "invalid Avro at byte 333, field 'note': expected one of 2 types of the union, found number -1",
        ),
        (
            "an array of -2^63 items",
            "invalid Avro at byte 430, field 'tags': a block of 9223372036854775808 items, more than the record has bytes",
        ),
        (
            "a decimal of no bytes",
            "field 'amount': expected DECIMAL(18, 2), found a decimal of 0 bytes (not in its text form)",
        ),
    ];
    for (why, expected) in expected {
        let found = damaged.iter().find(|(of, _)| of == why);
        assert_eq!(found.unwrap().1, Err(expected.to_owned()), "{why}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        place in 0_usize..800,
        byte in any::<u8>(),
    ) {
        let paths = columns().into_iter();
        let columns = paths.map(|(path, of)| at(path, path, of)).collect();
        let spec = source(&schema(1), columns);
        let mut record = values("bare").swap_remove(0).unwrap();
        let length = record.len();
        record[place % length] = byte;
        spec.decode(&[&bytes, &record]);
    }
}
