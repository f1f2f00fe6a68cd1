//! How a value of a column is written into its field.
//!
//! Promises: fields come in the order of their numbers, and a field without presence that has its default is left out.
//!
//! Does not promise that a null is told from zero where the schema has no room for it: in a field without presence neither is written, and
//! what is null in a repeated field or a map is the default there. Declare a field `optional`.

use arrow_schema::{DataType, Field};
use chrono::{Datelike, NaiveDate};
use prost::encoding::{WireType, encode_key, encode_varint};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use tidemill_types::format::Error;
use tidemill_types::sql_type;

use super::field::{Scalar, Type};
use super::schema::MESSAGE;
use super::shape::Shape;
use crate::cells::{self, Cells, NestedCells, Values};
use crate::encoding::{ELEMENT, path_shown};
use crate::part::Part;

/// The numbers of key and value in the entry of a map.
const KEY: u32 = 1;
const VALUE: u32 = 2;

/// How a column is written into its field.
#[derive(Debug)]
pub struct Pen {
    number: u32,
    mark: Mark,
    /// True if a default is written as well, since the field is there or not.
    keeps_default: bool,
}

/// What a value is on the wire.
#[derive(Debug)]
enum Mark {
    Single(Form),
    /// A message whose field 1 is the value.
    Wrapped(Form),
    /// A message with a field for each of a struct's, by their places.
    Message(Vec<(usize, Pen)>),
    /// A field for each value.
    Repeated(Box<Pen>),
    /// One field with all values.
    Packed(Form),
    /// A message for each entry, whose field 2 the pen writes.
    Map(Box<Pen>),
}

/// How values lie on the wire.
#[derive(Debug, Clone, Copy)]
enum Form {
    Varint,
    Zigzag,
    Fixed32,
    Fixed64,
    Float,
    Double,
    /// The text that the value has elsewhere, without quotes.
    Text,
    Bytes,
    /// `google.protobuf.Timestamp`.
    Moment,
    /// `google.type.Date`.
    Day,
}

/// A number on the wire.
#[derive(Debug, Clone, Copy)]
enum Number {
    Varint(u64),
    Four([u8; 4]),
    Eight([u8; 8]),
}

/// The pens of columns, or of the fields of a struct, at a path: with their places, in the order of the fields' numbers.
///
/// # Errors
/// `Invalid` if one has no field or one that does not fit, or a required field is none of them.
pub fn pens(
    part: Part,
    message: &MessageDescriptor,
    columns: &[&Field],
    path: &mut Vec<String>,
) -> Result<Vec<(usize, Pen)>, Error> {
    let mut pens = Vec::with_capacity(columns.len());
    for (place, column) in columns.iter().enumerate() {
        path.push(column.name().clone());
        let field = message.get_field_by_name(column.name());
        let field = field.ok_or_else(|| Error::NoField {
            column: path[0].clone(),
            field: path_shown(path),
            schema: message.full_name().to_owned(),
        })?;
        pens.push((place, Pen::new(part, &field, column.data_type(), path)?));
        path.pop();
    }
    let is_written = |field: &FieldDescriptor| {
        let mut pens = pens.iter();
        pens.any(|(_, pen)| pen.number == field.number())
    };
    let mut fields = message.fields();
    if let Some(field) = fields.find(|field| field.is_required() && !is_written(field)) {
        let expected = format!(
            "a message all of whose required fields are columns, '{}' as well",
            field.name()
        );
        return Err(part.wrong(MESSAGE, message.full_name(), expected));
    }
    pens.sort_unstable_by_key(|(_, pen)| pen.number);
    Ok(pens)
}

