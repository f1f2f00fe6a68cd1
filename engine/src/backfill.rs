//! A source that begins with a history, such as files, and goes on live: all of the one before anything of the other.
//!
//! Promises: where the history ends is fixed when the source is first described, whoever writes to it later; nothing live is read before the
//! history is read to there; so no record is read twice or left out at the seam, whenever the job is killed: both sides have positions like any
//! partition. Does not know where the live system is to begin: its own options say, at the offset or the time up to which the history reaches.

use std::collections::BTreeMap;
use std::time::Duration;

use tidemill_connectors_api::seam::{LIVE, Seam};
use tidemill_connectors_api::{Described, Error, Source, SourceBatch};
use tidemill_types::{ErrorKind, TopicPartition};

/// A history, and what goes on from it.
pub struct Backfill {
    history: Box<dyn Source>,
    live: Box<dyn Source>,
    /// By partition of the history, where it ends.
    ends: BTreeMap<u32, i64>,
    /// By partition of the history, what is read next.
    read: BTreeMap<u32, i64>,
}

impl Backfill {
    /// Neither is described yet.
    pub fn new(history: Box<dyn Source>, live: Box<dyn Source>) -> Self {
        Self {
            history,
            live,
            ends: BTreeMap::new(),
            read: BTreeMap::new(),
        }
    }

    /// True once the history is read to its end.
    fn is_over(&self) -> bool {
        let at = |partition| self.read.get(partition).copied();
        let mut ends = self.ends.iter();
        ends.all(|(partition, end)| at(partition).is_none_or(|at| at >= *end))
    }

    /// What of a batch is before the end.
    fn before_the_end(&mut self, mut batch: SourceBatch) -> SourceBatch {
        let partition = batch.partition();
        let end = self.ends.get(&partition).copied().unwrap_or(0);
        let records = &batch.records;
        let count = records.offsets.partition_point(|&offset| offset < end);
        if count < records.len() {
            batch.records = records.part(0..count);
        }
        batch.next_offset = batch.next_offset.min(end);
        batch.end_offset = batch.end_offset.map(|known| known.min(end));
        batch.is_within &= batch.next_offset < end;
        self.read.insert(partition, batch.next_offset);
        batch
    }

    fn poll_history(
        &mut self,
        max_wait: Duration,
        max_bytes: usize,
        out: &mut Vec<SourceBatch>,
    ) -> Result<(), Error> {
        let mut polled = Vec::new();
        let outcome = self.history.poll(max_wait, max_bytes, &mut polled);
        for batch in polled {
            let at = self.read.get(&batch.partition()).copied();
            // What was written after the end was fixed is not of the history.
            if at.is_some_and(|at| at < self.ends[&batch.partition()]) {
                let mut batch = self.before_the_end(batch);
                known_by(&mut batch, self.history.as_ref());
                out.push(batch);
            }
        }
        outcome
    }

    fn poll_live(
        &mut self,
        max_wait: Duration,
        max_bytes: usize,
        out: &mut Vec<SourceBatch>,
    ) -> Result<(), Error> {
        let first = out.len();
        let outcome = self.live.poll(max_wait, max_bytes, out);
        for batch in &mut out[first..] {
            known_by(batch, self.live.as_ref());
            batch.records.partition += LIVE;
        }
        outcome
    }
}

/// The records' place is that of their own side, which the option `topic` and the number would not tell.
fn known_by(batch: &mut SourceBatch, source: &dyn Source) {
    if batch.records.place.is_none() {
        batch.records.place = Some(source.place(batch.partition()));
    }
}

/// The history's part of what is told by partition, and the live system's, by its own numbers.
fn parted<T: Copy>(both: &[(u32, T)]) -> [Vec<(u32, T)>; 2] {
    let (live, history): (Vec<_>, Vec<_>) = both.iter().partition(|(number, _)| *number >= LIVE);
    let live = live.into_iter().map(|(number, of)| (number - LIVE, of));
    [history, live.collect()]
}

