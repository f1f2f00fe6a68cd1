//! Values and rows as the oracle has them: exact, ordered, and written as the sinks write them
//! (`docs/formats/json.md`).

use std::cmp::Ordering;
use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Datelike, NaiveDate};
use serde_json::Value as Json;
use serde_json::value::RawValue;

/// The types of columns. What matters of a decimal is its scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Type {
    /// `BOOLEAN`
    Bool,
    /// `BIGINT`
    Int,
    /// `DECIMAL` with so many digits after the point.
    Decimal(u8),
    /// `VARCHAR`
    Text,
    /// `DATE`
    Date,
    /// `TIMESTAMP`
    Time,
    /// `UUID`; its values are texts.
    Uuid,
    /// `DOUBLE`
    Double,
    /// `BYTEA`
    Bytes,
    /// One whose values have others in them.
    Nested(Nested),
}

/// The types whose values have others in them, one of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Nested {
    /// `STRUCT<n BIGINT, label VARCHAR>`
    Struct,
    /// `ARRAY<DECIMAL(18, 2)>`
    Array,
    /// `MAP<VARCHAR, BIGINT>`
    Map,
}

impl Type {
    /// True if its values have others in them.
    #[must_use]
    pub const fn is_nested(self) -> bool {
        matches!(self, Self::Nested(_))
    }
}

/// A value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// No value; equal to itself here, as groups and sets have it.
    Null,
    /// True or false.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// An exact number: digits, and how many of them stand after the point.
    Decimal(i128, u8),
    /// A text, or a UUID.
    Text(String),
    /// Days since 1970.
    Date(i32),
    /// Milliseconds since 1970.
    Time(i64),
    /// A floating-point number.
    Double(Double),
    /// Bytes.
    Bytes(Vec<u8>),
    /// What has values in it, as the text of its JSON.
    Nested(String),
}

/// A floating-point number with a total order.
#[derive(Debug, Clone, Copy)]
pub struct Double(pub f64);

impl PartialEq for Double {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Double {}

impl PartialOrd for Double {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Double {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// The values of a row, in the order of its columns.
pub type Row = Vec<Value>;

/// Rows, and how often each is there.
pub type Rows = BTreeMap<Row, i64>;

impl Value {
    /// True for no value.
    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The value as a sink writes it.
    #[must_use]
    pub fn to_json(&self) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Bool(value) => Json::from(*value),
            Self::Int(value) => Json::from(*value),
            Self::Decimal(digits, scale) => Json::from(decimal_text(*digits, *scale)),
            Self::Text(text) => Json::from(text.as_str()),
            Self::Date(days) => Json::from(date_text(*days)),
            Self::Time(ms) => Json::from(time_text(*ms)),
            Self::Double(Double(value)) => Json::from(*value),
            Self::Bytes(bytes) => Json::from(STANDARD.encode(bytes)),
            Self::Nested(text) => serde_json::from_str(text).expect("it was JSON"),
        }
    }
}

/// A row as JSON text that is the same for equal rows, whatever wrote it: members sorted by name.
#[must_use]
pub fn row_text<'a>(columns: impl Iterator<Item = &'a str>, row: &[Value]) -> String {
    let members = columns
        .zip(row)
        .map(|(name, value)| (name.to_owned(), value.to_json()));
    text(Json::Object(members.collect()))
}

/// JSON with the members of an object in the order of their names, however the library keeps them.
fn text(json: Json) -> String {
    match json {
        Json::Object(members) => {
            let sorted: BTreeMap<String, Json> = members.into_iter().collect();
            serde_json::to_string(&sorted).expect("a map with text keys is JSON")
        }
        other => other.to_string(),
    }
}

/// The key of a row: the bare value of one column, or an object of several.
#[must_use]
pub fn key_text(columns: &[(&str, &Value)]) -> String {
    match columns {
        [(_, value)] => value.to_json().to_string(),
        columns => row_text(
            columns.iter().map(|(name, _)| *name),
            &columns
                .iter()
                .map(|(_, value)| (*value).clone())
                .collect::<Vec<_>>(),
        ),
    }
}

