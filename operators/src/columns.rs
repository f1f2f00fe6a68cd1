//! Small helpers over Arrow columns that several operators need.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Int32Type, Int64Type, TimestampMillisecondType, UInt8Type, UInt32Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow_schema::{ArrowError, DataType, SchemaRef};
use arrow_select::concat::concat_batches;
use arrow_select::take::take;
use tidemill_types::ChangeBatch;

/// All rows of an epoch as one batch, with their diffs.
///
/// # Errors
/// If the batches have different types.
pub fn concat(schema: &SchemaRef, batches: &[ChangeBatch]) -> Result<ChangeBatch, ArrowError> {
    if let [only] = batches {
        return Ok(only.clone());
    }
    let rows = concat_batches(schema, batches.iter().map(|batch| &batch.rows))?;
    let diffs = batches.iter().any(|batch| batch.diffs.is_some()).then(|| {
        batches
            .iter()
            .flat_map(|batch| (0..batch.len()).map(|i| batch.diff(i)))
            .collect()
    });
    Ok(ChangeBatch { rows, diffs })
}

/// The rows at `indices`, in that order, restricted to `columns` and named by `schema`.
///
/// # Errors
/// If an index is out of bounds.
pub fn take_columns(
    rows: &RecordBatch,
    columns: &[usize],
    indices: &UInt32Array,
    schema: &SchemaRef,
) -> Result<RecordBatch, ArrowError> {
    let arrays = columns
        .iter()
        .map(|&i| take(rows.column(i), indices, None))
        .collect::<Result<Vec<_>, _>>()?;
    batch(schema, arrays, indices.len())
}

/// A batch of `len` rows; also right for a schema without columns.
///
/// # Errors
/// If the arrays do not fit the schema.
pub fn batch(
    schema: &SchemaRef,
    arrays: Vec<ArrayRef>,
    len: usize,
) -> Result<RecordBatch, ArrowError> {
    RecordBatch::try_new_with_options(
        Arc::clone(schema),
        arrays,
        &arrow_array::RecordBatchOptions::new().with_row_count(Some(len)),
    )
}

/// The index of a column.
///
/// # Errors
/// If there is no such column.
pub fn index(schema: &SchemaRef, name: &str) -> Result<usize, ArrowError> {
    schema.index_of(name)
}

/// A column of integers, dates or timestamps as `i64`s (milliseconds for timestamps, days for dates); null is `None`.
///
/// # Errors
/// If the column has another type.
pub fn ordinals(column: &ArrayRef) -> Result<Vec<Option<i64>>, ArrowError> {
    Ok(match column.data_type() {
        DataType::Int64 => column.as_primitive::<Int64Type>().iter().collect(),
        DataType::Int32 => column
            .as_primitive::<Int32Type>()
            .iter()
            .map(|v| v.map(i64::from))
            .collect(),
        DataType::Date32 => column
            .as_primitive::<Date32Type>()
            .iter()
            .map(|v| v.map(i64::from))
            .collect(),
        DataType::Timestamp(arrow_schema::TimeUnit::Millisecond, _) => column
            .as_primitive::<TimestampMillisecondType>()
            .iter()
            .collect(),
        other => {
            return Err(ArrowError::InvalidArgumentError(format!(
                "cannot order by a column of type {other}"
            )));
        }
    })
}

/// The `__op` column.
#[must_use]
pub fn ops(column: &ArrayRef) -> &[u8] {
    column.as_primitive::<UInt8Type>().values()
}

/// The `__partition` column.
#[must_use]
pub fn partitions(column: &ArrayRef) -> &[u32] {
    column.as_primitive::<UInt32Type>().values()
}

/// The `__offset` column.
#[must_use]
pub fn offsets(column: &ArrayRef) -> &[i64] {
    column.as_primitive::<Int64Type>().values()
}
