//! Reductions: GROUP BY and DISTINCT on differential dataflow.
//!
//! Aggregates that are sums ([`AggregateSpec::is_accumulable`]) travel as differences: a group's row is its sums, changed by adding,
//! however many rows the group has. A group with any other aggregate (least, greatest, distinct, sums of floating-point numbers) keeps
//! its argument rows and is computed anew, from them in sorted order, in every epoch that changes it.

use std::rc::Rc;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, ArrayRef, Float64Array, UInt32Array};
use arrow_schema::{ArrowError, DataType, SchemaRef};
use arrow_select::take::take;
use differential_dataflow::AsCollection;
use differential_dataflow::operators::CountTotal;
use hashbrown::{HashMap, HashSet};
use tidemill_types::{ChangeBatch, Row, RowCodec};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Concat;
use timely::dataflow::operators::generic::operator::Operator;

use crate::accumulators::{
    AccumulatorPlan, Accumulators, AggregateSpec, Function, average, exact_numbers, exact_sum,
    numbers_to_array,
};
use crate::error::Context;
use crate::keyed::KeyedLayout;
use crate::shell::Batches;
use crate::{Changes, Error, Failure, Packet, Ticks, columns};

/// Settings of a GROUP BY.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Name of the operator.
    pub name: String,
    /// Group columns of the input; none is one group, which always has a row.
    pub group: Vec<usize>,
    /// The aggregates.
    pub aggregates: Vec<AggregateSpec>,
}

/// Groups and aggregates. Output: the group columns, then the aggregates, named by `output`.
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
) -> Result<Changes<'scope>, Error> {
    let Settings {
        name,
        group,
        aggregates,
    } = settings;
    let keys = RowCodec::new(group.iter().map(|&i| schema.field(i).data_type())).of(&name)?;
    let groups = Groups {
        name,
        columns: group,
        keys: Rc::new(keys),
        output: output.clone(),
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
    output: SchemaRef,
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
    ) -> Changes<'scope> {
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
                let mut arrays = self.keys.decode(keys).of(&name)?;
                let sums: Vec<_> = changes.iter().map(|((_, sums), _)| sums).collect();
                arrays.extend(plan.finish(&sums).of(&name)?);
                let diffs = changes.iter().map(|&(_, diff)| diff).collect();
                let rows = columns::batch(&self.output, arrays, changes.len()).of(&name)?;
                Ok(ChangeBatch::new(rows, diffs))
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
    ) -> Result<Changes<'scope>, Error> {
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
                let row = results_of(&rows, &specs, &arguments)
                    .and_then(|columns| encode.encode(&columns, 1));
                match row.of(&operator) {
                    Ok(row) => out.push((Row::from(row.bytes(0)), 1)),
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
                let mut arrays = self.keys.decode(keys).of(&operator)?;
                let rows = changes.iter().map(|((_, row), _)| row.as_bytes());
                arrays.extend(results.decode(rows).of(&operator)?);
                let diffs = changes.iter().map(|&(_, diff)| diff).collect();
                let rows = columns::batch(&self.output, arrays, changes.len()).of(&operator)?;
                Ok(ChangeBatch::new(rows, diffs))
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

/// Turns differential updates into batches, epoch by epoch.
fn to_batches<'scope, D, F>(
    input: Batches<'scope, (D, u64, i64)>,
    name: &str,
    failure: Failure,
    mut assemble: F,
) -> Changes<'scope>
where
    D: Clone + 'static,
    F: FnMut(Vec<(D, i64)>) -> Result<ChangeBatch, Error> + 'static,
{
    input.unary::<CapacityContainerBuilder<Vec<Packet>>, _, _, _>(
        Pipeline,
        &format!("columns {name}"),
        move |_, _| {
            move |input, output| {
                input.for_each(|capability, updates| {
                    updates.sort_by_key(|&(_, epoch, _)| epoch);
                    for updates in updates.chunk_by(|a, b| a.1 == b.1) {
                        let capability = capability.delayed(&updates[0].1, 0);
                        match assemble(
                            updates
                                .iter()
                                .map(|(data, _, diff)| (data.clone(), *diff))
                                .collect(),
                        ) {
                            Ok(changes) if changes.is_empty() => {}
                            Ok(changes) => output.session(&capability).give(Packet::from(changes)),
                            Err(error) => failure.report(error),
                        }
                    }
                });
            }
        },
    )
}

