//! Reductions: GROUP BY and DISTINCT on differential dataflow.
//!
//! Aggregates that are sums ([`AggregateSpec::is_accumulable`]) travel as differences: a group's row is its sums, changed by adding,
//! however many rows the group has. A group with any other aggregate (least, greatest, distinct, sums of floating-point numbers) keeps
//! its argument rows and is computed anew, from them in sorted order, in every epoch that changes it.

use std::rc::Rc;

use arrow_schema::{ArrowError, SchemaRef};
use differential_dataflow::AsCollection;
use differential_dataflow::operators::CountTotal;
use hashbrown::HashMap;
use tidemill_types::{ChangeBatch, Row, RowCodec};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Concat;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::operator::Operator;

use crate::accumulators::{AccumulatorPlan, Accumulators, AggregateSpec};
use crate::error::Context;
use crate::group_rows::GroupRows;
use crate::keyed::KeyedLayout;
use crate::shell::Batches;
use crate::uncomputed::Uncomputed;
use crate::{Changes, Error, Failure, Packet, Ticks, recompute};

/// Settings of a GROUP BY.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Name of the operator.
    pub name: String,
    /// Group columns of the input; none is one group, which always has a row.
    pub group: Vec<usize>,
    /// The aggregates.
    pub aggregates: Vec<AggregateSpec>,
    /// Where groups go that have an aggregate beyond its type.
    pub uncomputed: Uncomputed,
}

/// Groups and aggregates. Output: the group columns, then the aggregates, named by `output`; and the dead letters of
/// groups with an aggregate that does not fit its type.
///
/// # Errors
/// If a type has no encoding.
pub fn aggregate<'scope>(
    input: Changes<'scope>,
    ticks: Ticks<'scope>,
    settings: Settings,
    schema: &SchemaRef,
    output: &SchemaRef,
    failure: &Failure,
) -> Result<(Changes<'scope>, Changes<'scope>), Error> {
    let Settings {
        name,
        group,
        aggregates,
        uncomputed,
    } = settings;
    let keys = RowCodec::new(group.iter().map(|&i| schema.field(i).data_type())).of(&name)?;
    let groups = Groups {
        rows: GroupRows::new(&name, &aggregates, schema, output, uncomputed),
        name,
        columns: group,
        keys: Rc::new(keys),
        failure: failure.clone(),
    };
    if aggregates.iter().all(AggregateSpec::is_accumulable) {
        Ok(groups.accumulate(input, ticks, AccumulatorPlan::new(aggregates)))
    } else {
        groups.recompute(input, ticks, aggregates)
    }
}

/// The groups of a GROUP BY.
struct Groups {
    name: String,
    /// Group columns of the input.
    columns: Vec<usize>,
    keys: Rc<RowCodec>,
    rows: GroupRows,
    failure: Failure,
}

impl Groups {
    /// GROUP BY without columns: one group, which always has a row.
    const fn is_global(&self) -> bool {
        self.columns.is_empty()
    }

