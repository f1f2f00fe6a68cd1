//! Renders an aggregate; and the plan's calls of functions as the operators take them, with or without a window.

use tidemill_jobs::plan::{Aggregate, AggregateCall, Node, NodeId};
use tidemill_operators::accumulators::AggregateSpec;
use tidemill_operators::{Changes, reduce};

use super::Renderer;
use crate::Error;

impl<'scope> Renderer<'_, 'scope> {
    pub(super) fn aggregate(
        &mut self,
        node: &Node,
        stage: &Aggregate,
    ) -> Result<Changes<'scope>, Error> {
        let settings = reduce::Settings {
            name: node.name.clone(),
            group: self.columns(stage.input, &stage.group, node)?,
            aggregates: self.aggregates(stage.input, &stage.aggregates, node)?,
            uncomputed: self.uncomputed(),
        };
        let (rows, dead) = reduce::aggregate(
            self.streams[&stage.input].clone(),
            self.ticks.clone(),
            settings,
            self.schema(stage.input),
            &node.schema,
            self.context.failure,
        )?;
        self.dead.push(dead);
        Ok(rows)
    }

    pub(super) fn aggregates(
        &self,
        input: NodeId,
        aggregates: &[AggregateCall],
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
                    function: aggregate.function,
                    argument,
                    argument_type: argument.map(|i| schema.field(i).data_type().clone()),
                    distinct: aggregate.distinct,
                    data_type: aggregate.data_type.clone(),
                })
            })
            .collect()
    }
}
