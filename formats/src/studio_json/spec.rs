//! What a source declares: its columns, where each comes from, and the limits of its time column.

use arrow_schema::{DataType, TimeUnit};
use tidemill_types::system_columns::Kept;

use super::fields::FieldNames;
use crate::Error;

/// The metadata fields that a column can be declared from.
pub const METADATA: &str = "uuid, type, ts, entity, id, partition, offset, topic";

const SUPPORTED: &str = "one of BOOLEAN, INTEGER, BIGINT, DOUBLE, DECIMAL(p, s), VARCHAR, DATE, TIMESTAMP (in milliseconds, without time zone), UUID";

/// A source of envelopes.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Topic (or folder) that dead letters name.
    pub topic: String,
    /// The entity that every envelope must carry, if the source says so.
    pub entity: Option<String>,
    /// The columns in use, in order.
    pub columns: Vec<Column>,
    /// What else travels along.
    pub kept: Kept,
    /// The time column and how far ahead of its record's time it may be.
    pub time_limit: Option<TimeLimit>,
}

/// A column of a source.
#[derive(Debug, Clone)]
pub struct Column {
    /// Name in SQL.
    pub name: String,
    /// Type that its values are converted to.
    pub data_type: DataType,
    /// False if a create or update without it is a dead letter.
    pub nullable: bool,
    /// Where its values come from.
    pub origin: Origin,
}

/// Where a column's values come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The member of `data` with this name. The member `id` falls back to the envelope's `id`.
    Data(String),
    /// A member of the envelope or of the position: one of [`METADATA`].
    Metadata(String),
}

impl Origin {
    /// The name of the member.
    #[must_use]
    pub fn field(&self) -> &str {
        let (Self::Data(field) | Self::Metadata(field)) = self;
        field
    }
}

/// The column that moves the watermark.
#[derive(Debug, Clone)]
pub struct TimeLimit {
    /// Name of a timestamp column.
    pub column: String,
    /// An event whose time is further ahead of the time at which its record was written is a dead letter, in milliseconds. Where that time is
    /// not known, the epoch's clock stands in for it.
    pub max_future_ms: i64,
}

impl Spec {
    /// Index of the time column, and its limit.
    pub(super) fn time_index(&self) -> Result<Option<(usize, i64)>, Error> {
        let Some(TimeLimit {
            column: name,
            max_future_ms,
        }) = &self.time_limit
        else {
            return Ok(None);
        };
        let index = self
            .columns
            .iter()
            .position(|column| column.name == *name && is_time(&column.data_type));
        index
            .map(|index| Some((index, *max_future_ms)))
            .ok_or_else(|| Error::TimeColumn {
                column: name.clone(),
            })
    }
}

/// Where the decoder finds a column's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// A slot for a member of `data`.
    Field(usize),
    /// The same; the envelope's `id` if the member is missing.
    FieldOrId(usize),
    Uuid,
    Type,
    Ts,
    Entity,
    Id,
    Partition,
    Offset,
    Topic,
}

/// Resolves a column's origin and checks that its type fits.
pub(super) fn source(column: &Column, fields: &mut FieldNames) -> Result<Source, Error> {
    let field = match &column.origin {
        Origin::Data(field) if field == "id" => return Ok(Source::FieldOrId(fields.add(field))),
        Origin::Data(field) => return Ok(Source::Field(fields.add(field))),
        Origin::Metadata(field) => field,
    };
    let (source, fits, supported) = match field.as_str() {
        "uuid" => (
            Source::Uuid,
            is_text(&column.data_type) || column.data_type == DataType::FixedSizeBinary(16),
            "UUID or VARCHAR",
        ),
        "type" => (Source::Type, is_text(&column.data_type), "VARCHAR"),
        "ts" => (
            Source::Ts,
            is_time(&column.data_type) || column.data_type == DataType::Int64,
            "TIMESTAMP or BIGINT",
        ),
        "entity" => (Source::Entity, is_text(&column.data_type), "VARCHAR"),
        "id" => (
            Source::Id,
            is_integer(&column.data_type),
            "BIGINT or INTEGER",
        ),
        "partition" => (
            Source::Partition,
            is_integer(&column.data_type),
            "INTEGER or BIGINT",
        ),
        "offset" => (
            Source::Offset,
            is_integer(&column.data_type),
            "BIGINT or INTEGER",
        ),
        "topic" => (Source::Topic, is_text(&column.data_type), "VARCHAR"),
        _ => {
            return Err(Error::UnknownMetadata {
                column: column.name.clone(),
                field: field.clone(),
                known: METADATA,
            });
        }
    };
    if fits {
        Ok(source)
    } else {
        Err(Error::MetadataType {
            column: column.name.clone(),
            field: field.clone(),
            data_type: column.data_type.clone(),
            supported,
        })
    }
}

fn is_text(data_type: &DataType) -> bool {
    *data_type == DataType::Utf8
}

fn is_integer(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Int32 | DataType::Int64)
}

fn is_time(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(TimeUnit::Millisecond, None))
}

/// The error for a type that events cannot carry.
pub(super) fn unsupported(column: &Column) -> Error {
    Error::UnsupportedType {
        column: column.name.clone(),
        data_type: column.data_type.clone(),
        format: "studio-json",
        supported: SUPPORTED,
    }
}

/// The name that a type has in SQL, for reasons.
pub(super) fn sql_type(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Int32 => "INTEGER".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        DataType::Utf8 => "VARCHAR".into(),
        DataType::Date32 => "DATE".into(),
        DataType::Timestamp(..) => "TIMESTAMP".into(),
        DataType::FixedSizeBinary(16) => "UUID".into(),
        other => other.to_string(),
    }
}
