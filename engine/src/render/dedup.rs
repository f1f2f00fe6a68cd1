//! Renders deduplication.

use tidemill_jobs::plan::{Dedup, Node};
use tidemill_operators::{Changes, Counter, dedup};

use super::Renderer;
use crate::Error;

impl<'scope> Renderer<'_, 'scope> {
    pub(super) fn dedup(&self, node: &Node, stage: &Dedup) -> Result<Changes<'scope>, Error> {
        let settings = dedup::Settings {
            name: node.name.clone(),
            id: stage.uuid.clone(),
            within_ms: stage.within_ms,
        };
        let source = self.source_of(stage.input);
        let duplicates = source.map_or_else(Counter::default, |source| {
            self.context.status.sources[source].duplicates.clone()
        });
        let dedup = dedup::Dedup::new(
            settings,
            self.schema(stage.input),
            self.context.store.expiring_table(&node.name)?,
            duplicates,
        )?;
        let id = self.columns(stage.input, std::slice::from_ref(&stage.uuid), node)?;
        let input = self.routed(stage.input, id, node)?;
        let (rows, _) = self.keyed(input, self.ticks.clone(), node, dedup);
        Ok(rows)
    }
}
