//! What stages have in common that keep state by key: rows go to the worker that has their key.

use tidemill_jobs::plan::{Node, NodeId, NodeOp};
use tidemill_operators::shell::epoch_operator;
use tidemill_operators::{Changes, EpochOperator, Output, Packet, Ticks, route};
use timely::dataflow::channels::pact::Exchange;

use super::Renderer;
use crate::Error;

impl<'scope> Renderer<'_, 'scope> {
    /// An operator of which each worker has the part with its keys: packets go to the worker they are addressed to. Its rows, and what it
    /// sets aside.
    pub(super) fn keyed(
        &self,
        input: Changes<'scope>,
        ticks: Ticks<'scope>,
        node: &Node,
        mut operator: impl EpochOperator + 'static,
    ) -> (Changes<'scope>, Changes<'scope>) {
        let pact = Exchange::new(|packet: &Packet| packet.worker);
        epoch_operator(
            input,
            pact,
            ticks,
            &node.name,
            self.context.failure.clone(),
            move |_, tick, input: Vec<Packet>, rows, aside| {
                let input: Vec<_> = input.into_iter().map(|packet| packet.changes).collect();
                let mut output = Output::default();
                operator.on_epoch(tick, &input, &mut output)?;
                let changed = output.rows.into_iter();
                let changed = changed.filter(|changes| !changes.is_empty());
                rows.extend(changed.map(Packet::from));
                aside.extend(output.aside.into_iter().map(Packet::from));
                Ok(())
            },
        )
    }

    pub(super) fn routed(
        &self,
        input: NodeId,
        key: Vec<usize>,
        node: &Node,
    ) -> Result<Changes<'scope>, Error> {
        Ok(route::by_key(
            self.streams[&input].clone(),
            &node.name,
            self.schema(input),
            key,
            self.context.failure.clone(),
        )?)
    }

    pub(super) fn watermark_of(&self, source: usize, node: &Node) -> Result<Ticks<'scope>, Error> {
        self.watermarks
            .get(&source)
            .cloned()
            .ok_or_else(|| self.plan_error(&node.name, "its source has no watermark"))
    }

    /// The source that a node's events come from.
    pub(super) fn source_of(&self, node: NodeId) -> Option<usize> {
        match &self.context.plan.nodes[node].op {
            NodeOp::Source(stage) => Some(stage.source),
            op => op.inputs().first().and_then(|&input| self.source_of(input)),
        }
    }
}
