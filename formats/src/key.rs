//! The columns of a record's key, read and written: `key.format = 'json'` (a bare value for one column, or an object) or `'raw'` (the key's
//! text is one column).

use std::borrow::Cow;

use arrow_array::RecordBatch;
use tidemill_types::format::{Error, Options, SinkSpec};

use crate::cells::Cells;
use crate::column::ColumnBuffer;
use crate::encoding::{Conversion, Encoding, Found, Value, Wanted};
use crate::fault::Fault;
use crate::json::{self, JsonReader, Token};
use crate::written::Columns;
use crate::{reason, text};

/// The option that says how keys are encoded.
pub const KEY_FORMAT: &str = "key.format";

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
}

/// What was found in a key.
#[derive(Debug)]
pub enum FoundKey<'a> {
    /// JSON values, by slot.
    Json(Found<Token<'a>>),
    /// The key's text.
    Raw(Option<&'a str>),
}

/// A value of a key.
#[derive(Debug, Clone, Copy)]
pub enum KeyValue<'a> {
    /// A JSON value.
    Json(Token<'a>),
    /// The key's text.
    Raw(&'a str),
}

impl KeyReader {
    /// A reader of what is wanted of keys.
    pub fn new(wanted: &Wanted, options: &Options) -> Result<Self, Error> {
        let columns = wanted.values().len();
        let encoding = if is_raw(options, columns)? {
            KeyEncoding::Raw
        } else {
            KeyEncoding::Json(Box::new(JsonReader::new(wanted, true)))
        };
        Ok(Self { encoding, columns })
    }

    /// Nothing found yet.
    pub fn found<'a>(&self) -> FoundKey<'a> {
        match self.encoding {
            KeyEncoding::Json(_) => FoundKey::Json(Found::new(self.columns, 0)),
            KeyEncoding::Raw => FoundKey::Raw(None),
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
        let of_key = |reason: String| format!("key: {reason}");
        match (&mut self.encoding, found) {
            (KeyEncoding::Json(json), FoundKey::Json(tokens)) => {
                tokens.clear();
                match json.bare(key) {
                    Some(token) if self.columns == 1 => tokens.values[0] = Some(token),
                    _ => {
                        json.read(&(), key, tokens).map_err(of_key)?;
                    }
                }
            }
            (_, found) => {
                let text = std::str::from_utf8(key)
                    .map_err(|error| of_key(reason::not_utf8(error.valid_up_to())))?;
                *found = FoundKey::Raw(Some(text));
            }
        }
        Ok(())
    }
}

/// Whether keys of so many columns are plain text rather than JSON.
fn is_raw(options: &Options, columns: usize) -> Result<bool, Error> {
    match options.get(KEY_FORMAT).map_or("json", String::as_str) {
        "json" => Ok(false),
        "raw" if columns == 1 => Ok(true),
        other => Err(Error::OptionValue {
            option: KEY_FORMAT.to_owned(),
            value: other.to_owned(),
            expected: "'json', or 'raw' for a key of one column".to_owned(),
        }),
    }
}

/// Writes keys.
#[derive(Debug)]
pub struct KeyWriter {
    columns: Columns,
    /// What stands before each value in an object.
    prefixes: Vec<Vec<u8>>,
    is_raw: bool,
}

/// The keys of a batch, found once.
pub struct BoundKey<'a> {
    cells: Vec<Cells<'a>>,
    prefixes: &'a [Vec<u8>],
    is_raw: bool,
}

impl KeyWriter {
    /// A writer of a sink's keys, if it has some.
    ///
    /// # Errors
    /// `Invalid` if a column is missing, or its type has no text, or the option `key.format` does not fit.
    pub fn new(spec: &SinkSpec<'_>) -> Result<Self, Error> {
        let columns = Columns::of_key(spec, "json")?;
        Ok(Self {
            prefixes: json::prefixes(columns.names()),
            is_raw: !spec.key.is_empty() && is_raw(spec.options, spec.key.len())?,
            columns,
        })
    }

    /// The keys of rows, to be written one by one.
    ///
    /// # Errors
    /// `Bug` if the rows lack a column or it has another type.
    pub fn bind<'a>(&'a self, rows: &'a RecordBatch) -> Result<BoundKey<'a>, Error> {
        Ok(BoundKey {
            cells: self.columns.bind(rows)?,
            prefixes: &self.prefixes,
            is_raw: self.is_raw,
        })
    }
}

impl BoundKey<'_> {
    /// Appends the key of a row; nothing if records have no key.
    #[inline]
    pub fn write(&self, row: usize, out: &mut Vec<u8>) {
        match self.cells.as_slice() {
            [] => {}
            [only] if self.is_raw => {
                only.write_plain(row, out);
            }
            [only] => only.write(row, out),
            several => json::write_object(self.prefixes, several, row, out),
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
        }
    }
}

impl<'a> Value<'a> for KeyValue<'a> {
    fn is_null(self) -> bool {
        matches!(self, Self::Json(token) if token.is_null())
    }

    fn is_scalar(self) -> bool {
        match self {
            Self::Json(token) => token.is_scalar(),
            Self::Raw(_) => true,
        }
    }

    fn push(self, column: &mut ColumnBuffer, conversion: Conversion) -> Result<(), Fault> {
        match self {
            Self::Json(token) => token.push(column, conversion),
            Self::Raw(text) => text::push(text, column),
        }
    }

    fn text(self) -> Result<Cow<'a, str>, Fault> {
        match self {
            Self::Json(token) => token.text(),
            Self::Raw(text) => Ok(Cow::Borrowed(text)),
        }
    }

    fn time_ms(self) -> Result<i64, Fault> {
        match self {
            Self::Json(token) => token.time_ms(),
            Self::Raw(text) => text::timestamp(text),
        }
    }

    fn shown(self) -> Cow<'a, str> {
        match self {
            Self::Json(token) => token.shown(),
            Self::Raw(text) => Cow::Borrowed(text),
        }
    }
}