impl Pen {
    fn new(
        part: Part,
        field: &FieldDescriptor,
        column: &DataType,
        path: &mut Vec<String>,
    ) -> Result<Self, Error> {
        let shape = Shape::of(field).map_err(|found| misfit(path, found, "another field"))?;
        let mark = match (shape, column, field.kind()) {
            (Shape::List(item), DataType::List(element), _) => {
                path.push(ELEMENT.to_owned());
                let pen = Self {
                    number: field.number(),
                    mark: Mark::new(part, &item, element.data_type(), path)?,
                    keeps_default: true,
                };
                path.pop();
                match pen.mark {
                    Mark::Single(form) if field.is_packed() => Mark::Packed(form),
                    _ => Mark::Repeated(Box::new(pen)),
                }
            }
            (Shape::Map(value), DataType::Map(..), Kind::Message(entry)) => {
                if entry.map_entry_key_field().kind() != Kind::String {
                    let found = "a map whose keys are no strings";
                    return Err(misfit(path, found, "written to one whose keys are"));
                }
                let of = sql_type::map_value(column);
                let of = of.ok_or_else(|| misfit(path, "a map", "a MAP with keys of VARCHAR"))?;
                path.push(ELEMENT.to_owned());
                let mark = Mark::new(part, &value, of, path)?;
                path.pop();
                Mark::Map(Box::new(Self {
                    number: VALUE,
                    mark,
                    keeps_default: true,
                }))
            }
            (shape, ..) => Mark::new(part, &shape, column, path)?,
        };
        Ok(Self {
            number: field.number(),
            mark,
            keeps_default: field.supports_presence(),
        })
    }

    /// Appends the value of a row, with its tag; nothing if it is null.
    #[inline]
    pub fn write(&self, cells: &Cells<'_>, row: usize, out: &mut Vec<u8>) {
        self.write_with(self.keeps_default, cells, row, out);
    }

    /// The same, and a default as well if it is kept.
    pub fn write_with(
        &self,
        keeps_default: bool,
        cells: &Cells<'_>,
        row: usize,
        out: &mut Vec<u8>,
    ) {
        if cells.is_null(row) {
            return;
        }
        match (&self.mark, cells.values()) {
            (Mark::Single(form), _) => {
                form.write(self.number, keeps_default, (cells, row), out);
            }
            (Mark::Wrapped(form), _) => sized(self.number, true, out, |out| {
                form.write(KEY, false, (cells, row), out)
            }),
            (_, Values::Nested(nested)) => self.write_nested(nested, row, out),
            _ => {}
        }
    }

    fn write_nested(&self, nested: &NestedCells<'_>, row: usize, out: &mut Vec<u8>) {
        match (&self.mark, nested) {
            (Mark::Message(fields), NestedCells::Struct(cells, _)) => {
                sized(self.number, true, out, |out| {
                    for (place, pen) in fields {
                        pen.write(&cells[*place], row, out);
                    }
                });
            }
            (Mark::Repeated(pen), NestedCells::List(items, offsets)) => {
                for item in cells::part(offsets, row) {
                    pen.write_or_default(items, item, out);
                }
            }
            (Mark::Packed(form), NestedCells::List(items, offsets)) => {
                sized(self.number, false, out, |out| {
                    for item in cells::part(offsets, row) {
                        form.number(items, item).write(out);
                    }
                });
            }
            (Mark::Map(pen), NestedCells::Map(keys, values, offsets)) => {
                for entry in cells::part(offsets, row) {
                    sized(self.number, true, out, |out| {
                        sized(KEY, true, out, |out| {
                            out.extend_from_slice(keys.value(entry).as_bytes());
                        });
                        pen.write_or_default(values, entry, out);
                    });
                }
            }
            _ => {}
        }
    }

    /// Appends a value that cannot be left out.
    fn write_or_default(&self, cells: &Cells<'_>, row: usize, out: &mut Vec<u8>) {
        if !cells.is_null(row) {
            return self.write(cells, row, out);
        }
        match self.mark {
            Mark::Single(form) if form.is_number() => {
                let zero = form.number(cells, row);
                encode_key(self.number, zero.wire(), out);
                zero.write(out);
            }
            _ => sized(self.number, true, out, |_| ()),
        }
    }
}

