//! What every stage of a plan says of itself, so that whoever walks a plan need not know which stages there are: a new one is a file
//! here, one that renders it, and a line in [`NodeOp`](super::NodeOp).

use std::fmt::Debug;

use super::NodeId;

/// A stage of the dataflow, as data.
pub trait Stage: Debug {
    /// The second part of its node's name.
    fn name(&self) -> &'static str;

    /// The nodes that it reads, left before right.
    fn inputs(&self) -> Vec<NodeId>;

    /// The same, to be changed.
    fn inputs_mut(&mut self) -> Vec<&mut NodeId>;

    /// What it does, in words; equal words mean equal stages.
    fn words(&self, names: &Names<'_>) -> String;

    /// What it remembers, and where.
    fn state(&self) -> State;

    /// What of its output can be had again after a restart, if `inputs` of its inputs can.
    fn durable(&self, inputs: Durable) -> Durable {
        inputs
    }

    /// True if its output retracts; `inputs` says whether one of its inputs does.
    fn retracts(&self, inputs: bool) -> bool {
        inputs
    }

    /// True if its rows are those of a stream of events, which only become more; `inputs` says it of one of its inputs.
    fn grows(&self, inputs: bool) -> bool {
        inputs
    }

    /// True if it evaluates expressions without keeping anything: a row for which one cannot be computed is a dead letter.
    fn is_computed(&self) -> bool {
        false
    }

    /// True if a statement declares it, and not a query: then its node's name has no number.
    fn is_declared(&self) -> bool {
        false
    }
}

/// How nodes and sources are called in words.
pub struct Names<'a> {
    /// A node.
    pub node: &'a dyn Fn(NodeId) -> String,
    /// A source, by its index in the plan.
    pub source: &'a dyn Fn(usize) -> String,
}

impl Names<'_> {
    /// The names of nodes, with commas between them.
    pub(super) fn nodes(&self, nodes: &[NodeId]) -> String {
        let names: Vec<_> = nodes.iter().map(|&node| (self.node)(node)).collect();
        names.join(", ")
    }
}

/// What a stage remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing.
    None,
    /// The rows of its inputs, in memory: after a restart they come to it once more.
    Memory,
    /// A table of the state store, with the node's name.
    Table,
    /// Such a table, whose entries expire.
    ExpiringTable,
}

/// Whether all that a node emits can be had again after a restart, from a table's state, an image, or an operator's own state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durable {
    /// None of it: events pass by.
    Nothing,
    /// All of it.
    Everything,
    /// A union of the two.
    Mixed,
}

impl Durable {
    /// That of several inputs together.
    #[must_use]
    pub fn of_all(inputs: impl IntoIterator<Item = Self>) -> Self {
        let mut inputs = inputs.into_iter();
        let first = inputs.next().unwrap_or(Self::Nothing);
        if inputs.all(|durable| durable == first) {
            first
        } else {
            Self::Mixed
        }
    }
}
