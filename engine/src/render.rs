//! Renders a job plan as a timely dataflow on one worker: the only place that knows the order of the stages.
//!
//! `producers → Kafka → [decode → dedup → resequence → table → window | join | reduce] → sinks`

mod aggregates;
mod joins;
mod needed;
mod sinks;
mod sources;
mod stateful;
pub mod tables;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrow_schema::SchemaRef;
use crossbeam_channel::Sender;
use datafusion_expr::Expr;
use tidemill_jobs::plan::{FormatPlan, JobPlan, Node, NodeId, NodeOp};
use tidemill_operators::arrange::Arrangement;
use tidemill_operators::decode::RawBatch;
use tidemill_operators::ledger::Ledger;
use tidemill_operators::stateless::{Computed, stateless};
use tidemill_operators::uncomputed::Uncomputed;
use tidemill_operators::{
    Changes, Failure, Packet, Tick, Ticks, image, reduce, resequence, table, window,
};
use tidemill_state::Store;
use tidemill_types::format::{Format, Formats, Schemas};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::InputHandle as Handle;
use timely::dataflow::Scope;
use timely::dataflow::operators::vec::ToStream;
use timely::dataflow::operators::{Concatenate, Input, Inspect, probe};

use crate::event::Event;
use crate::limits::Limits;
use crate::{Error, Status, expressions};

/// Where a worker puts input.
pub type InputHandle<T> = Handle<u64, CapacityContainerBuilder<Vec<T>>>;

/// What a worker drives.
pub struct Rendered {
    /// Raw records, a handle per source.
    pub sources: Vec<InputHandle<RawBatch>>,
    /// Ticks.
    pub ticks: InputHandle<Tick>,
    /// Stands behind all sinks.
    pub probe: probe::Handle<u64>,
}

/// What rendering needs beside the plan.
pub struct Context<'a> {
    /// The plan.
    pub plan: &'a JobPlan,
    /// The formats that there are.
    pub formats: &'a Formats,
    /// The schemas that the records of each source with a registry name.
    pub schemas: &'a [Option<Arc<dyn Schemas>>],
    /// Partitions of each source.
    pub partitions: &'a [Vec<u32>],
    /// This worker's state.
    pub store: &'a Store,
    /// Epoch of the checkpoint that state is restored from; 0 for none.
    pub restored_epoch: u64,
    /// Outputs up to this epoch are not emitted again.
    pub suppress_through: u64,
    /// How large records may be.
    pub limits: &'a Arc<Limits>,
    /// Counts.
    pub status: &'a Arc<Status>,
    /// Where outputs go.
    pub events: &'a Sender<Event>,
    /// Where operators report failures.
    pub failure: &'a Failure,
}

/// Renders the whole plan.
pub fn render<'scope>(scope: Scope<'scope, u64>, context: &Context<'_>) -> Result<Rendered, Error> {
    let (ticks_handle, ticks) = scope.new_input::<Vec<Tick>>();
    let mut renderer = Renderer {
        context,
        scope,
        ticks,
        ledger: Ledger::of(&context.plan.hash()),
        watermarks: HashMap::new(),
        streams: HashMap::new(),
        late: HashMap::new(),
        dead: Vec::new(),
        kept: Vec::new(),
        arrangements: HashMap::new(),
        handles: Vec::new(),
    };
    renderer.sources()?;
    let probe = probe::Handle::new();
    // What reads the dead letters comes last: every other stage may add to them, and every other sink.
    let behind = behind_dead_letters(context.plan);
    for is_last in [false, true] {
        for node in (0..context.plan.nodes.len()).filter(|id| behind.contains(id) == is_last) {
            let stream = renderer.node(node)?;
            renderer.streams.insert(node, stream);
        }
        let sinks = context.plan.sinks.iter().enumerate();
        for (index, _) in sinks.filter(|(_, sink)| behind.contains(&sink.input) == is_last) {
            renderer.sink(index, &probe)?;
        }
    }
    renderer.keep_dead_letters(behind.is_empty(), &probe)?;
    Ok(Rendered {
        sources: renderer
            .handles
            .into_iter()
            .map(|(handle, _)| handle)
            .collect(),
        ticks: ticks_handle,
        probe,
    })
}

/// The nodes that read the dead letters, if only through others.
fn behind_dead_letters(plan: &JobPlan) -> BTreeSet<NodeId> {
    let mut behind = BTreeSet::new();
    for (id, node) in plan.nodes.iter().enumerate() {
        if matches!(node.op, NodeOp::DeadLetters)
            || node.op.inputs().iter().any(|input| behind.contains(input))
        {
            behind.insert(id);
        }
    }
    behind
}

