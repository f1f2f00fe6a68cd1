//! What was generated.

use std::collections::BTreeMap;
use std::fmt;

use super::arrival::What;
use super::event::Action;
use super::garbage::Garbage;
use crate::Topic;

/// Counts of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Records in all.
    pub records: u64,
    /// Bytes of their values.
    pub bytes: u64,
    /// Records per topic, as in [`Topic::ALL`].
    pub by_topic: [u64; 6],
    /// Events that create, duplicates not counted.
    pub creates: u64,
    /// Events that update.
    pub updates: u64,
    /// Events that delete.
    pub deletes: u64,
    /// Events that only read.
    pub reads: u64,
    /// Events that arrived later than their time says.
    pub displaced: u64,
    /// Records that repeat an event.
    pub duplicates: u64,
    /// Garbage by kind.
    pub garbage: BTreeMap<Garbage, u64>,
}

impl Summary {
    pub(super) fn count_record(&mut self, topic: Topic, bytes: usize) {
        self.records += 1;
        self.bytes += bytes as u64;
        self.by_topic[topic.index()] += 1;
    }

    pub(super) fn count_garbage(&mut self, garbage: Garbage) {
        *self.garbage.entry(garbage).or_default() += 1;
    }

    pub(super) fn count_event(&mut self, what: What, action: Action) {
        if what == What::Duplicate {
            self.duplicates += 1;
            return;
        }
        self.displaced += u64::from(what == What::Displaced);
        *match action {
            Action::Create => &mut self.creates,
            Action::Update => &mut self.updates,
            Action::Delete => &mut self.deletes,
            Action::Read => &mut self.reads,
        } += 1;
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.bytes += other.bytes;
        for (mine, theirs) in self.by_topic.iter_mut().zip(other.by_topic) {
            *mine += theirs;
        }
        self.creates += other.creates;
        self.updates += other.updates;
        self.deletes += other.deletes;
        self.reads += other.reads;
        self.displaced += other.displaced;
        self.duplicates += other.duplicates;
        for (garbage, count) in &other.garbage {
            *self.garbage.entry(*garbage).or_default() += count;
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let garbage: u64 = self.garbage.values().sum();
        writeln!(f, "{} events, {} bytes", self.records, self.bytes)?;
        for topic in Topic::ALL {
            writeln!(
                f,
                "  {:18} {:>12}",
                topic.name(),
                self.by_topic[topic.index()]
            )?;
        }
        write!(
            f,
            "creates {}, updates {}, deletes {}, reads {}; duplicates {}, out of order {}, garbage {garbage}",
            self.creates, self.updates, self.deletes, self.reads, self.duplicates, self.displaced
        )
    }
}
