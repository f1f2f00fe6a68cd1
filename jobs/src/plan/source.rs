//! The stage that reads and decodes a source.

use super::NodeId;
use super::stage::{Durable, Names, Stage, State};

/// Reads and decodes. Output: the source's columns, then the system columns.
#[derive(Debug, Clone)]
pub struct Source {
    /// Index in [`JobPlan::sources`](super::JobPlan::sources).
    pub source: usize,
}

impl Stage for Source {
    fn name(&self) -> &'static str {
        "source"
    }

    fn inputs(&self) -> Vec<NodeId> {
        Vec::new()
    }

    fn inputs_mut(&mut self) -> Vec<&mut NodeId> {
        Vec::new()
    }

    fn words(&self, names: &Names<'_>) -> String {
        format!("source {}", (names.source)(self.source))
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
