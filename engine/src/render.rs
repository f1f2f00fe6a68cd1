//! Renders a job plan as a timely dataflow on one worker: the only place that knows the order of the stages.
//!
//! `producers → Kafka → [decode → dedup → resequence → table → window | join | reduce] → sinks`

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrow_schema::SchemaRef;
use crossbeam_channel::Sender;
use tidemill_formats::studio_json::{self, Decoder, TimeLimit};
use tidemill_jobs::plan::{self, ColumnOrigin, JobPlan, JoinKind, Node, NodeId, NodeOp, SinkMode, SourcePlan};
use tidemill_operators::accumulators::{AggregateSpec, Function};
use tidemill_operators::arrange::{Arrangement, arrange};
use tidemill_operators::decode::{DecodeCounters, Observer, RawBatch, decode};
use tidemill_operators::shell::{Batches, epoch_operator};
use tidemill_operators::stateless::{Computed, stateless};
use tidemill_operators::watermark::{self, Fact, Watermark, watermark_ticks};
use tidemill_operators::{Changes, Counter, Failure, Packet, Tick, Ticks, dedup, image, join, reduce, resequence, route, sink, table, window};
use tidemill_state::Store;
use tidemill_types::{ChangeBatch, OutputRecords};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Scope;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::{Concatenate, Input, Probe, probe};
use timely::dataflow::InputHandle as Handle;
use timely::dataflow::operators::vec::ToStream;

use crate::event::Event;
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
    /// Partitions of each source.
    pub partitions: &'a [Vec<u32>],
    /// This worker's state.
    pub store: &'a Store,
    /// Outputs up to this epoch are not emitted again.
    pub suppress_through: u64,
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
        ledger: plan::ledger_schema(),
        watermarks: HashMap::new(),
        streams: HashMap::new(),
        late: HashMap::new(),
        dead: Vec::new(),
        arrangements: HashMap::new(),
        handles: Vec::new(),
    };
    renderer.sources()?;
    for node in order(context.plan) {
        let stream = renderer.node(node)?;
        renderer.streams.insert(node, stream);
    }
    let probe = probe::Handle::new();
    for index in 0..context.plan.sinks.len() {
        renderer.sink(index, &probe)?;
    }
    Ok(Rendered { sources: renderer.handles.into_iter().map(|(handle, _)| handle).collect(), ticks: ticks_handle, probe })
}

/// Nodes in the order in which they can be rendered: what reads the dead letters comes last, because every other stage may add to them.
fn order(plan: &JobPlan) -> Vec<NodeId> {
    let mut behind = BTreeSet::new();
    for (id, node) in plan.nodes.iter().enumerate() {
        if matches!(node.op, NodeOp::DeadLetters) || inputs(&node.op).iter().any(|input| behind.contains(input)) {
            behind.insert(id);
        }
    }
    (0..plan.nodes.len()).filter(|id| !behind.contains(id)).chain(behind.iter().copied()).collect()
}

fn inputs(op: &NodeOp) -> Vec<NodeId> {
    match op {
        NodeOp::Source { .. } | NodeOp::DeadLetters => Vec::new(),
        NodeOp::Dedup { input, .. }
        | NodeOp::Table { input, .. }
        | NodeOp::Resequence { input, .. }
        | NodeOp::Project { input, .. }
        | NodeOp::Filter { input, .. }
        | NodeOp::Tumble { input, .. }
        | NodeOp::Aggregate { input, .. }
        | NodeOp::WindowAggregate { input, .. }
        | NodeOp::Distinct { input }
        | NodeOp::Image { input } => vec![*input],
        NodeOp::Join { left, right, .. } => vec![*left, *right],
        NodeOp::Late { inputs } | NodeOp::UnionAll { inputs } => inputs.clone(),
    }
}

