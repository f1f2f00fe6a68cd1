//! The text of a job: statements of the dialect as data, each with its place. Knows grammar, not meaning: names are resolved in
//! [`crate::catalog`].

pub mod cursor;
pub mod duration;
mod parts;
pub mod statements;
pub mod tumble;
mod types;

use crate::error::Location;

/// A word of the text with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// Lower case unless it was quoted.
    pub text: String,
    /// Where it stands.
    pub at: Location,
}

/// One statement.
#[derive(Debug, Clone)]
pub enum Statement {
    /// `CREATE SOURCE`.
    Source(SourceStatement),
    /// `CREATE TABLE`.
    Table(TableStatement),
    /// `CREATE STREAM`.
    Stream(StreamStatement),
    /// `CREATE VIEW`.
    View(ViewStatement),
    /// `CREATE SINK`.
    Sink(SinkStatement),
}

/// `CREATE SOURCE name (columns, WATERMARK …) WITH (options)`.
#[derive(Debug, Clone)]
pub struct SourceStatement {
    /// Its name.
    pub name: Name,
    /// The columns, in order.
    pub columns: Vec<ColumnStatement>,
    /// The watermark, if declared.
    pub watermark: Option<WatermarkStatement>,
    /// The options, in order.
    pub options: Vec<OptionStatement>,
}

/// `column TYPE [NOT NULL] [METADATA FROM 'field']`.
#[derive(Debug, Clone)]
pub struct ColumnStatement {
    /// Its name.
    pub name: Name,
    /// Its type.
    pub data_type: arrow_schema::DataType,
    /// True after `NOT NULL`.
    pub not_null: bool,
    /// Where its values come from.
    pub from: ColumnFrom,
}

/// Where a column's values come from.
#[derive(Debug, Clone)]
pub enum ColumnFrom {
    /// The member of its name.
    ItsName,
    /// `FROM 'path'`: another member.
    Member(Name),
    /// `METADATA FROM 'field'`: the envelope's field.
    Metadata(Name),
}

/// `WATERMARK FOR column AS column - INTERVAL delay`.
#[derive(Debug, Clone)]
pub struct WatermarkStatement {
    /// The event-time column.
    pub column: Name,
    /// The delay in milliseconds.
    pub delay_ms: i64,
}

/// `'name' = 'value'` of a `WITH`.
#[derive(Debug, Clone)]
pub struct OptionStatement {
    /// Its name.
    pub name: Name,
    /// Its value.
    pub value: String,
}

/// `DEDUPLICATE BY column WITHIN INTERVAL bound`.
#[derive(Debug, Clone)]
pub struct DeduplicateClause {
    /// The column that identifies an event.
    pub by: Name,
    /// How long it is remembered, in milliseconds.
    pub within_ms: i64,
}

/// `CREATE TABLE name (PRIMARY KEY (columns)) FROM source …`.
#[derive(Debug, Clone)]
pub struct TableStatement {
    /// Its name.
    pub name: Name,
    /// The primary key.
    pub key: Vec<Name>,
    /// The source.
    pub from: Name,
    /// The deduplication, if any.
    pub deduplicate: Option<DeduplicateClause>,
    /// The column of `VERSION BY`.
    pub version: Option<Name>,
    /// `TOMBSTONES FOR`, in milliseconds.
    pub tombstone_ms: Option<i64>,
}

/// `RESEQUENCE BY column PER columns WITHIN INTERVAL bound`.
#[derive(Debug, Clone)]
pub struct ResequenceClause {
    /// The event-time column.
    pub by: Name,
    /// The key.
    pub per: Vec<Name>,
    /// How long to wait at most, in milliseconds.
    pub within_ms: i64,
}

/// `CREATE STREAM name FROM source …`.
#[derive(Debug, Clone)]
pub struct StreamStatement {
    /// Its name.
    pub name: Name,
    /// The source.
    pub from: Name,
    /// The deduplication, if any.
    pub deduplicate: Option<DeduplicateClause>,
    /// The resequencing, if any.
    pub resequence: Option<ResequenceClause>,
}

/// A query with what errors about it need.
#[derive(Debug, Clone)]
pub struct QueryText {
    /// Its syntax tree; windows stand in it as tables with the names in `windows`.
    pub tree: Box<datafusion_sql::sqlparser::ast::Query>,
    /// Where it begins.
    pub at: Location,
    /// The windows that it reads.
    pub windows: Vec<tumble::TumbleText>,
    /// Its words, for errors that know a name but not its place.
    pub words: Vec<Name>,
}

/// `CREATE VIEW name AS query`.
#[derive(Debug, Clone)]
pub struct ViewStatement {
    /// Its name.
    pub name: Name,
    /// The query.
    pub query: QueryText,
}

/// `CREATE SINK name WITH (options) AS query`.
#[derive(Debug, Clone)]
pub struct SinkStatement {
    /// Its name.
    pub name: Name,
    /// The options, in order.
    pub options: Vec<OptionStatement>,
    /// The query.
    pub query: QueryText,
}
