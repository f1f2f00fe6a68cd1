//! Dedup: the first event with an id passes; later ones within the window are counted and dropped.
//!
//! "First" within an epoch is the lowest source position; the window is measured by the epoch clock from the first event on. State: id → expiry.
//! An event without an id equals no other, and passes: what cannot be told apart is not dropped.
//! Does not promise to remember an id longer than its window, nor to forget it sooner.

use arrow_array::{Array, BooleanArray, RecordBatch};
use arrow_schema::SchemaRef;
use arrow_select::filter::filter_record_batch;
use hashbrown::HashMap;
use tidemill_state::Change;
use tidemill_types::{ChangeBatch, RowCodec, key_group, system_columns};

use crate::error::Context;
use crate::{Counter, Error, Tick, columns};

/// Settings of a dedup.
#[derive(Debug)]
pub struct Settings {
    /// Name of the operator, in errors.
    pub name: String,
    /// Column that identifies an event.
    pub id: String,
    /// How long an id is remembered.
    pub within_ms: i64,
}

/// The state and logic of one worker's dedup.
pub struct Dedup {
    name: String,
    schema: SchemaRef,
    id: usize,
    partition: usize,
    offset: usize,
    within_ms: i64,
    codec: RowCodec,
    state: tidemill_state::Table,
    duplicates: Counter,
}

impl Dedup {
    /// A dedup over rows of `schema` (with system columns).
    ///
    /// # Errors
    /// If the schema lacks a column.
    pub fn new(
        settings: Settings,
        schema: &SchemaRef,
        state: tidemill_state::Table,
        duplicates: Counter,
    ) -> Result<Self, Error> {
        let Settings {
            name,
            id,
            within_ms,
        } = settings;
        let index = |column: &str| columns::index(schema, column).of(&name);
        let (id, partition, offset) = (
            index(&id)?,
            index(system_columns::PARTITION)?,
            index(system_columns::OFFSET)?,
        );
        let codec = RowCodec::new([schema.field(id).data_type()]).of(&name)?;
        Ok(Self {
            schema: schema.clone(),
            id,
            partition,
            offset,
            within_ms,
            codec,
            state,
            duplicates,
            name,
        })
    }

    /// One epoch: what passes.
    ///
    /// # Errors
    /// If state cannot be read or written.
    pub fn on_epoch(
        &mut self,
        tick: &Tick,
        input: &[ChangeBatch],
    ) -> Result<Option<ChangeBatch>, Error> {
        if tick.restored || input.is_empty() {
            return Ok(None);
        }
        let name = &self.name;
        let rows = columns::concat(&self.schema, input).of(name)?.rows;
        let ids = self
            .codec
            .encode(&[rows.column(self.id).clone()], rows.num_rows())
            .of(name)?;
        let mut keep: Vec<bool> = (0..rows.num_rows())
            .map(|row| rows.column(self.id).is_null(row))
            .collect();
        let mut firsts: Vec<usize> = self.first_per_id(&rows, &ids);
        firsts.sort_unstable_by(|&a, &b| ids.bytes(a).cmp(ids.bytes(b)));

        let keys: Vec<(u16, &[u8])> = firsts
            .iter()
            .map(|&row| (key_group(ids.bytes(row)), ids.bytes(row)))
            .collect();
        let expiry = tick.clock_ms.saturating_add(self.within_ms).to_be_bytes();
        self.state
            .update_many(&keys, |i, held, new| {
                let remembered = held
                    .and_then(|bytes| bytes.first_chunk())
                    .is_some_and(|bytes| i64::from_be_bytes(*bytes) > tick.clock_ms);
                if remembered {
                    return Change::Keep;
                }
                keep[firsts[i]] = true;
                new.extend_from_slice(&expiry);
                Change::Put
            })
            .of(name)?;
        let passed = keep.iter().filter(|&&keep| keep).count();
        self.duplicates.add((rows.num_rows() - passed) as u64);
        if passed == rows.num_rows() {
            return Ok(Some(ChangeBatch::inserts(rows)));
        }
        let rows = filter_record_batch(&rows, &BooleanArray::from(keep)).of(name)?;
        Ok((passed > 0).then(|| ChangeBatch::inserts(rows)))
    }

    /// The row with the lowest position of each id; rows without one are left out.
    fn first_per_id(
        &self,
        rows: &RecordBatch,
        ids: &tidemill_types::row::EncodedRows,
    ) -> Vec<usize> {
        let partitions = columns::partitions(rows.column(self.partition));
        let offsets = columns::offsets(rows.column(self.offset));
        let position = |row: usize| (partitions[row], offsets[row]);
        let mut firsts: HashMap<&[u8], usize> = HashMap::with_capacity(rows.num_rows());
        let has_id = |row: &usize| rows.column(self.id).is_valid(*row);
        for row in (0..rows.num_rows()).filter(has_id) {
            firsts
                .entry(ids.bytes(row))
                .and_modify(|first| {
                    if position(row) < position(*first) {
                        *first = row;
                    }
                })
                .or_insert(row);
        }
        firsts.into_values().collect()
    }
}
