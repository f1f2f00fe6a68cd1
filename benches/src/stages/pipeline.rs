//! One run of all stages, in the order of the job, by some workers side by side: first those that are plain structs, each worker with its
//! partitions, then those that keep arrangements, in one dataflow of all workers, at last the sink.

use std::sync::Arc;

use anyhow::{Context, Result};
use arrow_schema::{Field, Schema, SchemaRef};
use tidemill_formats::Json;
use tidemill_jobs::plan::{self, NodeOp};
use tidemill_operators::{Counter, reduce, sink};
use tidemill_types::OutputRecords;
use tidemill_types::format::{self, Format};

use super::cost::{Cost, Costs, bytes, count};
use super::dataflow::{self, Epochs, Side, Stage};
use super::inputs::Inputs;
use super::plain::{self, Plain};
use super::planned::{columns, specs, uncomputed};
use super::projections::selected;
use super::section::measured;

/// The facts: many rows, of few keys.
const PAYMENTS: From = From {
    table: "payment/table",
    columns: &[
        "id",
        "production_id",
        "talent_id",
        "amount",
        "currency",
        "due_on",
        "status",
    ],
};
/// The same facts, by what they are charged to.
const CHARGES: From = From {
    table: "payment/table",
    columns: &["id", "budget_id", "amount", "currency", "due_on", "status"],
};
/// A dimension of which each row has few facts.
const BUDGETS: From = From {
    table: "budget/table",
    columns: &["id", "department", "amount"],
};
/// A dimension: few rows, each with many facts.
const PRODUCTIONS: From = From {
    table: "production/table",
    columns: &["id", "title", "region"],
};
/// A dimension that many facts have no row of.
const TALENTS: From = From {
    table: "talent/table",
    columns: &["id", "name", "role"],
};
/// The aggregate that is measured; it reads payments.
const AGGREGATE: &str = "production_finance/aggregate-2";

/// Some columns of a table.
struct From {
    table: &'static str,
    columns: &'static [&'static str],
}

/// A join: what is read, by which columns, and which sides are there before (all of their changes at once).
struct Join {
    stage: &'static str,
    sides: [(From, &'static str); 2],
    is_loaded: [bool; 2],
    how: How,
}

/// What a join keeps, and which of its rows come out.
#[derive(Clone, Copy)]
enum How {
    /// Both sides are kept, and rows with a match come out.
    Inner,
    /// Both sides are kept, and every left row comes out.
    Left,
    /// The right side is kept, and every left row comes out.
    Lookup,
}

impl How {
    fn stage(self, sides: [Side; 2], output: SchemaRef) -> Stage {
        match self {
            Self::Inner | Self::Left => Stage::Join {
                sides,
                padded: matches!(self, Self::Left),
                output,
            },
            Self::Lookup => Stage::Lookup { sides, output },
        }
    }
}

/// Runs every stage once, on new state; and what the sink wrote, per epoch, comes with it.
///
/// # Errors
/// If a stage fails, or the plan has no such stage any more.
pub fn run(inputs: &Inputs, workers: usize) -> Result<(Costs, Vec<OutputRecords>)> {
    let shares = side_by_side(workers, |worker| plain::run(inputs, worker, workers))?;
    let mut costs = Costs::default();
    for share in &shares {
        costs.add_beside(&share.costs);
    }
    costs.events = inputs.events;
    let mut arranged = Arranged {
        inputs,
        shares: &shares,
        costs,
    };
    arranged.arrange()?;
    let joined = arranged.join(&Join {
        stage: "join fact",
        sides: [(PAYMENTS, "production_id"), (PRODUCTIONS, "id")],
        is_loaded: [false, true],
        how: How::Inner,
    })?;
    arranged.join(&Join {
        stage: "join dimension",
        sides: [(PAYMENTS, "production_id"), (PRODUCTIONS, "id")],
        is_loaded: [true, false],
        how: How::Inner,
    })?;
    arranged.join(&Join {
        stage: "join left",
        sides: [(PAYMENTS, "talent_id"), (TALENTS, "id")],
        is_loaded: [false, false],
        how: How::Left,
    })?;
    arranged.join(&Join {
        stage: "lookup",
        sides: [(CHARGES, "budget_id"), (BUDGETS, "id")],
        is_loaded: [false, true],
        how: How::Lookup,
    })?;
    arranged.reduce()?;
    let mut costs = arranged.costs;
    let sinks = side_by_side(workers, |worker| sink(&joined, worker))?;
    let mut of_sinks = Costs::default();
    let mut written = Vec::new();
    for (cost, records) in sinks {
        of_sinks.add_beside(&cost);
        written.extend(records);
    }
    costs.add_beside(&of_sinks);
    Ok((costs, written))
}

/// The stages that keep arrangements.
struct Arranged<'a> {
    inputs: &'a Inputs,
    shares: &'a [Plain],
    costs: Costs,
}

impl Arranged<'_> {
    fn arrange(&mut self) -> Result<()> {
        let (schema, input) = self.rows(&PAYMENTS)?;
        let side = Side {
            schema,
            key: "production_id".to_owned(),
        };
        self.run("arrange", vec![input], 0, Stage::Arrange(side))?;
        Ok(())
    }

