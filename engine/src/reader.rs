//! Reading: polls one source, keeps together what the system that is read committed together, and tells the status now and then where its
//! partitions end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tidemill_connectors_api::{Source, SourceBatch};
use tidemill_types::ErrorKind;

use crate::confirming::Slot;
use crate::{Clock, Error, Phase, Status};

/// About how much a poll brings.
const POLL_BYTES: usize = 1 << 20;
/// How often the status is told where each partition ends.
const ENDS_INTERVAL: Duration = Duration::from_secs(1);

/// What a poll brought.
#[derive(Debug)]
pub enum Polled {
    /// Batches, perhaps none.
    Batches(Vec<SourceBatch>),
    /// The source is away; it is to be polled again after a while.
    Away,
}

/// How far a source is read again before anything new is needed of it.
#[derive(Debug, Default)]
pub struct Replayed {
    /// Where the newest journalled epoch ends in each partition. Empty: nothing is done again.
    pub ends: BTreeMap<u32, i64>,
    /// How many bytes may be read beyond, and about a poll more, while other partitions are still behind.
    pub ahead_bytes_max: usize,
}

/// Keeps partitions from being read far beyond what is replayed while others are away: what comes of them has to wait in memory.
#[derive(Debug)]
struct Ahead {
    replayed: Replayed,
    /// Bytes that were read beyond.
    bytes: usize,
    /// Partitions of which all that is replayed was read.
    partitions: BTreeSet<u32>,
    paused: BTreeSet<u32>,
}

impl Ahead {
    const fn new(replayed: Replayed) -> Self {
        Self {
            replayed,
            bytes: 0,
            partitions: BTreeSet::new(),
            paused: BTreeSet::new(),
        }
    }

    /// Partitions that are to be paused after these batches were read.
    fn take(&mut self, batches: &[SourceBatch]) -> Vec<u32> {
        for batch in batches.iter().filter(|batch| batch.end_offset.is_none()) {
            let end = self.replayed.ends.get(&batch.partition());
            if end.is_none_or(|&end| batch.next_offset >= end) {
                self.bytes += batch.records.held_bytes();
                self.partitions.insert(batch.partition());
            }
        }
        if self.bytes <= self.replayed.ahead_bytes_max {
            return Vec::new();
        }
        let new: Vec<u32> = self.partitions.difference(&self.paused).copied().collect();
        self.paused.extend(&new);
        new
    }
}

/// Keeps a transaction together: what came of it waits until the rest is there, so that no epoch ends within it.
#[derive(Debug, Default)]
struct Whole {
    /// By partition.
    held: BTreeMap<u32, Vec<SourceBatch>>,
}

impl Whole {
    /// What can go on, now that these came.
    fn take(&mut self, polled: Vec<SourceBatch>) -> Vec<SourceBatch> {
        let mut whole = Vec::with_capacity(polled.len());
        for batch in polled {
            // Where a partition ends says nothing of what was read.
            if batch.end_offset.is_some() {
                whole.push(batch);
            } else if batch.is_within {
                self.held.entry(batch.partition()).or_default().push(batch);
            } else {
                whole.extend(self.held.remove(&batch.partition()).unwrap_or_default());
                whole.push(batch);
            }
        }
        whole
    }
}

/// Reads a source that is open.
pub struct Reader {
    /// Index of the source in the plan.
    index: usize,
    source: Box<dyn Source>,
    status: Arc<Status>,
    clock: Arc<dyn Clock>,
    /// When the status was told of the ends.
    ends_at: Option<Duration>,
    /// Present while journalled epochs are done again.
    ahead: Option<Ahead>,
    whole: Whole,
    /// What the source may forget.
    confirmed: Slot,
}

