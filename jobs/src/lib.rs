//! SQL in, job plan out.
//!
//! A job's text declares sources, tables, streams, views and sinks (`dialect`); the declarations are checked against each other
//! (`catalog`); each sink's query is bound, typed and optimised with DataFusion's own rules (`query`) and lowered to the nodes of a
//! [`JobPlan`] (`lower`), which another crate executes.
//!
//! Promises: the same text, profile and environment give the same plan, byte by byte; what cannot be planned is an [`Error`] with its
//! place, never a plan that computes something else; no value of a secret option is in the plan's text. Does not promise that a connector
//! knows its options, or that the text of a plan stays the same over versions of DataFusion.

mod catalog;
mod context;
mod contract;
mod dialect;
mod error;
mod event;
pub mod exact;
mod keys;
mod lower;
mod metadata;
pub mod options;
pub mod plan;
mod profile;
mod query;
mod text;
mod with;

pub use context::Context;
pub use error::{Error, Location};
pub use plan::JobPlan;
pub use profile::{Profile, options_of as profile_options};

use catalog::{Catalog, LATE, Sink};
use datafusion_expr::LogicalPlan;
use dialect::Statement;
use lower::Lowering;
use lower::graph::Graph;
use lower::stages::{Stages, Usage};
use plan::{Contents, Durable, NodeId, SinkPlan};
use query::functions::Functions;

/// Plans a job.
///
/// # Errors
/// For whatever is wrong with the text, with its place; for an option that the environment does not answer.
pub fn plan_job(name: &str, sql: &str, context: Context<'_>) -> Result<JobPlan, Error> {
    let functions = Functions::default();
    let catalog = declare(sql, context, &functions)?;
    let mut plans = Vec::with_capacity(catalog.sinks.len());
    let mut usage = Usage::default();
    for sink in &catalog.sinks {
        let plan = query::optimise::optimise(
            query::bind(&sink.query, &catalog, &functions)?,
            &sink.query,
        )?;
        usage.add(&plan, &catalog);
        plans.push(plan);
    }
    let Some(first) = catalog.sinks.first() else {
        let at = Location { line: 1, column: 1 };
        return Err(Error::contradiction(
            at,
            "the job has no sink; add CREATE SINK … AS SELECT …",
        ));
    };
    let reads_late = |sink: &&Sink| sink.query.words.iter().any(|word| word.text == LATE);
    let late_at = catalog.sinks.iter().find(reads_late).unwrap_or(first);
    let mut graph = Graph::default();
    let stages = Stages::build(
        &mut graph,
        usage,
        &catalog,
        query::place_of_word(&late_at.query, LATE),
    )?;
    if stages.sources.is_empty() {
        return Err(Error::contradiction(
            first.query.at,
            "no source reaches a sink; read a table or a stream",
        ));
    }
    let mut lowered = Vec::with_capacity(plans.len());
    for (sink, plan) in catalog.sinks.iter().zip(&plans) {
        lowered.push(lower_sink(&mut graph, &catalog, &stages, sink, plan)?);
    }
    Ok(assemble(name, graph, stages, catalog, &lowered))
}

/// What a sink's query was lowered to.
struct LoweredSink {
    input: NodeId,
    shares_keys: bool,
}

/// Reads the statements in order: a name must be declared before it is used.
fn declare(sql: &str, context: Context<'_>, functions: &Functions) -> Result<Catalog, Error> {
    let mut catalog = Catalog::default();
    for statement in dialect::statements::parse(sql)? {
        match statement {
            Statement::Source(source) => catalog.add_source(source, context)?,
            Statement::Table(table) => catalog.add_table(table)?,
            Statement::Stream(stream) => catalog.add_stream(stream)?,
            Statement::View(view) => {
                let plan = query::bind(&view.query, &catalog, functions)?;
                catalog.add_view(&view.name, plan)?;
            }
            Statement::Sink(sink) => catalog.add_sink(sink, context)?,
        }
    }
    Ok(catalog)
}

fn lower_sink(
    graph: &mut Graph,
    catalog: &Catalog,
    stages: &Stages,
    sink: &Sink,
    plan: &LogicalPlan,
) -> Result<LoweredSink, Error> {
    let name = &sink.name.text;
    let node = Lowering {
        graph,
        catalog,
        stages,
        query: &sink.query,
    }
    .sink(name, plan)?;
    let draft = graph.node(node);
    let columns = || {
        draft
            .schema
            .fields()
            .iter()
            .map(|field| field.name().as_str())
    };
    for key in &sink.key {
        if !columns().any(|column| column == key) {
            return Err(Error::unknown(sink.key_at, "key column", key, columns()));
        }
        if let Ok(field) = draft.schema.field_with_name(key) {
            keys::check("the key column", key, field.data_type(), sink.key_at)?;
        }
    }
    sink.metadata.check(&draft.schema, &sink.key)?;
    let message = match sink.contents {
        Contents::Rows if draft.retracts => format!(
            "sink '{name}' appends, but its rows change after they are written; give it a key, and no envelope = 'plain'"
        ),
        Contents::States | Contents::Changes if draft.durable == Durable::Nothing => format!(
            "sink '{name}' writes the state of each key, but a stream of events has many rows per key; use envelope = 'plain', or read a TABLE"
        ),
        contents => {
            let shares_keys = contents != Contents::Rows && !graph.is_unique(node, &sink.key);
            return Ok(LoweredSink {
                input: node,
                shares_keys,
            });
        }
    };
    Err(Error::contradiction(sink.name.at, message))
}

fn assemble(
    name: &str,
    graph: Graph,
    stages: Stages,
    catalog: Catalog,
    lowered: &[LoweredSink],
) -> JobPlan {
    let inputs: Vec<NodeId> = lowered.iter().map(|sink| sink.input).collect();
    let (nodes, inputs) = graph.finish(&inputs);
    let sinks = catalog.sinks.into_iter().zip(inputs).zip(lowered);
    let sinks = sinks.map(|((sink, input), lowered)| SinkPlan {
        connector: sink.connector().to_owned(),
        target: sink.target_name().unwrap_or(&sink.name.text).to_owned(),
        is_delivered: sink.is_delivered,
        name: sink.name.text,
        input,
        format: sink.format,
        key: sink.key,
        headers: sink.metadata.headers,
        timestamp: sink.metadata.timestamp,
        contents: sink.contents,
        shares_keys: lowered.shares_keys,
        registry: sink.registry,
        key_registry: sink.key_registry,
        options: sink.options,
    });
    JobPlan {
        name: name.to_owned(),
        sinks: sinks.collect(),
        sources: stages.sources,
        nodes,
    }
}
