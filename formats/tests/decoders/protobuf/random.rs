//! Random messages, written by prost-reflect: what its own decoder gives back is in the columns. Two messages after one another are one.
//!
//! Catches a value that is lost, of another field or of another message, and any panic. Cannot catch what prost-reflect reads wrongly, too.

use arrow_schema::DataType;
use prop::sample::Index;
use proptest::prelude::*;
use prost::Message;
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage, Value,
};
use tidemill_types::format::Column;

use super::{descriptor, source};
use crate::kit::{TIMESTAMP, at, reasons};

use super::corpus::{Cell, cell};

/// The columns, which any of the random values fits.
fn columns() -> Vec<Column> {
    let unsigned = DataType::Decimal128(20, 0);
    let columns = [
        ("id", DataType::Int64),
        ("plain32", DataType::Int32),
        ("unsigned32", DataType::Int64),
        ("unsigned64", unsigned.clone()),
        ("zigzag32", DataType::Int32),
        ("zigzag64", DataType::Int64),
        ("fixed_32", DataType::Int64),
        ("fixed_64", unsigned),
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
        ("maybe_state", DataType::Int32),
        ("text", DataType::Utf8),
        ("number", DataType::Int64),
        ("flag", DataType::Boolean),
        ("line.label", DataType::Utf8),
        ("line.discount", DataType::Int32),
        ("line.amount.value", DataType::Utf8),
        ("chosen", DataType::Int32),
        ("state", DataType::Int32),
        ("first.label", DataType::Utf8),
        ("first.discount", DataType::Int32),
        ("first.amount.value", DataType::Utf8),
        ("seen", TIMESTAMP),
        ("seen.seconds", DataType::Int64),
        ("took.nanos", DataType::Int32),
        ("wrapped_int", DataType::Int64),
        ("wrapped_int.value", DataType::Int64),
        ("wrapped_text", DataType::Utf8),
        ("wrapped_bool", DataType::Boolean),
        ("wrapped_double", DataType::Float64),
        ("wrapped_bytes", DataType::Utf8),
        ("money.units", DataType::Int64),
        ("due_on.year", DataType::Int32),
        ("amount_text", DataType::Utf8),
        ("legacy", DataType::Boolean),
    ];
    let columns = columns.into_iter();
    columns
        .map(|(path, data_type)| at(path, path, data_type))
        .collect()
}

/// Where random values are taken from; zeros, once it is used up.
struct Tape<'a>(std::slice::Iter<'a, u64>);

impl Tape<'_> {
    fn next(&mut self) -> u64 {
        self.0.next().copied().unwrap_or_default()
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// Often small, sometimes at an end of its range.
    fn number(&mut self) -> u64 {
        let number = self.next();
        match number % 4 {
            0 => number >> 58,
            1 => (number >> 58).wrapping_neg(),
            2 => number.rotate_left(32) | (1 << 63),
            _ => number,
        }
    }

    fn text(&mut self) -> String {
        let parts = ["", "a", "€", "💶", "\0", "twelve letters"];
        let parts = (0..self.below(3)).map(|_| parts[usize::try_from(self.below(6)).unwrap()]);
        parts.collect()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "any value will do")]
