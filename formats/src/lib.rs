//! Bytes to rows and rows to bytes.
//!
//! - [`studio_json`]: the studio's event envelope, decoded to Arrow columns and dead letters.
//! - [`json`]: rows encoded as JSON objects, keys as JSON values.
//! - [`decimal`] and [`temporal`]: the exact text of money and of time, in both directions.
//!
//! Promises: pure functions of their input (no I/O, no clock), money never passes through floating point, and no input makes a decoder
//! panic. Does not promise to repair anything: what cannot be read as declared is a dead letter.

pub mod decimal;
pub mod error;
pub mod json;
pub mod studio_json;
pub mod temporal;

pub use error::Error;
