//! Equi-joins: both sides get columns with names of their own, and what the join's condition asks beside equality becomes a filter.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_schema::{Field, Schema, SchemaRef};
use datafusion_common::{DFSchema, JoinType, NullEquality};
use datafusion_expr::{Expr, Join, LogicalPlan};

use super::{Lowered, Lowering, column, fresh};
use crate::error::Error;
use crate::keys;
use crate::plan::{self, JoinKind, NodeId, NodeOp};

const EQUI_JOINS: &str = "join on equal columns: ON left.column = right.column";

/// One side, with a node of exactly the columns that the join needs.
struct Side {
    node: NodeId,
    /// Per column of the plan's schema, its name in the node.
    names: Vec<String>,
    /// Per pair of the condition, the column of this side.
    keys: Vec<String>,
}

impl Lowering<'_> {
    pub(super) fn join(&mut self, scope: &str, join: &Join) -> Result<Lowered, Error> {
        let kind = self.join_kind(join)?;
        let (left_keys, right_keys): (Vec<_>, Vec<_>) = join.on.iter().cloned().unzip();
        let mut taken = BTreeSet::new();
        let left = self.side(scope, &join.left, &left_keys, &mut taken)?;
        let right = self.side(scope, &join.right, &right_keys, &mut taken)?;
        if [left.node, right.node]
            .iter()
            .all(|side| self.graph.node(*side).grows)
        {
            return Err(Error::unsupported(
                self.at(&left_keys),
                "a join of two streams, which must keep every event of both for ever, is",
                "join a TABLE, or what GROUP BY makes of one of the streams",
            ));
        }
        let on: Vec<_> = left.keys.into_iter().zip(right.keys).collect();
        let nodes = [left.node, right.node].map(|node| self.graph.durably(scope, node));
        let [left_schema, right_schema] =
            nodes.map(|node| Arc::clone(&self.graph.node(node).schema));
        for (left, right) in &on {
            let types = (
                left_schema.field_with_name(left),
                right_schema.field_with_name(right),
            );
            if !matches!(&types, (Ok(left), Ok(right)) if left.data_type() == right.data_type()) {
                let message = format!("'{left}' and '{right}' are joined but have different types");
                return Err(Error::planner(self.at(&left_keys), message));
            }
            if let (Ok(field), _) = types {
                keys::check("a join on", left, field.data_type(), self.at(&left_keys))?;
            }
        }
        let star = self.star_join(scope, nodes, kind, &on, self.at(&left_keys))?;
        let names = [left.names.as_slice(), right.names.as_slice()];
        let lowered = match star {
            Some(star) => picked(&star, [&left_schema, &right_schema], names),
            None => self.binary_join(scope, nodes, kind, on, names),
        };
        match &join.filter {
            None => Ok(lowered),
            Some(filter) => {
                let both = join.left.schema().join(join.right.schema());
                let both: DFSchema = both
                    .map_err(|error| Error::planner(self.at([filter]), error.strip_backtrace()))?;
                let predicate = self.rebase(filter, &both, &lowered)?;
                self.filter(scope, lowered, predicate)
            }
        }
    }

    fn binary_join(
        &mut self,
        scope: &str,
        nodes: [NodeId; 2],
        kind: JoinKind,
        on: Vec<(String, String)>,
        names: [&[String]; 2],
    ) -> Lowered {
        let [left, right] = nodes.map(|node| Arc::clone(&self.graph.node(node).schema));
        let padded = |field: &Arc<Field>, padded: bool| {
            field
                .as_ref()
                .clone()
                .with_nullable(field.is_nullable() || padded)
        };
        let pad_left = matches!(kind, JoinKind::Right | JoinKind::Full);
        let pad_right = matches!(kind, JoinKind::Left | JoinKind::Full);
        let fields: Vec<_> = (left.fields().iter().map(|field| padded(field, pad_left)))
            .chain(right.fields().iter().map(|field| padded(field, pad_right)))
            .collect();
        let op = NodeOp::Join(plan::Join {
            left: nodes[0],
            right: nodes[1],
            kind,
            on,
        });
        let node = self.graph.add(scope, op, Arc::new(Schema::new(fields)));
        let columns = names.concat().into_iter().map(column).collect();
        Lowered { node, columns }
    }

    fn join_kind(&self, join: &Join) -> Result<JoinKind, Error> {
        let kind = match join.join_type {
            JoinType::Inner => JoinKind::Inner,
            JoinType::Left => JoinKind::Left,
            JoinType::Right => JoinKind::Right,
            JoinType::Full => JoinKind::Full,
            other => {
                return Err(Error::unsupported(
                    self.query.at,
                    format!("a {other} join is"),
                    EQUI_JOINS,
                ));
            }
        };
        let place = self.at(join
            .filter
            .iter()
            .chain(join.on.iter().flat_map(|(left, right)| [left, right])));
        if join.on.is_empty() {
            let at = if join.filter.is_some() {
                place
            } else {
                self.place_of(&join.right)
            };
            return Err(Error::unsupported(
                at,
                "a join without equal columns (a cross join) is",
                EQUI_JOINS,
            ));
        }
        if join.null_equality != NullEquality::NullEqualsNothing {
            return Err(Error::unsupported(
                place,
                "a join on IS NOT DISTINCT FROM is",
                EQUI_JOINS,
            ));
        }
        if join.filter.is_some() && kind != JoinKind::Inner {
            let instead = "keep equalities in ON, and filter a side in a subquery before the join";
            return Err(Error::unsupported(
                place,
                "an outer join on more than equal columns is",
                instead,
            ));
        }
        Ok(kind)
    }

    /// Where a plan's table stands in the text.
    fn place_of(&self, plan: &LogicalPlan) -> crate::error::Location {
        match plan {
            LogicalPlan::SubqueryAlias(alias) => {
                crate::query::place_of_word(self.query, alias.alias.table())
            }
            LogicalPlan::TableScan(scan) => {
                crate::query::place_of_word(self.query, scan.table_name.table())
            }
            other => other
                .inputs()
                .first()
                .map_or(self.query.at, |input| self.place_of(input)),
        }
    }

    fn side(
        &mut self,
        scope: &str,
        plan: &LogicalPlan,
        keys: &[Expr],
        taken: &mut BTreeSet<String>,
    ) -> Result<Side, Error> {
        let lowered = self.plan(scope, plan)?;
        let mut columns: Vec<(Expr, String)> = Vec::new();
        let mut names = Vec::with_capacity(lowered.columns.len());
        for (expr, (qualifier, field)) in lowered.columns.iter().zip(plan.schema().iter()) {
            names.push(match columns.iter().find(|(known, _)| known == expr) {
                Some((_, name)) => name.clone(),
                None => {
                    let wanted = match qualifier {
                        Some(table) if taken.contains(field.name()) => {
                            format!("{}_{}", table.table(), field.name())
                        }
                        _ => field.name().clone(),
                    };
                    let name = fresh(&wanted, taken);
                    columns.push((expr.clone(), name.clone()));
                    name
                }
            });
        }
        let mut key_names = Vec::with_capacity(keys.len());
        for key in keys {
            let expr = self.rebase(key, plan.schema(), &lowered)?;
            key_names.push(match columns.iter().find(|(known, _)| *known == expr) {
                Some((_, name)) => name.clone(),
                None => {
                    let name = fresh("join_key", taken);
                    columns.push((expr, name.clone()));
                    name
                }
            });
        }
        let at = self.at(keys);
        let node = self
            .graph
            .project(scope, lowered.node, columns, &|_| false, at)?;
        Ok(Side {
            node,
            names,
            keys: key_names,
        })
    }
}

/// A join's columns by name, from those of its sides in order.
fn picked(sides: &Lowered, schemas: [&SchemaRef; 2], names: [&[String]; 2]) -> Lowered {
    let start = schemas[0].fields().len();
    let index = |schema: &SchemaRef, name: &String| {
        let index = schema
            .fields()
            .iter()
            .position(|field| field.name() == name);
        index.expect("a side has the columns that it was projected to")
    };
    let [left, right] = names;
    let columns = (left.iter().map(|name| index(schemas[0], name)))
        .chain(right.iter().map(|name| start + index(schemas[1], name)))
        .map(|i| sides.columns[i].clone())
        .collect();
    Lowered {
        node: sides.node,
        columns,
    }
}
