//! JSON texts to values, by type and exactly: `"2026-01-31"` is a date, `"12.50"` and `12.50` are the same money, `"42"` is no integer.
//!
//! A token is the text of one JSON value as the parser found it, so it is known to be valid JSON; strings are in their quotes.

use std::borrow::Cow;

use uuid::Uuid;

use crate::{decimal, temporal};

/// Why a token is not a value of the wanted type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// A value of another JSON type.
    WrongType,
    /// Right type, and beyond its range.
    OutOfRange,
    /// Right type, and not exactly representable.
    Inexact,
    /// A string whose text is not of the type.
    Malformed,
}

/// The text of a string. Borrowed, unless it has escapes.
#[inline]
pub(super) fn text(token: &str) -> Result<Cow<'_, str>, Fault> {
    let inner = token
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .ok_or(Fault::WrongType)?;
    if inner.as_bytes().contains(&b'\\') {
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
pub(super) fn integer(token: &str) -> Result<i64, Fault> {
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

pub(super) fn boolean(token: &str) -> Result<bool, Fault> {
    match token {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Fault::WrongType),
    }
}

/// The nearest floating-point number to a JSON number.
pub(super) fn float(token: &str) -> Result<f64, Fault> {
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
pub(super) fn decimal(token: &str, precision: u8, scale: i8) -> Result<i128, Fault> {
    let text = if is_number(token) {
        Cow::Borrowed(token)
    } else {
        text(token)?
    };
    decimal::parse(&text, precision, scale).map_err(|error| match error {
        decimal::ParseError::Malformed => Fault::Malformed,
        decimal::ParseError::Inexact => Fault::Inexact,
        decimal::ParseError::Overflow => Fault::OutOfRange,
    })
}

/// Days since 1970-01-01, from an ISO 8601 string.
pub(super) fn date(token: &str) -> Result<i32, Fault> {
    temporal::parse_date(&text(token)?).ok_or(Fault::Malformed)
}

/// Milliseconds since 1970-01-01T00:00:00Z, from an integer or an ISO 8601 string, within the years 1 to 9999.
#[inline]
pub(super) fn timestamp(token: &str) -> Result<i64, Fault> {
    let ms = if is_number(token) {
        integer(token)?
    } else {
        temporal::parse_timestamp(&text(token)?).ok_or(Fault::Malformed)?
    };
    if (temporal::FIRST_MS..=temporal::LAST_MS).contains(&ms) {
        Ok(ms)
    } else {
        Err(Fault::OutOfRange)
    }
}

/// A UUID, from a string.
pub(super) fn uuid(token: &str) -> Result<[u8; 16], Fault> {
    Uuid::try_parse(&text(token)?)
        .map(Uuid::into_bytes)
        .map_err(|_| Fault::Malformed)
}
