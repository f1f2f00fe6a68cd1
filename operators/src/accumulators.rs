//! Aggregates that are sums: count, sum and average of exact numbers. They are kept as such, never as lists of values, and can be
//! retracted by subtracting.
//!
//! Slot 0 counts the rows of the group; then each aggregate has the sum of its non-null arguments and their number, as
//! far as it needs them. A slot has 128 bits. The sum of decimals of so many digits that it could pass them has two
//! slots, for the lower 64 bits and for those above: so a sum that fits its type is exact whatever the sums on the way
//! to it were, and one that does not fit is never taken for another: it is [`Beyond`] its type, and the group has no
//! row for as long as it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Decimal128Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, Decimal128Array, Int64Array, RecordBatch, UInt64Array,
};
use arrow_buffer::i256;
use arrow_schema::{ArrowError, DataType};
use differential_dataflow::difference::{IsZero, Semigroup};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use tidemill_types::AggregateFunction;

/// The part of a wide number that has a slot of its own.
const LOW_BITS: i128 = u64::MAX as i128;
/// With so many digits, 10^10 rows fit 128 bits.
const NARROW_DIGITS_MAX: u8 = 28;

/// One aggregate of a group.
#[derive(Debug, Clone)]
pub struct AggregateSpec {
    /// What is computed.
    pub function: AggregateFunction,
    /// Argument column of the input; `None` counts rows.
    pub argument: Option<usize>,
    /// Type of the argument.
    pub argument_type: Option<DataType>,
    /// Counts or sums each distinct value once.
    pub distinct: bool,
    /// Type of the result.
    pub data_type: DataType,
}

impl AggregateSpec {
    /// True if the aggregate can be kept as sums.
    #[must_use]
    pub fn is_accumulable(&self) -> bool {
        !self.distinct
            && match self.function {
                AggregateFunction::Count => true,
                AggregateFunction::Sum | AggregateFunction::Avg => match &self.argument_type {
                    Some(DataType::Decimal128(..)) => true,
                    Some(argument) => argument.is_integer(),
                    None => false,
                },
                AggregateFunction::Min | AggregateFunction::Max => false,
            }
    }
}

/// The sums of a group; a difference in the sense of differential dataflow.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Accumulators(pub SmallVec<[i128; 4]>);

impl IsZero for Accumulators {
    fn is_zero(&self) -> bool {
        self.0.iter().all(|&sum| sum == 0)
    }
}

impl Semigroup for Accumulators {
    fn plus_equals(&mut self, other: &Self) {
        for (sum, other) in self.0.iter_mut().zip(&other.0) {
            *sum += other;
        }
    }
}

impl Accumulators {
    /// How many rows the group has.
    #[must_use]
    pub fn rows(&self) -> i128 {
        self.0[0]
    }

    /// Encodes the sums, 16 bytes each, big endian.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|sum| sum.to_be_bytes()).collect()
    }

    /// Decodes sums; `None` if there are not `slots` of them.
    #[must_use]
    pub fn from_bytes(bytes: &[u8], slots: usize) -> Option<Self> {
        let (chunks, rest) = bytes.as_chunks::<16>();
        (chunks.len() == slots && rest.is_empty()).then(|| {
            Self(
                chunks
                    .iter()
                    .map(|chunk| i128::from_be_bytes(*chunk))
                    .collect(),
            )
        })
    }
}

/// Which slots the aggregates of a group use.
#[derive(Debug, Clone)]
pub struct AccumulatorPlan {
    specs: Vec<AggregateSpec>,
    slots: usize,
}

impl AccumulatorPlan {
    /// A plan; every spec is accumulable.
    #[must_use]
    pub fn new(specs: Vec<AggregateSpec>) -> Self {
        let slots = 1 + specs.iter().map(slots_of).sum::<usize>();
        Self { specs, slots }
    }

    /// How many sums a group has.
    #[must_use]
    pub const fn slots(&self) -> usize {
        self.slots
    }

    /// No rows.
    #[must_use]
    pub fn zero(&self) -> Accumulators {
        Accumulators(SmallVec::from_elem(0, self.slots))
    }

    /// Reads the argument columns of a batch.
    ///
    /// # Errors
    /// If an argument has another type than its spec.
    pub fn arguments(&self, rows: &RecordBatch) -> Result<Arguments, ArrowError> {
        let columns = self.specs.iter().map(|spec| {
            spec.argument
                .map(|i| numbers(rows.column(i), spec))
                .transpose()
        });
        Ok(Arguments(columns.collect::<Result<_, _>>()?))
    }

