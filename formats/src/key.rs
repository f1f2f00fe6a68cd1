//! The columns of a record's key, read and written, in a format of their own: `key.format = 'json'` (a bare value for one column, or an
//! object), `'raw'` (the key's text is one column), `'avro'` or `'protobuf'` (by the reader and the writer of the format of that name).
//!
//! Does not look at keys that no column is read from.

use std::borrow::Cow;

use arrow_array::RecordBatch;
use tidemill_types::RawRecords;
use tidemill_types::format::{Error, KEY_FORMAT, Options, SinkSpec, SourceSpec};

use crate::avro::{self, AvroReader, AvroValue};
use crate::cells::Cells;
use crate::column::ColumnBuffer;
use crate::encoding::{Conversion, Encoding, Found, Value, Wanted};
use crate::envelopes::Reading;
use crate::fault::Fault;
use crate::json::{self, JsonReader, Token};
use crate::part::Part;
use crate::protobuf::{self, Datum, ProtobufReader};
use crate::written::Columns;
use crate::{reason, text};

/// The format of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyFormat {
    Json,
    Raw,
    Avro,
    Protobuf,
}

impl KeyFormat {
    /// What the options say, for a key of so many columns.
    fn of(options: &Options, columns: usize) -> Result<Self, Error> {
        match options.get(KEY_FORMAT).map_or("json", String::as_str) {
            "json" => Ok(Self::Json),
            "raw" if columns == 1 => Ok(Self::Raw),
            "avro" => Ok(Self::Avro),
            "protobuf" => Ok(Self::Protobuf),
            other => Err(Error::OptionValue {
                option: KEY_FORMAT.to_owned(),
                value: other.to_owned(),
                expected: "'json', 'avro', 'protobuf', or 'raw' for a key of one column".to_owned(),
            }),
        }
    }
}

/// Reads keys.
#[derive(Debug)]
pub struct KeyReader {
    encoding: KeyEncoding,
    columns: usize,
}

#[derive(Debug)]
enum KeyEncoding {
    Json(Box<JsonReader>),
    Raw,
    Avro(Box<AvroReader>),
    Protobuf(Box<ProtobufReader>),
}

/// What the keys of a batch refer to.
#[derive(Debug)]
pub enum KeySchema {
    /// Nothing.
    Nothing,
    /// Schemas of Avro.
    Avro(<AvroReader as Encoding>::Schema),
    /// Schemas of Protobuf.
    Protobuf(<ProtobufReader as Encoding>::Schema),
}

