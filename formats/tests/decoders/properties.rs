//! Properties of the envelope decoder, over generated and damaged records.
//!
//! Catches: a value decoded to another one than a slow decoder over `serde_json::Value` gives, a record that is accepted by one and refused
//! by the other, partial rows, lost or doubled records, panics. Does not catch: wrong reasons (unit tests have those), and differences in
//! numbers that `serde_json::Value` itself cannot hold (more than 15 digits with a fraction; `decimal`'s own tests have those).

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, StringArray,
    TimestampMillisecondArray,
};
use arrow_array::{BinaryArray, UInt8Array};
use arrow_schema::{DataType, TimeUnit};
use proptest::prelude::*;
use serde_json::Value;
use tidemill_types::format::{Column, ColumnOrigin, Decoded, Decoder, Path};
use tidemill_types::system_columns::Kept;

use super::kit::{self, Spec};

/// Field of `data` and its type; the oracle has one function per type.
const FIELDS: [&str; 6] = ["paid", "budget_id", "rate", "amount", "currency", "due_on"];

fn decoder() -> Box<dyn Decoder> {
    let types = [
        DataType::Boolean,
        DataType::Int64,
        DataType::Float64,
        DataType::Decimal128(18, 2),
        DataType::Utf8,
        DataType::Date32,
    ];
    let data = |(name, data_type): (&&str, DataType)| Column {
        name: (*name).into(),
        data_type,
        // One field may not be missing.
        nullable: *name != "budget_id",
        origin: ColumnOrigin::Data(Path::member(*name)),
    };
    let metadata = |name: &str, data_type| Column {
        name: name.into(),
        data_type,
        nullable: false,
        origin: ColumnOrigin::Metadata(name.into()),
    };
    let mut columns: Vec<_> = FIELDS.iter().zip(types).map(data).collect();
    columns.push(metadata("id", DataType::Int64));
    columns.push(metadata(
        "ts",
        DataType::Timestamp(TimeUnit::Millisecond, None),
    ));
    let spec = Spec {
        kept: Kept {
            bytes: true,
            ..Kept::default()
        },
        ..Spec::new("crud", columns)
    };
    spec.with("entity", "payment").decoder().unwrap()
}

fn decode(decoder: &mut dyn Decoder, values: &[Vec<u8>]) -> Decoded {
    let values: Vec<_> = values.iter().map(Vec::as_slice).collect();
    kit::decode(decoder, &kit::records(&values))
}

/// The place of the record at an offset.
fn place(offset: i64) -> usize {
    usize::try_from(offset - kit::FIRST_OFFSET).unwrap()
}

/// What the oracle makes of a record.
#[derive(Debug, Clone, PartialEq)]
enum Expected {
    Row(Row),
    Read,
    DeadLetter,
}

#[derive(Debug, Clone, PartialEq, Default)]
struct Row {
    paid: Option<bool>,
    budget_id: Option<i64>,
    rate: Option<f64>,
    amount: Option<i128>,
    currency: Option<String>,
    due_on: Option<i32>,
    id: i64,
    ts: i64,
    op: u8,
}

/// The slow decoder.
fn oracle(record: &[u8]) -> Expected {
    decode_slowly(record).unwrap_or(Expected::DeadLetter)
}

fn decode_slowly(record: &[u8]) -> Option<Expected> {
    let event: Value = serde_json::from_slice(record).ok()?;
    let kind = event.get("type")?.as_str()?;
    let op = match kind {
        "create" => 0,
        "update" => 1,
        "delete" => 2,
        "read" => 3,
        _ => return None,
    };
    if event.get("entity")?.as_str()? != "payment" || event.get("uuid")?.as_str()?.is_empty() {
        return None;
    }
    let (id, ts) = (event.get("id")?, event.get("ts")?.as_i64()?);
    if !(id.is_number() || id.is_string()) {
        return None;
    }
    let nothing = Value::Object(serde_json::Map::new());
    let data = match event.get("data") {
        Some(data @ Value::Object(_)) => data,
        None | Some(Value::Null) if op >= 2 => &nothing,
        _ => return None,
    };
    if op == 3 {
        return Some(Expected::Read);
    }
    let id = id.as_i64()?;
    let field = |name: &str| data.get(name).filter(|value| !value.is_null());
    let row = Row {
        paid: typed(field("paid"), Value::as_bool)?,
        budget_id: typed(field("budget_id"), Value::as_i64)?,
        rate: typed(field("rate"), Value::as_f64)?,
        amount: typed(field("amount"), cents)?,
        currency: typed(field("currency"), |value| value.as_str().map(str::to_owned))?,
        due_on: typed(field("due_on"), days)?,
        id,
        ts,
        op,
    };
    (op == 2 || row.budget_id.is_some()).then_some(Expected::Row(row))
}

