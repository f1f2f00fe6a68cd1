//! What Kafka Connect's JSON converter adds: a record may be `{"schema": …, "payload": …}`, and its schema says what numbers and texts stand for.
//!
//! A topic's records carry the same schema over and over, some kilobytes of it: what stands before the payload is compared with what stood
//! there in the record before, and read only if it is another. A record is read by its own schema, or by none, whatever came before it.
//!
//! Source of the names: Kafka's `org.apache.kafka.connect.data`, Debezium's "Data type mappings".

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::token;
use crate::decimal;
use crate::encoding::Conversion;
use crate::fault::Fault;

/// The schema of a record, or of a member.
#[derive(Debug, Default, Deserialize)]
struct Schema {
    field: Option<String>,
    name: Option<String>,
    #[serde(default)]
    fields: Vec<Schema>,
    /// Of an array.
    items: Option<Box<Schema>>,
    /// Of a map.
    values: Option<Box<Schema>>,
    #[serde(default)]
    parameters: Parameters,
}

#[derive(Debug, Default, Deserialize)]
struct Parameters {
    scale: Option<String>,
}

/// A record with its schema.
#[derive(Deserialize)]
struct Wrapped<'a> {
    #[serde(borrow)]
    schema: &'a RawValue,
    #[serde(borrow)]
    payload: &'a RawValue,
}

/// Takes payloads out of records that carry their schema.
#[derive(Debug, Default)]
pub struct Wrapper {
    /// What stood before the last payload that had nothing after it but the end of its record; empty if there was none.
    before: String,
    /// The schema that was read last, and its text.
    schema: Schema,
    text: String,
    /// True if the record that was read last carried it.
    holds: bool,
    is_new: bool,
}

impl Wrapper {
    /// What is the payload of a record, if it begins as the one before and has nothing after its payload, which is not looked at.
    pub fn likely_payload<'a>(&mut self, text: &'a str) -> Option<&'a str> {
        if self.before.is_empty() {
            return None;
        }
        let payload = text.strip_prefix(self.before.as_str())?.strip_suffix('}')?;
        self.hold(true);
        Some(payload)
    }

    /// The payload of a record that is `{"schema": …, "payload": …}`; none of any other, of which no schema says anything.
    pub fn payload<'a>(&mut self, text: &'a str) -> Option<&'a str> {
        let Some(Wrapped { schema, payload }) = wrapped(text) else {
            self.hold(false);
            return None;
        };
        let payload = payload.get();
        let start = payload.as_ptr() as usize - text.as_ptr() as usize;
        self.before.clear();
        if &text[start + payload.len()..] == "}" {
            self.before.push_str(&text[..start]);
        }
        self.hold(true);
        if self.text != schema.get() {
            schema.get().clone_into(&mut self.text);
            self.schema = serde_json::from_str(schema.get()).unwrap_or_default();
            self.is_new = true;
        }
        Some(payload)
    }

    fn hold(&mut self, holds: bool) {
        self.is_new |= self.holds != holds;
        self.holds = holds;
    }

    /// True once after the schema became another one.
    pub const fn has_new_schema(&mut self) -> bool {
        std::mem::replace(&mut self.is_new, false)
    }

    /// What the schema says of a member; none if it does not know it.
    pub fn conversion(&self, path: &[String]) -> Option<Conversion> {
        if !self.holds {
            return None;
        }
        let mut schema = &self.schema;
        for name in path {
            let mut fields = schema.fields.iter();
            let field = fields.find(|field| field.field.as_ref() == Some(name));
            let inner = || schema.items.as_deref().or(schema.values.as_deref());
            schema = field.or_else(inner)?;
        }
        Some(schema.conversion())
    }
}

fn wrapped(text: &str) -> Option<Wrapped<'_>> {
    let first = text.trim_start().strip_prefix('{')?.trim_start();
    if !first.starts_with("\"schema\"") && !first.starts_with("\"payload\"") {
        return None;
    }
    serde_json::from_str(text).ok()
}

impl Schema {
    fn conversion(&self) -> Conversion {
        let scale = || self.parameters.scale.as_ref()?.parse().ok();
        match self.name.as_deref().unwrap_or_default() {
            "org.apache.kafka.connect.data.Decimal" => Conversion::Unscaled(scale().unwrap_or(0)),
            // Its scale stands in each value.
            "io.debezium.data.VariableScaleDecimal" => Conversion::Unscaled(0),
            "org.apache.kafka.connect.data.Date" | "io.debezium.time.Date" => Conversion::Days,
            "org.apache.kafka.connect.data.Timestamp" | "io.debezium.time.Timestamp" => {
                Conversion::PerMillisecond(1)
            }
            "io.debezium.time.MicroTimestamp" => Conversion::PerMillisecond(1_000),
            "io.debezium.time.NanoTimestamp" => Conversion::PerMillisecond(1_000_000),
            "io.debezium.time.IsoDate" => Conversion::Days,
            // A database without booleans has small numbers.
            "" => Conversion::ZeroOrOne,
            _ => Conversion::Usual,
        }
    }
}

/// A decimal as its unscaled bytes, big-endian in two's complement and in base64, with so many digits behind the point, or with their number
/// beside it; a JSON number is itself.
pub fn decimal(token: &str, digits: i8, precision: u8, scale: i8) -> Result<i128, Fault> {
    #[derive(Deserialize)]
    struct VariableScale {
        scale: i8,
        value: String,
    }
    if token.starts_with('{') {
        let VariableScale {
            scale: digits,
            value,
        } = serde_json::from_str(token).map_err(|_| Fault::WrongType)?;
        return unscaled(&value, digits, precision, scale);
    }
    if token.starts_with('"') {
        return unscaled(&token::text(token)?, digits, precision, scale);
    }
    token::decimal(token, precision, scale)
}

fn unscaled(text: &str, digits: i8, precision: u8, scale: i8) -> Result<i128, Fault> {
    let bytes = BASE64_STANDARD.decode(text).map_err(|_| Fault::Malformed)?;
    Ok(decimal::from_bytes(&bytes, digits, precision, scale)?)
}
