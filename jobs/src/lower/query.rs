//! The plan nodes that map one to one: scans, projections, filters, unions, distinct.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema};
use datafusion_common::ScalarValue;
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_expr::{Distinct, Expr, LogicalPlan, Projection, TableScan, Union, lit, when};
use tidemill_types::system_columns;

use super::{Lowered, Lowering, WINDOW_END, WINDOW_START, column, fresh};
use crate::catalog::{CHANGE_TYPE, Object, TIMESTAMP};
use crate::error::Error;
use crate::plan::{self, NodeId, NodeOp};
use crate::query::relation::{Relation, RowsOf};

impl Lowering<'_> {
    /// Lowers a plan.
    pub(super) fn plan(&mut self, scope: &str, plan: &LogicalPlan) -> Result<Lowered, Error> {
        match plan {
            LogicalPlan::TableScan(scan) => self.scan(scope, scan),
            LogicalPlan::SubqueryAlias(alias) => {
                let name = alias.alias.table();
                let is_view = matches!(self.catalog.object(name), Some(Object::View(_)));
                self.plan(if is_view { name } else { scope }, &alias.input)
            }
            LogicalPlan::Projection(projection) => self.projection(scope, projection),
            LogicalPlan::Filter(filter) => {
                let input = self.plan(scope, &filter.input)?;
                let predicate = self.rebase(&filter.predicate, filter.input.schema(), &input)?;
                self.filter(scope, input, predicate)
            }
            LogicalPlan::Join(join) => self.join(scope, join),
            LogicalPlan::Aggregate(aggregate) => self.aggregate(scope, aggregate),
            LogicalPlan::Distinct(Distinct::All(input)) => self.distinct(scope, input),
            LogicalPlan::Union(union) => self.union(scope, union),
            other => Err(Error::unsupported(
                self.query.at,
                format!("'{}' is", other.display()),
                "use SELECT with WHERE, equi-joins, GROUP BY, HAVING, DISTINCT and UNION [ALL]",
            )),
        }
    }

    /// A filter under the columns, unless it keeps everything.
    pub(super) fn filter(
        &mut self,
        scope: &str,
        input: Lowered,
        predicate: Expr,
    ) -> Result<Lowered, Error> {
        if predicate == lit(true) {
            return Ok(input);
        }
        let at = self.at([&predicate]);
        let node = self.graph.filter(scope, input.node, predicate, at)?;
        Ok(Lowered {
            node,
            columns: input.columns,
        })
    }

    fn scan(&mut self, scope: &str, scan: &TableScan) -> Result<Lowered, Error> {
        let bug = |message: String| Error::planner(self.query.at, message);
        let Some(Relation::Rows {
            rows_of, tumble, ..
        }) = scan.source.downcast_ref::<Relation>()
        else {
            return Err(bug(format!("'{}' is not a relation", scan.table_name)));
        };
        if !scan.filters.is_empty() || scan.fetch.is_some() {
            return Err(bug(format!(
                "a filter was pushed into '{}'",
                scan.table_name
            )));
        }
        let mut node = self
            .stages
            .node(rows_of)
            .ok_or_else(|| bug(format!("'{}' has no node", scan.table_name)))?;
        if let Some(tumble) = tumble {
            let source = self.stages.source(rows_of, self.catalog);
            let source =
                source.ok_or_else(|| bug(format!("'{}' has no source", scan.table_name)))?;
            let bounds = [WINDOW_START, WINDOW_END]
                .map(|bound| Arc::new(Field::new(bound, TIMESTAMP, false)));
            let fields: Vec<_> = self
                .graph
                .node(node)
                .schema
                .fields()
                .iter()
                .cloned()
                .chain(bounds)
                .collect();
            let op = NodeOp::Tumble(plan::Tumble {
                input: node,
                time: tumble.time.clone(),
                size_ms: tumble.size_ms,
            });
            node = self.graph.add_tumble(
                scope,
                op,
                Arc::new(Schema::new(fields)),
                tumble.size_ms,
                source,
            );
        }
        let expr = |field: &Arc<Field>| match rows_of {
            RowsOf::Stream(_) if field.name() == CHANGE_TYPE => change_type(),
            _ => Ok(column(field.name())),
        };
        let columns = scan
            .projected_schema
            .fields()
            .iter()
            .map(expr)
            .collect::<Result<_, _>>();
        let columns = columns
            .map_err(|error: datafusion_common::DataFusionError| bug(error.strip_backtrace()))?;
        Ok(Lowered { node, columns })
    }

    fn projection(&mut self, scope: &str, projection: &Projection) -> Result<Lowered, Error> {
        let mut input = self.plan(scope, &projection.input)?;
        let schema = projection.input.schema();
        if self.repeats_work(projection, &input) {
            input = self.materialised(scope, input, &projection.input)?;
        }
        let columns = projection
            .expr
            .iter()
            .map(|expr| self.rebase(expr, schema, &input));
        let columns = columns.collect::<Result<_, _>>()?;
        Ok(Lowered {
            node: input.node,
            columns,
        })
    }

    /// True if a projection uses a computed column of its input more than once.
    fn repeats_work(&self, projection: &Projection, input: &Lowered) -> bool {
        let mut uses = vec![0_usize; input.columns.len()];
        for expr in &projection.expr {
            // The walk only looks; it cannot fail.
            let _ = expr.apply(|part| {
                if let Some(column) = part.try_as_col()
                    && let Ok(index) = projection.input.schema().index_of_column(column)
                {
                    uses[index] += 1;
                }
                Ok(TreeNodeRecursion::Continue)
            });
        }
        let computed = |expr: &Expr| !matches!(expr, Expr::Column(_) | Expr::Literal(..));
        uses.iter()
            .zip(&input.columns)
            .any(|(uses, expr)| *uses > 1 && computed(expr))
    }

    /// The same plan with a node that has exactly its columns.
    fn materialised(
        &mut self,
        scope: &str,
        lowered: Lowered,
        plan: &LogicalPlan,
    ) -> Result<Lowered, Error> {
        let names = unique_names(plan);
        let node = self.named(scope, lowered, &names)?;
        Ok(Lowered {
            node,
            columns: names.into_iter().map(column).collect(),
        })
    }

    fn named(&mut self, scope: &str, lowered: Lowered, names: &[String]) -> Result<NodeId, Error> {
        let at = self.at(&lowered.columns);
        let columns = lowered
            .columns
            .into_iter()
            .zip(names.iter().cloned())
            .collect();
        self.graph
            .project(scope, lowered.node, columns, &|_| false, at)
    }

    fn distinct(&mut self, scope: &str, input: &LogicalPlan) -> Result<Lowered, Error> {
        let lowered = self.plan(scope, input)?;
        let lowered = self.materialised(scope, lowered, input)?;
        let input = self.graph.durably(scope, lowered.node);
        let schema = Arc::clone(&self.graph.node(input).schema);
        let node = self
            .graph
            .add(scope, NodeOp::Distinct(plan::Distinct { input }), schema);
        Ok(Lowered { node, ..lowered })
    }

    fn union(&mut self, scope: &str, union: &Union) -> Result<Lowered, Error> {
        let mut taken = BTreeSet::new();
        let fields = union.schema.fields();
        let names: Vec<_> = fields
            .iter()
            .map(|field| fresh(field.name(), &mut taken))
            .collect();
        let mut inputs = Vec::with_capacity(union.inputs.len());
        for input in &union.inputs {
            let lowered = self.plan(scope, input)?;
            inputs.push(self.named(scope, lowered, &names)?);
        }
        let nullable: Vec<_> = (0..names.len())
            .map(|i| {
                inputs
                    .iter()
                    .any(|input| self.graph.node(*input).schema.field(i).is_nullable())
            })
            .collect();
        for input in &mut inputs {
            let columns = names
                .iter()
                .map(|name| (column(name), name.clone()))
                .collect();
            *input = self
                .graph
                .project(scope, *input, columns, &|i| nullable[i], self.query.at)?;
        }
        let Some(first) = inputs.first() else {
            return Err(Error::planner(self.query.at, "a union without inputs"));
        };
        let schema = Arc::clone(&self.graph.node(*first).schema);
        if let Some(other) = inputs
            .iter()
            .find(|input| self.graph.node(**input).schema != schema)
        {
            let message = format!("a union of {schema} and {}", self.graph.node(*other).schema);
            return Err(Error::planner(self.query.at, message));
        }
        self.refuse_mixed_windows(&inputs)?;
        let node = self
            .graph
            .add(scope, NodeOp::UnionAll(plan::UnionAll { inputs }), schema);
        Ok(Lowered {
            node,
            columns: names.into_iter().map(column).collect(),
        })
    }

    /// A union of windows must be closed by one watermark.
    fn refuse_mixed_windows(&self, inputs: &[NodeId]) -> Result<(), Error> {
        let bounds: Vec<&BTreeMap<_, _>> = inputs
            .iter()
            .map(|input| &self.graph.node(*input).bounds)
            .collect();
        if bounds.windows(2).all(|pair| pair[0] == pair[1]) {
            return Ok(());
        }
        Err(Error::unsupported(
            self.query.at,
            "a UNION of rows of different windows is",
            "aggregate each window first, then UNION ALL the results",
        ))
    }
}

/// The names of a plan's columns, made unique.
pub(super) fn unique_names(plan: &LogicalPlan) -> Vec<String> {
    let mut taken = BTreeSet::new();
    plan.schema()
        .fields()
        .iter()
        .map(|field| fresh(field.name(), &mut taken))
        .collect()
}

fn change_type() -> datafusion_common::Result<Expr> {
    let is = |op: u8| column(system_columns::OP).eq(lit(ScalarValue::UInt8(Some(op))));
    when(is(system_columns::OP_CREATE), lit("create"))
        .when(is(system_columns::OP_UPDATE), lit("update"))
        .otherwise(lit("delete"))
}

/// True if sums of that type do not depend on their order.
pub(super) const fn is_exact(data_type: &DataType) -> bool {
    !matches!(
        data_type,
        DataType::Float16 | DataType::Float32 | DataType::Float64
    )
}
