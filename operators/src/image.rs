//! Image: the durable contents of an append-only stream, in front of a join or a reduction that keeps nothing durable itself.
//!
//! Passes its input through and remembers how often each row came; at a restore it emits them all. State: encoded row → count (i64).
//! Does not promise to forget: a stream that joins without bound needs a table, or a window, in between.

use arrow_schema::SchemaRef;
use hashbrown::HashMap;
use tidemill_types::{ChangeBatch, key_group};

use crate::error::Context;
use crate::keyed::{BATCH_ROWS, KeyedLayout, RowBuffer};
use crate::{EpochOperator, Error, Output, Tick, columns};

/// The state and logic of one worker's part of an image.
pub struct Image {
    name: String,
    layout: KeyedLayout,
    state: tidemill_state::Table,
}

impl Image {
    /// An image of rows of `schema`.
    ///
    /// # Errors
    /// If a type has no encoding.
    pub fn new(
        name: &str,
        schema: &SchemaRef,
        state: tidemill_state::Table,
    ) -> Result<Self, Error> {
        let all: Vec<String> = schema
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .collect();
        Ok(Self {
            name: name.to_owned(),
            layout: KeyedLayout::new(schema, &all).of(name)?,
            state,
        })
    }

    fn remember(&mut self, input: &[ChangeBatch]) -> Result<(), Error> {
        let name = &self.name;
        let changes = columns::concat(self.layout.schema(), input).of(name)?;
        let rows = self.layout.encode_keys(&changes.rows).of(name)?;
        let mut counts: HashMap<&[u8], i64> = HashMap::with_capacity(changes.len());
        for row in 0..changes.len() {
            *counts.entry(rows.bytes(row)).or_default() += changes.diff(row);
        }
        let mut counts: Vec<(&[u8], i64)> = counts.into_iter().collect();
        counts.sort_unstable();
        let lookups: Vec<(u16, &[u8])> = counts
            .iter()
            .map(|&(row, _)| (key_group(row), row))
            .collect();
        self.state
            .get_many(&lookups, |i, entry| {
                counts[i].1 += entry
                    .and_then(|bytes| bytes.first_chunk())
                    .map_or(0, |bytes| i64::from_be_bytes(*bytes));
            })
            .of(name)?;
        for (&(group, row), &(_, count)) in lookups.iter().zip(&counts) {
            if count == 0 {
                self.state.delete(group, row).of(name)?;
            } else {
                self.state.put(group, row, &count.to_be_bytes()).of(name)?;
            }
        }
        Ok(())
    }

    fn emit(&mut self, output: &mut Vec<ChangeBatch>) -> Result<(), Error> {
        let (layout, name) = (&self.layout, &self.name);
        let mut buffer = RowBuffer::default();
        let mut result = Ok(());
        self.state
            .scan(|_, row, entry| -> Result<(), tidemill_state::Error> {
                match entry.first_chunk() {
                    Some(count) => buffer.push(row, &[], i64::from_be_bytes(*count)),
                    None => {
                        result = Err(Error::Entry {
                            operator: name.clone(),
                        })
                    }
                }
                if buffer.len() == BATCH_ROWS {
                    match buffer.take(layout).of(name) {
                        Ok(batch) => output.extend(batch),
                        Err(error) => result = Err(error),
                    }
                }
                Ok(())
            })
            .of(name)?;
        output.extend(buffer.take(layout).of(name)?);
        result
    }
}

impl EpochOperator for Image {
    /// The input as it came, or the whole image.
    fn on_epoch(
        &mut self,
        tick: &Tick,
        input: &[ChangeBatch],
        output: &mut Output,
    ) -> Result<(), Error> {
        if tick.restored {
            return self.emit(&mut output.rows);
        }
        if !input.is_empty() {
            self.remember(input)?;
            output.rows.extend_from_slice(input);
        }
        Ok(())
    }
}
