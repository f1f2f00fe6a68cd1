//! Renders a join of two inputs.

use tidemill_jobs::plan::{Join, JoinKind, Node, NodeId};
use tidemill_operators::join::{Follows, Side};
use tidemill_operators::{Changes, join};

use super::Renderer;
use super::arranged::Index;
use crate::Error;

impl<'scope> Renderer<'_, 'scope> {
    pub(super) fn join(
        &mut self,
        id: NodeId,
        node: &Node,
        stage: &Join,
    ) -> Result<Changes<'scope>, Error> {
        let (left_key, right_key): (Vec<_>, Vec<_>) = stage.on.iter().cloned().unzip();
        let sides = vec![
            Side {
                arrangement: self.arrangement(Index::of(stage.left, left_key))?,
                padded: matches!(stage.kind, JoinKind::Right | JoinKind::Full),
            },
            Side {
                arrangement: self.arrangement(Index::of(stage.right, right_key))?,
                padded: matches!(stage.kind, JoinKind::Left | JoinKind::Full),
            },
        ];
        let settings = join::Settings {
            name: node.name.clone(),
            output: node.schema.clone(),
            follows: Follows::AllSides,
            unneeded_through: self.unneeded_through(id),
        };
        Ok(join::join(sides, settings, self.context.failure)?)
    }
}
