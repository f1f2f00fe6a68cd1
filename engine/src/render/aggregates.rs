//! The plan's aggregates as the operators take them.

use tidemill_jobs::plan::{self, Node, NodeId};
use tidemill_operators::accumulators::{AggregateSpec, Function};

use super::Renderer;
use crate::Error;

impl Renderer<'_, '_> {
    pub(super) fn aggregates(
        &self,
        input: NodeId,
        aggregates: &[plan::Aggregate],
        node: &Node,
    ) -> Result<Vec<AggregateSpec>, Error> {
        let schema = self.schema(input);
        aggregates
            .iter()
            .map(|aggregate| {
                let argument = aggregate
                    .argument
                    .as_ref()
                    .map(|name| schema.index_of(name))
                    .transpose()
                    .map_err(|error| self.plan_error(&node.name, error))?;
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
