//! Renders a tumbling window.

use std::sync::Arc;

use arrow_array::{Array, RecordBatch, TimestampMillisecondArray, UInt32Array};
use arrow_buffer::BooleanBuffer;
use arrow_schema::{ArrowError, SchemaRef};
use arrow_select::take::take;
use tidemill_jobs::exact;
use tidemill_jobs::plan::{Node, NodeId, Tumble};
use tidemill_operators::stateless::Computed;
use tidemill_operators::{Changes, Packet, columns};
use tidemill_types::ChangeBatch;
use timely::dataflow::operators::Inspect;

use super::Renderer;
use crate::Error;

impl<'scope> Renderer<'_, 'scope> {
    pub(super) fn tumble(&mut self, node: &Node, stage: &Tumble) -> Result<Changes<'scope>, Error> {
        let time = self.schema(stage.input).index_of(&stage.time);
        let time = time.map_err(|error| self.plan_error(&node.name, error))?;
        self.count_untimed(stage.input, time);
        let (size_ms, output) = (stage.size_ms, node.schema.clone());
        Ok(self.computed(node, stage.input, move |rows| {
            tumble(time, size_ms, &output, rows)
        }))
    }

    /// Counts the rows that a window over `time` leaves out.
    fn count_untimed(&self, input: NodeId, time: usize) {
        if self.schema(input).field(time).is_nullable() {
            let untimed = self.context.status.untimed.clone();
            let rows = self.streams[&input].clone();
            let count = move |packet: &Packet| untimed.add(untimed_rows(time, &packet.changes));
            drop(rows.inspect(count));
        }
    }
}

/// Appends the start and the end of the tumbling window that a row's time falls in; rows without a time are left out. A
/// window that is not within the years 1 to 9999 has no start or no end, so that its rows cannot be computed.
fn tumble(
    time: usize,
    size_ms: i64,
    output: &SchemaRef,
    rows: &RecordBatch,
) -> Result<Computed, ArrowError> {
    let times = columns::ordinals(rows.column(time))?;
    let kept: BooleanBuffer = times.iter().map(Option::is_some).collect();
    let starts = times.iter().flatten().map(|&time| start_of(time, size_ms));
    let starts = starts.collect::<Result<Vec<i64>, _>>()?;
    let indices: UInt32Array = (0u32..)
        .zip(&kept)
        .filter_map(|(row, keep)| keep.then_some(row))
        .collect();
    let mut arrays = rows
        .columns()
        .iter()
        .map(|column| take(column, &indices, None))
        .collect::<Result<Vec<_>, _>>()?;
    arrays.push(Arc::new(TimestampMillisecondArray::from_iter_values(
        starts.iter().copied(),
    )));
    arrays.push(Arc::new(TimestampMillisecondArray::from_iter_values(
        starts.iter().map(|start| start + size_ms),
    )));
    Ok(Computed {
        rows: columns::batch(output, arrays, indices.len())?,
        kept: Some(kept),
    })
}

/// How many rows come without a time; those that go again are not counted a second time.
fn untimed_rows(time: usize, changes: &ChangeBatch) -> u64 {
    let Some(times) = changes.rows.column(time).nulls() else {
        return 0;
    };
    let comes = |&row: &usize| times.is_null(row) && changes.diff(row) > 0;
    (0..changes.len()).filter(comes).count() as u64
}

/// The start of the tumbling window that a time falls in, if both its ends are times.
fn start_of(time: i64, size_ms: i64) -> Result<i64, ArrowError> {
    let bounds = || -> Option<[i64; 2]> {
        let start = time.checked_sub(time.rem_euclid(size_ms))?;
        Some([start, start.checked_add(size_ms)?])
    };
    bounds()
        .filter(|bounds| bounds.iter().all(|bound| exact::TIMES.contains(bound)))
        .map(|[start, _]| start)
        .ok_or_else(|| {
            let reason = "the window of its time is not within the years 1 to 9999";
            ArrowError::ComputeError(format!("'TUMBLE' cannot be computed: {reason}"))
        })
}
