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
    Column, Contract, Decoder, Encoder, Envelope, Error, Format, KEY_FORMAT, Options, SchemaKind,
    SinkSpec, SourceSpec, framed_schema,
};

use crate::decoder;
use crate::encoding::{Encoding, Found, Wanted, path_shown};
use crate::envelopes::{CRUD, DEBEZIUM, PLAIN, Reading, UPSERT};
use crate::metadata;
use crate::options::{DATES, TIMESTAMPS};
use crate::part::Part;
use crate::programs::{ColumnPaths, Programs, Registered};
use crate::reason;
use program::Program;
use rows::AvroRows;
pub use rows::{BoundRow, Row};
use schema::Schema;
pub use value::AvroValue;

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
static KEY_SOURCE_OPTIONS: [&str; 2] = ["key.avro.schema", "key.avro.framing"];
static KEY_SINK_OPTIONS: [&str; 2] = ["key.avro.name", "key.avro.framing"];
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

    fn key_source_options(&self) -> &'static [&'static str] {
        &KEY_SOURCE_OPTIONS
    }

    fn key_sink_options(&self) -> &'static [&'static str] {
        &KEY_SINK_OPTIONS
    }

    fn decoder(&self, spec: &SourceSpec<'_>) -> Result<Box<dyn Decoder>, Error> {
        let decoder = decoder::Decoder::new(spec, self, |wanted, reading| {
            AvroReader::new(Part::Value, spec, wanted, reading)
        });
        Ok(Box::new(decoder?))
    }

    fn encoder(&self, spec: &SinkSpec<'_>) -> Result<Box<dyn Encoder>, Error> {
        metadata::beside(spec, AvroRows::new(spec)?)
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

    fn key_contract_columns(
        &self,
        contract: &Contract,
        key: &[String],
        _: &Options,
    ) -> Result<Vec<Column>, Error> {
        contract::key_columns(contract, key)
    }

    fn contract_schema(&self, spec: &SinkSpec<'_>, _: Option<&Contract>) -> Result<String, Error> {
        derived::schema(spec)
    }

    fn key_contract_schema(
        &self,
        spec: &SinkSpec<'_>,
        _: Option<&Contract>,
    ) -> Result<String, Error> {
        derived::key_schema(spec)
    }
}

/// What stands in front of a record's Avro.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Nothing.
    None,
    /// A zero byte and the number of the schema in four bytes, as Confluent's serializers write.
    Confluent,
}

impl Framing {
    /// The framing that the options say, or else the usual one.
    fn of(part: Part, options: &Options, usual: Self) -> Result<Self, Error> {
        match part.option(options, FRAMING) {
            None => Ok(usual),
            Some("none") => Ok(Self::None),
            Some("confluent") => Ok(Self::Confluent),
            Some(other) => Err(part.wrong(FRAMING, other, "'none' or 'confluent'")),
        }
    }

    /// What stands in front of each written record: a zero byte and the number of the contract's schema, or nothing.
    ///
    /// # Errors
    /// `Invalid` if the option is wrong, or there is no number.
    pub fn written(
        part: Part,
        options: &Options,
        contract: Option<&Contract>,
    ) -> Result<Vec<u8>, Error> {
        let usual = match contract {
            Some(_) => Self::Confluent,
            None => Self::None,
        };
        match (Self::of(part, options, usual)?, contract) {
            (Self::None, _) => Ok(Vec::new()),
            (Self::Confluent, Some(of)) => Ok([&[0], &of.id.to_be_bytes()[..]].concat()),
            (Self::Confluent, None) => Err(part.wrong(
                FRAMING,
                "confluent",
                "'none' for a sink without schema.registry.url: a schema's number comes from a registry",
            )),
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
                "not in Confluent's framing: expected the first byte to be 0, found {first}"
            )),
        }
    }
}

/// Finds values in Avro.
#[derive(Debug)]
pub struct AvroReader {
    part: Part,
    framing: Framing,
    programs: Arc<Programs<Program>>,
    /// Present if a registry has the schemas.
    registered: Option<Registered<Schema>>,
}

