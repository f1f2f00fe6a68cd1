//! Table: a changelog becomes the current state by primary key.
//!
//! The newest event about a key (see [`Rank`]) wins at once, in whatever order events arrive; older ones change nothing and are counted.
//! A delete takes the row away and leaves a tombstone with its rank, so that an older update that arrives later cannot resurrect the row;
//! the tombstone is forgotten once the data's clock has passed the newest record of its epoch by more than the table's bound. Emits the old
//! row with diff -1 and the new one with +1; an event that leaves the row as it is emits nothing.
//!
//! Without a version the last write wins: that of the later epoch, within an epoch the one with the later record time, then partition and
//! offset. Nothing that comes later is older then, so a delete leaves no tombstone.
//!
//! State: key → `expiry (i64) | flags (u8) | rank (20 bytes) | encoded value columns`; the expiry of a live row is `i64::MAX`.

use arrow_array::{RecordBatch, UInt32Array};
use arrow_schema::SchemaRef;
use hashbrown::HashMap;
use tidemill_state::Change;
use tidemill_types::row::EncodedRows;
use tidemill_types::{ChangeBatch, key_group, system_columns};

use crate::error::Context;
use crate::keyed::{BATCH_ROWS, KeyedLayout, RowBuffer};
use crate::rank::{Rank, ranks};
use crate::{Counter, EpochOperator, Error, Output, Tick, columns};

const HEADER_BYTES: usize = 8 + 1 + Rank::BYTES;
const LIVE: u8 = 0;
const TOMBSTONE: u8 = 1;

/// Settings of a table.
#[derive(Debug)]
pub struct Settings {
    /// Name of the operator, in errors.
    pub name: String,
    /// Primary key columns.
    pub key: Vec<String>,
    /// Version column.
    pub version: Option<String>,
    /// How long a tombstone is kept.
    pub tombstone_ms: i64,
    /// True if something behind the table needs all rows after a restore.
    pub emits_image: bool,
}

/// The state and logic of one worker's part of a table.
pub struct Table {
    name: String,
    input: SchemaRef,
    layout: KeyedLayout,
    declared: Vec<usize>,
    /// What ranks an event: its version, or the time at which its record was written.
    version: usize,
    /// True if the version ranks events of different epochs, too.
    is_versioned: bool,
    op: usize,
    partition: usize,
    offset: usize,
    tombstone_ms: i64,
    emits_image: bool,
    state: tidemill_state::Table,
    stale: Counter,
}

/// What an event does to the state of its key.
#[derive(Debug, PartialEq, Eq)]
enum Decision {
    /// Something newer is known.
    Stale,
    /// The row becomes the event's.
    Upsert,
    /// The row goes.
    Delete,
}

fn decide(held: Option<Rank>, event: Rank, op: u8) -> Decision {
    match held {
        Some(held) if held >= event => Decision::Stale,
        _ if op == system_columns::OP_DELETE => Decision::Delete,
        _ => Decision::Upsert,
    }
}

/// What is held for a key: its rank, and its row if it is live.
type Held<'a> = (Rank, Option<&'a [u8]>);

/// What an entry says at a time of the data's clock; a tombstone that has expired is nothing.
fn held(entry: Option<&[u8]>, oldest_ms: i64) -> Result<Option<Held<'_>>, ()> {
    let Some(entry) = entry else { return Ok(None) };
    let (expiry, flags, rank) = read_header(entry).ok_or(())?;
    Ok(match flags {
        LIVE => Some((rank, Some(&entry[HEADER_BYTES..]))),
        _ if expiry < oldest_ms => None,
        _ => Some((rank, None)),
    })
}

