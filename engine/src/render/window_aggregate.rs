//! Renders an aggregate over a window, which the watermark of a source closes.

use tidemill_jobs::plan::{Node, NodeId, NodeOp, WindowAggregate};
use tidemill_operators::{Changes, window};

use super::Renderer;
use crate::Error;

impl<'scope> Renderer<'_, 'scope> {
    pub(super) fn window_aggregate(
        &mut self,
        id: NodeId,
        node: &Node,
        stage: &WindowAggregate,
    ) -> Result<Changes<'scope>, Error> {
        let mut group = stage.group.iter();
        let end = group.position(|name| *name == stage.window_end);
        let settings = window::Settings {
            name: node.name.clone(),
            group: self.columns(stage.input, &stage.group, node)?,
            window_end: end.ok_or_else(|| {
                self.plan_error(&node.name, "the end of the window is not grouped by")
            })?,
            aggregates: self.aggregates(stage.input, &stage.aggregates, node)?,
            lateness_ms: self.lateness_ms(stage.input, stage.source),
            emits_image: self.feeds_state(id),
            uncomputed: self.uncomputed(),
        };
        let columns = settings.group.clone();
        let window = window::Window::new(
            settings,
            self.schema(stage.input),
            &node.schema,
            self.context.store.table(&node.name)?,
            self.context.status.late.clone(),
        )?;
        let input = self.routed(stage.input, columns, node)?;
        let ticks = self.watermark_of(stage.source, node)?;
        let (rows, dead) = self.keyed(input, ticks, node, window);
        self.dead.push(dead);
        Ok(rows)
    }

    /// How long after its window's end a row of `input` is taken; `None` if it retracts, or is not of the watermark's `source` alone: then
    /// nothing is known of how late a row may be. What a resequencer holds back for longer than the watermark does is no later for it.
    fn lateness_ms(&self, input: NodeId, source: usize) -> Option<i64> {
        let nodes = &self.context.plan.nodes;
        let watermark = self.context.plan.sources[source].watermark.as_ref()?;
        let (mut lateness_ms, mut is_of_source) = (watermark.lateness_ms, false);
        let mut above = vec![input];
        while let Some(id) = above.pop() {
            let op = &nodes[id].op;
            match op {
                _ if nodes[id].retracts => return None,
                NodeOp::Source(of) if of.source != source => return None,
                NodeOp::Source(_) => is_of_source = true,
                NodeOp::Resequence(order) => {
                    let held_ms = order.within_ms.saturating_sub(watermark.delay_ms);
                    lateness_ms = lateness_ms.max(held_ms);
                }
                _ => {}
            }
            above.extend(op.inputs());
        }
        is_of_source.then_some(lateness_ms)
    }
}
