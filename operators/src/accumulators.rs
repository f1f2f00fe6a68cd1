//! Aggregates that are sums: count, sum and average of exact numbers. They are kept as such, never as lists of values, and can be
//! retracted by subtracting.
//!
//! Slot 0 counts the rows of the group; then each aggregate has the sum of its non-null arguments and their number, as far as it needs them.
//! A slot has 128 bits. The sum of decimals of so many digits that it could pass them has two slots, for the lower 64 bits and for those above:
//! so a sum that fits its type is exact whatever the sums on the way to it were, and one that does not fit is never taken for another.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef, Decimal128Array, Int64Array, RecordBatch};
use arrow_schema::{ArrowError, DataType};
use differential_dataflow::difference::{IsZero, Semigroup};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// The part of a wide number that has a slot of its own.
const LOW_BITS: i128 = u64::MAX as i128;
/// With so many digits, 10^10 rows fit 128 bits.
const NARROW_DIGITS_MAX: u8 = 28;

/// An aggregate function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// Sum of the non-null arguments; null if there is none.
    Sum,
    /// Number of rows, or of non-null arguments.
    Count,
    /// Average of the non-null arguments; null if there is none.
    Avg,
    /// Least non-null argument.
    Min,
    /// Greatest non-null argument.
    Max,
}

/// One aggregate of a group.
#[derive(Debug, Clone)]
pub struct AggregateSpec {
    /// What is computed.
    pub function: Function,
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
                Function::Count => true,
                Function::Sum | Function::Avg => matches!(
                    self.argument_type,
                    Some(DataType::Int32 | DataType::Int64 | DataType::Decimal128(..))
                ),
                Function::Min | Function::Max => false,
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
                    Function::Count => into.0[slot] += diff,
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

    /// The aggregates of groups, a column each.
    ///
    /// # Errors
    /// If a result type is none of those that sums have.
    pub fn finish(&self, groups: &[&Accumulators]) -> Result<Vec<ArrayRef>, ArrowError> {
        let mut slot = 1;
        self.specs
            .iter()
            .map(|spec| {
                let at = slot;
                slot += slots_of(spec);
                let results = groups
                    .iter()
                    .map(|group| match (spec.function, spec.argument) {
                        (Function::Count, None) => Some(group.0[0]),
                        (Function::Count, Some(_)) => Some(group.0[at]),
                        _ if group.0[at + 1] == 0 => None,
                        (Function::Avg, _) => sum_at(group, at, spec)
                            .and_then(|sum| average(sum, group.0[at + 1], spec)),
                        _ => sum_at(group, at, spec),
                    });
                numbers_to_array(results, &spec.data_type)
            })
            .collect()
    }
}

/// The argument columns of a batch as exact integers (decimals unscaled); one per spec that has an argument.
pub struct Arguments(Vec<Option<Vec<Option<i128>>>>);

const fn slots_of(spec: &AggregateSpec) -> usize {
    match (spec.function, spec.argument) {
        (Function::Count, None) => 0,
        (Function::Count, Some(_)) => 1,
        _ if is_wide(spec) => 3,
        _ => 2,
    }
}

/// True if the sum of some rows can pass 128 bits.
const fn is_wide(spec: &AggregateSpec) -> bool {
    matches!(spec.argument_type, Some(DataType::Decimal128(digits, _)) if digits > NARROW_DIGITS_MAX)
}

/// The sum in a group, if it has at most 128 bits.
fn sum_at(group: &Accumulators, slot: usize, spec: &AggregateSpec) -> Option<i128> {
    if is_wide(spec) {
        joined(group.0[slot], group.0[slot + 2])
    } else {
        Some(group.0[slot])
    }
}

/// The sum of numbers, each so many times; none if it has more than 128 bits, whatever the sums on the way to it have.
pub fn exact_sum(numbers: impl Iterator<Item = (i128, i64)>) -> Option<i128> {
    let (mut low, mut high) = (0, 0);
    for (number, times) in numbers {
        low += (number & LOW_BITS) * i128::from(times);
        high += (number >> LOW_BITS.count_ones()) * i128::from(times);
    }
    joined(low, high)
}

/// A sum of the sums of its parts.
fn joined(low: i128, high: i128) -> Option<i128> {
    high.checked_mul(LOW_BITS + 1)?.checked_add(low)
}

fn numbers(column: &ArrayRef, spec: &AggregateSpec) -> Result<Vec<Option<i128>>, ArrowError> {
    if spec.function == Function::Count {
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
        DataType::Int32 => column
            .as_primitive::<Int32Type>()
            .iter()
            .map(|v| v.map(i128::from))
            .collect(),
        DataType::Int64 => column
            .as_primitive::<Int64Type>()
            .iter()
            .map(|v| v.map(i128::from))
            .collect(),
        DataType::Decimal128(..) => column.as_primitive::<Decimal128Type>().iter().collect(),
        other => {
            return Err(ArrowError::InvalidArgumentError(format!(
                "cannot sum a column of type {other} exactly"
            )));
        }
    })
}

/// Sum divided by count at the scale of the result, truncated as DataFusion does.
pub fn average(sum: i128, count: i128, spec: &AggregateSpec) -> Option<i128> {
    let from = match spec.argument_type {
        Some(DataType::Decimal128(_, scale)) => scale,
        _ => 0,
    };
    let DataType::Decimal128(_, to) = spec.data_type else {
        return None;
    };
    let factor = 10i128.checked_pow(u32::try_from(to - from).ok()?)?;
    Some(sum.checked_mul(factor)? / count)
}

/// Exact results as a column of the result type; one that does not fit the type is null.
///
/// # Errors
/// If the type is neither an integer nor a decimal.
pub fn numbers_to_array(
    results: impl Iterator<Item = Option<i128>>,
    data_type: &DataType,
) -> Result<ArrayRef, ArrowError> {
    Ok(match data_type {
        DataType::Int64 => Arc::new(Int64Array::from_iter(
            results.map(|v| v.and_then(|v| i64::try_from(v).ok())),
        )),
        DataType::Decimal128(precision, scale) => {
            let limit = 10i128
                .checked_pow(u32::from(*precision))
                .unwrap_or(i128::MAX);
            let fits = results.map(|v| v.filter(|v| v.abs() < limit));
            Arc::new(Decimal128Array::from_iter(fits).with_precision_and_scale(*precision, *scale)?)
        }
        other => {
            return Err(ArrowError::InvalidArgumentError(format!(
                "an exact sum cannot be of type {other}"
            )));
        }
    })
}
