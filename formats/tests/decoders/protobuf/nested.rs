//! Structs, arrays and maps of messages: each value against what prost-reflect says of the same bytes, read and written.
//!
//! Catches: a value that is lost, doubled, of another field or of another message; a member of a oneof that is no more; items of a field that
//! comes packed or not. Cannot catch what prost-reflect reads wrongly, too.

use arrow_schema::DataType;
use proptest::prelude::*;
use prost::Message;
use prost_reflect::{DynamicMessage, MapKey, ReflectMessage, Value};
use serde_json::{Map, Value as Json, json};
use tidemill_types::format::Column;
use tidemill_types::sql_type::{array, map, map_value};

use super::random::{message, tapes};
use super::{descriptor, source};
use crate::kit::{TIMESTAMP, data, reasons};
use crate::nested::{record, written as as_json};

/// `corpus.Payment.Line`, but for what lies deeper.
fn line() -> Vec<(&'static str, DataType)> {
    vec![
        ("label", DataType::Utf8),
        ("amount", DataType::Utf8),
        ("discount", DataType::Int32),
    ]
}

fn lines() -> DataType {
    lines_of(line())
}

/// Of lines without amounts, whose empty texts are not read as they are written.
pub fn lines_without_amounts() -> DataType {
    let mut fields = line();
    fields.retain(|(name, _)| *name != "amount");
    lines_of(fields)
}

