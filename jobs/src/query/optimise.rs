//! Which of DataFusion's rules run. Left out are those that make what is not lowered (semi joins, empty relations,
//! limits), and common subexpressions, which the engine's expressions share by themselves or not at all. While they
//! run, arithmetic is in the keeping of [`crate::exact`], so that no constant is folded to what it is not.

use std::sync::Arc;

use datafusion_common::Result as PlanResult;
use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_expr::{Expr, LogicalPlan};
use datafusion_optimizer::analyzer::Analyzer;
use datafusion_optimizer::analyzer::type_coercion::TypeCoercion;
use datafusion_optimizer::eliminate_cross_join::EliminateCrossJoin;
use datafusion_optimizer::eliminate_duplicated_expr::EliminateDuplicatedExpr;
use datafusion_optimizer::eliminate_outer_join::EliminateOuterJoin;
use datafusion_optimizer::extract_equijoin_predicate::ExtractEquijoinPredicate;
use datafusion_optimizer::optimize_projections::OptimizeProjections;
use datafusion_optimizer::optimize_unions::OptimizeUnions;
use datafusion_optimizer::optimizer::{Optimizer, OptimizerContext};
use datafusion_optimizer::push_down_filter::PushDownFilter;
use datafusion_optimizer::simplify_expressions::SimplifyExpressions;

use super::{constants, explain, milliseconds};
use crate::dialect::QueryText;
use crate::error::Error;
use crate::exact;

/// Types a bound query and optimises it.
///
/// # Errors
/// Where types do not fit, at the query's place.
pub fn optimise(plan: LogicalPlan, query: &QueryText) -> Result<LogicalPlan, Error> {
    let mut settings = ConfigOptions::default();
    settings.optimizer.skip_failed_rules = false;
    let analyzer = Analyzer::with_rules(vec![Arc::new(TypeCoercion::new())]);
    let typed = analyzer
        .execute_and_check(plan, &settings, |_, _| {})
        .and_then(milliseconds::only)
        .and_then(|plan| expressions(plan, exact::guarded))
        .map_err(|error| explain(&error, query))?;
    let optimizer = Optimizer::with_rules(vec![
        Arc::new(OptimizeUnions::new()),
        Arc::new(SimplifyExpressions::new()),
        Arc::new(ExtractEquijoinPredicate::new()),
        Arc::new(EliminateDuplicatedExpr::new()),
        Arc::new(EliminateCrossJoin::new()),
        Arc::new(EliminateOuterJoin::new()),
        Arc::new(PushDownFilter::new()),
        Arc::new(OptimizeProjections::new()),
    ]);
    // Without a start time nothing is folded that depends on the clock.
    let context = OptimizerContext::new_with_config_options(Arc::new(settings))
        .without_query_execution_start_time();
    let optimised = optimizer
        .optimize(typed, &context, |_, _| {})
        .and_then(|plan| expressions(plan, exact::plain))
        .map_err(|error| explain(&error, query))?;
    constants::refuse_failing(&optimised, query)?;
    Ok(optimised)
}

/// Rewrites the expressions of all nodes; names and types stay.
fn expressions(
    plan: LogicalPlan,
    rewrite: fn(Expr) -> PlanResult<Transformed<Expr>>,
) -> PlanResult<LogicalPlan> {
    plan.transform_up(|node| {
        node.map_expressions(rewrite)?
            .map_data(LogicalPlan::recompute_schema)
    })
    .map(|rewritten| rewritten.data)
}
