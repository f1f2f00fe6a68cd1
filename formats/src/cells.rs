//! The values of one column as text, typed once per batch, written one by one: as JSON, or without its quotes.

mod nested;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimestampMillisecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{
    Array, BinaryArray, BooleanArray, Decimal128Array, FixedSizeBinaryArray, LargeStringArray,
    PrimitiveArray, StringArray, StringViewArray,
};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, TimeUnit};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use uuid::Uuid;

use crate::{decimal, temporal};
pub use nested::{NestedCells, part};

/// The types that have a form in JSON.
pub const SUPPORTED: &str = "one of BOOLEAN, an integer, REAL, DOUBLE, DECIMAL(p, s) up to 38 digits, VARCHAR, DATE, TIMESTAMP in milliseconds \
     without time zone, UUID, BYTEA, or an ARRAY, STRUCT or MAP of them";

/// A column of a batch.
pub struct Cells<'a> {
    values: Values<'a>,
    nulls: Option<&'a NullBuffer>,
}

/// The values, by type.
pub enum Values<'a> {
    Null,
    Boolean(&'a BooleanArray),
    Int8(&'a PrimitiveArray<Int8Type>),
    Int16(&'a PrimitiveArray<Int16Type>),
    Int32(&'a PrimitiveArray<Int32Type>),
    Int64(&'a PrimitiveArray<Int64Type>),
    UInt8(&'a PrimitiveArray<UInt8Type>),
    UInt16(&'a PrimitiveArray<UInt16Type>),
    UInt32(&'a PrimitiveArray<UInt32Type>),
    UInt64(&'a PrimitiveArray<UInt64Type>),
    Float32(&'a PrimitiveArray<Float32Type>),
    Float64(&'a PrimitiveArray<Float64Type>),
    Decimal(&'a Decimal128Array, i8),
    Text(&'a StringArray),
    LargeText(&'a LargeStringArray),
    TextView(&'a StringViewArray),
    Date(&'a PrimitiveArray<Date32Type>),
    Timestamp(&'a PrimitiveArray<TimestampMillisecondType>),
    Uuid(&'a FixedSizeBinaryArray),
    Bytes(&'a BinaryArray),
    Nested(Box<NestedCells<'a>>),
}

/// True if values of the type can be written.
pub fn is_supported(data_type: &DataType) -> bool {
    Cells::of(arrow_array::new_empty_array(data_type).as_ref()).is_some()
}

impl<'a> Cells<'a> {
    /// The values of an array, if its type has a form in JSON.
    pub fn of(array: &'a dyn Array) -> Option<Self> {
        let values = match array.data_type() {
            DataType::Null => Values::Null,
            DataType::Boolean => Values::Boolean(array.as_boolean()),
            DataType::Int8 => Values::Int8(array.as_primitive()),
            DataType::Int16 => Values::Int16(array.as_primitive()),
            DataType::Int32 => Values::Int32(array.as_primitive()),
            DataType::Int64 => Values::Int64(array.as_primitive()),
            DataType::UInt8 => Values::UInt8(array.as_primitive()),
            DataType::UInt16 => Values::UInt16(array.as_primitive()),
            DataType::UInt32 => Values::UInt32(array.as_primitive()),
            DataType::UInt64 => Values::UInt64(array.as_primitive()),
            DataType::Float32 => Values::Float32(array.as_primitive()),
            DataType::Float64 => Values::Float64(array.as_primitive()),
            &DataType::Decimal128(_, scale) => {
                Values::Decimal(array.as_primitive::<Decimal128Type>(), scale)
            }
            DataType::Utf8 => Values::Text(array.as_string()),
            DataType::LargeUtf8 => Values::LargeText(array.as_string()),
            DataType::Utf8View => Values::TextView(array.as_string_view()),
            DataType::Date32 => Values::Date(array.as_primitive()),
            DataType::Timestamp(TimeUnit::Millisecond, None) => {
                Values::Timestamp(array.as_primitive())
            }
            DataType::FixedSizeBinary(16) => Values::Uuid(array.as_fixed_size_binary()),
            DataType::Binary => Values::Bytes(array.as_binary()),
            DataType::Struct(_) | DataType::List(_) | DataType::Map(..) => {
                Values::Nested(Box::new(NestedCells::of(array)?))
            }
            _ => return None,
        };
        Some(Self {
            values,
            nulls: array.nulls(),
        })
    }

    /// The values, whose nulls are any value.
    pub const fn values(&self) -> &Values<'a> {
        &self.values
    }

    /// True if the row has no value.
    #[inline]
    pub fn is_null(&self, row: usize) -> bool {
        matches!(self.values, Values::Null) || self.nulls.is_some_and(|nulls| nulls.is_null(row))
    }

    /// True if some row has no value, in a column that could have one.
    pub fn has_nulls(&self) -> bool {
        self.nulls.is_some_and(|nulls| nulls.null_count() > 0)
    }

    /// Appends the value of a row as plain text: without JSON's quotes and escapes. False, and nothing written, for a null.
    pub fn write_plain(&self, row: usize, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        self.write(row, out);
        let json = &out[start..];
        if json == b"null" {
            out.truncate(start);
            return false;
        }
        if json.starts_with(b"\"") {
            if json.contains(&b'\\') {
                let text: String =
                    serde_json::from_slice(json).expect("what was written is a JSON string");
                out.truncate(start);
                out.extend_from_slice(text.as_bytes());
            } else {
                out.pop();
                out.remove(start);
            }
        }
        true
    }

    /// Appends the value of a row as JSON.
    #[inline]
    pub fn write(&self, row: usize, out: &mut Vec<u8>) {
        if self.is_null(row) {
            out.extend_from_slice(b"null");
            return;
        }
        match &self.values {
            Values::Null => out.extend_from_slice(b"null"),
            Values::Boolean(values) => {
                out.extend_from_slice(if values.value(row) { b"true" } else { b"false" })
            }
            Values::Int8(values) => write_integer(values.value(row), out),
            Values::Int16(values) => write_integer(values.value(row), out),
            Values::Int32(values) => write_integer(values.value(row), out),
            Values::Int64(values) => write_integer(values.value(row), out),
            Values::UInt8(values) => write_integer(values.value(row), out),
            Values::UInt16(values) => write_integer(values.value(row), out),
            Values::UInt32(values) => write_integer(values.value(row), out),
            Values::UInt64(values) => write_integer(values.value(row), out),
            Values::Float32(values) => write_json(&values.value(row), out),
            Values::Float64(values) => write_json(&values.value(row), out),
            Values::Decimal(values, scale) => {
                out.push(b'"');
                decimal::write(values.value(row), *scale, out);
                out.push(b'"');
            }
            Values::Text(values) => write_text(values.value(row), out),
            Values::LargeText(values) => write_text(values.value(row), out),
            Values::TextView(values) => write_text(values.value(row), out),
            Values::Date(values) => {
                write_quoted(out, |out| temporal::write_date(values.value(row), out))
            }
            Values::Timestamp(values) => {
                write_quoted(out, |out| temporal::write_timestamp(values.value(row), out))
            }
            Values::Uuid(values) => write_uuid(values.value(row), out),
            Values::Bytes(values) => write_bytes(values.value(row), out),
            Values::Nested(values) => values.write(row, out),
        }
    }
}

#[inline]
fn write_integer(value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends a value as serde_json writes it: floats in their shortest form that reads back the same, or null if not finite.
fn write_json(value: &(impl Serialize + ?Sized), out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("writing a scalar to memory cannot fail");
}

/// Appends a JSON string.
#[inline]
pub fn write_text(text: &str, out: &mut Vec<u8>) {
    let plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
    // Folding without an early exit lets the compiler test many bytes at a time.
    if text.bytes().fold(true, |all, byte| all & plain(byte)) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        write_json(text, out);
    }
}

/// Appends what `write` writes in quotes, or null if it writes nothing.
fn write_quoted(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> bool) {
    let start = out.len();
    out.push(b'"');
    if write(out) {
        out.push(b'"');
    } else {
        out.truncate(start);
        out.extend_from_slice(b"null");
    }
}

fn write_uuid(value: &[u8], out: &mut Vec<u8>) {
    let uuid = Uuid::from_slice(value).expect("the column's type is 16 bytes wide");
    out.push(b'"');
    out.extend_from_slice(
        uuid.hyphenated()
            .encode_lower(&mut Uuid::encode_buffer())
            .as_bytes(),
    );
    out.push(b'"');
}

fn write_bytes(value: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let start = out.len();
    let most = base64::encoded_len(value.len(), true)
        .expect("a value is far smaller than the address space");
    out.resize(start + most, 0);
    let written = STANDARD
        .encode_slice(value, &mut out[start..])
        .expect("the space is as long as the encoding");
    out.truncate(start + written);
    out.push(b'"');
}
