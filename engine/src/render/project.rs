//! Renders a projection.

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, SchemaRef};
use tidemill_jobs::plan::{Node, Project};
use tidemill_operators::stateless::Computed;
use tidemill_operators::{Changes, columns};

use super::Renderer;
use crate::Error;
use crate::expressions::{self, Bound};

impl<'scope> Renderer<'_, 'scope> {
    pub(super) fn project(
        &mut self,
        node: &Node,
        stage: &Project,
    ) -> Result<Changes<'scope>, Error> {
        let schema = self.schema(stage.input);
        let bound = stage.columns.iter();
        let bound = bound.map(|(expression, _)| expressions::bind(expression, schema, &node.name));
        let bound = bound.collect::<Result<Vec<_>, _>>()?;
        let output = node.schema.clone();
        Ok(self.computed(node, stage.input, move |rows| {
            project(&bound, &output, rows)
        }))
    }
}

/// Computes columns; the result has the output schema.
fn project(
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
