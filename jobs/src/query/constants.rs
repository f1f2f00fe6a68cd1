//! Constants that cannot be computed are refused while planning, at their place: no row could ever be.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, RecordBatch};
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_common::{DFSchema, DataFusionError, Result as PlanResult};
use datafusion_expr::{ColumnarValue, Expr, LogicalPlan};
use datafusion_sql::sqlparser::ast::{self, Spanned, Visit, Visitor};

use crate::dialect::QueryText;
use crate::error::{Error, Location};
use crate::exact::{self, Fault};

/// Looks for a constant part of a folded plan that could not be folded because it fails.
///
/// # Errors
/// At the first one.
pub fn refuse_failing(plan: &LogicalPlan, query: &QueryText) -> Result<(), Error> {
    let mut failing = None;
    // The walk only looks; it cannot fail.
    let _ = plan.apply(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|part| {
                failing = fault(part).map(|fault| (exact::sql(part), fault));
                Ok(if failing.is_some() {
                    TreeNodeRecursion::Stop
                } else {
                    TreeNodeRecursion::Continue
                })
            })
        })
    });
    match failing {
        None => Ok(()),
        Some((text, fault)) => {
            let at = place_of(&text, query);
            Err(Error::contradiction(at, fault.to_string()))
        }
    }
}

/// What is wrong with a constant expression.
fn fault(part: &Expr) -> Option<Fault> {
    let constant = match part {
        Expr::Literal(value, _) => {
            let value = ColumnarValue::Scalar(value.clone());
            return exact::check_domain(&value)
                .err()
                .map(|error| Fault::of(&format!("'{}'", exact::sql(part)), &error));
        }
        Expr::BinaryExpr(_)
        | Expr::Negative(_)
        | Expr::Cast(_)
        | Expr::TryCast(_)
        | Expr::ScalarFunction(_) => has_constant_children(part),
        _ => false,
    };
    let error = constant.then(|| evaluate(part).err()).flatten()?;
    Some(Fault::of(&format!("'{}'", exact::sql(part)), &error))
}

fn has_constant_children(part: &Expr) -> bool {
    let mut constant = true;
    let looked = part.apply_children(|child| {
        constant &= matches!(child, Expr::Literal(..));
        Ok(TreeNodeRecursion::Continue)
    });
    looked.is_ok() && constant
}

fn evaluate(part: &Expr) -> PlanResult<ColumnarValue> {
    let row: ArrayRef = Arc::new(BooleanArray::from(vec![true]));
    let row = RecordBatch::try_from_iter([("row", row)])
        .map_err(|error| DataFusionError::ArrowError(Box::new(error), None))?;
    exact::compile(part, &DFSchema::empty())?.evaluate(&row)
}

/// Where an expression of this text stands in the query, or else where the query begins.
fn place_of(text: &str, query: &QueryText) -> Location {
    let mut wanted = Wanted(text);
    match query.tree.visit(&mut wanted) {
        ControlFlow::Break(at) => at,
        ControlFlow::Continue(()) => query.at,
    }
}

struct Wanted<'a>(&'a str);

impl Visitor for Wanted<'_> {
    type Break = Location;

    fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<Location> {
        let start = expr.span().start;
        if start.line > 0 && expr.to_string() == self.0 {
            return ControlFlow::Break(Location {
                line: start.line,
                column: start.column,
            });
        }
        ControlFlow::Continue(())
    }
}
