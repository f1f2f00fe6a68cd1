//! Evaluates the plan's expressions on Arrow batches.
//!
//! An expression that cannot be computed for a row (an overflow, a division by zero, a cast that does not fit, a date
//! outside the years 1 to 9999) is an error of the batch, which names the expression and the reason; the stage finds
//! the rows at fault.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{
    Array, ArrayRef, BooleanArray, RecordBatch, TimestampMillisecondArray, UInt32Array,
};
use arrow_buffer::BooleanBuffer;
use arrow_schema::{ArrowError, SchemaRef};
use arrow_select::filter::filter_record_batch;
use arrow_select::take::take;
use datafusion_common::{DFSchema, DataFusionError};
use datafusion_expr::Expr;
use datafusion_physical_expr::PhysicalExpr;
use tidemill_jobs::exact::{self, Fault};
use tidemill_operators::columns;
use tidemill_operators::stateless::Computed;
use tidemill_types::ChangeBatch;

use crate::Error;

/// An expression over the columns of a schema.
pub struct Bound {
    expression: Arc<dyn PhysicalExpr>,
    /// The expression in SQL's words.
    text: String,
}

impl Bound {
    fn evaluate(&self, rows: &RecordBatch) -> Result<ArrayRef, ArrowError> {
        let value = self.expression.evaluate(rows);
        value
            .and_then(|value| value.into_array(rows.num_rows()))
            .map_err(|error| ArrowError::ComputeError(Fault::of(&self.text, &error).to_string()))
    }
}

/// Binds an expression to the columns of a schema.
///
/// # Errors
/// If it names a column that the schema lacks.
pub fn bind(expression: &Expr, schema: &SchemaRef, node: &str) -> Result<Bound, Error> {
    let plan = |error: DataFusionError| Error::Plan {
        node: node.to_owned(),
        reason: error.to_string(),
    };
    let columns = DFSchema::try_from(Arc::clone(schema)).map_err(plan)?;
    Ok(Bound {
        expression: exact::compile(expression, &columns).map_err(plan)?,
        text: format!("'{}'", exact::sql(expression)),
    })
}

/// Computes columns; the result has the output schema.
pub fn project(
    expressions: &[Bound],
    output: &SchemaRef,
    rows: &RecordBatch,
) -> Result<Computed, ArrowError> {
    let arrays = expressions
        .iter()
        .map(|expression| expression.evaluate(rows))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Computed {
        rows: columns::batch(output, arrays, rows.num_rows())?,
        kept: None,
    })
}

/// Keeps the rows for which the predicate is true.
pub fn filter(predicate: &Bound, rows: &RecordBatch) -> Result<Computed, ArrowError> {
    let mask = predicate.evaluate(rows)?;
    let mask = mask
        .as_boolean_opt()
        .ok_or_else(|| ArrowError::InvalidArgumentError("a predicate is not boolean".to_owned()))?;
    if mask.null_count() == 0 && mask.true_count() == rows.num_rows() {
        return Ok(Computed {
            rows: rows.clone(),
            kept: None,
        });
    }
    // What is unknown is not kept.
    let kept = match mask.nulls() {
        Some(known) => mask.values() & known.inner(),
        None => mask.values().clone(),
    };
    Ok(Computed {
        rows: filter_record_batch(rows, &BooleanArray::new(kept.clone(), None))?,
        kept: Some(kept),
    })
}

/// Appends the start and the end of the tumbling window that a row's time falls in; rows without a time are left out. A
/// window that is not within the years 1 to 9999 has no start or no end, so that its rows cannot be computed.
pub fn tumble(
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
pub fn untimed(time: usize, changes: &ChangeBatch) -> u64 {
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
