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
use crate::written::{self, Columns};

/// Writes rows as messages.
#[derive(Debug)]
pub struct ProtobufRows {
    envelope: written::Envelope,
    columns: Columns,
    /// The places of the columns, in the order of the fields' numbers, and how they are written.
    pens: Vec<(usize, Pen)>,
    key: KeyWriter,
    /// What stands in front of each message.
    frame: Vec<u8>,
}

impl ProtobufRows {
    /// An encoder for a sink.
    ///
    /// # Errors
    /// `Invalid` if an option is wrong, a column has no field or one that does not fit, or a required field has no column.
    pub fn new(spec: &SinkSpec<'_>) -> Result<Self, Error> {
        let message = match spec.contract {
            Some(contract) => contract::message(contract, spec.options)?,
            None => schema::message(spec.options)?,
        };
        Ok(Self {
            envelope: written::Envelope::named(spec.envelope)?,
            columns: Columns::new(spec, "protobuf")?,
            pens: pen::pens(&message, spec.schema.fields(), &mut Vec::new())?,
            key: KeyWriter::new(spec)?,
            frame: frame(spec, &message)?,
        })
    }
}

/// What stands in front of each message of a sink.
fn frame(spec: &SinkSpec<'_>, message: &MessageDescriptor) -> Result<Vec<u8>, Error> {
    let usual = match spec.contract {
        Some(_) => Framing::Confluent,
        None => Framing::None,
    };
    let mut frame = Vec::new();
    match (Framing::of(spec.options, usual)?, spec.contract) {
        (Framing::None, _) => {}
        (Framing::Confluent, Some(contract)) => {
            Confluent::new(message).write(contract.id, &mut frame);
        }
        (Framing::Confluent, None) => {
            return Err(Error::OptionValue {
                option: FRAMING.to_owned(),
                value: "confluent".to_owned(),
                expected: "'none' for a sink without schema.registry.url: a schema's number comes from a registry"
                    .to_owned(),
            });
        }
    }
    Ok(frame)
}

/// The columns of a batch, found once, whose rows are then written in any order.
struct Bound<'a> {
    rows: &'a ProtobufRows,
    cells: Vec<Cells<'a>>,
    key: BoundKey<'a>,
}

impl Encoder for ProtobufRows {
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
        out.extend_from_slice(&self.rows.frame);
        for (place, pen) in &self.rows.pens {
            pen.write(&self.cells[*place], change.row(), out);
        }
        true
    }
}
