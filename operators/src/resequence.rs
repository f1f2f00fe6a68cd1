//! Resequence: puts each key's events in order of a time column, waiting until the watermark has passed them, at most the declared bound.
//!
//! The *horizon* of an epoch is the highest time that is surely complete: the source's watermark with its delay taken back, minus this
//! operator's bound. At the end of an epoch everything before the horizon leaves, ordered by time, key and source position; an event that
//! comes from before the horizon of the epoch before can no longer be put in order, and goes to the late ledger. The bound is inclusive: an
//! event exactly at the horizon is in time, and so waits until the horizon has passed it.
//! State: key | time | position → the row. In memory: an index of what waits, by time.

use std::collections::BTreeSet;

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use arrow_schema::SchemaRef;
use tidemill_state::Change;
use tidemill_types::dead_letter::Stage;
use tidemill_types::place::Places;
use tidemill_types::{ChangeBatch, DeadLetter, Row, key_group, system_columns};

use crate::error::Context;
use crate::keyed::{BATCH_ROWS, KeyedLayout, RowBuffer};
use crate::ledger::Ledger;
use crate::{Counter, EpochOperator, Error, Output, Tick, columns};

/// Settings of a resequencer.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Name of the operator, in errors.
    pub name: String,
    /// Time column.
    pub by: String,
    /// Key columns.
    pub per: Vec<String>,
    /// How long to wait at most.
    pub within_ms: i64,
    /// The delay that the source's watermark already has.
    pub watermark_delay_ms: i64,
    /// Where the source's partitions are.
    pub places: Places,
}

/// An event that waits: time, key, partition, offset.
type Waiting = (i64, Row, u32, i64);

/// The state and logic of one worker's resequencer.
pub struct Resequence {
    settings: Settings,
    input: SchemaRef,
    /// Which columns of the input are kept: all but the record's bytes, which only a late event needs.
    kept: Vec<usize>,
    layout: KeyedLayout,
    ledger: Ledger,
    by: usize,
    partition: usize,
    offset: usize,
    bytes: Option<usize>,
    waiting: BTreeSet<Waiting>,
    horizon_ms: Option<i64>,
    state: tidemill_state::Table,
    late: Counter,
}

impl Resequence {
    /// A resequencer over rows of `schema` (with system columns), whose output has the columns of `output`; reads what waited at the checkpoint.
    ///
    /// # Errors
    /// If a column is missing, or state cannot be read.
    pub fn new(
        settings: Settings,
        [schema, output]: [&SchemaRef; 2],
        ledger: Ledger,
        mut state: tidemill_state::Table,
        late: Counter,
    ) -> Result<Self, Error> {
        let name = settings.name.clone();
        let index = |column: &str| columns::index(schema, column).of(&name);
        let mut waiting = BTreeSet::new();
        state
            .scan(|_, key, _| -> Result<(), tidemill_state::Error> {
                waiting.extend(parse_key(key));
                Ok(())
            })
            .of(&name)?;
        Ok(Self {
            layout: KeyedLayout::new(output, &settings.per).of(&name)?,
            kept: output
                .fields()
                .iter()
                .map(|field| index(field.name()))
                .collect::<Result<_, _>>()?,
            input: schema.clone(),
            by: index(&settings.by)?,
            partition: index(system_columns::PARTITION)?,
            offset: index(system_columns::OFFSET)?,
            bytes: schema.index_of(system_columns::BYTES).ok(),
            horizon_ms: None,
            settings,
            ledger,
            waiting,
            state,
            late,
        })
    }

    fn buffer(&mut self, rows: &RecordBatch, late: &mut Vec<ChangeBatch>) -> Result<(), Error> {
        let name = &self.settings.name;
        let kept = rows.project(&self.kept).of(name)?;
        let keys = self.layout.encode_keys(&kept).of(name)?;
        let values = self.layout.encode_values(&kept).of(name)?;
        let times = columns::ordinals(rows.column(self.by)).of(name)?;
        let partitions = columns::partitions(rows.column(self.partition));
        let offsets = columns::offsets(rows.column(self.offset));
        let mut letters = Vec::new();
        let mut key = Vec::new();
        for row in 0..rows.num_rows() {
            let (partition, offset) = (partitions[row], offsets[row]);
            match times[row] {
                Some(time) if self.horizon_ms.is_none_or(|horizon| time >= horizon) => {
                    let group = key_group(keys.bytes(row));
                    key.clear();
                    write_key(&mut key, keys.bytes(row), time, partition, offset);
                    self.state.insert(group, &key, values.bytes(row)).of(name)?;
                    self.waiting
                        .insert((time, Row::from(keys.bytes(row)), partition, offset));
                }
                time => letters.push(self.letter(rows, row, time, partition, offset)),
            }
        }
        if !letters.is_empty() {
            self.late.add(letters.len() as u64);
            late.push(ChangeBatch::inserts(self.ledger.rows(&letters)));
        }
        Ok(())
    }

