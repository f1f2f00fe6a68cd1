//! Avro values as values of SQL, exactly: what a number counts and where a decimal's point stands says the schema.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use uuid::Uuid;

use super::schema::{Counts, Schema, TypeId};
use super::{json, parts};
use crate::column::{ColumnBuffer, Values, push_text};
use crate::encoding::{Conversion, Value};
use crate::fault::Fault;
use crate::{decimal, temporal, text};

/// A value of a record.
#[derive(Debug, Clone, Copy)]
pub enum AvroValue<'a> {
    Null,
    Boolean(bool),
    Number(i64, Counts),
    Float(f32),
    Double(f64),
    Bytes(&'a [u8]),
    /// The bytes of a number, of which so many digits are behind the point.
    Decimal(&'a [u8], i8),
    Text(&'a str),
    Uuid([u8; 16]),
    Nested(Nested<'a>),
}

/// A record, an array or a map, not looked into yet.
#[derive(Debug, Clone, Copy)]
pub struct Nested<'a> {
    pub schema: &'a Schema,
    pub id: TypeId,
    pub bytes: &'a [u8],
}

impl<'a> Value<'a> for AvroValue<'a> {
    #[inline]
    fn is_null(self) -> bool {
        matches!(self, Self::Null)
    }

    fn is_scalar(self) -> bool {
        matches!(self, Self::Number(..) | Self::Text(_) | Self::Uuid(_))
    }

    #[inline]
    fn push(self, column: &mut ColumnBuffer, conversion: Conversion) -> Result<(), Fault> {
        if let Self::Text(value) = self {
            return push_string(value, column, conversion);
        }
        column.push_with(|values| {
            match values {
                Values::Boolean(values) => values.append(self.boolean(conversion)?),
                Values::Int32(values) => {
                    let number = self.integer()?;
                    values.push(i32::try_from(number).map_err(|_| Fault::OutOfRange)?);
                }
                Values::Int64(values) => values.push(self.integer()?),
                Values::Float64(values) => values.push(self.double()?),
                Values::Decimal {
                    unscaled,
                    precision,
                    scale,
                } => unscaled.push(self.decimal(*precision, *scale)?),
                Values::Text { bytes, ends } => push_text(&self.written()?, bytes, ends),
                Values::Date(values) => values.push(self.date(conversion)?),
                Values::Timestamp(values) => values.push(self.timestamp(conversion)?),
                Values::Uuid(values) => match self {
                    Self::Uuid(bytes) => values.extend_from_slice(&bytes),
                    _ => return Err(Fault::WrongType),
                },
                Values::Nested(nested) => nested.push(self)?,
            }
            Ok(())
        })
    }

    fn members(self, each: &mut dyn FnMut(&str, Self) -> Result<(), Fault>) -> Result<(), Fault> {
        match self {
            Self::Nested(nested) => parts::members(nested, each),
            _ => Err(Fault::WrongType),
        }
    }

    fn items(self, each: &mut dyn FnMut(Self) -> Result<(), Fault>) -> Result<(), Fault> {
        match self {
            Self::Nested(nested) => parts::items(nested, each),
            _ => Err(Fault::WrongType),
        }
    }

    #[inline]
    fn text(self) -> Result<Cow<'a, str>, Fault> {
        match self {
            Self::Text(text) => Ok(Cow::Borrowed(text)),
            Self::Uuid(bytes) => Ok(Cow::Owned(Uuid::from_bytes(bytes).to_string())),
            _ => Err(Fault::WrongType),
        }
    }

    fn time_ms(self) -> Result<i64, Fault> {
        match self {
            Self::Text(text) => text::timestamp(text),
            _ => self.timestamp(Conversion::Usual),
        }
    }

    fn shown(self) -> Cow<'a, str> {
        if let Self::Text(text) = self {
            return Cow::Borrowed(text);
        }
        let mut shown = Vec::new();
        match (json::write(self, &mut shown), self) {
            (Ok(()), _) => Cow::Owned(String::from_utf8_lossy(&shown).into_owned()),
            (Err(_), Self::Decimal(bytes, _)) => {
                Cow::Owned(format!("a decimal of {} bytes", bytes.len()))
            }
            (Err(_), _) => Cow::Borrowed("a value that is not of its schema"),
        }
    }
}

