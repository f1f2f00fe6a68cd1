//! Aggregates that are computed anew from all argument rows of their group: least, greatest, distinct, floating-point
//! sums.
//!
//! A group's results travel as one encoded row: a byte that says whether all of them fit their types, then the results,
//! or which aggregate does not fit. Sums of floating-point numbers are added in sorted order, so that they depend on
//! the rows alone; one that is not a number any more, or infinite, does not fit.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, ArrayRef, Float64Array, UInt32Array};
use arrow_schema::{ArrowError, DataType};
use arrow_select::take::take;
use hashbrown::HashSet;
use tidemill_types::{AggregateFunction, Row, RowCodec};

use crate::accumulators::{
    AggregateSpec, Beyond, Finished, average, exact_numbers, exact_sum, numbers_to_array,
};

const FITS: u8 = 1;
const BEYOND: u8 = 0;

/// The encoded results of one group, from its argument rows in sorted order.
///
/// # Errors
/// If an argument has another type than its spec.
pub fn row(
    rows: &[(&[u8], i64)],
    specs: &[AggregateSpec],
    arguments: &RowCodec,
    results: &RowCodec,
) -> Result<Row, ArrowError> {
    let (columns, beyond) = results_of(rows, specs, arguments)?;
    let row = match beyond {
        None => [&[FITS], results.encode(&columns, 1)?.bytes(0)].concat(),
        Some(index) => {
            let index = u32::try_from(index).expect("a query has fewer than 2^32 aggregates");
            [&[BEYOND][..], &index.to_be_bytes()].concat()
        }
    };
    Ok(Row::from(row.as_slice()))
}

/// The results of groups from their encoded rows. Those of a group that does not fit are those of the first that does,
/// or null.
///
/// # Errors
/// If bytes are not such a row.
pub fn finished<'a>(
    rows: impl Iterator<Item = &'a [u8]>,
    results: &RowCodec,
) -> Result<Finished, ArrowError> {
    let (mut encoded, mut places, mut beyond) = (Vec::new(), Vec::new(), BTreeMap::new());
    for (group, row) in rows.enumerate() {
        match (row[0], row[1..].try_into()) {
            (BEYOND, Ok(index)) => {
                beyond.insert(group, u32::from_be_bytes(index) as usize);
                places.push(None);
            }
            _ => {
                places.push(u32::try_from(encoded.len()).ok());
                encoded.push(&row[1..]);
            }
        }
    }
    let fitting = results.decode(encoded)?;
    if beyond.is_empty() {
        return Ok(Finished {
            columns: fitting,
            beyond,
        });
    }
    let places = UInt32Array::from(places);
    let columns = fitting.iter().map(|column| take(column, &places, None));
    Ok(Finished {
        columns: columns.collect::<Result<_, _>>()?,
        beyond,
    })
}

/// The aggregates of one group, each a column of one value, and the first that does not fit its type.
fn results_of(
    rows: &[(&[u8], i64)],
    specs: &[AggregateSpec],
    codec: &RowCodec,
) -> Result<(Vec<ArrayRef>, Option<usize>), ArrowError> {
    let arguments = codec.decode(rows.iter().map(|&(row, _)| row))?;
    let mut arguments = arguments.into_iter();
    let mut beyond = None;
    let mut columns = Vec::with_capacity(specs.len());
    for (index, spec) in specs.iter().enumerate() {
        let (column, fits) = match spec.argument {
            None => {
                let number = rows.iter().map(|&(_, count)| i128::from(count)).sum();
                exact(Ok(Some(number)), &spec.data_type)?
            }
            Some(_) => {
                let column = arguments.next().expect("a column per argument");
                let counts: Vec<i64> = rows.iter().map(|&(_, count)| count).collect();
                result_of(spec, &column, &counts)?
            }
        };
        columns.push(column);
        if !fits {
            beyond.get_or_insert(index);
        }
    }
    Ok((columns, beyond))
}

/// A column of one exact number, and whether it fits.
fn exact(
    number: Result<Option<i128>, Beyond>,
    data_type: &DataType,
) -> Result<(ArrayRef, bool), ArrowError> {
    let (column, beyond) = numbers_to_array(std::iter::once(number), data_type)?;
    Ok((column, beyond.is_empty()))
}

/// The result of an aggregate over a column of values with their counts, and whether it fits.
fn result_of(
    spec: &AggregateSpec,
    column: &ArrayRef,
    counts: &[i64],
) -> Result<(ArrayRef, bool), ArrowError> {
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
        AggregateFunction::Count => exact(Ok(Some(number)), &spec.data_type),
        AggregateFunction::Min | AggregateFunction::Max => {
            let row = if spec.function == AggregateFunction::Min {
                valid.first()
            } else {
                valid.last()
            };
            let index: UInt32Array = std::iter::once(row.map(|&(row, _)| {
                u32::try_from(row).expect("a group has fewer than 2^32 distinct rows")
            }))
            .collect();
            Ok((take(column, &index, None)?, true))
        }
        AggregateFunction::Sum | AggregateFunction::Avg
            if column.data_type() == &DataType::Float64 =>
        {
            Ok(approximate(
                spec,
                column.as_primitive::<Float64Type>(),
                &valid,
            ))
        }
        AggregateFunction::Sum | AggregateFunction::Avg => {
            let values = exact_numbers(column)?;
            let numbers = valid
                .iter()
                .map(|&(row, count)| (values[row].unwrap_or(0), count));
            let sum = exact_sum(numbers);
            let result = match spec.function {
                _ if number <= 0 => Ok(None),
                AggregateFunction::Sum => sum.to_i128().map(Some).ok_or(Beyond),
                _ => average(sum, number, spec).map(Some),
            };
            exact(result, &spec.data_type)
        }
    }
}

/// A floating-point sum or average.
#[expect(
    clippy::cast_precision_loss,
    reason = "floating-point aggregates are approximate by nature"
)]
fn approximate(
    spec: &AggregateSpec,
    values: &Float64Array,
    valid: &[(usize, i64)],
) -> (ArrayRef, bool) {
    let number: i128 = valid.iter().map(|&(_, count)| i128::from(count)).sum();
    let sum: f64 = valid
        .iter()
        .map(|&(row, count)| values.value(row) * count as f64)
        .sum();
    let result = if spec.function == AggregateFunction::Sum {
        sum
    } else {
        sum / number as f64
    };
    let result = Some(result).filter(|_| number > 0);
    let fits = result.is_none_or(f64::is_finite);
    (Arc::new(Float64Array::from(vec![result])), fits)
}
