//! The stages that are plain structs, for one worker's share of the partitions, each called epoch by epoch in this thread. Whatever prepares
//! a stage's input, such as the job's projections, is not measured.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use arrow_schema::SchemaRef;
use tidemill_jobs::plan::{self, NodeId, NodeOp};
use tidemill_operators::ledger::Ledger;
use tidemill_operators::watermark::{self, Fact, Watermark};
use tidemill_operators::{Counter, EpochOperator, Output, Tick, dedup, resequence, table, window};
use tidemill_state::Store;
use tidemill_types::ChangeBatch;

use super::cost::{Cost, Costs, bytes, count};
use super::dataflow::Epochs;
use super::inputs::Inputs;
use super::planned::{columns, decoder, resequence_settings, specs, uncomputed};
use super::projections::{fact, narrow, windowed};
use super::section::measured;

/// The windowed aggregate that is measured, and what it reads.
const WINDOW: [&str; 2] = ["finance_cash_flow_daily/window-1", "cash_flow/table"];

/// What a worker's stages gave out.
pub struct Plain {
    /// Per node of the plan.
    pub outputs: BTreeMap<NodeId, Epochs>,
    /// What they cost.
    pub costs: Costs,
}

/// Runs every stage once, on new state: on those partitions that worker `worker` of `workers` reads.
///
/// # Errors
/// If a stage fails, or the plan has no such stage any more.
pub fn run(inputs: &Inputs, worker: usize, workers: usize) -> Result<Plain> {
    let folder = tempfile::tempdir()?;
    let store = Store::open(
        &folder.path().join("state"),
        &tidemill_state::Settings::default(),
    )?;
    let mut stages = Stages {
        inputs,
        store,
        costs: Costs::default(),
        outputs: BTreeMap::new(),
        watermarks: BTreeMap::new(),
    };
    let is_mine = |partition: u32| partition as usize % workers == worker;
    stages.decode(is_mine)?;
    stages.watermarks(is_mine)?;
    for id in 0..inputs.plan.nodes.len() {
        stages.node(id)?;
    }
    let [window, bookings] = WINDOW;
    stages.window(window, bookings)?;
    Ok(Plain {
        outputs: stages.outputs,
        costs: stages.costs,
    })
}

struct Stages<'a> {
    inputs: &'a Inputs,
    store: Store,
    costs: Costs,
    /// What each node gives out.
    outputs: BTreeMap<NodeId, Epochs>,
    /// Per source and epoch.
    watermarks: BTreeMap<usize, Vec<Option<i64>>>,
}

