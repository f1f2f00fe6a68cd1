//! Rows as Avro, by the schema that is derived from their columns.
//!
//! Promises: the same values give the same bytes, and whoever reads them by that schema gets exactly the value.

use std::ops::Range;

use arrow_array::RecordBatch;
use tidemill_types::format::{Change, Encoder, Error, Records, SinkSpec};
use uuid::Uuid;

use super::{Framing, derived};
use crate::cells::{Cells, NestedCells, Values, part};
use crate::key::{BoundKey, KeyWriter};
use crate::part::Part;
use crate::written::{Columns, Envelope};

/// The numbers of the types in a union with null, as Avro writes them.
const NULL: u8 = 0;
const VALUE: u8 = 2;

/// Writes rows as Avro.
#[derive(Debug)]
pub struct AvroRows {
    envelope: Envelope,
    row: Row,
    key: KeyWriter,
    /// What stands in front of each record: a zero byte and the number of the schema, or nothing.
    frame: Vec<u8>,
}

impl AvroRows {
    /// An encoder for a sink.
    ///
    /// # Errors
    /// `Invalid` if the sink's columns have no schema in Avro, or an option is wrong.
    pub fn new(spec: &SinkSpec<'_>) -> Result<Self, Error> {
        derived::schema(spec)?;
        let nullable = spec.schema.fields().iter();
        Ok(Self {
            envelope: Envelope::named(spec.envelope)?,
            row: Row {
                columns: Columns::new(spec, "avro")?,
                nullable: nullable.map(|field| derived::is_union(field)).collect(),
            },
            key: KeyWriter::new(spec)?,
            frame: Framing::written(Part::Value, spec.options, spec.contract)?,
        })
    }
}

/// Writes some columns as the fields of a record, one behind the other; of one column that is the same as its value alone.
#[derive(Debug)]
pub struct Row {
    columns: Columns,
    /// Per column, whether it may be null.
    nullable: Vec<bool>,
}

impl Row {
    /// The keys of a sink.
    ///
    /// # Errors
    /// As [`AvroRows::new`].
    pub fn of_key(spec: &SinkSpec<'_>) -> Result<Self, Error> {
        derived::key_schema(spec)?;
        let fields = Part::Key.fields(spec)?.into_iter();
        Ok(Self {
            columns: Columns::of_key(spec, "avro")?,
            nullable: fields.map(derived::is_union).collect(),
        })
    }

    /// The columns of a batch, found once.
    ///
    /// # Errors
    /// `Bug` if the rows lack a column, or it has another type, or nulls that it never has.
    pub fn bind<'a>(&'a self, rows: &'a RecordBatch) -> Result<BoundRow<'a>, Error> {
        let cells = self.columns.bind(rows)?;
        for ((cells, nullable), name) in cells.iter().zip(&self.nullable).zip(self.columns.names())
        {
            if !nullable && cells.has_nulls() {
                return Err(Error::Rows {
                    column: name.to_owned(),
                    expected: rows[name].data_type().clone(),
                    found: "null in a column that is never null".to_owned(),
                });
            }
        }
        Ok(BoundRow { row: self, cells })
    }
}

/// The columns of a batch, found once, whose rows are then written in any order.
pub struct BoundRow<'a> {
    row: &'a Row,
    cells: Vec<Cells<'a>>,
}

impl BoundRow<'_> {
    /// Appends a row.
    #[inline]
    pub fn write(&self, row: usize, out: &mut Vec<u8>) {
        for (cells, nullable) in self.cells.iter().zip(&self.row.nullable) {
            if cells.is_null(row) {
                // A column that is nothing but null has no bytes at all.
                out.extend(nullable.then_some(NULL));
                continue;
            }
            out.extend(nullable.then_some(VALUE));
            write_value(cells.values(), row, out);
        }
    }
}

impl Encoder for AvroRows {
    fn needs_before(&self) -> bool {
        self.envelope == Envelope::Debezium
    }

    fn bind<'a>(
        &'a self,
        rows: &'a RecordBatch,
        clock_ms: i64,
    ) -> Result<Box<dyn Records + 'a>, Error> {
        Ok(Box::new(Bound {
            rows: self,
            clock_ms,
            row: self.row.bind(rows)?,
            key: self.key.bind(rows)?,
        }))
    }
}

/// A batch, whose rows are then written in any order.
struct Bound<'a> {
    rows: &'a AvroRows,
    clock_ms: i64,
    row: BoundRow<'a>,
    key: BoundKey<'a>,
}

