//! The stage that makes a set of rows.

use super::NodeId;
use super::stage::{Durable, Names, Stage, State};

/// The set of rows.
#[derive(Debug, Clone)]
pub struct Distinct {
    /// Input.
    pub input: NodeId,
}

impl Stage for Distinct {
    fn name(&self) -> &'static str {
        "distinct"
    }

    fn inputs(&self) -> Vec<NodeId> {
        vec![self.input]
    }

    fn inputs_mut(&mut self) -> Vec<&mut NodeId> {
        vec![&mut self.input]
    }

    fn words(&self, names: &Names<'_>) -> String {
        format!("distinct {}", (names.node)(self.input))
    }

    fn state(&self) -> State {
        State::Memory
    }

    fn durable(&self, _: Durable) -> Durable {
        Durable::Everything
    }

    fn grows(&self, _: bool) -> bool {
        false
    }
}
