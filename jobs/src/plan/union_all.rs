//! The stage that puts inputs together.

use super::NodeId;
use super::stage::{Names, Stage, State};

/// The sum of the inputs; same schema each.
#[derive(Debug, Clone)]
pub struct UnionAll {
    /// Inputs.
    pub inputs: Vec<NodeId>,
}

impl Stage for UnionAll {
    fn name(&self) -> &'static str {
        "union"
    }

    fn inputs(&self) -> Vec<NodeId> {
        self.inputs.clone()
    }

    fn inputs_mut(&mut self) -> Vec<&mut NodeId> {
        self.inputs.iter_mut().collect()
    }

    fn words(&self, names: &Names<'_>) -> String {
        format!("union all {}", names.nodes(&self.inputs))
    }

    fn state(&self) -> State {
        State::None
    }
}
