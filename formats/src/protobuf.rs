//! Protocol Buffers (`format = 'protobuf'`): a record is one message, whose schema the options carry, or a registry has.
//!
//! The wanted paths and the message's descriptor are compiled into a program, which walks a record's bytes once. A field without presence
//! that is not there is its default, as the guide of Protobuf says; one with presence, and a message, is null.
//!
//! Stricter than the guide in one thing: a wanted field that comes in another wire type than the schema's is a dead letter, not an unknown
//! field, whose column would silently be zero.

mod contract;
mod datum;
mod derived;
mod field;
mod framing;
mod parts;
mod path;
mod pen;
mod program;
mod programs;
mod rows;
mod schema;
mod shape;
mod types;
mod wire;

use std::collections::HashMap;
use std::sync::Arc;

use prost_reflect::MessageDescriptor;
use tidemill_types::RawRecords;
use tidemill_types::format::{
    Column, ColumnOrigin, Contract, Decoder, Encoder, Envelope, Error, Format, KEY_FORMAT, Options,
    SchemaKind, SinkSpec, SourceSpec,
};

use crate::decoder;
use crate::encoding::{Encoding, Found, Wanted};
use crate::envelopes::{CRUD, DEBEZIUM, PLAIN, Place, Reading, UPSERT};
use crate::metadata;
use crate::part::Part;
use crate::programs::{Programs, Registered};
pub use datum::Datum;
use framing::{FRAMING, Framing};
use path::Refusal;
use program::HasCome;
use programs::{Named, Reader};
use rows::ProtobufRows;
pub use rows::{BoundMessage, Message};
use schema::{DESCRIPTORS, MESSAGE};
use shape::Of;
use wire::Cursor;

static READ: [&Envelope; 4] = [&PLAIN, &UPSERT, &CRUD, &DEBEZIUM];
static WRITTEN: [&Envelope; 2] = [&PLAIN, &UPSERT];
static SINK_OPTIONS: [&str; 4] = [KEY_FORMAT, DESCRIPTORS, MESSAGE, FRAMING];
static KEY_OPTIONS: [&str; 3] = [
    "key.protobuf.descriptors",
    "key.protobuf.message",
    "key.protobuf.framing",
];
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

    fn key_source_options(&self) -> &'static [&'static str] {
        &KEY_OPTIONS
    }

    fn key_sink_options(&self) -> &'static [&'static str] {
        &KEY_OPTIONS
    }

    fn decoder(&self, spec: &SourceSpec<'_>) -> Result<Box<dyn Decoder>, Error> {
        let decoder = decoder::Decoder::new(spec, self, |wanted, reading| {
            ProtobufReader::new(Part::Value, spec, wanted, reading)
        });
        Ok(Box::new(decoder?))
    }

    fn encoder(&self, spec: &SinkSpec<'_>) -> Result<Box<dyn Encoder>, Error> {
        metadata::beside(spec, ProtobufRows::new(spec)?)
    }

    fn schema_kind(&self) -> Option<SchemaKind> {
        Some(SchemaKind::Protobuf)
    }

    fn contract_columns(
        &self,
        contract: &Contract,
        envelope: &str,
        options: &Options,
    ) -> Result<Vec<Column>, Error> {
        contract::columns(contract, envelope, options)
    }

    fn key_contract_columns(
        &self,
        contract: &Contract,
        key: &[String],
        options: &Options,
    ) -> Result<Vec<Column>, Error> {
        contract::key_columns(contract, key, options)
    }

    fn contract_schema(
        &self,
        spec: &SinkSpec<'_>,
        newest: Option<&Contract>,
    ) -> Result<String, Error> {
        derived::schema(Part::Value, spec, newest)
    }

    fn key_contract_schema(
        &self,
        spec: &SinkSpec<'_>,
        newest: Option<&Contract>,
    ) -> Result<String, Error> {
        derived::schema(Part::Key, spec, newest)
    }
}

/// Finds values in messages.
#[derive(Debug)]
pub struct ProtobufReader {
    part: Part,
    framing: Framing,
    readers: Arc<Programs<Reader>>,
    /// Present if a registry has the schemas.
    named: Option<Named>,
    has_come: HasCome,
}