impl Mark {
    /// The mark of one value.
    fn new(
        part: Part,
        shape: &Shape,
        column: &DataType,
        path: &mut Vec<String>,
    ) -> Result<Self, Error> {
        let form = match shape {
            Shape::Message(message) => {
                let DataType::Struct(fields) = column else {
                    return Err(misfit(path, &shape.shown(), "a STRUCT of its fields"));
                };
                let fields: Vec<_> = fields.iter().map(|field| &**field).collect();
                return Ok(Self::Message(pens(part, message, &fields, path)?));
            }
            Shape::List(_) => return Err(misfit(path, &shape.shown(), "an ARRAY")),
            Shape::Map(_) => return Err(misfit(path, &shape.shown(), "a MAP")),
            Shape::Single(Type::Scalar(scalar) | Type::Wrapped(scalar)) => {
                Form::of(*scalar, column)
            }
            Shape::Single(Type::Moment) => {
                matches!(column, DataType::Timestamp(..)).then_some(Form::Moment)
            }
            Shape::Single(Type::Day) => matches!(column, DataType::Date32).then_some(Form::Day),
            Shape::Single(Type::Unscaled) => None,
        };
        let Shape::Single(of) = *shape else {
            unreachable!("all others have been returned");
        };
        let form = form.ok_or_else(|| misfit(path, of.kind().shown(), written_columns(of)))?;
        Ok(match of {
            Type::Wrapped(_) => Self::Wrapped(form),
            _ => Self::Single(form),
        })
    }
}

fn misfit(path: &[String], found: &str, expected: &'static str) -> Error {
    Error::FieldType {
        column: path[0].clone(),
        field: path_shown(path),
        found: found.to_owned(),
        expected,
    }
}

impl Number {
    const fn is_zero(self) -> bool {
        match self {
            Self::Varint(bits) => bits == 0,
            Self::Four(bytes) => u32::from_le_bytes(bytes) == 0,
            Self::Eight(bytes) => u64::from_le_bytes(bytes) == 0,
        }
    }

    const fn wire(self) -> WireType {
        match self {
            Self::Varint(_) => WireType::Varint,
            Self::Four(_) => WireType::ThirtyTwoBit,
            Self::Eight(_) => WireType::SixtyFourBit,
        }
    }

    #[inline]
    fn write(self, out: &mut Vec<u8>) {
        match self {
            Self::Varint(bits) => encode_varint(bits, out),
            Self::Four(bytes) => out.extend_from_slice(&bytes),
            Self::Eight(bytes) => out.extend_from_slice(&bytes),
        }
    }
}

impl Form {
    /// The form in which a field of this type holds every value of a column; none if it might not hold one.
    fn of(field: Scalar, column: &DataType) -> Option<Self> {
        use DataType as T;
        let is_small = matches!(column, T::UInt8 | T::UInt16);
        let is_signed_32 = is_small || matches!(column, T::Int8 | T::Int16 | T::Int32);
        let is_unsigned_32 = is_small || matches!(column, T::UInt32);
        let is_signed_64 =
            is_signed_32 || is_unsigned_32 || matches!(column, T::Int64 | T::Timestamp(..));
        let is_unsigned_64 = is_unsigned_32 || matches!(column, T::UInt64);
        let is_text = matches!(column, T::Utf8 | T::LargeUtf8 | T::Utf8View);
        let (fits, form) = match field {
            Scalar::Int32 | Scalar::Enum => (is_signed_32, Self::Varint),
            Scalar::Sint32 => (is_signed_32, Self::Zigzag),
            Scalar::Sfixed32 => (is_signed_32, Self::Fixed32),
            Scalar::Int64 => (is_signed_64, Self::Varint),
            Scalar::Sint64 => (is_signed_64, Self::Zigzag),
            Scalar::Sfixed64 => (is_signed_64, Self::Fixed64),
            Scalar::Uint32 => (is_unsigned_32, Self::Varint),
            Scalar::Fixed32 => (is_unsigned_32, Self::Fixed32),
            Scalar::Uint64 => (is_unsigned_64, Self::Varint),
            Scalar::Fixed64 => (is_unsigned_64, Self::Fixed64),
            Scalar::Float => (*column == T::Float32, Self::Float),
            Scalar::Double => (matches!(column, T::Float32 | T::Float64), Self::Double),
            Scalar::Bool => (*column == T::Boolean, Self::Varint),
            Scalar::String => {
                let has_text = matches!(
                    column,
                    T::Decimal128(..) | T::Date32 | T::Timestamp(..) | T::FixedSizeBinary(16)
                );
                (is_text || has_text, Self::Text)
            }
            Scalar::DecimalText => (matches!(column, T::Decimal128(..)), Self::Text),
            Scalar::Bytes => {
                let is_bytes = matches!(column, T::Binary | T::FixedSizeBinary(16));
                (is_text || is_bytes, Self::Bytes)
            }
        };
        fits.then_some(form)
    }

