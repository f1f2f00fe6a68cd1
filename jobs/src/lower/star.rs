//! Star joins: a join whose left side is a join already, and whose key are columns of what that one started from, joins one dimension more
//! to the same fact. A chain of binary joins would keep every row that lies between two of them; a star keeps the sides alone.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrow_schema::{Field, Schema};
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_expr::Expr;

use super::{Lowered, Lowering, column, fresh};
use crate::error::{Error, Location};
use crate::plan::{self, Dimension, JoinKind, NodeId, NodeOp};

/// What a node computes, as expressions over another one that lies before some projections.
struct Traced {
    base: NodeId,
    columns: HashMap<String, Expr>,
}

/// A fact and what it is joined with so far.
struct Star {
    fact: NodeId,
    dimensions: Vec<Dimension>,
}

impl Lowering<'_> {
    /// The inner or left join of two nodes as a star join, if it is one: a node, and over it the columns of the left node and of the right
    /// one.
    pub(super) fn star_join(
        &mut self,
        scope: &str,
        [left, right]: [NodeId; 2],
        kind: JoinKind,
        on: &[(String, String)],
        at: Location,
    ) -> Result<Option<Lowered>, Error> {
        let optional = match kind {
            JoinKind::Inner => false,
            JoinKind::Left => true,
            JoinKind::Right | JoinKind::Full => return Ok(None),
        };
        let traced = self.traced(left, at)?;
        let Some(Star {
            fact,
            mut dimensions,
        }) = self.star_at(traced.base)
        else {
            return Ok(None);
        };
        let Some(keys) = self.fact_columns(fact, &traced, on) else {
            return Ok(None);
        };
        let is_one_key = dimensions.iter().all(|dimension| {
            dimension.on.len() == keys.len()
                && dimension.on.iter().zip(&keys).all(|(on, key)| on.0 == *key)
        });
        let unique = match &self.graph.node(traced.base).op {
            NodeOp::StarJoin(plan::StarJoin { unique, .. }) if is_one_key => unique.clone(),
            _ if is_one_key => Vec::new(),
            _ => match self.unique_columns(fact) {
                Some(unique) => unique,
                None => return Ok(None),
            },
        };
        let base_fields = Arc::clone(&self.graph.node(traced.base).schema);
        let (input, names) = self.renamed(scope, right, &base_fields, at)?;
        let of_right = |name: &String| names[name].clone();
        let right_keys = on.iter().map(|(_, right)| of_right(right));
        dimensions.push(Dimension {
            input,
            optional,
            on: keys.into_iter().zip(right_keys).collect(),
        });
        let added = Arc::clone(&self.graph.node(input).schema);
        let added = added.fields().iter().map(|field| {
            let nullable = field.is_nullable() || optional;
            Arc::new(Field::clone(field).with_nullable(nullable))
        });
        let fields: Vec<_> = base_fields.fields().iter().cloned().chain(added).collect();
        let op = NodeOp::StarJoin(plan::StarJoin {
            fact,
            unique,
            dimensions,
        });
        let node = self.graph.add(scope, op, Arc::new(Schema::new(fields)));
        let name_of = |field: &Arc<Field>| field.name().clone();
        let left_columns = (self.graph.node(left).schema.fields().iter().map(name_of))
            .map(|name| traced.columns[&name].clone());
        let right_columns = (self.graph.node(right).schema.fields().iter().map(name_of))
            .map(|name| column(of_right(&name)));
        let columns = left_columns.chain(right_columns).collect();
        Ok(Some(Lowered { node, columns }))
    }

    /// Follows a node back through projections.
    fn traced(&self, id: NodeId, at: Location) -> Result<Traced, Error> {
        let mut base = id;
        let mut columns: HashMap<String, Expr> = (self.graph.node(id).schema.fields().iter())
            .map(|field| (field.name().clone(), column(field.name())))
            .collect();
        while let NodeOp::Project(plan::Project {
            input,
            columns: projected,
        }) = &self.graph.node(base).op
        {
            let of: HashMap<&str, &Expr> = projected
                .iter()
                .map(|(expr, name)| (name.as_str(), expr))
                .collect();
            for expr in columns.values_mut() {
                let replaced = expr.clone().transform_up(|part| match part {
                    Expr::Column(column) => Ok(Transformed::yes(of[column.name()].clone())),
                    other => Ok(Transformed::no(other)),
                });
                *expr = replaced
                    .map_err(|error| Error::planner(at, error.strip_backtrace()))?
                    .data;
            }
            base = *input;
        }
        Ok(Traced { base, columns })
    }

    fn star_at(&self, id: NodeId) -> Option<Star> {
        match &self.graph.node(id).op {
            NodeOp::Join(plan::Join {
                left,
                right,
                kind: kind @ (JoinKind::Inner | JoinKind::Left),
                on,
            }) => Some(Star {
                fact: *left,
                dimensions: vec![Dimension {
                    input: *right,
                    optional: *kind == JoinKind::Left,
                    on: on.clone(),
                }],
            }),
            NodeOp::StarJoin(plan::StarJoin {
                fact, dimensions, ..
            }) => Some(Star {
                fact: *fact,
                dimensions: dimensions.clone(),
            }),
            _ => None,
        }
    }

    /// The fact's columns that a join's left columns are, if all are.
    fn fact_columns(
        &self,
        fact: NodeId,
        traced: &Traced,
        on: &[(String, String)],
    ) -> Option<Vec<String>> {
        let fact = &self.graph.node(fact).schema;
        on.iter()
            .map(|(left, _)| {
                let name = traced.columns[left].try_as_col()?.name();
                fact.field_with_name(name).ok().map(|_| name.to_owned())
            })
            .collect()
    }

    /// Columns of which no two rows of a node have the same values, if there are such.
    fn unique_columns(&self, id: NodeId) -> Option<Vec<String>> {
        match &self.graph.node(id).op {
            NodeOp::Table(plan::Table { key, .. }) => Some(key.clone()),
            NodeOp::Aggregate(plan::Aggregate { group, .. })
            | NodeOp::WindowAggregate(plan::WindowAggregate { group, .. }) => {
                (!group.is_empty()).then(|| group.clone())
            }
            NodeOp::Filter(plan::Filter { input, .. }) => self.unique_columns(*input),
            NodeOp::Project(plan::Project { input, columns }) => self
                .unique_columns(*input)?
                .iter()
                .map(|unique| {
                    let is_it = |expr: &Expr| {
                        expr.try_as_col()
                            .is_some_and(|column| column.name() == unique)
                    };
                    let kept = columns.iter().find(|(expr, _)| is_it(expr))?;
                    Some(kept.1.clone())
                })
                .collect(),
            _ => None,
        }
    }

    /// A node with the columns of another, under names that `taken` does not have; and the new name of each.
    fn renamed(
        &mut self,
        scope: &str,
        id: NodeId,
        taken: &Schema,
        at: Location,
    ) -> Result<(NodeId, HashMap<String, String>), Error> {
        let draft = self.graph.node(id).clone();
        let mut taken: BTreeSet<String> = (taken.fields().iter())
            .map(|field| field.name().clone())
            .collect();
        let names: Vec<String> = (draft.schema.fields().iter())
            .map(|field| fresh(field.name(), &mut taken))
            .collect();
        let (input, exprs): (NodeId, Vec<Expr>) = match draft.op {
            NodeOp::Project(plan::Project { input, columns }) => {
                (input, columns.into_iter().map(|(expr, _)| expr).collect())
            }
            _ => (
                id,
                (draft.schema.fields().iter())
                    .map(|field| column(field.name()))
                    .collect(),
            ),
        };
        let columns = exprs.into_iter().zip(names.iter().cloned()).collect();
        let nullable = |i: usize| draft.schema.field(i).is_nullable();
        let node = self.graph.project(scope, input, columns, &nullable, at)?;
        let old_names = draft
            .schema
            .fields()
            .iter()
            .map(|field| field.name().clone());
        Ok((node, old_names.zip(names).collect()))
    }
}
