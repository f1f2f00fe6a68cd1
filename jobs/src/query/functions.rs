//! The functions that queries can call: those of DataFusion's scalar functions whose result depends on their arguments
//! alone and is of a type of the dialect, and the aggregates that can follow a changing input. Each is held to the
//! values of its type ([`Checked`]); the functions of dates are our own.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_schema::Field;
use datafusion_common::{Column, DFSchema, Result, TableReference, plan_err};
use datafusion_expr::expr::ScalarFunction;
use datafusion_expr::planner::{ExprPlanner, PlannerResult, RawFieldAccessExpr};
use datafusion_expr::{
    AggregateUDF, Expr, ExprSchemable, GetFieldAccess, ScalarUDF, Volatility, lit,
};
use datafusion_functions_aggregate::planner::AggregateFunctionPlanner;
use datafusion_functions_aggregate::{average, count, min_max, sum};

use crate::exact::checked::Kind;
use crate::exact::{Checked, date_functions, nested};

/// DataFusion's functions that are taken as they are.
const TAKEN: &[&str] = &[
    "ascii",
    "bit_length",
    "btrim",
    "character_length",
    "chr",
    "coalesce",
    "concat",
    "concat_ws",
    "contains",
    "date_part",
    "decode",
    "digest",
    "encode",
    "ends_with",
    "find_in_set",
    "greatest",
    "initcap",
    "least",
    "left",
    "levenshtein",
    "lower",
    "lpad",
    "ltrim",
    "make_date",
    "md5",
    "nullif",
    "nvl",
    "nvl2",
    "octet_length",
    "overlay",
    "regexp_count",
    "regexp_instr",
    "regexp_like",
    "regexp_replace",
    "repeat",
    "replace",
    "reverse",
    "right",
    "rpad",
    "rtrim",
    "sha224",
    "sha256",
    "sha384",
    "sha512",
    "split_part",
    "starts_with",
    "strpos",
    "substr",
    "substr_index",
    "to_char",
    "to_hex",
    "translate",
    "upper",
];

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
        let ours = date_functions().into_iter().chain(nested::functions());
        let ours = ours.map(Arc::new);
        let theirs = datafusion_functions::all_default_functions()
            .into_iter()
            .filter(|function| {
                let depends_on_more = function.signature().volatility != Volatility::Immutable;
                depends_on_more || TAKEN.contains(&function.name())
            });
        for function in theirs.chain(ours) {
            let checked = ScalarUDF::from(Checked::new(Kind::Call(function), None));
            let checked = Arc::new(checked);
            for alias in checked.aliases() {
                scalar.insert(alias.clone(), Arc::clone(&checked));
            }
            scalar.insert(checked.name().to_owned(), checked);
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
        let syntax = Syntax {
            part: Arc::new(ScalarUDF::from(Checked::new(
                Kind::Call(Arc::new(nested::part())),
                None,
            ))),
            functions: scalar.clone(),
        };
        let planners: Vec<Arc<dyn ExprPlanner>> =
            vec![Arc::new(syntax), Arc::new(AggregateFunctionPlanner)];
        Self {
            scalar,
            aggregates,
            planners,
        }
    }
}

/// Syntax of its own for some of the functions.
#[derive(Debug)]
struct Syntax {
    functions: BTreeMap<String, Arc<ScalarUDF>>,
    /// What is behind `a.b` and `a[b]`.
    part: Arc<ScalarUDF>,
}

impl Syntax {
    fn call(&self, name: &str, args: Vec<Expr>) -> PlannerResult<Vec<Expr>> {
        match self.functions.get(name) {
            Some(function) => PlannerResult::Planned(Expr::ScalarFunction(
                ScalarFunction::new_udf(Arc::clone(function), args),
            )),
            None => PlannerResult::Original(args),
        }
    }
}

impl Syntax {
    fn part(&self, of: Expr, key: Expr) -> Expr {
        let part = ScalarFunction::new_udf(Arc::clone(&self.part), vec![of, key]);
        Expr::ScalarFunction(part)
    }
}

impl ExprPlanner for Syntax {
    fn plan_compound_identifier(
        &self,
        field: &Field,
        qualifier: Option<&TableReference>,
        names: &[String],
    ) -> Result<PlannerResult<Vec<Expr>>> {
        let column = Expr::Column(Column::from((qualifier, field)));
        let part = |of, name: &String| self.part(of, lit(name.as_str()));
        Ok(PlannerResult::Planned(names.iter().fold(column, part)))
    }

    fn plan_field_access(
        &self,
        access: RawFieldAccessExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawFieldAccessExpr>> {
        let RawFieldAccessExpr { field_access, expr } = access;
        let key = match field_access {
            GetFieldAccess::NamedStructField { name } => lit(name),
            GetFieldAccess::ListIndex { key } => *key,
            GetFieldAccess::ListRange { .. } => {
                return plan_err!(
                    "a part of an array cannot be cut out; take elements, as in a[1]"
                );
            }
        };
        let constant = key.as_literal().and_then(|key| key.try_as_str().flatten());
        let (of, by) = (expr.get_type(schema)?, key.get_type(schema)?);
        nested::part_type(&of, &by, constant)?;
        Ok(PlannerResult::Planned(self.part(expr, key)))
    }

    fn plan_extract(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        Ok(self.call("date_part", args))
    }

    fn plan_substring(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        Ok(self.call("substr", args))
    }

    fn plan_position(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        Ok(self.call("strpos", args))
    }

    fn plan_overlay(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        Ok(self.call("overlay", args))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use datafusion_expr::Volatility;

    use super::Functions;

    #[test]
    fn the_functions_are_those_that_are_documented() {
        let page = include_str!("../../../docs/sql.md");
        let (_, from) = page
            .split_once("<!-- functions -->")
            .expect("the marker is there");
        let (list, _) = from
            .split_once("<!-- /functions -->")
            .expect("the marker is there");
        let documented: BTreeSet<_> = list.split('`').skip(1).step_by(2).collect();
        let functions = Functions::default();
        let offered: BTreeSet<_> = functions
            .scalar
            .values()
            .filter(|function| function.signature().volatility == Volatility::Immutable)
            .map(|function| function.name())
            .collect();
        assert_eq!(offered, documented);
    }
}
