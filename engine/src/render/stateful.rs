//! The stages that keep state by key: deduplication, tables, resequencing, windows.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use tidemill_jobs::plan::{Node, NodeId, NodeOp};
use tidemill_operators::shell::epoch_operator;
use tidemill_operators::stateless::select;
use tidemill_operators::{
    Changes, Counter, Packet, Tick, Ticks, dedup, guard, resequence, route, table, window,
};
use tidemill_types::{ChangeBatch, system_columns};
use timely::dataflow::channels::pact::Exchange;

use super::Renderer;
use crate::Error;

impl<'scope> Renderer<'_, 'scope> {
    pub(super) fn dedup(
        &mut self,
        node: &Node,
        input: NodeId,
        uuid: &str,
        within_ms: i64,
    ) -> Result<Changes<'scope>, Error> {
        let settings = dedup::Settings {
            name: node.name.clone(),
            id: uuid.to_owned(),
            within_ms,
        };
        let duplicates = self
            .source_of(input)
            .map_or_else(Counter::default, |source| {
                self.context.status.sources[source].duplicates.clone()
            });
        let mut dedup = dedup::Dedup::new(
            settings,
            self.schema(input),
            self.context.store.expiring_table(&node.name)?,
            duplicates,
        )?;
        let input = self.routed(input, self.columns(input, &[uuid.to_owned()], node)?, node)?;
        Ok(self
            .keyed(
                input,
                self.ticks.clone(),
                &node.name,
                move |tick, input, output, _| {
                    output.extend(dedup.on_epoch(tick, &input)?);
                    Ok(())
                },
            )
            .0)
    }

    pub(super) fn table(
        &mut self,
        node: &Node,
        input: NodeId,
        settings: table::Settings,
        guard: Option<guard::Guard>,
    ) -> Result<Changes<'scope>, Error> {
        let key = self.columns(input, &settings.key, node)?;
        let state = self.context.store.expiring_table(&node.name)?;
        let keep_time = settings.version.is_none() || guard.is_some();
        let (narrow, schema) = self.narrow(input, keep_time, node)?;
        let mut table = table::Table::new(
            settings,
            &schema,
            &node.schema,
            state,
            self.context.status.stale.clone(),
        )?;
        let failure = self.context.failure.clone();
        let Some(guard) = guard else {
            let input = route::by_key(narrow, &node.name, &schema, key, failure)?;
            let keyed = self.keyed(
                input,
                self.ticks.clone(),
                &node.name,
                move |tick, input, output, _| table.on_epoch(tick, &input, output),
            );
            return Ok(keyed.0);
        };
        // The guard takes the records' bytes away.
        let input = self.routed(input, key, node)?;
        let (output, dead) = self.keyed(
            input,
            self.ticks.clone(),
            &node.name,
            move |tick, input, output, dead| {
                let mut passed = Vec::with_capacity(input.len());
                for changes in input {
                    passed.push(guard.on_batch(&changes, dead)?);
                }
                table.on_epoch(tick, &passed, output)
            },
        );
        self.dead.push(dead);
        Ok(output)
    }

    /// What keeps events from a table that cannot be applied, if there may be such.
    pub(super) fn guard(
        &self,
        node: &Node,
        input: NodeId,
        [key, version]: [&[String]; 2],
        may_lack: &[String],
    ) -> Result<Option<guard::Guard>, Error> {
        let lacking = |columns: &[String]| -> Vec<String> {
            let lacking = columns.iter().filter(|column| may_lack.contains(column));
            lacking.cloned().collect()
        };
        let Some(source) = self.source_of(input).filter(|_| !may_lack.is_empty()) else {
            return Ok(None);
        };
        let status = &self.context.status.sources[source];
        let settings = guard::Settings {
            name: node.name.clone(),
            table: node.name.split('/').next().unwrap_or_default().to_owned(),
            topic: status.topic.clone(),
            key: lacking(key),
            version: lacking(version).into_iter().next(),
            ledger: self.ledger.clone(),
        };
        let dead_letters = status.dead_letters.clone();
        let guard = guard::Guard::new(settings, self.schema(input), dead_letters)?;
        Ok(Some(guard))
    }

    /// A node's rows without what a table does not need: the records' bytes, and unless it ranks by them, their times.
    fn narrow(
        &self,
        input: NodeId,
        keep_time: bool,
        node: &Node,
    ) -> Result<(Changes<'scope>, SchemaRef), Error> {
        let (rows, schema) = (self.streams[&input].clone(), self.schema(input));
        let is_kept = |&column: &usize| match schema.field(column).name().as_str() {
            system_columns::BYTES => false,
            system_columns::TIME => keep_time,
            _ => true,
        };
        let kept: Vec<usize> = (0..schema.fields().len()).filter(is_kept).collect();
        if kept.len() == schema.fields().len() {
            return Ok((rows, schema.clone()));
        }
        let narrow = schema.project(&kept);
        let narrow = Arc::new(narrow.map_err(|error| self.plan_error(&node.name, error))?);
        Ok((select(rows, kept, narrow.clone()), narrow))
    }

    /// Waits for the watermark of `source`.
    pub(super) fn resequence(
        &mut self,
        id: NodeId,
        input: NodeId,
        source: usize,
        settings: resequence::Settings,
    ) -> Result<Changes<'scope>, Error> {
        let node = &self.context.plan.nodes[id];
        let key = self.columns(input, &settings.per, node)?;
        let state = self.context.store.table(&node.name)?;
        let mut resequence = resequence::Resequence::new(
            settings,
            [self.schema(input), &node.schema],
            self.ledger.clone(),
            state,
            self.context.status.late.clone(),
        )?;
        let routed = self.routed(input, key, node)?;
        let ticks = self.watermark_of(source, node)?;
        let (output, late) = self.keyed(
            routed,
            ticks,
            &node.name,
            move |tick, input, output, late| resequence.on_epoch(tick, &input, output, late),
        );
        self.late.insert(id, late);
        Ok(output)
    }

    /// Closes windows by the watermark of `source`.
    pub(super) fn window(
        &mut self,
        node: &Node,
        input: NodeId,
        source: usize,
        settings: window::Settings,
    ) -> Result<Changes<'scope>, Error> {
        let columns = settings.group.clone();
        let mut window = window::Window::new(
            settings,
            self.schema(input),
            &node.schema,
            self.context.store.table(&node.name)?,
            self.context.status.late.clone(),
        )?;
        let routed = self.routed(input, columns, node)?;
        let ticks = self.watermark_of(source, node)?;
        let (rows, dead) = self.keyed(
            routed,
            ticks,
            &node.name,
            move |tick, input, output, dead| window.on_epoch(tick, &input, output, dead),
        );
        self.dead.push(dead);
        Ok(rows)
    }

    /// How long after its window's end a row of `input` is taken; `None` if it retracts, or is not of the watermark's `source` alone: then
    /// nothing is known of how late a row may be. What a resequencer holds back for longer than the watermark does is no later for it.
    pub(super) fn lateness_ms(&self, input: NodeId, source: usize) -> Option<i64> {
        let nodes = &self.context.plan.nodes;
        let watermark = self.context.plan.sources[source].watermark.as_ref()?;
        let (mut lateness_ms, mut is_of_source) = (watermark.lateness_ms, false);
        let mut above = vec![input];
        while let Some(id) = above.pop() {
            let op = &nodes[id].op;
            match op {
                _ if nodes[id].retracts => return None,
                NodeOp::Source { source: of } if *of != source => return None,
                NodeOp::Source { .. } => is_of_source = true,
                NodeOp::Resequence { within_ms, .. } => {
                    lateness_ms = lateness_ms.max(within_ms.saturating_sub(watermark.delay_ms));
                }
                _ => {}
            }
            above.extend(op.inputs());
        }
        is_of_source.then_some(lateness_ms)
    }

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
            NodeOp::Source { source } => Some(*source),
            op => op.inputs().first().and_then(|&input| self.source_of(input)),
        }
    }
}
