//! The stage that reads the late ledger.

use super::NodeId;
use super::stage::{Durable, Names, Stage, State};

/// What the named resequencers could not put in order any more. Output:
/// [`ledger_schema`](tidemill_types::dead_letter::ledger_schema).
#[derive(Debug, Clone)]
pub struct Late {
    /// The resequencers.
    pub inputs: Vec<NodeId>,
}

impl Stage for Late {
    fn name(&self) -> &'static str {
        "late"
    }

    fn inputs(&self) -> Vec<NodeId> {
        self.inputs.clone()
    }

    fn inputs_mut(&mut self) -> Vec<&mut NodeId> {
        self.inputs.iter_mut().collect()
    }

    fn words(&self, names: &Names<'_>) -> String {
        format!("late events of {}", names.nodes(&self.inputs))
    }

    fn state(&self) -> State {
        State::None
    }

    fn durable(&self, _: Durable) -> Durable {
        Durable::Nothing
    }

    fn grows(&self, _: bool) -> bool {
        true
    }

    fn is_declared(&self) -> bool {
        true
    }
}
