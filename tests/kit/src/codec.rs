//! Events and rows in every encoding: what producers write, and what readers of sinks find. By code that the product neither reads nor writes
//! with: of Avro and Protobuf by libraries, of CSV by the rules once more.
//!
//! Whatever the encoding, an event is the JSON that it would be in JSON: decimals, dates and UUIDs as texts, times as milliseconds. So the
//! oracle interprets one form, and what an encoding makes of a value is said once, here.
//!
//! *Promises* that what was encoded is decoded to the same JSON, and that bytes which are not of the encoding are none. *Does not know* what the
//! generator does not make: numbers out of range, other schemas than the source's own, framing.

mod avro;
mod csv;
mod protobuf;
mod shape;
mod sink;

use serde_json::Value as Json;

use crate::random_job::job::{Encoding, Source};
use shape::Shape;

pub use sink::{Said, SinkCodec};

/// An event's bytes; none if the encoding has no form for it.
#[must_use]
pub fn encode(source: &Source, event: &Json) -> Option<Vec<u8>> {
    let shape = Shape::of(source);
    match source.encoding {
        Encoding::Json => Some(event.to_string().into_bytes()),
        Encoding::Csv => csv::encode(&shape, event),
        Encoding::Avro => avro::encode(&shape, event),
        Encoding::Protobuf => protobuf::encode(&shape, event),
        Encoding::Raw => csv::encode_bare(&shape, event),
    }
}

/// The event that bytes are; none if they are none.
#[must_use]
pub fn decode(source: &Source, bytes: &[u8]) -> Option<Json> {
    let shape = Shape::of(source);
    match source.encoding {
        Encoding::Json => serde_json::from_slice(bytes).ok(),
        Encoding::Csv => csv::decode(&shape, bytes),
        Encoding::Avro => avro::decode(&shape, bytes),
        Encoding::Protobuf => protobuf::decode(&shape, bytes),
        Encoding::Raw => csv::decode_bare(&shape, bytes),
    }
}

/// Bytes that are nothing in an encoding, of one of several kinds.
#[must_use]
pub fn broken(encoding: Encoding, kind: usize) -> &'static [u8] {
    let all: [&[u8]; 4] = match encoding {
        Encoding::Json => [b"", b"\xff\xfe", b"{\"uuid\": \"0190", b"[1, 2]"],
        Encoding::Csv => [b"\"open", b"a\"b", b"\xff\xfe", b"only one"],
        // Nothing, a text that is not there, a number that does not end, a branch that there is not.
        Encoding::Avro => [
            b"",
            b"\x02",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\x09\x09",
        ],
        // A length that is not there, one that goes too far, a wire type and a field that there are not.
        Encoding::Protobuf => [b"\x0a", b"\x0a\x7fx", b"\x0f", b"\x00\x01"],
        // No UTF-8, and what is none of most types.
        Encoding::Raw => [b"\xff\xfe", b"12,50", b"", b"one"],
    };
    all[kind % all.len()]
}

/// The format of a source, as SQL: its name, and the options that it needs.
#[must_use]
pub fn source_options(source: &Source) -> String {
    let shape = Shape::of(source);
    match source.encoding {
        Encoding::Json => "format = 'json'".to_owned(),
        Encoding::Csv => format!(
            "format = 'csv', csv.columns = '{}'",
            shape.names().join(", ")
        ),
        Encoding::Avro => format!("format = 'avro', avro.schema = '{}'", avro::schema(&shape)),
        Encoding::Protobuf => protobuf::options(&shape),
        Encoding::Raw => "format = 'raw'".to_owned(),
    }
}
