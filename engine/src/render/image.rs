//! Renders a durable image.

use tidemill_jobs::plan::{Image, Node};
use tidemill_operators::{Changes, image};

use super::Renderer;
use crate::Error;

impl<'scope> Renderer<'_, 'scope> {
    pub(super) fn image(&self, node: &Node, stage: &Image) -> Result<Changes<'scope>, Error> {
        let state = self.context.store.table(&node.name)?;
        let image = image::Image::new(&node.name, &node.schema, state)?;
        let all = (0..node.schema.fields().len()).collect();
        let input = self.routed(stage.input, all, node)?;
        let (rows, _) = self.keyed(input, self.ticks.clone(), node, image);
        Ok(rows)
    }
}