/// JSON as it was written, in the form that [`row_text`] and [`key_text`] give.
///
/// # Errors
/// If it is not JSON.
pub fn canonical(bytes: &[u8]) -> Result<String, serde_json::Error> {
    let whole: &RawValue = serde_json::from_slice(bytes)?;
    let Ok(members) = serde_json::from_str::<BTreeMap<String, &RawValue>>(whole.get()) else {
        return exact(whole).map(text);
    };
    let members = members.into_iter();
    let members = members.map(|(name, token)| Ok((name, exact(token)?)));
    Ok(text(Json::Object(members.collect::<Result<_, _>>()?)))
}

/// A value with the number that is nearest to its text: the library reads some of them one unit in the last place off.
fn exact(token: &RawValue) -> Result<Json, serde_json::Error> {
    let json: Json = serde_json::from_str(token.get())?;
    let number = token.get().parse().ok().filter(|_| json.is_f64());
    Ok(number.map_or(json, |number: f64| Json::from(number)))
}

fn decimal_text(digits: i128, scale: u8) -> String {
    let sign = if digits < 0 { "-" } else { "" };
    let text = digits.unsigned_abs().to_string();
    let scale = usize::from(scale);
    if scale == 0 {
        return format!("{sign}{text}");
    }
    let text = format!("{text:0>width$}", width = scale + 1);
    let (whole, fraction) = text.split_at(text.len() - scale);
    format!("{sign}{whole}.{fraction}")
}

fn date_text(days: i32) -> String {
    let date = NaiveDate::from_epoch_days(days).expect("generated dates are of this age");
    date.format("%Y-%m-%d").to_string()
}

pub(crate) fn time_text(ms: i64) -> String {
    let time = DateTime::from_timestamp_millis(ms).expect("generated times are of this age");
    time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// Days since 1970 of `yyyy-mm-dd`.
#[must_use]
pub fn days_of(text: &str) -> Option<i32> {
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    (1..=9999)
        .contains(&date.year())
        .then(|| date.to_epoch_days())
}

/// The digits of a decimal, if it has at most so many after the point.
#[must_use]
pub fn digits_of(text: &str, scale: u8) -> Option<i128> {
    let (sign, number) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    let scale = usize::from(scale);
    (fraction.len() <= scale).then_some(())?;
    let digits = format!("{whole}{fraction:0<scale$}");
    digits.parse::<i128>().ok().map(|digits| sign * digits)
}

#[cfg(test)]
mod tests {
    use super::{Value, canonical, days_of, digits_of};

    #[test]
    fn values_are_written_as_the_documents_say() {
        let written = |value: Value| value.to_json().to_string();
        assert_eq!(written(Value::Decimal(-5, 2)), "\"-0.05\"");
        assert_eq!(written(Value::Decimal(12345, 2)), "\"123.45\"");
        assert_eq!(written(Value::Date(20484)), "\"2026-01-31\"");
        let time = Value::Time(1_769_860_800_123);
        assert_eq!(written(time), "\"2026-01-31T12:00:00.123Z\"");
        assert_eq!(written(Value::Bytes(b"foo".to_vec())), "\"Zm9v\"");
        assert_eq!(written(Value::Null), "null");
    }

    #[test]
    fn numbers_are_read_as_they_were_written() {
        let text = r#"{"b":3.6470588235294117,"a":62}"#;
        let canonical = canonical(text.as_bytes()).expect("it is JSON");
        assert_eq!(canonical, r#"{"a":62,"b":3.6470588235294117}"#);
    }

    #[test]
    fn texts_are_read_exactly() {
        assert_eq!(digits_of("12.50", 2), Some(1250));
        assert_eq!(digits_of("-0.05", 2), Some(-5));
        assert_eq!(digits_of("12.345", 2), None);
        assert_eq!(digits_of("12,50", 2), None);
        assert_eq!(days_of("2026-01-31"), Some(20484));
    }
}
