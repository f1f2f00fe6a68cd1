//! The stage that makes a stream durable.

use super::NodeId;
use super::stage::{Durable, Names, Stage, State};

/// A durable image of an append-only stream, in front of a join, an aggregate or a distinct. Output: as its input.
#[derive(Debug, Clone)]
pub struct Image {
    /// Input.
    pub input: NodeId,
}

impl Stage for Image {
    fn name(&self) -> &'static str {
        "image"
    }

    fn inputs(&self) -> Vec<NodeId> {
        vec![self.input]
    }

    fn inputs_mut(&mut self) -> Vec<&mut NodeId> {
        vec![&mut self.input]
    }

    fn words(&self, names: &Names<'_>) -> String {
        format!("image of {}", (names.node)(self.input))
    }

    fn state(&self) -> State {
        State::Table
    }

    fn durable(&self, _: Durable) -> Durable {
        Durable::Everything
    }
}
