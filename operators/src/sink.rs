//! Sink: an epoch's changes become records: consolidated per key, encoded, handed to the committer.
//!
//! An upsert sink writes per key the row that the epoch leaves, or a tombstone if it leaves none; a key whose row is the same as before
//! the epoch writes nothing. An append sink writes every row as often as it was added. Records are ordered by key, and rows of one key by
//! the order that a resequencer gave them, else by row; what comes straight from a source stays in its order. So the bytes of an epoch do
//! not depend on the number of workers.
//!
//! Does not promise anything about two rows with one key in a view: the greater row is written, and it is counted.

use arrow_schema::SchemaRef;
use tidemill_formats::json::{Encoder, KeyEncoder};
use tidemill_types::{ChangeBatch, OutputRecords};

use crate::error::Context;
use crate::keyed::KeyedLayout;
use crate::{Counter, Error, columns};

/// Settings of a sink.
#[derive(Debug)]
pub struct Settings {
    /// Name of the sink, in errors.
    pub name: String,
    /// Key columns.
    pub key: Vec<String>,
    /// Upserts with tombstones, or appends.
    pub mode: Mode,
}

/// What a sink does with rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Per key the row that is left, or a tombstone.
    Upsert,
    /// Every row.
    Append(Order),
}

/// The order of appended rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// By key, then by row.
    Rows,
    /// By key; those of one key come in an order that is theirs (from a resequencer by the same key).
    Keys,
    /// As they come.
    Arrival,
}

/// The logic of one worker's part of a sink.
pub struct Sink {
    name: String,
    mode: Mode,
    schema: SchemaRef,
    layout: KeyedLayout,
    values: Encoder,
    keys: Option<KeyEncoder>,
    conflicts: Counter,
    /// How large a record was lately.
    record_bytes: usize,
}

/// One change of a row: its place in the epoch, and its diff.
struct Change<'a> {
    key: &'a [u8],
    value: &'a [u8],
    row: u32,
    diff: i64,
}

/// What an epoch leaves of a key.
enum Net {
    Upsert(u32),
    Tombstone(u32),
}

impl Sink {
    /// A sink for rows of `schema`.
    ///
    /// # Errors
    /// If a key column is missing, or a type cannot be encoded.
    pub fn new(settings: Settings, schema: &SchemaRef, conflicts: Counter) -> Result<Self, Error> {
        let Settings { name, key, mode } = settings;
        let layout = KeyedLayout::new(schema, &key).of(&name)?;
        let plan = |error: tidemill_formats::Error| Error::Plan {
            operator: name.clone(),
            reason: error.to_string(),
        };
        let key_types: Vec<_> = layout
            .key_columns()
            .iter()
            .map(|&i| {
                (
                    schema.field(i).name().as_str(),
                    schema.field(i).data_type().clone(),
                )
            })
            .collect();
        let keys = if key.is_empty() {
            None
        } else {
            Some(KeyEncoder::new(&key_types).map_err(plan)?)
        };
        let values = Encoder::new(schema).map_err(plan)?;
        Ok(Self {
            mode,
            schema: schema.clone(),
            layout,
            values,
            keys,
            conflicts,
            name,
            record_bytes: 0,
        })
    }

    /// Positions of the key columns; rows are to be routed by them.
    #[must_use]
    pub fn key_columns(&self) -> &[usize] {
        self.layout.key_columns()
    }

    /// One epoch: its records.
    ///
    /// # Errors
    /// If rows are not of the sink's schema.
    pub fn on_epoch(&mut self, input: &[ChangeBatch]) -> Result<OutputRecords, Error> {
        let mut records = OutputRecords::default();
        if input.is_empty() {
            return Ok(records);
        }
        match self.mode {
            Mode::Append(Order::Arrival) => {
                for changes in input {
                    let rows = (0..changes.len()).flat_map(|row| {
                        std::iter::repeat_n(row, usize::try_from(changes.diff(row)).unwrap_or(0))
                    });
                    self.write(changes, rows.map(|row| (row, true)), &mut records)?;
                }
            }
            Mode::Append(order) => {
                let changes = columns::concat(&self.schema, input).of(&self.name)?;
                let rows = self.in_order(&changes, order)?;
                let rows = rows.into_iter().map(|row| (row as usize, true));
                self.write(&changes, rows, &mut records)?;
            }
            Mode::Upsert => {
                let changes = columns::concat(&self.schema, input).of(&self.name)?;
                let nets = self.consolidate(&changes)?;
                let rows = nets.into_iter().map(|net| match net {
                    Net::Upsert(row) => (row as usize, true),
                    Net::Tombstone(row) => (row as usize, false),
                });
                self.write(&changes, rows, &mut records)?;
            }
        }
        if let Some(mean) = records.arena.len().checked_div(records.len()) {
            self.record_bytes = mean;
        }
        Ok(records)
    }

