//! One declared column while a batch is decoded: where its values are found, and what they become.

use arrow_schema::{DataType, Field, TimeUnit};
use tidemill_types::format::{Column, Envelope, Error, SourceSpec};
use tidemill_types::sql_type;

use super::Read;
use crate::column::ColumnBuffer;
use crate::encoding::{Conversion, Encoding, Value, Wanted};
use crate::envelopes::{DEBEZIUM, Place, Reading, State};
use crate::fault::Fault;
use crate::{options, reason, text};

const SUPPORTED: &str = "one of BOOLEAN, INT, BIGINT, DOUBLE, DECIMAL(p, s), VARCHAR, DATE, TIMESTAMP (in milliseconds, without time zone), UUID, \
     or an ARRAY, STRUCT or MAP of them";

/// Where a column's values are found.
#[derive(Debug)]
pub enum From {
    /// In the value, where the envelope says.
    Envelope(Place),
    /// In the key, at a slot.
    Key(usize),
    /// The record's partition of its topic.
    Partition,
    /// Its offset.
    Offset,
    /// Its topic.
    Topic,
    /// When the record was written.
    Timestamp,
    /// The whole key, as text.
    WholeKey,
    /// A header, as text.
    Header(Box<[u8]>),
}

/// In which events a column must have a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Required {
    Nowhere,
    /// A delete may come without state.
    UnlessDeleted,
    Always,
}

impl Required {
    fn of(column: &Column, envelope: &Envelope) -> Self {
        if column.nullable {
            Self::Nowhere
        } else if envelope.is_in_every_event(column) {
            Self::Always
        } else {
            Self::UnlessDeleted
        }
    }
}

/// A column.
#[derive(Debug)]
pub struct Target {
    /// The name that a producer knows it by, for reasons.
    field: String,
    sql_type: String,
    required: Required,
    /// What stands for a value that the database did not say.
    unavailable: Option<Unavailable>,
    from: From,
    /// What the source's options say of its values.
    declared: Conversion,
    /// What holds.
    conversion: Conversion,
    /// Its values.
    pub buffer: ColumnBuffer,
}

/// Where a metadata field is found.
pub fn metadata(
    column: &Column,
    name: &str,
    envelope: &Envelope,
    reading: &Reading,
    wanted: &mut Wanted,
) -> Result<From, Error> {
    let Some(field) = envelope.field(name) else {
        let known: Vec<_> = envelope.fields().map(|field| field.name).collect();
        return Err(Error::UnknownMetadata {
            column: column.name.clone(),
            field: name.to_owned(),
            known: known.join(", "),
        });
    };
    if !(field.fits)(&column.data_type) {
        return Err(Error::MetadataType {
            column: column.name.clone(),
            field: name.to_owned(),
            data_type: column.data_type.clone(),
            supported: field.types,
        });
    }
    if let Some(place) = reading.metadata(name, wanted) {
        return Ok(From::Envelope(place));
    }
    Ok(match name {
        "partition" => From::Partition,
        "offset" => From::Offset,
        "topic" => From::Topic,
        "timestamp" => From::Timestamp,
        "key" => From::WholeKey,
        header => {
            let name = header.trim_start_matches("headers.");
            From::Header(name.as_bytes().into())
        }
    })
}

/// Index of the time column, and its limit.
pub fn time_index(spec: &SourceSpec<'_>) -> Result<Option<(usize, i64)>, Error> {
    let Some(limit) = &spec.time_limit else {
        return Ok(None);
    };
    let is_time = |column: &Column| {
        let timestamp = DataType::Timestamp(TimeUnit::Millisecond, None);
        column.name == limit.column && column.data_type == timestamp
    };
    let index = spec.columns.iter().position(is_time);
    index
        .map(|index| Some((index, limit.max_future_ms)))
        .ok_or_else(|| Error::TimeColumn {
            column: limit.column.clone(),
        })
}