fn joined<T>(history: Vec<(u32, T)>, live: Vec<(u32, T)>) -> Vec<(u32, T)> {
    let live = live.into_iter().map(|(number, of)| (number + LIVE, of));
    history.into_iter().chain(live).collect()
}

impl Source for Backfill {
    fn topic(&self) -> &str {
        self.live.topic()
    }

    fn place(&self, partition: u32) -> TopicPartition {
        match partition.checked_sub(LIVE) {
            Some(partition) => self.live.place(partition),
            None => self.history.place(partition),
        }
    }

    fn describe(&mut self, before: &str) -> Result<Described, Error> {
        let seam = Seam::parse(before);
        let is_another = seam.is_none() && !before.is_empty();
        let before = seam.clone().unwrap_or_default();
        let history = self.history.describe(&before.history)?;
        let live = self.live.describe(&before.live)?;
        // Asked in any case: a source may have to know where its run ends.
        let now = self.history.end_offsets()?;
        let ends = seam.map_or_else(|| now.into_iter().collect(), |seam| seam.ends);
        let mut numbers = history.partitions.iter().copied();
        if let Some(number) = numbers.find(|number| *number >= LIVE) {
            let message = format!(
                "the history '{}' has a partition {number}, and only {LIVE} have numbers",
                self.history.topic()
            );
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        self.ends = ends;
        let mut partitions: Vec<_> = self.ends.keys().copied().collect();
        partitions.extend(live.partitions.iter().map(|partition| partition + LIVE));
        let seam = Seam {
            ends: self.ends.clone(),
            history: history.incarnation,
            live: live.incarnation,
        };
        Ok(Described {
            incarnation: seam.to_string(),
            goes_on: history.goes_on && live.goes_on && !is_another,
            partitions,
        })
    }

    fn end_offsets(&mut self) -> Result<Vec<(u32, i64)>, Error> {
        let history = self.ends.iter().map(|(&number, &end)| (number, end));
        Ok(joined(history.collect(), self.live.end_offsets()?))
    }

    fn known_ends(&mut self) -> Vec<(u32, i64)> {
        // What the history's own would say of now is nothing to who reads to a fixed end.
        let history = self.ends.iter().map(|(&number, &end)| (number, end));
        let history = history.collect();
        joined(history, self.live.known_ends())
    }

    fn has_grown(&self) -> bool {
        self.live.has_grown()
    }

    fn has_transactions(&self) -> bool {
        self.history.has_transactions() || self.live.has_transactions()
    }

    fn open(&mut self, positions: &[(u32, Option<i64>)]) -> Result<Vec<(u32, i64)>, Error> {
        let [history, live] = parted(positions);
        let history = self.history.open(&history)?;
        self.read = history.iter().copied().collect();
        Ok(joined(history, self.live.open(&live)?))
    }

    fn poll(
        &mut self,
        max_wait: Duration,
        max_bytes: usize,
        out: &mut Vec<SourceBatch>,
    ) -> Result<(), Error> {
        if self.is_over() {
            self.poll_live(max_wait, max_bytes, out)
        } else {
            self.poll_history(max_wait, max_bytes, out)
        }
    }

    fn pause(&mut self, partitions: &[u32]) -> Result<(), Error> {
        let [history, live] = parted(&numbers(partitions));
        pause(self.history.as_mut(), &history)?;
        pause(self.live.as_mut(), &live)
    }

    fn resume(&mut self) -> Result<(), Error> {
        self.history.resume()?;
        self.live.resume()
    }

    fn confirm(&mut self, positions: &[(u32, i64)]) -> Result<(), Error> {
        let [history, live] = parted(positions);
        self.history.confirm(&history)?;
        self.live.confirm(&live)
    }
}

fn numbers(partitions: &[u32]) -> Vec<(u32, ())> {
    partitions
        .iter()
        .map(|&partition| (partition, ()))
        .collect()
}

fn pause(source: &mut dyn Source, partitions: &[(u32, ())]) -> Result<(), Error> {
    if partitions.is_empty() {
        return Ok(());
    }
    let partitions: Vec<_> = partitions
        .iter()
        .map(|(partition, ())| *partition)
        .collect();
    source.pause(&partitions)
}