impl Reader {
    /// A reader of source `index`.
    pub fn new(
        index: usize,
        source: Box<dyn Source>,
        replayed: Replayed,
        confirmed: Slot,
        status: Arc<Status>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            index,
            source,
            status,
            clock,
            ends_at: None,
            ahead: (!replayed.ends.is_empty()).then(|| Ahead::new(replayed)),
            whole: Whole::default(),
            confirmed,
        }
    }

    /// The source's topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        self.source.topic()
    }

    /// True if the source has partitions that the run does not read.
    #[must_use]
    pub fn has_grown(&self) -> bool {
        self.source.has_grown()
    }

    /// Waits up to `wait` for records.
    ///
    /// # Errors
    /// If reading cannot go on.
    pub fn poll(&mut self, wait: Duration) -> Result<Polled, Error> {
        let now = self.clock.now();
        if self.status.phase() != Phase::Recovering
            && let Some(ahead) = self.ahead.take()
            && !ahead.paused.is_empty()
        {
            self.source.resume()?;
        }
        let confirmed = self.confirmed.take();
        if !confirmed.is_empty() {
            self.source.confirm(&confirmed)?;
        }
        let mut batches = Vec::new();
        if self
            .ends_at
            .is_none_or(|at| now.saturating_sub(at) > ENDS_INTERVAL)
        {
            self.ends_at = Some(now);
            let ends = self.source.known_ends();
            self.status.sources[self.index].ends(&ends);
            // They go the way of the records, so that they say something of everything that was read before.
            let end = |&(partition, end)| SourceBatch::end(partition, end);
            batches.extend(ends.iter().map(end));
        }
        let polled = self.source.poll(wait, POLL_BYTES, &mut batches);
        let batches = self.whole.take(batches);
        // Not before it is whole: the rest of a transaction would never come.
        self.hold_back(&batches)?;
        match polled {
            Ok(()) => Ok(Polled::Batches(batches)),
            Err(error) if error.kind() == ErrorKind::Retry && batches.is_empty() => {
                tracing::warn!(topic = self.source.topic(), %error, "the source is away; trying again");
                Ok(Polled::Away)
            }
            // What it brought before it went away counts; the next poll tells again.
            Err(error) if error.kind() == ErrorKind::Retry => Ok(Polled::Batches(batches)),
            Err(error) => Err(error.into()),
        }
    }

    fn hold_back(&mut self, batches: &[SourceBatch]) -> Result<(), Error> {
        let Some(ahead) = &mut self.ahead else {
            return Ok(());
        };
        let paused = ahead.take(batches);
        if !paused.is_empty() {
            tracing::info!(
                topic = self.source.topic(),
                ?paused,
                "partitions are read beyond what is replayed, and wait for the others"
            );
            self.source.pause(&paused)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tidemill_types::RawRecords;

    use super::{Ahead, Replayed, SourceBatch, Whole};

    fn batch(partition: u32, offset: i64) -> SourceBatch {
        let mut batch = SourceBatch::of(partition);
        batch.push(offset, None, Some(&[0; 10]));
        batch
    }

    #[test]
    fn a_transaction_goes_on_when_it_is_whole_and_nobody_else_waits_for_it() {
        let within = |partition, offset| SourceBatch {
            is_within: true,
            ..batch(partition, offset)
        };
        let mut whole = Whole::default();
        let places = |batches: Vec<SourceBatch>| {
            let places = batches.into_iter();
            places
                .map(|batch| (batch.partition(), batch.next_offset))
                .collect::<Vec<_>>()
        };
        let first = whole.take(vec![within(0, 1), batch(1, 7), SourceBatch::end(0, 9)]);
        assert_eq!(places(first), [(1, 8), (0, 0)]);
        assert_eq!(places(whole.take(vec![within(0, 2)])), []);
        let rest = whole.take(vec![batch(0, 3), within(0, 4)]);
        assert_eq!(places(rest), [(0, 2), (0, 3), (0, 4)]);
    }

    #[test]
    fn what_is_ahead_is_held_back_once_there_is_much_of_it_and_what_is_behind_never() {
        let mut ahead = Ahead::new(Replayed {
            ends: [(0, 5), (1, 5)].into(),
            ahead_bytes_max: 2 * (10 + RawRecords::RECORD_BYTES),
        });
        assert!(ahead.take(&[batch(0, 3), batch(0, 4)]).is_empty());
        assert!(
            ahead
                .take(&[batch(0, 5), SourceBatch::end(1, 9)])
                .is_empty()
        );
        assert_eq!(ahead.take(&[batch(0, 6)]), [0], "three records");
        assert!(ahead.take(&[batch(1, 3)]).is_empty(), "it is behind");
        assert_eq!(
            ahead.take(&[batch(1, 4), batch(2, 0)]),
            [1, 2],
            "2 was added later"
        );
    }
}
