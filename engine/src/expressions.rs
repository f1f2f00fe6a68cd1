//! Evaluates the plan's expressions on Arrow batches.
//!
//! An expression that cannot be computed for a row (an overflow, a division by zero, a cast that does not fit, a date
//! outside the years 1 to 9999) is an error of the batch, which names the expression and the reason; the stage finds
//! the rows at fault.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, SchemaRef};
use datafusion_common::{DFSchema, DataFusionError};
use datafusion_expr::Expr;
use datafusion_physical_expr::PhysicalExpr;
use tidemill_jobs::exact::{self, Fault};

use crate::Error;

/// An expression over the columns of a schema.
pub struct Bound {
    expression: Arc<dyn PhysicalExpr>,
    /// The expression in SQL's words.
    text: String,
}

impl Bound {
    /// Its value for each row.
    ///
    /// # Errors
    /// If it cannot be computed for one of them.
    pub fn evaluate(&self, rows: &RecordBatch) -> Result<ArrayRef, ArrowError> {
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
