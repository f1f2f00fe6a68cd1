//! What stages have in common that keep nothing and compute rows from rows: those that cannot be computed are dead letters.

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use tidemill_jobs::plan::{Node, NodeId};
use tidemill_operators::Changes;
use tidemill_operators::stateless::{Computed, stateless};

use super::Renderer;

impl<'scope> Renderer<'_, 'scope> {
    pub(super) fn computed<F>(&mut self, node: &Node, input: NodeId, compute: F) -> Changes<'scope>
    where
        F: FnMut(&RecordBatch) -> Result<Computed, ArrowError> + 'static,
    {
        let (output, dead) = stateless(
            self.streams[&input].clone(),
            &node.name,
            self.uncomputed(),
            compute,
        );
        self.dead.push(dead);
        output
    }
}
