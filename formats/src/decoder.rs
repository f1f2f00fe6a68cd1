//! The decoder of every encoding and envelope: a record becomes a value in every column, or a dead letter.
//!
//! Promises: every record ends as exactly one of a row, a record that changes nothing (which is counted), or a dead letter whose reason names
//! the field at fault; no bytes make it panic; a record that fails midway leaves nothing behind. The same records and the same clock give
//! the same columns.
//!
//! Does not look at what no column uses: a field that the job does not read may hold anything that the encoding allows.

mod system;
mod target;

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{Schema, SchemaRef};
use tidemill_types::dead_letter::{Header, Stage};
use tidemill_types::format::{self, Clocks, Column, ColumnOrigin, Decoded, Error, SourceSpec};
use tidemill_types::sql_type;
use tidemill_types::system_columns::{self, OP_DELETE};
use tidemill_types::{DeadLetter, RawRecord, RawRecords, TopicPartition};

use crate::encoding::{Encoding, Found, Wanted};
use crate::envelopes::{Event, Reading, State};
use crate::key::{FoundKey, KeyReader, KeySchema};
use crate::reason;
use system::{Position, SystemColumns};
use target::{From, Target};

/// Decodes records of one source.
pub struct Decoder<E> {
    topic: Arc<str>,
    schema: SchemaRef,
    encoding: E,
    reading: Reading,
    wanted: Wanted,
    keys: Option<KeyReader>,
    targets: Vec<Target>,
    /// Index of the time column, and how far ahead of its record's time it may be.
    time: Option<(usize, i64)>,
    rows: SystemColumns,
}

/// What was found in a record, and what it does.
struct Read<'r, 'a, V> {
    record: RawRecord<'a>,
    position: Position<'r>,
    values: &'r Found<V>,
    keys: &'r FoundKey<'a>,
    state: State,
    is_delete: bool,
    ts_ms: Option<i64>,
}

impl<E: Encoding> Decoder<E> {
    /// A decoder for a source; `encoding` finds what is wanted.
    ///
    /// # Errors
    /// `Invalid` if a column has a type that cannot be read, a metadata field does not exist or has another type, the time column is not a
    /// timestamp, or an option has a value that does not exist.
    pub fn new(
        spec: &SourceSpec<'_>,
        format: &dyn format::Format,
        encoding: impl FnOnce(&Wanted, &Reading) -> Result<E, Error>,
    ) -> Result<Self, Error> {
        let envelopes = format.read_envelopes();
        let envelope = envelopes.iter().find(|known| known.name == spec.envelope);
        let envelope = envelope.ok_or_else(|| Error::UnknownEnvelope {
            envelope: spec.envelope.to_owned(),
        })?;
        let (mut wanted, mut of_key) = (Wanted::default(), Wanted::default());
        let reading = Reading::new(spec.envelope, spec.options, &mut wanted)?;
        let mut targets = Vec::with_capacity(spec.columns.len());
        let mut fields = Vec::with_capacity(spec.columns.len() + 5);
        for column in spec.columns {
            let from = match &column.origin {
                ColumnOrigin::Data(path) => From::Envelope(reading.data(path, &mut wanted)),
                ColumnOrigin::Key(path) => From::Key(of_key.value(path.names())),
                ColumnOrigin::Metadata(name) => {
                    target::metadata(column, name, envelope, &reading, &mut wanted)?
                }
            };
            refuse_nested::<E>(column, &from, format.name())?;
            let target = Target::new(column, from, (format.name(), envelope), spec)?;
            fields.push(target.field(column));
            targets.push(target);
        }
        fields.extend(system_columns::fields(spec.kept));
        let has_key = !of_key.values().is_empty();
        let keys = has_key.then(|| KeyReader::new(&of_key, spec, &reading));
        Ok(Self {
            topic: Arc::from(spec.topic),
            schema: Arc::new(Schema::new(fields)),
            encoding: encoding(&wanted, &reading)?,
            reading,
            wanted,
            keys: keys.transpose()?,
            targets,
            time: target::time_index(spec)?,
            rows: SystemColumns::new(spec.kept),
        })
    }

