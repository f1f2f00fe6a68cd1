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

use crate::accumulators::{AccumulatorPlan, Accumulators, AggregateSpec, Function, average, exact_numbers, numbers_to_array};
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
pub fn aggregate<'scope>(input: Changes<'scope>, ticks: Ticks<'scope>, settings: Settings, schema: &SchemaRef, output: &SchemaRef, failure: &Failure) -> Result<Changes<'scope>, Error> {
    let keys = || RowCodec::new(settings.group.iter().map(|&i| schema.field(i).data_type())).of(&settings.name);
    if settings.aggregates.iter().all(AggregateSpec::is_accumulable) {
        accumulate(input, ticks, &settings, keys()?, keys()?, output.clone(), failure)
    } else {
        recompute(input, ticks, &settings, keys()?, keys()?, output.clone(), failure)
    }
}

fn accumulate<'scope>(
    input: Changes<'scope>,
    ticks: Ticks<'scope>,
    settings: &Settings,
    encode_keys: RowCodec,
    decode_keys: RowCodec,
    output: SchemaRef,
    failure: &Failure,
) -> Result<Changes<'scope>, Error> {
    let name = settings.name.clone();
    let plan = Rc::new(AccumulatorPlan::new(settings.aggregates.clone()));
    let (group, sums, operator, report) = (settings.group.clone(), Rc::clone(&plan), name.clone(), failure.clone());
    let mut updates = input.unary::<CapacityContainerBuilder<Vec<(Row, u64, Accumulators)>>, _, _, _>(Pipeline, &format!("sum {name}"), move |_, _| {
        move |input, output| {
            input.for_each(|capability, packets| {
                let epoch = *capability.least().expect("a message carries its epoch");
                let mut session = output.session(&capability);
                for packet in packets.drain(..) {
                    match combine(&packet.changes, &group, &encode_keys, &sums).of(&operator) {
                        Ok(groups) => session.give_iterator(groups.into_iter().map(|(key, sums)| (key, epoch, sums))),
                        Err(error) => report.report(error),
                    }
                }
            });
        }
    });
    if settings.group.is_empty() {
        // A presence beside the row count, so that the one group has a row even without input.
        updates = updates.concat(seed(ticks, (Row::default(), presence(&plan))));
    }
    let global = settings.group.is_empty();
    let counted = updates.as_collection().count_total_core::<i64>();
    let operator = name.clone();
    Ok(to_batches(counted.inner, &name, failure.clone(), move |changes: Vec<((Row, Accumulators), i64)>| {
        let changes: Vec<_> = changes.into_iter().filter(|((_, sums), _)| global || sums.rows() > 0).collect();
        let mut arrays = decode_keys.decode(changes.iter().map(|((key, _), _)| key.as_bytes())).of(&operator)?;
        arrays.extend(plan.finish(&changes.iter().map(|((_, sums), _)| sums).collect::<Vec<_>>()).of(&operator)?);
        let rows = columns::batch(&output, arrays, changes.len()).of(&operator)?;
        Ok(ChangeBatch::new(rows, changes.iter().map(|&(_, diff)| diff).collect()))
    }))
}

/// Sums that differ from zero in a slot that no aggregate reads.
fn presence(plan: &AccumulatorPlan) -> Accumulators {
    let mut sums = plan.zero();
    sums.0.push(1);
    sums
}

/// The changes of a batch, one per group.
fn combine(changes: &ChangeBatch, group: &[usize], codec: &RowCodec, plan: &AccumulatorPlan) -> Result<Vec<(Row, Accumulators)>, ArrowError> {
    let columns: Vec<_> = group.iter().map(|&i| changes.rows.column(i).clone()).collect();
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
    Ok(groups.into_iter().map(|(key, sums)| (Row::from(key), sums)).collect())
}

/// One value in the first epoch of the process, on the first worker.
fn seed<'scope, D: Clone + 'static, R: Clone + 'static>(ticks: Ticks<'scope>, value: (D, R)) -> Batches<'scope, (D, u64, R)> {
    let mut value = Some(value).filter(|_| ticks.scope().index() == 0);
    ticks.unary::<CapacityContainerBuilder<Vec<(D, u64, R)>>, _, _, _>(Pipeline, "seed", move |_, _| {
        move |input, output| {
            input.for_each(|capability, _| {
                if let Some((data, diff)) = value.take() {
                    let epoch = *capability.least().expect("a tick carries its epoch");
                    output.session(&capability).give((data, epoch, diff));
                }
            });
        }
    })
}