impl ProtobufReader {
    /// A reader of what is wanted of a part of records.
    ///
    /// # Errors
    /// `Invalid` if an option is wrong, or the message has no field for a column, or one that does not fit.
    pub fn new(
        part: Part,
        spec: &SourceSpec<'_>,
        wanted: &Wanted,
        reading: &Reading,
    ) -> Result<Self, Error> {
        let options = spec.options;
        let Some(contracts) = part.contracts(spec) else {
            let message = schema::message(part, options)?;
            check_columns((part, spec), (&message, message.full_name()), reading)?;
            let framing = Framing::of(part, options, Framing::None)?;
            return Ok(Self::one(part, framing, &message, wanted));
        };
        contract::refuse_descriptors(part, options)?;
        let mut planned = None;
        if let Some(pinned) = contracts.pinned {
            let message = contract::message(part, pinned, options)?;
            check_columns((part, spec), (&message, &pinned.to_string()), reading)?;
            planned = Some((pinned.clone(), message));
        }
        let framing = Framing::of(part, options, Framing::Confluent)?;
        if framing == Framing::None {
            // Nothing in front of a record says which schema it has: it is the contract's.
            let (_, message) = planned.ok_or_else(|| {
                let expected = "'confluent', as the subject has no version yet";
                part.wrong(FRAMING, "none", expected)
            })?;
            return Ok(Self::one(part, framing, &message, wanted));
        }
        let schemas = Arc::clone(contracts.schemas);
        let columns = part.columns(spec, reading);
        Ok(Self {
            part,
            framing,
            readers: Arc::new(Programs::Named(HashMap::new())),
            named: Some(Named {
                registered: Registered::new(schemas, planned, wanted.clone(), columns),
                name: part.option(options, MESSAGE).map(str::to_owned),
            }),
            has_come: HasCome::new(),
        })
    }

    /// Of records that are one message.
    fn one(part: Part, framing: Framing, message: &MessageDescriptor, wanted: &Wanted) -> Self {
        // What an envelope wants beside its columns and is not in the schema is in no record, which the envelope judges.
        let reader = match framing {
            Framing::None => Reader::bare(message, wanted),
            Framing::Confluent => Reader::framed(message, message, wanted),
        };
        Self {
            part,
            framing,
            readers: Arc::new(Programs::One(reader)),
            named: None,
            has_come: HasCome::new(),
        }
    }
}

/// Refuses columns that no field of the message fits.
fn check_columns(
    (part, spec): (Part, &SourceSpec<'_>),
    message: (&MessageDescriptor, &str),
    reading: &Reading,
) -> Result<(), Error> {
    for column in spec.columns {
        let mut of_column = Wanted::default();
        let place = match (part, &column.origin) {
            (Part::Value, ColumnOrigin::Data(path)) => Some(reading.data(path, &mut of_column)),
            (Part::Value, ColumnOrigin::Metadata(name))
                if matches!(reading, Reading::Debezium(_)) =>
            {
                reading.metadata(name, &mut of_column)
            }
            (Part::Key, ColumnOrigin::Key(path)) => {
                of_column.value(path.names());
                None
            }
            _ => None,
        };
        for path in of_column.values() {
            let is_optional = matches!(place, Some(Place::StateOr(..)));
            check_column((column, path), spec, message, is_optional)?;
        }
    }
    Ok(())
}

fn check_column(
    (column, path): (&Column, &[String]),
    spec: &SourceSpec<'_>,
    (message, called): (&MessageDescriptor, &str),
    is_optional: bool,
) -> Result<(), Error> {
    let of = Of {
        column: &column.name,
        schema: called,
        is_of_database: spec.envelope == DEBEZIUM.name,
    };
    match path::Place::at(message, path).and_then(|place| place.shape()) {
        Ok(shape) => shape.check(&column.data_type, path, of),
        Err(Refusal::Missing) if is_optional => Ok(()),
        Err(Refusal::Missing) => Err(shape::missing(path, of)),
        Err(Refusal::Is(found)) => Err(shape::misfit(&found, "what lies in one message", path, of)),
    }
}

impl Encoding for ProtobufReader {
    const IS_NESTED: bool = true;

    type Value<'a> = Datum<'a>;
    type Schema = Arc<Programs<Reader>>;

    fn schema(&mut self, records: &RawRecords) -> Arc<Programs<Reader>> {
        if let Some(named) = &self.named {
            Programs::complete(&mut self.readers, records, self.part, |number| {
                named.reader(number)
            });
        }
        Arc::clone(&self.readers)
    }

    #[inline]
    fn read<'a>(
        &mut self,
        readers: &'a Arc<Programs<Reader>>,
        bytes: &'a [u8],
        found: &mut Found<Datum<'a>>,
    ) -> Result<bool, String> {
        let number = match self.framing {
            Framing::None => None,
            Framing::Confluent => Some(framing::number(bytes)?),
        };
        let Reader { frame, program } = readers.of(number)?;
        let start = match frame {
            None => 0,
            Some(frame) => frame.message_start(bytes)?,
        };
        let read = program.read(Cursor::new(bytes, start), found, &mut self.has_come);
        read.map_err(|broken| broken.to_string())?;
        Ok(true)
    }
}
