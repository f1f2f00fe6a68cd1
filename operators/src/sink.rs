//! Sink: an epoch's changes become records: consolidated per key, encoded, handed to the committer.
//!
//! An upsert sink writes per key the row that the epoch leaves, or a tombstone if it leaves none; a key whose row is the same as before
//! the epoch writes nothing. An append sink writes every row as often as it was added. Records are ordered by key, and rows of one key by
//! the order that a resequencer gave them, else by row; what comes straight from a source stays in its order. So the bytes of an epoch do
//! not depend on the number of workers.
//!
//! Where rows may share a key, the sink keeps the rows ([`Sink::keeping_rows`]) and writes the least row of each key, counting those that it
//! does not write. Does not promise anything about rows that share a key in a sink that keeps none, but that they are counted: give it only
//! rows whose key is known to tell them apart.
//!
//! A record that is larger than the other side takes is not written: an upsert sink writes a tombstone in its place, since what stood
//! there is no longer so, and it is a dead letter.

mod kept;

use arrow_schema::SchemaRef;
use tidemill_formats::json::{Encoder, KeyEncoder};
use tidemill_types::row::EncodedRows;
use tidemill_types::{ChangeBatch, DeadLetter, OutputRecords};

use crate::error::Context;
use crate::keyed::{KeyedLayout, RowBuffer};
use crate::{Counter, Error, columns};
use kept::{KeptRows, Net};

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
    kept: Option<KeptRows>,
    conflicts: Counter,
    /// How large a record was lately.
    record_bytes: usize,
}

/// What a sink makes of an epoch.
#[derive(Debug, Default)]
pub struct Written {
    /// Its records.
    pub records: OutputRecords,
    /// Those that are too large to be written, whole.
    pub oversized: Vec<DeadLetter>,
}

/// So much of a key stands in the reason of a dead letter, in bytes.
const KEY_BYTES_TOLD: usize = 100;

/// One change of a row: its place in the epoch, and its diff.
struct Change<'a> {
    key: &'a [u8],
    value: &'a [u8],
    row: u32,
    diff: i64,
}

/// What an epoch leaves of a key: the number of a row that has it.
enum Left {
    Upsert(u32),
    Tombstone(u32),
}

