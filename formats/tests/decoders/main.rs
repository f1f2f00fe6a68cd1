//! Decoders by what they make of records: what becomes a row, of which values, and what is a dead letter for which reason.

#![expect(
    clippy::unwrap_used,
    reason = "what a test cannot go on without fails it"
)]

mod avro;
mod cloudevents;
mod crud;
mod csv_and_raw;
mod dead_letters;
mod debezium;
mod kit;
mod nested;
mod plain_and_upsert;
mod properties;
mod protobuf;
mod subject;