    fn letter(
        &self,
        rows: &RecordBatch,
        row: usize,
        time: Option<i64>,
        partition: u32,
        offset: i64,
    ) -> DeadLetter {
        let by = &self.settings.by;
        let reason = match (time, self.horizon_ms) {
            (Some(time), Some(horizon)) => format!(
                "late: '{by}' is {} ms behind what was already put in order",
                horizon - time
            ),
            _ => format!("no '{by}' to order by"),
        };
        let bytes = self
            .bytes
            .map(|column| rows.column(column).as_binary::<i32>())
            .filter(|bytes| bytes.is_valid(row));
        let bytes = bytes.map(|bytes| bytes.value(row).to_vec());
        let stream = self.settings.name.split('/').next();
        let place = self.settings.places.of(partition);
        DeadLetter {
            stage: Stage::Late,
            source: stream.unwrap_or_default().to_owned(),
            topic: place.topic.to_string(),
            partition: place.partition,
            offset,
            reason,
            bytes,
            ..DeadLetter::default()
        }
    }

    fn release(&mut self, output: &mut Vec<ChangeBatch>) -> Result<(), Error> {
        let Some(horizon) = self.horizon_ms else {
            return Ok(());
        };
        let first = (horizon, Row::default(), 0, i64::MIN);
        let stays = self.waiting.split_off(&first);
        let leaves: Vec<Waiting> = std::mem::replace(&mut self.waiting, stays)
            .into_iter()
            .collect();
        let name = self.settings.name.clone();
        for chunk in leaves.chunks(BATCH_ROWS) {
            let (mut arena, mut ends) = (Vec::new(), Vec::with_capacity(chunk.len()));
            for (time, key, partition, offset) in chunk {
                write_key(&mut arena, key.as_bytes(), *time, *partition, *offset);
                ends.push(arena.len());
            }
            let starts = std::iter::once(0).chain(ends.iter().copied());
            let lookups: Vec<(u16, &[u8])> = chunk
                .iter()
                .zip(starts.zip(&ends))
                .map(|((_, key, ..), (start, &end))| {
                    (key_group(key.as_bytes()), &arena[start..end])
                })
                .collect();
            let mut buffer = RowBuffer::default();
            let mut missing = false;
            self.state
                .update_many(&lookups, |i, value, _| {
                    match value {
                        Some(value) => buffer.push(chunk[i].1.as_bytes(), value, 1),
                        None => missing = true,
                    }
                    Change::Delete
                })
                .of(&name)?;
            if missing {
                return Err(Error::Entry { operator: name });
            }
            output.extend(
                buffer
                    .take(&self.layout)
                    .of(&name)?
                    .map(|batch| ChangeBatch::inserts(batch.rows)),
            );
        }
        Ok(())
    }
}

impl EpochOperator for Resequence {
    /// What leaves in order; and aside, what came too late.
    fn on_epoch(
        &mut self,
        tick: &Tick,
        input: &[ChangeBatch],
        output: &mut Output,
    ) -> Result<(), Error> {
        if !tick.restored && !input.is_empty() {
            let rows = columns::concat(&self.input, input)
                .of(&self.settings.name)?
                .rows;
            self.buffer(&rows, &mut output.aside)?;
        }
        let horizon = tick.watermark.map(|watermark| {
            watermark
                .saturating_add(self.settings.watermark_delay_ms)
                .saturating_sub(self.settings.within_ms)
        });
        self.horizon_ms = self.horizon_ms.max(horizon);
        if tick.restored {
            Ok(())
        } else {
            self.release(&mut output.rows)
        }
    }
}

/// Appends `key | time | partition | offset`; the last three have a fixed width.
fn write_key(out: &mut Vec<u8>, key: &[u8], time: i64, partition: u32, offset: i64) {
    out.extend_from_slice(key);
    out.extend_from_slice(&time.to_be_bytes());
    out.extend_from_slice(&partition.to_be_bytes());
    out.extend_from_slice(&offset.to_be_bytes());
}

fn parse_key(bytes: &[u8]) -> Option<Waiting> {
    let (rest, offset) = bytes.split_last_chunk()?;
    let (rest, partition) = rest.split_last_chunk()?;
    let (key, time) = rest.split_last_chunk()?;
    Some((
        i64::from_be_bytes(*time),
        Row::from(key),
        u32::from_be_bytes(*partition),
        i64::from_be_bytes(*offset),
    ))
}
