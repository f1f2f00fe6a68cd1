//! Refuses, on the syntax tree, what a changing result cannot be asked or what is not built: each with its place and what to use instead.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion_expr::Volatility;
use datafusion_sql::sqlparser::ast::{
    Distinct, Expr, Function, FunctionArgumentList, FunctionArguments, GroupByExpr, JoinConstraint,
    JoinOperator, ObjectName, Query, Select, SelectFlavor, SetExpr, SetOperator, SetQuantifier,
    Spanned, TableFactor, Visit, Visitor,
};
use datafusion_sql::sqlparser::tokenizer::Span;

use super::functions::Functions;
use crate::catalog::{Catalog, Object};
use crate::dialect::{QueryText, tumble};
use crate::error::{Error, Location};

const QUERIES: &str = "supported are SELECT with WHERE, equi-joins, GROUP BY, HAVING, DISTINCT, UNION [ALL], views and WITH";
const AGGREGATES: &str = "the aggregates are sum, count, avg, min and max";

/// Refuses what is not supported.
///
/// # Errors
/// At the first place that is not supported.
pub fn check(query: &QueryText, catalog: &Catalog, functions: &Functions) -> Result<(), Error> {
    let mut names = CommonTableNames::default();
    let _ = query.tree.visit(&mut names);
    let mut refusals = Refusals {
        query,
        catalog,
        functions,
        ctes: names.0,
        at: query.at,
    };
    match query.tree.visit(&mut refusals) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// The names that `WITH` gives, anywhere in the query.
#[derive(Default)]
struct CommonTableNames(BTreeSet<String>);

impl Visitor for CommonTableNames {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let ctes = query.with.iter().flat_map(|with| &with.cte_tables);
        self.0.extend(ctes.map(|cte| normal(&cte.alias.name)));
        ControlFlow::Continue(())
    }
}

fn normal(ident: &datafusion_sql::sqlparser::ast::Ident) -> String {
    if ident.quote_style.is_some() {
        ident.value.clone()
    } else {
        ident.value.to_lowercase()
    }
}

struct Refusals<'a> {
    query: &'a QueryText,
    catalog: &'a Catalog,
    functions: &'a Functions,
    ctes: BTreeSet<String>,
    /// Start of the innermost select, for parts of the tree without a place of their own.
    at: Location,
}

