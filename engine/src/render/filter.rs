//! Renders a filter.

use arrow_array::cast::AsArray;
use arrow_array::{Array, BooleanArray, RecordBatch};
use arrow_schema::ArrowError;
use arrow_select::filter::filter_record_batch;
use tidemill_jobs::plan::{Filter, Node};
use tidemill_operators::Changes;
use tidemill_operators::stateless::Computed;

use super::Renderer;
use crate::Error;
use crate::expressions::{self, Bound};

impl<'scope> Renderer<'_, 'scope> {
    pub(super) fn filter(&mut self, node: &Node, stage: &Filter) -> Result<Changes<'scope>, Error> {
        let schema = self.schema(stage.input);
        let predicate = expressions::bind(&stage.predicate, schema, &node.name)?;
        Ok(self.computed(node, stage.input, move |rows| filter(&predicate, rows)))
    }
}

/// Keeps the rows for which the predicate is true.
fn filter(predicate: &Bound, rows: &RecordBatch) -> Result<Computed, ArrowError> {
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
