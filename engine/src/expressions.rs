//! Evaluates the plan's expressions on Arrow batches with DataFusion's physical expressions.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, BooleanArray, RecordBatch, TimestampMillisecondArray, UInt32Array};
use arrow_buffer::BooleanBuffer;
use arrow_schema::{ArrowError, SchemaRef};
use arrow_select::filter::filter_record_batch;
use arrow_select::take::take;
use datafusion_common::DFSchema;
use datafusion_expr::Expr;
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_physical_expr::{PhysicalExpr, create_physical_expr};
use tidemill_operators::columns;
use tidemill_operators::stateless::Computed;
use tidemill_types::ChangeBatch;

use crate::Error;

/// Binds an expression to the columns of a schema.
///
/// # Errors
/// If it names a column that the schema lacks.
pub fn bind(
    expression: &Expr,
    schema: &SchemaRef,
    node: &str,
) -> Result<Arc<dyn PhysicalExpr>, Error> {
    let plan = |error: datafusion_common::DataFusionError| Error::Plan {
        node: node.to_owned(),
        reason: error.to_string(),
    };
    let columns = DFSchema::try_from(Arc::clone(schema)).map_err(plan)?;
    create_physical_expr(
        expression,
        &columns,
        &ExecutionProps::new(),
        &PhysicalPlanningContext::default(),
    )
    .map_err(plan)
}

/// Computes columns; the result has the output schema.
pub fn project(
    expressions: &[Arc<dyn PhysicalExpr>],
    output: &SchemaRef,
    rows: &RecordBatch,
) -> Result<Computed, ArrowError> {
    let arrays = expressions
        .iter()
        .map(|expression| expression.evaluate(rows)?.into_array(rows.num_rows()))
        .collect::<Result<Vec<_>, datafusion_common::DataFusionError>>()
        .map_err(to_arrow)?;
    Ok(Computed {
        rows: columns::batch(output, arrays, rows.num_rows())?,
        kept: None,
    })
}

/// Keeps the rows for which the predicate is true.
pub fn filter(
    predicate: &Arc<dyn PhysicalExpr>,
    rows: &RecordBatch,
) -> Result<Computed, ArrowError> {
    let mask = predicate
        .evaluate(rows)
        .and_then(|value| value.into_array(rows.num_rows()))
        .map_err(to_arrow)?;
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

/// Appends the start and the end of the tumbling window that a row's time falls in; rows without a time are left out.
pub fn tumble(
    time: usize,
    size_ms: i64,
    output: &SchemaRef,
    rows: &RecordBatch,
) -> Result<Computed, ArrowError> {
    let times = columns::ordinals(rows.column(time))?;
    let kept: BooleanBuffer = times.iter().map(Option::is_some).collect();
    let starts: Vec<i64> = times
        .iter()
        .flatten()
        .map(|time| time - time.rem_euclid(size_ms))
        .collect();
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

fn to_arrow(error: datafusion_common::DataFusionError) -> ArrowError {
    match error {
        datafusion_common::DataFusionError::ArrowError(error, _) => *error,
        other => ArrowError::ComputeError(other.strip_backtrace()),
    }
}