    /// What comes out, per worker, with the schema.
    fn join(&mut self, join: &Join) -> Result<(SchemaRef, Vec<Epochs>)> {
        let loaded = usize::from(join.is_loaded.contains(&true));
        let (mut sides, mut inputs) = (Vec::new(), Vec::new());
        for ((from, key), is_loaded) in join.sides.iter().zip(join.is_loaded) {
            let (schema, input) = self.rows(from)?;
            let ready = |epochs: Epochs| -> Epochs {
                if is_loaded {
                    vec![epochs.into_iter().flatten().collect()]
                } else {
                    std::iter::repeat_n(Vec::new(), loaded)
                        .chain(epochs)
                        .collect()
                }
            };
            inputs.push(input.into_iter().map(ready).collect());
            sides.push(Side {
                schema,
                key: (*key).to_owned(),
            });
        }
        let sides: [Side; 2] = sides.try_into().expect("a join has two sides");
        let output = beside(&sides);
        let stage = join.how.stage(sides, output.clone());
        Ok((output, self.run(join.stage, inputs, loaded, stage)?))
    }

    fn reduce(&mut self) -> Result<()> {
        let (_, node) = self.inputs.node(AGGREGATE)?;
        let NodeOp::Aggregate(plan::Aggregate {
            input,
            group,
            aggregates,
        }) = &node.op
        else {
            anyhow::bail!("'{}' is no aggregate", node.name)
        };
        let schema = self.inputs.plan.nodes[*input].schema.clone();
        let rows = self.selected(PAYMENTS.table, &schema)?;
        let settings = reduce::Settings {
            name: node.name.clone(),
            group: columns(&schema, group)?,
            aggregates: specs(&schema, aggregates)?,
            uncomputed: uncomputed(),
        };
        let stage = Stage::Reduce {
            settings,
            schema,
            output: node.schema.clone(),
        };
        self.run("reduce", vec![rows], 0, stage)?;
        Ok(())
    }

    /// Measures a stage on inputs of which each has an entry per worker.
    fn run(
        &mut self,
        name: &'static str,
        inputs: Vec<Vec<Epochs>>,
        loaded: usize,
        stage: Stage,
    ) -> Result<Vec<Epochs>> {
        let mut cost = Cost::default();
        for batches in inputs
            .iter()
            .flatten()
            .flat_map(|epochs| epochs.iter().skip(loaded))
        {
            cost.records += count(batches);
            cost.bytes_in += bytes(batches);
        }
        let mut shares: Vec<dataflow::Share> = vec![Vec::new(); self.shares.len()];
        for input in inputs {
            for (share, epochs) in shares.iter_mut().zip(input) {
                share.push(epochs);
            }
        }
        let ran =
            dataflow::run(shares, loaded, stage).with_context(|| format!("stage '{name}'"))?;
        for batches in ran.outputs.iter().flatten() {
            cost.output += count(batches);
            cost.bytes_out += bytes(batches);
        }
        cost.took = ran.took;
        self.costs.add(name, cost);
        self.costs.end(name);
        Ok(ran.outputs)
    }

