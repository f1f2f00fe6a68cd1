//! The stage that lets each event pass once.

use super::NodeId;
use super::stage::{Durable, Names, Stage, State};

/// Lets the first event with a `uuid` pass; others whose records were written within `within_ms` of it are counted and dropped.
#[derive(Debug, Clone)]
pub struct Dedup {
    /// Input.
    pub input: NodeId,
    /// Column that identifies an event.
    pub uuid: String,
    /// How long a uuid is remembered.
    pub within_ms: i64,
}

impl Stage for Dedup {
    fn name(&self) -> &'static str {
        "dedup"
    }

    fn inputs(&self) -> Vec<NodeId> {
        vec![self.input]
    }

    fn inputs_mut(&mut self) -> Vec<&mut NodeId> {
        vec![&mut self.input]
    }

    fn words(&self, names: &Names<'_>) -> String {
        let Self {
            uuid, within_ms, ..
        } = self;
        let read = (names.node)(self.input);
        format!("dedup {read} by {uuid} within {within_ms} ms")
    }

    fn state(&self) -> State {
        State::ExpiringTable
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
