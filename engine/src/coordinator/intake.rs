//! Intake: what the sources have sent and no epoch has taken yet, and how far they were read.

use std::collections::BTreeMap;

use tidemill_checkpoints::{Positions, Record};
use tidemill_connectors_api::SourceBatch;
use tidemill_types::RawRecords;

use crate::replay::Waiting;

/// An epoch's input: batches by source.
pub type Input = BTreeMap<usize, Vec<SourceBatch>>;

/// A partition that has not sent all of a journalled epoch yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missing {
    /// Index of the source.
    pub source: usize,
    /// Partition.
    pub partition: u32,
    /// Where the epoch ends in it.
    pub end: i64,
}

/// Input that no epoch has taken.
#[derive(Debug)]
pub struct Intake {
    /// Names of the sources, in the plan's order.
    names: Vec<String>,
    waiting: Vec<Waiting>,
    bytes: usize,
    records: usize,
    /// After what was read.
    read: Positions,
}

impl Intake {
    /// Nothing waiting; the sources were opened at `positions`.
    pub fn new(names: Vec<String>, positions: Positions) -> Self {
        Self {
            waiting: names.iter().map(|_| Waiting::default()).collect(),
            names,
            bytes: 0,
            records: 0,
            read: positions,
        }
    }

    /// The memory that what waits takes.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Records that wait.
    pub const fn records(&self) -> usize {
        self.records
    }

    /// After what was read.
    pub const fn read(&self) -> &Positions {
        &self.read
    }

    /// How far a partition was read; none if nothing of it came.
    pub fn position(&self, source: usize, partition: u32) -> Option<i64> {
        self.read.get(&self.names[source])?.get(&partition).copied()
    }

    /// Adds what a source sent.
    pub fn push(&mut self, source: usize, batch: SourceBatch) {
        self.records += batch.records.len();
        self.bytes += batch.records.held_bytes();
        self.read
            .entry(self.names[source].clone())
            .or_default()
            .insert(batch.partition(), batch.next_offset);
        self.waiting[source].push(batch);
    }

    /// Takes everything that waits.
    pub fn take_all(&mut self) -> Input {
        (self.bytes, self.records) = (0, 0);
        let batches = self.waiting.iter_mut().map(Waiting::take_all);
        batches.enumerate().collect()
    }

    /// Takes the input of a journalled epoch.
    pub fn take(&mut self, record: &Record) -> Input {
        let mut input = Input::new();
        for (source, name) in self.names.iter().enumerate() {
            for (&partition, &end) in record.positions.get(name).into_iter().flatten() {
                let batches = self.waiting[source].take_until(partition, end);
                let records = || batches.iter().map(|batch| &batch.records);
                self.bytes -= records().map(RawRecords::held_bytes).sum::<usize>();
                self.records -= records().map(RawRecords::len).sum::<usize>();
                input.entry(source).or_default().extend(batches);
            }
        }
        input
    }

    /// The first partition that has not sent all of a journalled epoch, which begins at `before`.
    pub fn missing(&self, record: &Record, before: &Positions) -> Option<Missing> {
        let positions = |(source, name)| {
            let ends = record.positions.get(name).into_iter().flatten();
            ends.map(move |(&partition, &end)| {
                (
                    name,
                    Missing {
                        source,
                        partition,
                        end,
                    },
                )
            })
        };
        let ends = self.names.iter().enumerate().flat_map(positions);
        let mut missing = ends.filter(|(name, missing)| {
            let before = before
                .get(*name)
                .and_then(|positions| positions.get(&missing.partition));
            before != Some(&missing.end)
                && !self.waiting[missing.source].reaches(missing.partition, missing.end)
        });
        missing.next().map(|(_, missing)| missing)
    }

    /// True if every partition was read up to its end, given by source.
    pub fn has_read(&self, ends: &[Vec<(u32, i64)>]) -> bool {
        self.names.iter().zip(ends).all(|(name, ends)| {
            let read = self.read.get(name);
            let at = |partition| read.and_then(|read| read.get(partition)).copied();
            ends.iter()
                .all(|(partition, end)| at(partition).unwrap_or(0) >= *end)
        })
    }
}

#[cfg(test)]
mod tests {
    use tidemill_checkpoints::{Positions, Record};
    use tidemill_connectors_api::SourceBatch;
    use tidemill_types::{Epoch, RawRecords};

    use super::{Intake, Missing};

    fn batch(partition: u32, offsets: std::ops::Range<i64>) -> SourceBatch {
        let mut batch = SourceBatch::of(partition);
        offsets.for_each(|offset| batch.push(offset, None, Some(b"record")));
        batch
    }

    fn intake() -> Intake {
        Intake::new(vec!["a".to_owned(), "b".to_owned()], Positions::new())
    }

    fn positions(of: &[(&str, u32, i64)]) -> Positions {
        let mut positions = Positions::new();
        for &(name, partition, next) in of {
            positions
                .entry(name.to_owned())
                .or_default()
                .insert(partition, next);
        }
        positions
    }

    fn record(epoch: u64, of: &[(&str, u32, i64)]) -> Record {
        Record {
            positions: positions(of),
            ..Record::new(Epoch(epoch), String::new(), String::new(), 0)
        }
    }

    #[test]
    fn an_epoch_takes_everything_that_waits_and_leaves_the_positions() {
        let mut intake = intake();
        intake.push(1, batch(0, 0..3));
        intake.push(0, batch(2, 5..6));
        let held = 4 * (6 + RawRecords::RECORD_BYTES);
        assert_eq!((intake.records(), intake.bytes()), (4, held));
        assert_eq!(intake.take_all().values().flatten().count(), 2);
        assert_eq!((intake.records(), intake.bytes()), (0, 0));
        assert_eq!(intake.read(), &positions(&[("a", 2, 6), ("b", 0, 3)]));
    }

    #[test]
    fn a_journalled_epoch_takes_its_own_part_and_what_follows_stays() {
        let mut intake = intake();
        intake.push(0, batch(0, 0..5));
        let record = record(1, &[("a", 0, 2)]);
        assert_eq!(intake.missing(&record, &Positions::new()), None);
        assert_eq!(intake.take(&record)[&0][0].records.offsets, [0, 1]);
        assert_eq!(intake.records(), 3);
    }

    #[test]
    fn a_partition_that_an_epoch_read_nothing_of_is_not_missed() {
        let mut intake = intake();
        let record = record(2, &[("a", 0, 2), ("b", 1, 7)]);
        let before = positions(&[("a", 0, 2)]);
        let missing = Missing {
            source: 1,
            partition: 1,
            end: 7,
        };
        assert_eq!(intake.missing(&record, &before), Some(missing));
        intake.push(1, batch(1, 0..7));
        assert_eq!(intake.missing(&record, &before), None);
    }

    #[test]
    fn a_bounded_run_has_read_a_partition_at_its_end_even_if_that_is_empty() {
        let mut intake = intake();
        let ends = [vec![(0, 2), (1, 0)], vec![]];
        assert!(!intake.has_read(&ends));
        intake.push(0, batch(0, 0..2));
        assert!(intake.has_read(&ends));
    }
}
