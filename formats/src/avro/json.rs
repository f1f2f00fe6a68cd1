//! Avro values as JSON: what a column of text has of a record, an array or a map, and what reasons show.
//!
//! In the forms of `docs/formats/json.md`: decimals, dates, times and UUIDs are texts, bytes are base64. What the calendar does not reach
//! is the number that it was.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use uuid::Uuid;

use super::parts::blocks;
use super::program::{BRANCHES, SYMBOLS, scalar_value, symbol_value};
use super::schema::{Counts, Schema, Type, TypeId};
use super::value::{AvroValue, Nested};
use super::wire::{Broken, Cursor};
use crate::cells::write_text;
use crate::fault::Fault;
use crate::{decimal, temporal};

/// The most digits that a decimal has.
const MOST_DIGITS: u8 = 38;

impl From<Box<Broken>> for Fault {
    fn from(_: Box<Broken>) -> Self {
        Self::Malformed
    }
}

/// Appends a value.
///
/// # Errors
/// `Malformed` if it is not of its schema, which for an array or a map may show only here.
pub fn write(value: AvroValue<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    match value {
        AvroValue::Null => out.extend_from_slice(b"null"),
        AvroValue::Boolean(value) => write_plain(&value, out),
        AvroValue::Number(number, counts) => write_number(number, counts, out),
        AvroValue::Float(value) => write_plain(&value, out),
        AvroValue::Double(value) => write_plain(&value, out),
        AvroValue::Bytes(bytes) => write_text(&STANDARD.encode(bytes), out),
        AvroValue::Decimal(bytes, scale) => {
            let unscaled = decimal::from_bytes(bytes, scale, MOST_DIGITS, scale)?;
            out.push(b'"');
            decimal::write(unscaled, scale, out);
            out.push(b'"');
        }
        AvroValue::Text(text) => write_text(text, out),
        AvroValue::Uuid(bytes) => write_text(&Uuid::from_bytes(bytes).to_string(), out),
        AvroValue::Nested(Nested { schema, id, bytes }) => {
            let mut cursor = Cursor::new(bytes, 0);
            write_next(schema, id, &mut cursor, out)?;
            cursor.end()?;
        }
    }
    Ok(())
}

/// Appends the next value of a record.
fn write_next(
    schema: &Schema,
    id: TypeId,
    cursor: &mut Cursor<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    cursor.step()?;
    match schema.get(id) {
        &Type::Scalar(scalar) => write(scalar_value(scalar, cursor)?.0, out),
        Type::Enum(symbols) => {
            let symbol = cursor.choice(symbols.len(), SYMBOLS)?;
            write(symbol_value(schema, id, symbol), out)
        }
        Type::Union(branches) => {
            let branch = cursor.choice(branches.len(), BRANCHES)?;
            write_next(schema, branches[branch], cursor, out)
        }
        Type::Record(fields) => {
            cursor.enter()?;
            out.push(b'{');
            for (i, field) in fields.iter().enumerate() {
                write_comma(i == 0, out);
                write_name(&field.name, out);
                write_next(schema, field.kind, cursor, out)?;
            }
            out.push(b'}');
            cursor.leave();
            Ok(())
        }
        Type::Array(items) => {
            out.push(b'[');
            write_blocks(cursor, out, |cursor, out| {
                write_next(schema, *items, cursor, out)
            })?;
            out.push(b']');
            Ok(())
        }
        Type::Map(values) => {
            out.push(b'{');
            write_blocks(cursor, out, |cursor, out| {
                write_name(cursor.text()?, out);
                write_next(schema, *values, cursor, out)
            })?;
            out.push(b'}');
            Ok(())
        }
    }
}

/// Appends every item of an array or a map, with commas between them.
fn write_blocks<'a>(
    cursor: &mut Cursor<'a>,
    out: &mut Vec<u8>,
    mut item: impl FnMut(&mut Cursor<'a>, &mut Vec<u8>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut is_first = true;
    blocks(cursor, |cursor| {
        write_comma(is_first, out);
        is_first = false;
        item(cursor, out)
    })
}

fn write_comma(is_first: bool, out: &mut Vec<u8>) {
    if !is_first {
        out.push(b',');
    }
}

fn write_name(name: &str, out: &mut Vec<u8>) {
    write_text(name, out);
    out.push(b':');
}

fn write_number(number: i64, counts: Counts, out: &mut Vec<u8>) {
    let start = out.len();
    out.push(b'"');
    let is_written = match counts {
        Counts::Things => false,
        Counts::Days => i32::try_from(number).is_ok_and(|days| temporal::write_date(days, out)),
        Counts::Time(per_ms) => {
            temporal::write_timestamp(number.div_euclid(i64::from(per_ms)), out)
        }
    };
    if is_written {
        out.push(b'"');
    } else {
        out.truncate(start);
        write_plain(&number, out);
    }
}

fn write_plain(value: &impl Serialize, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("writing a scalar to memory cannot fail");
}
