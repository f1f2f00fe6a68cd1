//! Where events come in: inputs, decoders and watermarks.

use std::sync::Arc;

use tidemill_jobs::plan::{self, SourcePlan};
use tidemill_operators::decode::{self, DecodeCounters, LetterObserver, Observer, RawBatch};
use tidemill_operators::shell::Batches;
use tidemill_operators::watermark::{self, Fact, Watermark, watermark_ticks};
use tidemill_operators::{Counter, Ticks};

use super::{Renderer, tables};
use timely::dataflow::operators::Input;

use crate::Error;
use crate::contracts::Named;
use crate::event::Event;

impl<'scope> Renderer<'_, 'scope> {
    /// Inputs, decoders and watermarks of all sources.
    pub(super) fn sources(&mut self) -> Result<(), Error> {
        for (index, source) in self.context.plan.sources.iter().enumerate() {
            let (handle, raw) = self.scope.new_input::<Vec<RawBatch>>();
            let format = self.format(&source.name, &source.format)?;
            let decoder = format
                .decoder(&source.spec(self.context.schemas[index].as_ref()))
                .map_err(|error| self.plan_error(&source.name, error))?;
            let status = &self.context.status.sources[index];
            let counters = DecodeCounters {
                rows: Counter::default(),
                ignored: status.ignored.clone(),
                dead_letters: status.dead_letters.clone(),
            };
            let settings = decode::Settings {
                name: source.name.clone(),
                decoder,
                ledger: self.ledger.clone(),
                counters,
                observer: self.observer(),
                letters: self.letters(index, source),
            };
            let decoded = decode::decode(raw, settings);
            self.dead.push(decoded.dead_letters);
            if let Some(watermark) = &source.watermark {
                let ticks = self.watermark(index, source, watermark, decoded.facts)?;
                self.watermarks.insert(index, ticks);
            }
            self.handles.push((handle, decoded.rows));
        }
        Ok(())
    }

    /// Counts dead letters by contract, if the source has one.
    fn letters(&self, index: usize, source: &SourcePlan) -> LetterObserver {
        let schemas = self.context.schemas[index].clone();
        let (Some(schemas), Some(registry)) = (schemas, source.registries().next()) else {
            return Box::new(|_| {});
        };
        let subject = registry.subject.clone();
        let named = Named::of(source);
        let counts = Arc::clone(&self.context.status.sources[index].by_contract);
        Box::new(move |letters| counts.count(letters, (&subject, named), schemas.as_ref()))
    }

    pub(super) fn observer(&self) -> Observer {
        let events = self.context.events.clone();
        Box::new(move |epoch, range, rows| {
            let time_ms = range.min_ms + (range.max_ms - range.min_ms) / 2;
            // Nobody listens any more only if the run is over.
            let _ = events.send(Event::Decoded {
                epoch,
                time_ms,
                rows: rows as u64,
            });
        })
    }

    pub(super) fn watermark(
        &self,
        index: usize,
        source: &SourcePlan,
        watermark: &plan::WatermarkPlan,
        facts: Batches<'scope, Fact>,
    ) -> Result<Ticks<'scope>, Error> {
        let settings = watermark::Settings {
            name: source.name.clone(),
            partitions: self.context.partitions[index].clone(),
            delay_ms: watermark.delay_ms,
        };
        let state = self.context.store.table(&tables::watermark(source))?;
        let owns = watermark::owner(&source.name, self.scope.peers()) == self.scope.index();
        let owned = if owns {
            Some(Watermark::new(settings, state)?)
        } else {
            None
        };
        Ok(watermark_ticks(
            facts,
            self.ticks.clone(),
            owned,
            &source.name,
            self.context.failure.clone(),
        ))
    }
}
