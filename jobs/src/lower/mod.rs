//! From optimised logical plans to the nodes of a job.
//!
//! A plan is lowered to a node and, per column, an expression over that node ([`Lowered`]): projections cost nothing until something needs
//! its columns by name (a join, an aggregate, a union, a sink). Every input of an operator that remembers rows is made durable
//! ([`graph::Graph::durably`]).

mod aggregate;
pub mod graph;
mod join;
mod query;
pub mod stages;
mod star;
mod unique;

use std::collections::BTreeSet;

use datafusion_common::DFSchema;
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_expr::{Expr, LogicalPlan};

pub use crate::query::relation::{WINDOW_END, WINDOW_START};

use crate::catalog::Catalog;
use crate::dialect::QueryText;
use crate::error::{Error, Location};
use crate::plan::NodeId;
use crate::query::place_in;
use graph::Graph;
use stages::Stages;

/// A plan as a node and its columns as expressions over that node, in the order of the plan's schema.
#[derive(Debug, Clone)]
pub struct Lowered {
    node: NodeId,
    columns: Vec<Expr>,
}

/// Lowers the query of one sink.
#[derive(Debug)]
pub struct Lowering<'a> {
    /// Where the nodes go.
    pub graph: &'a mut Graph,
    /// What the statements declare.
    pub catalog: &'a Catalog,
    /// The nodes of tables and streams.
    pub stages: &'a Stages,
    /// The query, for places.
    pub query: &'a QueryText,
}

impl Lowering<'_> {
    /// The node whose columns are those of the plan, by their bare names.
    ///
    /// # Errors
    /// For what is not supported, at its place.
    pub fn sink(&mut self, scope: &str, plan: &LogicalPlan) -> Result<NodeId, Error> {
        let lowered = self.plan(scope, plan)?;
        let mut names = BTreeSet::new();
        for field in plan.schema().fields() {
            if !names.insert(field.name()) {
                let message = format!(
                    "two columns are named '{}'; give one of them another name with AS",
                    field.name()
                );
                return Err(Error::contradiction(self.query.at, message));
            }
        }
        let names = plan
            .schema()
            .fields()
            .iter()
            .map(|field| field.name().clone());
        let columns = lowered.columns.into_iter().zip(names).collect();
        self.graph
            .project(scope, lowered.node, columns, &|_| false, self.query.at)
    }

    /// The place of the first column with a known one, or else of the query.
    fn at<'e>(&self, exprs: impl IntoIterator<Item = &'e Expr>) -> Location {
        exprs
            .into_iter()
            .find_map(place_in)
            .unwrap_or(self.query.at)
    }

    /// An expression over a plan's schema as one over the node that the plan was lowered to.
    fn rebase(&self, expr: &Expr, schema: &DFSchema, lowered: &Lowered) -> Result<Expr, Error> {
        let rebased = expr.clone().transform_up(|part| match part {
            Expr::Column(column) => {
                let mut expr = lowered.columns[schema.index_of_column(&column)?].clone();
                if let Expr::Column(renamed) = &mut expr {
                    renamed.spans = column.spans;
                }
                Ok(Transformed::yes(expr))
            }
            Expr::Alias(alias) => Ok(Transformed::yes(*alias.expr)),
            other => Ok(Transformed::no(other)),
        });
        rebased
            .map(|rebased| rebased.data)
            .map_err(|error| Error::planner(self.at([expr]), error.strip_backtrace()))
    }
}

/// A column of a node.
fn column(name: impl Into<String>) -> Expr {
    Expr::Column(datafusion_common::Column::new_unqualified(name))
}

/// A name like the wanted one that is not taken yet; takes it.
fn fresh(wanted: &str, taken: &mut BTreeSet<String>) -> String {
    let mut name = wanted.to_owned();
    let mut count = 1;
    while !taken.insert(name.clone()) {
        count += 1;
        name = format!("{wanted}_{count}");
    }
    name
}