    /// Adds row `row` of the arguments `diff` times.
    pub fn add(&self, into: &mut Accumulators, arguments: &Arguments, row: usize, diff: i64) {
        let diff = i128::from(diff);
        into.0[0] += diff;
        let mut slot = 1;
        for (spec, column) in self.specs.iter().zip(&arguments.0) {
            if let Some(value) = column.as_ref().and_then(|column| column[row]) {
                match spec.function {
                    AggregateFunction::Count => into.0[slot] += diff,
                    _ if is_wide(spec) => {
                        into.0[slot] += (value & LOW_BITS) * diff;
                        into.0[slot + 1] += diff;
                        into.0[slot + 2] += (value >> LOW_BITS.count_ones()) * diff;
                    }
                    _ => {
                        into.0[slot] += value * diff;
                        into.0[slot + 1] += diff;
                    }
                }
            }
            slot += slots_of(spec);
        }
    }

    /// The aggregates of groups.
    ///
    /// # Errors
    /// If a result type is none of those that sums have.
    pub fn finish(&self, groups: &[&Accumulators]) -> Result<Finished, ArrowError> {
        let mut finished = Finished::default();
        let mut at = 1;
        for (index, spec) in self.specs.iter().enumerate() {
            let results = groups.iter().map(|group| result(group, at, spec));
            let (column, beyond) = numbers_to_array(results, &spec.data_type)?;
            finished.columns.push(column);
            for group in beyond {
                finished.beyond.entry(group).or_insert(index);
            }
            at += slots_of(spec);
        }
        Ok(finished)
    }
}

/// The aggregates of some groups.
#[derive(Debug, Default)]
pub struct Finished {
    /// A column per aggregate.
    pub columns: Vec<ArrayRef>,
    /// The groups that have no row, each with its first aggregate that does not fit its type.
    pub beyond: BTreeMap<usize, usize>,
}

/// A result that does not fit its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beyond;

/// The result of the aggregate whose slots begin at `at`; none over no value.
fn result(group: &Accumulators, at: usize, spec: &AggregateSpec) -> Result<Option<i128>, Beyond> {
    match (spec.function, spec.argument) {
        (AggregateFunction::Count, None) => Ok(Some(group.0[0])),
        (AggregateFunction::Count, Some(_)) => Ok(Some(group.0[at])),
        _ if group.0[at + 1] == 0 => Ok(None),
        (AggregateFunction::Avg, _) => {
            average(sum_at(group, at, spec), group.0[at + 1], spec).map(Some)
        }
        _ => sum_at(group, at, spec).to_i128().map(Some).ok_or(Beyond),
    }
}

/// The argument columns of a batch as exact integers (decimals unscaled); one per spec that has an argument.
pub struct Arguments(Vec<Option<Vec<Option<i128>>>>);

const fn slots_of(spec: &AggregateSpec) -> usize {
    match (spec.function, spec.argument) {
        (AggregateFunction::Count, None) => 0,
        (AggregateFunction::Count, Some(_)) => 1,
        _ if is_wide(spec) => 3,
        _ => 2,
    }
}

/// True if the sum of some rows can pass 128 bits.
const fn is_wide(spec: &AggregateSpec) -> bool {
    matches!(spec.argument_type, Some(DataType::Decimal128(digits, _)) if digits > NARROW_DIGITS_MAX)
}

/// The sum in a group.
fn sum_at(group: &Accumulators, slot: usize, spec: &AggregateSpec) -> i256 {
    if is_wide(spec) {
        joined(group.0[slot], group.0[slot + 2])
    } else {
        i256::from_i128(group.0[slot])
    }
}

/// The sum of numbers, each so many times, whatever the sums on the way to it are.
pub fn exact_sum(numbers: impl Iterator<Item = (i128, i64)>) -> i256 {
    let (mut low, mut high) = (0, 0);
    for (number, times) in numbers {
        low += (number & LOW_BITS) * i128::from(times);
        high += (number >> LOW_BITS.count_ones()) * i128::from(times);
    }
    joined(low, high)
}

/// A sum of the sums of its parts: below 2^192 and a bit.
fn joined(low: i128, high: i128) -> i256 {
    let high = i256::from_i128(high).wrapping_mul(i256::from_i128(LOW_BITS + 1));
    high.wrapping_add(i256::from_i128(low))
}

