//! A value of a Protobuf message, and what it is in a column.

use std::borrow::Cow;

use arrow_schema::DataType;
use chrono::NaiveDate;

use super::parts::Nested;
use super::types::Of;
use crate::column::{ColumnBuffer, Values, push_text};
use crate::encoding::{Conversion, Value};
use crate::fault::Fault;
use crate::{decimal, temporal, text};

/// A value, as it came.
#[derive(Debug, Clone, Copy)]
pub enum Datum<'a> {
    /// A member of a oneof of which another one came.
    Null,
    Integer(i64),
    /// A whole number beyond those.
    Unsigned(u64),
    Float(f64),
    Boolean(bool),
    Text(&'a str),
    Bytes(&'a [u8]),
    /// A value of an enum, and its name if the schema has one.
    Enum(i32, Option<&'a str>),
    /// `google.protobuf.Timestamp`.
    Moment {
        seconds: i64,
        nanos: i32,
    },
    /// `google.type.Date`.
    Day {
        year: i32,
        month: i32,
        day: i32,
    },
    /// `confluent.type.Decimal`: the unscaled value, and how many of its digits are behind the point.
    Unscaled {
        bytes: &'a [u8],
        scale: i32,
    },
    /// A message, a repeated field, or a map.
    Nested(Nested<'a>),
}

/// The kinds of values that go to the same columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Integer,
    Float,
    Boolean,
    Text,
    Bytes,
    Enum,
    Moment,
    Day,
    Decimal,
}

impl Kind {
    /// It, in words.
    pub const fn shown(self) -> &'static str {
        match self {
            Self::Integer => "an integer",
            Self::Float => "a floating-point number",
            Self::Boolean => "a bool",
            Self::Text => "a string",
            Self::Bytes => "bytes",
            Self::Enum => "an enum",
            Self::Moment => "a point in time",
            Self::Day => "a day",
            Self::Decimal => "a decimal",
        }
    }

    /// The columns that it fits, in words.
    pub const fn columns(self) -> &'static str {
        match self {
            Self::Integer => "BIGINT, INT, DECIMAL(p, s), DOUBLE, TIMESTAMP, or DATE",
            Self::Float => "DOUBLE",
            Self::Boolean => "BOOLEAN",
            Self::Text => "VARCHAR, DECIMAL(p, s), DATE, TIMESTAMP, or UUID",
            Self::Bytes => "VARCHAR, or UUID",
            Self::Enum => "VARCHAR, INT, or BIGINT",
            Self::Moment => "TIMESTAMP",
            Self::Day => "DATE",
            Self::Decimal => "DECIMAL(p, s)",
        }
    }

    /// Whether it fits a column; a database's booleans are numbers as well.
    pub const fn fits(self, column: &DataType, is_of_database: bool) -> bool {
        use DataType as T;
        match self {
            Self::Integer => match column {
                T::Boolean => is_of_database,
                T::Int32 | T::Int64 | T::Float64 | T::Decimal128(..) => true,
                T::Date32 | T::Timestamp(..) => true,
                _ => false,
            },
            Self::Float => matches!(column, T::Float64),
            Self::Boolean => matches!(column, T::Boolean),
            Self::Text => matches!(
                column,
                T::Utf8 | T::Decimal128(..) | T::Date32 | T::Timestamp(..) | T::FixedSizeBinary(16)
            ),
            Self::Bytes => matches!(column, T::Utf8 | T::FixedSizeBinary(16)),
            Self::Enum => matches!(column, T::Utf8 | T::Int32 | T::Int64),
            Self::Moment => matches!(column, T::Timestamp(..)),
            Self::Day => matches!(column, T::Date32),
            Self::Decimal => matches!(column, T::Decimal128(..)),
        }
    }
}

impl<'a> Value<'a> for Datum<'a> {
    #[inline]
    fn is_null(self) -> bool {
        matches!(self, Self::Null)
    }

    fn is_scalar(self) -> bool {
        matches!(
            self,
            Self::Integer(_) | Self::Unsigned(_) | Self::Text(_) | Self::Enum(..)
        )
    }

    #[inline]
    fn push(self, column: &mut ColumnBuffer, conversion: Conversion) -> Result<(), Fault> {
        match self {
            Self::Text(text) => text::push(text, column),
            Self::Integer(number) => push_integer(number, column, conversion),
            _ => column.push_with(|values| match values {
                Values::Nested(nested) => nested.push(self),
                values => self.push_other(values),
            }),
        }
    }

    fn text(self) -> Result<Cow<'a, str>, Fault> {
        match self {
            Self::Text(text) | Self::Enum(_, Some(text)) => Ok(Cow::Borrowed(text)),
            Self::Bytes(bytes) => utf8(bytes).map(Cow::Borrowed),
            _ => Err(Fault::WrongType),
        }
    }

    fn time_ms(self) -> Result<i64, Fault> {
        match self {
            Self::Integer(ms) => text::within_the_calendar(ms),
            Self::Moment { seconds, nanos } => moment(seconds, nanos),
            Self::Text(text) => text::timestamp(text),
            _ => Err(Fault::WrongType),
        }
    }

    fn members(self, each: &mut dyn FnMut(&str, Self) -> Result<(), Fault>) -> Result<(), Fault> {
        match self {
            Self::Nested(nested) => nested.members(each),
            _ => Err(Fault::WrongType),
        }
    }

    fn items(self, each: &mut dyn FnMut(Self) -> Result<(), Fault>) -> Result<(), Fault> {
        match self {
            Self::Nested(nested) => nested.items(each),
            _ => Err(Fault::WrongType),
        }
    }

    fn shown(self) -> Cow<'a, str> {
        match self {
            Self::Null => "nothing".into(),
            Self::Integer(number) => number.to_string().into(),
            Self::Unsigned(number) => number.to_string().into(),
            Self::Float(number) => number.to_string().into(),
            Self::Boolean(is) => is.to_string().into(),
            Self::Text(text) | Self::Enum(_, Some(text)) => text.into(),
            Self::Enum(number, None) => number.to_string().into(),
            Self::Bytes(bytes) => format!("{} bytes", bytes.len()).into(),
            Self::Moment { seconds, nanos } => format!("{seconds} s and {nanos} ns").into(),
            Self::Day { year, month, day } => format!("{year}-{month}-{day}").into(),
            Self::Unscaled { bytes, scale } => {
                format!("a decimal of {} bytes and scale {scale}", bytes.len()).into()
            }
            Self::Nested(nested) => match nested.of {
                Of::Message(_) => "a message",
                Of::List { .. } => "values of a repeated field",
                Of::Map { .. } => "a map",
            }
            .into(),
        }
    }
}

