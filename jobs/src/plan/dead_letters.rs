//! The stage that reads the dead letters.

use super::NodeId;
use super::stage::{Durable, Names, Stage, State};

/// Every undecodable record of the job's sources. Output: [`ledger_schema`](tidemill_types::dead_letter::ledger_schema).
#[derive(Debug, Clone)]
pub struct DeadLetters;

impl Stage for DeadLetters {
    fn name(&self) -> &'static str {
        "dead-letters"
    }

    fn inputs(&self) -> Vec<NodeId> {
        Vec::new()
    }

    fn inputs_mut(&mut self) -> Vec<&mut NodeId> {
        Vec::new()
    }

    fn words(&self, _: &Names<'_>) -> String {
        "dead letters".to_owned()
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
