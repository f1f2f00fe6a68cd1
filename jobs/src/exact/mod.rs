//! Expressions that never lie: over the whole domain of its arguments an expression gives the right value, or an error
//! that names it.
//!
//! DataFusion wraps integers that overflow, computes dates in nanoseconds (so only the years 1677 to 2262), and lets
//! numbers that are not finite pass. Here every operation that can fail becomes a call of [`checked::Checked`], which
//! computes it without wrapping and holds the result to the values of its type: a `TIMESTAMP` or `DATE` of the years 1
//! to 9999, a finite `DOUBLE`, a `DECIMAL` of its digits. The planner does so while constants are folded ([`guarded`],
//! undone by [`plain`], so that a plan reads as it was written), and [`compile`] does so for what the engine runs: one
//! meaning in both places.
//!
//! Does not promise an order of evaluation beyond SQL's: `CASE`, `AND` and `OR` compute of a row only what decides it.

pub mod checked;
mod dates;
mod domain;
mod moments;
pub mod nested;
mod operations;
mod words;

pub use checked::Checked;
pub use dates::functions as date_functions;
pub use domain::{TIMES, check as check_domain};
pub use words::sql;

use std::sync::Arc;

use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{DFSchema, DataFusionError, Result};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::expr::ScalarFunction;
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_expr::{BinaryExpr, Cast, Expr, Operator, ScalarUDF, TryCast};
use datafusion_physical_expr::{PhysicalExpr, create_physical_expr};

use checked::Kind;

/// An expression of the plan that could not be computed for a row.
#[derive(Debug, thiserror::Error)]
#[error("{expression} cannot be computed: {reason}")]
pub struct Fault {
    /// The expression, in SQL's words and in quotes, with its place in the job's text where that is known.
    pub expression: String,
    /// Why.
    pub reason: String,
}

impl Fault {
    /// What an error says of an expression: of the part of it that failed, if that is known.
    #[must_use]
    pub fn of(expression: &str, error: &DataFusionError) -> Self {
        if let DataFusionError::External(inner) = error.find_root()
            && let Some(fault) = inner.downcast_ref::<Self>()
        {
            return Self {
                expression: fault.expression.clone(),
                reason: fault.reason.clone(),
            };
        }
        Self {
            expression: expression.to_owned(),
            reason: words::reason(error),
        }
    }
}

/// Compiles an expression over the columns of a schema.
///
/// # Errors
/// If it names a column that the schema lacks, or a function does not take its arguments.
pub fn compile(expr: &Expr, schema: &DFSchema) -> Result<Arc<dyn PhysicalExpr>> {
    let named = expr.clone().transform_up(|part| Ok(named(part)))?.data;
    create_physical_expr(
        &named,
        schema,
        &ExecutionProps::new(),
        &PhysicalPlanningContext::default(),
    )
}

/// An expression whose arithmetic is computed without wrapping, for the optimiser to fold; its name and type stay.
///
/// # Errors
/// None: the walk cannot fail.
pub fn guarded(expr: Expr) -> Result<Transformed<Expr>> {
    expr.transform_up(|part| {
        Ok(match part {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if can_fail(op) => {
                Transformed::yes(call(Kind::Operator(op), vec![*left, *right], None))
            }
            Expr::Negative(operand) => Transformed::yes(call(Kind::Negate, vec![*operand], None)),
            Expr::Cast(Cast { expr, field }) if field.data_type().is_temporal() => {
                let kind = Kind::Cast(field.data_type().clone());
                Transformed::yes(call(kind, vec![*expr], None))
            }
            Expr::TryCast(TryCast { expr, field }) => {
                let kind = Kind::TryCast(field.data_type().clone());
                Transformed::yes(call(kind, vec![*expr], None))
            }
            other => Transformed::no(other),
        })
    })
}

/// The expression that [`guarded`] was given.
///
/// # Errors
/// None: the walk cannot fail.
pub fn plain(expr: Expr) -> Result<Transformed<Expr>> {
    expr.transform_up(|part| {
        let Expr::ScalarFunction(ScalarFunction { func, mut args }) = part else {
            return Ok(Transformed::no(part));
        };
        let kind = func.inner().downcast_ref::<Checked>().map(Checked::kind);
        Ok(match (kind, args.pop(), args.pop()) {
            (Some(Kind::Operator(op)), Some(right), Some(left)) => Transformed::yes(
                Expr::BinaryExpr(BinaryExpr::new(Box::new(left), *op, Box::new(right))),
            ),
            (Some(Kind::Negate), Some(operand), None) => {
                Transformed::yes(Expr::Negative(Box::new(operand)))
            }
            (Some(Kind::Cast(to)), Some(operand), None) => {
                Transformed::yes(Expr::Cast(Cast::new(Box::new(operand), to.clone())))
            }
            (Some(Kind::TryCast(to)), Some(operand), None) => {
                Transformed::yes(Expr::TryCast(TryCast::new(Box::new(operand), to.clone())))
            }
            (_, last, before) => {
                args.extend(before.into_iter().chain(last));
                Transformed::no(Expr::ScalarFunction(ScalarFunction { func, args }))
            }
        })
    })
}

/// An operation that can fail as a call that names it.
fn named(part: Expr) -> Transformed<Expr> {
    let text = words::placed(&part);
    match part {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if can_fail(op) => {
            Transformed::yes(call(Kind::Operator(op), vec![*left, *right], Some(text)))
        }
        Expr::Negative(operand) => Transformed::yes(call(Kind::Negate, vec![*operand], Some(text))),
        Expr::Cast(Cast { expr, field }) => {
            let kind = Kind::Cast(field.data_type().clone());
            Transformed::yes(call(kind, vec![*expr], Some(text)))
        }
        Expr::TryCast(TryCast { expr, field }) => {
            let kind = Kind::TryCast(field.data_type().clone());
            Transformed::yes(call(kind, vec![*expr], Some(text)))
        }
        Expr::ScalarFunction(ScalarFunction { func, args }) => {
            let kind = match func.inner().downcast_ref::<Checked>() {
                Some(checked) => checked.kind().clone(),
                None => Kind::Call(func),
            };
            Transformed::yes(call(kind, args, Some(text)))
        }
        other => Transformed::no(other),
    }
}

fn call(kind: Kind, args: Vec<Expr>, text: Option<String>) -> Expr {
    let function = ScalarUDF::from(Checked::new(kind, text));
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(function), args))
}

const fn can_fail(op: Operator) -> bool {
    matches!(
        op,
        Operator::Plus
            | Operator::Minus
            | Operator::Multiply
            | Operator::Divide
            | Operator::Modulo
            | Operator::BitwiseShiftLeft
            | Operator::BitwiseShiftRight
    )
}