impl Table {
    /// A table over rows of `input` (with system columns); its output has the columns of `output`.
    ///
    /// # Errors
    /// If a column is missing or has no encoding.
    pub fn new(
        settings: Settings,
        input: &SchemaRef,
        output: &SchemaRef,
        state: tidemill_state::Table,
        stale: Counter,
    ) -> Result<Self, Error> {
        let Settings {
            name,
            key,
            version,
            tombstone_ms,
            emits_image,
        } = settings;
        let index = |column: &str| columns::index(input, column).of(&name);
        Ok(Self {
            layout: KeyedLayout::new(output, &key).of(&name)?,
            declared: output
                .fields()
                .iter()
                .map(|field| index(field.name()))
                .collect::<Result<_, _>>()?,
            version: index(version.as_deref().unwrap_or(system_columns::TIME))?,
            is_versioned: version.is_some(),
            op: index(system_columns::OP)?,
            partition: index(system_columns::PARTITION)?,
            offset: index(system_columns::OFFSET)?,
            input: input.clone(),
            tombstone_ms,
            emits_image,
            state,
            stale,
            name,
        })
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the columns of one epoch, computed once"
    )]
    fn apply(
        &mut self,
        tick: &Tick,
        rows: &RecordBatch,
        declared: &RecordBatch,
        keys: &EncodedRows,
        ranks: &[Rank],
        newest: &[u32],
        output: &mut Vec<ChangeBatch>,
    ) -> Result<(), Error> {
        let name = self.name.clone();
        let ops = columns::ops(rows.column(self.op));
        let lookups: Vec<(u16, &[u8])> = newest
            .iter()
            .map(|&row| keys.bytes(row as usize))
            .map(|key| (key_group(key), key))
            .collect();
        let newest_rows =
            arrow_select::take::take_record_batch(declared, &UInt32Array::from(newest.to_vec()))
                .of(&name)?;
        let values = self.layout.encode_values(&newest_rows).of(&name)?;

        let mut retractions = RowBuffer::default();
        let mut inserted = Vec::new();
        let mut stale = 0;
        let mut broken = false;
        let tombstone_expiry = tick.newest_ms.saturating_add(self.tombstone_ms);
        let is_versioned = self.is_versioned;
        self.state
            .update_many(&lookups, |i, entry, new| {
                let row = newest[i] as usize;
                let (key, rank) = (lookups[i].1, ranks[row]);
                let Ok(held) = held(entry, tick.oldest_ms) else {
                    broken = true;
                    return Change::Keep;
                };
                let old = held.and_then(|(_, row)| row);
                let ranked = held.filter(|_| is_versioned).map(|(rank, _)| rank);
                match decide(ranked, rank, ops[row]) {
                    Decision::Stale => {
                        stale += 1;
                        return Change::Keep;
                    }
                    Decision::Upsert => {
                        let value = values.bytes(i);
                        write_header(new, i64::MAX, LIVE, rank);
                        new.extend_from_slice(value);
                        if old != Some(value) {
                            old.inspect(|old| retractions.push(key, old, -1));
                            inserted.push(u32::try_from(i).expect("rows are counted in u32"));
                        }
                    }
                    Decision::Delete => {
                        old.inspect(|old| retractions.push(key, old, -1));
                        match (is_versioned, entry) {
                            (true, _) => write_header(new, tombstone_expiry, TOMBSTONE, rank),
                            (false, Some(_)) => return Change::Delete,
                            (false, None) => return Change::Keep,
                        }
                    }
                }
                Change::Put
            })
            .of(&name)?;
        if broken {
            return Err(Error::Entry { operator: name });
        }
        self.stale.add(stale);
        output.extend(retractions.take(&self.layout).of(&name)?);
        if !inserted.is_empty() {
            output.push(self.inserts(&newest_rows, inserted)?);
        }
        Ok(())
    }

    /// The rows at these places, as they come into the table.
    fn inserts(&self, rows: &RecordBatch, places: Vec<u32>) -> Result<ChangeBatch, Error> {
        let places = UInt32Array::from(places);
        let rows = arrow_select::take::take_record_batch(rows, &places).of(&self.name)?;
        let (columns, count) = (rows.columns().to_vec(), rows.num_rows());
        let rows = columns::batch(self.layout.schema(), columns, count).of(&self.name)?;
        Ok(ChangeBatch::inserts(rows))
    }

    fn emit_image(&mut self, output: &mut Vec<ChangeBatch>) -> Result<(), Error> {
        let mut buffer = RowBuffer::default();
        let mut result = Ok(());
        let (layout, name) = (&self.layout, &self.name);
        self.state
            .scan(|_, key, entry| -> Result<(), tidemill_state::Error> {
                match read_header(entry) {
                    Some((_, LIVE, _)) => buffer.push(key, &entry[HEADER_BYTES..], 1),
                    Some(_) => {}
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

impl EpochOperator for Table {
    /// The changes of the table.
    fn on_epoch(
        &mut self,
        tick: &Tick,
        input: &[ChangeBatch],
        output: &mut Output,
    ) -> Result<(), Error> {
        if tick.restored && self.emits_image {
            return self.emit_image(&mut output.rows);
        }
        if tick.restored || input.is_empty() {
            return Ok(());
        }
        let rows = columns::concat(&self.input, input).of(&self.name)?.rows;
        let declared = rows.project(&self.declared).of(&self.name)?;
        let keys = self.layout.encode_keys(&declared).of(&self.name)?;
        let ranks = ranks(&rows, self.version, self.partition, self.offset).of(&self.name)?;
        let newest = newest_per_key(&keys, &ranks);
        self.stale.add((rows.num_rows() - newest.len()) as u64);
        self.apply(
            tick,
            &rows,
            &declared,
            &keys,
            &ranks,
            &newest,
            &mut output.rows,
        )
    }
}

/// The row of the highest rank of each key, ordered by key (so that state is read and written in its own order).
fn newest_per_key(keys: &EncodedRows, ranks: &[Rank]) -> Vec<u32> {
    let mut newest: HashMap<&[u8], u32> = HashMap::with_capacity(ranks.len());
    for (row, rank) in (0u32..).zip(ranks) {
        newest
            .entry(keys.bytes(row as usize))
            .and_modify(|best| {
                if *rank > ranks[*best as usize] {
                    *best = row;
                }
            })
            .or_insert(row);
    }
    let mut newest: Vec<u32> = newest.into_values().collect();
    newest.sort_unstable_by(|&a, &b| keys.bytes(a as usize).cmp(keys.bytes(b as usize)));
    newest
}

fn write_header(out: &mut Vec<u8>, expiry: i64, flags: u8, rank: Rank) {
    out.extend_from_slice(&expiry.to_be_bytes());
    out.push(flags);
    rank.write(out);
}

fn read_header(entry: &[u8]) -> Option<(i64, u8, Rank)> {
    let (expiry, rest) = entry.split_first_chunk()?;
    let (&flags, rest) = rest.split_first()?;
    Some((i64::from_be_bytes(*expiry), flags, Rank::read(rest)?))
}
