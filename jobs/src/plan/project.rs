//! The stage that computes columns.

use datafusion_expr::Expr;

use super::NodeId;
use super::stage::{Names, Stage, State};

/// Stateless: computes columns.
#[derive(Debug, Clone)]
pub struct Project {
    /// Input.
    pub input: NodeId,
    /// Expression and output name of each column.
    pub columns: Vec<(Expr, String)>,
}

impl Stage for Project {
    fn name(&self) -> &'static str {
        "project"
    }

    fn inputs(&self) -> Vec<NodeId> {
        vec![self.input]
    }

    fn inputs_mut(&mut self) -> Vec<&mut NodeId> {
        vec![&mut self.input]
    }

    fn words(&self, names: &Names<'_>) -> String {
        let column = |(expr, name): &(Expr, String)| match expr.try_as_col() {
            Some(column) if column.name == *name => name.clone(),
            _ => format!("{expr} AS {name}"),
        };
        let columns: Vec<_> = self.columns.iter().map(column).collect();
        let read = (names.node)(self.input);
        format!("project {read} to {}", columns.join(", "))
    }

    fn state(&self) -> State {
        State::None
    }

    fn is_computed(&self) -> bool {
        true
    }
}