/// A text, as the column's type says.
#[inline]
fn push_string(
    value: &str,
    column: &mut ColumnBuffer,
    conversion: Conversion,
) -> Result<(), Fault> {
    column.push_with(|values| {
        match values {
            Values::Text { bytes, ends } => push_text(value, bytes, ends),
            Values::Decimal {
                unscaled,
                precision,
                scale,
            } => unscaled.push(decimal::parse(value, *precision, *scale)?),
            Values::Date(values) => {
                // Debezium's IsoDate ends so.
                let date = match conversion {
                    Conversion::Days => value.strip_suffix('Z').unwrap_or(value),
                    _ => value,
                };
                values.push(temporal::parse_date(date).ok_or(Fault::Malformed)?);
            }
            Values::Timestamp(values) => {
                let ms = temporal::parse_timestamp(value).ok_or(Fault::Malformed)?;
                values.push(within_the_calendar(ms)?);
            }
            Values::Uuid(values) => {
                let uuid = Uuid::try_parse(value).map_err(|_| Fault::Malformed)?;
                values.extend_from_slice(uuid.as_bytes());
            }
            Values::Boolean(_)
            | Values::Int32(_)
            | Values::Int64(_)
            | Values::Float64(_)
            | Values::Nested(_) => return Err(Fault::WrongType),
        }
        Ok(())
    })
}

impl AvroValue<'_> {
    fn boolean(self, conversion: Conversion) -> Result<bool, Fault> {
        match (self, conversion) {
            (Self::Boolean(value), _) => Ok(value),
            (Self::Number(0, Counts::Things), Conversion::ZeroOrOne) => Ok(false),
            (Self::Number(1, Counts::Things), Conversion::ZeroOrOne) => Ok(true),
            _ => Err(Fault::WrongType),
        }
    }

    /// A number, whatever it counts.
    #[inline]
    fn integer(self) -> Result<i64, Fault> {
        match self {
            Self::Number(number, _) => Ok(number),
            _ => Err(Fault::WrongType),
        }
    }

    fn double(self) -> Result<f64, Fault> {
        let value = match self {
            Self::Double(value) => value,
            Self::Float(value) => f64::from(value),
            #[expect(
                clippy::cast_precision_loss,
                reason = "the nearest number is what DOUBLE has of a large integer"
            )]
            Self::Number(value, Counts::Things) => value as f64,
            _ => return Err(Fault::WrongType),
        };
        if value.is_finite() {
            Ok(value)
        } else {
            Err(Fault::OutOfRange)
        }
    }

    #[inline]
    fn decimal(self, precision: u8, scale: i8) -> Result<i128, Fault> {
        match self {
            Self::Decimal(bytes, digits) => {
                Ok(decimal::from_bytes(bytes, digits, precision, scale)?)
            }
            Self::Number(number, Counts::Things) => {
                Ok(decimal::rescale(i128::from(number), 0, precision, scale)?)
            }
            _ => Err(Fault::WrongType),
        }
    }

    fn date(self, conversion: Conversion) -> Result<i32, Fault> {
        let days = match (self, conversion) {
            (Self::Number(days, Counts::Days), _)
            | (Self::Number(days, Counts::Things), Conversion::Days) => days,
            _ => return Err(Fault::WrongType),
        };
        within_the_calendar(days.saturating_mul(temporal::MS_PER_DAY))?;
        i32::try_from(days).map_err(|_| Fault::OutOfRange)
    }

    /// Milliseconds since 1970; finer digits are cut off.
    #[inline]
    fn timestamp(self, conversion: Conversion) -> Result<i64, Fault> {
        let (number, per_ms) = match (self, conversion) {
            (Self::Number(number, Counts::Time(per_ms)), _) => (number, i64::from(per_ms)),
            (Self::Number(number, Counts::Things), Conversion::PerMillisecond(per_ms)) => {
                (number, per_ms)
            }
            (Self::Number(number, Counts::Things), _) => (number, 1),
            _ => return Err(Fault::WrongType),
        };
        within_the_calendar(number.div_euclid(per_ms))
    }

    /// What a column of text has of it: a UUID with its hyphens, bytes in base64, a value with others in it as JSON.
    fn written(self) -> Result<String, Fault> {
        match self {
            Self::Bytes(bytes) => Ok(STANDARD.encode(bytes)),
            Self::Uuid(bytes) => Ok(Uuid::from_bytes(bytes).to_string()),
            Self::Nested(_) => {
                let mut out = Vec::new();
                json::write(self, &mut out)?;
                String::from_utf8(out).map_err(|_| Fault::Malformed)
            }
            _ => Err(Fault::WrongType),
        }
    }
}

#[inline]
fn within_the_calendar(ms: i64) -> Result<i64, Fault> {
    if (temporal::FIRST_MS..=temporal::LAST_MS).contains(&ms) {
        Ok(ms)
    } else {
        Err(Fault::OutOfRange)
    }
}
