//! The stage that aggregates groups.

use arrow_schema::DataType;
use tidemill_types::AggregateFunction;

use super::NodeId;
use super::stage::{Durable, Names, Stage, State};

/// `GROUP BY`. Output: the group columns, then the aggregates. Without group columns: one row, always.
#[derive(Debug, Clone)]
pub struct Aggregate {
    /// Input.
    pub input: NodeId,
    /// Group columns.
    pub group: Vec<String>,
    /// Aggregates.
    pub aggregates: Vec<AggregateCall>,
}

/// One aggregate.
#[derive(Debug, Clone)]
pub struct AggregateCall {
    /// What is computed.
    pub function: AggregateFunction,
    /// Its argument column; `None` is `COUNT(*)`.
    pub argument: Option<String>,
    /// `DISTINCT` inside the aggregate.
    pub distinct: bool,
    /// Output column.
    pub name: String,
    /// Output type.
    pub data_type: DataType,
}

/// Groups and what is computed of them, in words.
pub(super) fn grouped(group: &[String], aggregates: &[AggregateCall]) -> String {
    let call = |call: &AggregateCall| {
        let distinct = if call.distinct { "distinct " } else { "" };
        let argument = call.argument.as_deref().unwrap_or("*");
        let function = call.function.name();
        format!("{function}({distinct}{argument}) AS {}", call.name)
    };
    let aggregates: Vec<_> = aggregates.iter().map(call).collect();
    format!("by ({}) to ({})", group.join(", "), aggregates.join(", "))
}

impl Stage for Aggregate {
    fn name(&self) -> &'static str {
        "aggregate"
    }

    fn inputs(&self) -> Vec<NodeId> {
        vec![self.input]
    }

    fn inputs_mut(&mut self) -> Vec<&mut NodeId> {
        vec![&mut self.input]
    }

    fn words(&self, names: &Names<'_>) -> String {
        let read = (names.node)(self.input);
        format!(
            "aggregate {read} {}",
            grouped(&self.group, &self.aggregates)
        )
    }

    fn state(&self) -> State {
        State::Memory
    }

    fn durable(&self, _: Durable) -> Durable {
        Durable::Everything
    }

    fn retracts(&self, _: bool) -> bool {
        true
    }

    fn grows(&self, _: bool) -> bool {
        false
    }
}