    /// Appends a record to the columns; false if it changes nothing.
    #[inline]
    fn decode_record<'a>(
        &mut self,
        schema: &'a E::Schema,
        record: RawRecord<'a>,
        position: Position<'_>,
        values: &mut Found<E::Value<'a>>,
        keys: &mut FoundKey<'a>,
    ) -> Result<bool, String> {
        values.clear();
        let mut has_value = false;
        if let Some(bytes) = record.value {
            has_value = self.encoding.read(schema, bytes, values)?;
            if self.encoding.has_new_schema() {
                self.convert();
            }
        }
        let event = if has_value {
            self.reading.event(values, &record)?
        } else {
            self.reading.no_value()?
        };
        let Event::Change { op, state, ts_ms } = event else {
            return Ok(false);
        };
        if let Some(reader) = &mut self.keys {
            reader.read(record.key, keys)?;
        }
        let read = Read {
            record,
            position,
            values,
            keys,
            state,
            is_delete: op == OP_DELETE,
            ts_ms,
        };
        let len = self.rows.len();
        let time = self.append(&read).inspect_err(|_| {
            let targets = self.targets.iter_mut();
            targets.for_each(|target| target.buffer.truncate(len));
        })?;
        let event_ms = ts_ms.unwrap_or(position.time_ms);
        self.rows.push(op, &record, position, time, event_ms);
        Ok(true)
    }

    /// Appends the event to every column and returns its time. On an error some columns have a value more than others.
    fn append<'a>(&mut self, read: &Read<'_, 'a, E::Value<'a>>) -> Result<Option<i64>, String> {
        for target in &mut self.targets {
            target.append(read)?;
        }
        let Some((column, max_future_ms)) = self.time else {
            return Ok(None);
        };
        let target = &self.targets[column];
        let now_ms = read.position.now_ms;
        match target.buffer.last_time() {
            Some(time) if time > now_ms.saturating_add(max_future_ms) => Err(
                reason::too_far_ahead(target.name(), time, now_ms, max_future_ms),
            ),
            time => Ok(time),
        }
    }

    /// Takes over what the records' schema says of their values.
    fn convert(&mut self) {
        for target in &mut self.targets {
            target.convert(&self.wanted, &self.encoding);
        }
    }

    fn finish(&mut self, partition: u32) -> RecordBatch {
        let columns = self.targets.iter_mut().map(|target| target.buffer.finish());
        let mut columns: Vec<_> = columns.collect();
        self.rows.finish(partition, &mut columns);
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .expect("every column was built by the schema, one value per row")
    }
}

/// Values with others in them are in the values of some encodings, and in no key.
fn refuse_nested<E: Encoding>(
    column: &Column,
    from: &From,
    format: &'static str,
) -> Result<(), Error> {
    if !column.data_type.is_nested() {
        return Ok(());
    }
    let (column, data_type) = (column.name.clone(), sql_type::name(&column.data_type));
    match from {
        From::Key(_) => Err(Error::NestedKey { column, data_type }),
        _ if !E::IS_NESTED => Err(Error::NestedType {
            column,
            data_type,
            format,
        }),
        _ => Ok(()),
    }
}

/// The record with all that it had; by which plan and source it was read the decoder does not know.
fn letter(place: &TopicPartition, record: &RawRecord<'_>, reason: String) -> DeadLetter {
    let header = |(name, value): (&[u8], Option<&[u8]>)| Header {
        name: String::from_utf8_lossy(name).into_owned(),
        value: value.map(<[u8]>::to_vec),
    };
    DeadLetter {
        stage: Stage::Decode,
        topic: place.topic.to_string(),
        partition: place.partition,
        offset: record.offset,
        reason,
        timestamp_ms: record.timestamp_ms,
        key: record.key.map(<[u8]>::to_vec),
        headers: record.headers.into_iter().map(header).collect(),
        bytes: record.value.map(<[u8]>::to_vec),
        ..DeadLetter::default()
    }
}

impl<E: Encoding> format::Decoder for Decoder<E> {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn decode(&mut self, records: &RawRecords, clocks: Clocks) -> Decoded {
        let schema = self.encoding.schema(records);
        let key_schema = self.keys.as_mut();
        let key_schema = key_schema.map_or(KeySchema::Nothing, |reader| reader.schema(records));
        let mut values = Found::new(self.wanted.values().len(), self.wanted.objects().len());
        let mut keys = self
            .keys
            .as_ref()
            .map_or(FoundKey::Raw(None), |reader| reader.found(&key_schema));
        let mut dead_letters = Vec::new();
        let mut ignored = 0;
        for target in &mut self.targets {
            target.buffer.reserve(records.len());
        }
        self.rows.reserve(records.len());
        let place = records.place.clone().unwrap_or_else(|| TopicPartition {
            topic: Arc::clone(&self.topic),
            partition: records.partition,
        });
        for record in records.iter() {
            let position = Position::new(&place, &record, clocks);
            match self.decode_record(&schema, record, position, &mut values, &mut keys) {
                Ok(true) => {}
                Ok(false) => ignored += 1,
                Err(reason) => dead_letters.push(letter(&place, &record, reason)),
            }
        }
        let (time_max, event_time) = (self.rows.time_max, self.rows.event_time);
        Decoded {
            rows: self.finish(records.partition),
            dead_letters,
            ignored,
            time_max,
            event_time,
        }
    }
}
