//! The port between raw records and rows: what a [`Format`] reads and writes, and what the planner has to know of it.
//!
//! A format is an encoding (how bytes are values: `format = 'json'`) and, per source or sink, an envelope (what the values say of a change:
//! `envelope = 'crud'`). An [`Envelope`] is a description: planner and decoder read the same one.
//!
//! Promises: a decoder makes of every record exactly one of a row, a counted record that changes nothing, or a dead letter; it is pure, and
//! never panics over bytes. Does not promise to look at what no column uses.

mod column;
mod contract;
mod envelope;
mod error;
mod schema_kind;

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{Field, Schema, SchemaRef};

pub use crate::options::Options;
use crate::system_columns::Kept;
use crate::{DeadLetter, RawRecords};
pub use column::{Column, ColumnOrigin, Path};
pub use contract::{
    Contract, ContractBook, Contracts, NoContracts, SchemaText, Schemas, WriterSchema,
    framed_schema,
};
pub use envelope::{Deletes, Envelope, MetadataField, POSITION};
pub use error::Error;
pub use schema_kind::SchemaKind;

/// The option that names the format of keys.
pub const KEY_FORMAT: &str = "key.format";

/// What the written records of an envelope are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contents {
    /// Rows, which never change once they are written.
    Rows,
    /// What a key has now: only its newest record counts.
    States,
    /// What happened to a key.
    Changes,
}

/// A way to read and write records, by the name that stands in `format = '…'`.
pub trait Format: Send + Sync {
    /// The name in `format = '…'`.
    fn name(&self) -> &'static str;

    /// The envelopes that it reads, the usual one first; none if it cannot be read.
    fn read_envelopes(&self) -> &'static [&'static Envelope];

    /// The envelopes that it writes; none if it cannot be written.
    fn written_envelopes(&self) -> &'static [&'static Envelope];

    /// Its own options of a source, beside the envelope's.
    fn source_options(&self) -> &'static [&'static str];

    /// Its options of a sink.
    fn sink_options(&self) -> &'static [&'static str];

    /// The options of a source whose keys are in it, whatever format its values are in.
    fn key_source_options(&self) -> &'static [&'static str] {
        &[]
    }

    /// The options of a sink whose keys are in it.
    fn key_sink_options(&self) -> &'static [&'static str] {
        &[]
    }

    /// A decoder for a source.
    ///
    /// # Errors
    /// `Invalid` if a column has a type or an origin that cannot be read, or an option has a value that does not exist.
    fn decoder(&self, spec: &SourceSpec) -> Result<Box<dyn Decoder>, Error>;

    /// An encoder for a sink.
    ///
    /// # Errors
    /// `Invalid` if a column has a type that cannot be written.
    fn encoder(&self, spec: &SinkSpec) -> Result<Box<dyn Encoder>, Error>;

    /// The language of its contracts; none if it has none.
    fn schema_kind(&self) -> Option<SchemaKind> {
        None
    }

    /// The columns that a contract has, of the rows that an envelope carries; the options are those of a source.
    ///
    /// # Errors
    /// `Invalid` if the format has no contracts, or the schema is none of it, or carries no row.
    fn contract_columns(
        &self,
        _: &Contract,
        _envelope: &str,
        _: &Options,
    ) -> Result<Vec<Column>, Error> {
        Err(Error::NoContracts {
            format: self.name(),
        })
    }

    /// The columns that the contract of keys in this format has for a key of columns with these names; the options are those of a source.
    ///
    /// # Errors
    /// `Invalid` if the format has no contracts, or the schema is none of it.
    fn key_contract_columns(
        &self,
        _: &Contract,
        _key: &[String],
        _: &Options,
    ) -> Result<Vec<Column>, Error> {
        Err(Error::NoContracts {
            format: self.name(),
        })
    }

    /// The schema of a sink's records, for its contract, that is to follow the newest version there is. The same columns and options give
    /// the same text, also after themselves.
    ///
    /// # Errors
    /// `Invalid` if the format has no contracts, or a column no form in it, or the newest version is none of it.
    fn contract_schema(&self, _: &SinkSpec, _newest: Option<&Contract>) -> Result<String, Error> {
        Err(Error::NoContracts {
            format: self.name(),
        })
    }

    /// The schema of a sink's keys that are in this format, as [`Format::contract_schema`].
    ///
    /// # Errors
    /// As [`Format::contract_schema`].
    fn key_contract_schema(
        &self,
        _: &SinkSpec,
        _newest: Option<&Contract>,
    ) -> Result<String, Error> {
        Err(Error::NoContracts {
            format: self.name(),
        })
    }
}

/// The formats that there are.
#[derive(Clone, Default)]
pub struct Formats(Vec<Arc<dyn Format>>);

impl Formats {
    /// These formats.
    #[must_use]
    pub fn new(formats: Vec<Arc<dyn Format>>) -> Self {
        Self(formats)
    }

    /// The format of a name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&dyn Format> {
        let mut named = self.0.iter().filter(|format| format.name() == name);
        named.next().map(AsRef::as_ref)
    }

    /// All formats.
    pub fn iter(&self) -> impl Iterator<Item = &dyn Format> {
        self.0.iter().map(AsRef::as_ref)
    }
}

/// What a decoder reads.
#[derive(Debug, Clone)]
pub struct SourceSpec<'a> {
    /// Topic (or folder) that dead letters name.
    pub topic: &'a str,
    /// Name of the envelope.
    pub envelope: &'a str,
    /// The columns in use, in order.
    pub columns: &'a [Column],
    /// What else travels along.
    pub kept: Kept,
    /// The time column and how far ahead of its record's time it may be.
    pub time_limit: Option<TimeLimit>,
    /// The contracts, if a registry has the schemas of the records.
    pub contracts: Option<Contracts<'a>>,
    /// The same of their keys.
    pub key_contracts: Option<Contracts<'a>>,
    /// The options of format and envelope.
    pub options: &'a Options,
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

