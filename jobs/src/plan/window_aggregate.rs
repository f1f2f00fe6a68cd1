//! The stage that aggregates the groups of a window.

use super::NodeId;
use super::aggregate::{AggregateCall, grouped};
use super::stage::{Durable, Names, Stage, State};

/// As [`Aggregate`](super::Aggregate), over a window: a group is first emitted when the watermark passes its `window_end` column, and corrected
/// after.
#[derive(Debug, Clone)]
pub struct WindowAggregate {
    /// Input.
    pub input: NodeId,
    /// Group columns, `window_end` among them.
    pub group: Vec<String>,
    /// Aggregates; only those that can be retracted: sum of exact numbers, count, avg of exact numbers.
    pub aggregates: Vec<AggregateCall>,
    /// Which group column holds the end of the window.
    pub window_end: String,
    /// Index of the source whose watermark closes windows.
    pub source: usize,
}

impl Stage for WindowAggregate {
    fn name(&self) -> &'static str {
        "window"
    }

    fn inputs(&self) -> Vec<NodeId> {
        vec![self.input]
    }

    fn inputs_mut(&mut self) -> Vec<&mut NodeId> {
        vec![&mut self.input]
    }

    fn words(&self, names: &Names<'_>) -> String {
        format!(
            "aggregate {} {}, closed at {} by the watermark of source {}",
            (names.node)(self.input),
            grouped(&self.group, &self.aggregates),
            self.window_end,
            (names.source)(self.source)
        )
    }

    fn state(&self) -> State {
        State::Table
    }

    fn durable(&self, _: Durable) -> Durable {
        Durable::Everything
    }

    fn retracts(&self, _: bool) -> bool {
        true
    }

    fn grows(&self, _: bool) -> bool {
        false
    }
}
