//! Which of DataFusion's rules run. Left out are those that make what is not lowered (semi joins, empty relations, limits), and common
//! subexpressions, which the engine's expressions share by themselves or not at all.

use std::sync::Arc;

use datafusion_common::config::ConfigOptions;
use datafusion_expr::LogicalPlan;
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

use super::explain;
use crate::dialect::QueryText;
use crate::error::Error;

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
    optimizer
        .optimize(typed, &context, |_, _| {})
        .map_err(|error| explain(&error, query))
}
