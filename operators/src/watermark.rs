//! Watermark: how far event time has surely come in a source.
//!
//! The watermark of an epoch is the minimum over the source's partitions of the greatest event time seen, minus the declared delay. A
//! partition that was silent for longer than the idle timeout (by the epoch clock) does not hold it back; while every partition is idle, or
//! some live partition has brought nothing yet, it stays where it is. It never goes back.
//!
//! One worker owns a source's watermark and tells all others, so that every worker sees the same watermark in the same epoch.
//! State: partition → greatest time, clock of the last event; and the watermark itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidemill_types::{key_group, key_group::worker_of};
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::vec::Broadcast;

use crate::error::Context;
use crate::shell::{Batches, epoch_operator};
use crate::{Error, Failure, Tick, Ticks};

/// The greatest event time among some records of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// Source partition.
    pub partition: u32,
    /// Milliseconds since 1970.
    pub time_max_ms: i64,
}

/// Settings of a watermark.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Name of the source.
    pub name: String,
    /// All partitions of the source: one that has brought nothing holds the watermark back until it counts as idle.
    pub partitions: Vec<u32>,
    /// How much later than the watermark's time an event may come.
    pub delay_ms: i64,
    /// How long a partition may be silent.
    pub idle_timeout_ms: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Progress {
    time_max_ms: Option<i64>,
    active_ms: i64,
}

/// The state and logic of a source's watermark, on its owner.
pub struct Watermark {
    settings: Settings,
    progress: BTreeMap<u32, Progress>,
    watermark_ms: Option<i64>,
    state: tidemill_state::Table,
}

const WATERMARK_KEY: &[u8] = b"watermark";

impl Watermark {
    /// A watermark; reads what was checkpointed.
    ///
    /// # Errors
    /// If state cannot be read.
    pub fn new(settings: Settings, mut state: tidemill_state::Table) -> Result<Self, Error> {
        let (mut progress, mut watermark_ms) = (BTreeMap::new(), None);
        state
            .scan(|_, key, entry| -> Result<(), tidemill_state::Error> {
                let number = |at: usize| {
                    entry
                        .get(at..at + 8)
                        .and_then(|bytes| bytes.try_into().ok())
                        .map_or(0, i64::from_be_bytes)
                };
                if key == WATERMARK_KEY {
                    watermark_ms = Some(number(0));
                } else if let Ok(partition) = key.try_into() {
                    let time_max_ms = (entry.len() == 16).then(|| number(8));
                    progress.insert(
                        u32::from_be_bytes(partition),
                        Progress {
                            time_max_ms,
                            active_ms: number(0),
                        },
                    );
                }
                Ok(())
            })
            .of(&settings.name)?;
        Ok(Self {
            settings,
            progress,
            watermark_ms,
            state,
        })
    }

    /// One epoch: the watermark after it.
    ///
    /// # Errors
    /// If state cannot be written.
    pub fn on_epoch(&mut self, tick: &Tick, facts: &[Fact]) -> Result<Option<i64>, Error> {
        if tick.restored {
            return Ok(self.watermark_ms);
        }
        let group = self.group();
        for &partition in &self.settings.partitions {
            let known = self.progress.get(&partition).copied();
            let mut progress = known.unwrap_or(Progress {
                time_max_ms: None,
                active_ms: tick.clock_ms,
            });
            if let Some(time) = facts
                .iter()
                .filter(|fact| fact.partition == partition)
                .map(|fact| fact.time_max_ms)
                .max()
            {
                progress = Progress {
                    time_max_ms: progress.time_max_ms.max(Some(time)),
                    active_ms: tick.clock_ms,
                };
            }
            if known != Some(progress) {
                self.progress.insert(partition, progress);
                let mut entry = progress.active_ms.to_be_bytes().to_vec();
                entry.extend(
                    progress
                        .time_max_ms
                        .iter()
                        .flat_map(|time| time.to_be_bytes()),
                );
                self.state
                    .put(group, &partition.to_be_bytes(), &entry)
                    .of(&self.settings.name)?;
            }
        }
        let next = watermark(self.progress.values(), tick.clock_ms, &self.settings);
        if next > self.watermark_ms {
            self.watermark_ms = next;
            let bytes = next.unwrap_or(i64::MIN).to_be_bytes();
            self.state
                .put(group, WATERMARK_KEY, &bytes)
                .of(&self.settings.name)?;
        }
        Ok(self.watermark_ms)
    }

    fn group(&self) -> u16 {
        key_group(self.settings.name.as_bytes())
    }
}

fn watermark<'a>(
    progress: impl Iterator<Item = &'a Progress>,
    clock_ms: i64,
    settings: &Settings,
) -> Option<i64> {
    let live = progress
        .filter(|progress| clock_ms.saturating_sub(progress.active_ms) <= settings.idle_timeout_ms);
    // `None` is least: a live partition that has brought nothing holds the watermark back.
    live.map(|progress| progress.time_max_ms)
        .min()
        .flatten()
        .map(|time| time.saturating_sub(settings.delay_ms))
}

/// The source's ticks with its watermark, on every worker.
pub fn watermark_ticks<'scope>(
    facts: Batches<'scope, Fact>,
    ticks: Ticks<'scope>,
    mut owned: Option<Watermark>,
    name: &str,
    failure: Failure,
) -> Ticks<'scope> {
    let owner = owner(name, facts.scope().peers()) as u64;
    let pact = Exchange::new(move |_: &Fact| owner);
    let (ticks, _) = epoch_operator::<_, Tick, (), _, _>(
        facts,
        pact,
        ticks,
        &format!("watermark {name}"),
        failure,
        move |_, tick, facts, output, _| {
            if let Some(watermark) = &mut owned {
                output.push(Tick {
                    watermark: watermark.on_epoch(tick, &facts)?,
                    ..*tick
                });
            }
            Ok(())
        },
    );
    ticks.broadcast()
}

/// The worker that owns a source's watermark: the one that owns the key group of its name, so that its state moves as any other.
#[must_use]
pub fn owner(name: &str, workers: usize) -> usize {
    worker_of(key_group(name.as_bytes()), workers)
}
