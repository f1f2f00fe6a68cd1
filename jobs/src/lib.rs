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
mod dialect;
mod error;
mod event;
pub mod exact;
mod lower;
pub mod options;
pub mod plan;
mod profile;
mod query;
mod text;
mod with;

pub use error::{Error, Location};
pub use plan::JobPlan;
pub use profile::Profile;

use catalog::{Catalog, LATE, Sink};
use datafusion_expr::LogicalPlan;
use dialect::Statement;
use lower::Lowering;
use lower::graph::{Durable, Graph};
use lower::stages::{Stages, Usage};
use options::{Environment, Options};
use plan::{NodeId, SinkMode, SinkPlan};
use query::functions::Functions;

/// Plans a job; `${NAME}` in options is answered by `environment`.
///
/// # Errors
/// For whatever is wrong with the text, with its place; for an option that the environment does not answer.
pub fn plan_job(
    name: &str,
    sql: &str,
    profile: &Profile,
    environment: Environment<'_>,
) -> Result<JobPlan, Error> {
    let functions = Functions::default();
    let catalog = declare(sql, profile, environment, &functions)?;
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
    assemble(name, graph, stages, catalog, &lowered, environment)
}

/// What a sink's query was lowered to.
struct LoweredSink {
    input: NodeId,
    shares_keys: bool,
}

/// Reads the statements in order: a name must be declared before it is used.
fn declare(
    sql: &str,
    profile: &Profile,
    environment: Environment<'_>,
    functions: &Functions,
) -> Result<Catalog, Error> {
    let mut catalog = Catalog::default();
    for statement in dialect::statements::parse(sql)? {
        match statement {
            Statement::Source(source) => catalog.add_source(source, profile, environment)?,
            Statement::Table(table) => catalog.add_table(table)?,
            Statement::Stream(stream) => catalog.add_stream(stream)?,
            Statement::View(view) => {
                let plan = query::bind(&view.query, &catalog, functions)?;
                catalog.add_view(&view.name, plan)?;
            }
            Statement::Sink(sink) => catalog.add_sink(sink, profile, environment)?,
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
    }
    let message = match sink.mode {
        SinkMode::Append if draft.retracts => format!(
            "sink '{name}' appends, but its rows change after they are written; give it a key, and no mode = 'append'"
        ),
        SinkMode::Upsert if draft.durable == Durable::Nothing => format!(
            "sink '{name}' upserts by key, but a stream of events has many rows per key; use mode = 'append', or read a TABLE"
        ),
        mode => {
            let shares_keys = mode == SinkMode::Upsert && !graph.is_unique(node, &sink.key);
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
    environment: Environment<'_>,
) -> Result<JobPlan, Error> {
    let inputs: Vec<NodeId> = lowered.iter().map(|sink| sink.input).collect();
    let (nodes, inputs) = graph.finish(&inputs);
    let mut sources = stages.sources;
    for source in &mut sources {
        resolve(&source.name, &mut source.options, environment)?;
    }
    let mut sinks = Vec::with_capacity(inputs.len());
    for ((sink, input), lowered) in catalog.sinks.into_iter().zip(inputs).zip(lowered) {
        let mut options = sink.options;
        resolve(&sink.name.text, &mut options, environment)?;
        let name = sink.name.text;
        sinks.push(SinkPlan {
            name,
            input,
            format: sink.format,
            key: sink.key,
            mode: sink.mode,
            shares_keys: lowered.shares_keys,
            options,
        });
    }
    Ok(JobPlan {
        name: name.to_owned(),
        sources,
        nodes,
        sinks,
    })
}

fn resolve(object: &str, options: &mut Options, environment: Environment<'_>) -> Result<(), Error> {
    for (option, value) in options.iter_mut() {
        *value = options::resolve(value, environment).map_err(|message| Error::Environment {
            object: object.to_owned(),
            option: option.clone(),
            message,
        })?;
    }
    Ok(())
}
