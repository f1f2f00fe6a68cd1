//! The names of a plan's tables in the state store.

use tidemill_jobs::plan::{JobPlan, NodeOp, SinkPlan, SourcePlan};
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
    let nodes = plan.nodes.iter().filter_map(|node| match node.op {
        NodeOp::Dedup { .. } | NodeOp::Table { .. } => Some(expiring_name(&node.name)),
        NodeOp::Resequence { .. } | NodeOp::WindowAggregate { .. } | NodeOp::Image { .. } => {
            Some(node.name.clone())
        }
        NodeOp::Source { .. }
        | NodeOp::Late { .. }
        | NodeOp::DeadLetters
        | NodeOp::UnionAll { .. }
        | NodeOp::Project { .. }
        | NodeOp::Filter { .. }
        | NodeOp::Tumble { .. }
        | NodeOp::Join { .. }
        | NodeOp::StarJoin { .. }
        | NodeOp::Aggregate { .. }
        | NodeOp::Distinct { .. } => None,
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
