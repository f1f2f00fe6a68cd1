//! Renders a table, and the guard before it.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use tidemill_jobs::plan::{Node, NodeId, Table};
use tidemill_operators::stateless::select;
use tidemill_operators::{Changes, guard, route, table};
use tidemill_types::system_columns;

use super::Renderer;
use crate::Error;

impl<'scope> Renderer<'_, 'scope> {
    pub(super) fn table(
        &mut self,
        id: NodeId,
        node: &Node,
        stage: &Table,
    ) -> Result<Changes<'scope>, Error> {
        let guard = self.guard(node, stage)?;
        let settings = table::Settings {
            name: node.name.clone(),
            key: stage.key.clone(),
            version: stage.version.clone(),
            tombstone_ms: stage.tombstone_ms,
            emits_image: self.feeds_state(id),
        };
        let key = self.columns(stage.input, &stage.key, node)?;
        let state = self.context.store.expiring_table(&node.name)?;
        let keep_time = settings.version.is_none() || guard.is_some();
        let (kept, schema) = self.narrow(stage.input, keep_time, node)?;
        let table = table::Table::new(
            settings,
            &schema,
            &node.schema,
            state,
            self.context.status.stale.clone(),
        )?;
        let ticks = self.ticks.clone();
        let Some(guard) = guard else {
            let rows = self.streams[&stage.input].clone();
            let narrow = match kept {
                Some(kept) => select(rows, kept, schema.clone()),
                None => rows,
            };
            let failure = self.context.failure.clone();
            let input = route::by_key(narrow, &node.name, &schema, key, failure)?;
            return Ok(self.keyed(input, ticks, node, table).0);
        };
        // The guard takes the records' bytes away.
        let input = self.routed(stage.input, key, node)?;
        let (output, dead) = self.keyed(input, ticks, node, guard::Guarded::new(guard, table));
        self.dead.push(dead);
        Ok(output)
    }

    /// What keeps events from a table that cannot be applied, if there may be such.
    fn guard(&self, node: &Node, stage: &Table) -> Result<Option<guard::Guard>, Error> {
        let may_lack = &stage.may_lack;
        let lacking = |columns: &[String]| -> Vec<String> {
            let lacking = columns.iter().filter(|column| may_lack.contains(column));
            lacking.cloned().collect()
        };
        let Some(source) = self.source_of(stage.input).filter(|_| !may_lack.is_empty()) else {
            return Ok(None);
        };
        let status = &self.context.status.sources[source];
        let settings = guard::Settings {
            name: node.name.clone(),
            table: node.name.split('/').next().unwrap_or_default().to_owned(),
            places: status.places(),
            key: lacking(&stage.key),
            version: lacking(stage.version.as_slice()).into_iter().next(),
            ledger: self.ledger.clone(),
        };
        let dead_letters = status.dead_letters.clone();
        let guard = guard::Guard::new(settings, self.schema(stage.input), dead_letters)?;
        Ok(Some(guard))
    }

    /// A node's columns without those that a table does not need (the records' bytes, and unless it ranks by them, their times), if it has such;
    /// and the schema of what is left.
    fn narrow(
        &self,
        input: NodeId,
        keep_time: bool,
        node: &Node,
    ) -> Result<(Option<Vec<usize>>, SchemaRef), Error> {
        let schema = self.schema(input);
        let is_kept = |&column: &usize| match schema.field(column).name().as_str() {
            system_columns::BYTES => false,
            system_columns::TIME => keep_time,
            _ => true,
        };
        let kept: Vec<usize> = (0..schema.fields().len()).filter(is_kept).collect();
        if kept.len() == schema.fields().len() {
            return Ok((None, schema.clone()));
        }
        let narrow = schema.project(&kept);
        let narrow = narrow.map_err(|error| self.plan_error(&node.name, error))?;
        Ok((Some(kept), Arc::new(narrow)))
    }
}