struct Renderer<'a, 'scope> {
    context: &'a Context<'a>,
    scope: Scope<'scope, u64>,
    ticks: Ticks<'scope>,
    ledger: Ledger,
    /// Ticks with the watermark, by source.
    watermarks: HashMap<usize, Ticks<'scope>>,
    streams: HashMap<NodeId, Changes<'scope>>,
    /// Late rows, by resequencer.
    late: HashMap<NodeId, Changes<'scope>>,
    dead: Vec<Changes<'scope>>,
    /// Dead letters that are kept beside the state.
    kept: Vec<Changes<'scope>>,
    arrangements: HashMap<joins::Index, Arrangement<'scope>>,
    handles: Vec<(InputHandle<RawBatch>, Changes<'scope>)>,
}

impl<'scope> Renderer<'_, 'scope> {
    #[expect(
        clippy::too_many_lines,
        reason = "one arm for each operator of the plan"
    )]
    fn node(&mut self, id: NodeId) -> Result<Changes<'scope>, Error> {
        let node = &self.context.plan.nodes[id];
        match &node.op {
            NodeOp::Source { source } => Ok(self.handles[*source].1.clone()),
            NodeOp::Dedup {
                input,
                uuid,
                within_ms,
            } => self.dedup(node, *input, uuid, *within_ms),
            NodeOp::Table {
                input,
                key,
                version,
                tombstone_ms,
                may_lack,
            } => {
                let guard = self.guard(node, *input, [key, version.as_slice()], may_lack)?;
                let settings = table::Settings {
                    name: node.name.clone(),
                    key: key.clone(),
                    version: version.clone(),
                    tombstone_ms: *tombstone_ms,
                    emits_image: self.feeds_state(id),
                };
                self.table(node, *input, settings, guard)
            }
            NodeOp::Resequence {
                input,
                by,
                per,
                within_ms,
                source,
            } => {
                let watermark = &self.context.plan.sources[*source].watermark;
                let settings = resequence::Settings {
                    name: node.name.clone(),
                    by: by.clone(),
                    per: per.clone(),
                    within_ms: *within_ms,
                    watermark_delay_ms: watermark.as_ref().map_or(0, |mark| mark.delay_ms),
                    topic: self.context.status.sources[*source].topic.clone(),
                };
                self.resequence(id, *input, *source, settings)
            }
            NodeOp::Late { inputs } => Ok(self.concat(
                inputs
                    .iter()
                    .filter_map(|input| self.late.get(input))
                    .cloned()
                    .collect(),
            )),
            NodeOp::DeadLetters => Ok(self.concat(self.dead.clone())),
            NodeOp::UnionAll { inputs } => Ok(self.concat(
                inputs
                    .iter()
                    .map(|input| self.streams[input].clone())
                    .collect(),
            )),
            NodeOp::Project { input, columns } => self.project(node, *input, columns),
            NodeOp::Filter { input, predicate } => {
                let predicate = expressions::bind(predicate, self.schema(*input), &node.name)?;
                Ok(self.stateless(node, *input, move |rows| {
                    expressions::filter(&predicate, rows)
                }))
            }
            NodeOp::Tumble {
                input,
                time,
                size_ms,
            } => {
                let time = self
                    .schema(*input)
                    .index_of(time)
                    .map_err(|error| self.plan_error(&node.name, error))?;
                self.count_untimed(*input, time);
                let (size_ms, output) = (*size_ms, node.schema.clone());
                Ok(self.stateless(node, *input, move |rows| {
                    expressions::tumble(time, size_ms, &output, rows)
                }))
            }
            NodeOp::Join {
                left,
                right,
                kind,
                on,
            } => self.join(id, [*left, *right], *kind, on),
            NodeOp::StarJoin {
                fact,
                unique,
                dimensions,
            } => self.star_join(id, *fact, unique, dimensions),
            NodeOp::Aggregate {
                input,
                group,
                aggregates,
            } => {
                let schema = self.schema(*input).clone();
                let settings = reduce::Settings {
                    name: node.name.clone(),
                    group: self.columns(*input, group, node)?,
                    aggregates: self.aggregates(*input, aggregates, node)?,
                    uncomputed: self.uncomputed(),
                };
                let input = self.streams[input].clone();
                let (rows, dead) = reduce::aggregate(
                    input,
                    self.ticks.clone(),
                    settings,
                    &schema,
                    &node.schema,
                    self.context.failure,
                )?;
                self.dead.push(dead);
                Ok(rows)
            }
            NodeOp::WindowAggregate {
                input,
                group,
                aggregates,
                window_end,
                source,
            } => {
                let end = group.iter().position(|name| name == window_end);
                let settings = window::Settings {
                    name: node.name.clone(),
                    group: self.columns(*input, group, node)?,
                    window_end: end.ok_or_else(|| {
                        self.plan_error(&node.name, "the end of the window is not grouped by")
                    })?,
                    aggregates: self.aggregates(*input, aggregates, node)?,
                    lateness_ms: self.lateness_ms(*input, *source),
                    emits_image: self.feeds_state(id),
                    uncomputed: self.uncomputed(),
                };
                self.window(node, *input, *source, settings)
            }
            NodeOp::Distinct { input } => Ok(reduce::distinct(
                self.streams[input].clone(),
                self.schema(*input),
                &node.name,
                self.context.failure,
            )?),
            NodeOp::Image { input } => {
                let mut image = image::Image::new(
                    &node.name,
                    &node.schema,
                    self.context.store.table(&node.name)?,
                )?;
                let all = (0..node.schema.fields().len()).collect();
                let input = self.routed(*input, all, node)?;
                Ok(self
                    .keyed(
                        input,
                        self.ticks.clone(),
                        &node.name,
                        move |tick, input, output, _| image.on_epoch(tick, input, output),
                    )
                    .0)
            }
        }
    }

    fn project(
        &mut self,
        node: &Node,
        input: NodeId,
        columns: &[(Expr, String)],
    ) -> Result<Changes<'scope>, Error> {
        let schema = self.schema(input);
        let bound = columns
            .iter()
            .map(|(expression, _)| expressions::bind(expression, schema, &node.name))
            .collect::<Result<Vec<_>, _>>()?;
        let output = node.schema.clone();
        Ok(self.stateless(node, input, move |rows| {
            expressions::project(&bound, &output, rows)
        }))
    }

    fn stateless<F>(&mut self, node: &Node, input: NodeId, compute: F) -> Changes<'scope>
    where
        F: FnMut(&arrow_array::RecordBatch) -> Result<Computed, arrow_schema::ArrowError> + 'static,
    {
        let (output, dead) = stateless(
            self.streams[&input].clone(),
            &node.name,
            self.uncomputed(),
            compute,
        );
        self.dead.push(dead);
        output
    }

    /// Where rows go that cannot be computed.
    fn uncomputed(&self) -> Uncomputed {
        Uncomputed {
            ledger: self.ledger.clone(),
            failed: self.context.status.failed_rows.clone(),
        }
    }

    /// Counts the rows that a window over `time` leaves out.
    fn count_untimed(&self, input: NodeId, time: usize) {
        if self.schema(input).field(time).is_nullable() {
            let untimed = self.context.status.untimed.clone();
            let rows = self.streams[&input].clone();
            let count =
                move |packet: &Packet| untimed.add(expressions::untimed(time, &packet.changes));
            drop(rows.inspect(count));
        }
    }

    fn concat(&self, streams: Vec<Changes<'scope>>) -> Changes<'scope> {
        if streams.is_empty() {
            Vec::<Packet>::new().to_stream(self.scope)
        } else {
            self.scope.concatenate(streams)
        }
    }

    fn schema(&self, node: NodeId) -> &SchemaRef {
        &self.context.plan.nodes[node].schema
    }

    /// The format of a source or a sink.
    fn format(&self, object: &str, plan: &FormatPlan) -> Result<&dyn Format, Error> {
        let formats = self.context.formats;
        let named = formats.named(&plan.name);
        named.ok_or_else(|| self.plan_error(object, format!("no format '{}'", plan.name)))
    }

    fn columns(&self, input: NodeId, names: &[String], node: &Node) -> Result<Vec<usize>, Error> {
        names
            .iter()
            .map(|name| {
                self.schema(input)
                    .index_of(name)
                    .map_err(|error| self.plan_error(&node.name, error))
            })
            .collect()
    }

    fn plan_error(&self, node: &str, reason: impl std::fmt::Display) -> Error {
        Error::Plan {
            node: node.to_owned(),
            reason: reason.to_string(),
        }
    }
}
