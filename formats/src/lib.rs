//! Bytes to rows and rows to bytes: a format is an encoding (how bytes are values) and an envelope (what the values say of a change).
//!
//! - [`Json`]: texts that are JSON objects. [`Csv`]: lines of separated fields. [`Raw`]: a text that is one value.
//! - [`Avro`]: records with a schema. [`Protobuf`]: messages.
//! - [`proto_text`]: schemas of Protobuf as registries have them.
//! - `decoder`: what all encodings have in common, from a record to the columns or a dead letter; `envelopes`: what a record does.
//! - [`decimal`] and [`temporal`]: the exact text of money and of time, in both directions.
//!
//! Promises: pure functions of their input (no I/O, no clock), money never passes through floating point, and no input makes a decoder
//! panic. Does not promise to repair anything: what cannot be read as declared is a dead letter.

mod avro;
mod cells;
mod column;
mod csv;
pub mod decimal;
mod decoder;
mod encoding;
mod envelopes;
mod fault;
pub mod guess;
mod json;
mod key;
mod metadata;
mod names;
mod options;
mod part;
mod programs;
pub mod proto_text;
mod protobuf;
mod raw;
mod reason;
pub mod temporal;
mod text;
mod written;

use std::sync::Arc;

use tidemill_types::format::Formats;

pub use avro::Avro;
pub use csv::Csv;
pub use json::Json;
pub use protobuf::Protobuf;
pub use raw::Raw;

/// All formats that there are.
#[must_use]
pub fn all() -> Formats {
    Formats::new(vec![
        Arc::new(Json),
        Arc::new(Csv),
        Arc::new(Avro),
        Arc::new(Protobuf),
        Arc::new(Raw),
    ])
}
