//! Renders resequencing, which waits for the watermark of its source.

use tidemill_jobs::plan::{Node, NodeId, Resequence};
use tidemill_operators::{Changes, resequence};

use super::Renderer;
use crate::Error;

impl<'scope> Renderer<'_, 'scope> {
    pub(super) fn resequence(
        &mut self,
        id: NodeId,
        node: &Node,
        stage: &Resequence,
    ) -> Result<Changes<'scope>, Error> {
        let watermark = &self.context.plan.sources[stage.source].watermark;
        let settings = resequence::Settings {
            name: node.name.clone(),
            by: stage.by.clone(),
            per: stage.per.clone(),
            within_ms: stage.within_ms,
            watermark_delay_ms: watermark.as_ref().map_or(0, |mark| mark.delay_ms),
            places: self.context.status.sources[stage.source].places(),
        };
        let key = self.columns(stage.input, &stage.per, node)?;
        let resequence = resequence::Resequence::new(
            settings,
            [self.schema(stage.input), &node.schema],
            self.ledger.clone(),
            self.context.store.table(&node.name)?,
            self.context.status.late.clone(),
        )?;
        let input = self.routed(stage.input, key, node)?;
        let ticks = self.watermark_of(stage.source, node)?;
        let (output, late) = self.keyed(input, ticks, node, resequence);
        self.late.insert(id, late);
        Ok(output)
    }
}