fn numbers(column: &ArrayRef, spec: &AggregateSpec) -> Result<Vec<Option<i128>>, ArrowError> {
    if spec.function == AggregateFunction::Count {
        return Ok((0..column.len())
            .map(|row| column.is_valid(row).then_some(1))
            .collect());
    }
    exact_numbers(column)
}

/// A column of integers or decimals, unscaled.
///
/// # Errors
/// If it is of another type.
pub fn exact_numbers(column: &ArrayRef) -> Result<Vec<Option<i128>>, ArrowError> {
    Ok(match column.data_type() {
        DataType::Int8 => widened::<Int8Type>(column),
        DataType::Int16 => widened::<Int16Type>(column),
        DataType::Int32 => widened::<Int32Type>(column),
        DataType::Int64 => widened::<Int64Type>(column),
        DataType::UInt8 => widened::<UInt8Type>(column),
        DataType::UInt16 => widened::<UInt16Type>(column),
        DataType::UInt32 => widened::<UInt32Type>(column),
        DataType::UInt64 => widened::<UInt64Type>(column),
        DataType::Decimal128(..) => column.as_primitive::<Decimal128Type>().iter().collect(),
        other => {
            return Err(ArrowError::InvalidArgumentError(format!(
                "cannot sum a column of type {other} exactly"
            )));
        }
    })
}

fn widened<T>(column: &ArrayRef) -> Vec<Option<i128>>
where
    T: ArrowPrimitiveType,
    T::Native: Into<i128>,
{
    let numbers = column.as_primitive::<T>();
    numbers.iter().map(|v| v.map(Into::into)).collect()
}

/// Sum divided by count at the scale of the result, truncated as DataFusion does.
///
/// # Errors
/// If the average does not fit 128 bits.
pub fn average(sum: i256, count: i128, spec: &AggregateSpec) -> Result<i128, Beyond> {
    let from = match spec.argument_type {
        Some(DataType::Decimal128(_, scale)) => scale,
        _ => 0,
    };
    let to = match spec.data_type {
        DataType::Decimal128(_, scale) => scale,
        _ => 0,
    };
    let scaled = u32::try_from(to - from).ok().and_then(|digits| {
        let factor = i256::from_i128(10).checked_pow(digits)?;
        sum.checked_mul(factor)?
            .checked_div(i256::from_i128(count))?
            .to_i128()
    });
    scaled.ok_or(Beyond)
}

/// Exact results as a column of the result type, and which of them do not fit it; those are null in the column.
///
/// # Errors
/// If the type is neither an integer nor a decimal.
pub fn numbers_to_array(
    results: impl Iterator<Item = Result<Option<i128>, Beyond>>,
    data_type: &DataType,
) -> Result<(ArrayRef, Vec<usize>), ArrowError> {
    Ok(match data_type {
        DataType::Int64 => {
            let (numbers, beyond) = fitting(results, |v| i64::try_from(v).is_ok());
            let numbers = numbers
                .into_iter()
                .map(|v| v.and_then(|v| v.try_into().ok()));
            (Arc::new(Int64Array::from_iter(numbers)), beyond)
        }
        DataType::UInt64 => {
            let (numbers, beyond) = fitting(results, |v| u64::try_from(v).is_ok());
            let numbers = numbers
                .into_iter()
                .map(|v| v.and_then(|v| v.try_into().ok()));
            (Arc::new(UInt64Array::from_iter(numbers)), beyond)
        }
        DataType::Decimal128(precision, scale) => {
            let limit = 10u128.pow(u32::from(*precision));
            let (numbers, beyond) = fitting(results, |v| v.unsigned_abs() < limit);
            let numbers = Decimal128Array::from(numbers);
            let numbers = numbers.with_precision_and_scale(*precision, *scale)?;
            (Arc::new(numbers), beyond)
        }
        other => {
            return Err(ArrowError::InvalidArgumentError(format!(
                "an exact sum cannot be of type {other}"
            )));
        }
    })
}

/// The numbers that fit, and the rows of those that do not.
fn fitting(
    results: impl Iterator<Item = Result<Option<i128>, Beyond>>,
    fits: impl Fn(i128) -> bool,
) -> (Vec<Option<i128>>, Vec<usize>) {
    let mut beyond = Vec::new();
    let numbers = results.enumerate().map(|(row, result)| match result {
        Ok(None) => None,
        Ok(Some(number)) if fits(number) => Some(number),
        Ok(Some(_)) | Err(Beyond) => {
            beyond.push(row);
            None
        }
    });
    (numbers.collect(), beyond)
}
