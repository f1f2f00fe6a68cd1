//! JSON texts to values, by type and exactly: `"2026-01-31"` is a date, `"12.50"` and `12.50` are the same money, `"42"` is no integer.
//!
//! A token is the text of one JSON value as the parser found it, so it is known to be valid JSON; strings are in their quotes.

use std::borrow::Cow;

use uuid::Uuid;

use super::{connect, parts};
use crate::column::{ColumnBuffer, Values, push_text};
use crate::encoding::{Conversion, Value};
use crate::fault::Fault;
use crate::text::within_the_calendar;
use crate::{decimal, temporal};

/// The text of one JSON value.
#[derive(Debug, Clone, Copy)]
pub struct Token<'a>(pub &'a str);

impl<'a> Value<'a> for Token<'a> {
    #[inline]
    fn is_null(self) -> bool {
        self.0 == "null"
    }

    fn is_scalar(self) -> bool {
        self.0.starts_with('"') || is_number(self.0)
    }

    #[inline]
    fn is_named(self) -> bool {
        self.0.starts_with('"') && self.0 != "\"\""
    }

    #[inline]
    fn push(self, column: &mut ColumnBuffer, conversion: Conversion) -> Result<(), Fault> {
        let token = self.0;
        column.push_with(|values| {
            match values {
                Values::Boolean(values) => values.append(match (conversion, token) {
                    (Conversion::ZeroOrOne, "0") => false,
                    (Conversion::ZeroOrOne, "1") => true,
                    _ => boolean(token)?,
                }),
                Values::Int32(values) => {
                    values.push(i32::try_from(integer(token)?).map_err(|_| Fault::OutOfRange)?);
                }
                Values::Int64(values) => values.push(integer(token)?),
                Values::Float64(values) => values.push(float(token)?),
                Values::Decimal {
                    unscaled,
                    precision,
                    scale,
                } => unscaled.push(match conversion {
                    Conversion::Unscaled(digits) => {
                        connect::decimal(token, digits, *precision, *scale)?
                    }
                    _ => decimal(token, *precision, *scale)?,
                }),
                Values::Text { bytes, ends } => push_text(&text(token)?, bytes, ends),
                Values::Date(values) => values.push(match conversion {
                    Conversion::Days => day(token)?,
                    _ => date(token)?,
                }),
                Values::Timestamp(values) => values.push(match conversion {
                    Conversion::PerMillisecond(units) => moment(token, units)?,
                    _ => timestamp(token)?,
                }),
                Values::Uuid(values) => values.extend_from_slice(&uuid(token)?),
                Values::Nested(nested) => nested.push(self)?,
            }
            Ok(())
        })
    }

    fn text(self) -> Result<Cow<'a, str>, Fault> {
        text(self.0)
    }

    fn time_ms(self) -> Result<i64, Fault> {
        timestamp(self.0)
    }

    fn members(self, each: &mut dyn FnMut(&str, Self) -> Result<(), Fault>) -> Result<(), Fault> {
        parts::members(self.0, each)
    }

    fn items(self, each: &mut dyn FnMut(Self) -> Result<(), Fault>) -> Result<(), Fault> {
        parts::items(self.0, each)
    }

    fn shown(self) -> Cow<'a, str> {
        Cow::Borrowed(self.0)
    }
}

/// The text of a string. Borrowed, unless it has escapes.
#[inline]
pub fn text(token: &str) -> Result<Cow<'_, str>, Fault> {
    let inner = token
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .ok_or(Fault::WrongType)?;
    // Folding without an early exit lets the compiler test many bytes at a time.
    if inner.bytes().fold(false, |any, byte| any | (byte == b'\\')) {
        // Only half of a surrogate pair can fail here.
        serde_json::from_str::<String>(token)
            .map(Cow::Owned)
            .map_err(|_| Fault::Malformed)
    } else {
        Ok(Cow::Borrowed(inner))
    }
}

fn is_number(token: &str) -> bool {
    token
        .bytes()
        .next()
        .is_some_and(|byte| byte == b'-' || byte.is_ascii_digit())
}

/// An integer without point or exponent.
#[inline]
fn integer(token: &str) -> Result<i64, Fault> {
    if !is_number(token) {
        return Err(Fault::WrongType);
    }
    token
        .parse()
        .map_err(|error: std::num::ParseIntError| match error.kind() {
            std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => {
                Fault::OutOfRange
            }
            _ => Fault::WrongType,
        })
}

fn boolean(token: &str) -> Result<bool, Fault> {
    match token {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Fault::WrongType),
    }
}

/// The nearest floating-point number to a JSON number.
fn float(token: &str) -> Result<f64, Fault> {
    if !is_number(token) {
        return Err(Fault::WrongType);
    }
    token
        .parse()
        .ok()
        .filter(|value: &f64| value.is_finite())
        .ok_or(Fault::OutOfRange)
}

/// A decimal, from a JSON number or from a string that holds one.
#[inline]
pub fn decimal(token: &str, precision: u8, scale: i8) -> Result<i128, Fault> {
    let text = if is_number(token) {
        Cow::Borrowed(token)
    } else {
        text(token)?
    };
    Ok(decimal::parse(&text, precision, scale)?)
}

/// Days since 1970-01-01, from an ISO 8601 string.
fn date(token: &str) -> Result<i32, Fault> {
    temporal::parse_date(&text(token)?).ok_or(Fault::Malformed)
}

/// Days since 1970-01-01, from their number or an ISO 8601 string, within the years 1 to 9999.
fn day(token: &str) -> Result<i32, Fault> {
    if !is_number(token) {
        let text = text(token)?;
        let date = text.strip_suffix('Z').unwrap_or(&text);
        return temporal::parse_date(date).ok_or(Fault::Malformed);
    }
    let days = integer(token)?;
    within_the_calendar(days.saturating_mul(temporal::MS_PER_DAY))?;
    i32::try_from(days).map_err(|_| Fault::OutOfRange)
}

/// Milliseconds since 1970-01-01T00:00:00Z, from an integer or an ISO 8601 string, within the years 1 to 9999.
#[inline]
fn timestamp(token: &str) -> Result<i64, Fault> {
    let ms = if is_number(token) {
        integer(token)?
    } else {
        temporal::parse_timestamp(&text(token)?).ok_or(Fault::Malformed)?
    };
    within_the_calendar(ms)
}

/// Milliseconds since 1970-01-01T00:00:00Z, from an integer that counts so many to a millisecond (what is less than one is cut off), or an
/// ISO 8601 string.
fn moment(token: &str, per_millisecond: i64) -> Result<i64, Fault> {
    if is_number(token) {
        within_the_calendar(integer(token)?.div_euclid(per_millisecond))
    } else {
        timestamp(token)
    }
}

/// A UUID, from a string.
fn uuid(token: &str) -> Result<[u8; 16], Fault> {
    Uuid::try_parse(&text(token)?)
        .map(Uuid::into_bytes)
        .map_err(|_| Fault::Malformed)
}