impl AvroReader {
    /// A reader of what is wanted of a part of records.
    ///
    /// # Errors
    /// `Invalid` if an option is wrong, or the schema lacks a field that a column is read from.
    pub fn new(
        part: Part,
        spec: &SourceSpec<'_>,
        wanted: &Wanted,
        reading: &Reading,
    ) -> Result<Self, Error> {
        let wants = Wants {
            values: wanted.clone(),
            whole: wanted.as_whole().filter(|_| part == Part::Key),
            columns: part.columns(spec, reading),
        };
        let options = spec.options;
        let Some(contracts) = part.contracts(spec) else {
            let schema = parse(part, options)?;
            let wants = wants.of(&schema);
            check_columns(&wants.columns, &schema, &part.named(SCHEMA))?;
            let framing = Framing::of(part, options, Framing::None)?;
            return Ok(Self::one(part, framing, wants.program(schema)));
        };
        if part.option(options, SCHEMA).is_some() {
            let expected = "no such option beside a registry, which has the schemas";
            return Err(part.wrong(SCHEMA, "a schema", expected));
        }
        let mut wants = wants;
        let mut contract = None;
        if let Some(pinned) = contracts.pinned {
            let schema = contract::schema(pinned)?;
            wants = wants.of(&schema);
            check_columns(&wants.columns, &schema, &pinned.to_string())?;
            contract = Some((pinned.clone(), schema));
        }
        let schemas = Arc::clone(contracts.schemas);
        let framing = Framing::of(part, options, Framing::Confluent)?;
        if framing == Framing::None {
            // Nothing in front of a record says which schema it has: it is the contract's.
            let (_, schema) = contract.ok_or_else(|| {
                let expected = "'confluent', as the subject has no version yet";
                part.wrong(FRAMING, "none", expected)
            })?;
            return Ok(Self::one(part, framing, wants.program(schema)));
        }
        let Wants {
            values,
            whole,
            columns,
        } = wants;
        let registered = Registered::new(schemas, contract, values, columns);
        Ok(Self {
            part,
            framing,
            programs: Arc::new(Programs::Named(HashMap::new())),
            registered: Some(registered.or_whole(whole)),
        })
    }

    /// Of records of one schema.
    fn one(part: Part, framing: Framing, program: Program) -> Self {
        Self {
            part,
            framing,
            programs: Arc::new(Programs::One(program)),
            registered: None,
        }
    }
}

/// What is wanted of a part of records.
struct Wants {
    values: Wanted,
    /// The same of a key that is no record, and so the one column.
    whole: Option<Wanted>,
    columns: Vec<ColumnPaths>,
}

impl Wants {
    /// Of records that are like those of a schema: either records or keys that are none.
    fn of(mut self, schema: &Schema) -> Self {
        match self.whole.take() {
            Some(whole) if !schema.is_of_records() => {
                for column in &mut self.columns {
                    column.paths = whole.values().to_vec();
                }
                Self {
                    values: whole.clone(),
                    whole: Some(whole),
                    ..self
                }
            }
            _ => self,
        }
    }

    fn program(&self, schema: Schema) -> Program {
        Program::new(schema, &self.values).of_whole(whole_name(&self.columns))
    }
}

/// The column that a key which is no record stands for.
fn whole_name(columns: &[ColumnPaths]) -> Option<&str> {
    let mut whole = columns
        .iter()
        .filter(|of| of.paths == [Vec::<String>::new()]);
    whole.next().map(|of| of.column.as_str())
}

/// The schema of the options.
fn parse(part: Part, options: &Options) -> Result<Schema, Error> {
    let text = part.option(options, SCHEMA).unwrap_or_default();
    let wrong = |expected: &str| part.wrong(SCHEMA, reason::excerpt(text), expected);
    if text.is_empty() {
        return Err(wrong(match part {
            Part::Value => "the schema that the records were written by, in JSON",
            Part::Key => "the schema that the keys were written by, in JSON",
        }));
    }
    let schema =
        Schema::parse(text).map_err(|why| wrong(&format!("an Avro schema in JSON: {why}")))?;
    if schema.is_of_records() || part == Part::Key {
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
            Programs::complete(&mut self.programs, records, self.part, |number| {
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