    fn accumulate<'scope>(
        self,
        input: Changes<'scope>,
        ticks: Ticks<'scope>,
        plan: AccumulatorPlan,
    ) -> (Changes<'scope>, Changes<'scope>) {
        let plan = Rc::new(plan);
        let mut updates = self.sums(input, Rc::clone(&plan));
        if self.is_global() {
            // A presence beside the row count, so that the one group has a row even without input.
            updates = updates.concat(seed(ticks, (Row::default(), presence(&plan))));
        }
        let counted = updates.as_collection().count_total_core::<i64>();
        let (name, failure, global) = (self.name.clone(), self.failure.clone(), self.is_global());
        to_batches(
            counted.inner,
            &self.name,
            failure,
            move |changes: Vec<((Row, Accumulators), i64)>| {
                let changes: Vec<_> = changes
                    .into_iter()
                    .filter(|((_, sums), _)| global || sums.rows() > 0)
                    .collect();
                let keys = changes.iter().map(|((key, _), _)| key.as_bytes());
                let keys = self.keys.decode(keys).of(&name)?;
                let sums: Vec<_> = changes.iter().map(|((_, sums), _)| sums).collect();
                let finished = plan.finish(&sums).of(&name)?;
                let diffs = changes.iter().map(|&(_, diff)| diff).collect();
                self.rows.assemble(keys, finished, diffs)
            },
        )
    }

    /// What each batch adds to the sums of its groups.
    fn sums<'scope>(
        &self,
        input: Changes<'scope>,
        plan: Rc<AccumulatorPlan>,
    ) -> Batches<'scope, (Row, u64, Accumulators)> {
        let (columns, keys) = (self.columns.clone(), Rc::clone(&self.keys));
        map_batches(
            input,
            &format!("sum {}", self.name),
            self.failure.clone(),
            move |epoch, changes| {
                let groups = combine(changes, &columns, &keys, &plan)?;
                let update = |(key, sums)| (key, epoch, sums);
                Ok(groups.into_iter().map(update).collect())
            },
        )
    }

    fn recompute<'scope>(
        self,
        input: Changes<'scope>,
        ticks: Ticks<'scope>,
        specs: Vec<AggregateSpec>,
    ) -> Result<(Changes<'scope>, Changes<'scope>), Error> {
        let name = self.name.clone();
        let argument_types = specs.iter().filter_map(|spec| spec.argument_type.as_ref());
        let arguments = Rc::new(RowCodec::new(argument_types).of(&name)?);
        let results = Rc::new(RowCodec::new(specs.iter().map(|spec| &spec.data_type)).of(&name)?);
        let mut updates = self.argument_rows(input, &specs, Rc::clone(&arguments));
        if self.is_global() {
            let presence = Row::from(&[PRESENCE][..]);
            updates = updates.concat(seed(ticks, ((Row::default(), presence), 1)));
        }
        let (operator, report, encode) = (name.clone(), self.failure.clone(), Rc::clone(&results));
        let reduced = updates.as_collection().reduce_named(
            &name,
            move |_, rows: &[(&Row, i64)], out: &mut Vec<(Row, i64)>| {
                let rows: Vec<(&[u8], i64)> = rows
                    .iter()
                    .filter(|(row, _)| row.as_bytes()[0] == INPUT)
                    .map(|(row, count)| (&row.as_bytes()[1..], *count))
                    .collect();
                match recompute::row(&rows, &specs, &arguments, &encode).of(&operator) {
                    Ok(row) => out.push((row, 1)),
                    Err(error) => report.report(error),
                }
            },
        );
        let (operator, failure) = (self.name.clone(), self.failure.clone());
        Ok(to_batches(
            reduced.inner,
            &name,
            failure,
            move |changes: Vec<((Row, Row), i64)>| {
                let keys = changes.iter().map(|((key, _), _)| key.as_bytes());
                let keys = self.keys.decode(keys).of(&operator)?;
                let rows = changes.iter().map(|((_, row), _)| row.as_bytes());
                let finished = recompute::finished(rows, &results).of(&operator)?;
                let diffs = changes.iter().map(|&(_, diff)| diff).collect();
                self.rows.assemble(keys, finished, diffs)
            },
        ))
    }

    /// The group and the aggregates' arguments of every row.
    fn argument_rows<'scope>(
        &self,
        input: Changes<'scope>,
        specs: &[AggregateSpec],
        arguments: Rc<RowCodec>,
    ) -> Batches<'scope, ((Row, Row), u64, i64)> {
        let (columns, keys) = (self.columns.clone(), Rc::clone(&self.keys));
        let argument_columns: Vec<usize> = specs.iter().filter_map(|spec| spec.argument).collect();
        map_batches(
            input,
            &format!("arguments {}", self.name),
            self.failure.clone(),
            move |epoch, changes| {
                let encode = |codec: &RowCodec, columns: &[usize]| {
                    let column = |&i: &usize| changes.rows.column(i).clone();
                    let arrays: Vec<_> = columns.iter().map(column).collect();
                    codec.encode(&arrays, changes.len())
                };
                let keys = encode(&keys, &columns)?;
                let arguments = encode(&arguments, &argument_columns)?;
                let update = |row| {
                    let argument = [&[INPUT], arguments.bytes(row)].concat();
                    let key = Row::from(keys.bytes(row));
                    let argument = Row::from(argument.as_slice());
                    ((key, argument), epoch, changes.diff(row))
                };
                Ok((0..changes.len()).map(update).collect())
            },
        )
    }
}

/// In front of an argument row: a row of the input, or the presence of the one group of a GROUP BY without columns.
const INPUT: u8 = 1;
const PRESENCE: u8 = 0;

/// Turns every batch into differential updates.
fn map_batches<'scope, D, F>(
    input: Changes<'scope>,
    name: &str,
    failure: Failure,
    mut updates: F,
) -> Batches<'scope, D>
where
    D: Clone + 'static,
    F: FnMut(u64, &ChangeBatch) -> Result<Vec<D>, ArrowError> + 'static,
{
    let operator = name.to_owned();
    input.unary::<CapacityContainerBuilder<Vec<D>>, _, _, _>(Pipeline, name, move |_, _| {
        move |input, output| {
            input.for_each(|capability, packets| {
                let epoch = *capability.least().expect("a message carries its epoch");
                let mut session = output.session(&capability);
                for packet in packets.drain(..) {
                    match updates(epoch, &packet.changes).of(&operator) {
                        Ok(updates) => session.give_iterator(updates.into_iter()),
                        Err(error) => failure.report(error),
                    }
                }
            });
        }
    })
}

/// Sums that differ from zero in a slot that no aggregate reads.
fn presence(plan: &AccumulatorPlan) -> Accumulators {
    let mut sums = plan.zero();
    sums.0.push(1);
    sums
}

