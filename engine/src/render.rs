//! Renders a job plan as a timely dataflow on one worker: the only place that knows the order of the stages.
//!
//! `producers → Kafka → [decode → dedup → resequence → table → window | join | reduce] → sinks`

mod aggregate;
mod arranged;
mod computed;
mod dedup;
mod distinct;
mod filter;
mod image;
mod join;
mod keyed;
mod needed;
mod project;
mod resequence;
mod sinks;
mod sources;
mod star_join;
mod table;
pub mod tables;
mod tumble;
mod window_aggregate;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrow_schema::SchemaRef;
use crossbeam_channel::Sender;
use tidemill_jobs::plan::{FormatPlan, JobPlan, Node, NodeId, NodeOp};
use tidemill_operators::arrange::Arrangement;
use tidemill_operators::decode::RawBatch;
use tidemill_operators::ledger::Ledger;
use tidemill_operators::uncomputed::Uncomputed;
use tidemill_operators::{Changes, Failure, Packet, Tick, Ticks};
use tidemill_state::Store;
use tidemill_types::format::{Format, Formats, Schemas};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::InputHandle as Handle;
use timely::dataflow::Scope;
use timely::dataflow::operators::vec::ToStream;
use timely::dataflow::operators::{Concatenate, Input, probe};

use crate::event::Event;
use crate::limits::Limits;
use crate::{Error, Status};

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
        if matches!(node.op, NodeOp::DeadLetters(_))
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
    arrangements: HashMap<arranged::Index, Arrangement<'scope>>,
    handles: Vec<(InputHandle<RawBatch>, Changes<'scope>)>,
}

impl<'scope> Renderer<'_, 'scope> {
    fn node(&mut self, id: NodeId) -> Result<Changes<'scope>, Error> {
        let node = &self.context.plan.nodes[id];
        match &node.op {
            NodeOp::Source(stage) => Ok(self.handles[stage.source].1.clone()),
            NodeOp::Dedup(stage) => self.dedup(node, stage),
            NodeOp::Table(stage) => self.table(id, node, stage),
            NodeOp::Resequence(stage) => self.resequence(id, node, stage),
            NodeOp::Late(stage) => {
                let late = stage.inputs.iter().filter_map(|of| self.late.get(of));
                Ok(self.concat(late.cloned().collect()))
            }
            NodeOp::DeadLetters(_) => Ok(self.concat(self.dead.clone())),
            NodeOp::Project(stage) => self.project(node, stage),
            NodeOp::Filter(stage) => self.filter(node, stage),
            NodeOp::Tumble(stage) => self.tumble(node, stage),
            NodeOp::Join(stage) => self.join(id, node, stage),
            NodeOp::StarJoin(stage) => self.star_join(id, node, stage),
            NodeOp::Aggregate(stage) => self.aggregate(node, stage),
            NodeOp::WindowAggregate(stage) => self.window_aggregate(id, node, stage),
            NodeOp::Distinct(stage) => self.distinct(node, stage),
            NodeOp::UnionAll(stage) => {
                let inputs = stage.inputs.iter().map(|input| self.streams[input].clone());
                Ok(self.concat(inputs.collect()))
            }
            NodeOp::Image(stage) => self.image(node, stage),
        }
    }

    /// Where rows go that cannot be computed.
    fn uncomputed(&self) -> Uncomputed {
        Uncomputed {
            ledger: self.ledger.clone(),
            failed: self.context.status.failed_rows.clone(),
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
