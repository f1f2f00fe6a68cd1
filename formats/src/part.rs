//! The parts of a record that have an encoding of their own: where its value and its key have their bytes, their options, their contract and
//! their columns.

use std::sync::Arc;

use arrow_schema::Field;
use tidemill_types::RawRecord;
use tidemill_types::format::{
    ColumnOrigin, Contract, Contracts, Error, Options, SinkSpec, SourceSpec,
};

use crate::envelopes::Reading;
use crate::programs::{ColumnPaths, column_paths};

/// What stands before the names of a key's own options.
const OF_KEYS: &str = "key.";

/// A part of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Its value.
    Value,
    /// Its key.
    Key,
}

impl Part {
    /// The part's bytes in a record.
    #[inline]
    pub const fn bytes<'a>(self, record: &RawRecord<'a>) -> Option<&'a [u8]> {
        match self {
            Self::Value => record.value,
            Self::Key => record.key,
        }
    }

    /// An option's name, for this part.
    pub fn named(self, option: &str) -> String {
        match self {
            Self::Value => option.to_owned(),
            Self::Key => format!("{OF_KEYS}{option}"),
        }
    }

    /// The value of an option, for this part.
    pub fn option<'o>(self, options: &'o Options, option: &str) -> Option<&'o str> {
        options.get(&self.named(option)).map(String::as_str)
    }

    /// Says that an option of this part has a value that it cannot have.
    pub fn wrong(
        self,
        option: &str,
        value: impl Into<String>,
        expected: impl Into<String>,
    ) -> Error {
        Error::OptionValue {
            option: self.named(option),
            value: value.into(),
            expected: expected.into(),
        }
    }

    /// The part's contracts, if a registry has its schemas.
    pub const fn contracts<'a>(self, spec: &SourceSpec<'a>) -> Option<Contracts<'a>> {
        match self {
            Self::Value => spec.contracts,
            Self::Key => spec.key_contracts,
        }
    }

    /// The columns of a sink that are written into this part.
    ///
    /// # Errors
    /// `Invalid` if a column of the key is missing.
    pub fn fields<'a>(self, spec: &SinkSpec<'a>) -> Result<Vec<&'a Field>, Error> {
        let of_key = |column: &String| {
            let field = spec.schema.field_with_name(column);
            field.map_err(|_| Error::KeyColumn {
                column: column.clone(),
            })
        };
        match self {
            Self::Value => Ok(spec.schema.fields().iter().map(Arc::as_ref).collect()),
            Self::Key => spec.key.iter().map(of_key).collect(),
        }
    }

    /// What a sink's schema of this part is registered as, if a registry has it.
    pub const fn contract<'a>(self, spec: &SinkSpec<'a>) -> Option<&'a Contract> {
        match self {
            Self::Value => spec.contract,
            Self::Key => spec.key_contract,
        }
    }

    /// The columns that are read from this part, and the fields that each is read from.
    pub fn columns(self, spec: &SourceSpec<'_>, reading: &Reading) -> Vec<ColumnPaths> {
        match self {
            Self::Value => column_paths(spec, reading),
            Self::Key => {
                let columns = spec.columns.iter();
                let of_key = columns.filter_map(|column| match &column.origin {
                    ColumnOrigin::Key(path) => Some(ColumnPaths {
                        column: column.name.clone(),
                        paths: vec![path.names().to_vec()],
                    }),
                    ColumnOrigin::Data(_) | ColumnOrigin::Metadata(_) => None,
                });
                of_key.collect()
            }
        }
    }
}