/// What was found in a key.
#[derive(Debug)]
pub enum FoundKey<'a> {
    /// JSON values, by slot.
    Json(Found<Token<'a>>),
    /// The key's text.
    Raw(Option<&'a str>),
    /// Values of Avro, by slot, and their schemas.
    Avro(&'a <AvroReader as Encoding>::Schema, Found<AvroValue<'a>>),
    /// Values of Protobuf, by slot, and their schemas.
    Protobuf(&'a <ProtobufReader as Encoding>::Schema, Found<Datum<'a>>),
}

/// A value of a key.
#[derive(Debug, Clone, Copy)]
pub enum KeyValue<'a> {
    /// A JSON value.
    Json(Token<'a>),
    /// The key's text.
    Raw(&'a str),
    /// A value of Avro.
    Avro(AvroValue<'a>),
    /// A value of Protobuf.
    Protobuf(Datum<'a>),
}

impl KeyReader {
    /// A reader of what is wanted of keys.
    ///
    /// # Errors
    /// `Invalid` if an option is wrong, or the keys' schema lacks a column.
    pub fn new(wanted: &Wanted, spec: &SourceSpec<'_>, reading: &Reading) -> Result<Self, Error> {
        let columns = wanted.values().len();
        let encoding = match KeyFormat::of(spec.options, columns)? {
            KeyFormat::Json => KeyEncoding::Json(Box::new(JsonReader::new(wanted, true))),
            KeyFormat::Raw => KeyEncoding::Raw,
            KeyFormat::Avro => {
                let reader = AvroReader::new(Part::Key, spec, wanted, reading)?;
                KeyEncoding::Avro(Box::new(reader))
            }
            KeyFormat::Protobuf => {
                let reader = ProtobufReader::new(Part::Key, spec, wanted, reading)?;
                KeyEncoding::Protobuf(Box::new(reader))
            }
        };
        Ok(Self { encoding, columns })
    }

    /// What the keys of these records, which are read next, refer to.
    pub fn schema(&mut self, records: &RawRecords) -> KeySchema {
        match &mut self.encoding {
            KeyEncoding::Json(_) | KeyEncoding::Raw => KeySchema::Nothing,
            KeyEncoding::Avro(reader) => KeySchema::Avro(reader.schema(records)),
            KeyEncoding::Protobuf(reader) => KeySchema::Protobuf(reader.schema(records)),
        }
    }

    /// Nothing found yet.
    pub fn found<'a>(&self, schema: &'a KeySchema) -> FoundKey<'a> {
        match (&self.encoding, schema) {
            (KeyEncoding::Json(_), _) => FoundKey::Json(Found::new(self.columns, 0)),
            (_, KeySchema::Avro(programs)) => FoundKey::Avro(programs, Found::new(self.columns, 0)),
            (_, KeySchema::Protobuf(readers)) => {
                FoundKey::Protobuf(readers, Found::new(self.columns, 0))
            }
            (_, KeySchema::Nothing) => FoundKey::Raw(None),
        }
    }

    /// Finds the wanted values of a key.
    ///
    /// # Errors
    /// The reason, if there is no key, or it is not of the encoding.
    pub fn read<'a>(
        &mut self,
        key: Option<&'a [u8]>,
        found: &mut FoundKey<'a>,
    ) -> Result<(), String> {
        let key = key.ok_or_else(reason::no_key)?;
        match (&mut self.encoding, found) {
            (KeyEncoding::Json(json), FoundKey::Json(tokens)) => {
                tokens.clear();
                match json.bare(key) {
                    Some(token) if self.columns == 1 => tokens.values[0] = Some(token),
                    _ => {
                        json.read(&(), key, tokens).map_err(reason::of_key)?;
                    }
                }
            }
            (KeyEncoding::Avro(avro), FoundKey::Avro(programs, values)) => {
                values.clear();
                avro.read(programs, key, values).map_err(reason::of_key)?;
            }
            (KeyEncoding::Protobuf(protobuf), FoundKey::Protobuf(readers, values)) => {
                values.clear();
                let read = protobuf.read(readers, key, values);
                read.map_err(reason::of_key)?;
            }
            (_, found) => {
                let text = std::str::from_utf8(key)
                    .map_err(|error| reason::of_key(reason::not_utf8(error.valid_up_to())))?;
                *found = FoundKey::Raw(Some(text));
            }
        }
        Ok(())
    }
}

/// Writes keys.
#[derive(Debug)]
pub enum KeyWriter {
    /// No keys.
    None,
    /// Texts.
    Text(TextKeys),
    /// Avro, with what stands in front of each.
    Avro(Vec<u8>, avro::Row),
    /// Messages of Protobuf.
    Protobuf(protobuf::Message),
}

/// Writes keys as texts: each as JSON, or as what it is without quotes.
#[derive(Debug)]
pub struct TextKeys {
    columns: Columns,
    /// What stands before each value in an object.
    prefixes: Vec<Vec<u8>>,
    is_raw: bool,
}

/// The keys of a batch, found once.
pub enum BoundKey<'a> {
    /// No keys.
    None,
    /// Texts.
    Text(&'a TextKeys, Vec<Cells<'a>>),
    /// Avro, with what stands in front of each.
    Avro(&'a [u8], avro::BoundRow<'a>),
    /// Messages of Protobuf.
    Protobuf(protobuf::BoundMessage<'a>),
}

impl KeyWriter {
    /// A writer of a sink's keys, if it has some.
    ///
    /// # Errors
    /// `Invalid` if a column is missing, or its type has no form in the format of keys, or an option is wrong.
    pub fn new(spec: &SinkSpec<'_>) -> Result<Self, Error> {
        if spec.key.is_empty() {
            return Ok(Self::None);
        }
        let format = KeyFormat::of(spec.options, spec.key.len())?;
        match format {
            KeyFormat::Json | KeyFormat::Raw => {
                let columns = Columns::of_key(spec, "json")?;
                Ok(Self::Text(TextKeys {
                    prefixes: json::prefixes(columns.names()),
                    is_raw: format == KeyFormat::Raw,
                    columns,
                }))
            }
            KeyFormat::Avro => {
                let (options, contract) = (spec.options, spec.key_contract);
                let frame = avro::Framing::written(Part::Key, options, contract)?;
                Ok(Self::Avro(frame, avro::Row::of_key(spec)?))
            }
            KeyFormat::Protobuf => Ok(Self::Protobuf(protobuf::Message::new(Part::Key, spec)?)),
        }
    }

    /// The keys of rows, to be written one by one.
    ///
    /// # Errors
    /// `Bug` if the rows lack a column or it has another type.
    pub fn bind<'a>(&'a self, rows: &'a RecordBatch) -> Result<BoundKey<'a>, Error> {
        Ok(match self {
            Self::None => BoundKey::None,
            Self::Text(keys) => BoundKey::Text(keys, keys.columns.bind(rows)?),
            Self::Avro(frame, keys) => BoundKey::Avro(frame, keys.bind(rows)?),
            Self::Protobuf(keys) => BoundKey::Protobuf(keys.bind(rows)?),
        })
    }
}

impl BoundKey<'_> {
    /// Appends the key of a row; nothing if records have no key.
    #[inline]
    pub fn write(&self, row: usize, out: &mut Vec<u8>) {
        match self {
            Self::None => {}
            Self::Text(keys, cells) => match cells.as_slice() {
                [only] if keys.is_raw => {
                    only.write_plain(row, out);
                }
                [only] => only.write(row, out),
                several => json::write_object(&keys.prefixes, several, row, out),
            },
            Self::Avro(frame, keys) => {
                out.extend_from_slice(frame);
                keys.write(row, out);
            }
            Self::Protobuf(keys) => keys.write(row, out),
        }
    }
}