impl Stages<'_> {
    fn decode(&mut self, is_mine: impl Fn(u32) -> bool) -> Result<()> {
        let plan = &self.inputs.plan;
        let mut decoders = plan
            .sources
            .iter()
            .map(decoder)
            .collect::<Result<Vec<_>, _>>()?;
        let mut rows: Vec<Epochs> =
            vec![vec![Vec::new(); self.inputs.epochs.len()]; decoders.len()];
        for (epoch, batches) in self.inputs.epochs.iter().enumerate() {
            let mine = batches
                .iter()
                .filter(|(_, raw)| is_mine(raw.records.partition));
            for (source, raw) in mine {
                let decoder = &mut decoders[*source];
                let (decoded, took) = measured(|| decoder.decode(&raw.records, raw.clocks));
                let output = [ChangeBatch::inserts(decoded.rows)];
                let cost = Cost {
                    records: raw.records.len() as u64,
                    output: count(&output),
                    bytes_in: raw.records.bytes() as u64,
                    bytes_out: bytes(&output),
                    took,
                };
                self.costs.add("decode", cost);
                rows[*source][epoch].extend(output);
            }
        }
        self.costs.end("decode");
        for (id, node) in plan.nodes.iter().enumerate() {
            if let NodeOp::Source(plan::Source { source }) = node.op {
                self.outputs.insert(id, std::mem::take(&mut rows[source]));
            }
        }
        Ok(())
    }

    /// The watermarks of all sources; a fact per batch goes in.
    fn watermarks(&mut self, is_mine: impl Fn(u32) -> bool) -> Result<()> {
        for (id, node) in self.inputs.plan.nodes.iter().enumerate() {
            let NodeOp::Source(plan::Source { source }) = node.op else {
                continue;
            };
            let of = &self.inputs.plan.sources[source];
            let Some(watermark) = &of.watermark else {
                continue;
            };
            let partitions = self.inputs.partitions.iter().copied();
            let settings = watermark::Settings {
                name: of.name.clone(),
                partitions: partitions.filter(|&partition| is_mine(partition)).collect(),
                delay_ms: watermark.delay_ms,
            };
            let mut operator = Watermark::new(
                settings,
                self.store.table(&format!("{}/watermark", of.name))?,
            )?;
            let mut of_epochs = Vec::new();
            for (epoch, batches) in self.outputs[&id].iter().enumerate() {
                let facts: Vec<Fact> = batches
                    .iter()
                    .filter_map(|batch| fact(&batch.rows, &watermark.column))
                    .collect();
                let tick = self.tick(epoch, None);
                let (reached, took) = measured(|| operator.on_epoch(&tick, &facts));
                of_epochs.push(reached?);
                let cost = Cost {
                    records: facts.len() as u64,
                    output: 1,
                    took,
                    ..Cost::default()
                };
                self.costs.add("watermark", cost);
            }
            self.watermarks.insert(source, of_epochs);
        }
        self.costs.end("watermark");
        Ok(())
    }

    fn node(&mut self, id: NodeId) -> Result<()> {
        let node = &self.inputs.plan.nodes[id];
        match &node.op {
            NodeOp::Dedup(plan::Dedup {
                input,
                uuid,
                within_ms,
            }) => self.dedup(id, *input, uuid, *within_ms),
            NodeOp::Table(plan::Table {
                input,
                key,
                version,
                tombstone_ms,
                ..
            }) => {
                let settings = table::Settings {
                    name: node.name.clone(),
                    key: key.clone(),
                    version: version.clone(),
                    tombstone_ms: *tombstone_ms,
                    emits_image: true,
                };
                self.table(id, *input, settings)
            }
            NodeOp::Resequence(plan::Resequence {
                input,
                by,
                per,
                within_ms,
                source,
            }) => {
                let settings = resequence_settings(self.inputs, by, per, *within_ms, *source);
                self.resequence(id, *input, settings, *source)
            }
            _ => Ok(()),
        }
    }

    fn dedup(&mut self, id: NodeId, input: NodeId, uuid: &str, within_ms: i64) -> Result<()> {
        let node = &self.inputs.plan.nodes[id];
        let settings = dedup::Settings {
            name: node.name.clone(),
            id: uuid.to_owned(),
            within_ms,
        };
        let operator = dedup::Dedup::new(
            settings,
            self.schema(input),
            self.store.table(&node.name)?,
            Counter::default(),
        )?;
        let rows = self.outputs[&input].clone();
        self.epochs("dedup", id, &rows, None, operator)
    }

    fn table(&mut self, id: NodeId, input: NodeId, settings: table::Settings) -> Result<()> {
        let state = self.store.expiring_table(&settings.name)?;
        let (rows, schema) = narrow(&self.outputs[&input], self.schema(input))?;
        let operator = table::Table::new(
            settings,
            &schema,
            self.schema(id),
            state,
            Counter::default(),
        )?;
        self.epochs("table", id, &rows, None, operator)
    }

    fn resequence(
        &mut self,
        id: NodeId,
        input: NodeId,
        settings: resequence::Settings,
        source: usize,
    ) -> Result<()> {
        let state = self.store.table(&settings.name)?;
        let operator = resequence::Resequence::new(
            settings,
            [self.schema(input), self.schema(id)],
            Ledger::of("plan"),
            state,
            Counter::default(),
        )?;
        let rows = self.outputs[&input].clone();
        self.epochs("resequence", id, &rows, Some(source), operator)
    }

    fn window(&mut self, node: &str, bookings: &str) -> Result<()> {
        let (id, node) = self.inputs.node(node)?;
        let NodeOp::WindowAggregate(plan::WindowAggregate {
            input,
            group,
            aggregates,
            window_end,
            source,
        }) = &node.op
        else {
            anyhow::bail!("'{}' is no windowed aggregate", node.name)
        };
        let schema = self.schema(*input).clone();
        let prepared = self.outputs[&self.inputs.node(bookings)?.0]
            .iter()
            .map(|batches| {
                batches
                    .iter()
                    .map(|batch| windowed(batch, &schema))
                    .collect()
            });
        let rows: Epochs = prepared.collect::<Result<_>>()?;
        let settings = window::Settings {
            name: node.name.clone(),
            group: columns(&schema, group)?,
            window_end: group
                .iter()
                .position(|name| name == window_end)
                .context("the end of the window is grouped by")?,
            aggregates: specs(&schema, aggregates)?,
            lateness_ms: None,
            emits_image: false,
            uncomputed: uncomputed(),
        };
        let operator = window::Window::new(
            settings,
            &schema,
            &node.schema,
            self.store.table(&node.name)?,
            Counter::default(),
        )?;
        self.epochs("window", id, &rows, Some(*source), operator)
    }

    /// Measures an operator that is a plain struct.
    fn epochs(
        &mut self,
        stage: &'static str,
        id: NodeId,
        rows: &Epochs,
        source: Option<usize>,
        mut operator: impl EpochOperator,
    ) -> Result<()> {
        let mut outputs = Epochs::new();
        for (epoch, input) in rows.iter().enumerate() {
            let tick = self.tick(epoch, source);
            let mut output = Output::default();
            let (done, took) = measured(|| operator.on_epoch(&tick, input, &mut output));
            done?;
            let cost = Cost {
                records: count(input),
                output: count(&output.rows),
                bytes_in: bytes(input),
                bytes_out: bytes(&output.rows),
                took,
            };
            self.costs.add(stage, cost);
            outputs.push(output.rows);
        }
        self.costs.end(stage);
        self.outputs.insert(id, outputs);
        Ok(())
    }

    fn tick(&self, epoch: usize, source: Option<usize>) -> Tick {
        let watermark = source
            .and_then(|source| self.watermarks.get(&source))
            .and_then(|watermarks| watermarks[epoch]);
        let clock_ms = self.inputs.clock_ms(epoch);
        Tick {
            clock_ms,
            steady_ms: clock_ms,
            oldest_ms: clock_ms,
            newest_ms: clock_ms,
            restored: false,
            watermark,
        }
    }

    fn schema(&self, node: NodeId) -> &SchemaRef {
        &self.inputs.plan.nodes[node].schema
    }
}