fn value(kind: &Kind, tape: &mut Tape<'_>, depth: usize) -> Value {
    match kind {
        // All are finite, and none is so large that a float becomes infinite.
        Kind::Double => Value::F64(tape.number().cast_signed() as f64 / 7.0),
        Kind::Float => Value::F32(tape.number().cast_signed() as f32 / 7.0),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(tape.number() as i32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(tape.number().cast_signed()),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(tape.number() as u32),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(tape.number()),
        Kind::Bool => Value::Bool(tape.below(2) == 1),
        Kind::String => Value::String(tape.text()),
        Kind::Bytes => Value::Bytes(tape.text().into_bytes().into()),
        Kind::Enum(_) => Value::EnumNumber(tape.number() as i32),
        Kind::Message(message) => Value::Message(filled(message, tape, depth + 1)),
    }
}

fn filled(message: &MessageDescriptor, tape: &mut Tape<'_>, depth: usize) -> DynamicMessage {
    let mut filled = DynamicMessage::new(message.clone());
    if message.full_name() == "google.protobuf.Timestamp" {
        let seconds = tape.below(4_000_000_000).cast_signed() - 2_000_000_000;
        filled.set_field_by_name("seconds", Value::I64(seconds));
        let nanos = i32::try_from(tape.below(1_000_000_000)).unwrap();
        filled.set_field_by_name("nanos", Value::I32(nanos));
        return filled;
    }
    for field in message.fields() {
        if tape.below(2) == 1 && depth < 3 {
            let value = field_value(&field, tape, depth);
            filled.set_field(&field, value);
        }
    }
    filled
}

fn field_value(field: &FieldDescriptor, tape: &mut Tape<'_>, depth: usize) -> Value {
    if field.is_map() {
        let Kind::Message(entry) = field.kind() else {
            unreachable!("a map is a message for each entry")
        };
        let key = match value(&entry.map_entry_key_field().kind(), tape, depth) {
            Value::Bool(key) => MapKey::Bool(key),
            Value::I32(key) => MapKey::I32(key),
            Value::String(key) => MapKey::String(key),
            other => unreachable!("{other}"),
        };
        let value = value(&entry.map_entry_value_field().kind(), tape, depth);
        return Value::Map([(key, value)].into());
    }
    if field.is_list() {
        let length = tape.below(3);
        return Value::List(
            (0..length)
                .map(|_| value(&field.kind(), tape, depth))
                .collect(),
        );
    }
    value(&field.kind(), tape, depth)
}

/// What prost-reflect says of a path.
fn expected(message: &DynamicMessage, path: &str) -> Cell {
    let (first, rest) = path
        .split_once('.')
        .map_or((path, None), |(first, rest)| (first, Some(rest)));
    let field = message.descriptor().get_field_by_name(first).unwrap();
    if field.supports_presence() && !message.has_field(&field) {
        return Cell::Null;
    }
    let value = message.get_field(&field);
    if let (Some(rest), Value::Message(inner)) = (rest, &*value) {
        return expected(inner, rest);
    }
    shown(&value)
}

fn shown(value: &Value) -> Cell {
    Cell::Is(match value {
        Value::Bool(is) => is.to_string(),
        Value::I32(number) | Value::EnumNumber(number) => number.to_string(),
        Value::I64(number) => number.to_string(),
        Value::U32(number) => number.to_string(),
        Value::U64(number) => number.to_string(),
        Value::F32(number) => format!("{:?}", f64::from(*number)),
        Value::F64(number) => format!("{number:?}"),
        Value::String(text) => text.clone(),
        Value::Bytes(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        Value::Message(message) => match message.get_field_by_name("seconds").as_deref() {
            Some(Value::I64(seconds)) => {
                let nanos = message.get_field_by_name("nanos").unwrap();
                let ms = seconds * 1_000 + i64::from(nanos.as_i32().unwrap() / 1_000_000);
                ms.to_string()
            }
            _ => return shown(&message.get_field_by_name("value").unwrap()),
        },
        Value::List(_) | Value::Map(_) => unreachable!("no column is repeated"),
    })
}

/// A message of the corpus from a tape.
pub fn message(tape: &[u64]) -> DynamicMessage {
    filled(&descriptor("corpus.Payment"), &mut Tape(tape.iter()), 0)
}

/// Tapes.
pub fn tapes() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec(any::<u64>(), 0..300)
}

proptest! {
    #[test]
    fn a_message_has_the_values_that_prost_reflect_reads(first in tapes(), second in tapes()) {
        let columns = columns();
        let mut bytes = message(&first).encode_to_vec();
        bytes.extend(message(&second).encode_to_vec());
        let read = DynamicMessage::decode(descriptor("corpus.Payment"), bytes.as_slice()).unwrap();
        let decoded = source(1, "corpus.Payment", columns.clone()).decode(&[&bytes]);
        prop_assert_eq!(reasons(&decoded), [""; 0]);
        for (column, array) in columns.iter().zip(decoded.rows.columns()) {
            let found = cell(array, |number| format!("{number:?}"));
            prop_assert_eq!(found, expected(&read, &column.name), "column {}", column.name);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        for framing in ["none", "confluent"] {
            let spec = source(1, "corpus.Payment", columns());
            spec.with("protobuf.framing", framing).decode(&[&bytes]);
        }
    }

    #[test]
    fn no_damage_makes_it_panic(
        tape in tapes(),
        damage in prop::collection::vec((any::<Index>(), any::<u8>()), 1..4),
        end in any::<Index>(),
    ) {
        let mut bytes = message(&tape).encode_to_vec();
        bytes.push(0);
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        bytes.truncate(end.index(bytes.len()) + 1);
        source(1, "corpus.Payment", columns()).decode(&[&bytes]);
    }
}
