//! The stage that joins one input with several.

use super::NodeId;
use super::join::equalities;
use super::stage::{Durable, Names, Stage, State};

/// Inner and left equi-joins of one fact with dimensions, each on columns of the fact: what a chain of joins gives, without keeping what lies
/// between them. Output: the fact's columns, then those of the dimensions, in order.
#[derive(Debug, Clone)]
pub struct StarJoin {
    /// What the dimensions are joined to.
    pub fact: NodeId,
    /// Columns that no two rows of the fact have alike; needed, and so not empty, if dimensions are joined on different columns.
    pub unique: Vec<String>,
    /// What is joined; two or more.
    pub dimensions: Vec<Dimension>,
}

/// One of the sides that a fact is joined with.
#[derive(Debug, Clone)]
pub struct Dimension {
    /// What is joined.
    pub input: NodeId,
    /// True if the fact's rows without a match are kept (a left join).
    pub optional: bool,
    /// Equal columns, the fact's first; null equals nothing.
    pub on: Vec<(String, String)>,
}

impl Stage for StarJoin {
    fn name(&self) -> &'static str {
        "join"
    }

    fn inputs(&self) -> Vec<NodeId> {
        let dimensions = self.dimensions.iter().map(|dimension| dimension.input);
        std::iter::once(self.fact).chain(dimensions).collect()
    }

    fn inputs_mut(&mut self) -> Vec<&mut NodeId> {
        let dimensions = self.dimensions.iter_mut();
        let dimensions = dimensions.map(|dimension| &mut dimension.input);
        std::iter::once(&mut self.fact).chain(dimensions).collect()
    }

    fn words(&self, names: &Names<'_>) -> String {
        let mut text = format!("star join {}", (names.node)(self.fact));
        if !self.unique.is_empty() {
            text += &format!(" (unique by {})", self.unique.join(", "));
        }
        for (i, dimension) in self.dimensions.iter().enumerate() {
            let with = if i == 0 { " with" } else { ", with" };
            let optional = if dimension.optional { " optional" } else { "" };
            let input = (names.node)(dimension.input);
            text += &format!("{with}{optional} {input} on {}", equalities(&dimension.on));
        }
        text
    }

    fn state(&self) -> State {
        State::Memory
    }

    fn durable(&self, _: Durable) -> Durable {
        Durable::Everything
    }

    fn retracts(&self, inputs: bool) -> bool {
        inputs || self.dimensions.iter().any(|dimension| dimension.optional)
    }
}