impl Refusals<'_> {
    fn at(&self, span: Span) -> Location {
        if span.start.line == 0 {
            self.at
        } else {
            Location {
                line: span.start.line,
                column: span.start.column,
            }
        }
    }

    fn refuse(&self, span: Span, what: &str, instead: &str) -> ControlFlow<Error> {
        ControlFlow::Break(Error::unsupported(self.at(span), what, instead))
    }

    /// Where a keyword last stands in the query.
    fn keyword(&self, word: &str) -> Span {
        let found = self.query.words.iter().rev().find(|name| name.text == word);
        found.map_or_else(Span::empty, |name| {
            let at = datafusion_sql::sqlparser::tokenizer::Location {
                line: name.at.line,
                column: name.at.column,
            };
            Span { start: at, end: at }
        })
    }

    fn check_set(&self, set: &SetExpr) -> ControlFlow<Error> {
        match set {
            SetExpr::Select(_) | SetExpr::Query(_) => ControlFlow::Continue(()),
            SetExpr::SetOperation {
                left,
                op: SetOperator::Union,
                set_quantifier,
                right,
            } => {
                if !matches!(
                    set_quantifier,
                    SetQuantifier::All | SetQuantifier::Distinct | SetQuantifier::None
                ) {
                    return self.refuse(right.span(), "UNION BY NAME is", "use UNION or UNION ALL");
                }
                self.check_set(left)?;
                self.check_set(right)
            }
            SetExpr::SetOperation { op, .. } => {
                let word = op.to_string();
                self.refuse(
                    self.keyword(&word.to_lowercase()),
                    &format!("{word} is"),
                    "use UNION, UNION ALL or joins",
                )
            }
            _ => self.refuse(Span::empty(), "this kind of query is", QUERIES),
        }
    }

    fn check_select(&self, select: &Select) -> ControlFlow<Error> {
        let span = select.span();
        if select.from.is_empty() {
            return self.refuse(
                select.select_token.0.span,
                "SELECT without FROM is",
                "read a table, a stream or a view",
            );
        }
        if matches!(select.distinct, Some(Distinct::On(_))) {
            return self.refuse(
                self.keyword("distinct"),
                "DISTINCT ON is",
                "use DISTINCT or GROUP BY",
            );
        }
        if let Some(qualify) = &select.qualify {
            return self.refuse(qualify.span(), "QUALIFY is", QUERIES);
        }
        match &select.group_by {
            GroupByExpr::All(_) => {
                return self.refuse(self.keyword("group"), "GROUP BY ALL is", "name the columns");
            }
            GroupByExpr::Expressions(_, modifiers) if !modifiers.is_empty() => {
                return self.refuse(
                    self.keyword("group"),
                    "GROUP BY with a modifier is",
                    "name the columns",
                );
            }
            GroupByExpr::Expressions(..) => {}
        }
        let rare = select.top.is_some()
            || select.into.is_some()
            || select.prewhere.is_some()
            || select.value_table_mode.is_some()
            || !select.connect_by.is_empty()
            || !select.lateral_views.is_empty()
            || !select.cluster_by.is_empty()
            || !select.distribute_by.is_empty()
            || !select.sort_by.is_empty()
            || !select.named_window.is_empty()
            || !matches!(select.flavor, SelectFlavor::Standard);
        if rare {
            return self.refuse(span, "this form of SELECT is", QUERIES);
        }
        self.check_joins(select)
    }

    fn check_joins(&self, select: &Select) -> ControlFlow<Error> {
        for join in select.from.iter().flat_map(|from| &from.joins) {
            let span = join.relation.span();
            match &join.join_operator {
                JoinOperator::CrossJoin(JoinConstraint::None) => {}
                JoinOperator::Join(constraint)
                | JoinOperator::Inner(constraint)
                | JoinOperator::Left(constraint)
                | JoinOperator::LeftOuter(constraint)
                | JoinOperator::Right(constraint)
                | JoinOperator::RightOuter(constraint)
                | JoinOperator::FullOuter(constraint) => {
                    if matches!(constraint, JoinConstraint::None) {
                        return self.refuse(
                            span,
                            "a join without ON is",
                            "add ON left.column = right.column",
                        );
                    }
                }
                _ => {
                    return self.refuse(
                        span,
                        "this kind of join is",
                        "use [INNER], LEFT, RIGHT or FULL JOIN … ON",
                    );
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn check_function(&self, function: &Function) -> ControlFlow<Error> {
        let span = function.name.span();
        let name = function.name.to_string().to_lowercase();
        if function.over.is_some() {
            return self.refuse(
                span,
                &format!("'{name}' with OVER is"),
                "use GROUP BY, over TUMBLE for a window of time",
            );
        }
        if function.null_treatment.is_some() || !function.within_group.is_empty() {
            return self.refuse(
                span,
                &format!("'{name}' with an order or a null treatment is"),
                AGGREGATES,
            );
        }
        if let FunctionArguments::List(FunctionArgumentList { clauses, .. }) = &function.args
            && !clauses.is_empty()
        {
            return self.refuse(
                span,
                &format!("'{name}' with a clause among its arguments is"),
                AGGREGATES,
            );
        }
        if self.functions.aggregates.contains_key(&name) {
            return ControlFlow::Continue(());
        }
        match self.functions.scalar.get(&name) {
            Some(known) if known.signature().volatility == Volatility::Immutable => ControlFlow::Continue(()),
            Some(_) => self.refuse(
                span,
                &format!("'{name}', whose result depends on more than its arguments, is"),
                "replay must give the same rows: take time and identity from the event, such as METADATA FROM 'ts'",
            ),
            None => {
                let known = self.functions.scalar.keys().chain(self.functions.aggregates.keys());
                let mut error = Error::unknown(self.at(span), "function", &name, known.map(String::as_str));
                if let Error::Unknown { hint, .. } = &mut error
                    && hint.is_empty()
                {
                    *hint = format!("; docs/sql.md lists the scalar functions, and {AGGREGATES}");
                }
                ControlFlow::Break(error)
            }
        }
    }
}

impl Visitor for Refusals<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        if let Some(with) = &query.with
            && with.recursive
        {
            return self.refuse(with.span(), "WITH RECURSIVE is", QUERIES);
        }
        if query.order_by.is_some() {
            let what = "ORDER BY of a changing result is";
            return self.refuse(self.keyword("order"), what, "sort where the sink is read");
        }
        if query.limit_clause.is_some() || query.fetch.is_some() {
            let word = if query.fetch.is_some() {
                "fetch"
            } else {
                "limit"
            };
            return self.refuse(
                self.keyword(word),
                &format!("{} is", word.to_uppercase()),
                QUERIES,
            );
        }
        let rare = !query.locks.is_empty()
            || query.for_clause.is_some()
            || query.settings.is_some()
            || query.format_clause.is_some()
            || !query.pipe_operators.is_empty();
        if rare {
            return self.refuse(query.span(), "this form of query is", QUERIES);
        }
        self.check_set(&query.body)
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Error> {
        self.at = self.at(select.select_token.0.span);
        self.check_select(select)
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<Error> {
        let name = match relation.0.as_slice() {
            [part] => part.as_ident().map(normal),
            _ => None,
        };
        let at = self.at(relation.span());
        let Some(name) = name else {
            return ControlFlow::Break(Error::unknown(at, "table", &relation.to_string(), []));
        };
        if self.ctes.contains(&name) || self.query.windows.iter().any(|window| window.name == name)
        {
            return ControlFlow::Continue(());
        }
        let message = match self.catalog.object(&name) {
            None => {
                return ControlFlow::Break(Error::unknown(
                    at,
                    "table",
                    &name,
                    self.catalog.readable(),
                ));
            }
            Some(Object::Source(_)) => format!(
                "'{name}' is a source, which cannot be queried; declare CREATE TABLE … FROM {name} or CREATE STREAM … FROM {name}"
            ),
            Some(Object::Sink) => {
                format!("'{name}' is a sink, which cannot be queried; make its query a view")
            }
            Some(_) => return ControlFlow::Continue(()),
        };
        ControlFlow::Break(Error::contradiction(at, message))
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Error> {
        let tables = "read tables, streams, views and subqueries";
        match factor {
            TableFactor::Table {
                args: Some(_),
                name,
                ..
            } => self.refuse(
                name.span(),
                &format!("the table function '{name}' is"),
                &format!("the one there is: {}", tumble::FORM),
            ),
            TableFactor::Table {
                version: None,
                sample: None,
                with_ordinality: false,
                ..
            }
            | TableFactor::Derived {
                lateral: false,
                sample: None,
                ..
            }
            | TableFactor::NestedJoin { .. } => ControlFlow::Continue(()),
            TableFactor::Derived { lateral: true, .. } => {
                self.refuse(factor.span(), "LATERAL is", tables)
            }
            _ => self.refuse(factor.span(), "this kind of table is", tables),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Error> {
        let span = expr.span();
        match expr {
            Expr::Function(function) => self.check_function(function),
            Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => self.refuse(
                span,
                "a subquery in an expression is",
                "join the subquery instead: JOIN (SELECT …) AS s ON …",
            ),
            Expr::AnyOp { .. } | Expr::AllOp { .. } | Expr::InUnnest { .. } => {
                self.refuse(span, "ANY or ALL is", "use IN (…) with values, or a join")
            }
            Expr::Rollup(_) | Expr::Cube(_) | Expr::GroupingSets(_) => self.refuse(
                span,
                "GROUP BY with ROLLUP, CUBE or GROUPING SETS is",
                "use one GROUP BY per sink",
            ),
            _ => ControlFlow::Continue(()),
        }
    }
}
