//! What a source declares: its columns, where each comes from, and the limits of its time column.

use arrow_schema::{DataType, TimeUnit};
use tidemill_types::system_columns::Kept;

use super::fields::FieldNames;
use crate::Error;

/// The metadata fields that a column can be declared from: those of the envelope, and of the record's position. Every event has all of them,
/// also a delete that has nothing else.
pub static METADATA: [MetadataField; 8] = [
    field("uuid", Source::Uuid, is_uuid, "UUID or VARCHAR"),
    field("type", Source::Type, is_text, "VARCHAR"),
    field("ts", Source::Ts, is_instant, "TIMESTAMP or BIGINT"),
    field("entity", Source::Entity, is_text, "VARCHAR"),
    field("id", Source::Id, is_integer, "BIGINT or INT"),
    field("partition", Source::Partition, is_integer, "INT or BIGINT"),
    field("offset", Source::Offset, is_integer, "BIGINT or INT"),
    field("topic", Source::Topic, is_text, "VARCHAR"),
];

/// The member of `data` that falls back to the envelope's member of that name.
const ID: &str = "id";

const SUPPORTED: &str = "one of BOOLEAN, INTEGER, BIGINT, DOUBLE, DECIMAL(p, s), VARCHAR, DATE, TIMESTAMP (in milliseconds, without time zone), UUID";

/// A field of the envelope or of the position, and what it can be read as.
#[derive(Debug, Clone, Copy)]
pub struct MetadataField {
    /// Its name.
    pub name: &'static str,
    /// The types that it can be read as, in words.
    pub types: &'static str,
    source: Source,
    fits: fn(&DataType) -> bool,
}

impl MetadataField {
    /// The field of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        METADATA.iter().find(|field| field.name == name)
    }

    /// True if it can be read as a type.
    #[must_use]
    pub fn fits(&self, data_type: &DataType) -> bool {
        (self.fits)(data_type)
    }
}

const fn field(
    name: &'static str,
    source: Source,
    fits: fn(&DataType) -> bool,
    types: &'static str,
) -> MetadataField {
    MetadataField {
        name,
        types,
        source,
        fits,
    }
}

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

    /// True if every event has a value for it; a delete may come without `data`.
    #[must_use]
    pub fn is_in_every_event(&self) -> bool {
        match self {
            Self::Data(field) => field == ID,
            Self::Metadata(_) => true,
        }
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
    let name = match &column.origin {
        Origin::Data(field) if field == ID => return Ok(Source::FieldOrId(fields.add(field))),
        Origin::Data(field) => return Ok(Source::Field(fields.add(field))),
        Origin::Metadata(field) => field,
    };
    let Some(field) = MetadataField::named(name) else {
        return Err(Error::UnknownMetadata {
            column: column.name.clone(),
            field: name.clone(),
            known: METADATA.map(|field| field.name).join(", "),
        });
    };
    if field.fits(&column.data_type) {
        Ok(field.source)
    } else {
        Err(Error::MetadataType {
            column: column.name.clone(),
            field: name.clone(),
            data_type: column.data_type.clone(),
            supported: field.types,
        })
    }
}

fn is_uuid(data_type: &DataType) -> bool {
    is_text(data_type) || *data_type == DataType::FixedSizeBinary(16)
}

fn is_instant(data_type: &DataType) -> bool {
    is_time(data_type) || *data_type == DataType::Int64
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