/// The aggregates of one group, each a column of one value, from its argument rows in sorted order.
fn results_of(
    rows: &[(&[u8], i64)],
    specs: &[AggregateSpec],
    codec: &RowCodec,
) -> Result<Vec<ArrayRef>, ArrowError> {
    let arguments = codec.decode(rows.iter().map(|&(row, _)| row))?;
    let mut arguments = arguments.into_iter();
    specs
        .iter()
        .map(|spec| match spec.argument {
            None => numbers_to_array(
                std::iter::once(Some(rows.iter().map(|&(_, count)| i128::from(count)).sum())),
                &spec.data_type,
            ),
            Some(_) => {
                let column = arguments.next().expect("a column per argument");
                let counts: Vec<i64> = rows.iter().map(|&(_, count)| count).collect();
                result_of(spec, &column, &counts)
            }
        })
        .collect()
}

fn result_of(
    spec: &AggregateSpec,
    column: &ArrayRef,
    counts: &[i64],
) -> Result<ArrayRef, ArrowError> {
    let codec = RowCodec::new([column.data_type()])?;
    let encoded = codec.encode(std::slice::from_ref(column), column.len())?;
    let mut valid: Vec<(usize, i64)> = (0..column.len())
        .filter(|&row| column.is_valid(row))
        .map(|row| (row, counts[row]))
        .collect();
    valid.sort_by(|a, b| encoded.bytes(a.0).cmp(encoded.bytes(b.0)));
    if spec.distinct {
        let mut seen = HashSet::new();
        valid.retain(|&(row, _)| seen.insert(encoded.bytes(row)));
        valid.iter_mut().for_each(|(_, count)| *count = 1);
    }
    let number: i128 = valid.iter().map(|&(_, count)| i128::from(count)).sum();
    match spec.function {
        Function::Count => numbers_to_array(std::iter::once(Some(number)), &spec.data_type),
        Function::Min | Function::Max => {
            let row = if spec.function == Function::Min {
                valid.first()
            } else {
                valid.last()
            };
            let index: UInt32Array = std::iter::once(row.map(|&(row, _)| {
                u32::try_from(row).expect("a group has fewer than 2^32 distinct rows")
            }))
            .collect();
            take(column, &index, None)
        }
        Function::Sum | Function::Avg if column.data_type() == &DataType::Float64 => {
            let values = column.as_primitive::<Float64Type>();
            #[expect(
                clippy::cast_precision_loss,
                reason = "floating-point aggregates are approximate by nature"
            )]
            let sum: f64 = valid
                .iter()
                .map(|&(row, count)| values.value(row) * count as f64)
                .sum();
            #[expect(
                clippy::cast_precision_loss,
                reason = "floating-point aggregates are approximate by nature"
            )]
            let result = if spec.function == Function::Sum {
                sum
            } else {
                sum / number as f64
            };
            Ok(Arc::new(Float64Array::from(vec![
                (number > 0).then_some(result),
            ])))
        }
        Function::Sum | Function::Avg => {
            let values = exact_numbers(column)?;
            let numbers = valid
                .iter()
                .map(|&(row, count)| (values[row].unwrap_or(0), count));
            let sum = exact_sum(numbers);
            let result = if spec.function == Function::Sum {
                sum
            } else {
                sum.and_then(|sum| average(sum, number.max(1), spec))
            };
            numbers_to_array(
                std::iter::once(result.filter(|_| number > 0)),
                &spec.data_type,
            )
        }
    }
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
    Ok(to_batches(
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
            Ok(ChangeBatch::new(
                batch,
                rows.into_iter().map(|(_, diff)| diff).collect(),
            ))
        },
    ))
}
