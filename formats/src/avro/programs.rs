//! How Avro of the schemas of a registry is read, compared with the contract.
//!
//! A field that an older writer did not have yet is the contract's default, one that a newer writer has no more, or with another type, makes a
//! dead letter of each of its records.
//!
//! Source: the Avro specification, "Schema Resolution"; stricter in what was removed.

use tidemill_types::format::WriterSchema;

use super::class::{Class, Preset};
use super::program::Program;
use super::schema::Schema;
use crate::encoding::path_shown;
use crate::programs::{Registered, other_type, refuse_removed};

impl Registered<Schema> {
    /// How the records of a number are read.
    ///
    /// # Errors
    /// Why they are not.
    pub fn program(&self, number: u32) -> Result<Program, String> {
        let writer = self.writer(number)?;
        let called = self.called(number, &writer);
        let references = &writer.schema.references;
        let schema = Schema::parse_with(references, &writer.schema.text)
            .map_err(|why| format!("{called} is no Avro schema: {why}"))?;
        let wanted = match &self.whole {
            _ if schema.is_of_records() => &self.wanted,
            Some(whole) => whole,
            None => return Err(format!("{called} is not that of a record")),
        };
        let mut presets = Vec::new();
        for (column, path) in self.used() {
            if let Some(preset) = self.compared(column, path, &schema, &writer, &called)? {
                let slot = self.wanted.values().iter().position(|known| known == path);
                match (slot, preset) {
                    (Some(slot), preset) => presets.push((slot, preset)),
                    // What is not in a value is null.
                    (None, Preset::Null) => {}
                    (None, _) => {
                        return Err(format!(
                            "{called} has no field '{}', which column '{column}' is read from, and a default is not put into a value",
                            path_shown(path)
                        ));
                    }
                }
            }
        }
        let whole = (!schema.is_of_records()).then(|| self.columns.first());
        let whole = whole.flatten().map(|of| of.column.as_str());
        let program = Program::new(schema, wanted).of_whole(whole);
        Ok(program.with_presets(presets))
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
        let (field, has) = (path_shown(path), schema.has(schema.root(), path));
        let Some((contract, expected)) = &self.contract else {
            // By no contract: what is not there has no value.
            return Ok(None);
        };
        if !has {
            refuse_removed(contract, writer, called, (column, &field))?;
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
            Some(class) if path.is_empty() => Err(format!(
                "{called} is that of {class}, which column '{column}' is read from; version {}, which the job was planned with, is that of {}",
                contract.version,
                listed(&expected)
            )),
            Some(class) if !expected.is_empty() => Err(other_type(
                contract,
                called,
                (column, &field),
                (&class.to_string(), &listed(&expected)),
            )),
            _ => Ok(None),
        }
    }
}

fn listed(classes: &[Class]) -> String {
    let names: Vec<_> = classes.iter().map(ToString::to_string).collect();
    names.join(" or ")
}
