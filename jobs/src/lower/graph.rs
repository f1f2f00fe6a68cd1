//! The job's dataflow while it grows: equal nodes are one node, what cannot be reached is dropped at the end, and only then are names
//! given, so that they depend on as little as possible.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion_common::DFSchema;
use datafusion_expr::{Expr, ExprSchemable, cast};
use tidemill_types::sql_type;

use crate::error::{Error, Location};
use crate::exact;
use crate::plan::{self, Durable, JoinKind, Names, Node, NodeId, NodeOp};
use crate::query::place_in;
use crate::text;

/// Which end of a window a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowEdge {
    /// `window_start`.
    Start,
    /// `window_end`.
    End,
}

/// What is known of a column that holds an end of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// Which end.
    pub edge: WindowEdge,
    /// The window's size.
    pub size_ms: i64,
    /// The source whose watermark closes it.
    pub source: usize,
}

/// A node without a name.
#[derive(Debug, Clone)]
pub struct Draft {
    /// First part of its name: the source, table, stream, view or sink that first asked for it.
    scope: String,
    /// What it does.
    pub op: NodeOp,
    /// Its columns.
    pub schema: SchemaRef,
    /// True if its output retracts.
    pub retracts: bool,
    /// True if its rows are those of a stream of events, which only become more.
    pub grows: bool,
    /// What of its output is durable.
    pub durable: Durable,
    /// The columns that hold an end of a window.
    pub bounds: BTreeMap<String, Bound>,
}

/// The nodes so far, inputs before readers.
#[derive(Debug, Default)]
pub struct Graph {
    drafts: Vec<Draft>,
    known: HashMap<String, NodeId>,
}

impl Graph {
    /// A node.
    pub fn node(&self, id: NodeId) -> &Draft {
        &self.drafts[id]
    }

    /// Adds a node, or finds the one that does the same.
    pub fn add(&mut self, scope: &str, op: NodeOp, schema: SchemaRef) -> NodeId {
        let names = Names {
            node: &|id| format!("#{id}"),
            source: &|index| format!("#{index}"),
        };
        let key = op.stage().words(&names) + &text::columns(&schema);
        if let Some(id) = self.known.get(&key) {
            return *id;
        }
        let inputs = Durable::of_all(self.inputs(&op).map(|input| input.durable));
        let durable = op.stage().durable(inputs);
        let retracts = self.inputs(&op).any(|input| input.retracts);
        let retracts = op.stage().retracts(retracts);
        let grows = self.inputs(&op).any(|input| input.grows);
        let grows = op.stage().grows(grows);
        let bounds = self.bounds(&op);
        let id = self.drafts.len();
        self.drafts.push(Draft {
            scope: scope.to_owned(),
            op,
            schema,
            retracts,
            grows,
            durable,
            bounds,
        });
        self.known.insert(key, id);
        id
    }

    /// What is known of the inputs of a stage.
    fn inputs(&self, op: &NodeOp) -> impl Iterator<Item = &Draft> {
        op.inputs().into_iter().map(|input| self.node(input))
    }

    fn bounds(&self, op: &NodeOp) -> BTreeMap<String, Bound> {
        match op {
            NodeOp::Filter(plan::Filter { input, .. })
            | NodeOp::Image(plan::Image { input })
            | NodeOp::Distinct(plan::Distinct { input }) => self.node(*input).bounds.clone(),
            NodeOp::Project(plan::Project { input, columns }) => {
                let bounds = &self.node(*input).bounds;
                let bound = |expr: &Expr| {
                    expr.try_as_col()
                        .and_then(|column| bounds.get(&column.name))
                        .copied()
                };
                columns
                    .iter()
                    .filter_map(|(expr, name)| Some((name.clone(), bound(expr)?)))
                    .collect()
            }
            NodeOp::Join(plan::Join {
                left, right, kind, ..
            }) => {
                let mut bounds = BTreeMap::new();
                if matches!(kind, JoinKind::Inner | JoinKind::Left) {
                    bounds.extend(self.node(*left).bounds.clone());
                }
                if matches!(kind, JoinKind::Inner | JoinKind::Right) {
                    bounds.extend(self.node(*right).bounds.clone());
                }
                bounds
            }
            NodeOp::StarJoin(plan::StarJoin {
                fact, dimensions, ..
            }) => {
                let matched = dimensions.iter().filter(|dimension| !dimension.optional);
                std::iter::once(*fact)
                    .chain(matched.map(|dimension| dimension.input))
                    .flat_map(|input| self.node(input).bounds.clone())
                    .collect()
            }
            NodeOp::UnionAll(plan::UnionAll { inputs }) => {
                let first = inputs
                    .first()
                    .map(|input| self.node(*input).bounds.clone())
                    .unwrap_or_default();
                let everywhere = |name: &String, bound: &Bound| {
                    inputs
                        .iter()
                        .all(|input| self.node(*input).bounds.get(name) == Some(bound))
                };
                first
                    .into_iter()
                    .filter(|(name, bound)| everywhere(name, bound))
                    .collect()
            }
            NodeOp::Source(_)
            | NodeOp::Dedup(_)
            | NodeOp::Table(_)
            | NodeOp::Resequence(_)
            | NodeOp::Late(_)
            | NodeOp::DeadLetters(_)
            | NodeOp::Tumble(_)
            | NodeOp::Aggregate(_)
            | NodeOp::WindowAggregate(_) => BTreeMap::new(),
        }
    }

