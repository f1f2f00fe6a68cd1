//! The stage that keeps some rows.

use datafusion_expr::Expr;

use super::NodeId;
use super::stage::{Names, Stage, State};

/// Stateless: keeps the rows for which the predicate is true.
#[derive(Debug, Clone)]
pub struct Filter {
    /// Input.
    pub input: NodeId,
    /// Predicate.
    pub predicate: Expr,
}

impl Stage for Filter {
    fn name(&self) -> &'static str {
        "filter"
    }

    fn inputs(&self) -> Vec<NodeId> {
        vec![self.input]
    }

    fn inputs_mut(&mut self) -> Vec<&mut NodeId> {
        vec![&mut self.input]
    }

    fn words(&self, names: &Names<'_>) -> String {
        format!("filter {} by {}", (names.node)(self.input), self.predicate)
    }

    fn state(&self) -> State {
        State::None
    }

    fn is_computed(&self) -> bool {
        true
    }
}