fn lines_of(mut fields: Vec<(&'static str, DataType)>) -> DataType {
    let tax = record(&[("rate", DataType::Float64), ("notes", map(DataType::Utf8))]);
    fields.push(("taxes", array(tax)));
    array(record(&fields))
}

/// Repeated fields and maps, which two messages after one another have together.
pub fn many() -> Vec<(&'static str, DataType)> {
    vec![
        ("packed", array(DataType::Int32)),
        ("unpacked", array(DataType::Int64)),
        ("packed_zigzag", array(DataType::Int64)),
        ("packed_doubles", array(DataType::Float64)),
        ("unpacked_fixed", array(DataType::Int64)),
        ("states", array(DataType::Int32)),
        ("flags", array(DataType::Boolean)),
        ("tags", array(DataType::Utf8)),
        ("blobs", array(DataType::Utf8)),
        ("history", array(TIMESTAMP)),
        ("limits", map(DataType::Int64)),
        ("by_flag", map(DataType::Utf8)),
        ("by_state", map(DataType::Int32)),
        ("by_number", map(record(&line()))),
        ("lines", lines()),
    ]
}

/// Messages, which are read as wholes.
fn one() -> Vec<(&'static str, DataType)> {
    vec![
        ("line", record(&line())),
        (
            "first",
            record(&[("discount", DataType::Int32), ("label", DataType::Utf8)]),
        ),
        (
            "money",
            record(&[
                ("currency_code", DataType::Utf8),
                ("units", DataType::Int64),
            ]),
        ),
    ]
}

fn columns(of: &[(&str, DataType)]) -> Vec<Column> {
    let columns = of.iter();
    columns
        .map(|(name, data_type)| data(name, data_type.clone()))
        .collect()
}

/// What prost-reflect says of the columns, after the same way through a text as what is found, which is not exact for floating-point numbers.
fn expected(message: &DynamicMessage, columns: &[(&str, DataType)]) -> Json {
    serde_json::from_str(&told(message, columns).to_string()).unwrap()
}

fn told(message: &DynamicMessage, columns: &[(&str, DataType)]) -> Json {
    let member = |(name, data_type): &(&str, DataType)| {
        let field = message.descriptor().get_field_by_name(name).unwrap();
        let value = message.get_field(&field);
        let is_there = !field.supports_presence() || message.has_field(&field);
        let shown = is_there.then(|| shown(&value, data_type));
        ((*name).to_owned(), shown.unwrap_or(Json::Null))
    };
    Json::Object(columns.iter().map(member).collect())
}

fn shown(value: &Value, data_type: &DataType) -> Json {
    match (value, data_type) {
        (Value::List(items), DataType::List(element)) => {
            let items = items.iter();
            items.map(|item| shown(item, element.data_type())).collect()
        }
        (Value::Map(entries), _) => {
            let of = map_value(data_type).unwrap();
            let key = |key: &MapKey| match key {
                MapKey::Bool(key) => key.to_string(),
                MapKey::I32(key) => key.to_string(),
                MapKey::String(key) => key.clone(),
                other => panic!("{other:?}"),
            };
            let entries = entries.iter();
            let entries = entries.map(|(at, value)| (key(at), shown(value, of)));
            Json::Object(entries.collect::<Map<_, _>>())
        }
        (Value::Message(message), DataType::Struct(fields)) => {
            let fields = fields.iter();
            let fields: Vec<_> = fields
                .map(|field| (field.name().as_str(), field.data_type().clone()))
                .collect();
            told(message, &fields)
        }
        (Value::Message(message), DataType::Timestamp(..)) => {
            let part = |name| message.get_field_by_name(name).unwrap().into_owned();
            let ms = part("seconds").as_i64().unwrap() * 1_000
                + i64::from(part("nanos").as_i32().unwrap() / 1_000_000);
            let mut text = Vec::new();
            assert!(tidemill_formats::temporal::write_timestamp(ms, &mut text));
            json!(String::from_utf8(text).unwrap())
        }
        // An amount, which is zero if its text is empty.
        (Value::Message(message), _) => match message.get_field_by_name("value").as_deref() {
            Some(Value::String(text)) if text.is_empty() => json!("0"),
            Some(Value::String(text)) => json!(text),
            other => panic!("{other:?}"),
        },
        (Value::Bool(is), _) => json!(is),
        (Value::I32(number) | Value::EnumNumber(number), _) => json!(number),
        (Value::I64(number), _) => json!(number),
        (Value::U32(number), _) => json!(number),
        (Value::F64(number), _) => json!(number),
        (Value::String(text), _) => json!(text),
        (Value::Bytes(bytes), _) => json!(String::from_utf8(bytes.to_vec()).unwrap()),
        (other, data_type) => panic!("{other} in a column of {data_type}"),
    }
}

fn decoded(bytes: &[u8]) -> DynamicMessage {
    DynamicMessage::decode(descriptor("corpus.Payment"), bytes).unwrap()
}

proptest! {
    #[test]
    fn values_within_values_are_those_that_prost_reflect_reads(tape in tapes()) {
        let bytes = message(&tape).encode_to_vec();
        let types = [many(), one()].concat();
        let rows = source(1, "corpus.Payment", columns(&types)).decode(&[&bytes]);
        prop_assert_eq!(reasons(&rows), [""; 0]);
        let found: Json = serde_json::from_str(&as_json(&rows.rows)[0]).unwrap();
        prop_assert_eq!(found, expected(&decoded(&bytes), &types));
    }

    #[test]
    fn repeated_fields_of_two_messages_are_one_and_a_message_in_two_parts_is_told(
        first in tapes(),
        second in tapes(),
    ) {
        let bytes = [message(&first), message(&second)].map(|of| of.encode_to_vec()).concat();
        let read = decoded(&bytes);
        let types = many();
        let rows = source(1, "corpus.Payment", columns(&types)).decode(&[&bytes]);
        prop_assert_eq!(reasons(&rows), [""; 0]);
        let found: Json = serde_json::from_str(&as_json(&rows.rows)[0]).unwrap();
        prop_assert_eq!(found, expected(&read, &types));

        let [first, second] = [first, second].map(|tape| message(&tape));
        for (name, data_type) in one() {
            let rows = source(1, "corpus.Payment", columns(&[(name, data_type.clone())]));
            let rows = rows.decode(&[&bytes]);
            let has = |message: &DynamicMessage| message.has_field_by_name(name);
            if has(&first) && has(&second) {
                let reasons = reasons(&rows);
                let expected = format!("field '{name}': it comes in two parts, and is read as a whole");
                prop_assert!(reasons.len() == 1 && reasons[0].ends_with(&expected), "{:?}", reasons);
            } else {
                let found: Json = serde_json::from_str(&as_json(&rows.rows)[0]).unwrap();
                prop_assert_eq!(found, expected_of(&read, name, &data_type));
            }
        }
    }

    #[test]
    fn no_damage_in_values_within_values_makes_it_panic(
        tape in tapes(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = message(&tape).encode_to_vec();
        bytes.push(0);
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        source(1, "corpus.Payment", columns(&[many(), one()].concat())).decode(&[&bytes]);
    }
}

fn expected_of(message: &DynamicMessage, name: &str, data_type: &DataType) -> Json {
    expected(message, &[(name, data_type.clone())])
}

/// A field of a number, with its length.
fn sized(number: u8, bytes: &[u8]) -> Vec<u8> {
    let tag = [number << 3 | 2, u8::try_from(bytes.len()).unwrap()];
    [&tag, bytes].concat()
}

#[test]
fn of_a_oneof_within_a_message_only_the_last_member_is_there() {
    let descriptors = proto(
        "message Row { Inner inner = 1; }
         message Inner { oneof of { string a = 1; int64 b = 2; Leaf c = 3; } repeated Leaf many = 4; }
         message Leaf { int64 n = 1; }",
    );
    let leaf = record(&[("n", DataType::Int64)]);
    let inner = record(&[
        ("a", DataType::Utf8),
        ("b", DataType::Int64),
        ("c", leaf.clone()),
        ("many", array(leaf)),
    ]);
    let spec = crate::kit::Spec::new("plain", vec![data("inner", inner)])
        .in_format("protobuf")
        .with("protobuf.descriptors", &descriptors)
        .with("protobuf.message", "t.Row");
    let (a, b, c) = (sized(1, b"x"), vec![16, 7], sized(3, &[8, 5]));
    let many = sized(4, &[8, 1]);
    let inner = |parts: &[&[u8]]| sized(1, &parts.concat());
    let records = [
        inner(&[&a, &b]),
        inner(&[&b, &a]),
        inner(&[&c, &a, &c]),
        inner(&[&many, &c, &b, &many]),
        inner(&[]),
        inner(&[&c, &c]),
    ];
    let records: Vec<_> = records.iter().map(Vec::as_slice).collect();
    let rows = spec.decode(&records);
    assert_eq!(
        as_json(&rows.rows),
        [
            r#"{"inner":{"a":null,"b":7,"c":null,"many":[]}}"#,
            r#"{"inner":{"a":"x","b":null,"c":null,"many":[]}}"#,
            r#"{"inner":{"a":null,"b":null,"c":{"n":5},"many":[]}}"#,
            r#"{"inner":{"a":null,"b":7,"c":null,"many":[{"n":1},{"n":1}]}}"#,
            r#"{"inner":{"a":null,"b":null,"c":null,"many":[]}}"#,
        ]
    );
    assert_eq!(
        reasons(&rows),
        [
            "field 'inner': invalid Protobuf at byte 7, field 'c': it comes in two parts, and is read as a whole"
        ]
    );
}

/// A file of these messages, as an option has it.
fn proto(messages: &str) -> String {
    use base64::Engine;
    let text = format!("syntax = \"proto3\"; package t; {messages}");
    let schema = crate::subject::schema_text(&text);
    let file = tidemill_formats::proto_text::compile(&schema).unwrap();
    base64::engine::general_purpose::STANDARD.encode(file.parent_pool().encode_to_vec())
}

#[test]
fn what_lies_in_a_value_and_does_not_fit_is_named_by_its_path() {
    let spec = source(
        1,
        "corpus.Payment",
        columns(&[(
            "lines",
            array(record(&[
                ("label", DataType::Int64),
                ("discount", DataType::Int32),
            ])),
        )]),
    );
    let error = spec.decoder().err().unwrap().to_string();
    assert_eq!(
        error,
        "column 'lines' has another type than the field 'lines[].label', which is a string; it can be VARCHAR, DECIMAL(p, s), DATE, TIMESTAMP, or UUID"
    );
    let spec = source(
        1,
        "corpus.Payment",
        columns(&[
            ("limits", map(DataType::Int32)),
            ("tags", array(DataType::Date32)),
        ]),
    );
    let mut message = DynamicMessage::new(descriptor("corpus.Payment"));
    let limits = [(MapKey::String("high".into()), Value::I64(1 << 40))];
    message.set_field_by_name("limits", Value::Map(limits.into()));
    let first = message.encode_to_vec();
    let mut message = DynamicMessage::new(descriptor("corpus.Payment"));
    let tags = ["2026-01-01", "soon"].map(|tag| Value::String(tag.into()));
    message.set_field_by_name("tags", Value::List(tags.into()));
    let rows = spec.decode(&[&first, &message.encode_to_vec()]);
    assert_eq!(
        reasons(&rows),
        [
            "field 'limits.high': expected INT, found 1099511627776 (out of range)",
            "field 'tags[2]': expected DATE, found soon (not in its text form)"
        ]
    );
}