impl<'a> FoundKey<'a> {
    /// The value at a slot.
    #[inline]
    pub fn value(&self, slot: usize) -> Option<KeyValue<'a>> {
        match self {
            Self::Json(tokens) => tokens.values[slot].map(KeyValue::Json),
            Self::Raw(text) => text.map(KeyValue::Raw),
            Self::Avro(_, values) => values.values[slot].map(KeyValue::Avro),
            Self::Protobuf(_, values) => values.values[slot].map(KeyValue::Protobuf),
        }
    }
}

impl<'a> Value<'a> for KeyValue<'a> {
    fn is_null(self) -> bool {
        match self {
            Self::Json(token) => token.is_null(),
            Self::Raw(_) => false,
            Self::Avro(value) => value.is_null(),
            Self::Protobuf(value) => value.is_null(),
        }
    }

    fn is_scalar(self) -> bool {
        match self {
            Self::Json(token) => token.is_scalar(),
            Self::Raw(_) => true,
            Self::Avro(value) => value.is_scalar(),
            Self::Protobuf(value) => value.is_scalar(),
        }
    }

    #[inline]
    fn push(self, column: &mut ColumnBuffer, conversion: Conversion) -> Result<(), Fault> {
        match self {
            Self::Json(token) => token.push(column, conversion),
            Self::Raw(text) => text::push(text, column),
            Self::Avro(value) => value.push(column, conversion),
            Self::Protobuf(value) => value.push(column, conversion),
        }
    }

    fn text(self) -> Result<Cow<'a, str>, Fault> {
        match self {
            Self::Json(token) => token.text(),
            Self::Raw(text) => Ok(Cow::Borrowed(text)),
            Self::Avro(value) => value.text(),
            Self::Protobuf(value) => value.text(),
        }
    }

    fn time_ms(self) -> Result<i64, Fault> {
        match self {
            Self::Json(token) => token.time_ms(),
            Self::Raw(text) => text::timestamp(text),
            Self::Avro(value) => value.time_ms(),
            Self::Protobuf(value) => value.time_ms(),
        }
    }

    fn shown(self) -> Cow<'a, str> {
        match self {
            Self::Json(token) => token.shown(),
            Self::Raw(text) => Cow::Borrowed(text),
            Self::Avro(value) => value.shown(),
            Self::Protobuf(value) => value.shown(),
        }
    }
}