    /// Adds a tumbling window; `source` closes it.
    pub fn add_tumble(
        &mut self,
        scope: &str,
        op: NodeOp,
        schema: SchemaRef,
        size_ms: i64,
        source: usize,
    ) -> NodeId {
        let bounds = [
            (super::WINDOW_START, WindowEdge::Start),
            (super::WINDOW_END, WindowEdge::End),
        ];
        let id = self.add(scope, op, schema);
        self.drafts[id].bounds = bounds
            .map(|(name, edge)| {
                (
                    name.to_owned(),
                    Bound {
                        edge,
                        size_ms,
                        source,
                    },
                )
            })
            .into();
        id
    }

    /// Adds a projection, unless it would change nothing. Columns that `nullable` names may be null whatever the expression says.
    pub fn project(
        &mut self,
        scope: &str,
        input: NodeId,
        columns: Vec<(Expr, String)>,
        nullable: &dyn Fn(usize) -> bool,
        at: Location,
    ) -> Result<NodeId, Error> {
        let schema = Arc::clone(&self.node(input).schema);
        let bound = qualified(&schema, at)?;
        let mut fields = Vec::with_capacity(columns.len());
        let mut typed = Vec::with_capacity(columns.len());
        for (i, (expr, name)) in columns.into_iter().enumerate() {
            let at = place_in(&expr).unwrap_or(at);
            let expr = storable(expr, &name, &bound, at)?;
            let field = field_of(&expr, &name, &bound, at)?;
            let may_be_null = field.is_nullable() || nullable(i);
            fields.push(field.with_nullable(may_be_null));
            typed.push((expr, name));
        }
        let projected = Schema::new(fields);
        let unchanged = projected.fields() == schema.fields()
            && typed
                .iter()
                .all(|(expr, name)| expr.try_as_col().is_some_and(|column| column.name == *name));
        if unchanged {
            return Ok(input);
        }
        Ok(self.add(
            scope,
            NodeOp::Project(plan::Project {
                input,
                columns: typed,
            }),
            Arc::new(projected),
        ))
    }

    /// Adds a filter.
    pub fn filter(
        &mut self,
        scope: &str,
        input: NodeId,
        predicate: Expr,
        at: Location,
    ) -> Result<NodeId, Error> {
        let schema = Arc::clone(&self.node(input).schema);
        let bound = qualified(&schema, at)?;
        compilable(&predicate, &bound, at)?;
        Ok(self.add(
            scope,
            NodeOp::Filter(plan::Filter { input, predicate }),
            schema,
        ))
    }

    /// Makes a node's output durable, by images of the parts that are not.
    pub fn durably(&mut self, scope: &str, id: NodeId) -> NodeId {
        let draft = self.node(id).clone();
        match (draft.durable, draft.op) {
            (Durable::Everything, _) => id,
            (Durable::Nothing, _) => self.add(
                scope,
                NodeOp::Image(plan::Image { input: id }),
                draft.schema,
            ),
            (Durable::Mixed, op) => {
                let op = match op {
                    NodeOp::Project(plan::Project { input, columns }) => {
                        NodeOp::Project(plan::Project {
                            input: self.durably(scope, input),
                            columns,
                        })
                    }
                    NodeOp::Filter(plan::Filter { input, predicate }) => {
                        NodeOp::Filter(plan::Filter {
                            input: self.durably(scope, input),
                            predicate,
                        })
                    }
                    NodeOp::UnionAll(plan::UnionAll { inputs }) => {
                        let inputs = inputs
                            .into_iter()
                            .map(|input| self.durably(scope, input))
                            .collect();
                        NodeOp::UnionAll(plan::UnionAll { inputs })
                    }
                    op => op,
                };
                self.add(scope, op, draft.schema)
            }
        }
    }