/// The changes of a batch, one per group.
fn combine(
    changes: &ChangeBatch,
    group: &[usize],
    codec: &RowCodec,
    plan: &AccumulatorPlan,
) -> Result<Vec<(Row, Accumulators)>, ArrowError> {
    let columns: Vec<_> = group
        .iter()
        .map(|&i| changes.rows.column(i).clone())
        .collect();
    let keys = codec.encode(&columns, changes.len())?;
    let arguments = plan.arguments(&changes.rows)?;
    let mut groups: HashMap<&[u8], Accumulators> = HashMap::new();
    for row in 0..changes.len() {
        let sums = groups.entry(keys.bytes(row)).or_insert_with(|| {
            let mut sums = plan.zero();
            if group.is_empty() {
                sums.0.push(0);
            }
            sums
        });
        plan.add(sums, &arguments, row, changes.diff(row));
    }
    Ok(groups
        .into_iter()
        .map(|(key, sums)| (Row::from(key), sums))
        .collect())
}

/// One value in the first epoch of the process, on the first worker.
fn seed<'scope, D: Clone + 'static, R: Clone + 'static>(
    ticks: Ticks<'scope>,
    value: (D, R),
) -> Batches<'scope, (D, u64, R)> {
    let mut value = Some(value).filter(|_| ticks.scope().index() == 0);
    ticks.unary::<CapacityContainerBuilder<Vec<(D, u64, R)>>, _, _, _>(
        Pipeline,
        "seed",
        move |_, _| {
            move |input, output| {
                input.for_each(|capability, _| {
                    if let Some((data, diff)) = value.take() {
                        let epoch = *capability.least().expect("a tick carries its epoch");
                        output.session(&capability).give((data, epoch, diff));
                    }
                });
            }
        },
    )
}

/// Turns differential updates into batches, epoch by epoch; beside them go the dead letters that come of it.
fn to_batches<'scope, D, F>(
    input: Batches<'scope, (D, u64, i64)>,
    name: &str,
    failure: Failure,
    mut assemble: F,
) -> (Changes<'scope>, Changes<'scope>)
where
    D: Clone + 'static,
    F: FnMut(Vec<(D, i64)>) -> Result<(ChangeBatch, Option<ChangeBatch>), Error> + 'static,
{
    let mut builder = OperatorBuilder::new(format!("columns {name}"), input.scope());
    let mut input = builder.new_input(input, Pipeline);
    let (main, main_stream) = builder.new_output::<Vec<Packet>>();
    let (dead, dead_stream) = builder.new_output::<Vec<Packet>>();
    let mut main = OutputBuilder::<_, CapacityContainerBuilder<Vec<Packet>>>::from(main);
    let mut dead = OutputBuilder::<_, CapacityContainerBuilder<Vec<Packet>>>::from(dead);
    builder.build(move |_| {
        move |_| {
            let (mut main, mut dead) = (main.activate(), dead.activate());
            input.for_each(|capability, updates| {
                updates.sort_by_key(|&(_, epoch, _)| epoch);
                for updates in updates.chunk_by(|a, b| a.1 == b.1) {
                    let changes = updates
                        .iter()
                        .map(|(data, _, diff)| (data.clone(), *diff))
                        .collect();
                    match assemble(changes) {
                        Ok((rows, letters)) => {
                            if !rows.is_empty() {
                                let capability = capability.delayed(&updates[0].1, 0);
                                main.session(&capability).give(Packet::from(rows));
                            }
                            if let Some(letters) = letters {
                                let capability = capability.delayed(&updates[0].1, 1);
                                dead.session(&capability).give(Packet::from(letters));
                            }
                        }
                        Err(error) => failure.report(error),
                    }
                }
            });
        }
    });
    (main_stream, dead_stream)
}

/// The set of rows.
///
/// # Errors
/// If a type has no encoding.
pub fn distinct<'scope>(
    input: Changes<'scope>,
    schema: &SchemaRef,
    name: &str,
    failure: &Failure,
) -> Result<Changes<'scope>, Error> {
    let all: Vec<String> = schema
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect();
    let layout = Rc::new(KeyedLayout::new(schema, &all).of(name)?);
    let updates = crate::arrange::encode(input, Rc::clone(&layout), name, failure.clone());
    let counted = updates
        .as_collection()
        .map(|(row, _)| row)
        .count_total_core::<i64>();
    let operator = name.to_owned();
    let (rows, _) = to_batches(
        counted.inner,
        name,
        failure.clone(),
        move |changes: Vec<((Row, i64), i64)>| {
            // A count that changes takes the row away and adds it again.
            let mut rows: Vec<(Row, i64)> = changes
                .into_iter()
                .filter(|((_, count), _)| *count > 0)
                .map(|((row, _), diff)| (row, diff))
                .collect();
            differential_dataflow::consolidation::consolidate(&mut rows);
            let batch = layout
                .decode(
                    rows.iter().map(|(row, _)| row.as_bytes()),
                    std::iter::repeat_n(&[][..], rows.len()),
                )
                .of(&operator)?;
            let diffs = rows.into_iter().map(|(_, diff)| diff).collect();
            Ok((ChangeBatch::new(batch, diffs), None))
        },
    );
    Ok(rows)
}
