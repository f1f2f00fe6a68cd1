//! Stateless stages: projections and filters, column-wise, batch by batch.
//!
//! What a row does to its stage stays with that row: if a batch cannot be evaluated, its rows are evaluated one by one, and the ones that
//! fail (an overflow, a cast) leave on the side stream as dead letters with the reason.

use arrow_array::{ArrayRef, RecordBatch};
use arrow_buffer::BooleanBuffer;
use arrow_cast::display::array_value_to_string;
use arrow_schema::{ArrowError, FieldRef, SchemaRef};
use tidemill_types::{ChangeBatch, DeadLetter};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::vec::Map;

use crate::decode::ledger_rows;
use crate::error::Context;
use crate::{Changes, Counter, Failure, Packet, columns};

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
    ledger: SchemaRef,
    failed: Counter,
    failure: Failure,
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
                    if !letters.is_empty() {
                        failed.add(letters.len() as u64);
                        match ledger_rows(&ledger, &letters).of(&stage) {
                            Ok(rows) => dead
                                .session(&capability)
                                .give(Packet::from(ChangeBatch::inserts(rows))),
                            Err(error) => failure.report(error),
                        }
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
    let keep_diffs = |computed: Computed, offset: usize| ChangeBatch {
        diffs: changes.diffs.as_ref().map(|diffs| match &computed.kept {
            Some(kept) => kept.set_indices().map(|i| diffs[offset + i]).collect(),
            None => diffs[offset..offset + computed.rows.num_rows()].to_vec(),
        }),
        rows: computed.rows,
    };
    if let Ok(computed) = compute(&changes.rows) {
        return vec![keep_diffs(computed, 0)];
    }
    let mut outputs = Vec::new();
    for row in 0..changes.len() {
        match compute(&changes.rows.slice(row, 1)) {
            Ok(computed) => outputs.push(keep_diffs(computed, row)),
            Err(error) if changes.diff(row) > 0 => letters.push(DeadLetter {
                topic: stage.to_owned(),
                partition: 0,
                offset: -1,
                reason: format!("cannot be computed: {error}"),
                bytes: describe(&changes.rows.slice(row, 1)).into_bytes(),
            }),
            Err(_) => {}
        }
    }
    outputs
}

/// A row as text, for a person.
pub fn describe(row: &RecordBatch) -> String {
    let schema = row.schema();
    let show = |(field, column): (&FieldRef, &ArrayRef)| {
        let value = array_value_to_string(column, 0).unwrap_or_else(|error| error.to_string());
        format!("{} = {value}", field.name())
    };
    schema
        .fields()
        .iter()
        .zip(row.columns())
        .map(show)
        .collect::<Vec<_>>()
        .join(", ")
}
