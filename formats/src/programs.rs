//! The schemas that the records of a source may have, each with what is wanted of it: one that an option says, or those that the records name.
//!
//! Where a registry has the schemas, the job was planned with one of them, its *contract*. A record of another schema is read by its own, and
//! compared with the contract in the fields that columns are read from; how, the encoding knows. `P` is how an encoding reads records of one
//! schema, `S` what a schema is to it.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::DataType;
use tidemill_types::format::{
    Column, ColumnOrigin, Contract, Schemas, SourceSpec, WriterSchema, framed_schema,
};
use tidemill_types::{RawRecords, sql_type};

use crate::encoding::{ELEMENT, Wanted};
use crate::envelopes::{Place, Reading};
use crate::part::Part;

/// A column, and the paths of the fields that its values are read from.
#[derive(Debug)]
pub struct ColumnPaths {
    /// Its name.
    pub column: String,
    /// The paths.
    pub paths: Vec<Vec<String>>,
}

/// The columns that fields of the state are read into, and those fields, with those that lie in their values.
pub fn column_paths(spec: &SourceSpec<'_>, reading: &Reading) -> Vec<ColumnPaths> {
    let of_column = |column: &Column| {
        let mut wanted = Wanted::default();
        let ColumnOrigin::Data(path) = &column.origin else {
            return None;
        };
        // The envelope's own member may stand in for the state's.
        if let Place::StateOr(..) = reading.data(path, &mut wanted) {
            return None;
        }
        let mut paths = wanted.values().to_vec();
        for path in wanted.values() {
            add_inner(&column.data_type, path, &mut paths);
        }
        Some(ColumnPaths {
            column: column.name.clone(),
            paths,
        })
    };
    spec.columns.iter().filter_map(of_column).collect()
}

/// Adds the paths of the values that lie in those of a type.
fn add_inner(data_type: &DataType, path: &[String], paths: &mut Vec<Vec<String>>) {
    let mut add = |name: &str, of: &DataType| {
        let inner = [path, &[name.to_owned()]].concat();
        paths.push(inner.clone());
        add_inner(of, &inner, paths);
    };
    match data_type {
        DataType::Struct(fields) => {
            for field in fields {
                add(field.name(), field.data_type());
            }
        }
        DataType::List(element) => add(ELEMENT, element.data_type()),
        other => {
            if let Some(value) = sql_type::map_value(other) {
                add(ELEMENT, value);
            }
        }
    }
}

/// How records are read.
#[derive(Debug)]
pub enum Programs<P> {
    /// All by one schema.
    One(P),
    /// Each by the schema whose number it has, or not at all, with the reason.
    Named(HashMap<u32, Result<P, String>>),
}

impl<P> Programs<P> {
    /// How a record is read.
    ///
    /// # Errors
    /// Why it is not.
    #[inline]
    pub fn of(&self, number: Option<u32>) -> Result<&P, String> {
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

    /// Makes a program of each schema that records name and that has none yet.
    pub fn complete(
        programs: &mut Arc<Self>,
        records: &RawRecords,
        part: Part,
        program: impl Fn(u32) -> Result<P, String>,
    ) {
        let mut last = None;
        for record in records.iter() {
            let number = part.bytes(&record).and_then(framed_schema);
            if number == last {
                continue;
            }
            last = number;
            let Some(number) = number else { continue };
            let Self::Named(known) = &**programs else {
                return;
            };
            if known.contains_key(&number) {
                continue;
            }
            let program = program(number);
            // Nobody holds them while a batch is begun, so nothing is copied.
            if let Some(Self::Named(known)) = Arc::get_mut(programs) {
                known.insert(number, program);
            }
        }
    }
}

/// The schemas of a registry, as its records come to name them.
#[derive(Debug)]
pub struct Registered<S> {
    schemas: Arc<dyn Schemas>,
    /// What the job was planned with.
    pub contract: Option<(Contract, S)>,
    /// What is wanted of records.
    pub wanted: Wanted,
    /// The same of a schema whose values are single ones; none if there can be no such.
    pub whole: Option<Wanted>,
    /// The columns, and the fields that they are read from.
    pub columns: Vec<ColumnPaths>,
}

impl<S> Registered<S> {
    /// None looked up yet.
    pub const fn new(
        schemas: Arc<dyn Schemas>,
        contract: Option<(Contract, S)>,
        wanted: Wanted,
        columns: Vec<ColumnPaths>,
    ) -> Self {
        Self {
            schemas,
            contract,
            wanted,
            whole: None,
            columns,
        }
    }

    /// With what is wanted of a schema whose values are single ones.
    pub fn or_whole(self, whole: Option<Wanted>) -> Self {
        Self { whole, ..self }
    }

    /// The schema of a number.
    ///
    /// # Errors
    /// If the registry has none.
    pub fn writer(&self, number: u32) -> Result<Arc<WriterSchema>, String> {
        self.schemas.schema(number).ok_or_else(|| {
            format!("the registry has no schema {number}, which stands in front of the record")
        })
    }

    /// The columns, each with the path of a field that it is read from.
    pub fn used(&self) -> impl Iterator<Item = (&str, &Vec<String>)> {
        let columns = self.columns.iter();
        columns.flat_map(|of| of.paths.iter().map(|path| (of.column.as_str(), path)))
    }

    /// A schema, in words.
    pub fn called(&self, number: u32, writer: &WriterSchema) -> String {
        let planned = self.contract.as_ref();
        match writer.place(planned.map(|(contract, _)| &*contract.subject)) {
            Some((subject, version)) => {
                format!("schema {number} ('{subject}' version {version}), by which it was written,")
            }
            None => format!("schema {number}, by which it was written,"),
        }
    }
}

/// Refuses a field that a newer writer has no more.
///
/// # Errors
/// The reason.
pub fn refuse_removed(
    contract: &Contract,
    writer: &WriterSchema,
    called: &str,
    (column, field): (&str, &str),
) -> Result<(), String> {
    let mut places = writer.places.iter();
    let place = places.find(|(subject, _)| *subject == contract.subject);
    if place.is_some_and(|(_, version)| *version > contract.version) {
        return Err(format!(
            "{called} has no field '{field}' any more, which column '{column}' is read from; the job was planned with version {}",
            contract.version
        ));
    }
    Ok(())
}

/// Says that a writer has another type in a field than the contract.
pub fn other_type(
    contract: &Contract,
    called: &str,
    (column, field): (&str, &str),
    (found, expected): (&str, &str),
) -> String {
    format!(
        "{called} has {found} in the field '{field}', which column '{column}' is read from; version {}, which the job was planned with, has {expected}",
        contract.version
    )
}
