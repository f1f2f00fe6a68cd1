//! The stage that joins two inputs.

use super::NodeId;
use super::stage::{Durable, Names, Stage, State};

/// Equi-join. Output: the left columns, then the right ones.
#[derive(Debug, Clone)]
pub struct Join {
    /// Left input.
    pub left: NodeId,
    /// Right input.
    pub right: NodeId,
    /// Kind.
    pub kind: JoinKind,
    /// Equal columns; null equals nothing.
    pub on: Vec<(String, String)>,
}

/// Kinds of equi-join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinKind {
    /// Matching pairs.
    Inner,
    /// And left rows without a match.
    Left,
    /// And right rows without a match.
    Right,
    /// Both.
    Full,
}

impl JoinKind {
    const fn word(self) -> &'static str {
        match self {
            Self::Inner => "inner",
            Self::Left => "left",
            Self::Right => "right",
            Self::Full => "full",
        }
    }
}

/// Equal columns, in words.
pub(super) fn equalities(on: &[(String, String)]) -> String {
    let equality = |(left, right): &(String, String)| format!("{left} = {right}");
    let on: Vec<_> = on.iter().map(equality).collect();
    on.join(" and ")
}

impl Stage for Join {
    fn name(&self) -> &'static str {
        "join"
    }

    fn inputs(&self) -> Vec<NodeId> {
        vec![self.left, self.right]
    }

    fn inputs_mut(&mut self) -> Vec<&mut NodeId> {
        vec![&mut self.left, &mut self.right]
    }

    fn words(&self, names: &Names<'_>) -> String {
        format!(
            "{} join {} with {} on {}",
            self.kind.word(),
            (names.node)(self.left),
            (names.node)(self.right),
            equalities(&self.on)
        )
    }

    fn state(&self) -> State {
        State::Memory
    }

    fn durable(&self, _: Durable) -> Durable {
        Durable::Everything
    }

    fn retracts(&self, inputs: bool) -> bool {
        inputs || self.kind != JoinKind::Inner
    }
}
