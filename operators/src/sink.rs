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
//! A record that is larger than the other side takes, or of a time that no record can have, is not written: an upsert sink writes a
//! tombstone in its place, since what stood there is no longer so, and it is a dead letter.

mod kept;

use arrow_schema::SchemaRef;
use tidemill_types::dead_letter::Stage;
use tidemill_types::format::{self, Change, Encoder};
use tidemill_types::row::EncodedRows;
use tidemill_types::{ChangeBatch, DeadLetter, OutputRecords};

use crate::error::Context;
use crate::keyed::{KeyedLayout, RowBuffer};
use crate::{Counter, Error, columns};
use kept::{KeptRows, Net};

/// Settings of a sink.
pub struct Settings {
    /// Name of the sink, in errors.
    pub name: String,
    /// Key columns.
    pub key: Vec<String>,
    /// Upserts with tombstones, or appends.
    pub mode: Mode,
    /// Rows to records, with these columns as key.
    pub encoder: Box<dyn Encoder>,
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
    encoder: Box<dyn Encoder>,
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
    /// Those that cannot be written, whole.
    pub refused: Vec<DeadLetter>,
}

/// Why a record cannot be written.
#[derive(Debug, Clone, Copy)]
enum Refusal {
    /// It is larger than the other side takes.
    Large,
    /// Its time is not after the beginning of 1970.
    Early(i64),
}

/// So much of a key stands in the reason of a dead letter, in bytes.
const KEY_BYTES_TOLD: usize = 100;

/// One row that is added or taken away: its place in the epoch, and its diff.
struct Diff<'a> {
    key: &'a [u8],
    value: &'a [u8],
    row: u32,
    diff: i64,
}

/// An epoch as a sink sees it.
#[derive(Debug, Clone, Copy)]
pub struct Closing {
    /// Its clock, in milliseconds since 1970.
    pub clock_ms: i64,
    /// So many bytes each record may have, key and value together.
    pub record_bytes_max: usize,
}

impl Sink {
    /// A sink for rows of `schema`; counts the rows that are not written because another one with their key is.
    ///
    /// # Errors
    /// If a key column is missing, or a type cannot be encoded.
    pub fn new(settings: Settings, schema: &SchemaRef, conflicts: Counter) -> Result<Self, Error> {
        let Settings {
            name,
            key,
            mode,
            encoder,
        } = settings;
        let layout = KeyedLayout::new(schema, &key).of(&name)?;
        Ok(Self {
            mode,
            schema: schema.clone(),
            layout,
            encoder,
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

    /// One epoch: its records.
    ///
    /// # Errors
    /// If rows are not of the sink's schema, or state cannot be read or written.
    pub fn on_epoch(&mut self, input: &[ChangeBatch], closing: Closing) -> Result<Written, Error> {
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
                    self.write(changes, rows.map(Change::Insert), &mut written, closing)?;
                }
            }
            Mode::Append(order) => {
                let changes = columns::concat(&self.schema, input).of(&self.name)?;
                let rows = self.in_order(&changes, order)?;
                let rows = rows.into_iter().map(|row| Change::Insert(row as usize));
                self.write(&changes, rows, &mut written, closing)?;
            }
            Mode::Upsert if self.kept.is_some() => {
                let changes = columns::concat(&self.schema, input).of(&self.name)?;
                if let Some((shown, changes)) = self.shown(&changes)? {
                    self.write(&shown, changes.into_iter(), &mut written, closing)?;
                }
            }
            Mode::Upsert => {
                let changes = columns::concat(&self.schema, input).of(&self.name)?;
                let left = self.consolidate(&changes)?;
                self.write(&changes, left.into_iter(), &mut written, closing)?;
            }
        }
        let records = &written.records;
        if let Some(mean) = records.arena.len().checked_div(records.len()) {
            self.record_bytes = mean;
        }
        Ok(written)
    }

    /// Appends what happened to rows as records.
    fn write(
        &self,
        batch: &ChangeBatch,
        changes: impl Iterator<Item = Change>,
        written: &mut Written,
        closing: Closing,
    ) -> Result<(), Error> {
        let plan = |error: format::Error| Error::Plan {
            operator: self.name.clone(),
            reason: error.to_string(),
        };
        let rows = self.encoder.bind(&batch.rows, closing.clock_ms);
        let rows = rows.map_err(plan)?;
        let count = changes.size_hint().1.unwrap_or(batch.len());
        written.records.reserve(count, count * self.record_bytes);
        let has_metadata = self.encoder.has_metadata();
        for change in changes {
            let records = &mut written.records;
            let start = records.arena.len();
            records.push_with(
                |arena| rows.write_key(change.row(), arena),
                |arena| rows.write_value(change, arena),
            );
            let mut time_ms = None;
            if has_metadata {
                // What takes a row away is of the time at which it is written.
                time_ms = match change {
                    Change::Delete(_) => None,
                    Change::Insert(row) | Change::Update { after: row, .. } => {
                        rows.timestamp_ms(row)
                    }
                };
                records.push_metadata(time_ms, |arena| rows.write_headers(change.row(), arena));
            }
            if records.arena.len() - start > closing.record_bytes_max {
                self.take_back(written, Refusal::Large, closing.record_bytes_max);
            } else if let Some(ms) = time_ms.filter(|&ms| ms <= 0) {
                self.take_back(written, Refusal::Early(ms), closing.record_bytes_max);
            }
        }
        Ok(())
    }

