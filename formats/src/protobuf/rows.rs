//! Rows as messages: each column is the field of its name.
//!
//! Promises: fields come in the order of their numbers, and a field without presence that has its default is left out, so that the same
//! values give the same bytes as other writers' canonical ones. A column whose values a field might not hold is refused beforehand.
//!
//! Does not promise that a null is told from zero in a field without presence: neither is written. Declare such a field `optional`.

use arrow_array::RecordBatch;
use arrow_schema::DataType;
use chrono::{Datelike, NaiveDate};
use prost::encoding::{WireType, encode_key, encode_varint};
use prost_reflect::{FieldDescriptor, MessageDescriptor};
use tidemill_types::format::{Change, Encoder, Error, Records, SinkSpec};

use super::contract;
use super::field::{Scalar, Type};
use super::framing::{Confluent, FRAMING, Framing};
use super::schema::{self, MESSAGE};
use crate::cells::{Cells, Values};
use crate::key::{BoundKey, KeyWriter};
use crate::written::{self, Columns};

/// Writes rows as messages.
#[derive(Debug)]
pub struct ProtobufRows {
    envelope: written::Envelope,
    columns: Columns,
    /// The places of the columns, in the order of the fields' numbers, and how they are written.
    pens: Vec<(usize, Pen)>,
    key: KeyWriter,
    /// What stands in front of each message.
    frame: Vec<u8>,
}

/// How a column is written into its field.
#[derive(Debug, Clone, Copy)]
struct Pen {
    number: u32,
    form: Form,
    /// True if the field is a message whose field 1 is the value.
    is_wrapped: bool,
    /// True if a default is written as well, since the field is there or not.
    keeps_default: bool,
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

impl ProtobufRows {
    /// An encoder for a sink.
    ///
    /// # Errors
    /// `Invalid` if an option is wrong, a column has no field or one that does not fit, or a required field has no column.
    pub fn new(spec: &SinkSpec<'_>) -> Result<Self, Error> {
        let message = match spec.contract {
            Some(contract) => contract::message(contract, spec.options)?,
            None => schema::message(spec.options)?,
        };
        let mut pens = Vec::with_capacity(spec.schema.fields().len());
        for (place, column) in spec.schema.fields().iter().enumerate() {
            let field = message.get_field_by_name(column.name());
            let field = field.ok_or_else(|| Error::NoField {
                column: column.name().clone(),
                field: column.name().clone(),
                schema: message.full_name().to_owned(),
            })?;
            pens.push((place, Pen::new(&field, column.data_type())?));
        }
        let is_written = |field: &FieldDescriptor| {
            let mut pens = pens.iter();
            pens.any(|(_, pen)| pen.number == field.number())
        };
        if let Some(field) = message
            .fields()
            .find(|field| field.is_required() && !is_written(field))
        {
            return Err(Error::OptionValue {
                option: MESSAGE.to_owned(),
                value: message.full_name().to_owned(),
                expected: format!(
                    "a message all of whose required fields are columns, '{}' as well",
                    field.name()
                ),
            });
        }
        pens.sort_unstable_by_key(|(_, pen)| pen.number);
        Ok(Self {
            envelope: written::Envelope::named(spec.envelope)?,
            columns: Columns::new(spec, "protobuf")?,
            pens,
            key: KeyWriter::new(spec)?,
            frame: frame(spec, &message)?,
        })
    }
}

/// What stands in front of each message of a sink.
fn frame(spec: &SinkSpec<'_>, message: &MessageDescriptor) -> Result<Vec<u8>, Error> {
    let usual = match spec.contract {
        Some(_) => Framing::Confluent,
        None => Framing::None,
    };
    let mut frame = Vec::new();
    match (Framing::of(spec.options, usual)?, spec.contract) {
        (Framing::None, _) => {}
        (Framing::Confluent, Some(contract)) => {
            Confluent::new(message).write(contract.id, &mut frame);
        }
        (Framing::Confluent, None) => {
            return Err(Error::OptionValue {
                option: FRAMING.to_owned(),
                value: "confluent".to_owned(),
                expected: "'none' for a sink without schema.registry.url: a schema's number comes from a registry"
                    .to_owned(),
            });
        }
    }
    Ok(frame)
}

/// The columns of a batch, found once, whose rows are then written in any order.
struct Bound<'a> {
    rows: &'a ProtobufRows,
    cells: Vec<Cells<'a>>,
    key: BoundKey<'a>,
}

impl Encoder for ProtobufRows {
    fn needs_before(&self) -> bool {
        false
    }

