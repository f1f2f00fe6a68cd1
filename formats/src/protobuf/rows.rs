//! Rows as messages: each column is the field of its name.
//!
//! Promises: the same values give the same bytes as other writers' canonical ones. A column whose values a field might not hold is refused
//! beforehand.

use arrow_array::RecordBatch;
use prost_reflect::MessageDescriptor;
use tidemill_types::format::{Change, Encoder, Error, Records, SinkSpec};

use super::framing::{Confluent, FRAMING, Framing};
use super::pen::{self, Pen};
use super::{contract, schema};
use crate::cells::Cells;
use crate::key::{BoundKey, KeyWriter};
use crate::part::Part;
use crate::written::{self, Columns};

/// Writes rows as messages.
#[derive(Debug)]
pub struct ProtobufRows {
    envelope: written::Envelope,
    message: Message,
    key: KeyWriter,
}

/// Writes some columns as a message.
#[derive(Debug)]
pub struct Message {
    columns: Columns,
    /// The places of the columns, in the order of the fields' numbers, and how they are written.
    pens: Vec<(usize, Pen)>,
    /// What stands in front of each message.
    frame: Vec<u8>,
    /// False for keys, of which those without bytes are none.
    may_be_empty: bool,
}

impl ProtobufRows {
    /// An encoder for a sink.
    ///
    /// # Errors
    /// `Invalid` if an option is wrong, a column has no field or one that does not fit, or a required field has no column.
    pub fn new(spec: &SinkSpec<'_>) -> Result<Self, Error> {
        Ok(Self {
            envelope: written::Envelope::named(spec.envelope)?,
            message: Message::new(Part::Value, spec)?,
            key: KeyWriter::new(spec)?,
        })
    }
}

impl Message {
    /// Of a part of a sink's records.
    ///
    /// # Errors
    /// As [`ProtobufRows::new`].
    pub fn new(part: Part, spec: &SinkSpec<'_>) -> Result<Self, Error> {
        let message = match part.contract(spec) {
            Some(contract) => contract::message(part, contract, spec.options)?,
            None => schema::message(part, spec.options)?,
        };
        let columns = match part {
            Part::Value => Columns::new(spec, "protobuf")?,
            Part::Key => Columns::of_key(spec, "protobuf")?,
        };
        let fields = part.fields(spec)?;
        Ok(Self {
            columns,
            pens: pen::pens(part, &message, &fields, &mut Vec::new())?,
            frame: frame(part, spec, &message)?,
            may_be_empty: part == Part::Value,
        })
    }

    /// The columns of a batch, found once.
    ///
    /// # Errors
    /// `Bug` if the rows lack a column or it has another type.
    pub fn bind<'a>(&'a self, rows: &'a RecordBatch) -> Result<BoundMessage<'a>, Error> {
        Ok(BoundMessage {
            message: self,
            cells: self.columns.bind(rows)?,
        })
    }
}

/// The columns of a batch, found once, whose rows are then written in any order.
pub struct BoundMessage<'a> {
    message: &'a Message,
    cells: Vec<Cells<'a>>,
}

impl BoundMessage<'_> {
    /// Appends a row as a message, with what stands in front of it.
    #[inline]
    pub fn write(&self, row: usize, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.message.frame);
        for (place, pen) in &self.message.pens {
            pen.write(&self.cells[*place], row, out);
        }
        if out.len() == start && !self.message.may_be_empty {
            self.write_a_default(row, out);
        }
    }

    /// Appends the first field that is not null, although it has its default.
    #[cold]
    fn write_a_default(&self, row: usize, out: &mut Vec<u8>) {
        let mut there = self.message.pens.iter();
        let there = there.find(|(place, _)| !self.cells[*place].is_null(row));
        if let Some((place, pen)) = there {
            pen.write_with(true, &self.cells[*place], row, out);
        }
    }
}

/// What stands in front of each message of a sink.
fn frame(part: Part, spec: &SinkSpec<'_>, message: &MessageDescriptor) -> Result<Vec<u8>, Error> {
    let contract = part.contract(spec);
    let usual = match contract {
        Some(_) => Framing::Confluent,
        None => Framing::None,
    };
    let mut frame = Vec::new();
    match (Framing::of(part, spec.options, usual)?, contract) {
        (Framing::None, _) => {}
        (Framing::Confluent, Some(contract)) => {
            Confluent::new(message).write(contract.id, &mut frame);
        }
        (Framing::Confluent, None) => {
            return Err(part.wrong(
                FRAMING,
                "confluent",
                "'none' for a sink without schema.registry.url: a schema's number comes from a registry",
            ));
        }
    }
    Ok(frame)
}

/// A batch, whose rows are then written in any order.
struct Bound<'a> {
    rows: &'a ProtobufRows,
    message: BoundMessage<'a>,
    key: BoundKey<'a>,
}

impl Encoder for ProtobufRows {
    fn needs_before(&self) -> bool {
        false
    }

    fn bind<'a>(&'a self, rows: &'a RecordBatch, _: i64) -> Result<Box<dyn Records + 'a>, Error> {
        Ok(Box::new(Bound {
            rows: self,
            message: self.message.bind(rows)?,
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
        self.message.write(change.row(), out);
        true
    }
}
