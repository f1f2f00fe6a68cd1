//! The functions that queries can call: DataFusion's scalar functions whose result depends on their arguments alone, and the
//! aggregates that can follow a changing input.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion_expr::planner::ExprPlanner;
use datafusion_expr::{AggregateUDF, ScalarUDF};
use datafusion_functions::core::planner::CoreFunctionPlanner;
use datafusion_functions::datetime::planner::DatetimeFunctionPlanner;
use datafusion_functions::unicode::planner::UnicodeFunctionPlanner;
use datafusion_functions_aggregate::planner::AggregateFunctionPlanner;
use datafusion_functions_aggregate::{average, count, min_max, sum};

/// What a name may call.
#[derive(Debug)]
pub struct Functions {
    /// Scalar functions by name and alias, those that depend on more than their arguments included (they are refused by name).
    pub scalar: BTreeMap<String, Arc<ScalarUDF>>,
    /// Aggregates by name and alias.
    pub aggregates: BTreeMap<String, Arc<AggregateUDF>>,
    /// How special syntax (`EXTRACT`, `SUBSTRING`, `POSITION`) becomes calls.
    pub planners: Vec<Arc<dyn ExprPlanner>>,
}

impl Default for Functions {
    fn default() -> Self {
        let mut scalar = BTreeMap::new();
        for function in datafusion_functions::all_default_functions() {
            for alias in function.aliases() {
                scalar.insert(alias.clone(), Arc::clone(&function));
            }
            scalar.insert(function.name().to_owned(), function);
        }
        let mut aggregates = BTreeMap::new();
        for function in [
            sum::sum_udaf(),
            count::count_udaf(),
            average::avg_udaf(),
            min_max::min_udaf(),
            min_max::max_udaf(),
        ] {
            for alias in function.aliases() {
                aggregates.insert(alias.clone(), Arc::clone(&function));
            }
            aggregates.insert(function.name().to_owned(), function);
        }
        let planners: Vec<Arc<dyn ExprPlanner>> = vec![
            Arc::new(CoreFunctionPlanner::default()),
            Arc::new(DatetimeFunctionPlanner),
            Arc::new(UnicodeFunctionPlanner),
            Arc::new(AggregateFunctionPlanner),
        ];
        Self {
            scalar,
            aggregates,
            planners,
        }
    }
}