/// Turns differential updates into batches, epoch by epoch.
fn to_batches<'scope, D, F>(input: Batches<'scope, (D, u64, i64)>, name: &str, failure: Failure, mut assemble: F) -> Changes<'scope>
where
    D: Clone + 'static,
    F: FnMut(Vec<(D, i64)>) -> Result<ChangeBatch, Error> + 'static,
{
    input.unary::<CapacityContainerBuilder<Vec<Packet>>, _, _, _>(Pipeline, &format!("columns {name}"), move |_, _| {
        move |input, output| {
            input.for_each(|capability, updates| {
                updates.sort_by_key(|&(_, epoch, _)| epoch);
                for updates in updates.chunk_by(|a, b| a.1 == b.1) {
                    let capability = capability.delayed(&updates[0].1, 0);
                    match assemble(updates.iter().map(|(data, _, diff)| (data.clone(), *diff)).collect()) {
                        Ok(changes) if changes.is_empty() => {}
                        Ok(changes) => output.session(&capability).give(Packet::from(changes)),
                        Err(error) => failure.report(error),
                    }
                }
            });
        }
    })
}

/// In front of an argument row: a row of the input, or the presence of the one group of a GROUP BY without columns.
const INPUT: u8 = 1;
const PRESENCE: u8 = 0;

fn recompute<'scope>(
    input: Changes<'scope>,
    ticks: Ticks<'scope>,
    settings: &Settings,
    encode_keys: RowCodec,
    decode_keys: RowCodec,
    output: SchemaRef,
    failure: &Failure,
) -> Result<Changes<'scope>, Error> {
    let name = settings.name.clone();
    let specs = Rc::new(settings.aggregates.clone());
    let argument_columns: Vec<usize> = specs.iter().filter_map(|spec| spec.argument).collect();
    let codec = || RowCodec::new(specs.iter().filter_map(|spec| spec.argument_type.as_ref())).of(&name);
    let (encode_arguments, decode_arguments) = (codec()?, codec()?);
    let results = || RowCodec::new(specs.iter().map(|spec| &spec.data_type)).of(&name);
    let (encode_results, decode_results) = (results()?, results()?);

    let (group, operator, report) = (settings.group.clone(), name.clone(), failure.clone());
    let mut updates = input.unary::<CapacityContainerBuilder<Vec<((Row, Row), u64, i64)>>, _, _, _>(Pipeline, &format!("arguments {name}"), move |_, _| {
        move |input, output| {
            input.for_each(|capability, packets| {
                let epoch = *capability.least().expect("a message carries its epoch");
                let mut session = output.session(&capability);
                for Packet { changes, .. } in packets.drain(..) {
                    let encode = |codec: &RowCodec, columns: &[usize]| {
                        let arrays: Vec<_> = columns.iter().map(|&i| changes.rows.column(i).clone()).collect();
                        codec.encode(&arrays, changes.len())
                    };
                    match encode(&encode_keys, &group).and_then(|keys| Ok((keys, encode(&encode_arguments, &argument_columns)?))).of(&operator) {
                        Ok((keys, arguments)) => session.give_iterator((0..changes.len()).map(|row| {
                            let argument = [&[INPUT], arguments.bytes(row)].concat();
                            ((Row::from(keys.bytes(row)), Row::from(argument.as_slice())), epoch, changes.diff(row))
                        })),
                        Err(error) => report.report(error),
                    }
                }
            });
        }
    });
    if settings.group.is_empty() {
        updates = updates.concat(seed(ticks, ((Row::default(), Row::from(&[PRESENCE][..])), 1)));
    }
    let (operator, report) = (name.clone(), failure.clone());
    let reduced = updates.as_collection().reduce_named(&name, move |_, rows: &[(&Row, i64)], results: &mut Vec<(Row, i64)>| {
        let rows: Vec<(&[u8], i64)> = rows.iter().filter(|(row, _)| row.as_bytes()[0] == INPUT).map(|(row, count)| (&row.as_bytes()[1..], *count)).collect();
        match results_of(&rows, &specs, &decode_arguments).and_then(|columns| encode_results.encode(&columns, 1)).of(&operator) {
            Ok(row) => results.push((Row::from(row.bytes(0)), 1)),
            Err(error) => report.report(error),
        }
    });
    let operator = name.clone();
    Ok(to_batches(reduced.inner, &name, failure.clone(), move |changes: Vec<((Row, Row), i64)>| {
        let mut arrays = decode_keys.decode(changes.iter().map(|((key, _), _)| key.as_bytes())).of(&operator)?;
        arrays.extend(decode_results.decode(changes.iter().map(|((_, row), _)| row.as_bytes())).of(&operator)?);
        let rows = columns::batch(&output, arrays, changes.len()).of(&operator)?;
        Ok(ChangeBatch::new(rows, changes.iter().map(|&(_, diff)| diff).collect()))
    }))
}

