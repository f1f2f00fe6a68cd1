//! Plain text to values, by type and exactly: `12.50` is money, `2026-01-31` is a date, and ` 42` is no integer.

use uuid::Uuid;

use crate::column::{ColumnBuffer, Values, push_text};
use crate::fault::Fault;
use crate::{decimal, temporal};

/// Appends a text to a column of any type; on a fault nothing is appended.
///
/// # Errors
/// Why it is no value of the column's type.
pub fn push(text: &str, column: &mut ColumnBuffer) -> Result<(), Fault> {
    column.push_with(|values| {
        match values {
            Values::Boolean(values) => values.append(match text {
                "true" => true,
                "false" => false,
                _ => return Err(Fault::Malformed),
            }),
            Values::Int32(values) => {
                values.push(i32::try_from(integer(text)?).map_err(|_| Fault::OutOfRange)?);
            }
            Values::Int64(values) => values.push(integer(text)?),
            Values::Float64(values) => values.push(float(text)?),
            Values::Decimal {
                unscaled,
                precision,
                scale,
            } => unscaled.push(decimal::parse(text, *precision, *scale)?),
            Values::Text { bytes, ends } => push_text(text, bytes, ends),
            Values::Date(values) => {
                values.push(temporal::parse_date(text).ok_or(Fault::Malformed)?);
            }
            Values::Timestamp(values) => values.push(timestamp(text)?),
            Values::Uuid(values) => {
                let uuid = Uuid::try_parse(text).map_err(|_| Fault::Malformed)?;
                values.extend_from_slice(uuid.as_bytes());
            }
            Values::Nested(_) => return Err(Fault::WrongType),
        }
        Ok(())
    })
}

fn integer(text: &str) -> Result<i64, Fault> {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    text.parse()
        .map_err(|error: std::num::ParseIntError| match error.kind() {
            PosOverflow | NegOverflow => Fault::OutOfRange,
            _ => Fault::Malformed,
        })
}

fn float(text: &str) -> Result<f64, Fault> {
    let value: f64 = text.parse().map_err(|_| Fault::Malformed)?;
    if value.is_finite() {
        Ok(value)
    } else {
        Err(Fault::OutOfRange)
    }
}

/// Milliseconds since 1970, from their number or from ISO 8601, within the years 1 to 9999.
pub fn timestamp(text: &str) -> Result<i64, Fault> {
    let ms = match integer(text) {
        Ok(ms) => ms,
        Err(_) => temporal::parse_timestamp(text).ok_or(Fault::Malformed)?,
    };
    within_the_calendar(ms)
}

/// A point in time that lies within the years 1 to 9999.
pub fn within_the_calendar(ms: i64) -> Result<i64, Fault> {
    if (temporal::FIRST_MS..=temporal::LAST_MS).contains(&ms) {
        Ok(ms)
    } else {
        Err(Fault::OutOfRange)
    }
}