struct Renderer<'a, 'scope> {
    context: &'a Context<'a>,
    scope: Scope<'scope, u64>,
    ticks: Ticks<'scope>,
    ledger: SchemaRef,
    /// Ticks with the watermark, by source.
    watermarks: HashMap<usize, Ticks<'scope>>,
    streams: HashMap<NodeId, Changes<'scope>>,
    /// Late rows, by resequencer.
    late: HashMap<NodeId, Changes<'scope>>,
    dead: Vec<Changes<'scope>>,
    arrangements: HashMap<(NodeId, Vec<String>), Arrangement<'scope>>,
    handles: Vec<(InputHandle<RawBatch>, Changes<'scope>)>,
}

impl<'scope> Renderer<'_, 'scope> {
    /// Inputs, decoders and watermarks of all sources.
    fn sources(&mut self) -> Result<(), Error> {
        for (index, source) in self.context.plan.sources.iter().enumerate() {
            let (handle, raw) = self.scope.new_input::<Vec<RawBatch>>();
            let decoder = Decoder::new(decoder_spec(source)).map_err(|error| self.plan_error(&source.name, error))?;
            let status = &self.context.status.sources[index];
            let counters = DecodeCounters { rows: Counter::default(), reads: status.reads.clone(), dead_letters: status.dead_letters.clone() };
            let decoded = decode(raw, &source.name, decoder, self.ledger.clone(), counters, self.observer(), self.context.failure.clone());
            self.dead.push(decoded.dead_letters);
            if let Some(watermark) = &source.watermark {
                let ticks = self.watermark(index, source, watermark, decoded.facts)?;
                self.watermarks.insert(index, ticks);
            }
            self.handles.push((handle, decoded.rows));
        }
        Ok(())
    }

    fn observer(&self) -> Observer {
        let events = self.context.events.clone();
        Box::new(move |epoch, range, rows| {
            let time_ms = range.min_ms + (range.max_ms - range.min_ms) / 2;
            // Nobody listens any more only if the run is over.
            let _ = events.send(Event::Decoded { epoch, time_ms, rows: rows as u64 });
        })
    }

    fn watermark(&self, index: usize, source: &SourcePlan, watermark: &plan::WatermarkPlan, facts: Batches<'scope, Fact>) -> Result<Ticks<'scope>, Error> {
        let settings = watermark::Settings {
            name: source.name.clone(),
            partitions: self.context.partitions[index].clone(),
            delay_ms: watermark.delay_ms,
            idle_timeout_ms: watermark.idle_timeout_ms,
        };
        let state = self.context.store.table(&format!("{}/watermark", source.name))?;
        let owns = watermark::owner(&source.name, self.scope.peers()) == self.scope.index();
        let owned = if owns { Some(Watermark::new(settings, state)?) } else { None };
        Ok(watermark_ticks(facts, self.ticks.clone(), owned, &source.name, self.context.failure.clone()))
    }

    fn node(&mut self, id: NodeId) -> Result<Changes<'scope>, Error> {
        let node = &self.context.plan.nodes[id];
        match &node.op {
            NodeOp::Source { source } => Ok(self.handles[*source].1.clone()),
            NodeOp::Dedup { input, uuid, within_ms } => self.dedup(node, *input, uuid, *within_ms),
            NodeOp::Table { input, key, version, tombstone_ms } => {
                let settings = table::Settings { name: node.name.clone(), key: key.clone(), version: version.clone(), tombstone_ms: *tombstone_ms };
                self.table(node, *input, settings)
            }
            NodeOp::Resequence { input, by, per, within_ms, source } => self.resequence(id, *input, by, per, *within_ms, *source),
            NodeOp::Late { inputs } => Ok(self.concat(inputs.iter().filter_map(|input| self.late.get(input)).cloned().collect())),
            NodeOp::DeadLetters => Ok(self.concat(self.dead.clone())),
            NodeOp::UnionAll { inputs } => Ok(self.concat(inputs.iter().map(|input| self.streams[input].clone()).collect())),
            NodeOp::Project { input, columns } => self.project(node, *input, columns),
            NodeOp::Filter { input, predicate } => {
                let predicate = expressions::bind(predicate, self.schema(*input), &node.name)?;
                Ok(self.stateless(node, *input, move |rows| expressions::filter(&predicate, rows)))
            }
            NodeOp::Tumble { input, time, size_ms } => {
                let time = self.schema(*input).index_of(time).map_err(|error| self.plan_error(&node.name, error))?;
                let (size_ms, output) = (*size_ms, node.schema.clone());
                Ok(self.stateless(node, *input, move |rows| expressions::tumble(time, size_ms, &output, rows)))
            }
            NodeOp::Join { left, right, kind, on } => self.join(node, *left, *right, *kind, on),
            NodeOp::Aggregate { input, group, aggregates } => {
                let schema = self.schema(*input).clone();
                let settings = reduce::Settings { name: node.name.clone(), group: self.columns(*input, group, node)?, aggregates: self.aggregates(*input, aggregates, node)? };
                let input = self.streams[input].clone();
                Ok(reduce::aggregate(input, self.ticks.clone(), settings, &schema, &node.schema, self.context.failure)?)
            }
            NodeOp::WindowAggregate { input, group, aggregates, window_end, source } => self.window(node, *input, group, aggregates, window_end, *source),
            NodeOp::Distinct { input } => Ok(reduce::distinct(self.streams[input].clone(), self.schema(*input), &node.name, self.context.failure)?),
            NodeOp::Image { input } => {
                let mut image = image::Image::new(&node.name, &node.schema, self.context.store.table(&node.name)?)?;
                let all = (0..node.schema.fields().len()).collect();
                let input = self.routed(*input, all, node)?;
                Ok(self.keyed(input, self.ticks.clone(), &node.name, move |tick, input, output, _| image.on_epoch(tick, input, output)).0)
            }
        }
    }

