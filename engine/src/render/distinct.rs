//! Renders a set of rows.

use tidemill_jobs::plan::{Distinct, Node};
use tidemill_operators::{Changes, reduce};

use super::Renderer;
use crate::Error;

impl<'scope> Renderer<'_, 'scope> {
    pub(super) fn distinct(&self, node: &Node, stage: &Distinct) -> Result<Changes<'scope>, Error> {
        let input = self.streams[&stage.input].clone();
        let schema = self.schema(stage.input);
        let failure = self.context.failure;
        Ok(reduce::distinct(input, schema, &node.name, failure)?)
    }
}
