//! CSV (`format = 'csv'`): a record is one line of fields, by RFC 4180.
//!
//! An empty field without quotes is null, one in quotes is the empty text. Which field is which column the option `csv.columns` says.

use std::borrow::Cow;

use arrow_array::RecordBatch;
use tidemill_types::RawRecords;
use tidemill_types::format::{
    Change, Decoder, Encoder, Envelope, Error, Format, KEY_FORMAT, Options, Records, SinkSpec,
    SourceSpec,
};

use crate::cells::Cells;
use crate::column::ColumnBuffer;
use crate::decoder;
use crate::encoding::{Conversion, Encoding, Found, Value, Wanted};
use crate::envelopes::{PLAIN, UPSERT};
use crate::fault::Fault;
use crate::key::{BoundKey, KeyWriter};
use crate::written::{self, Columns};
use crate::{metadata, reason, text};

/// The option that names the fields of a line, in order.
const COLUMNS: &str = "csv.columns";
/// The option that says what stands between fields.
const DELIMITER: &str = "csv.delimiter";

static SOURCE_OPTIONS: [&str; 3] = [KEY_FORMAT, COLUMNS, DELIMITER];
static SINK_OPTIONS: [&str; 2] = [KEY_FORMAT, DELIMITER];
static ENVELOPES: [&Envelope; 2] = [&PLAIN, &UPSERT];

/// The format `csv`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Csv;

impl Format for Csv {
    fn name(&self) -> &'static str {
        "csv"
    }

    fn read_envelopes(&self) -> &'static [&'static Envelope] {
        &ENVELOPES
    }

    fn written_envelopes(&self) -> &'static [&'static Envelope] {
        &ENVELOPES
    }

    fn source_options(&self) -> &'static [&'static str] {
        &SOURCE_OPTIONS
    }

    fn sink_options(&self) -> &'static [&'static str] {
        &SINK_OPTIONS
    }

    fn decoder(&self, spec: &SourceSpec<'_>) -> Result<Box<dyn Decoder>, Error> {
        let decoder =
            decoder::Decoder::new(spec, self, |wanted, _| CsvReader::new(wanted, spec.options));
        Ok(Box::new(decoder?))
    }

    fn encoder(&self, spec: &SinkSpec<'_>) -> Result<Box<dyn Encoder>, Error> {
        let rows = CsvRows {
            envelope: written::Envelope::named(spec.envelope)?,
            columns: Columns::new(spec, self.name())?.flat(self.name())?,
            key: KeyWriter::new(spec)?,
            delimiter: delimiter(spec.options)?,
        };
        metadata::beside(spec, rows)
    }
}

/// What stands between fields.
fn delimiter(options: &Options) -> Result<u8, Error> {
    match options.get(DELIMITER).map(String::as_bytes) {
        None => Ok(b','),
        Some(b"\\t") => Ok(b'\t'),
        Some(&[byte]) if byte.is_ascii() && !matches!(byte, b'"' | b'\r' | b'\n') => Ok(byte),
        Some(_) => Err(Error::OptionValue {
            option: DELIMITER.to_owned(),
            value: options[DELIMITER].clone(),
            expected: "one character of ASCII such as ';', or '\\t'".to_owned(),
        }),
    }
}

/// Finds fields in lines.
#[derive(Debug)]
struct CsvReader {
    /// Per field of a line, the slot of its value.
    slots: Vec<Option<usize>>,
    delimiter: u8,
}

impl CsvReader {
    fn new(wanted: &Wanted, options: &Options) -> Result<Self, Error> {
        let names = options.get(COLUMNS).map(String::as_str).unwrap_or_default();
        let names: Vec<_> = names.split(',').map(str::trim).collect();
        let mut slots = vec![None; names.len()];
        for (slot, path) in wanted.values().iter().enumerate() {
            let name = path.join(".");
            let place = names.iter().position(|known| *known == name);
            let place = place.ok_or_else(|| Error::OptionValue {
                option: COLUMNS.to_owned(),
                value: names.join(", "),
                expected: format!(
                    "the names of all fields of a line, in order, '{name}' among them"
                ),
            })?;
            slots[place] = Some(slot);
        }
        Ok(Self {
            slots,
            delimiter: delimiter(options)?,
        })
    }
}

impl Encoding for CsvReader {
    const IS_NESTED: bool = false;

    type Value<'a> = Field<'a>;
    type Schema = ();

    fn schema(&mut self, _: &RawRecords) {}

