//! Events of the studio: six kinds of entities that appear, change, move and go, with the troubles of real streams: duplicates, disorder,
//! bursts of contradicting updates, and garbage.
//!
//! Promises: the records of every partition, and their order over all partitions, depend on the settings alone, not on the number of threads.
//! Every reference in an event points at an entity that was created earlier in event time. Exactly `events` records are written.
//! Does not promise that what a reference points at *arrives* earlier, or that deleted entities stay away (a later update brings one back).
//!
//! How: the state of every entity and the content of every slot is a function of its number and the seed ([`entities`], [`timeline`]).
//! Threads generate blocks of slots in turns; the caller's thread hands them to the sink in order.

mod arrival;
mod draw;
mod entities;
mod event;
mod garbage;
mod json;
pub mod pace;
mod settings;
mod slate;
mod summary;
mod timeline;
mod vocabulary;

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use xxhash_rust::xxh3::xxh3_64;

use crate::{Error, EventSink, Topic};
use arrival::{Quota, What};
use entities::World;
use timeline::Timeline;

pub use garbage::Garbage;
pub use pace::{Pace, Unpaced, WallClock};
pub use settings::{Settings, parse_share};
pub use summary::Summary;

/// Blocks that a thread may be ahead of the sink.
const BLOCKS_AHEAD: usize = 2;

/// Generates the events of some settings.
#[derive(Debug)]
pub struct Generator {
    world: World,
    quota: Quota,
    partitions: u32,
    threads: u64,
}

/// Records in the order of arrival, keys and values in one arena.
struct Block {
    arena: Vec<u8>,
    records: Vec<Record>,
    summary: Summary,
}

struct Record {
    topic: Topic,
    partition: u32,
    arrival: u64,
    key_end: usize,
    value_end: usize,
}

impl Generator {
    /// A generator; generates nothing yet.
    ///
    /// # Errors
    /// [`Error::Setting`] or [`Error::Slate`].
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        settings.check()?;
        let quota = quota(settings);
        let slate = settings.slate.as_deref().map(slate::parse).transpose()?;
        let timeline = Timeline::new(
            settings,
            quota.slots,
            slate.as_ref().map(|films| films.len() as u64),
        )?;
        let world = World::new(settings.seed, timeline, slate);
        Ok(Self {
            world,
            quota,
            partitions: settings.partitions,
            threads: settings.threads as u64,
        })
    }

    /// Hands all events to the sink, each when its event time has come by the pace.
    ///
    /// # Errors
    /// Of the sink.
    pub fn run(&self, sink: &mut dyn EventSink, pace: &mut dyn Pace) -> Result<Summary, Error> {
        let blocks = arrival::blocks(&self.quota);
        let threads = self.threads.min(blocks).max(1);
        std::thread::scope(|scope| {
            let mut lanes = Vec::new();
            for lane in 0..threads {
                let (sender, receiver) = sync_channel(BLOCKS_AHEAD);
                scope.spawn(move || self.generate(lane, threads, blocks, &sender));
                lanes.push(receiver);
            }
            let summary = self.drain(&lanes, blocks, sink, pace)?;
            sink.flush()?;
            Ok(summary)
        })
    }

    /// Every `threads`-th block, from `lane` on.
    fn generate(&self, lane: u64, threads: u64, blocks: u64, sender: &SyncSender<Block>) {
        let mut block = lane;
        // The receiver is gone when the sink failed.
        while block < blocks && sender.send(self.block(block)).is_ok() {
            block += threads;
        }
    }

    fn drain(
        &self,
        lanes: &[Receiver<Block>],
        blocks: u64,
        sink: &mut dyn EventSink,
        pace: &mut dyn Pace,
    ) -> Result<Summary, Error> {
        let mut summary = Summary::default();
        for lane in lanes
            .iter()
            .cycle()
            .take(usize::try_from(blocks).expect("fewer than 2^64 blocks"))
        {
            let block = lane
                .recv()
                .expect("a thread sends all its blocks before it ends");
            let mut start = 0;
            for record in &block.records {
                if let Some(ms) = pace.ahead_ms(self.world.timeline.time_ms(record.arrival)) {
                    sink.flush()?;
                    pace.wait(ms);
                }
                let (key, value) = (
                    &block.arena[start..record.key_end],
                    &block.arena[record.key_end..record.value_end],
                );
                sink.write(record.topic, record.partition, key, value)?;
                start = record.value_end;
            }
            summary.add(&block.summary);
        }
        Ok(summary)
    }

    fn block(&self, block: u64) -> Block {
        use std::io::Write as _;

        let arrivals = arrival::arrivals(self.world.seed, &self.quota, block);
        let mut arena = Vec::with_capacity(arrivals.len() * 280);
        let mut records = Vec::with_capacity(arrivals.len());
        let mut summary = Summary::default();
        for arrival in arrivals {
            let event = self.world.event(arrival.slot);
            let (subject, action) = (event.subject, event.action);
            let start = arena.len();
            write!(arena, "{}", subject.id).expect("a vector takes every byte");
            let key_end = arena.len();
            let partition = u32::try_from(xxh3_64(&arena[start..]) % u64::from(self.partitions))
                .expect("a partition is below 2^32");
            if arrival.what == What::Garbage {
                summary.count_garbage(self.world.write_garbage(arrival.slot, event, &mut arena));
            } else {
                self.world.write(event, &mut arena);
                summary.count_event(arrival.what, action);
            }
            summary.count_record(subject.topic, arena.len() - key_end);
            records.push(Record {
                topic: subject.topic,
                partition,
                arrival: arrival.arrival,
                key_end,
                value_end: arena.len(),
            });
        }
        Block {
            arena,
            records,
            summary,
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "shares were checked to be below 1"
)]
fn quota(settings: &Settings) -> Quota {
    let part = |share: f64| (settings.events as f64 * share).round() as u64;
    let (duplicates, garbage) = (part(settings.duplicates), part(settings.garbage));
    let slots = settings.events.saturating_sub(duplicates + garbage);
    Quota {
        slots,
        displaced: part(settings.disorder).min(slots),
        duplicates,
        garbage,
    }
}

#[cfg(test)]
mod tests;
