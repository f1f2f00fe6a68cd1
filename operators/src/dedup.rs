//! Dedup: the first event with an id passes; others whose records were written within the bound of it are counted and dropped.
//!
//! "First" within an epoch is the earliest record time, then the lowest source position. The bound is inclusive, looks both ways, and is
//! measured from the first event on: a duplicate does not renew it. An event written later than that is a first one again, whether it comes
//! in the same epoch or in another: what passes does not depend on how long the job was down, nor on how epochs are cut.
//!
//! An id is forgotten once the data's clock has passed it by more than its bound. Record times from before that are not told apart: an event
//! out of a partition that was idle for so long may pass although its first was seen. Does not promise to forget an id sooner.
//!
//! State: id → until when it counts as seen (i64, big endian); where it passed more than once and the earlier time still counts, the latest of
//! these first, then the others.
//!
//! An event without an id equals no other, and passes: what cannot be told apart is not dropped.

use arrow_array::{Array, BooleanArray, RecordBatch};
use arrow_schema::SchemaRef;
use arrow_select::filter::filter_record_batch;
use tidemill_state::Change;
use tidemill_types::row::head;
use tidemill_types::{ChangeBatch, RowCodec, key_group, system_columns};

use crate::error::Context;
use crate::{Counter, EpochOperator, Error, Output, Tick, columns};

/// Settings of a dedup.
#[derive(Debug)]
pub struct Settings {
    /// Name of the operator, in errors.
    pub name: String,
    /// Column that identifies an event.
    pub id: String,
    /// How far apart two events with one id may have been written to count as one.
    pub within_ms: i64,
}

/// The state and logic of one worker's dedup.
pub struct Dedup {
    name: String,
    schema: SchemaRef,
    id: usize,
    partition: usize,
    offset: usize,
    time: usize,
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
        let id = index(&id)?;
        let codec = RowCodec::new([schema.field(id).data_type()]).of(&name)?;
        Ok(Self {
            schema: schema.clone(),
            id,
            partition: index(system_columns::PARTITION)?,
            offset: index(system_columns::OFFSET)?,
            time: index(system_columns::TIME)?,
            within_ms,
            codec,
            state,
            duplicates,
            name,
        })
    }

    /// The rows by id, those of one id in order of time and position, and the times; rows without an id are left out.
    fn in_order<'a>(
        &self,
        rows: &'a RecordBatch,
        ids: &tidemill_types::row::EncodedRows,
    ) -> (Vec<usize>, &'a [i64]) {
        let times = columns::offsets(rows.column(self.time));
        let partitions = columns::partitions(rows.column(self.partition));
        let offsets = columns::offsets(rows.column(self.offset));
        let place = |row: usize| (times[row], partitions[row], offsets[row]);
        let nulls = rows.column(self.id).nulls();
        let has_id = |row: &usize| nulls.is_none_or(|nulls| nulls.is_valid(*row));
        let with_head = |row| (head(ids.bytes(row)), row);
        let mut order: Vec<_> = (0..rows.num_rows()).filter(has_id).map(with_head).collect();
        order.sort_unstable_by(|&(head_a, a), &(head_b, b)| {
            let by_id = head_a
                .cmp(&head_b)
                .then_with(|| ids.bytes(a).cmp(ids.bytes(b)));
            by_id.then_with(|| place(a).cmp(&place(b)))
        });
        (order.into_iter().map(|(_, row)| row).collect(), times)
    }
}

impl EpochOperator for Dedup {
    /// The events that pass.
    fn on_epoch(
        &mut self,
        tick: &Tick,
        input: &[ChangeBatch],
        output: &mut Output,
    ) -> Result<(), Error> {
        if tick.restored || input.is_empty() {
            return Ok(());
        }
        let name = &self.name;
        let rows = columns::concat(&self.schema, input).of(name)?.rows;
        let ids = self
            .codec
            .encode(&[rows.column(self.id).clone()], rows.num_rows())
            .of(name)?;
        let mut keep = match rows.column(self.id).nulls() {
            Some(nulls) => nulls.iter().map(|is_valid| !is_valid).collect(),
            None => vec![false; rows.num_rows()],
        };
        let (order, times) = self.in_order(&rows, &ids);
        let keys: Vec<(u16, &[u8])> = order
            .iter()
            .map(|&row| (key_group(ids.bytes(row)), ids.bytes(row)))
            .collect();
        let within_ms = self.within_ms;
        let remembered_ms = tick.oldest_ms.saturating_sub(within_ms);
        self.state
            .update_many(&keys, |i, seen, new| {
                let time_ms = times[order[i]].max(remembered_ms);
                let seen = expiries(seen).filter(|&expiry| expiry >= tick.oldest_ms);
                if seen
                    .clone()
                    .any(|expiry| is_within(expiry, time_ms, within_ms))
                {
                    return Change::Keep;
                }
                keep[order[i]] = true;
                let expiry = time_ms.saturating_add(within_ms);
                let later = seen.clone().filter(|&seen| seen > expiry);
                let earlier = seen.clone().filter(|&seen| seen < expiry);
                for expiry in later.chain([expiry]).chain(earlier) {
                    new.extend_from_slice(&expiry.to_be_bytes());
                }
                Change::Put
            })
            .of(name)?;
        let passed = keep.iter().filter(|&&keep| keep).count();
        self.duplicates.add((rows.num_rows() - passed) as u64);
        if passed == rows.num_rows() {
            output.rows.push(ChangeBatch::inserts(rows));
        } else if passed > 0 {
            let rows = filter_record_batch(&rows, &BooleanArray::from(keep)).of(name)?;
            output.rows.push(ChangeBatch::inserts(rows));
        }
        Ok(())
    }
}

/// Until when an id counts as seen, the latest first.
fn expiries(entry: Option<&[u8]>) -> impl Iterator<Item = i64> + Clone {
    let (expiries, _) = entry.unwrap_or_default().as_chunks();
    expiries.iter().map(|bytes| i64::from_be_bytes(*bytes))
}

/// True if a time is within the bound of the first event's, by when that expires.
const fn is_within(expiry: i64, time_ms: i64, within_ms: i64) -> bool {
    let first_ms = expiry.saturating_sub(within_ms);
    time_ms <= expiry && time_ms >= first_ms.saturating_sub(within_ms)
}