    /// Some columns of what a table gives out, per worker.
    fn rows(&self, from: &From) -> Result<(SchemaRef, Vec<Epochs>)> {
        let (_, node) = self.inputs.node(from.table)?;
        let columns = columns(
            &node.schema,
            &from
                .columns
                .iter()
                .map(|&name| name.to_owned())
                .collect::<Vec<_>>(),
        )?;
        let schema: SchemaRef = Arc::new(node.schema.project(&columns)?);
        let rows = self.selected(from.table, &schema)?;
        Ok((schema, rows))
    }

    fn selected(&self, table: &str, schema: &SchemaRef) -> Result<Vec<Epochs>> {
        let (id, _) = self.inputs.node(table)?;
        let of_epoch = |batches: &Vec<_>| {
            batches
                .iter()
                .map(|batch| selected(batch, schema))
                .collect()
        };
        let of_worker = |share: &Plain| share.outputs[&id].iter().map(of_epoch).collect();
        self.shares.iter().map(of_worker).collect()
    }
}

/// The columns of both sides, any of which may be null; those of the right side have names of their own.
fn beside([left, right]: &[Side; 2]) -> SchemaRef {
    let field = |field: &Arc<Field>, prefix| {
        let name = format!("{prefix}{}", field.name());
        Field::new(name, field.data_type().clone(), true)
    };
    let left = left.schema.fields().iter().map(|of| field(of, ""));
    let right = right.schema.fields().iter().map(|of| field(of, "right_"));
    Arc::new(Schema::new(left.chain(right).collect::<Vec<_>>()))
}

/// Encodes what a worker's join gave out.
fn sink(
    (schema, joined): &(SchemaRef, Vec<Epochs>),
    worker: usize,
) -> Result<(Costs, Vec<OutputRecords>)> {
    let settings = sink::Settings {
        name: "sink".to_owned(),
        key: vec!["id".to_owned()],
        mode: sink::Mode::Upsert,
        encoder: Json.encoder(&format::SinkSpec {
            envelope: "upsert",
            schema,
            key: &["id".to_owned()],
            metadata: None,
            contract: None,
            options: &format::Options::new(),
        })?,
    };
    let mut operator = sink::Sink::new(settings, schema, Counter::default())?;
    let closing = sink::Closing {
        clock_ms: 0,
        record_bytes_max: usize::MAX,
    };
    let (mut costs, mut written) = (Costs::default(), Vec::new());
    for input in &joined[worker] {
        let (records, took) = measured(|| operator.on_epoch(input, closing));
        let records = records?.records;
        let cost = Cost {
            records: count(input),
            output: records.len() as u64,
            bytes_in: bytes(input),
            bytes_out: records.arena.len() as u64,
            took,
        };
        costs.add("sink encode", cost);
        written.push(records);
    }
    costs.end("sink encode");
    Ok((costs, written))
}

/// Runs something for each worker: in this thread if there is one, else in a thread each.
fn side_by_side<T: Send>(
    workers: usize,
    work: impl Fn(usize) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    if workers == 1 {
        return Ok(vec![work(0)?]);
    }
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers)
            .map(|worker| {
                let work = &work;
                scope.spawn(move || work(worker))
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| {
                let panicked = |_| anyhow::anyhow!("a worker of the bench panicked");
                thread.join().map_err(panicked)?
            })
            .collect()
    })
}