    const fn is_number(self) -> bool {
        match self {
            Self::Varint
            | Self::Zigzag
            | Self::Fixed32
            | Self::Fixed64
            | Self::Float
            | Self::Double => true,
            Self::Text | Self::Bytes | Self::Moment | Self::Day => false,
        }
    }

    /// The number of a row; zero if it is null.
    #[inline]
    fn number(self, cells: &Cells<'_>, row: usize) -> Number {
        match self {
            Self::Zigzag => {
                let value = integer(cells, row);
                Number::Varint(((value << 1) ^ (value >> 63)).cast_unsigned())
            }
            Self::Fixed32 => Number::Four(low(integer(cells, row)).to_le_bytes()),
            Self::Fixed64 => Number::Eight(integer(cells, row).to_le_bytes()),
            Self::Float => Number::Four(float(cells, row).to_le_bytes()),
            Self::Double => Number::Eight(double(cells, row).to_le_bytes()),
            Self::Varint | Self::Text | Self::Bytes | Self::Moment | Self::Day => {
                Number::Varint(integer(cells, row).cast_unsigned())
            }
        }
    }

    /// Appends the value of a row, which is not null, as a field.
    #[inline]
    fn write(
        self,
        number: u32,
        keeps_default: bool,
        (cells, row): (&Cells<'_>, usize),
        out: &mut Vec<u8>,
    ) {
        match self {
            Self::Text => sized(number, keeps_default, out, |out| {
                write_text(cells, row, out)
            }),
            Self::Bytes => sized(number, keeps_default, out, |out| {
                write_bytes(cells, row, out)
            }),
            Self::Moment => sized(number, keeps_default, out, |out| {
                let ms = integer(cells, row);
                for (number, part) in [
                    (1, ms.div_euclid(1_000)),
                    (2, ms.rem_euclid(1_000) * 1_000_000),
                ] {
                    write_number(number, part, out);
                }
            }),
            Self::Day => write_day(number, cells, row, out),
            _ => {
                let value = self.number(cells, row);
                if keeps_default || !value.is_zero() {
                    encode_key(number, value.wire(), out);
                    value.write(out);
                }
            }
        }
    }
}

/// The columns that a field of this type holds, in words.
const fn written_columns(of: Type) -> &'static str {
    match of {
        Type::Scalar(scalar) | Type::Wrapped(scalar) => match scalar {
            Scalar::Int32 | Scalar::Sint32 | Scalar::Sfixed32 => "INT, or smaller",
            Scalar::Enum => "INT, with the numbers of the enum",
            Scalar::Int64 | Scalar::Sint64 | Scalar::Sfixed64 => "BIGINT, or smaller",
            Scalar::Uint32 | Scalar::Fixed32 => "INT UNSIGNED, or smaller",
            Scalar::Uint64 | Scalar::Fixed64 => "BIGINT UNSIGNED, or smaller",
            Scalar::Float => "REAL",
            Scalar::Double => "DOUBLE, or REAL",
            Scalar::Bool => "BOOLEAN",
            Scalar::String => "VARCHAR, DECIMAL(p, s), DATE, TIMESTAMP, or UUID",
            Scalar::DecimalText => "DECIMAL(p, s)",
            Scalar::Bytes => "BYTEA, VARCHAR, or UUID",
        },
        Type::Moment => "TIMESTAMP",
        Type::Day => "DATE",
        Type::Unscaled => "nothing, since it is read only",
    }
}

