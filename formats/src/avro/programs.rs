//! The schemas that the records of a source may have, each with what is wanted of it: one that an option says, or those that the records name.
//!
//! Where a registry has the schemas, the job was planned with one of them, its *contract*. A record of another schema is read by its own, and
//! compared with the contract in the fields that columns are read from: one that an older writer did not have yet is the contract's default, one
//! that a newer writer has no more, or with another type, makes a dead letter of each of its records.
//!
//! Source: the Avro specification, "Schema Resolution"; stricter in what was removed.

use std::collections::HashMap;
use std::sync::Arc;

use tidemill_types::RawRecords;
use tidemill_types::format::{Contract, Schemas, WriterSchema, framed_schema};

use super::class::{Class, Preset};
use super::program::Program;
use super::schema::Schema;
use crate::encoding::Wanted;

/// A column, and the paths of the fields that its values are read from.
#[derive(Debug)]
pub struct ColumnPaths {
    /// Its name.
    pub column: String,
    /// The paths.
    pub paths: Vec<Vec<String>>,
}

/// How records are read.
#[derive(Debug)]
pub enum Programs {
    /// All by one schema.
    One(Program),
    /// Each by the schema whose number it has, or not at all, with the reason.
    Named(HashMap<u32, Result<Program, String>>),
}

impl Programs {
    /// How a record is read.
    ///
    /// # Errors
    /// Why it is not.
    #[inline]
    pub fn of(&self, number: Option<u32>) -> Result<&Program, String> {
        match (self, number) {
            (Self::One(program), _) => Ok(program),
            (Self::Named(programs), Some(number)) => match programs.get(&number) {
                Some(Ok(program)) => Ok(program),
                Some(Err(reason)) => Err(reason.clone()),
                None => Err(format!("schema {number} was not looked up")),
            },
            (Self::Named(_), None) => Err("no number of a schema".to_owned()),
        }
    }
}

/// The schemas of a registry, as its records come to name them.
#[derive(Debug)]
pub struct Registered {
    schemas: Arc<dyn Schemas>,
    contract: Option<(Contract, Schema)>,
    wanted: Wanted,
    columns: Vec<ColumnPaths>,
}

impl Registered {
    /// None looked up yet.
    pub const fn new(
        schemas: Arc<dyn Schemas>,
        contract: Option<(Contract, Schema)>,
        wanted: Wanted,
        columns: Vec<ColumnPaths>,
    ) -> Self {
        Self {
            schemas,
            contract,
            wanted,
            columns,
        }
    }

    /// Looks up what records name and is not among the programs.
    pub fn complete(&self, programs: &mut Arc<Programs>, records: &RawRecords) {
        let mut last = None;
        for record in records.iter() {
            let number = record.value.and_then(framed_schema);
            if number == last {
                continue;
            }
            last = number;
            let Some(number) = number else { continue };
            let Programs::Named(known) = &**programs else {
                return;
            };
            if known.contains_key(&number) {
                continue;
            }
            let program = self.program(number);
            // Nobody holds them while a batch is begun, so nothing is copied.
            if let Some(Programs::Named(known)) = Arc::get_mut(programs) {
                known.insert(number, program);
            }
        }
    }

    fn program(&self, number: u32) -> Result<Program, String> {
        let Some(writer) = self.schemas.schema(number) else {
            return Err(format!(
                "the registry has no schema {number}, which stands in front of the record"
            ));
        };
        let called = self.called(number, &writer);
        let references = &writer.schema.references;
        let schema = Schema::parse_with(references, &writer.schema.text)
            .map_err(|why| format!("{called} is no Avro schema: {why}"))?;
        if !schema.is_of_records() {
            return Err(format!("{called} is not that of a record"));
        }
        let mut presets = Vec::new();
        for (column, path) in self.used() {
            if let Some(preset) = self.compared(column, path, &schema, &writer, &called)? {
                let slot = self.wanted.values().iter().position(|known| known == path);
                presets.extend(slot.map(|slot| (slot, preset)));
            }
        }
        Ok(Program::new(schema, &self.wanted).with_presets(presets))
    }

    fn used(&self) -> impl Iterator<Item = (&str, &Vec<String>)> {
        let columns = self.columns.iter();
        columns.flat_map(|of| of.paths.iter().map(|path| (of.column.as_str(), path)))
    }

    /// A schema, in words.
    fn called(&self, number: u32, writer: &WriterSchema) -> String {
        let of_contract = |(subject, _): &&(String, u32)| {
            let contract = self.contract.as_ref();
            contract.is_some_and(|(contract, _)| contract.subject == *subject)
        };
        let place = writer.places.iter().find(of_contract);
        match place.or_else(|| writer.places.first()) {
            Some((subject, version)) => {
                format!("schema {number} ('{subject}' version {version}), by which it was written,")
            }
            None => format!("schema {number}, by which it was written,"),
        }
    }

    /// What stands for a field that the writer did not have; nothing if it had it as the contract says.
    fn compared(
        &self,
        column: &str,
        path: &[String],
        schema: &Schema,
        writer: &WriterSchema,
        called: &str,
    ) -> Result<Option<Preset>, String> {
        let (field, has) = (path.join("."), schema.has(schema.root(), path));
        let Some((contract, expected)) = &self.contract else {
            // By no contract: what is not there has no value.
            return Ok(None);
        };
        if !has {
            let place = writer
                .places
                .iter()
                .find(|(subject, _)| *subject == contract.subject);
            if place.is_some_and(|(_, version)| *version > contract.version) {
                return Err(format!(
                    "{called} has no field '{field}' any more, which column '{column}' is read from; the job was planned with version {}",
                    contract.version
                ));
            }
            return match expected.preset(path) {
                Some(preset) => Ok(Some(preset)),
                None => Err(format!(
                    "{called} has no field '{field}', which column '{column}' is read from, and version {} has no default for it",
                    contract.version
                )),
            };
        }
        let expected = expected.classes(path);
        let fits = |class: &Class| expected.iter().any(|expected| class.is_read_as(*expected));
        match schema.classes(path).iter().find(|class| !fits(class)) {
            Some(class) if !expected.is_empty() => Err(format!(
                "{called} has {class} in the field '{field}', which column '{column}' is read from; version {}, which the job was planned with, has {}",
                contract.version,
                listed(&expected)
            )),
            _ => Ok(None),
        }
    }
}

fn listed(classes: &[Class]) -> String {
    let names: Vec<_> = classes.iter().map(ToString::to_string).collect();
    names.join(" or ")
}