/// Nothing, a value, or (`None`) a value of the wrong type.
fn typed<T>(value: Option<&Value>, convert: impl Fn(&Value) -> Option<T>) -> Option<Option<T>> {
    match value {
        None => Some(None),
        Some(value) => convert(value).map(Some),
    }
}

/// Money by schoolbook: cut at the point, fill up the fraction.
fn cents(value: &Value) -> Option<i128> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        _ => return None,
    };
    let unsigned = text.strip_prefix('-').unwrap_or(&text);
    let (whole, fraction) = match unsigned.split_once('.') {
        Some((_, "")) => return None,
        Some((whole, fraction)) => (whole, fraction),
        None => (unsigned, ""),
    };
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    let whole = whole.trim_start_matches('0');
    if fraction.len() > 2 || whole.len() > 16 {
        return None;
    }
    let magnitude: i128 = format!("{whole}{fraction:0<2}").parse().ok()?;
    Some(if text.starts_with('-') {
        -magnitude
    } else {
        magnitude
    })
}

fn days(value: &Value) -> Option<i32> {
    let text = value.as_str().filter(|text| text.len() == 10)?;
    let date = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    i32::try_from(
        date.signed_duration_since(chrono::NaiveDate::default())
            .num_days(),
    )
    .ok()
}

/// The JSON text of some value, most often one that fits `name`.
fn value_of(name: &str) -> BoxedStrategy<String> {
    let fitting = match name {
        "paid" => any::<bool>().prop_map(|value| value.to_string()).boxed(),
        "budget_id" => any::<i64>().prop_map(|value| value.to_string()).boxed(),
        "rate" => "-?(0|[1-9][0-9]{0,5})(\\.[0-9]{1,4})?".boxed(),
        "amount" => {
            "(\"-?[0-9]{1,17}(\\.[0-9]{1,3})?\"|-?(0|[1-9][0-9]{0,9})(\\.[0-9]{1,3})?)".boxed()
        }
        "currency" => any::<String>()
            .prop_map(|text| Value::from(text).to_string())
            .boxed(),
        _ => "\"20[0-9]{2}-[01][0-9]-[0-3][0-9]\"".boxed(),
    };
    prop_oneof![12 => fitting, 1 => any_value()].boxed()
}

fn any_value() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "null",
        "true",
        "0",
        "1.50",
        "1e2",
        "18446744073709551615",
        "\"\"",
        "\"7\"",
        "\"\\u00e9\\n\"",
        "[]",
        "[{\"id\": [1]}, \"]\"]",
        "{}",
        "{\"amount\": {}}",
    ])
    .prop_map(str::to_owned)
}

/// A record: members in any order, some missing, some unknown.
fn record() -> impl Strategy<Value = Vec<u8>> {
    let fields: Vec<_> = FIELDS
        .iter()
        .map(|name| prop::option::weighted(0.9, value_of(name)))
        .collect();
    let data = (fields, any_value()).prop_flat_map(|(values, unknown)| {
        let mut members: Vec<String> = FIELDS
            .iter()
            .zip(values)
            .filter_map(|(name, value)| value.map(|value| format!("\"{name}\": {value}")))
            .collect();
        members.push(format!("\"unknown\": {unknown}"));
        Just(members)
            .prop_shuffle()
            .prop_map(|members| format!("{{{}}}", members.join(", ")))
    });
    let data =
        prop_oneof![12 => data.prop_map(Some), 1 => any_value().prop_map(Some), 1 => Just(None)];
    let kind = prop::sample::select(vec![
        "create", "update", "update", "delete", "read", "upsert",
    ]);
    let entity = prop_oneof![20 => Just("payment"), 1 => Just("refund")];
    let id = prop_oneof![20 => any::<i64>().prop_map(|id| id.to_string()), 1 => any_value()];
    (
        kind,
        entity,
        id,
        0_i64..2_000_000_000_000,
        data,
        any_value(),
    )
        .prop_flat_map(|(kind, entity, id, ts, data, unknown)| {
            let mut members = vec![
                "\"uuid\": \"u\"".to_owned(),
                format!("\"type\": \"{kind}\""),
                format!("\"ts\":{ts} "),
                format!("\"entity\": \"{entity}\""),
                format!("\"id\": {id}"),
                format!("\"unknown\":\t{unknown}"),
            ];
            members.extend(data.map(|data| format!("\"data\": {data}")));
            Just(members)
                .prop_shuffle()
                .prop_map(|members| format!(" {{{}}}\n", members.join(",")).into_bytes())
        })
}

