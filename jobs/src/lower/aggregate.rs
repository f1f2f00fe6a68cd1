//! `GROUP BY`: arguments and group keys become columns first; over a window, the group is closed by its watermark.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_schema::{Field, Schema};
use datafusion_common::ScalarValue;
use datafusion_expr::expr::AggregateFunction as Call;
use datafusion_expr::{Aggregate as Plan, Expr, lit, when};

use tidemill_types::AggregateFunction;

use super::graph::{Bound, WindowEdge};
use super::query::is_exact;
use super::{Lowered, Lowering, column, fresh};
use crate::error::Error;
use crate::keys;
use crate::plan::{self, AggregateCall, NodeId, NodeOp};
use crate::query::relation::{WINDOW_END, WINDOW_START};

/// The columns that an aggregate reads, in a node of exactly them.
struct Inputs {
    columns: Vec<(Expr, String)>,
    taken: BTreeSet<String>,
}

impl Inputs {
    /// The column of an expression, computed once.
    fn column(&mut self, expr: Expr, wanted: &str) -> String {
        if let Some((_, name)) = self.columns.iter().find(|(known, _)| *known == expr) {
            return name.clone();
        }
        let name = fresh(wanted, &mut self.taken);
        self.columns.push((expr, name.clone()));
        name
    }
}

