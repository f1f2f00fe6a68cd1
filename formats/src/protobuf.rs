//! Protocol Buffers (`format = 'protobuf'`): a record is one message, whose schema the options carry.
//!
//! The wanted paths and the message's descriptor are compiled into a program, which walks a record's bytes once. A field without presence
//! that is not there is its default, as the guide of Protobuf says; one with presence, and a message, is null.
//!
//! Stricter than the guide in one thing: a wanted field that comes in another wire type than the schema's is a dead letter, not an unknown
//! field, whose column would silently be zero.

mod datum;
mod field;
mod framing;
mod program;
mod rows;
mod schema;
mod wire;

use prost_reflect::MessageDescriptor;
use tidemill_types::RawRecords;
use tidemill_types::format::{
    Column, ColumnOrigin, Decoder, Encoder, Envelope, Error, Format, SinkSpec, SourceSpec,
};

use crate::decoder;
use crate::encoding::{Encoding, Found, Wanted};
use crate::envelopes::{CRUD, DEBEZIUM, PLAIN, Place, Reading, UPSERT};
use crate::key::KEY_FORMAT;
use crate::metadata;
use datum::Datum;
use framing::{FRAMING, Framing};
use program::{Program, Refusal};
use rows::ProtobufRows;
use schema::{DESCRIPTORS, MESSAGE};
use wire::Cursor;

static READ: [&Envelope; 4] = [&PLAIN, &UPSERT, &CRUD, &DEBEZIUM];
static WRITTEN: [&Envelope; 2] = [&PLAIN, &UPSERT];
static SINK_OPTIONS: [&str; 3] = [KEY_FORMAT, DESCRIPTORS, MESSAGE];
static SOURCE_OPTIONS: [&str; 7] = [
    KEY_FORMAT,
    DESCRIPTORS,
    MESSAGE,
    FRAMING,
    "dates",
    "timestamps",
    "timestamps.*",
];

/// The format `protobuf`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Protobuf;

impl Format for Protobuf {
    fn name(&self) -> &'static str {
        "protobuf"
    }

    fn read_envelopes(&self) -> &'static [&'static Envelope] {
        &READ
    }

    fn written_envelopes(&self) -> &'static [&'static Envelope] {
        &WRITTEN
    }

    fn source_options(&self) -> &'static [&'static str] {
        &SOURCE_OPTIONS
    }

    fn sink_options(&self) -> &'static [&'static str] {
        &SINK_OPTIONS
    }

    fn decoder(&self, spec: &SourceSpec<'_>) -> Result<Box<dyn Decoder>, Error> {
        let decoder = decoder::Decoder::new(spec, self, |wanted, reading| {
            ProtobufReader::new(spec, wanted, reading)
        });
        Ok(Box::new(decoder?))
    }

    fn encoder(&self, spec: &SinkSpec<'_>) -> Result<Box<dyn Encoder>, Error> {
        metadata::beside(spec, ProtobufRows::new(spec)?)
    }
}

/// Finds values in messages.
#[derive(Debug)]
struct ProtobufReader {
    framing: Framing,
    program: Program,
}

impl ProtobufReader {
    fn new(spec: &SourceSpec<'_>, wanted: &Wanted, reading: &Reading) -> Result<Self, Error> {
        let message = schema::message(spec.options)?;
        check_columns(spec, &message, reading)?;
        // What an envelope wants beside its columns and is not in the schema is in no record, which the envelope judges.
        let program = Program::new(&message, wanted, |_, _| Ok::<_, Error>(()))?;
        Ok(Self {
            framing: Framing::new(spec.options, &message)?,
            program,
        })
    }
}

/// Refuses columns that no field of the message fits.
fn check_columns(
    spec: &SourceSpec<'_>,
    message: &MessageDescriptor,
    reading: &Reading,
) -> Result<(), Error> {
    for column in spec.columns {
        let mut of_column = Wanted::default();
        let place = match &column.origin {
            ColumnOrigin::Data(path) => Some(reading.data(path, &mut of_column)),
            ColumnOrigin::Metadata(name) if matches!(reading, Reading::Debezium(_)) => {
                reading.metadata(name, &mut of_column)
            }
            ColumnOrigin::Key(_) | ColumnOrigin::Metadata(_) => None,
        };
        for path in of_column.values() {
            let is_optional = matches!(place, Some(Place::StateOr(..)));
            check_column(column, spec, message, path, is_optional)?;
        }
    }
    Ok(())
}

fn check_column(
    column: &Column,
    spec: &SourceSpec<'_>,
    message: &MessageDescriptor,
    path: &[String],
    is_optional: bool,
) -> Result<(), Error> {
    let misfit = |found: String, expected: &'static str| Error::FieldType {
        column: column.name.clone(),
        field: path.join("."),
        found,
        expected,
    };
    match program::field_type(message, path) {
        Ok(of)
            if of
                .kind()
                .fits(&column.data_type, spec.envelope == DEBEZIUM.name) =>
        {
            Ok(())
        }
        Ok(of) => Err(misfit(of.kind().shown().to_owned(), of.kind().columns())),
        Err(Refusal::Missing) if is_optional => Ok(()),
        Err(Refusal::Missing) => Err(Error::NoField {
            column: column.name.clone(),
            field: path.join("."),
            schema: message.full_name().to_owned(),
        }),
        Err(Refusal::Is(found)) => Err(misfit(found, "a single value")),
    }
}

impl Encoding for ProtobufReader {
    type Value<'a> = Datum<'a>;
    type Schema = ();

    fn schema(&mut self, _: &RawRecords) {}

    #[inline]
    fn read<'a>(
        &mut self,
        (): &'a (),
        bytes: &'a [u8],
        found: &mut Found<Datum<'a>>,
    ) -> Result<bool, String> {
        let start = self.framing.message_start(bytes)?;
        let read = self.program.read(Cursor::new(bytes, start), found);
        read.map_err(|broken| broken.to_string())?;
        Ok(true)
    }
}
