//! The names of a plan's tables in the state store.

use tidemill_jobs::plan::{JobPlan, SinkPlan, SourcePlan, State};
use tidemill_state::expiring_name;

/// The table of a source's watermark.
pub fn watermark(source: &SourcePlan) -> String {
    format!("{}/watermark", source.name)
}

/// The table of a sink that keeps its rows.
pub fn sink(sink: &SinkPlan) -> String {
    format!("{}/sink", sink.name)
}

/// All of them, so that a store makes them together.
pub fn all(plan: &JobPlan) -> Vec<String> {
    let nodes = plan.nodes.iter();
    let nodes = nodes.filter_map(|node| match node.op.stage().state() {
        State::Table => Some(node.name.clone()),
        State::ExpiringTable => Some(expiring_name(&node.name)),
        State::None | State::Memory => None,
    });
    let sources = plan
        .sources
        .iter()
        .filter(|source| source.watermark.is_some());
    let sinks = plan.sinks.iter().filter(|sink| sink.shares_keys);
    nodes
        .chain(sources.map(watermark))
        .chain(sinks.map(sink))
        .collect()
}