    /// Appends rows as records: with their value, or as tombstones.
    fn write(
        &self,
        changes: &ChangeBatch,
        rows: impl Iterator<Item = (usize, bool)>,
        records: &mut OutputRecords,
    ) -> Result<(), Error> {
        let plan = |error: tidemill_formats::Error| Error::Plan {
            operator: self.name.clone(),
            reason: error.to_string(),
        };
        let values = self.values.bind(&changes.rows).map_err(plan)?;
        let keys = self.keys.as_ref().map(|keys| keys.bind(&changes.rows));
        let keys = keys.transpose().map_err(plan)?;
        let count = rows.size_hint().1.unwrap_or(changes.len());
        records.reserve(count, count * self.record_bytes);
        for (row, has_value) in rows {
            records.push_with(
                |arena| {
                    if let Some(keys) = &keys {
                        keys.write(row, arena);
                    }
                },
                has_value.then_some(|arena: &mut Vec<u8>| values.write(row, arena)),
            );
        }
        Ok(())
    }

    /// Per key the net effect of the epoch, ordered by key.
    fn consolidate(&self, changes: &ChangeBatch) -> Result<Vec<Net>, Error> {
        let keys = self.layout.encode_keys(&changes.rows).of(&self.name)?;
        let values = self.layout.encode_values(&changes.rows).of(&self.name)?;
        let mut sorted: Vec<Change<'_>> = (0u32..)
            .zip(0..changes.len())
            .map(|(row, i)| Change {
                key: keys.bytes(i),
                value: values.bytes(i),
                row,
                diff: changes.diff(i),
            })
            .collect();
        sorted.sort_unstable_by(|a, b| (a.key, a.value).cmp(&(b.key, b.value)));
        let mut nets = Vec::new();
        for of_key in sorted.chunk_by(|a, b| a.key == b.key) {
            let mut net = None;
            for of_row in of_key.chunk_by(|a, b| a.value == b.value) {
                match of_row.iter().map(|change| change.diff).sum::<i64>() {
                    0 => {}
                    diff if diff > 0 => {
                        if matches!(net, Some(Net::Upsert(_))) || diff > 1 {
                            self.conflicts.add(1);
                        }
                        net = Some(Net::Upsert(of_row[0].row));
                    }
                    _ => net = net.or(Some(Net::Tombstone(of_row[0].row))),
                }
            }
            nets.extend(net);
        }
        Ok(nets)
    }

    /// Every row, as often as it was added, by key; rows of one key in their own order if they have one, else by row. Without a key, by row.
    fn in_order(&self, changes: &ChangeBatch, order: Order) -> Result<Vec<u32>, Error> {
        let keys = self.layout.encode_keys(&changes.rows).of(&self.name)?;
        let values = if order == Order::Keys && self.keys.is_some() {
            None
        } else {
            Some(self.layout.encode_values(&changes.rows).of(&self.name)?)
        };
        let value = |row: usize| values.as_ref().map_or(&[][..], |values| values.bytes(row));
        let mut sorted: Vec<(&[u8], &[u8], u32)> = (0u32..)
            .zip(0..changes.len())
            .map(|(row, i)| (keys.bytes(i), value(i), row))
            .collect();
        // Stable: rows of one key that are ordered came in that order.
        sorted.sort_by_key(|&(key, value, _)| (key, value));
        let times = |row: u32| usize::try_from(changes.diff(row as usize)).unwrap_or_default();
        Ok(sorted
            .into_iter()
            .flat_map(|(_, _, row)| std::iter::repeat_n(row, times(row)))
            .collect())
    }
}