    fn dedup(&mut self, node: &Node, input: NodeId, uuid: &str, within_ms: i64) -> Result<Changes<'scope>, Error> {
        let settings = dedup::Settings { name: node.name.clone(), id: uuid.to_owned(), within_ms };
        let duplicates = self.source_of(input).map_or_else(Counter::default, |source| self.context.status.sources[source].duplicates.clone());
        let mut dedup = dedup::Dedup::new(settings, self.schema(input), self.context.store.table(&node.name)?, duplicates)?;
        let input = self.routed(input, self.columns(input, &[uuid.to_owned()], node)?, node)?;
        Ok(self
            .keyed(input, self.ticks.clone(), &node.name, move |tick, input, output, _| {
                output.extend(dedup.on_epoch(tick, &input)?);
                Ok(())
            })
            .0)
    }

    fn table(&mut self, node: &Node, input: NodeId, settings: table::Settings) -> Result<Changes<'scope>, Error> {
        let key = self.columns(input, &settings.key, node)?;
        let state = self.context.store.table(&node.name)?;
        let mut table = table::Table::new(settings, self.schema(input), &node.schema, state, self.context.status.stale.clone())?;
        let input = self.routed(input, key, node)?;
        Ok(self.keyed(input, self.ticks.clone(), &node.name, move |tick, input, output, _| table.on_epoch(tick, &input, output)).0)
    }

    fn resequence(&mut self, id: NodeId, input: NodeId, by: &str, per: &[String], within_ms: i64, source: usize) -> Result<Changes<'scope>, Error> {
        let node = &self.context.plan.nodes[id];
        let settings = resequence::Settings {
            name: node.name.clone(),
            by: by.to_owned(),
            per: per.to_vec(),
            within_ms,
            watermark_delay_ms: self.context.plan.sources[source].watermark.as_ref().map_or(0, |watermark| watermark.delay_ms),
            topic: self.context.status.sources[source].topic.clone(),
        };
        let state = self.context.store.table(&node.name)?;
        let mut resequence = resequence::Resequence::new(settings, self.schema(input), self.ledger.clone(), state, self.context.status.late.clone())?;
        let routed = self.routed(input, self.columns(input, per, node)?, node)?;
        let ticks = self.watermark_of(source, node)?;
        let (output, late) = self.keyed(routed, ticks, &node.name, move |tick, input, output, late| resequence.on_epoch(tick, &input, output, late));
        self.late.insert(id, late);
        Ok(output)
    }

    fn project(&mut self, node: &Node, input: NodeId, columns: &[(datafusion_expr::Expr, String)]) -> Result<Changes<'scope>, Error> {
        let schema = self.schema(input);
        let bound = columns.iter().map(|(expression, _)| expressions::bind(expression, schema, &node.name)).collect::<Result<Vec<_>, _>>()?;
        let output = node.schema.clone();
        Ok(self.stateless(node, input, move |rows| expressions::project(&bound, &output, rows)))
    }

    fn stateless<F>(&mut self, node: &Node, input: NodeId, compute: F) -> Changes<'scope>
    where
        F: FnMut(&arrow_array::RecordBatch) -> Result<Computed, arrow_schema::ArrowError> + 'static,
    {
        let context = self.context;
        let (output, dead) = stateless(self.streams[&input].clone(), &node.name, self.ledger.clone(), context.status.failed_rows.clone(), context.failure.clone(), compute);
        self.dead.push(dead);
        output
    }

    fn join(&mut self, node: &Node, left: NodeId, right: NodeId, kind: JoinKind, on: &[(String, String)]) -> Result<Changes<'scope>, Error> {
        let (left_key, right_key): (Vec<_>, Vec<_>) = on.iter().cloned().unzip();
        let left = self.arrangement(left, left_key)?;
        let right = self.arrangement(right, right_key)?;
        let preserve = join::Preserve { left: matches!(kind, JoinKind::Left | JoinKind::Full), right: matches!(kind, JoinKind::Right | JoinKind::Full) };
        Ok(join::join(left, right, preserve, &node.schema, &node.name, self.context.failure)?)
    }

    /// A stream indexed by key; joins that need the same index share it.
    fn arrangement(&mut self, input: NodeId, key: Vec<String>) -> Result<Arrangement<'scope>, Error> {
        let id = (input, key);
        if let Some(arrangement) = self.arrangements.get(&id) {
            return Ok(arrangement.clone());
        }
        let name = format!("{} by {}", self.context.plan.nodes[input].name, id.1.join(", "));
        let arrangement = arrange(self.streams[&input].clone(), self.schema(input), &id.1, &name, self.context.failure)?;
        self.arrangements.insert(id, arrangement.clone());
        Ok(arrangement)
    }

    fn window(&mut self, node: &Node, input: NodeId, group: &[String], aggregates: &[plan::Aggregate], window_end: &str, source: usize) -> Result<Changes<'scope>, Error> {
        let columns = self.columns(input, group, node)?;
        let settings = window::Settings {
            name: node.name.clone(),
            group: columns.clone(),
            window_end: group.iter().position(|name| name == window_end).ok_or_else(|| self.plan_error(&node.name, "the end of the window is not grouped by"))?,
            aggregates: self.aggregates(input, aggregates, node)?,
        };
        let mut window = window::Window::new(settings, self.schema(input), &node.schema, self.context.store.table(&node.name)?)?;
        let routed = self.routed(input, columns, node)?;
        let ticks = self.watermark_of(source, node)?;
        Ok(self.keyed(routed, ticks, &node.name, move |tick, input, output, _| window.on_epoch(tick, &input, output)).0)
    }

    /// An operator that is keyed: packets go to the worker they are addressed to.
    fn keyed<L>(&self, input: Changes<'scope>, ticks: Ticks<'scope>, name: &str, mut logic: L) -> (Changes<'scope>, Changes<'scope>)
    where
        L: FnMut(&Tick, Vec<ChangeBatch>, &mut Vec<ChangeBatch>, &mut Vec<ChangeBatch>) -> Result<(), tidemill_operators::Error> + 'static,
    {
        let pact = Exchange::new(|packet: &Packet| packet.worker);
        epoch_operator(input, pact, ticks, name, self.context.failure.clone(), move |_, tick, input: Vec<Packet>, output, side| {
            let (mut main, mut late) = (Vec::new(), Vec::new());
            logic(tick, input.into_iter().map(|packet| packet.changes).collect(), &mut main, &mut late)?;
            output.extend(main.into_iter().filter(|changes| !changes.is_empty()).map(Packet::from));
            side.extend(late.into_iter().map(Packet::from));
            Ok(())
        })
    }

    fn sink(&self, index: usize, probe: &probe::Handle<u64>) -> Result<(), Error> {
        let plan = &self.context.plan.sinks[index];
        let schema = self.schema(plan.input);
        let settings = sink::Settings { name: plan.name.clone(), key: plan.key.clone(), upsert: plan.mode == SinkMode::Upsert };
        let mut sink = sink::Sink::new(settings, schema, Counter::default())?;
        let input = self.streams[&plan.input].clone();
        let input = if plan.key.is_empty() { input } else { route::by_key(input, &plan.name, schema, sink.key_columns().to_vec(), self.context.failure.clone())? };
        let (events, suppress_through) = (self.context.events.clone(), self.context.suppress_through);
        let pact = Exchange::new(|packet: &Packet| packet.worker);
        let (output, _) = epoch_operator::<_, Packet, (), _, _>(input, pact, self.ticks.clone(), &plan.name, self.context.failure.clone(), move |epoch, _, input, _, _| {
            if epoch <= suppress_through {
                return Ok(());
            }
            let changes: Vec<ChangeBatch> = input.into_iter().map(|packet| packet.changes).collect();
            let records: OutputRecords = sink.on_epoch(&changes)?;
            if !records.is_empty() {
                // Nobody listens any more only if the run is over.
                let _ = events.send(Event::Output { epoch, sink: index, records });
            }
            Ok(())
        });
        output.probe_with(probe);
        Ok(())
    }

    fn routed(&self, input: NodeId, key: Vec<usize>, node: &Node) -> Result<Changes<'scope>, Error> {
        Ok(route::by_key(self.streams[&input].clone(), &node.name, self.schema(input), key, self.context.failure.clone())?)
    }

    fn concat(&self, streams: Vec<Changes<'scope>>) -> Changes<'scope> {
        if streams.is_empty() { Vec::<Packet>::new().to_stream(self.scope) } else { self.scope.concatenate(streams) }
    }

    fn watermark_of(&self, source: usize, node: &Node) -> Result<Ticks<'scope>, Error> {
        self.watermarks.get(&source).cloned().ok_or_else(|| self.plan_error(&node.name, "its source has no watermark"))
    }

    fn schema(&self, node: NodeId) -> &SchemaRef {
        &self.context.plan.nodes[node].schema
    }

    fn columns(&self, input: NodeId, names: &[String], node: &Node) -> Result<Vec<usize>, Error> {
        names.iter().map(|name| self.schema(input).index_of(name).map_err(|error| self.plan_error(&node.name, error))).collect()
    }

    fn aggregates(&self, input: NodeId, aggregates: &[plan::Aggregate], node: &Node) -> Result<Vec<AggregateSpec>, Error> {
        let schema = self.schema(input);
        aggregates
            .iter()
            .map(|aggregate| {
                let argument = aggregate.argument.as_ref().map(|name| schema.index_of(name)).transpose().map_err(|error| self.plan_error(&node.name, error))?;
                Ok(AggregateSpec {
                    function: function(aggregate.function),
                    argument,
                    argument_type: argument.map(|i| schema.field(i).data_type().clone()),
                    distinct: aggregate.distinct,
                    data_type: aggregate.data_type.clone(),
                })
            })
            .collect()
    }

    /// The source that a node's events come from.
    fn source_of(&self, node: NodeId) -> Option<usize> {
        match &self.context.plan.nodes[node].op {
            NodeOp::Source { source } => Some(*source),
            op => inputs(op).first().and_then(|&input| self.source_of(input)),
        }
    }

    fn plan_error(&self, node: &str, reason: impl std::fmt::Display) -> Error {
        Error::Plan { node: node.to_owned(), reason: reason.to_string() }
    }
}

const fn function(function: plan::AggregateFunction) -> Function {
    match function {
        plan::AggregateFunction::Sum => Function::Sum,
        plan::AggregateFunction::Count => Function::Count,
        plan::AggregateFunction::Avg => Function::Avg,
        plan::AggregateFunction::Min => Function::Min,
        plan::AggregateFunction::Max => Function::Max,
    }
}

fn decoder_spec(source: &SourcePlan) -> studio_json::Spec {
    studio_json::Spec {
        topic: source.options.get("topic").cloned().unwrap_or_else(|| source.name.clone()),
        entity: source.entity.clone(),
        columns: source
            .columns
            .iter()
            .map(|column| studio_json::Column {
                name: column.name.clone(),
                data_type: column.data_type.clone(),
                nullable: column.nullable,
                origin: match &column.from {
                    ColumnOrigin::Data(field) => studio_json::Origin::Data(field.clone()),
                    ColumnOrigin::Metadata(field) => studio_json::Origin::Metadata(field.clone()),
                },
            })
            .collect(),
        keep_bytes: source.keep_bytes,
        time_limit: source.watermark.as_ref().map(|watermark| TimeLimit { column: watermark.column.clone(), max_future_ms: watermark.max_future_ms }),
    }
}
