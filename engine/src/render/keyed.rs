//! What stages have in common that keep state by key: rows go to the worker that has their key.

use tidemill_jobs::plan::{Node, NodeId, NodeOp};
use tidemill_operators::shell::epoch_operator;
use tidemill_operators::{Changes, Packet, Tick, Ticks, route};
use tidemill_types::ChangeBatch;
use timely::dataflow::channels::pact::Exchange;

use super::Renderer;
use crate::Error;

impl<'scope> Renderer<'_, 'scope> {
    /// An operator that is keyed: packets go to the worker they are addressed to.
    pub(super) fn keyed<L>(
        &self,
        input: Changes<'scope>,
        ticks: Ticks<'scope>,
        name: &str,
        mut logic: L,
    ) -> (Changes<'scope>, Changes<'scope>)
    where
        L: FnMut(
                &Tick,
                Vec<ChangeBatch>,
                &mut Vec<ChangeBatch>,
                &mut Vec<ChangeBatch>,
            ) -> Result<(), tidemill_operators::Error>
            + 'static,
    {
        let pact = Exchange::new(|packet: &Packet| packet.worker);
        epoch_operator(
            input,
            pact,
            ticks,
            name,
            self.context.failure.clone(),
            move |_, tick, input: Vec<Packet>, output, side| {
                let (mut main, mut late) = (Vec::new(), Vec::new());
                logic(
                    tick,
                    input.into_iter().map(|packet| packet.changes).collect(),
                    &mut main,
                    &mut late,
                )?;
                output.extend(
                    main.into_iter()
                        .filter(|changes| !changes.is_empty())
                        .map(Packet::from),
                );
                side.extend(late.into_iter().map(Packet::from));
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
