//! The stage that keeps the current state by primary key.

use super::NodeId;
use super::stage::{Durable, Names, Stage, State};

/// Current state by primary key, from a stream with system columns. Output: the source's columns, without the system columns.
#[derive(Debug, Clone)]
pub struct Table {
    /// Input.
    pub input: NodeId,
    /// Primary key.
    pub key: Vec<String>,
    /// The highest version wins; a tie goes to the later source position. Without: the later position wins.
    pub version: Option<String>,
    /// How long a tombstone guards against older updates, by the records' times.
    pub tombstone_ms: i64,
    /// Those of the key and version columns that an event may lack. One without its key, and a delete without its version, is a dead
    /// letter: a row could be neither found nor put in order by it.
    pub may_lack: Vec<String>,
}

impl Stage for Table {
    fn name(&self) -> &'static str {
        "table"
    }

    fn inputs(&self) -> Vec<NodeId> {
        vec![self.input]
    }

    fn inputs_mut(&mut self) -> Vec<&mut NodeId> {
        vec![&mut self.input]
    }

    fn words(&self, names: &Names<'_>) -> String {
        let text = format!(
            "table of {} by {}, version {}, tombstones for {} ms",
            (names.node)(self.input),
            self.key.join(", "),
            self.version.as_deref().unwrap_or("position"),
            self.tombstone_ms
        );
        match self.may_lack.as_slice() {
            [] => text,
            columns => format!("{text}, dead letters without {}", columns.join(", ")),
        }
    }

    fn state(&self) -> State {
        State::ExpiringTable
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

    fn is_declared(&self) -> bool {
        true
    }
}
