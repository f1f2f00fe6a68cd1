//! The stage that puts rows into windows.

use super::NodeId;
use super::stage::{Names, Stage, State};

/// Stateless: appends `window_start` and `window_end` (timestamps) of the tumbling window that `time` falls in; a row without time is dropped
/// and counted.
#[derive(Debug, Clone)]
pub struct Tumble {
    /// Input.
    pub input: NodeId,
    /// Event-time column.
    pub time: String,
    /// Window size in milliseconds; windows are aligned to the epoch of Unix, UTC.
    pub size_ms: i64,
}

impl Stage for Tumble {
    fn name(&self) -> &'static str {
        "tumble"
    }

    fn inputs(&self) -> Vec<NodeId> {
        vec![self.input]
    }

    fn inputs_mut(&mut self) -> Vec<&mut NodeId> {
        vec![&mut self.input]
    }

    fn words(&self, names: &Names<'_>) -> String {
        let read = (names.node)(self.input);
        format!("tumble {read} by {} of {} ms", self.time, self.size_ms)
    }

    fn state(&self) -> State {
        State::None
    }

    fn is_computed(&self) -> bool {
        true
    }
}
