//! Stateless stages: projections and filters, column-wise, batch by batch.
//!
//! What a row does to its stage stays with that row: a batch that cannot be evaluated is halved until the rows at fault
//! stand alone. They leave on the side stream as dead letters ([`crate::uncomputed`]), and all others go on. A row
//! comes out the same in any batch, and in its insertion as in its retraction, because a batch is only taken as a whole
//! if none of its rows is at fault.

use std::ops::Range;

use arrow_array::RecordBatch;
use arrow_buffer::BooleanBuffer;
use arrow_schema::{ArrowError, SchemaRef};
use tidemill_types::{ChangeBatch, DeadLetter};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::vec::Map;

use crate::uncomputed::{Uncomputed, letter, reason};
use crate::{Changes, Packet, columns};

/// What a stage computes from a batch of rows: the rows that remain, and which ones (`None`: all, in order).
pub struct Computed {
    /// Output rows.
    pub rows: RecordBatch,
    /// Which input rows the output rows come from, where rows were dropped.
    pub kept: Option<BooleanBuffer>,
}

/// Applies `compute` to every batch. Returns the output, and the dead letters (only inserted rows are reported, once).
pub fn stateless<'scope, F>(
    input: Changes<'scope>,
    name: &str,
    uncomputed: Uncomputed,
    mut compute: F,
) -> (Changes<'scope>, Changes<'scope>)
where
    F: FnMut(&RecordBatch) -> Result<Computed, ArrowError> + 'static,
{
    let stage = name.to_owned();
    let mut builder = OperatorBuilder::new(name.to_owned(), input.scope());
    let mut input = builder.new_input(input, Pipeline);
    let (main, main_stream) = builder.new_output::<Vec<Packet>>();
    let (dead, dead_stream) = builder.new_output::<Vec<Packet>>();
    let mut main = OutputBuilder::<_, CapacityContainerBuilder<Vec<Packet>>>::from(main);
    let mut dead = OutputBuilder::<_, CapacityContainerBuilder<Vec<Packet>>>::from(dead);
    builder.build(move |_| {
        move |_| {
            let (mut main, mut dead) = (main.activate(), dead.activate());
            input.for_each(|capability, packets| {
                for packet in packets.drain(..) {
                    let mut letters = Vec::new();
                    let outputs = apply(&packet.changes, &mut compute, &stage, &mut letters);
                    let mut session = main.session(&capability);
                    outputs
                        .into_iter()
                        .filter(|changes| !changes.is_empty())
                        .for_each(|changes| session.give(packet.derived(changes)));
                    if let Some(rows) = uncomputed.rows(&letters) {
                        dead.session(&capability).give(Packet::from(rows));
                    }
                }
            });
        }
    });
    (main_stream, dead_stream)
}

/// The columns at `indices`, in that order, named by `output`.
pub fn select<'scope>(
    input: Changes<'scope>,
    indices: Vec<usize>,
    output: SchemaRef,
) -> Changes<'scope> {
    input.map(move |packet: Packet| {
        let rows = &packet.changes.rows;
        let arrays = indices.iter().map(|&i| rows.column(i).clone()).collect();
        let rows = columns::batch(&output, arrays, rows.num_rows());
        Packet::from(ChangeBatch {
            rows: rows.expect("the plan names the columns as they are"),
            diffs: packet.changes.diffs,
        })
    })
}

fn apply<F>(
    changes: &ChangeBatch,
    compute: &mut F,
    stage: &str,
    letters: &mut Vec<DeadLetter>,
) -> Vec<ChangeBatch>
where
    F: FnMut(&RecordBatch) -> Result<Computed, ArrowError>,
{
    let mut outputs = Vec::new();
    // Ranges of rows that are still to be computed, the next one last.
    let mut open = Vec::<Range<usize>>::new();
    open.push(0..changes.len());
    while let Some(range) = open.pop() {
        let rows = changes.rows.slice(range.start, range.len());
        match compute(&rows) {
            Ok(computed) => outputs.push(with_diffs(changes, computed, range.start)),
            Err(error) if range.len() <= 1 => {
                if changes.diff(range.start) > 0 {
                    letters.push(letter(stage, &rows, 0, reason(&error)));
                }
            }
            Err(_) => {
                let middle = range.start + range.len() / 2;
                open.push(middle..range.end);
                open.push(range.start..middle);
            }
        }
    }
    outputs
}

