//! The stage that puts the events of a key in order.

use super::NodeId;
use super::stage::{Durable, Names, Stage, State};

/// Emits a key's events in order of `by`, once the watermark has passed them; what comes later goes to the late ledger.
/// Output: as its input (system columns included), without `__bytes`.
#[derive(Debug, Clone)]
pub struct Resequence {
    /// Input.
    pub input: NodeId,
    /// Event-time column that orders.
    pub by: String,
    /// Key.
    pub per: Vec<String>,
    /// How long to wait at most: emitted when the highest time seen (per source, minimum over its partitions) is this much later.
    pub within_ms: i64,
    /// Index of the source whose watermark is waited for.
    pub source: usize,
}

impl Stage for Resequence {
    fn name(&self) -> &'static str {
        "resequence"
    }

    fn inputs(&self) -> Vec<NodeId> {
        vec![self.input]
    }

    fn inputs_mut(&mut self) -> Vec<&mut NodeId> {
        vec![&mut self.input]
    }

    fn words(&self, names: &Names<'_>) -> String {
        format!(
            "resequence {} by {} per {} within {} ms of source {}",
            (names.node)(self.input),
            self.by,
            self.per.join(", "),
            self.within_ms,
            (names.source)(self.source)
        )
    }

    fn state(&self) -> State {
        State::Table
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