/// What an encoder writes.
#[derive(Debug, Clone)]
pub struct SinkSpec<'a> {
    /// Name of the envelope.
    pub envelope: &'a str,
    /// The columns of its values.
    pub schema: &'a Schema,
    /// Those of them that make the key, in order; none if records have no key.
    pub key: &'a [String],
    /// The columns that stand beside the values, if there are some.
    pub metadata: Option<&'a SinkMetadata>,
    /// What their schema is registered as, if a registry has it: its number stands in front of each record.
    pub contract: Option<&'a Contract>,
    /// The same of its keys.
    pub key_contract: Option<&'a Contract>,
    /// The options of the format.
    pub options: &'a Options,
}

/// The columns of a sink that are no members of its values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SinkMetadata {
    /// Those that are headers of its records, by their names.
    pub headers: Vec<Field>,
    /// The one that is their time.
    pub timestamp: Option<Field>,
}

/// The clocks of an epoch, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Clocks {
    /// Its reading of the wall clock: what events are compared with where their records have no time.
    pub wall_ms: i64,
    /// The time of records that have none.
    pub steady_ms: i64,
}

/// Turns the records of one source into columns. Reuses its memory from batch to batch.
pub trait Decoder: Send {
    /// The schema of [`Decoded::rows`]: the columns of the spec, then the system columns. A column is nullable, even if it is declared
    /// `NOT NULL`, where a delete may come without it.
    fn schema(&self) -> SchemaRef;

    /// Decodes records of an epoch with these clocks.
    ///
    /// # Panics
    /// If the text of one column would pass 2 GiB; sources bound their batches far below.
    fn decode(&mut self, records: &RawRecords, clocks: Clocks) -> Decoded;
}

/// What became of a batch of records: `rows + dead_letters + ignored` is how many records there were.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// The good records in order: the declared columns, then the system columns.
    pub rows: RecordBatch,
    /// The undecodable ones, in order.
    pub dead_letters: Vec<DeadLetter>,
    /// Records that change nothing: an event of type `read`, a tombstone that follows a delete.
    pub ignored: u64,
    /// How far the time column ([`SourceSpec::time_limit`]) says that time has come; it moves the watermark. The greatest value among the
    /// rows that have one, but of none more than the time at which its record was written: an event cannot tell of what is still to come.
    pub time_max: Option<i64>,
    /// The range of the events' own times over the rows, for freshness. None without rows.
    pub event_time: Option<TimeRange>,
}

/// The first and the last of some times, in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    /// The earliest.
    pub min_ms: i64,
    /// The latest.
    pub max_ms: i64,
}

impl TimeRange {
    /// The range with another time in it.
    #[must_use]
    pub fn with(range: Option<Self>, ms: i64) -> Self {
        let Self { min_ms, max_ms } = range.unwrap_or(Self {
            min_ms: ms,
            max_ms: ms,
        });
        Self {
            min_ms: min_ms.min(ms),
            max_ms: max_ms.max(ms),
        }
    }
}

/// Turns the rows of one sink into records.
pub trait Encoder: Send {
    /// True if an update is to come with the row as it was.
    fn needs_before(&self) -> bool;

    /// True if its records have something beside key and value: headers, or a time of their own.
    fn has_metadata(&self) -> bool {
        false
    }

    /// The rows, to be written one by one, in any order, by an epoch with this clock (in milliseconds since 1970).
    ///
    /// # Errors
    /// `Bug` if the rows lack a column or it has another type.
    fn bind<'a>(
        &'a self,
        rows: &'a RecordBatch,
        clock_ms: i64,
    ) -> Result<Box<dyn Records + 'a>, Error>;
}

/// Rows that can be written as records.
pub trait Records {
    /// Appends the key of a row; nothing if records have no key.
    fn write_key(&self, row: usize, out: &mut Vec<u8>);

    /// Appends the value of a change, of which one side is there at least; false if the change has no value: a tombstone.
    fn write_value(&self, change: Change, out: &mut Vec<u8>) -> bool;

    /// Appends the headers of a row ([`write_header`](crate::raw::write_header)).
    fn write_headers(&self, _row: usize, _out: &mut Vec<u8>) {}

    /// The time of a row's record, in milliseconds since 1970; none is that of writing.
    fn timestamp_ms(&self, _row: usize) -> Option<i64> {
        None
    }
}

/// What happened to a row, by the places of its states among the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is there, and was not before.
    Insert(usize),
    /// It is there, and was another before.
    Update {
        /// What it was.
        before: usize,
        /// What it is.
        after: usize,
    },
    /// It is there no more.
    Delete(usize),
}

impl Change {
    /// From what a row was and is; none if it is neither.
    #[must_use]
    pub fn between(before: Option<usize>, after: Option<usize>) -> Option<Self> {
        match (before, after) {
            (None, None) => None,
            (None, Some(after)) => Some(Self::Insert(after)),
            (Some(before), None) => Some(Self::Delete(before)),
            (Some(before), Some(after)) => Some(Self::Update { before, after }),
        }
    }

    /// The place of a row that has its key.
    #[must_use]
    pub const fn row(self) -> usize {
        match self {
            Self::Insert(row) | Self::Update { after: row, .. } | Self::Delete(row) => row,
        }
    }
}
