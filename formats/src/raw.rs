//! Raw text (`format = 'raw'`): a record is the text of one value, of the one column that is no metadata.

use std::borrow::Cow;

use arrow_array::RecordBatch;
use tidemill_types::RawRecords;
use tidemill_types::format::{
    Change, Decoder, Encoder, Envelope, Error, Format, KEY_FORMAT, Records, SinkSpec, SourceSpec,
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

static OPTIONS: [&str; 1] = [KEY_FORMAT];
static ENVELOPES: [&Envelope; 2] = [&PLAIN, &UPSERT];

/// The format `raw`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Raw;

impl Format for Raw {
    fn name(&self) -> &'static str {
        "raw"
    }

    fn read_envelopes(&self) -> &'static [&'static Envelope] {
        &ENVELOPES
    }

    fn written_envelopes(&self) -> &'static [&'static Envelope] {
        &ENVELOPES
    }

    fn source_options(&self) -> &'static [&'static str] {
        &OPTIONS
    }

    fn sink_options(&self) -> &'static [&'static str] {
        &OPTIONS
    }

    fn decoder(&self, spec: &SourceSpec<'_>) -> Result<Box<dyn Decoder>, Error> {
        let decoder = decoder::Decoder::new(spec, self, |wanted, _| RawReader::new(wanted));
        Ok(Box::new(decoder?))
    }

    fn encoder(&self, spec: &SinkSpec<'_>) -> Result<Box<dyn Encoder>, Error> {
        let is_value = |name: &&String| !spec.key.contains(name);
        let fields = spec.schema.fields().iter();
        let names: Vec<_> = fields.map(|field| field.name()).filter(is_value).collect();
        let [only] = names.as_slice() else {
            return Err(Error::OneColumn {
                columns: names.len(),
            });
        };
        let rows = RawRows {
            envelope: written::Envelope::named(spec.envelope)?,
            column: Columns::one(spec, only, self.name())?.flat(self.name())?,
            key: KeyWriter::new(spec)?,
        };
        metadata::beside(spec, rows)
    }
}

/// Takes whole records.
#[derive(Debug)]
struct RawReader {
    /// The slot of the value; none if it is not read.
    slot: Option<usize>,
}

impl RawReader {
    fn new(wanted: &Wanted) -> Result<Self, Error> {
        match wanted.values().len() {
            columns @ 2.. => Err(Error::OneColumn { columns }),
            one_or_none => Ok(Self {
                slot: one_or_none.checked_sub(1),
            }),
        }
    }
}

impl Encoding for RawReader {
    const IS_NESTED: bool = false;

    type Value<'a> = Text<'a>;
    type Schema = ();

    fn schema(&mut self, _: &RawRecords) {}

    fn read<'a>(
        &mut self,
        (): &'a (),
        bytes: &'a [u8],
        found: &mut Found<Text<'a>>,
    ) -> Result<bool, String> {
        let text =
            std::str::from_utf8(bytes).map_err(|error| reason::not_utf8(error.valid_up_to()))?;
        if let Some(slot) = self.slot {
            found.values[slot] = Some(Text(text));
        }
        Ok(true)
    }
}

/// The text of a record.
#[derive(Debug, Clone, Copy)]
struct Text<'a>(&'a str);

impl<'a> Value<'a> for Text<'a> {
    fn is_null(self) -> bool {
        false
    }

    fn is_scalar(self) -> bool {
        true
    }

    fn push(self, column: &mut ColumnBuffer, _: Conversion) -> Result<(), Fault> {
        text::push(self.0, column)
    }

    fn text(self) -> Result<Cow<'a, str>, Fault> {
        Ok(Cow::Borrowed(self.0))
    }

    fn time_ms(self) -> Result<i64, Fault> {
        text::timestamp(self.0)
    }

    fn shown(self) -> Cow<'a, str> {
        Cow::Borrowed(self.0)
    }
}

/// Writes the one column of rows.
#[derive(Debug)]
struct RawRows {
    envelope: written::Envelope,
    column: Columns,
    key: KeyWriter,
}

struct Bound<'a> {
    envelope: written::Envelope,
    cells: Vec<Cells<'a>>,
    key: BoundKey<'a>,
}

impl Encoder for RawRows {
    fn needs_before(&self) -> bool {
        false
    }

    fn bind<'a>(&'a self, rows: &'a RecordBatch, _: i64) -> Result<Box<dyn Records + 'a>, Error> {
        Ok(Box::new(Bound {
            envelope: self.envelope,
            cells: self.column.bind(rows)?,
            key: self.key.bind(rows)?,
        }))
    }
}

impl Records for Bound<'_> {
    fn write_key(&self, row: usize, out: &mut Vec<u8>) {
        self.key.write(row, out);
    }

    fn write_value(&self, change: Change, out: &mut Vec<u8>) -> bool {
        if self.envelope == written::Envelope::Upsert && matches!(change, Change::Delete(_)) {
            return false;
        }
        for cells in &self.cells {
            cells.write_plain(change.row(), out);
        }
        true
    }
}
