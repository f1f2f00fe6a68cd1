//! What can be wrong with the declaration of a format. A bad record is never an error: it is a dead letter.

use arrow_schema::DataType;

use crate::{ErrorKind, sql_type};

/// Why a decoder or an encoder cannot be built or used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The format has no representation of the type.
    #[error(
        "column '{column}' has type {}, which the format '{format}' cannot carry; CAST it to {supported}",
        sql_type::name(data_type)
    )]
    UnsupportedType {
        /// Column.
        column: String,
        /// Its type.
        data_type: DataType,
        /// Name of the format.
        format: &'static str,
        /// What it can carry.
        supported: &'static str,
    },
    /// The values of the format have no others in them.
    #[error(
        "column '{column}' has type {data_type}, and the format '{format}' has no values within values; choose 'json' or 'avro', or a column \
         for each of the values in it"
    )]
    NestedType {
        /// Column.
        column: String,
        /// Its type, in SQL's words.
        data_type: String,
        /// Name of the format.
        format: &'static str,
    },
    /// A column of a key with others in its values.
    #[error(
        "column '{column}' has type {data_type}, which no key has; leave it out of the option 'key', or name a value in it"
    )]
    NestedKey {
        /// Column.
        column: String,
        /// Its type, in SQL's words.
        data_type: String,
    },
    /// The format has no such names.
    #[error(
        "column '{column}' has a name that the format '{format}' cannot carry; give it another one by AS: {expected}"
    )]
    ColumnName {
        /// Column.
        column: String,
        /// Name of the format.
        format: &'static str,
        /// What names it can carry.
        expected: &'static str,
    },
    /// There is no such metadata field.
    #[error(
        "column '{column}' is declared METADATA FROM '{field}', which does not exist; use one of {known}"
    )]
    UnknownMetadata {
        /// Column.
        column: String,
        /// The field asked for.
        field: String,
        /// The fields that exist.
        known: String,
    },
    /// The metadata field has another type.
    #[error(
        "column '{column}' METADATA FROM '{field}' is declared as {data_type}; declare it as {supported}"
    )]
    MetadataType {
        /// Column.
        column: String,
        /// The metadata field.
        field: String,
        /// The declared type.
        data_type: DataType,
        /// The types it can have.
        supported: &'static str,
    },
    /// The time column is missing or is not a timestamp.
    #[error(
        "time column '{column}' is not a TIMESTAMP column of the source; declare it, or name another one in WATERMARK FOR"
    )]
    TimeColumn {
        /// The column asked for.
        column: String,
    },
    /// A key column that the rows do not have.
    #[error("the key column '{column}' is not among the columns; name others in the option 'key'")]
    KeyColumn {
        /// Column.
        column: String,
    },
    /// The format knows no such envelope.
    #[error("there is no envelope '{envelope}' in this direction; choose another")]
    UnknownEnvelope {
        /// The one asked for.
        envelope: String,
    },
    /// A format of one column with others.
    #[error(
        "format 'raw' has one column beside the key and the metadata, and there are {columns}; leave others out, or choose another format"
    )]
    OneColumn {
        /// How many there are.
        columns: usize,
    },
    /// An option has a value that it cannot have.
    #[error("option '{option}' is '{value}'; expected {expected}")]
    OptionValue {
        /// Option.
        option: String,
        /// Its value.
        value: String,
        /// The values that it can have.
        expected: String,
    },
    /// The schema of the records has no field for a column.
    #[error(
        "column '{column}' stands for the field '{field}', which '{schema}' does not have; name another one, or leave the column out"
    )]
    NoField {
        /// Column.
        column: String,
        /// The field, by its path.
        field: String,
        /// The schema.
        schema: String,
    },
    /// The schema of the records has a field for a column that does not fit.
    #[error(
        "column '{column}' has another type than the field '{field}', which is {found}; it can be {expected}"
    )]
    FieldType {
        /// Column.
        column: String,
        /// The field, by its path.
        field: String,
        /// What the field is.
        found: String,
        /// What the column can be.
        expected: &'static str,
    },
    /// A registry was named, and the format has no schemas.
    #[error(
        "format '{format}' has no contracts; leave the options 'schema.…' out, or choose 'avro' or 'protobuf'"
    )]
    NoContracts {
        /// The format.
        format: &'static str,
    },
    /// The schema of a contract cannot be used.
    #[error("contract {contract}: {reason}")]
    Contract {
        /// Subject and version.
        contract: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The registry refuses, or does not answer.
    #[error("{message}")]
    Registry {
        /// What to do about it.
        kind: ErrorKind,
        /// What it says.
        message: String,
    },
    /// The rows to encode are not those that the encoder was built for.
    #[error(
        "column '{column}' should be {expected} in the rows to encode, and is {found}; this is a defect, please report it"
    )]
    Rows {
        /// Column.
        column: String,
        /// Type that the encoder was built for.
        expected: DataType,
        /// Type in the rows, or `missing`.
        found: String,
    },
}

impl Error {
    /// What the caller must do.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Rows { .. } => ErrorKind::Bug,
            Self::Registry { kind, .. } => *kind,
            Self::UnsupportedType { .. }
            | Self::NestedType { .. }
            | Self::NestedKey { .. }
            | Self::ColumnName { .. }
            | Self::UnknownMetadata { .. }
            | Self::MetadataType { .. }
            | Self::TimeColumn { .. }
            | Self::KeyColumn { .. }
            | Self::UnknownEnvelope { .. }
            | Self::OneColumn { .. }
            | Self::NoField { .. }
            | Self::FieldType { .. }
            | Self::NoContracts { .. }
            | Self::Contract { .. }
            | Self::OptionValue { .. } => ErrorKind::Invalid,
        }
    }
}