    /// Makes a dead letter of the last record, which cannot be written.
    fn take_back(&self, written: &mut Written, refusal: Refusal, record_bytes_max: usize) {
        let Some((key, value)) = written.records.pop() else {
            return;
        };
        let bytes = key.len() + value.as_ref().map_or(0, Vec::len);
        let told = String::from_utf8_lossy(&key[..key.len().min(KEY_BYTES_TOLD)]);
        let name = &self.name;
        let reason = match refusal {
            Refusal::Large => format!(
                "the record of key '{told}' has {bytes} bytes and sink '{name}' can write {record_bytes_max}: let its topic take more \
                 ('max.message.bytes', and the sink's option 'message.max.bytes'), or let the query give less"
            ),
            Refusal::Early(ms) => format!(
                "the record of key '{told}' has the time {ms} (milliseconds since 1970), and sink '{name}' can write times after 1970 alone: \
                 let the query give another one to the column of its option 'timestamp', or NULL for the time of writing"
            ),
        };
        if self.mode == Mode::Upsert && key.len() <= record_bytes_max {
            written.records.push(&key, None);
        }
        written.refused.push(DeadLetter {
            stage: Stage::Sink,
            source: self.name.clone(),
            topic: self.name.clone(),
            partition: 0,
            offset: -1,
            reason,
            bytes: Some(value.unwrap_or(key)),
            ..DeadLetter::default()
        });
    }

    /// Per key the net effect of the epoch, ordered by key.
    fn consolidate(&self, changes: &ChangeBatch) -> Result<Vec<Change>, Error> {
        let keys = self.layout.encode_keys(&changes.rows).of(&self.name)?;
        let values = self.layout.encode_values(&changes.rows).of(&self.name)?;
        let mut all_left = Vec::new();
        for of_key in sorted(changes, &keys, &values).chunk_by(|a, b| a.key == b.key) {
            let (mut before, mut after) = (None, None);
            for of_row in of_key.chunk_by(|a, b| a.value == b.value) {
                let row = of_row[0].row as usize;
                match of_row.iter().map(|row| row.diff).sum::<i64>() {
                    0 => {}
                    diff if diff > 0 => {
                        if after.is_some() || diff > 1 {
                            self.conflicts.add(1);
                        }
                        after = after.or(Some(row));
                    }
                    _ => before = before.or(Some(row)),
                }
            }
            all_left.extend(Change::between(before, after));
        }
        Ok(all_left)
    }

    /// Of each key whose shown row changed what was shown, if the encoder needs it or nothing is shown now, and what is. Ordered by key.
    fn shown(
        &mut self,
        changes: &ChangeBatch,
    ) -> Result<Option<(ChangeBatch, Vec<Change>)>, Error> {
        let needs_before = self.encoder.needs_before();
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
                diff: of_row.iter().map(|row| row.diff).sum(),
            })
            .filter(|net| net.diff != 0)
            .collect();
        let (mut shown, mut changes) = (RowBuffer::default(), Vec::new());
        let mut rows = 0;
        let conflicts = kept.apply(&self.name, &nets, |key, before, after| {
            let mut place = |value: Option<&[u8]>| {
                let value = value?;
                shown.push(key, value, 1);
                rows += 1;
                Some(rows - 1)
            };
            let before = place(before.filter(|_| needs_before || after.is_none()));
            changes.extend(Change::between(before, place(after)));
        })?;
        self.conflicts.add(conflicts);
        let shown = shown.take(&self.layout).of(&self.name)?;
        Ok(shown.map(|shown| (shown, changes)))
    }

    /// Every row, as often as it was added, by key; rows of one key in their own order if they have one, else by row. Without a key, by row.
    fn in_order(&self, changes: &ChangeBatch, order: Order) -> Result<Vec<u32>, Error> {
        let keys = self.layout.encode_keys(&changes.rows).of(&self.name)?;
        let values = if order == Order::Keys && !self.layout.key_columns().is_empty() {
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
) -> Vec<Diff<'a>> {
    let mut sorted: Vec<Diff<'_>> = (0u32..)
        .zip(0..changes.len())
        .map(|(row, i)| Diff {
            key: keys.bytes(i),
            value: values.bytes(i),
            row,
            diff: changes.diff(i),
        })
        .collect();
    sorted.sort_unstable_by(|a, b| (a.key, a.value).cmp(&(b.key, b.value)));
    sorted
}
