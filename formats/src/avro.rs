//! Avro (`format = 'avro'`): records in Avro's binary encoding, read by the schema that their writer had.
//!
//! The schema of a source is the text of the option `avro.schema`, or a registry has those that the records name; what stands in front of a
//! record's Avro says the option `avro.framing`. The schema of a sink is derived from its columns, and told to the registry that it has.

mod class;
mod contract;
mod derived;
mod json;
mod parts;
mod program;
mod programs;
mod rows;
mod schema;
mod value;
mod wire;

use std::collections::HashMap;
use std::sync::Arc;

use tidemill_types::RawRecords;
use tidemill_types::format::{
    Column, Contract, Decoder, Encoder, Envelope, Error, Format, Options, SchemaKind, SinkSpec,
    SourceSpec, framed_schema,
};

use crate::decoder;
use crate::encoding::{Encoding, Found, Wanted, path_shown};
use crate::envelopes::{CRUD, DEBEZIUM, PLAIN, Reading, UPSERT};
use crate::key::KEY_FORMAT;
use crate::metadata;
use crate::options::{DATES, TIMESTAMPS};
use crate::programs::{ColumnPaths, Programs, Registered, column_paths};
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
        let usual = match spec.contract {
            Some(_) => Framing::Confluent,
            None => Framing::None,
        };
        match (Framing::of(spec.options, usual)?, spec.contract) {
            (Framing::None, _) => {
                let unframed = SinkSpec {
                    contract: None,
                    ..spec.clone()
                };
                metadata::beside(spec, AvroRows::new(&unframed)?)
            }
            (Framing::Confluent, Some(_)) => metadata::beside(spec, AvroRows::new(spec)?),
            (Framing::Confluent, None) => Err(Error::OptionValue {
                option: FRAMING.to_owned(),
                value: spec.options[FRAMING].clone(),
                expected: "'none' for a sink without schema.registry.url: a schema's number comes from a registry"
                    .to_owned(),
            }),
        }
    }

    fn schema_kind(&self) -> Option<SchemaKind> {
        Some(SchemaKind::Avro)
    }

    fn contract_columns(
        &self,
        contract: &Contract,
        envelope: &str,
        _: &Options,
    ) -> Result<Vec<Column>, Error> {
        contract::columns(contract, envelope)
    }

    fn contract_schema(&self, spec: &SinkSpec<'_>, _: Option<&Contract>) -> Result<String, Error> {
        derived::schema(spec)
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
    /// The framing that the options say, or else the usual one.
    fn of(options: &Options, usual: Self) -> Result<Self, Error> {
        match options.get(FRAMING).map(String::as_str) {
            None => Ok(usual),
            Some("none") => Ok(Self::None),
            Some("confluent") => Ok(Self::Confluent),
            Some(other) => Err(Error::OptionValue {
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
            (Self::Confluent, record) if framed_schema(record).is_some() => {
                Ok((framed_schema(record), 5))
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

/// Finds values in Avro.
#[derive(Debug)]
struct AvroReader {
    framing: Framing,
    programs: Arc<Programs<Program>>,
    /// Present if a registry has the schemas.
    registered: Option<Registered<Schema>>,
}

impl AvroReader {
    fn new(spec: &SourceSpec<'_>, wanted: &Wanted, reading: &Reading) -> Result<Self, Error> {
        let Some(contracts) = spec.contracts else {
            let schema = parse(spec.options)?;
            check_columns(&column_paths(spec, reading), &schema, SCHEMA)?;
            return Ok(Self {
                framing: Framing::of(spec.options, Framing::None)?,
                programs: Arc::new(Programs::One(Program::new(schema, wanted))),
                registered: None,
            });
        };
        if spec.options.contains_key(SCHEMA) {
            return Err(Error::OptionValue {
                option: SCHEMA.to_owned(),
                value: "a schema".to_owned(),
                expected: "no such option beside a registry, which has the schemas".to_owned(),
            });
        }
        let columns = column_paths(spec, reading);
        let mut contract = None;
        if let Some(pinned) = contracts.pinned {
            let schema = contract::schema(pinned)?;
            check_columns(&columns, &schema, &pinned.to_string())?;
            contract = Some((pinned.clone(), schema));
        }
        let schemas = Arc::clone(contracts.schemas);
        let framing = Framing::of(spec.options, Framing::Confluent)?;
        if framing == Framing::None {
            // Nothing in front of a record says which schema it has: it is the contract's.
            let (_, schema) = contract.ok_or_else(|| Error::OptionValue {
                option: FRAMING.to_owned(),
                value: "none".to_owned(),
                expected: "'confluent', as the subject has no version yet".to_owned(),
            })?;
            return Ok(Self {
                framing,
                programs: Arc::new(Programs::One(Program::new(schema, wanted))),
                registered: None,
            });
        }
        Ok(Self {
            framing,
            programs: Arc::new(Programs::Named(HashMap::new())),
            registered: Some(Registered::new(schemas, contract, wanted.clone(), columns)),
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
fn check_columns(columns: &[ColumnPaths], schema: &Schema, called: &str) -> Result<(), Error> {
    for of in columns {
        let mut paths = of.paths.iter();
        if let Some(path) = paths.find(|path| !schema.has(schema.root(), path)) {
            return Err(Error::NoField {
                column: of.column.clone(),
                field: path_shown(path),
                schema: called.to_owned(),
            });
        }
    }
    Ok(())
}

impl Encoding for AvroReader {
    const IS_NESTED: bool = true;

    type Value<'a> = AvroValue<'a>;
    type Schema = Arc<Programs<Program>>;

    fn schema(&mut self, records: &RawRecords) -> Arc<Programs<Program>> {
        if let Some(registered) = &self.registered {
            Programs::complete(&mut self.programs, records, |number| {
                registered.program(number)
            });
        }
        Arc::clone(&self.programs)
    }

    #[inline]
    fn read<'a>(
        &mut self,
        programs: &'a Arc<Programs<Program>>,
        bytes: &'a [u8],
        found: &mut Found<AvroValue<'a>>,
    ) -> Result<bool, String> {
        let (number, start) = self.framing.split(bytes)?;
        let program = programs.of(number)?;
        program
            .read(bytes, start, found)
            .map_err(|broken| broken.reason())
    }
}
