//! Where a job's sources stand, told to its consumer group: ordinary lag tools read it there, and nothing else does.
//!
//! Not a part of the transaction: there the whole commit would wait for the group's coordinator, another broker perhaps, for which the client
//! waits without end. So it is told after the commit, without waiting for the answer, at most once in [`INTERVAL`], and for the last time when
//! the committer goes.

use std::time::{Duration, Instant};

use rdkafka::{Offset, TopicPartitionList};
use tidemill_connectors_api::SourceOffset;
use tidemill_types::TopicPartition;

use crate::native::admin::{Answer, Answers, Question};
use crate::native::{Fetcher, wire_partition};

/// How often the group is told.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long its coordinator may take; meanwhile it is told nothing more.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the end waits for it.
const LAST_PATIENCE: Duration = Duration::from_secs(2);

/// What a group is told.
pub struct GroupOffsets {
    group: String,
    answers: Answers,
    told_at: Option<Instant>,
    is_answered: bool,
    told: Vec<SourceOffset>,
    newest: Vec<SourceOffset>,
}

impl GroupOffsets {
    /// Nothing is told yet. Must go before `reader`.
    pub fn new(group: &str, reader: &Fetcher) -> Self {
        Self {
            group: group.to_owned(),
            answers: Answers::new(reader.client()),
            told_at: None,
            is_answered: true,
            told: Vec::new(),
            newest: Vec::new(),
        }
    }

    /// The sources stand here; the group is told so if it is time.
    pub fn reached(&mut self, reader: &Fetcher, offsets: &[SourceOffset]) {
        offsets.clone_into(&mut self.newest);
        while let Some(answer) = self.answers.next(Duration::ZERO) {
            self.is_answered = true;
            if let Answer::Failed(code, reason) = answer {
                // All of it is told again, when it is time.
                self.told.clear();
                tracing::info!(group = self.group, %code, reason, "the group was not told where the sources stand");
            }
        }
        let is_due = self.told_at.is_none_or(|at| at.elapsed() >= INTERVAL);
        if is_due && self.is_answered {
            self.tell(reader, PATIENCE);
        }
    }

    /// Tells what is not told yet, and waits for the answer.
    pub fn finish(&mut self, reader: &Fetcher) {
        self.tell(reader, LAST_PATIENCE);
        if !self.is_answered {
            // Without an answer the group stays behind.
            drop(self.answers.next(LAST_PATIENCE));
        }
    }

    fn tell(&mut self, reader: &Fetcher, patience: Duration) {
        let mut list = TopicPartitionList::new();
        let new = self.newest.iter();
        for offset in new.filter(|offset| !self.told.contains(offset)) {
            let at = Offset::Offset(offset.next_offset);
            let TopicPartition { topic, partition } = &offset.place;
            list.add_partition_offset(topic, wire_partition(*partition), at)
                .expect("an offset is not negative");
        }
        if list.count() == 0 {
            return;
        }
        let question = Question::GroupOffsets(&self.group, &list);
        self.answers.ask(reader.client(), &question, patience);
        self.told_at = Some(Instant::now());
        self.is_answered = false;
        self.told.clone_from(&self.newest);
    }
}