    fn read<'a>(
        &mut self,
        (): &'a (),
        bytes: &'a [u8],
        found: &mut Found<Field<'a>>,
    ) -> Result<bool, String> {
        let line =
            std::str::from_utf8(bytes).map_err(|error| reason::not_utf8(error.valid_up_to()))?;
        let line = line.strip_suffix('\n').unwrap_or(line);
        let line = line.strip_suffix('\r').unwrap_or(line);
        let mut rest = Some(line);
        let mut fields = 0;
        while let Some(text) = rest {
            let end = field_end(text, self.delimiter).ok_or_else(|| {
                let at = line.len() - text.len();
                format!("not CSV: the field at byte {at} has a quote at the wrong place")
            })?;
            if let Some(Some(slot)) = self.slots.get(fields) {
                found.values[*slot] = Some(Field(&text[..end]));
            }
            fields += 1;
            rest = text.get(end + 1..);
        }
        if fields == self.slots.len() {
            return Ok(true);
        }
        Err(format!(
            "not the fields of 'csv.columns': expected {}, found {fields}",
            self.slots.len()
        ))
    }
}

/// Where the first field of a text ends; none if its quotes don't.
fn field_end(text: &str, delimiter: u8) -> Option<usize> {
    let bytes = text.as_bytes();
    if bytes.first() != Some(&b'"') {
        let end = bytes.iter().position(|&byte| byte == delimiter);
        let end = end.unwrap_or(bytes.len());
        let is_plain = |byte: &u8| !matches!(byte, b'"' | b'\n' | b'\r');
        return bytes[..end].iter().all(is_plain).then_some(end);
    }
    let mut at = 1;
    loop {
        at += bytes.get(at..)?.iter().position(|&byte| byte == b'"')?;
        match bytes.get(at + 1) {
            Some(b'"') => at += 2,
            None => return Some(at + 1),
            Some(&next) if next == delimiter => return Some(at + 1),
            Some(_) => return None,
        }
    }
}

/// A field as it stands in its line, with its quotes.
#[derive(Debug, Clone, Copy)]
struct Field<'a>(&'a str);

impl<'a> Field<'a> {
    fn content(self) -> Cow<'a, str> {
        let quoted = self.0.strip_prefix('"').and_then(|of| of.strip_suffix('"'));
        match quoted {
            None => Cow::Borrowed(self.0),
            Some(content) if content.contains('"') => Cow::Owned(content.replace("\"\"", "\"")),
            Some(content) => Cow::Borrowed(content),
        }
    }
}

impl<'a> Value<'a> for Field<'a> {
    fn is_null(self) -> bool {
        self.0.is_empty()
    }

    fn is_scalar(self) -> bool {
        true
    }

    fn push(self, column: &mut ColumnBuffer, _: Conversion) -> Result<(), Fault> {
        text::push(&self.content(), column)
    }

    fn text(self) -> Result<Cow<'a, str>, Fault> {
        Ok(self.content())
    }

    fn time_ms(self) -> Result<i64, Fault> {
        text::timestamp(&self.content())
    }

    fn shown(self) -> Cow<'a, str> {
        Cow::Borrowed(self.0)
    }
}

/// Writes rows as lines, without their ends.
#[derive(Debug)]
struct CsvRows {
    envelope: written::Envelope,
    columns: Columns,
    key: KeyWriter,
    delimiter: u8,
}

struct Bound<'a> {
    rows: &'a CsvRows,
    cells: Vec<Cells<'a>>,
    key: BoundKey<'a>,
}

impl Encoder for CsvRows {
    fn needs_before(&self) -> bool {
        false
    }

    fn bind<'a>(&'a self, rows: &'a RecordBatch, _: i64) -> Result<Box<dyn Records + 'a>, Error> {
        Ok(Box::new(Bound {
            rows: self,
            cells: self.columns.bind(rows)?,
            key: self.key.bind(rows)?,
        }))
    }
}

impl Records for Bound<'_> {
    fn write_key(&self, row: usize, out: &mut Vec<u8>) {
        self.key.write(row, out);
    }

    fn write_value(&self, change: Change, out: &mut Vec<u8>) -> bool {
        if self.rows.envelope == written::Envelope::Upsert && matches!(change, Change::Delete(_)) {
            return false;
        }
        for (i, cells) in self.cells.iter().enumerate() {
            if i > 0 {
                out.push(self.rows.delimiter);
            }
            let start = out.len();
            if cells.write_plain(change.row(), out) {
                quote(start, self.rows.delimiter, out);
            }
        }
        true
    }
}

/// Puts the text from `start` on into quotes, if it could be read as something else without.
fn quote(start: usize, delimiter: u8, out: &mut Vec<u8>) {
    let text = &out[start..];
    let is_special = |&byte: &u8| byte == delimiter || matches!(byte, b'"' | b'\n' | b'\r');
    if !text.is_empty() && !text.iter().any(is_special) {
        return;
    }
    let text = out.split_off(start);
    out.push(b'"');
    for byte in text {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}
