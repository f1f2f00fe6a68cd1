//! What a sink writes beside key and value: columns as headers of its records, and one as their time.
//!
//! Promises: a header is the text that its column has in JSON, without the quotes, so that a source reads the same value from it; a null is no
//! header. The same in every format.

use arrow_array::RecordBatch;
use tidemill_types::format::{Change, Encoder, Error, Records, SinkSpec};
use tidemill_types::raw::write_header;

use crate::cells::{Cells, Values};
use crate::written::Columns;

/// An encoder whose records have what the sink says beside them.
///
/// # Errors
/// `Invalid` if a column's type has no text.
pub fn beside(
    spec: &SinkSpec<'_>,
    encoder: impl Encoder + 'static,
) -> Result<Box<dyn Encoder>, Error> {
    let Some(metadata) = spec.metadata else {
        return Ok(Box::new(encoder));
    };
    Ok(Box::new(WithMetadata {
        encoder,
        headers: Columns::of(metadata.headers.iter(), "headers")?,
        timestamp: Columns::of(metadata.timestamp.iter(), "timestamp")?,
    }))
}

#[derive(Debug)]
struct WithMetadata<E> {
    encoder: E,
    headers: Columns,
    /// One column, or none.
    timestamp: Columns,
}

/// The columns of a batch, found once.
struct Bound<'a> {
    records: Box<dyn Records + 'a>,
    names: Vec<&'a str>,
    headers: Vec<Cells<'a>>,
    timestamp: Option<Cells<'a>>,
}

impl<E: Encoder> Encoder for WithMetadata<E> {
    fn needs_before(&self) -> bool {
        self.encoder.needs_before()
    }

    fn has_metadata(&self) -> bool {
        true
    }

    fn bind<'a>(
        &'a self,
        rows: &'a RecordBatch,
        clock_ms: i64,
    ) -> Result<Box<dyn Records + 'a>, Error> {
        Ok(Box::new(Bound {
            records: self.encoder.bind(rows, clock_ms)?,
            names: self.headers.names().collect(),
            headers: self.headers.bind(rows)?,
            timestamp: self.timestamp.bind(rows)?.pop(),
        }))
    }
}

impl Records for Bound<'_> {
    fn write_key(&self, row: usize, out: &mut Vec<u8>) {
        self.records.write_key(row, out);
    }

    fn write_value(&self, change: Change, out: &mut Vec<u8>) -> bool {
        self.records.write_value(change, out)
    }

    fn write_headers(&self, row: usize, out: &mut Vec<u8>) {
        for (name, cells) in self.names.iter().zip(&self.headers) {
            write_header(out, name.as_bytes(), |out| cells.write_plain(row, out));
        }
    }

    fn timestamp_ms(&self, row: usize) -> Option<i64> {
        let cells = self.timestamp.as_ref()?;
        match cells.values() {
            Values::Timestamp(values) if !cells.is_null(row) => Some(values.value(row)),
            _ => None,
        }
    }
}