    /// The nodes that the roots need, named; and where each root went.
    pub fn finish(self, roots: &[NodeId]) -> (Vec<Node>, Vec<NodeId>) {
        let mut needed = vec![false; self.drafts.len()];
        for root in roots {
            needed[*root] = true;
        }
        for id in (0..self.drafts.len())
            .rev()
            .filter(|id| needed[*id])
            .collect::<Vec<_>>()
        {
            mark(&self.drafts, id, &mut needed);
        }
        let mut moved = vec![0; self.drafts.len()];
        let mut nodes = Vec::new();
        let mut names = NodeNames::default();
        for (id, draft) in self
            .drafts
            .into_iter()
            .enumerate()
            .filter(|(id, _)| needed[*id])
        {
            moved[id] = nodes.len();
            let name = names.next(&draft.scope, &draft.op);
            let mut op = draft.op;
            for input in op.stage_mut().inputs_mut() {
                *input = moved[*input];
            }
            nodes.push(Node {
                name,
                op,
                schema: draft.schema,
                retracts: draft.retracts,
            });
        }
        (nodes, roots.iter().map(|root| moved[*root]).collect())
    }
}

fn mark(drafts: &[Draft], id: NodeId, needed: &mut [bool]) {
    for input in drafts[id].op.inputs() {
        if !needed[input] {
            needed[input] = true;
            mark(drafts, input, needed);
        }
    }
}

/// Names of nodes: `scope/stage` for what a statement declares, `scope/stage-n` for what a query needs.
#[derive(Default)]
struct NodeNames(BTreeMap<String, usize>);

impl NodeNames {
    fn next(&mut self, scope: &str, op: &NodeOp) -> String {
        let stage = op.stage();
        let stem = format!("{scope}/{}", stage.name());
        let count = self.0.entry(stem.clone()).or_default();
        *count += 1;
        if stage.is_declared() && *count == 1 {
            stem
        } else {
            format!("{stem}-{count}")
        }
    }
}

fn qualified(schema: &SchemaRef, at: Location) -> Result<DFSchema, Error> {
    DFSchema::try_from(Arc::clone(schema))
        .map_err(|error| Error::planner(at, error.strip_backtrace()))
}

/// The type and nullability of an expression; also proves that the engine can compile it.
fn field_of(expr: &Expr, name: &str, schema: &DFSchema, at: Location) -> Result<Field, Error> {
    compilable(expr, schema, at)?;
    let bug =
        |error: datafusion_common::DataFusionError| Error::planner(at, error.strip_backtrace());
    let data_type = expr.get_type(schema).map_err(bug)?;
    Ok(Field::new(
        name,
        data_type,
        expr.nullable(schema).map_err(bug)?,
    ))
}

fn compilable(expr: &Expr, schema: &DFSchema, at: Location) -> Result<(), Error> {
    exact::compile(expr, schema).map(|_| ()).map_err(|error| {
        let what = format!("the expression '{expr}' is ({})", error.strip_backtrace());
        Error::unsupported(at, what, "write it with other functions")
    })
}

/// An expression as a column that can be stored, keyed and written: one of the types of the dialect.
fn storable(expr: Expr, name: &str, schema: &DFSchema, at: Location) -> Result<Expr, Error> {
    let data_type = expr
        .get_type(schema)
        .map_err(|error| Error::planner(at, error.strip_backtrace()))?;
    match data_type {
        DataType::Utf8View | DataType::LargeUtf8 => Ok(cast(expr, DataType::Utf8)),
        DataType::BinaryView | DataType::LargeBinary => Ok(cast(expr, DataType::Binary)),
        DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32
        | DataType::UInt64
        | DataType::Float32
        | DataType::Float64
        | DataType::Decimal128(..)
        | DataType::Utf8
        | DataType::Binary
        | DataType::FixedSizeBinary(_)
        | DataType::Date32
        | DataType::Timestamp(_, None) => Ok(expr),
        nested if nested.is_nested() && is_declarable(&nested) => Ok(expr),
        other => Err(Error::unsupported(
            at,
            format!("the type {} of column '{name}' is", sql_type::name(&other)),
            "cast it to BOOLEAN, INT, BIGINT, DOUBLE, DECIMAL, VARCHAR, DATE or TIMESTAMP",
        )),
    }
}

/// True for a type that a column of a source can have.
fn is_declarable(data_type: &DataType) -> bool {
    match data_type {
        DataType::Boolean
        | DataType::Int32
        | DataType::Int64
        | DataType::Float64
        | DataType::Decimal128(..)
        | DataType::Utf8
        | DataType::FixedSizeBinary(16)
        | DataType::Date32
        | DataType::Timestamp(TimeUnit::Millisecond, None) => true,
        DataType::Struct(fields) => fields.iter().all(|field| is_declarable(field.data_type())),
        DataType::List(element) => is_declarable(element.data_type()),
        other => sql_type::map_value(other).is_some_and(is_declarable),
    }
}
