//! Watermark: how far event time has surely come in a source.
//!
//! The watermark of an epoch is the minimum over the source's partitions of the greatest event time seen, minus the declared delay. A
//! partition that was silent for longer than the idle timeout does not hold it back; while every partition is idle, or
//! some live partition has brought nothing yet, it stays where it is. It never goes back.
//!
//! One worker owns a source's watermark and tells all others, so that every worker sees the same watermark in the same epoch.
//! Silence is measured while the job runs: of the time between two epochs by their clocks, at most [`SILENCE_STEP_MS_MAX`] counts. After a
//! stop of an hour no partition is idle only because nobody looked.
//!
//! State: partition → awake time at the last event, greatest time; the watermark; and the awake time so far with the last clock.

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
    /// Awake time at the last event.
    active_ms: i64,
}

/// The state and logic of a source's watermark, on its owner.
pub struct Watermark {
    settings: Settings,
    progress: BTreeMap<u32, Progress>,
    watermark_ms: Option<i64>,
    /// How long the job has been awake, and the clock of the last epoch.
    awake: Option<(i64, i64)>,
    state: tidemill_state::Table,
}

const WATERMARK_KEY: &[u8] = b"watermark";
const AWAKE_KEY: &[u8] = b"awake";
/// So much of the time between two epochs counts as silence at most, in milliseconds.
const SILENCE_STEP_MS_MAX: i64 = 5_000;

impl Watermark {
    /// A watermark; reads what was checkpointed.
    ///
    /// # Errors
    /// If state cannot be read.
    pub fn new(settings: Settings, mut state: tidemill_state::Table) -> Result<Self, Error> {
        let (mut progress, mut watermark_ms, mut awake) = (BTreeMap::new(), None, None);
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
                } else if key == AWAKE_KEY {
                    awake = Some((number(0), number(8)));
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
            awake,
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
        let awake_ms = self.stay_awake(tick.clock_ms)?;
        for &partition in &self.settings.partitions {
            let known = self.progress.get(&partition).copied();
            let mut progress = known.unwrap_or(Progress {
                time_max_ms: None,
                active_ms: awake_ms,
            });
            if let Some(time) = facts
                .iter()
                .filter(|fact| fact.partition == partition)
                .map(|fact| fact.time_max_ms)
                .max()
            {
                progress = Progress {
                    time_max_ms: progress.time_max_ms.max(Some(time)),
                    active_ms: awake_ms,
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
        let next = watermark(self.progress.values(), awake_ms, &self.settings);
        if next > self.watermark_ms {
            self.watermark_ms = next;
            let bytes = next.unwrap_or(i64::MIN).to_be_bytes();
            self.state
                .put(group, WATERMARK_KEY, &bytes)
                .of(&self.settings.name)?;
        }
        Ok(self.watermark_ms)
    }

    /// The awake time at an epoch's clock.
    fn stay_awake(&mut self, clock_ms: i64) -> Result<i64, Error> {
        let (awake_ms, last_ms) = self.awake.unwrap_or((0, clock_ms));
        let step_ms = clock_ms
            .saturating_sub(last_ms)
            .clamp(0, SILENCE_STEP_MS_MAX);
        let awake = (awake_ms + step_ms, clock_ms);
        self.awake = Some(awake);
        let entry = [awake.0.to_be_bytes(), awake.1.to_be_bytes()].concat();
        self.state
            .put(self.group(), AWAKE_KEY, &entry)
            .of(&self.settings.name)?;
        Ok(awake.0)
    }

    fn group(&self) -> u16 {
        key_group(self.settings.name.as_bytes())
    }
}

fn watermark<'a>(
    progress: impl Iterator<Item = &'a Progress>,
    awake_ms: i64,
    settings: &Settings,
) -> Option<i64> {
    let live = progress
        .filter(|progress| awake_ms.saturating_sub(progress.active_ms) <= settings.idle_timeout_ms);
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
