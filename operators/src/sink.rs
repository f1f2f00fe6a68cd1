//! Sink: an epoch's changes become records: consolidated per key, encoded, handed to the committer.
//!
//! An upsert sink writes per key the row that the epoch leaves, or a tombstone if it leaves none; a key whose row is the same as before
//! the epoch writes nothing. An append sink writes every row as often as it was added. Records are ordered by key, and rows of one key by
//! the order that a resequencer gave them, else by row: the bytes of an epoch do not depend on the number of workers.
//!
//! Does not promise anything about two rows with one key in a view: the greater row is written, and it is counted.

use arrow_array::UInt32Array;
use arrow_schema::SchemaRef;
use arrow_select::take::take_record_batch;
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
    pub upsert: bool,
    /// The rows of one key come in an order that is theirs (from a resequencer by the same key) and is kept by an append.
    pub ordered: bool,
}

/// The logic of one worker's part of a sink.
pub struct Sink {
    name: String,
    upsert: bool,
    ordered: bool,
    schema: SchemaRef,
    layout: KeyedLayout,
    values: Encoder,
    keys: Option<KeyEncoder>,
    conflicts: Counter,
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
        let Settings {
            name,
            key,
            upsert,
            ordered,
        } = settings;
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
            upsert,
            ordered,
            schema: schema.clone(),
            layout,
            values,
            keys,
            conflicts,
            name,
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
        let changes = columns::concat(&self.schema, input).of(&self.name)?;
        let nets = if self.upsert {
            self.consolidate(&changes)?
        } else {
            self.in_order(&changes)?
        };
        let rows: UInt32Array = nets
            .iter()
            .map(|net| match net {
                Net::Upsert(row) | Net::Tombstone(row) => *row,
            })
            .collect();
        let rows = take_record_batch(&changes.rows, &rows).of(&self.name)?;
        let plan = |error: tidemill_formats::Error| Error::Plan {
            operator: self.name.clone(),
            reason: error.to_string(),
        };
        let (mut values, mut value_bounds) = (Vec::new(), Vec::new());
        self.values
            .encode(&rows, &mut values, &mut value_bounds)
            .map_err(plan)?;
        let (mut keys, mut key_bounds) = (Vec::new(), Vec::new());
        if let Some(encoder) = &mut self.keys {
            encoder
                .encode(&rows, &mut keys, &mut key_bounds)
                .map_err(plan)?;
        }
        for (i, net) in nets.iter().enumerate() {
            let key = if key_bounds.is_empty() {
                &[][..]
            } else {
                &keys[key_bounds[i] as usize..key_bounds[i + 1] as usize]
            };
            let value = &values[value_bounds[i] as usize..value_bounds[i + 1] as usize];
            records.push(key, matches!(net, Net::Upsert(_)).then_some(value));
        }
        Ok(records)
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
    fn in_order(&self, changes: &ChangeBatch) -> Result<Vec<Net>, Error> {
        let keys = self.layout.encode_keys(&changes.rows).of(&self.name)?;
        let values = self.layout.encode_values(&changes.rows).of(&self.name)?;
        let value = |row: usize| {
            if self.ordered && self.keys.is_some() {
                &[][..]
            } else {
                values.bytes(row)
            }
        };
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
            .map(Net::Upsert)
            .collect())
    }
}
