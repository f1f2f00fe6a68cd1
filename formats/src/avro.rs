//! Avro (`format = 'avro'`): records in Avro's binary encoding, read by the schema that their writer had.
//!
//! The schema of a source is the text of the option `avro.schema`; what stands in front of a record's Avro says the option `avro.framing`.
//! The schema of a sink is derived from its columns: [`Avro::schema_of`].

mod derived;
mod json;
mod program;
mod rows;
mod schema;
mod value;
mod wire;

use std::sync::Arc;

use tidemill_types::format::{
    ColumnOrigin, Decoder, Encoder, Envelope, Error, Format, Options, SinkSpec, SourceSpec,
};

use crate::decoder;
use crate::encoding::{Encoding, Found, Wanted};
use crate::envelopes::{CRUD, DEBEZIUM, PLAIN, Place, Reading, UPSERT};
use crate::key::KEY_FORMAT;
use crate::options::{DATES, TIMESTAMPS};
use crate::reason;
use program::Program;
use rows::AvroRows;
use schema::Schema;
use value::AvroValue;

/// The option with the schema that the records were written by.
const SCHEMA: &str = "avro.schema";
/// The option that says what stands in front of a record's Avro.
const FRAMING: &str = "avro.framing";

static SOURCE_OPTIONS: [&str; 6] = [
    KEY_FORMAT,
    SCHEMA,
    FRAMING,
    DATES,
    TIMESTAMPS,
    "timestamps.*",
];
static SINK_OPTIONS: [&str; 3] = [KEY_FORMAT, derived::NAME, FRAMING];
static READ: [&Envelope; 4] = [&PLAIN, &UPSERT, &CRUD, &DEBEZIUM];
static WRITTEN: [&Envelope; 3] = [&PLAIN, &UPSERT, &DEBEZIUM];

/// The format `avro`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Avro;

impl Avro {
    /// The schema that the records of a sink are written by, in JSON: what a registry is told, and what its readers need.
    ///
    /// # Errors
    /// `Invalid` if a column's type or name has no form in Avro, or there is no such envelope, or the option `avro.name` is no name.
    pub fn schema_of(spec: &SinkSpec<'_>) -> Result<String, Error> {
        derived::schema(spec)
    }
}

impl Format for Avro {
    fn name(&self) -> &'static str {
        "avro"
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
            AvroReader::new(spec, wanted, reading)
        });
        Ok(Box::new(decoder?))
    }

    fn encoder(&self, spec: &SinkSpec<'_>) -> Result<Box<dyn Encoder>, Error> {
        match Framing::of(spec.options)? {
            Framing::None => Ok(Box::new(AvroRows::new(spec)?)),
            Framing::Confluent => Err(Error::OptionValue {
                option: FRAMING.to_owned(),
                value: spec.options[FRAMING].clone(),
                expected: "'none' for a sink: a schema's number comes from a registry".to_owned(),
            }),
        }
    }
}

/// What stands in front of a record's Avro.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// Nothing.
    None,
    /// A zero byte and the number of the schema in four bytes, as Confluent's serializers write.
    Confluent,
}

impl Framing {
    fn of(options: &Options) -> Result<Self, Error> {
        match options.get(FRAMING).map_or("none", String::as_str) {
            "none" => Ok(Self::None),
            "confluent" => Ok(Self::Confluent),
            other => Err(Error::OptionValue {
                option: FRAMING.to_owned(),
                value: other.to_owned(),
                expected: "'none' or 'confluent'".to_owned(),
            }),
        }
    }

    /// The number of a record's schema, if it says one, and where its Avro begins.
    #[inline]
    fn split(self, record: &[u8]) -> Result<(Option<u32>, usize), String> {
        match (self, record) {
            (Self::None, _) => Ok((None, 0)),
            (Self::Confluent, &[0, a, b, c, d, ..]) => {
                Ok((Some(u32::from_be_bytes([a, b, c, d])), 5))
            }
            (Self::Confluent, &[0, ..] | &[]) => Err(format!(
                "truncated: expected a zero byte and the schema's number in four bytes, found {} bytes",
                record.len()
            )),
            (Self::Confluent, &[first, ..]) => Err(format!(
                "not framed as avro.framing = 'confluent' says: the first byte is {first}, not 0"
            )),
        }
    }
}

/// The schemas that records may have, each with what is wanted of it.
#[derive(Debug)]
struct Schemas {
    one: Program,
}

impl Schemas {
    /// How the records of a schema are read. There is one schema, and all numbers are taken for its own.
    #[inline]
    const fn of(&self, _number: Option<u32>) -> &Program {
        &self.one
    }
}

/// Finds values in Avro.
#[derive(Debug)]
struct AvroReader {
    framing: Framing,
    schemas: Arc<Schemas>,
}

impl AvroReader {
    fn new(spec: &SourceSpec<'_>, wanted: &Wanted, reading: &Reading) -> Result<Self, Error> {
        let schema = parse(spec.options)?;
        check_columns(spec, &schema, reading)?;
        Ok(Self {
            framing: Framing::of(spec.options)?,
            schemas: Arc::new(Schemas {
                one: Program::new(schema, wanted),
            }),
        })
    }
}

/// The schema of the options.
fn parse(options: &Options) -> Result<Schema, Error> {
    let text = options.get(SCHEMA).map(String::as_str).unwrap_or_default();
    let wrong = |expected: &str| Error::OptionValue {
        option: SCHEMA.to_owned(),
        value: reason::excerpt(text),
        expected: expected.to_owned(),
    };
    if text.is_empty() {
        return Err(wrong(
            "the schema that the records were written by, in JSON",
        ));
    }
    let schema =
        Schema::parse(text).map_err(|why| wrong(&format!("an Avro schema in JSON: {why}")))?;
    if schema.is_of_records() {
        Ok(schema)
    } else {
        Err(wrong("the schema of a record"))
    }
}

/// Refuses columns whose field no record has. What the envelope wants beside them and is in no record, it judges itself.
fn check_columns(spec: &SourceSpec<'_>, schema: &Schema, reading: &Reading) -> Result<(), Error> {
    for column in spec.columns {
        let mut of_column = Wanted::default();
        let ColumnOrigin::Data(path) = &column.origin else {
            continue;
        };
        // The envelope's own member may stand in for the state's.
        if let Place::StateOr(..) = reading.data(path, &mut of_column) {
            continue;
        }
        let mut paths = of_column.values().iter();
        if let Some(path) = paths.find(|path| !schema.has(schema.root(), path)) {
            return Err(Error::NoField {
                column: column.name.clone(),
                field: path.join("."),
                schema: SCHEMA.to_owned(),
            });
        }
    }
    Ok(())
}

impl Encoding for AvroReader {
    type Value<'a> = AvroValue<'a>;
    type Schema = Arc<Schemas>;

    fn schema(&self) -> Arc<Schemas> {
        Arc::clone(&self.schemas)
    }

    #[inline]
    fn read<'a>(
        &mut self,
        schemas: &'a Arc<Schemas>,
        bytes: &'a [u8],
        found: &mut Found<AvroValue<'a>>,
    ) -> Result<bool, String> {
        let (number, start) = self.framing.split(bytes)?;
        let program = schemas.of(number);
        program
            .read(bytes, start, found)
            .map_err(|broken| broken.reason())
    }
}
