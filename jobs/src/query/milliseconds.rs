//! Timestamps have milliseconds: what DataFusion compares, unites or subtracts in finer units, because a date or a text
//! is on the other side, is done in milliseconds instead. In nanoseconds only the years 1677 to 2262 exist.

use arrow_schema::{DataType, TimeUnit};
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{DFSchema, Result, ScalarValue};
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::utils::merge_schema;
use datafusion_expr::{Cast, Expr, ExprSchemable, LogicalPlan, TryCast};

/// The same plan with timestamps in milliseconds only; columns keep their names.
///
/// # Errors
/// If the plan's types do not fit any more, which would be a bug.
pub fn only(plan: LogicalPlan) -> Result<LogicalPlan> {
    let converted = plan.transform_up(|node| {
        let schema = merge_schema(&node.inputs());
        let names = NamePreserver::new(&node);
        let node = node.map_expressions(|expr| {
            let name = names.save(&expr);
            let converted = expr.transform_up(|part| convert(part, &schema))?;
            Ok(converted.update_data(|expr| name.restore(expr)))
        })?;
        node.map_data(LogicalPlan::recompute_schema)
    });
    converted.map(|converted| converted.data)
}

fn convert(part: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match part {
        Expr::Cast(Cast { expr, field }) => match coarser(field.data_type()) {
            Some(to) if expr.get_type(schema).is_ok_and(|from| from == to) => {
                Ok(Transformed::yes(*expr))
            }
            Some(to) => Ok(Transformed::yes(Expr::Cast(Cast::new(expr, to)))),
            None => Ok(Transformed::no(Expr::Cast(Cast { expr, field }))),
        },
        Expr::TryCast(TryCast { expr, field }) => match coarser(field.data_type()) {
            Some(to) => Ok(Transformed::yes(Expr::TryCast(TryCast::new(expr, to)))),
            None => Ok(Transformed::no(Expr::TryCast(TryCast { expr, field }))),
        },
        Expr::Literal(value, metadata) => Ok(match in_milliseconds(&value) {
            Some(value) => Transformed::yes(Expr::Literal(value, metadata)),
            None => Transformed::no(Expr::Literal(value, metadata)),
        }),
        other => Ok(Transformed::no(other)),
    }
}

/// The type in milliseconds, of a timestamp in another unit.
fn coarser(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Timestamp(TimeUnit::Millisecond, _) => None,
        DataType::Timestamp(_, zone) => {
            Some(DataType::Timestamp(TimeUnit::Millisecond, zone.clone()))
        }
        _ => None,
    }
}

fn in_milliseconds(value: &ScalarValue) -> Option<ScalarValue> {
    let (ms, zone) = match value {
        ScalarValue::TimestampSecond(None, zone) => (None, zone),
        // What no millisecond can tell stays as it is, and is refused for its years.
        ScalarValue::TimestampSecond(Some(s), zone) => (Some(s.checked_mul(1_000)?), zone),
        ScalarValue::TimestampMicrosecond(us, zone) => (us.map(|us| us.div_euclid(1_000)), zone),
        ScalarValue::TimestampNanosecond(ns, zone) => (ns.map(|ns| ns.div_euclid(1_000_000)), zone),
        _ => return None,
    };
    Some(ScalarValue::TimestampMillisecond(ms, zone.clone()))
}
