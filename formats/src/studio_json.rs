//! The studio's event envelope as JSON (`format = 'studio-json'`): raw records to Arrow columns and dead letters.
//!
//! ```json
//! {"uuid": "…", "type": "update", "ts": 1767225600123, "entity": "payment", "id": 42, "data": {"amount": "12.50"}}
//! ```
//!
//! Promises: every record ends as exactly one of a row, a counted `read`, or a dead letter whose reason names the field at fault; no bytes
//! make it panic; a record that fails midway leaves nothing behind. Decimals are parsed from their text, exactly. The same records and the
//! same clock give the same columns.
//!
//! Does not look at what no column uses: a field that the job does not read may hold anything that is JSON. Of two members with one name the
//! last one wins. `docs/formats/envelope.md` is the reference for producers.

mod columns;
mod envelope;
mod fields;
mod reason;
mod spec;
mod token;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, UInt8Array, UInt32Array};
use arrow_buffer::Buffer;
use arrow_schema::{Field, Schema, SchemaRef};
use tidemill_types::DeadLetter;
use tidemill_types::system_columns::{self, Kept};

pub use spec::{Column, METADATA, MetadataField, Origin, Spec, TimeLimit};

use crate::Error;
use columns::ColumnBuffer;
use envelope::{Envelope, Event, Operation};
use fields::FieldNames;
use spec::Source;

/// Consecutive records of one partition, their bytes in one arena: record `i` is `arena[bounds[i]..bounds[i + 1]]` at `offsets[i]`.
#[derive(Debug, Clone, Copy)]
pub struct Records<'a> {
    /// Partition that the records were read from.
    pub partition: u32,
    /// Offset of each record.
    pub offsets: &'a [i64],
    /// Where each record starts, then where the last one ends; one entry more than `offsets`, or both are empty.
    pub bounds: &'a [u32],
    /// The records' bytes, back to back.
    pub arena: &'a [u8],
    /// When each record was written, in milliseconds since 1970; empty where the source does not say.
    pub timestamps: &'a [i64],
}

impl<'a> Records<'a> {
    fn iter(&self) -> impl Iterator<Item = (usize, i64, &'a [u8])> {
        let (bounds, arena) = (self.bounds, self.arena);
        let bytes = move |i: usize| &arena[bounds[i] as usize..bounds[i + 1] as usize];
        let offsets = self.offsets.iter().enumerate();
        offsets.map(move |(i, &offset)| (i, offset, bytes(i)))
    }
}

/// The clocks of an epoch, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Clocks {
    /// Its reading of the wall clock: what events are compared with where their records have no time.
    pub wall_ms: i64,
    /// The time of records that have none.
    pub steady_ms: i64,
}

