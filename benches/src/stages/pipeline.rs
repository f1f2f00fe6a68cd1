//! One run of all stages, in the order of the job. Whatever prepares a stage's input, such as the job's projections, is not timed.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context, Result};
use arrow_schema::SchemaRef;
use tidemill_formats::studio_json::{Decoder, Records};
use tidemill_jobs::plan::{self, NodeId, NodeOp};
use tidemill_operators::watermark::{self, Fact, Watermark};
use tidemill_operators::{
    Counter, Tick, arrange, dedup, join, reduce, resequence, sink, table, window,
};
use tidemill_state::Store;
use tidemill_types::ChangeBatch;

use super::dataflow::{self, Epochs};
use super::inputs::Inputs;
use super::planned::{columns, decoder_spec, resequence_settings, specs};
use super::projections::{fact, selected, windowed};
use super::{Cost, Costs};

/// Runs every stage once, on new state.
pub fn run(inputs: &Inputs) -> Result<Costs> {
    let folder = tempfile::tempdir()?;
    let store = Store::open(
        &folder.path().join("state"),
        &tidemill_state::Settings::default(),
    )?;
    let costs = Costs {
        events: inputs.events,
        stages: Vec::new(),
    };
    let mut pipeline = Pipeline {
        inputs,
        store,
        costs,
        outputs: BTreeMap::new(),
        watermarks: BTreeMap::new(),
    };
    pipeline.decode()?;
    pipeline.watermarks()?;
    for (id, node) in inputs.plan.nodes.iter().enumerate() {
        match &node.op {
            NodeOp::Dedup {
                input,
                uuid,
                within_ms,
            } => pipeline.dedup(id, *input, uuid, *within_ms)?,
            NodeOp::Table {
                input,
                key,
                version,
                tombstone_ms,
            } => {
                pipeline.table(
                    id,
                    *input,
                    table::Settings {
                        name: node.name.clone(),
                        key: key.clone(),
                        version: version.clone(),
                        tombstone_ms: *tombstone_ms,
                    },
                )?;
            }
            NodeOp::Resequence {
                input,
                by,
                per,
                within_ms,
                source,
            } => pipeline.resequence(
                id,
                *input,
                resequence_settings(inputs, by, per, *within_ms, *source),
                *source,
            )?,
            _ => {}
        }
    }
    pipeline.window("finance_cash_flow_daily/window-1", "cash_flow/table")?;
    let joined = pipeline.join(
        "finance_payment_enriched/join-1",
        "payment/table",
        "production/table",
    )?;
    pipeline.reduce("production_finance/aggregate-2", "payment/table")?;
    pipeline.sink(joined, "id")?;
    Ok(pipeline.costs)
}

struct Pipeline<'a> {
    inputs: &'a Inputs,
    store: Store,
    costs: Costs,
    /// What each node gives out.
    outputs: BTreeMap<NodeId, Epochs>,
    /// Per source and epoch.
    watermarks: BTreeMap<usize, Vec<Option<i64>>>,
}