impl Sink {
    /// A sink for rows of `schema`; counts the rows that are not written because another one with their key is.
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
            kept: None,
            conflicts,
            name,
            record_bytes: 0,
        })
    }

    /// Keeps the rows of each key in a table of its own, so that rows may share a key. For upserts.
    #[must_use]
    pub fn keeping_rows(mut self, state: tidemill_state::Table) -> Self {
        self.kept = Some(KeptRows::new(state));
        self
    }

    /// Positions of the key columns; rows are to be routed by them.
    #[must_use]
    pub fn key_columns(&self) -> &[usize] {
        self.layout.key_columns()
    }

    /// One epoch: its records, of which each may have `record_bytes_max` bytes, key and value together.
    ///
    /// # Errors
    /// If rows are not of the sink's schema, or state cannot be read or written.
    pub fn on_epoch(
        &mut self,
        input: &[ChangeBatch],
        record_bytes_max: usize,
    ) -> Result<Written, Error> {
        let mut written = Written::default();
        if input.is_empty() {
            return Ok(written);
        }
        match self.mode {
            Mode::Append(Order::Arrival) => {
                for changes in input {
                    let rows = (0..changes.len()).flat_map(|row| {
                        std::iter::repeat_n(row, usize::try_from(changes.diff(row)).unwrap_or(0))
                    });
                    self.write(
                        changes,
                        rows.map(|row| (row, true)),
                        &mut written,
                        record_bytes_max,
                    )?;
                }
            }
            Mode::Append(order) => {
                let changes = columns::concat(&self.schema, input).of(&self.name)?;
                let rows = self.in_order(&changes, order)?;
                let rows = rows.into_iter().map(|row| (row as usize, true));
                self.write(&changes, rows, &mut written, record_bytes_max)?;
            }
            Mode::Upsert if self.kept.is_some() => {
                let changes = columns::concat(&self.schema, input).of(&self.name)?;
                if let Some(shown) = self.shown(&changes)? {
                    let rows = (0..shown.len()).map(|row| (row, shown.diff(row) > 0));
                    self.write(&shown, rows, &mut written, record_bytes_max)?;
                }
            }
            Mode::Upsert => {
                let changes = columns::concat(&self.schema, input).of(&self.name)?;
                let left = self.consolidate(&changes)?;
                let rows = left.into_iter().map(|left| match left {
                    Left::Upsert(row) => (row as usize, true),
                    Left::Tombstone(row) => (row as usize, false),
                });
                self.write(&changes, rows, &mut written, record_bytes_max)?;
            }
        }
        let records = &written.records;
        if let Some(mean) = records.arena.len().checked_div(records.len()) {
            self.record_bytes = mean;
        }
        Ok(written)
    }

    /// Appends rows as records: with their value, or as tombstones.
    fn write(
        &self,
        changes: &ChangeBatch,
        rows: impl Iterator<Item = (usize, bool)>,
        written: &mut Written,
        record_bytes_max: usize,
    ) -> Result<(), Error> {
        let plan = |error: tidemill_formats::Error| Error::Plan {
            operator: self.name.clone(),
            reason: error.to_string(),
        };
        let values = self.values.bind(&changes.rows).map_err(plan)?;
        let keys = self.keys.as_ref().map(|keys| keys.bind(&changes.rows));
        let keys = keys.transpose().map_err(plan)?;
        let count = rows.size_hint().1.unwrap_or(changes.len());
        written.records.reserve(count, count * self.record_bytes);
        for (row, has_value) in rows {
            let start = written.records.arena.len();
            written.records.push_with(
                |arena| {
                    if let Some(keys) = &keys {
                        keys.write(row, arena);
                    }
                },
                has_value.then_some(|arena: &mut Vec<u8>| values.write(row, arena)),
            );
            if written.records.arena.len() - start > record_bytes_max {
                self.take_back(written, record_bytes_max);
            }
        }
        Ok(())
    }

    /// Makes a dead letter of the last record, which is too large.
    fn take_back(&self, written: &mut Written, record_bytes_max: usize) {
        let Some((key, value)) = written.records.pop() else {
            return;
        };
        let bytes = key.len() + value.as_ref().map_or(0, Vec::len);
        let told = String::from_utf8_lossy(&key[..key.len().min(KEY_BYTES_TOLD)]);
        let reason = format!(
            "the record of key '{told}' has {bytes} bytes and sink '{}' can write {record_bytes_max}: let its topic take more \
             ('max.message.bytes', and the sink's option 'message.max.bytes'), or let the query give less",
            self.name
        );
        if self.mode == Mode::Upsert && key.len() <= record_bytes_max {
            written.records.push(&key, None);
        }
        written.oversized.push(DeadLetter {
            topic: self.name.clone(),
            partition: 0,
            offset: -1,
            reason,
            bytes: value.unwrap_or(key),
        });
    }

    /// Per key the net effect of the epoch, ordered by key.
    fn consolidate(&self, changes: &ChangeBatch) -> Result<Vec<Left>, Error> {
        let keys = self.layout.encode_keys(&changes.rows).of(&self.name)?;
        let values = self.layout.encode_values(&changes.rows).of(&self.name)?;
        let mut all_left = Vec::new();
        for of_key in sorted(changes, &keys, &values).chunk_by(|a, b| a.key == b.key) {
            let mut left = None;
            for of_row in of_key.chunk_by(|a, b| a.value == b.value) {
                let row = of_row[0].row;
                match of_row.iter().map(|change| change.diff).sum::<i64>() {
                    0 => {}
                    diff if diff > 0 => {
                        if matches!(left, Some(Left::Upsert(_))) || diff > 1 {
                            self.conflicts.add(1);
                        }
                        left = match left {
                            Some(least @ Left::Upsert(_)) => Some(least),
                            _ => Some(Left::Upsert(row)),
                        };
                    }
                    _ => left = left.or(Some(Left::Tombstone(row))),
                }
            }
            all_left.extend(left);
        }
        Ok(all_left)
    }

    /// Of each key whose shown row changed the row that is shown now, with diff 1, or the one that is no longer, with -1. Ordered by key.
    fn shown(&mut self, changes: &ChangeBatch) -> Result<Option<ChangeBatch>, Error> {
        let Some(kept) = &mut self.kept else {
            return Ok(None);
        };
        let keys = self.layout.encode_keys(&changes.rows).of(&self.name)?;
        let values = self.layout.encode_values(&changes.rows).of(&self.name)?;
        let sorted = sorted(changes, &keys, &values);
        let nets: Vec<Net<'_>> = sorted
            .chunk_by(|a, b| (a.key, a.value) == (b.key, b.value))
            .map(|of_row| Net {
                key: of_row[0].key,
                value: of_row[0].value,
                diff: of_row.iter().map(|change| change.diff).sum(),
            })
            .filter(|net| net.diff != 0)
            .collect();
        let mut shown = RowBuffer::default();
        let conflicts = kept.apply(&self.name, &nets, |key, before, after| {
            if let Some(value) = after {
                shown.push(key, value, 1);
            } else if let Some(value) = before {
                shown.push(key, value, -1);
            }
        })?;
        self.conflicts.add(conflicts);
        shown.take(&self.layout).of(&self.name)
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

/// The changes of an epoch in order of key and value.
fn sorted<'a>(
    changes: &ChangeBatch,
    keys: &'a EncodedRows,
    values: &'a EncodedRows,
) -> Vec<Change<'a>> {
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
    sorted
}
