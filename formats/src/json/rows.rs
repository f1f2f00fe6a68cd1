//! Rows as JSON: each row one object with all columns, a null as `null`.
//!
//! Promises: the same values give the same bytes; whoever parses the text back gets exactly the value. So decimals are *strings* with exactly
//! the digits of their scale (most JSON readers turn numbers into floating point), times are ISO 8601 in UTC, UUIDs are hyphenated, bytes
//! are base64. What JSON cannot say is `null`: a number that is not finite, a date beyond the calendar.
//!
//! Does not promise that integers survive readers that know floating point only (JavaScript, beyond 2^53). `docs/formats/json.md` has the
//! table of types. Arrow's own JSON writer writes decimals as numbers, UUIDs as hexadecimal and bytes as hexadecimal, and would have to be
//! overridden for most types; the values are written by serde_json, itoa and base64.

use arrow_array::RecordBatch;
use tidemill_types::format::{Change, Encoder, Error, Records, SinkSpec};

use crate::cells::{self, Cells};
use crate::key::{BoundKey, KeyWriter};
use crate::written::{Columns, Envelope};

/// Writes rows as JSON.
#[derive(Debug)]
pub struct JsonRows {
    envelope: Envelope,
    prefixes: Vec<Vec<u8>>,
    columns: Columns,
    key: KeyWriter,
}

impl JsonRows {
    /// An encoder for a sink.
    ///
    /// # Errors
    /// `Invalid` if a column's type has no form in JSON, or there is no such envelope.
    pub fn new(spec: &SinkSpec<'_>) -> Result<Self, Error> {
        let columns = Columns::new(spec, "json")?;
        Ok(Self {
            envelope: Envelope::named(spec.envelope)?,
            prefixes: prefixes(columns.names()),
            columns,
            key: KeyWriter::new(spec)?,
        })
    }
}

/// What stands before each value within an object: a comma unless it is the first, and the name.
pub fn prefixes<'a>(names: impl Iterator<Item = &'a str>) -> Vec<Vec<u8>> {
    let prefix = |(i, name): (usize, &str)| {
        let mut prefix = if i == 0 { Vec::new() } else { vec![b','] };
        cells::write_text(name, &mut prefix);
        prefix.push(b':');
        prefix
    };
    names.enumerate().map(prefix).collect()
}

/// Appends a row as an object.
#[inline]
pub fn write_object(prefixes: &[Vec<u8>], cells: &[Cells<'_>], row: usize, out: &mut Vec<u8>) {
    out.push(b'{');
    for (prefix, cells) in prefixes.iter().zip(cells) {
        out.extend_from_slice(prefix);
        cells.write(row, out);
    }
    out.push(b'}');
}

impl Encoder for JsonRows {
    fn needs_before(&self) -> bool {
        self.envelope == Envelope::Debezium
    }

    fn bind<'a>(
        &'a self,
        rows: &'a RecordBatch,
        clock_ms: i64,
    ) -> Result<Box<dyn Records + 'a>, Error> {
        Ok(Box::new(Bound {
            envelope: self.envelope,
            clock_ms,
            prefixes: &self.prefixes,
            cells: self.columns.bind(rows)?,
            key: self.key.bind(rows)?,
        }))
    }
}

/// The columns of a batch, found once, whose rows are then written in any order.
struct Bound<'a> {
    envelope: Envelope,
    clock_ms: i64,
    prefixes: &'a [Vec<u8>],
    cells: Vec<Cells<'a>>,
    key: BoundKey<'a>,
}

impl Records for Bound<'_> {
    #[inline]
    fn write_key(&self, row: usize, out: &mut Vec<u8>) {
        self.key.write(row, out);
    }

    #[inline]
    fn write_value(&self, change: Change, out: &mut Vec<u8>) -> bool {
        match (self.envelope, change) {
            (Envelope::Debezium, _) => self.write_change(change, out),
            (Envelope::Upsert, Change::Delete(_)) => return false,
            _ => write_object(self.prefixes, &self.cells, change.row(), out),
        }
        true
    }
}

impl Bound<'_> {
    /// The row as it was and as it is, and the clock of the epoch that changed it.
    fn write_change(&self, change: Change, out: &mut Vec<u8>) {
        let (op, before, after) = match change {
            Change::Insert(row) => ("c", None, Some(row)),
            Change::Update { before, after } => ("u", Some(before), Some(after)),
            Change::Delete(row) => ("d", Some(row), None),
        };
        for (name, row) in [("{\"before\":", before), (",\"after\":", after)] {
            out.extend_from_slice(name.as_bytes());
            match row {
                Some(row) => write_object(self.prefixes, &self.cells, row, out),
                None => out.extend_from_slice(b"null"),
            }
        }
        out.extend_from_slice(b",\"op\":\"");
        out.extend_from_slice(op.as_bytes());
        out.extend_from_slice(b"\",\"ts_ms\":");
        out.extend_from_slice(itoa::Buffer::new().format(self.clock_ms).as_bytes());
        out.push(b'}');
    }
}