impl Target {
    /// An empty column.
    ///
    /// # Errors
    /// `Invalid` if it has a type that cannot be read, or an option has a value that does not exist.
    pub fn new(
        column: &Column,
        from: From,
        (format, envelope): (&'static str, &Envelope),
        spec: &SourceSpec<'_>,
    ) -> Result<Self, Error> {
        let buffer = ColumnBuffer::new(&column.data_type);
        let mut buffer = buffer.ok_or_else(|| Error::UnsupportedType {
            column: column.name.clone(),
            data_type: column.data_type.clone(),
            format,
            supported: SUPPORTED,
        })?;
        let is_of_database = envelope.name == DEBEZIUM.name;
        let declared =
            |of: &DataType| options::conversion(&column.name, of, spec.options, is_of_database);
        if let Some(nested) = buffer.nested() {
            nested.declare(&declared)?;
        }
        let declared = declared(&column.data_type)?;
        Ok(Self {
            field: column.origin.field(),
            sql_type: sql_type::name(&column.data_type),
            required: Required::of(column, envelope),
            unavailable: Unavailable::of(&column.data_type).filter(|_| is_of_database),
            from,
            declared,
            conversion: declared,
            buffer,
        })
    }

    /// The column in the schema: only what every event has is never null.
    pub fn field(&self, column: &Column) -> Field {
        let is_nullable = self.required != Required::Always;
        Field::new(&column.name, column.data_type.clone(), is_nullable)
    }

    /// The name that a producer knows it by.
    pub fn name(&self) -> &str {
        &self.field
    }

    /// Takes over what the schema in the records says.
    pub fn convert<E: Encoding>(&mut self, wanted: &Wanted, encoding: &E) {
        if let From::Envelope(Place::State([slot, _]) | Place::StateOr(slot, _)) = self.from {
            let told = encoding.conversion(&wanted.values()[slot]);
            self.conversion = told.unwrap_or(self.declared);
            if let Some(nested) = self.buffer.nested() {
                let mut path = wanted.values()[slot].clone();
                nested.convert(&mut path, &|path| encoding.conversion(path));
            }
        }
    }

    /// Appends the value of a record.
    #[inline]
    pub fn append<'a, V: Value<'a>>(&mut self, read: &Read<'_, 'a, V>) -> Result<(), String> {
        match &self.from {
            From::Envelope(place) => {
                let value = |slot: usize| read.values.values[slot];
                let value = match (place, read.state) {
                    (Place::State([first, _]), State::First) => value(*first),
                    (Place::State([_, second]), State::Second) => value(*second),
                    (Place::StateOr(slot, or), _) => value(*slot)
                        .filter(|value| !value.is_null())
                        .or_else(|| value(*or)),
                    (Place::State(_), State::Nowhere) => None,
                    (Place::Member(slot), _) => value(*slot),
                    (Place::Attribute(_, header), State::Second) => {
                        let header = read.record.headers.get(header).flatten();
                        return self.append_text(header, read.is_delete);
                    }
                    (Place::Attribute(slot, _), _) => value(*slot),
                    (Place::EventTime, _) => return self.append_time(read.ts_ms, read.is_delete),
                };
                self.append_value(value, read.is_delete)
            }
            From::Key(slot) => {
                let appended = self.append_value(read.keys.value(*slot), read.is_delete);
                appended.map_err(reason::of_key)
            }
            From::Partition => self.append_integer(i64::from(read.position.partition)),
            From::Offset => self.append_integer(read.position.offset),
            From::Topic => {
                self.buffer.push_text(read.position.topic);
                Ok(())
            }
            From::Timestamp => self.append_time(read.record.timestamp_ms, read.is_delete),
            From::WholeKey => self.append_text(read.record.key, read.is_delete),
            From::Header(name) => {
                let header = read.record.headers.get(name).flatten();
                self.append_text(header, read.is_delete)
            }
        }
    }

    #[inline]
    fn append_value<'a, V: Value<'a>>(
        &mut self,
        value: Option<V>,
        is_delete: bool,
    ) -> Result<(), String> {
        match value {
            Some(value) if self.unavailable.is_some_and(|of| of.is(value)) => {
                Err(reason::unavailable(&self.field))
            }
            Some(value) if !value.is_null() => value
                .push(&mut self.buffer, self.conversion)
                .map_err(|fault| self.wrong(&value.shown(), &fault)),
            _ => self.append_null(value.is_some(), is_delete),
        }
    }

    /// Appends nothing, which was null or not there.
    fn append_null(&mut self, is_null: bool, is_delete: bool) -> Result<(), String> {
        let is_missing = match self.required {
            Required::Nowhere => false,
            Required::UnlessDeleted => !is_delete,
            Required::Always => true,
        };
        if is_missing {
            return Err(reason::missing_value(&self.field, &self.sql_type, is_null));
        }
        self.buffer.push_null();
        Ok(())
    }

    fn append_text(&mut self, bytes: Option<&[u8]>, is_delete: bool) -> Result<(), String> {
        let Some(bytes) = bytes else {
            return self.append_null(false, is_delete);
        };
        std::str::from_utf8(bytes)
            .map_err(|_| Fault::Malformed)
            .and_then(|text| text::push(text, &mut self.buffer))
            .map_err(|fault| self.wrong(&String::from_utf8_lossy(bytes), &fault))
    }

    fn append_time(&mut self, time_ms: Option<i64>, is_delete: bool) -> Result<(), String> {
        match time_ms {
            Some(ms) => self.append_integer(ms),
            None => self.append_null(false, is_delete),
        }
    }

    fn append_integer(&mut self, value: i64) -> Result<(), String> {
        self.buffer
            .push_integer(value)
            .map_err(|fault| self.wrong(itoa::Buffer::new().format(value), &fault))
    }

    fn wrong(&self, found: &str, fault: &Fault) -> String {
        reason::wrong_value(&self.field, &self.sql_type, found, fault)
    }
}

/// What Debezium writes for a large text that an update left alone, if the database's log does not have it (`unavailable.value.placeholder`).
const UNAVAILABLE: &str = "__debezium_unavailable_value";

/// How a column has it.
#[derive(Debug, Clone, Copy)]
enum Unavailable {
    /// As its text.
    Text,
    /// As the text that an array or a map has in it, or as its bytes, if those are numbers.
    Within,
}

impl Unavailable {
    fn of(data_type: &DataType) -> Option<Self> {
        match data_type {
            DataType::Utf8 => Some(Self::Text),
            DataType::List(_) | DataType::Map(..) => Some(Self::Within),
            _ => None,
        }
    }

    fn is<'a, V: Value<'a>>(self, value: V) -> bool {
        let is_text = |value: V| value.text().is_ok_and(|text| text == UNAVAILABLE);
        match self {
            Self::Text => is_text(value),
            Self::Within => {
                let (mut has_text, mut bytes) = (false, Vec::new());
                let mut look = |value: V| {
                    has_text |= is_text(value);
                    bytes.extend(value.shown().parse::<u8>());
                    Ok(())
                };
                // What is neither an array nor a map has nothing in it.
                let _ = value.items(&mut look);
                let _ = value.members(&mut |_, value| look(value));
                has_text || bytes == UNAVAILABLE.as_bytes()
            }
        }
    }
}