/// A record with a few bytes cut, changed or put in.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    (
        record(),
        prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 1..4),
    )
        .prop_map(|(mut record, edits)| {
            for (at, byte, edit) in edits {
                let at = at.index(record.len().max(1));
                match edit {
                    0 => record.truncate(at),
                    1 => record.insert(at.min(record.len()), byte),
                    2 if at < record.len() => record[at] = byte,
                    _ if at < record.len() => {
                        record.remove(at);
                    }
                    _ => {}
                }
            }
            record
        })
}

fn assert_each_record_once(decoded: &Decoded, records: &[Vec<u8>]) -> Result<(), TestCaseError> {
    let offsets = decoded
        .rows
        .column_by_name("__offset")
        .expect("a system column");
    let offsets = offsets
        .as_any()
        .downcast_ref::<Int64Array>()
        .expect("integers");
    let bytes = decoded
        .rows
        .column_by_name("__bytes")
        .expect("a system column");
    let bytes = bytes.as_any().downcast_ref::<BinaryArray>().expect("bytes");
    let mut seen: Vec<(i64, Vec<u8>)> = offsets
        .values()
        .iter()
        .enumerate()
        .map(|(i, offset)| (*offset, bytes.value(i).to_vec()))
        .collect();
    seen.extend(
        decoded
            .dead_letters
            .iter()
            .map(|letter| (letter.offset, letter.bytes.clone().unwrap_or_default())),
    );
    seen.sort();
    seen.dedup();
    prop_assert_eq!(
        seen.len() + usize::try_from(decoded.ignored).expect("small"),
        records.len()
    );
    for (offset, bytes) in seen {
        prop_assert_eq!(&bytes, &records[place(offset)]);
    }
    Ok(())
}

fn columns_of(rows: &[Row]) -> Vec<ArrayRef> {
    let amounts: Decimal128Array = rows.iter().map(|row| row.amount).collect();
    vec![
        Arc::new(rows.iter().map(|row| row.paid).collect::<BooleanArray>()),
        Arc::new(rows.iter().map(|row| row.budget_id).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| row.rate).collect::<Float64Array>()),
        Arc::new(amounts.with_precision_and_scale(18, 2).expect("valid")),
        Arc::new(
            rows.iter()
                .map(|row| row.currency.clone())
                .collect::<StringArray>(),
        ),
        Arc::new(rows.iter().map(|row| row.due_on).collect::<Date32Array>()),
        Arc::new(rows.iter().map(|row| Some(row.id)).collect::<Int64Array>()),
        Arc::new(
            rows.iter()
                .map(|row| Some(row.ts))
                .collect::<TimestampMillisecondArray>(),
        ),
        Arc::new(rows.iter().map(|row| Some(row.op)).collect::<UInt8Array>()),
    ]
}

fn assert_as_oracle(records: &[Vec<u8>]) -> Result<(), TestCaseError> {
    let mut decoder = decoder();
    let decoded = decode(&mut *decoder, records);
    assert_each_record_once(&decoded, records)?;
    let expected: Vec<Expected> = records.iter().map(|record| oracle(record)).collect();
    let dead: Vec<usize> = (0..records.len())
        .filter(|&i| expected[i] == Expected::DeadLetter)
        .collect();
    let letters: Vec<usize> = decoded
        .dead_letters
        .iter()
        .map(|letter| place(letter.offset))
        .collect();
    prop_assert_eq!(letters, dead, "{:?}", decoded.dead_letters);
    let rows: Vec<Row> = expected
        .into_iter()
        .filter_map(|expected| {
            if let Expected::Row(row) = expected {
                Some(row)
            } else {
                None
            }
        })
        .collect();
    for (column, expected) in decoded.rows.columns().iter().zip(columns_of(&rows)) {
        prop_assert_eq!(column, &expected);
    }
    // The decoder keeps nothing from batch to batch.
    prop_assert_eq!(decode(&mut *decoder, records).rows, decoded.rows);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn events_decode_as_the_oracle_decodes_them(records in prop::collection::vec(record(), 0..12)) {
        assert_as_oracle(&records)?;
    }

    #[test]
    fn every_damaged_record_is_a_row_a_read_or_a_dead_letter(records in prop::collection::vec(damaged(), 1..12)) {
        assert_each_record_once(&decode(&mut *decoder(), &records), &records)?;
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 1..12)) {
        assert_each_record_once(&decode(&mut *decoder(), &records), &records)?;
    }
}