/// The aggregates of one group, each a column of one value, from its argument rows in sorted order.
fn results_of(rows: &[(&[u8], i64)], specs: &[AggregateSpec], codec: &RowCodec) -> Result<Vec<ArrayRef>, ArrowError> {
    let arguments = codec.decode(rows.iter().map(|&(row, _)| row))?;
    let mut arguments = arguments.into_iter();
    specs
        .iter()
        .map(|spec| match spec.argument {
            None => numbers_to_array(std::iter::once(Some(rows.iter().map(|&(_, count)| i128::from(count)).sum())), &spec.data_type),
            Some(_) => {
                let column = arguments.next().expect("a column per argument");
                let counts: Vec<i64> = rows.iter().map(|&(_, count)| count).collect();
                result_of(spec, &column, &counts)
            }
        })
        .collect()
}

fn result_of(spec: &AggregateSpec, column: &ArrayRef, counts: &[i64]) -> Result<ArrayRef, ArrowError> {
    let codec = RowCodec::new([column.data_type()])?;
    let encoded = codec.encode(std::slice::from_ref(column), column.len())?;
    let mut valid: Vec<(usize, i64)> = (0..column.len()).filter(|&row| column.is_valid(row)).map(|row| (row, counts[row])).collect();
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
            let row = if spec.function == Function::Min { valid.first() } else { valid.last() };
            let index: UInt32Array = std::iter::once(row.map(|&(row, _)| u32::try_from(row).expect("a group has fewer than 2^32 distinct rows"))).collect();
            take(column, &index, None)
        }
        Function::Sum | Function::Avg if column.data_type() == &DataType::Float64 => {
            let values = column.as_primitive::<Float64Type>();
            #[expect(clippy::cast_precision_loss, reason = "floating-point aggregates are approximate by nature")]
            let sum: f64 = valid.iter().map(|&(row, count)| values.value(row) * count as f64).sum();
            #[expect(clippy::cast_precision_loss, reason = "floating-point aggregates are approximate by nature")]
            let result = if spec.function == Function::Sum { sum } else { sum / number as f64 };
            Ok(Arc::new(Float64Array::from(vec![(number > 0).then_some(result)])))
        }
        Function::Sum | Function::Avg => {
            let values = exact_numbers(column)?;
            let sum: i128 = valid.iter().map(|&(row, count)| values[row].unwrap_or(0) * i128::from(count)).sum();
            let result = if spec.function == Function::Sum { Some(sum) } else { average(sum, number.max(1), spec) };
            numbers_to_array(std::iter::once(result.filter(|_| number > 0)), &spec.data_type)
        }
    }
}

/// The set of rows.
///
/// # Errors
/// If a type has no encoding.
pub fn distinct<'scope>(input: Changes<'scope>, schema: &SchemaRef, name: &str, failure: &Failure) -> Result<Changes<'scope>, Error> {
    let all: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
    let layout = Rc::new(KeyedLayout::new(schema, &all).of(name)?);
    let updates = crate::arrange::encode(input, Rc::clone(&layout), name, failure.clone());
    let counted = updates.as_collection().map(|(row, _)| row).count_total_core::<i64>();
    let operator = name.to_owned();
    Ok(to_batches(counted.inner, name, failure.clone(), move |changes: Vec<((Row, i64), i64)>| {
        // A count that changes takes the row away and adds it again.
        let mut rows: Vec<(Row, i64)> = changes.into_iter().filter(|((_, count), _)| *count > 0).map(|((row, _), diff)| (row, diff)).collect();
        differential_dataflow::consolidation::consolidate(&mut rows);
        let batch = layout.decode(rows.iter().map(|(row, _)| row.as_bytes()), std::iter::repeat_n(&[][..], rows.len())).of(&operator)?;
        Ok(ChangeBatch::new(batch, rows.into_iter().map(|(_, diff)| diff).collect()))
    }))
}