impl Pipeline<'_> {
    fn decode(&mut self) -> Result<()> {
        let plan = &self.inputs.plan;
        let mut decoders = plan
            .sources
            .iter()
            .map(|source| Decoder::new(decoder_spec(source)))
            .collect::<Result<Vec<_>, _>>()?;
        let mut rows: Vec<Epochs> =
            vec![vec![Vec::new(); self.inputs.epochs.len()]; decoders.len()];
        let mut cost = Cost::default();
        for (epoch, batches) in self.inputs.epochs.iter().enumerate() {
            for (source, raw) in batches {
                let records = Records {
                    partition: raw.partition,
                    offsets: &raw.offsets,
                    bounds: &raw.bounds,
                    arena: &raw.arena,
                };
                let started = Instant::now();
                let decoded = decoders[*source].decode(&records, raw.clock_ms);
                cost.took += started.elapsed();
                cost.records += raw.offsets.len() as u64;
                cost.output += decoded.rows.num_rows() as u64;
                rows[*source][epoch].push(ChangeBatch::inserts(decoded.rows));
            }
        }
        self.costs.add("decode", cost);
        for (id, node) in plan.nodes.iter().enumerate() {
            if let NodeOp::Source { source } = node.op {
                self.outputs.insert(id, std::mem::take(&mut rows[source]));
            }
        }
        Ok(())
    }

    /// The watermarks of all sources; a fact per batch goes in.
    fn watermarks(&mut self) -> Result<()> {
        for (id, node) in self.inputs.plan.nodes.iter().enumerate() {
            let NodeOp::Source { source } = node.op else {
                continue;
            };
            let of = &self.inputs.plan.sources[source];
            let Some(watermark) = &of.watermark else {
                continue;
            };
            let settings = watermark::Settings {
                name: of.name.clone(),
                partitions: self.inputs.partitions.clone(),
                delay_ms: watermark.delay_ms,
                idle_timeout_ms: watermark.idle_timeout_ms,
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
                let started = Instant::now();
                of_epochs.push(operator.on_epoch(&tick, &facts)?);
                self.costs.add(
                    "watermark",
                    Cost {
                        records: facts.len() as u64,
                        output: 1,
                        took: started.elapsed(),
                    },
                );
            }
            self.watermarks.insert(source, of_epochs);
        }
        Ok(())
    }

    fn dedup(&mut self, id: NodeId, input: NodeId, uuid: &str, within_ms: i64) -> Result<()> {
        let node = &self.inputs.plan.nodes[id];
        let settings = dedup::Settings {
            name: node.name.clone(),
            id: uuid.to_owned(),
            within_ms,
        };
        let mut operator = dedup::Dedup::new(
            settings,
            self.schema(input),
            self.store.table(&node.name)?,
            Counter::default(),
        )?;
        self.epochs("dedup", id, input, None, |tick, input, output| {
            output.extend(operator.on_epoch(tick, input)?);
            Ok(())
        })
    }

    fn table(&mut self, id: NodeId, input: NodeId, settings: table::Settings) -> Result<()> {
        let state = self.store.table(&settings.name)?;
        let mut operator = table::Table::new(
            settings,
            self.schema(input),
            self.schema(id),
            state,
            Counter::default(),
        )?;
        self.epochs("table", id, input, None, |tick, input, output| {
            Ok(operator.on_epoch(tick, input, output)?)
        })
    }

    fn resequence(
        &mut self,
        id: NodeId,
        input: NodeId,
        settings: resequence::Settings,
        source: usize,
    ) -> Result<()> {
        let state = self.store.table(&settings.name)?;
        let mut operator = resequence::Resequence::new(
            settings,
            self.schema(input),
            plan::ledger_schema(),
            state,
            Counter::default(),
        )?;
        self.epochs(
            "resequence",
            id,
            input,
            Some(source),
            |tick, input, output| Ok(operator.on_epoch(tick, input, output, &mut Vec::new())?),
        )
    }

    fn window(&mut self, node: &str, bookings: &str) -> Result<()> {
        let (id, node) = self.inputs.node(node)?;
        let NodeOp::WindowAggregate {
            input,
            group,
            aggregates,
            window_end,
            source,
        } = &node.op
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
        let prepared: Epochs = prepared.collect::<Result<_>>()?;
        self.outputs.insert(*input, prepared);
        let settings = window::Settings {
            name: node.name.clone(),
            group: columns(&schema, group)?,
            window_end: group
                .iter()
                .position(|name| name == window_end)
                .context("the end of the window is grouped by")?,
            aggregates: specs(&schema, aggregates)?,
        };
        let mut operator = window::Window::new(
            settings,
            &schema,
            &node.schema,
            self.store.table(&node.name)?,
        )?;
        self.epochs(
            "window",
            id,
            *input,
            Some(*source),
            |tick, input, output| Ok(operator.on_epoch(tick, input, output)?),
        )
    }

    /// Times an operator that is a plain struct.
    fn epochs(
        &mut self,
        stage: &'static str,
        id: NodeId,
        input: NodeId,
        source: Option<usize>,
        mut logic: impl FnMut(&Tick, &[ChangeBatch], &mut Vec<ChangeBatch>) -> Result<()>,
    ) -> Result<()> {
        let mut outputs = Epochs::new();
        for (epoch, input) in self.outputs[&input].iter().enumerate() {
            let tick = self.tick(epoch, source);
            let mut output = Vec::new();
            let started = Instant::now();
            logic(&tick, input, &mut output)?;
            let took = started.elapsed();
            self.costs.add(
                stage,
                Cost {
                    records: count(input),
                    output: count(&output),
                    took,
                },
            );
            outputs.push(output);
        }
        self.outputs.insert(id, outputs);
        Ok(())
    }

    fn join(&mut self, node: &str, left: &str, right: &str) -> Result<NodeId> {
        let (id, node) = self.inputs.node(node)?;
        let NodeOp::Join {
            left: left_id,
            right: right_id,
            on,
            ..
        } = &node.op
        else {
            anyhow::bail!("'{}' is no join", node.name)
        };
        let schemas = [
            self.schema(*left_id).clone(),
            self.schema(*right_id).clone(),
        ];
        let epochs = vec![
            self.selected(left, &schemas[0])?,
            self.selected(right, &schemas[1])?,
        ];
        let records = epochs.iter().flatten().map(|input| count(input)).sum();
        let ((left_key, right_key), (name, output)) = (
            on.iter().cloned().unzip::<_, _, Vec<_>, Vec<_>>(),
            (node.name.clone(), node.schema.clone()),
        );
        let (joined, took) = dataflow::run(epochs, move |mut streams, _, failure| {
            let right =
                arrange::arrange(streams.remove(1), &schemas[1], &right_key, "right", failure)?;
            let left =
                arrange::arrange(streams.remove(0), &schemas[0], &left_key, "left", failure)?;
            join::join(
                left,
                right,
                join::Preserve {
                    left: false,
                    right: false,
                },
                &output,
                &name,
                failure,
            )
        })?;
        self.costs.add(
            "join",
            Cost {
                records,
                output: joined.iter().map(|output| count(output)).sum(),
                took,
            },
        );
        self.outputs.insert(id, joined);
        Ok(id)
    }

    fn reduce(&mut self, node: &str, rows: &str) -> Result<()> {
        let (_, node) = self.inputs.node(node)?;
        let NodeOp::Aggregate {
            input,
            group,
            aggregates,
        } = &node.op
        else {
            anyhow::bail!("'{}' is no aggregate", node.name)
        };
        let (schema, output) = (self.schema(*input).clone(), node.schema.clone());
        let epochs = self.selected(rows, &schema)?;
        let records = epochs.iter().map(|input| count(input)).sum();
        let settings = reduce::Settings {
            name: node.name.clone(),
            group: columns(&schema, group)?,
            aggregates: specs(&schema, aggregates)?,
        };
        let (reduced, took) = dataflow::run(vec![epochs], move |mut streams, ticks, failure| {
            reduce::aggregate(
                streams.remove(0),
                ticks,
                settings,
                &schema,
                &output,
                failure,
            )
        })?;
        self.costs.add(
            "reduce",
            Cost {
                records,
                output: reduced.iter().map(|output| count(output)).sum(),
                took,
            },
        );
        Ok(())
    }

    fn sink(&mut self, input: NodeId, key: &str) -> Result<()> {
        let settings = sink::Settings {
            name: "sink".to_owned(),
            key: vec![key.to_owned()],
            upsert: true,
            ordered: false,
        };
        let mut operator = sink::Sink::new(settings, self.schema(input), Counter::default())?;
        for input in &self.outputs[&input] {
            let started = Instant::now();
            let records = operator.on_epoch(input)?;
            let took = started.elapsed();
            self.costs.add(
                "sink",
                Cost {
                    records: count(input),
                    output: records.len() as u64,
                    took,
                },
            );
        }
        Ok(())
    }

    /// What a table gives out, with the columns of a projection of it.
    fn selected(&self, table: &str, schema: &SchemaRef) -> Result<Epochs> {
        let epochs = &self.outputs[&self.inputs.node(table)?.0];
        let select = |batches: &Vec<ChangeBatch>| {
            batches
                .iter()
                .map(|batch| selected(batch, schema))
                .collect()
        };
        epochs.iter().map(select).collect()
    }

    fn tick(&self, epoch: usize, source: Option<usize>) -> Tick {
        let watermark = source
            .and_then(|source| self.watermarks.get(&source))
            .and_then(|watermarks| watermarks[epoch]);
        Tick {
            clock_ms: self.inputs.clock_ms(epoch),
            restored: false,
            watermark,
        }
    }

    fn schema(&self, node: NodeId) -> &SchemaRef {
        &self.inputs.plan.nodes[node].schema
    }
}

fn count(batches: &[ChangeBatch]) -> u64 {
    batches.iter().map(|batch| batch.len() as u64).sum()
}