/// What was computed from the rows from `offset` on, with their diffs.
fn with_diffs(changes: &ChangeBatch, computed: Computed, offset: usize) -> ChangeBatch {
    ChangeBatch {
        diffs: changes.diffs.as_ref().map(|diffs| match &computed.kept {
            Some(kept) => kept.set_indices().map(|i| diffs[offset + i]).collect(),
            None => diffs[offset..offset + computed.rows.num_rows()].to_vec(),
        }),
        rows: computed.rows,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::cast::AsArray;
    use arrow_array::types::Int64Type;
    use arrow_array::{Int64Array, RecordBatch, UInt32Array};
    use arrow_buffer::BooleanBuffer;
    use arrow_schema::{ArrowError, DataType, Field, Schema};
    use tidemill_types::{ChangeBatch, system_columns};

    use super::{Computed, apply};

    fn changes(numbers: &[i64], diffs: Vec<i64>) -> ChangeBatch {
        let schema = Schema::new(vec![
            Field::new("number", DataType::Int64, false),
            Field::new(system_columns::PARTITION, DataType::UInt32, false),
            Field::new(system_columns::OFFSET, DataType::Int64, false),
        ]);
        let offsets: Vec<i64> = (100..).take(numbers.len()).collect();
        let columns: Vec<arrow_array::ArrayRef> = vec![
            Arc::new(Int64Array::from(numbers.to_vec())),
            Arc::new(UInt32Array::from(vec![7; numbers.len()])),
            Arc::new(Int64Array::from(offsets)),
        ];
        let rows = RecordBatch::try_new(Arc::new(schema), columns).expect("of the schema");
        ChangeBatch::new(rows, diffs)
    }

    /// Fails on a batch with a negative number; keeps the odd ones.
    fn odd(rows: &RecordBatch) -> Result<Computed, ArrowError> {
        let numbers = rows.column(0).as_primitive::<Int64Type>();
        if let Some(number) = numbers.values().iter().find(|number| **number < 0) {
            return Err(ArrowError::ComputeError(format!("{number} is negative")));
        }
        let kept: BooleanBuffer = numbers
            .values()
            .iter()
            .map(|number| number % 2 == 1)
            .collect();
        let mask = arrow_array::BooleanArray::new(kept.clone(), None);
        Ok(Computed {
            rows: arrow_select::filter::filter_record_batch(rows, &mask)?,
            kept: Some(kept),
        })
    }

    #[test]
    fn rows_at_fault_are_dead_letters_and_all_others_go_on_in_their_order() {
        let numbers = vec![1, 2, -3, 5, 7, -8, 9, 10, 11];
        let diffs = vec![1, 1, 1, -1, 1, 1, -1, 1, 2];
        let mut letters = Vec::new();
        let outputs = apply(&changes(&numbers, diffs), &mut odd, "stage", &mut letters);
        let rows: Vec<(i64, i64)> = outputs
            .iter()
            .flat_map(|batch| {
                let numbers = batch.rows.column(0).as_primitive::<Int64Type>();
                (0..batch.len()).map(|row| (numbers.value(row), batch.diff(row)))
            })
            .collect();
        assert_eq!(rows, [(1, 1), (5, -1), (7, 1), (9, -1), (11, 2)]);
        let letters: Vec<_> = letters
            .iter()
            .map(|letter| (letter.partition, letter.offset, letter.reason.as_str()))
            .collect();
        assert_eq!(
            letters,
            [(7, 102, "-3 is negative"), (7, 105, "-8 is negative")]
        );
    }

    #[test]
    fn a_row_at_fault_that_is_taken_away_was_never_there() {
        let mut letters = Vec::new();
        let outputs = apply(&changes(&[-1], vec![-1]), &mut odd, "stage", &mut letters);
        assert!(outputs.is_empty() && letters.is_empty());
    }
}