impl Records for Bound<'_> {
    #[inline]
    fn write_key(&self, row: usize, out: &mut Vec<u8>) {
        self.key.write(row, out);
    }

    #[inline]
    fn write_value(&self, change: Change, out: &mut Vec<u8>) -> bool {
        if let (Envelope::Upsert, Change::Delete(_)) = (self.rows.envelope, change) {
            return false;
        }
        out.extend_from_slice(&self.rows.frame);
        match self.rows.envelope {
            Envelope::Debezium => self.write_change(change, out),
            Envelope::Plain | Envelope::Upsert => self.row.write(change.row(), out),
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
        for row in [before, after] {
            match row {
                Some(row) => {
                    out.push(VALUE);
                    self.row.write(row, out);
                }
                None => out.push(NULL),
            }
        }
        write_bytes(op.as_bytes(), out);
        write_long(self.clock_ms, out);
    }
}

#[inline]
fn write_value(values: &Values<'_>, row: usize, out: &mut Vec<u8>) {
    match values {
        Values::Null => {}
        Values::Boolean(values) => out.push(u8::from(values.value(row))),
        Values::Int8(values) => write_long(i64::from(values.value(row)), out),
        Values::Int16(values) => write_long(i64::from(values.value(row)), out),
        Values::Int32(values) => write_long(i64::from(values.value(row)), out),
        Values::Int64(values) => write_long(values.value(row), out),
        Values::UInt8(values) => write_long(i64::from(values.value(row)), out),
        Values::UInt16(values) => write_long(i64::from(values.value(row)), out),
        Values::UInt32(values) => write_long(i64::from(values.value(row)), out),
        Values::UInt64(values) => write_decimal(i128::from(values.value(row)), out),
        Values::Float32(values) => out.extend_from_slice(&values.value(row).to_le_bytes()),
        Values::Float64(values) => out.extend_from_slice(&values.value(row).to_le_bytes()),
        Values::Decimal(values, _) => write_decimal(values.value(row), out),
        Values::Text(values) => write_bytes(values.value(row).as_bytes(), out),
        Values::LargeText(values) => write_bytes(values.value(row).as_bytes(), out),
        Values::TextView(values) => write_bytes(values.value(row).as_bytes(), out),
        Values::Date(values) => write_long(i64::from(values.value(row)), out),
        Values::Timestamp(values) => write_long(values.value(row), out),
        Values::Uuid(values) => {
            let uuid =
                Uuid::from_slice(values.value(row)).expect("the column's type is 16 bytes wide");
            let mut text = Uuid::encode_buffer();
            write_bytes(uuid.hyphenated().encode_lower(&mut text).as_bytes(), out);
        }
        Values::Bytes(values) => write_bytes(values.value(row), out),
        Values::Nested(values) => write_nested(values, row, out),
    }
}

/// Appends a record, an array or a map, in one block; whatever lies in it may be null.
fn write_nested(values: &NestedCells<'_>, row: usize, out: &mut Vec<u8>) {
    match values {
        NestedCells::Struct(fields, _) => {
            for field in fields {
                write_optional(field, row, out);
            }
        }
        NestedCells::List(elements, offsets) => {
            write_block(part(offsets, row), out, |element, out| {
                write_optional(elements, element, out);
            });
        }
        NestedCells::Map(keys, values, offsets) => {
            write_block(part(offsets, row), out, |entry, out| {
                write_bytes(keys.value(entry).as_bytes(), out);
                write_optional(values, entry, out);
            });
        }
    }
}

fn write_optional(cells: &Cells<'_>, row: usize, out: &mut Vec<u8>) {
    if cells.is_null(row) {
        out.push(NULL);
    } else {
        out.push(VALUE);
        write_value(cells.values(), row, out);
    }
}

/// Appends how many parts there are, the parts, and the end of them.
fn write_block(parts: Range<usize>, out: &mut Vec<u8>, write: impl Fn(usize, &mut Vec<u8>)) {
    if !parts.is_empty() {
        let count = i64::try_from(parts.len());
        write_long(count.expect("an array has fewer parts than 2^31"), out);
        parts.for_each(|part| write(part, out));
    }
    write_long(0, out);
}

/// Appends a number: seven bits a byte, the lowest first, negative and positive numbers in turns.
#[inline]
fn write_long(value: i64, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    loop {
        let [low, ..] = rest.to_le_bytes();
        rest >>= 7;
        if rest == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

#[inline]
fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    write_long(
        i64::try_from(bytes.len()).expect("a value is far smaller than the address space"),
        out,
    );
    out.extend_from_slice(bytes);
}

/// Appends the bytes of a number, big-endian in two's complement, as few as tell it.
fn write_decimal(unscaled: i128, out: &mut Vec<u8>) {
    let bytes = unscaled.to_be_bytes();
    // The sign takes a bit.
    let magnitude = if unscaled < 0 { !unscaled } else { unscaled };
    let needed = (i128::BITS - magnitude.leading_zeros()) / u8::BITS + 1;
    write_bytes(&bytes[bytes.len() - needed as usize..], out);
}