/// What became of a batch of records: `rows + dead_letters + reads` is how many records there were.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// The good records in order: the declared columns, then the system columns.
    pub rows: RecordBatch,
    /// The undecodable ones, in order.
    pub dead_letters: Vec<DeadLetter>,
    /// Events of type `read`, which change nothing.
    pub reads: u64,
    /// How far the time column ([`Spec::time_limit`]) says that time has come; it moves the watermark. The greatest value among the rows that
    /// have one, but of none more than the time at which its record was written: an event cannot tell of what is still to come.
    pub time_max: Option<i64>,
    /// The range of the envelopes' `ts` over the rows, for freshness. None without rows.
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
    fn with(range: Option<Self>, ms: i64) -> Self {
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

/// One declared column while a batch is decoded.
#[derive(Debug)]
struct Target {
    /// The name that a producer knows it by, for reasons.
    field: String,
    sql_type: String,
    required: bool,
    source: Source,
    buffer: ColumnBuffer,
}

/// Decodes records of one source. Reuses its memory from batch to batch.
#[derive(Debug)]
pub struct Decoder {
    topic: String,
    entity: Option<String>,
    schema: SchemaRef,
    kept: Kept,
    targets: Vec<Target>,
    fields: FieldNames,
    /// Index of the time column, and how far ahead of its record's time it may be.
    time: Option<(usize, i64)>,
    rows: SystemColumns,
}

/// The system columns of the rows of a batch, and what is known of all its rows.
#[derive(Debug, Default)]
struct SystemColumns {
    ops: Vec<u8>,
    offsets: Vec<i64>,
    times: Vec<i64>,
    bytes: Vec<u8>,
    byte_ends: Vec<i32>,
    time_max: Option<i64>,
    event_time: Option<TimeRange>,
}

/// What a good record is.
enum Outcome {
    Row,
    Read,
}

impl Decoder {
    /// A decoder for a source.
    ///
    /// # Errors
    /// `Invalid` if a column has a type that JSON events cannot carry, a metadata field does not exist or has another type, or the time
    /// column is not a timestamp.
    pub fn new(spec: Spec) -> Result<Self, Error> {
        let time = spec.time_index()?;
        let mut fields = FieldNames::default();
        let mut targets = Vec::with_capacity(spec.columns.len());
        let mut schema = Vec::with_capacity(spec.columns.len() + 5);
        for column in &spec.columns {
            let source = spec::source(column, &mut fields)?;
            // A delete may come without state, so only what the envelope itself guarantees is never null.
            schema.push(Field::new(
                &column.name,
                column.data_type.clone(),
                column.nullable || matches!(source, Source::Field(_)),
            ));
            targets.push(Target {
                field: column.origin.field().to_owned(),
                sql_type: spec::sql_type(&column.data_type),
                required: !column.nullable,
                source,
                buffer: ColumnBuffer::new(column)?,
            });
        }
        schema.extend(system_columns::fields(spec.kept));
        Ok(Self {
            topic: spec.topic,
            entity: spec.entity,
            schema: Arc::new(Schema::new(schema)),
            kept: spec.kept,
            targets,
            fields,
            time,
            rows: SystemColumns::default(),
        })
    }

    /// The schema of [`Decoded::rows`]: the declared columns, then the system columns. A column from `data` is nullable even if it is
    /// declared `NOT NULL`, since a delete may come without state; only the field `id` is not, since it falls back to the envelope's.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Decodes the records of an epoch with these clocks.
    ///
    /// # Panics
    /// If the bounds don't fit the arena, or the text of one column would pass 2 GiB; sources bound their batches far below.
    pub fn decode(&mut self, records: &Records<'_>, clocks: Clocks) -> Decoded {
        let mut slots = vec![None; self.fields.len()];
        let mut dead_letters = Vec::new();
        let mut reads = 0;
        self.reserve(records.offsets.len());
        for (i, offset, bytes) in records.iter() {
            let written_ms = records.timestamps.get(i).copied();
            let position = Position {
                partition: records.partition,
                offset,
                now_ms: written_ms.unwrap_or(clocks.wall_ms),
                time_ms: written_ms.unwrap_or(clocks.steady_ms),
            };
            match self.decode_record(bytes, position, &mut slots) {
                Ok(Outcome::Row) => {}
                Ok(Outcome::Read) => reads += 1,
                Err(reason) => dead_letters.push(DeadLetter {
                    topic: self.topic.clone(),
                    partition: records.partition,
                    offset,
                    reason,
                    bytes: bytes.to_vec(),
                }),
            }
        }
        let (time_max, event_time) = (self.rows.time_max, self.rows.event_time);
        Decoded {
            rows: self.finish(records.partition),
            dead_letters,
            reads,
            time_max,
            event_time,
        }
    }

    fn reserve(&mut self, records: usize) {
        self.targets
            .iter_mut()
            .for_each(|target| target.buffer.reserve(records));
        self.rows.ops.reserve(records);
        self.rows.offsets.reserve(records);
    }

    fn decode_record<'a>(
        &mut self,
        bytes: &'a [u8],
        position: Position,
        slots: &mut [Option<&'a str>],
    ) -> Result<Outcome, String> {
        let text = envelope::text(bytes)?;
        let envelope = Envelope::parse(text, &mut self.fields, slots)?;
        let event = envelope.check(self.entity.as_deref())?;
        let Some(op) = event.operation.change() else {
            return Ok(Outcome::Read);
        };
        let len = self.rows.ops.len();
        let time = match self.append(&event, position, slots) {
            Ok(time) => time,
            Err(reason) => {
                self.targets
                    .iter_mut()
                    .for_each(|target| target.buffer.truncate(len));
                return Err(reason);
            }
        };
        let reached = time.map(|time| time.min(position.now_ms));
        self.rows.time_max = self.rows.time_max.max(reached);
        self.rows.event_time = Some(TimeRange::with(self.rows.event_time, event.ts_ms));
        self.rows.ops.push(op);
        self.rows.offsets.push(position.offset);
        if self.kept.time {
            self.rows.times.push(position.time_ms);
        }
        if self.kept.bytes {
            self.rows.bytes.extend_from_slice(bytes);
            self.rows.byte_ends.push(
                i32::try_from(self.rows.bytes.len())
                    .expect("a source bounds its batches far below 2 GiB"),
            );
        }
        Ok(Outcome::Row)
    }

    /// Appends the event to every column and returns its time. On an error some columns have a value more than others.
    fn append(
        &mut self,
        event: &Event<'_>,
        position: Position,
        slots: &[Option<&str>],
    ) -> Result<Option<i64>, String> {
        for target in &mut self.targets {
            target.append(event, position, &self.topic, slots)?;
        }
        let Some((column, max_future_ms)) = self.time else {
            return Ok(None);
        };
        let target = &self.targets[column];
        let time = target.buffer.last_time();
        match time {
            Some(time) if time > position.now_ms.saturating_add(max_future_ms) => Err(
                reason::too_far_ahead(&target.field, time, position.now_ms, max_future_ms),
            ),
            _ => Ok(time),
        }
    }

    fn finish(&mut self, partition: u32) -> RecordBatch {
        let system = std::mem::take(&mut self.rows);
        let rows = system.ops.len();
        let mut columns: Vec<ArrayRef> = self
            .targets
            .iter_mut()
            .map(|target| target.buffer.finish())
            .collect();
        columns.push(Arc::new(UInt8Array::from(system.ops)));
        columns.push(Arc::new(UInt32Array::from_value(partition, rows)));
        columns.push(Arc::new(Int64Array::from(system.offsets)));
        if self.kept.time {
            columns.push(Arc::new(Int64Array::from(system.times)));
        }
        if self.kept.bytes {
            columns.push(Arc::new(BinaryArray::new(
                columns::offsets(system.byte_ends),
                Buffer::from_vec(system.bytes),
                None,
            )));
        }
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .expect("every column was built by the schema, one value per row")
    }
}

/// Where and when a record is decoded.
#[derive(Debug, Clone, Copy)]
struct Position {
    partition: u32,
    offset: i64,
    /// What the event's time is compared with.
    now_ms: i64,
    /// When the record was written.
    time_ms: i64,
}

impl Target {
    #[inline]
    fn append(
        &mut self,
        event: &Event<'_>,
        position: Position,
        topic: &str,
        slots: &[Option<&str>],
    ) -> Result<(), String> {
        let token = match self.source {
            Source::Field(slot) => slots[slot],
            Source::FieldOrId(slot) => slots[slot]
                .filter(|token| *token != "null")
                .or(Some(event.id)),
            Source::Uuid => Some(event.uuid),
            Source::Type => Some(event.kind),
            Source::Entity => Some(event.entity),
            Source::Id => Some(event.id),
            Source::Ts => return self.append_integer(event.ts_ms),
            Source::Partition => return self.append_integer(i64::from(position.partition)),
            Source::Offset => return self.append_integer(position.offset),
            Source::Topic => {
                self.buffer.push_text(topic);
                return Ok(());
            }
        };
        match token {
            Some(token) if token != "null" => self
                .buffer
                .push_token(token)
                .map_err(|fault| reason::wrong_value(&self.field, &self.sql_type, token, fault)),
            _ if self.required && event.operation != Operation::Delete => Err(
                reason::missing_value(&self.field, &self.sql_type, token.is_some()),
            ),
            _ => {
                self.buffer.push_null();
                Ok(())
            }
        }
    }

    fn append_integer(&mut self, value: i64) -> Result<(), String> {
        self.buffer.push_integer(value).map_err(|fault| {
            reason::wrong_value(
                &self.field,
                &self.sql_type,
                itoa::Buffer::new().format(value),
                fault,
            )
        })
    }
}