    fn bind<'a>(&'a self, rows: &'a RecordBatch, _: i64) -> Result<Box<dyn Records + 'a>, Error> {
        Ok(Box::new(Bound {
            rows: self,
            cells: self.columns.bind(rows)?,
            key: self.key.bind(rows)?,
        }))
    }
}

impl Records for Bound<'_> {
    fn write_key(&self, row: usize, out: &mut Vec<u8>) {
        self.key.write(row, out);
    }

    fn write_value(&self, change: Change, out: &mut Vec<u8>) -> bool {
        if self.rows.envelope == written::Envelope::Upsert && matches!(change, Change::Delete(_)) {
            return false;
        }
        out.extend_from_slice(&self.rows.frame);
        for (place, pen) in &self.rows.pens {
            pen.write(&self.cells[*place], change.row(), out);
        }
        true
    }
}

impl Pen {
    fn new(field: &FieldDescriptor, column: &DataType) -> Result<Self, Error> {
        let misfit = |found: String, expected: &'static str| Error::FieldType {
            column: field.name().to_owned(),
            field: field.name().to_owned(),
            found,
            expected,
        };
        let of = Type::of(field).map_err(|found| misfit(found, "a single value"))?;
        let form = match of {
            Type::Scalar(scalar) | Type::Wrapped(scalar) => Form::of(scalar, column),
            Type::Moment => matches!(column, DataType::Timestamp(..)).then_some(Form::Moment),
            Type::Day => matches!(column, DataType::Date32).then_some(Form::Day),
            Type::Unscaled => None,
        };
        let found = || of.kind().shown().to_owned();
        Ok(Self {
            number: field.number(),
            form: form.ok_or_else(|| misfit(found(), written_columns(of)))?,
            is_wrapped: matches!(of, Type::Wrapped(_)),
            keeps_default: field.supports_presence(),
        })
    }

    /// Appends the value of a row, with its tag; nothing if it is null.
    fn write(&self, cells: &Cells<'_>, row: usize, out: &mut Vec<u8>) {
        if cells.is_null(row) {
            return;
        }
        if self.is_wrapped {
            sized(self.number, true, out, |out| {
                self.write_as(1, false, (cells, row), out)
            });
        } else {
            self.write_as(self.number, self.keeps_default, (cells, row), out);
        }
    }

    #[inline]
    fn write_as(
        &self,
        number: u32,
        keeps_default: bool,
        (cells, row): (&Cells<'_>, usize),
        out: &mut Vec<u8>,
    ) {
        let is_written = |is_default: bool| keeps_default || !is_default;
        match self.form {
            Form::Varint => {
                let bits = integer(cells, row).cast_unsigned();
                if is_written(bits == 0) {
                    encode_key(number, WireType::Varint, out);
                    encode_varint(bits, out);
                }
            }
            Form::Zigzag => {
                let value = integer(cells, row);
                if is_written(value == 0) {
                    encode_key(number, WireType::Varint, out);
                    encode_varint(((value << 1) ^ (value >> 63)).cast_unsigned(), out);
                }
            }
            Form::Fixed32 | Form::Float => {
                let bytes = match self.form {
                    Form::Float => float(cells, row).to_le_bytes(),
                    _ => low(integer(cells, row)).to_le_bytes(),
                };
                if is_written(bytes == [0; 4]) {
                    encode_key(number, WireType::ThirtyTwoBit, out);
                    out.extend_from_slice(&bytes);
                }
            }
            Form::Fixed64 | Form::Double => {
                let bytes = match self.form {
                    Form::Double => double(cells, row).to_le_bytes(),
                    _ => integer(cells, row).to_le_bytes(),
                };
                if is_written(bytes == [0; 8]) {
                    encode_key(number, WireType::SixtyFourBit, out);
                    out.extend_from_slice(&bytes);
                }
            }
            Form::Text => sized(number, keeps_default, out, |out| {
                write_text(cells, row, out)
            }),
            Form::Bytes => sized(number, keeps_default, out, |out| {
                write_bytes(cells, row, out)
            }),
            Form::Moment => sized(number, keeps_default, out, |out| {
                let ms = integer(cells, row);
                for (number, part) in [
                    (1, ms.div_euclid(1_000)),
                    (2, ms.rem_euclid(1_000) * 1_000_000),
                ] {
                    write_number(number, part, out);
                }
            }),
            Form::Day => write_day(number, cells, row, out),
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

/// Every whole number; one of 64 bits without sign by its bits.
#[inline]
fn integer(cells: &Cells<'_>, row: usize) -> i64 {
    match cells.values() {
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
        Values::Float32(values) => values.value(row),
        _ => 0.0,
    }
}

fn double(cells: &Cells<'_>, row: usize) -> f64 {
    match cells.values() {
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