impl Datum<'_> {
    fn push_other(self, values: &mut Values) -> Result<(), Fault> {
        match (self, values) {
            (Self::Boolean(is), Values::Boolean(values)) => values.append(is),
            (Self::Float(number), Values::Float64(values)) => {
                // As in every format: a column of numbers has none that is not finite.
                let number = Some(number).filter(|number| number.is_finite());
                values.push(number.ok_or(Fault::OutOfRange)?);
            }
            (Self::Enum(number, _), Values::Int32(values)) => values.push(number),
            (Self::Enum(number, _), Values::Int64(values)) => values.push(i64::from(number)),
            (Self::Enum(_, Some(name)), Values::Text { bytes, ends }) => {
                push_text(name, bytes, ends);
            }
            (Self::Enum(number, None), Values::Text { bytes, ends }) => {
                push_text(itoa::Buffer::new().format(number), bytes, ends);
            }
            (Self::Bytes(found), Values::Text { bytes, ends }) => {
                push_text(utf8(found)?, bytes, ends);
            }
            (Self::Bytes(found), Values::Uuid(values)) => {
                let uuid: &[u8; 16] = found.try_into().map_err(|_| Fault::Malformed)?;
                values.extend_from_slice(uuid);
            }
            (Self::Moment { seconds, nanos }, Values::Timestamp(values)) => {
                values.push(moment(seconds, nanos)?);
            }
            (Self::Day { year, month, day }, Values::Date(values)) => {
                values.push(days(year, month, day)?);
            }
            (
                Self::Unscaled { bytes, scale: of },
                Values::Decimal {
                    unscaled,
                    precision,
                    scale,
                },
            ) => {
                let of = i8::try_from(of).map_err(|_| Fault::OutOfRange)?;
                unscaled.push(decimal::from_bytes(bytes, of, *precision, *scale)?);
            }
            (
                Self::Unsigned(number),
                Values::Decimal {
                    unscaled,
                    precision,
                    scale,
                },
            ) => {
                unscaled.push(decimal::rescale(i128::from(number), 0, *precision, *scale)?);
            }
            (Self::Unsigned(_), Values::Text { .. } | Values::Uuid(_)) => {
                return Err(Fault::WrongType);
            }
            (Self::Unsigned(_), _) => return Err(Fault::OutOfRange),
            _ => return Err(Fault::WrongType),
        }
        Ok(())
    }
}

#[inline]
fn push_integer(
    number: i64,
    column: &mut ColumnBuffer,
    conversion: Conversion,
) -> Result<(), Fault> {
    column.push_with(|values| {
        match values {
            Values::Int64(values) => values.push(number),
            Values::Int32(values) => {
                values.push(i32::try_from(number).map_err(|_| Fault::OutOfRange)?);
            }
            #[expect(
                clippy::cast_precision_loss,
                reason = "the nearest one, as of a number in a text"
            )]
            Values::Float64(values) => values.push(number as f64),
            Values::Decimal {
                unscaled,
                precision,
                scale,
            } => unscaled.push(decimal::rescale(i128::from(number), 0, *precision, *scale)?),
            Values::Timestamp(values) => {
                values.push(text::within_the_calendar(match conversion {
                    Conversion::PerMillisecond(units) => number.div_euclid(units),
                    _ => number,
                })?)
            }
            Values::Date(values) if conversion == Conversion::Days => {
                text::within_the_calendar(number.saturating_mul(temporal::MS_PER_DAY))?;
                values.push(i32::try_from(number).map_err(|_| Fault::OutOfRange)?);
            }
            Values::Boolean(values) if conversion == Conversion::ZeroOrOne => {
                values.append(match number {
                    0 => false,
                    1 => true,
                    _ => return Err(Fault::OutOfRange),
                });
            }
            _ => return Err(Fault::WrongType),
        }
        Ok(())
    })
}

fn utf8(bytes: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(bytes).map_err(|_| Fault::Malformed)
}

/// Milliseconds since 1970; what is less than one is cut off.
fn moment(seconds: i64, nanos: i32) -> Result<i64, Fault> {
    if !(0..1_000_000_000).contains(&nanos) {
        return Err(Fault::Malformed);
    }
    let ms = seconds.saturating_mul(1_000);
    text::within_the_calendar(ms.saturating_add(i64::from(nanos / 1_000_000)))
}

/// Days since 1970-01-01.
fn days(year: i32, month: i32, day: i32) -> Result<i32, Fault> {
    if !(1..=9999).contains(&year) {
        return Err(Fault::OutOfRange);
    }
    let part = |part: i32| u32::try_from(part).map_err(|_| Fault::Malformed);
    let date = NaiveDate::from_ymd_opt(year, part(month)?, part(day)?);
    Ok(date.ok_or(Fault::Malformed)?.to_epoch_days())
}
