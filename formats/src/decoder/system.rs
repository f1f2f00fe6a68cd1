//! The system columns of a batch, and what is known of all its rows.

use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, Int64Array, UInt8Array, UInt32Array};
use arrow_buffer::Buffer;
use tidemill_types::format::{Clocks, TimeRange};
use tidemill_types::system_columns::Kept;
use tidemill_types::{RawRecord, TopicPartition};

use crate::column;

/// Where and when a record is decoded.
#[derive(Debug, Clone, Copy)]
pub struct Position<'a> {
    /// The topic that it was read from.
    pub topic: &'a str,
    /// Its partition there.
    pub partition: u32,
    /// Its offset.
    pub offset: i64,
    /// What the event's time is compared with.
    pub now_ms: i64,
    /// When the record was written.
    pub time_ms: i64,
}

impl<'a> Position<'a> {
    /// Of a record, in an epoch with these clocks.
    pub fn new(place: &'a TopicPartition, record: &RawRecord<'_>, clocks: Clocks) -> Self {
        Self {
            topic: &place.topic,
            partition: place.partition,
            offset: record.offset,
            now_ms: record.time_ms.unwrap_or(clocks.wall_ms),
            time_ms: record.time_ms.unwrap_or(clocks.steady_ms),
        }
    }
}

/// The system columns of the rows so far.
#[derive(Debug, Default)]
pub struct SystemColumns {
    kept: Kept,
    ops: Vec<u8>,
    offsets: Vec<i64>,
    times: Vec<i64>,
    bytes: Vec<u8>,
    byte_ends: Vec<i32>,
    /// How far the time column has come.
    pub time_max: Option<i64>,
    /// The range of the events' own times.
    pub event_time: Option<TimeRange>,
}

impl SystemColumns {
    /// No rows yet.
    pub fn new(kept: Kept) -> Self {
        Self {
            kept,
            ..Self::default()
        }
    }

    /// How many rows there are.
    pub const fn len(&self) -> usize {
        self.ops.len()
    }

    /// Makes room for so many rows more.
    pub fn reserve(&mut self, rows: usize) {
        self.ops.reserve(rows);
        self.offsets.reserve(rows);
    }

    /// Appends a row, of which the time column says `time`, and which happened at `event_ms`.
    #[inline]
    pub fn push(
        &mut self,
        op: u8,
        record: &RawRecord<'_>,
        position: Position<'_>,
        time: Option<i64>,
        event_ms: i64,
    ) {
        let reached = time.map(|time| time.min(position.now_ms));
        self.time_max = self.time_max.max(reached);
        self.event_time = Some(TimeRange::with(self.event_time, event_ms));
        self.ops.push(op);
        self.offsets.push(position.offset);
        if self.kept.time {
            self.times.push(position.time_ms);
        }
        if self.kept.bytes {
            self.bytes
                .extend_from_slice(record.value.unwrap_or_default());
            self.byte_ends.push(
                i32::try_from(self.bytes.len())
                    .expect("a source bounds its batches far below 2 GiB"),
            );
        }
    }

    /// Appends the columns, all of whose rows are of one partition; no rows are left.
    pub fn finish(&mut self, partition: u32, columns: &mut Vec<ArrayRef>) {
        let system = std::mem::replace(self, Self::new(self.kept));
        let rows = system.ops.len();
        columns.push(Arc::new(UInt8Array::from(system.ops)));
        columns.push(Arc::new(UInt32Array::from_value(partition, rows)));
        columns.push(Arc::new(Int64Array::from(system.offsets)));
        if self.kept.time {
            columns.push(Arc::new(Int64Array::from(system.times)));
        }
        if self.kept.bytes {
            columns.push(Arc::new(BinaryArray::new(
                column::offsets(system.byte_ends),
                Buffer::from_vec(system.bytes),
                None,
            )));
        }
    }
}
