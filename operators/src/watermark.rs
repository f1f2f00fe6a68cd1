//! Watermark: how far event time has surely come in a source.
//!
//! The watermark of an epoch is the minimum over the source's partitions of the greatest event time seen, minus the declared delay: no event
//! before it is expected any more. An event exactly at the watermark is still in time. It never goes back.
//!
//! A partition that is idle does not hold it back. What is idle the input says ([`Fact::Idle`]): who reads the partitions knows whether there
//! was anything to read. It is said of what came *before* the epoch, so the epoch's own events count only where nothing is idle. While every
//! partition is idle, those that ever brought a time hold each other back as if none were: only the empty ones are left out.
//!
//! One worker owns a source's watermark and tells all others, so that every worker sees the same watermark in the same epoch.
//!
//! State: partition → greatest time; the watermark.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tidemill_types::{key_group, key_group::worker_of};
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::vec::Broadcast;

use crate::error::Context;
use crate::shell::{Batches, epoch_operator};
use crate::{Error, Failure, Tick, Ticks};

/// What an epoch's input says about a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fact {
    /// The greatest event time among some records.
    Time {
        /// Source partition.
        partition: u32,
        /// Milliseconds since 1970.
        time_max_ms: i64,
    },
    /// When everything before the epoch had been read, the partition had had nothing more to read for long enough.
    Idle {
        /// Source partition.
        partition: u32,
    },
    /// The partition was added to the source after the epoch, which is done again.
    Absent {
        /// Source partition.
        partition: u32,
    },
}

/// Settings of a watermark.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Name of the source.
    pub name: String,
    /// All partitions of the source: one that has brought nothing holds the watermark back until it is idle, unless it is absent.
    pub partitions: Vec<u32>,
    /// How much later than the watermark's time an event may come.
    pub delay_ms: i64,
}

/// The state and logic of a source's watermark, on its owner.
///
/// ```
/// use tidemill_operators::Tick;
/// use tidemill_operators::watermark::{Fact, Settings, Watermark};
/// use tidemill_state::Store;
///
/// let dir = tempfile::tempdir()?;
/// let store = Store::open(dir.path(), &tidemill_state::Settings::default())?;
/// let settings = Settings { name: "payment_events".to_owned(), partitions: vec![0, 1], delay_ms: 5 };
/// let mut watermark = Watermark::new(settings, store.table("payment_events/watermark")?)?;
/// let time = |partition, time_max_ms| Fact::Time { partition, time_max_ms };
/// assert_eq!(watermark.on_epoch(&Tick::default(), &[time(0, 100)])?, None);
/// assert_eq!(watermark.on_epoch(&Tick::default(), &[time(0, 200), Fact::Idle { partition: 1 }])?, Some(95));
/// assert_eq!(watermark.on_epoch(&Tick::default(), &[time(1, 300)])?, Some(195));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Watermark {
    settings: Settings,
    /// The greatest time of each partition that has brought one.
    times: BTreeMap<u32, i64>,
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
        let (mut times, mut watermark_ms, mut broken) = (BTreeMap::new(), None, false);
        state
            .scan(|_, key, entry| -> Result<(), tidemill_state::Error> {
                match (key.try_into(), entry.try_into()) {
                    (_, Ok(time)) if key == WATERMARK_KEY => {
                        watermark_ms = Some(i64::from_be_bytes(time));
                    }
                    (Ok(partition), Ok(time)) => {
                        times.insert(u32::from_be_bytes(partition), i64::from_be_bytes(time));
                    }
                    _ => broken = true,
                }
                Ok(())
            })
            .of(&settings.name)?;
        if broken {
            return Err(Error::Entry {
                operator: settings.name,
            });
        }
        Ok(Self {
            settings,
            times,
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
        let (mut idle, mut absent, mut newest) =
            (BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
        for fact in facts {
            match *fact {
                Fact::Absent { partition } => {
                    absent.insert(partition);
                }
                Fact::Idle { partition } => {
                    idle.insert(partition);
                }
                Fact::Time {
                    partition,
                    time_max_ms,
                } => {
                    let time = newest.entry(partition).or_insert(time_max_ms);
                    *time = time_max_ms.max(*time);
                }
            }
        }
        idle.extend(&absent);
        let before = self.reached(&idle);
        for (partition, time_ms) in newest {
            self.advance(partition, time_ms)?;
        }
        let reached = before.max(self.reached(&absent));
        let next = reached.map(|time| time.saturating_sub(self.settings.delay_ms));
        if next > self.watermark_ms {
            self.watermark_ms = next;
            let bytes = next.unwrap_or(i64::MIN).to_be_bytes();
            self.state
                .put(self.group(), WATERMARK_KEY, &bytes)
                .of(&self.settings.name)?;
        }
        Ok(self.watermark_ms)
    }

    fn advance(&mut self, partition: u32, time_ms: i64) -> Result<(), Error> {
        let known = self.times.get(&partition).copied();
        if !self.settings.partitions.contains(&partition) || known >= Some(time_ms) {
            return Ok(());
        }
        self.times.insert(partition, time_ms);
        self.state
            .put(
                self.group(),
                &partition.to_be_bytes(),
                &time_ms.to_be_bytes(),
            )
            .of(&self.settings.name)
    }

    /// The time that all partitions but these have come to; of those that have any, if it is all of them.
    fn reached(&self, idle: &BTreeSet<u32>) -> Option<i64> {
        let time = |partition: &u32| self.times.get(partition).copied();
        let partitions = self.settings.partitions.iter();
        let mut live = partitions
            .clone()
            .filter(|id| !idle.contains(id))
            .peekable();
        if live.peek().is_some() {
            // `None` is least: a live partition that has brought nothing holds the watermark back.
            live.map(time).min().flatten()
        } else {
            partitions.filter_map(time).min()
        }
    }

    fn group(&self) -> u16 {
        key_group(self.settings.name.as_bytes())
    }
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