/// Appends what `write` writes with its tag and its length; nothing if it is empty and an empty one is not kept.
#[inline]
fn sized(number: u32, keeps_empty: bool, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let tag = out.len();
    encode_key(number, WireType::LengthDelimited, out);
    let length_at = out.len();
    // Most lengths take one byte; others are put in afterwards.
    out.push(0);
    let start = out.len();
    write(out);
    let length = out.len() - start;
    match u8::try_from(length) {
        Ok(0) if !keeps_empty => out.truncate(tag),
        Ok(length) if length < 0x80 => out[length_at] = length,
        _ => {
            let mut bytes = Vec::with_capacity(10);
            encode_varint(length as u64, &mut bytes);
            out.splice(length_at..start, bytes);
        }
    }
}

/// Appends a number as a field, unless it is zero.
fn write_number(number: u32, value: i64, out: &mut Vec<u8>) {
    if value != 0 {
        encode_key(number, WireType::Varint, out);
        encode_varint(value.cast_unsigned(), out);
    }
}

/// Appends a text, or whatever is a text without its quotes.
fn write_text(cells: &Cells<'_>, row: usize, out: &mut Vec<u8>) {
    match cells.values() {
        Values::Text(values) => out.extend_from_slice(values.value(row).as_bytes()),
        Values::LargeText(values) => out.extend_from_slice(values.value(row).as_bytes()),
        Values::TextView(values) => out.extend_from_slice(values.value(row).as_bytes()),
        _ => {
            cells.write_plain(row, out);
        }
    }
}

fn write_bytes(cells: &Cells<'_>, row: usize, out: &mut Vec<u8>) {
    match cells.values() {
        Values::Bytes(values) => out.extend_from_slice(values.value(row)),
        Values::Uuid(values) => out.extend_from_slice(values.value(row)),
        _ => write_text(cells, row, out),
    }
}

/// Appends a date; nothing if it is beyond the calendar, as in every format.
fn write_day(number: u32, cells: &Cells<'_>, row: usize, out: &mut Vec<u8>) {
    let Values::Date(values) = cells.values() else {
        return;
    };
    if let Some(date) = NaiveDate::from_epoch_days(values.value(row)) {
        let (year, month, day) = (date.year().into(), date.month().into(), date.day().into());
        sized(number, true, out, |out| {
            for (number, part) in (1..).zip([year, month, day]) {
                write_number(number, part, out);
            }
        });
    }
}

/// Every whole number; one of 64 bits without sign by its bits, and zero for null.
#[inline]
fn integer(cells: &Cells<'_>, row: usize) -> i64 {
    match cells.values() {
        _ if cells.is_null(row) => 0,
        Values::Boolean(values) => i64::from(values.value(row)),
        Values::Int8(values) => i64::from(values.value(row)),
        Values::Int16(values) => i64::from(values.value(row)),
        Values::Int32(values) => i64::from(values.value(row)),
        Values::Int64(values) => values.value(row),
        Values::UInt8(values) => i64::from(values.value(row)),
        Values::UInt16(values) => i64::from(values.value(row)),
        Values::UInt32(values) => i64::from(values.value(row)),
        Values::UInt64(values) => values.value(row).cast_signed(),
        Values::Timestamp(values) => values.value(row),
        _ => 0,
    }
}

fn float(cells: &Cells<'_>, row: usize) -> f32 {
    match cells.values() {
        _ if cells.is_null(row) => 0.0,
        Values::Float32(values) => values.value(row),
        _ => 0.0,
    }
}

fn double(cells: &Cells<'_>, row: usize) -> f64 {
    match cells.values() {
        _ if cells.is_null(row) => 0.0,
        Values::Float64(values) => values.value(row),
        Values::Float32(values) => f64::from(values.value(row)),
        _ => 0.0,
    }
}

/// The lower 32 bits, which are all that the column has.
#[expect(clippy::cast_possible_truncation, reason = "the column has no more")]
const fn low(value: i64) -> i32 {
    value as i32
}
