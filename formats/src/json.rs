//! Rows as JSON (`format = 'json'`): each row one object with all columns, a null as `null`, and keys as bare values or objects.
//!
//! Promises: the same values give the same bytes; whoever parses the text back gets exactly the value. So decimals are *strings* with exactly
//! the digits of their scale (most JSON readers turn numbers into floating point), times are ISO 8601 in UTC, UUIDs are hyphenated, bytes
//! are base64. What JSON cannot say is `null`: a number that is not finite, a date beyond the calendar.
//!
//! Does not promise that integers survive readers that know floating point only (JavaScript, beyond 2^53). `docs/formats/json.md` has the
//! table of types. Arrow's own JSON writer writes decimals as numbers, UUIDs as hexadecimal and bytes as hexadecimal, and would have to be
//! overridden for most types; the values are written by serde_json, itoa and base64.

mod cells;

#[cfg(test)]
mod tests;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Schema};

use crate::Error;
use cells::Cells;

/// Encodes rows as JSON objects.
#[derive(Debug)]
pub struct Encoder {
    columns: Vec<Column>,
}

/// A column to be written.
#[derive(Debug)]
struct Column {
    name: String,
    data_type: DataType,
    /// What stands before the value within an object: a comma unless it is the first, and the name.
    prefix: Vec<u8>,
}

impl Encoder {
    /// An encoder for rows with these columns.
    ///
    /// # Errors
    /// `Invalid` if a column's type has no form in JSON.
    pub fn new(schema: &Schema) -> Result<Self, Error> {
        let columns = schema
            .fields()
            .iter()
            .map(|field| (field.name().as_str(), field.data_type()));
        Ok(Self {
            columns: columns_of(columns)?,
        })
    }

    /// Appends each row as one object. Row `i` is then `out[bounds[i]..bounds[i + 1]]`; empty bounds first get the end of `out`.
    ///
    /// Columns are found by name, in any order; others that the rows may have are not written.
    ///
    /// # Errors
    /// `Bug` if the rows lack a column or it has another type.
    ///
    /// # Panics
    /// If `out` would pass 4 GiB; the engine bounds an epoch's output far below.
    pub fn encode(
        &mut self,
        rows: &RecordBatch,
        out: &mut Vec<u8>,
        bounds: &mut Vec<u32>,
    ) -> Result<(), Error> {
        self.bind(rows)?.write_all(rows.num_rows(), out, bounds);
        Ok(())
    }

    /// The rows, to be written one by one as objects.
    ///
    /// # Errors
    /// As [`Encoder::encode`].
    pub fn bind<'a>(&'a self, rows: &'a RecordBatch) -> Result<BoundRows<'a>, Error> {
        BoundRows::new(&self.columns, rows, false)
    }
}

/// The columns of a batch, found once, whose rows are then written in any order.
pub struct BoundRows<'a> {
    columns: &'a [Column],
    cells: Vec<Cells<'a>>,
    /// One column, as its bare value.
    is_bare: bool,
}

impl<'a> BoundRows<'a> {
    fn new(columns: &'a [Column], rows: &'a RecordBatch, is_bare: bool) -> Result<Self, Error> {
        Ok(Self {
            columns,
            cells: bind(columns, rows)?,
            is_bare,
        })
    }

    /// Appends a row.
    #[inline]
    pub fn write(&self, row: usize, out: &mut Vec<u8>) {
        if self.is_bare {
            self.cells[0].write(row, out);
        } else {
            write_object(self.columns, &self.cells, row, out);
        }
    }

    fn write_all(&self, rows: usize, out: &mut Vec<u8>, bounds: &mut Vec<u32>) {
        if bounds.is_empty() {
            bounds.push(end(out));
        }
        for row in 0..rows {
            self.write(row, out);
            bounds.push(end(out));
        }
    }
}

/// Encodes the key columns of rows: one column as the bare JSON value (`42`, `"US"`, `null`), several as an object.
#[derive(Debug)]
pub struct KeyEncoder {
    columns: Vec<Column>,
}

impl KeyEncoder {
    /// An encoder for keys of these columns, in this order.
    ///
    /// # Errors
    /// `Invalid` if there is no column or a column's type has no form in JSON.
    pub fn new(columns: &[(&str, DataType)]) -> Result<Self, Error> {
        if columns.is_empty() {
            return Err(Error::EmptyKey);
        }
        Ok(Self {
            columns: columns_of(columns.iter().map(|(name, data_type)| (*name, data_type)))?,
        })
    }

    /// Appends the key of each row; as [`Encoder::encode`].
    ///
    /// # Errors
    /// As [`Encoder::encode`].
    ///
    /// # Panics
    /// As [`Encoder::encode`].
    pub fn encode(
        &mut self,
        rows: &RecordBatch,
        out: &mut Vec<u8>,
        bounds: &mut Vec<u32>,
    ) -> Result<(), Error> {
        self.bind(rows)?.write_all(rows.num_rows(), out, bounds);
        Ok(())
    }

    /// The rows, to be written one by one as keys.
    ///
    /// # Errors
    /// As [`Encoder::encode`].
    pub fn bind<'a>(&'a self, rows: &'a RecordBatch) -> Result<BoundRows<'a>, Error> {
        BoundRows::new(&self.columns, rows, self.columns.len() == 1)
    }
}

fn columns_of<'a>(
    columns: impl Iterator<Item = (&'a str, &'a DataType)>,
) -> Result<Vec<Column>, Error> {
    let column = |(i, (name, data_type)): (usize, (&str, &DataType))| {
        if !cells::is_supported(data_type) {
            return Err(Error::UnsupportedType {
                column: name.to_owned(),
                data_type: data_type.clone(),
                format: "json",
                supported: cells::SUPPORTED,
            });
        }
        let mut prefix = if i == 0 { Vec::new() } else { vec![b','] };
        cells::write_text(name, &mut prefix);
        prefix.push(b':');
        Ok(Column {
            name: name.to_owned(),
            data_type: data_type.clone(),
            prefix,
        })
    };
    columns.enumerate().map(column).collect()
}

/// Finds the columns in the rows.
fn bind<'a>(columns: &[Column], rows: &'a RecordBatch) -> Result<Vec<Cells<'a>>, Error> {
    let cells = columns.iter().map(|column| {
        let array = rows.column_by_name(&column.name);
        array
            .filter(|array| *array.data_type() == column.data_type)
            .and_then(|array| Cells::of(array.as_ref()))
            .ok_or_else(|| Error::Rows {
                column: column.name.clone(),
                expected: column.data_type.clone(),
                found: array
                    .map_or_else(|| "missing".into(), |array| array.data_type().to_string()),
            })
    });
    cells.collect()
}

#[inline]
fn write_object(columns: &[Column], cells: &[Cells<'_>], row: usize, out: &mut Vec<u8>) {
    out.push(b'{');
    for (column, cells) in columns.iter().zip(cells) {
        out.extend_from_slice(&column.prefix);
        cells.write(row, out);
    }
    out.push(b'}');
}

fn end(out: &[u8]) -> u32 {
    u32::try_from(out.len()).expect("an epoch's output to one sink is bounded far below 4 GiB")
}