impl Lowering<'_> {
    pub(super) fn aggregate(&mut self, scope: &str, plan: &Plan) -> Result<Lowered, Error> {
        let input = self.plan(scope, &plan.input)?;
        let mut inputs = Inputs {
            columns: Vec::new(),
            taken: BTreeSet::new(),
        };
        let mut group = Vec::new();
        for (expr, field) in plan.group_expr.iter().zip(plan.schema.fields()) {
            let rebased = self.rebase(expr, plan.input.schema(), &input)?;
            let wanted = if rebased.try_as_col().is_some() {
                field.name()
            } else {
                "group"
            };
            group.push(inputs.column(rebased, wanted));
        }
        let outputs = group.clone();
        let mut unique = BTreeSet::new();
        group.retain(|name| unique.insert(name.clone()));
        let window = self.window(plan, &input, &mut inputs, &mut group)?;
        let aggregates = self.aggregates(plan, &input, &mut inputs)?;
        if window.is_some() {
            self.refuse_irreversible(plan, &aggregates)?;
        }
        let at = self.at(plan.group_expr.iter().chain(&plan.aggr_expr));
        if inputs.columns.is_empty() {
            // Rows are counted, whatever is in them.
            inputs.column(lit(true), "row");
        }
        let node = self
            .graph
            .project(scope, input.node, inputs.columns, &|_| false, at)?;
        let names = outputs
            .into_iter()
            .chain(aggregates.iter().map(|aggregate| aggregate.name.clone()));
        let columns = names.map(column).collect();
        let node = self.aggregate_node(scope, plan, node, group, aggregates, window)?;
        Ok(Lowered { node, columns })
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one node")]
    fn aggregate_node(
        &mut self,
        scope: &str,
        plan: &Plan,
        input: NodeId,
        group: Vec<String>,
        aggregates: Vec<AggregateCall>,
        window: Option<(String, usize)>,
    ) -> Result<NodeId, Error> {
        let schema = Arc::clone(&self.graph.node(input).schema);
        let mut fields = Vec::with_capacity(group.len() + aggregates.len());
        for name in &group {
            let field = schema.field_with_name(name);
            let field = field.map_err(|error| Error::planner(self.query.at, error.to_string()))?;
            let at = self.at(&plan.group_expr);
            keys::check("GROUP BY", name, field.data_type(), at)?;
            fields.push(field.clone());
        }
        self.refuse_nested_arguments(plan, &aggregates, &schema)?;
        let outputs = plan.schema.fields().iter().skip(plan.group_expr.len());
        for (aggregate, field) in aggregates.iter().zip(outputs) {
            fields.push(Field::new(
                &aggregate.name,
                aggregate.data_type.clone(),
                field.is_nullable(),
            ));
        }
        let schema = Arc::new(Schema::new(fields));
        let op = match window {
            Some((window_end, source)) => NodeOp::WindowAggregate(plan::WindowAggregate {
                input,
                group,
                aggregates,
                window_end,
                source,
            }),
            None if aggregates.is_empty() => NodeOp::Distinct(plan::Distinct {
                input: self.graph.durably(scope, input),
            }),
            None => NodeOp::Aggregate(plan::Aggregate {
                input: self.graph.durably(scope, input),
                group,
                aggregates,
            }),
        };
        Ok(self.graph.add(scope, op, schema))
    }

    /// Values with others in them can be counted, and no more.
    fn refuse_nested_arguments(
        &self,
        plan: &Plan,
        aggregates: &[AggregateCall],
        input: &Schema,
    ) -> Result<(), Error> {
        for (aggregate, expr) in aggregates.iter().zip(&plan.aggr_expr) {
            let is_count = aggregate.function == AggregateFunction::Count && !aggregate.distinct;
            let argument = aggregate.argument.as_deref();
            let Some(argument) = argument.filter(|_| !is_count) else {
                continue;
            };
            if let Ok(field) = input.field_with_name(argument) {
                let of = "an aggregate of";
                keys::check(of, argument, field.data_type(), self.at([expr]))?;
            }
        }
        Ok(())
    }

    /// The column with the end of the window among the group columns, and the source that closes it. Adds the column where only the start is
    /// grouped by: the groups stay the same.
    fn window(
        &self,
        plan: &Plan,
        input: &Lowered,
        inputs: &mut Inputs,
        group: &mut Vec<String>,
    ) -> Result<Option<(String, usize)>, Error> {
        let bounds = &self.graph.node(input.node).bounds;
        let bound = |name: &String| -> Option<(Expr, Bound)> {
            let (expr, _) = inputs.columns.iter().find(|(_, known)| known == name)?;
            Some((expr.clone(), *bounds.get(&expr.try_as_col()?.name)?))
        };
        let grouped: Vec<(String, Expr, Bound)> = group
            .iter()
            .filter_map(|name| bound(name).map(|(expr, bound)| (name.clone(), expr, bound)))
            .collect();
        if let Some((name, _, bound)) = grouped
            .iter()
            .find(|(_, _, bound)| bound.edge == WindowEdge::End)
        {
            return Ok(Some((name.clone(), bound.source)));
        }
        if let Some((_, start, bound)) = grouped.first() {
            let size = lit(ScalarValue::DurationMillisecond(Some(bound.size_ms)));
            let end = inputs.column(start.clone() + size, WINDOW_END);
            group.push(end.clone());
            return Ok(Some((end, bound.source)));
        }
        if bounds.is_empty() {
            return Ok(None);
        }
        Err(Error::unsupported(
            self.at(plan.group_expr.iter().chain(&plan.aggr_expr)),
            format!(
                "an aggregate over TUMBLE that does not group by '{WINDOW_START}' or '{WINDOW_END}' is"
            ),
            format!(
                "add GROUP BY …, {WINDOW_START}, {WINDOW_END}, or read the table without TUMBLE"
            ),
        ))
    }

    fn aggregates(
        &self,
        plan: &Plan,
        input: &Lowered,
        inputs: &mut Inputs,
    ) -> Result<Vec<AggregateCall>, Error> {
        let mut taken = inputs.taken.clone();
        let outputs = plan.schema.fields().iter().skip(plan.group_expr.len());
        let mut aggregates = Vec::with_capacity(plan.aggr_expr.len());
        for (expr, field) in plan.aggr_expr.iter().zip(outputs) {
            let at = self.at([expr]);
            let Expr::AggregateFunction(call) = expr.clone().unalias() else {
                return Err(Error::planner(at, format!("'{expr}' is not an aggregate")));
            };
            let function = self.function(&call, expr)?;
            let argument = self.argument(&call, plan, input)?;
            let argument = argument.map(|argument| {
                let wanted = argument
                    .try_as_col()
                    .map_or_else(|| "value".to_owned(), |column| column.name.clone());
                inputs.column(argument, &wanted)
            });
            let distinct = call.params.distinct
                && !matches!(function, AggregateFunction::Min | AggregateFunction::Max);
            let mut wanted = call.func.name().to_owned();
            if distinct {
                wanted.push_str("_distinct");
            }
            if let Some(argument) = &argument {
                wanted.push('_');
                wanted.push_str(argument);
            }
            taken.extend(inputs.taken.iter().cloned());
            let name = fresh(&wanted, &mut taken);
            aggregates.push(AggregateCall {
                function,
                argument,
                distinct,
                name,
                data_type: field.data_type().clone(),
            });
        }
        Ok(aggregates)
    }

    fn function(&self, call: &Call, expr: &Expr) -> Result<AggregateFunction, Error> {
        match call.func.name() {
            "sum" => Ok(AggregateFunction::Sum),
            "count" => Ok(AggregateFunction::Count),
            "avg" => Ok(AggregateFunction::Avg),
            "min" => Ok(AggregateFunction::Min),
            "max" => Ok(AggregateFunction::Max),
            name => Err(Error::unsupported(
                self.at([expr]),
                format!("the aggregate '{name}' is"),
                "use sum, count, avg, min or max",
            )),
        }
    }

    /// The argument of an aggregate, null where its `FILTER` does not hold; nothing for `COUNT(*)`.
    fn argument(&self, call: &Call, plan: &Plan, input: &Lowered) -> Result<Option<Expr>, Error> {
        let [argument] = call.params.args.as_slice() else {
            let what = format!(
                "'{}' with {} arguments is",
                call.func.name(),
                call.params.args.len()
            );
            return Err(Error::unsupported(
                self.at(&call.params.args),
                what,
                "give one argument",
            ));
        };
        let argument = self.rebase(argument, plan.input.schema(), input)?;
        if let Some(filter) = &call.params.filter {
            let filter = self.rebase(filter, plan.input.schema(), input)?;
            let at = self.at([&filter]);
            let only = when(filter, argument).end();
            return only
                .map(Some)
                .map_err(|error| Error::planner(at, error.strip_backtrace()));
        }
        let counts_rows = call.func.name() == "count"
            && !call.params.distinct
            && matches!(&argument, Expr::Literal(value, _) if !value.is_null());
        Ok((!counts_rows).then_some(argument))
    }

    /// A window corrects its result after it was emitted, so every aggregate must be able to take a row back.
    fn refuse_irreversible(&self, plan: &Plan, aggregates: &[AggregateCall]) -> Result<(), Error> {
        for (aggregate, expr) in aggregates.iter().zip(&plan.aggr_expr) {
            let exact = || is_exact(&aggregate.data_type);
            let (what, instead) = match aggregate.function {
                _ if aggregate.distinct => (
                    "DISTINCT in an aggregate over a window is",
                    "select DISTINCT rows before the window",
                ),
                AggregateFunction::Count => continue,
                AggregateFunction::Sum | AggregateFunction::Avg if exact() => continue,
                AggregateFunction::Sum | AggregateFunction::Avg => (
                    "a sum or average of DOUBLE over a window is",
                    "cast it to DECIMAL",
                ),
                AggregateFunction::Min | AggregateFunction::Max => (
                    "MIN or MAX over a window is",
                    "windows have sum, count and avg of exact numbers",
                ),
            };
            return Err(Error::unsupported(self.at([expr]), what, instead));
        }
        Ok(())
    }
}
