//! Input: how it comes to the topics, and what happens to those.

use std::collections::VecDeque;

use rand::RngExt;
use rand::seq::{IndexedRandom, IteratorRandom};

use tidemill_engine::Clock;

use super::World;
use crate::sim::kafka::SimConnector;
use crate::sim::scenario::{Fed, Topic};
use crate::sim::topics::topics_of;

/// Input of a partition that is to come.
pub(super) struct Feed {
    pub(super) topic: String,
    pub(super) partition: usize,
    pub(super) records: VecDeque<Fed>,
}

impl World<'_> {
    /// A stage's input is written, to topics that are made now if no source asks for them by name.
    pub(super) fn feed_all(&mut self, stage: &[Topic]) -> Result<(), String> {
        for topic in stage {
            let mut brokers = self.kafka.lock();
            brokers.make_topic_if_missing(&topic.name, topic.partitions.len());
        }
        let feeds = stage.iter().flat_map(|topic| {
            let partitions = topic.partitions.iter().enumerate();
            partitions.map(|(partition, records)| Feed {
                topic: topic.name.clone(),
                partition,
                records: records.iter().cloned().collect(),
            })
        });
        self.input = feeds.collect();
        while !self.is_refused && self.input.iter().any(|feed| !feed.records.is_empty()) {
            self.turn()?;
        }
        Ok(())
    }

    /// A topic of a source gets another partition, which takes what is still to come of one that was there.
    pub(super) fn grow(&mut self) {
        let Some(at) = (0..self.input.len()).choose(&mut self.rng) else {
            return;
        };
        let topic = self.input[at].topic.clone();
        let mut brokers = self.kafka.lock();
        let partition = brokers.partitions(&topic);
        brokers.add_partition(&topic);
        drop(brokers);
        self.note(format_args!("'{topic}' has partition {partition} now"));
        let records = &mut self.input[at].records;
        let records = records.split_off(records.len() / 2);
        self.input.push(Feed {
            topic,
            partition,
            records,
        });
    }

    /// A topic of a source is deleted and made again. Before the journal knows of it, it would only be another topic.
    pub(super) fn remake(&mut self) {
        if !self.is_all_committed() {
            // The process that is refused may have delivered nothing of what it committed last.
            return;
        }
        let journal = SimConnector::journal_topic(&self.job.name);
        let mut brokers = self.kafka.lock();
        let entries = brokers.committed(&journal, 0);
        let is_known = entries
            .iter()
            .any(|(_, entry)| entry.epoch.is_some_and(|epoch| epoch > 0));
        let Some(source) = self.plan.sources.choose(&mut self.rng) else {
            return;
        };
        if self.is_remade || !is_known {
            return;
        }
        let mut topics = topics_of(source, &brokers).into_iter();
        let Some(topic) = topics.next_back() else {
            return;
        };
        self.is_remade = true;
        let partitions = brokers.partitions(&topic);
        brokers.make_topic(&topic, partitions);
        drop(brokers);
        self.note("a topic is made again");
    }

    /// Producers write all that is still to come of a topic.
    pub(super) fn backlog(&mut self) {
        let Some(topic) = self
            .input
            .choose(&mut self.rng)
            .map(|feed| feed.topic.clone())
        else {
            return;
        };
        let mut brokers = self.kafka.lock();
        brokers.now_ms = self.clock.wall_ms();
        for feed in self.input.iter_mut().filter(|feed| feed.topic == topic) {
            let records: Vec<_> = feed.records.drain(..).collect();
            if brokers.is_database {
                brokers.append_transaction(&feed.topic, feed.partition, &records, true);
                continue;
            }
            for record in records {
                brokers.append(&feed.topic, feed.partition, record);
            }
        }
    }

    /// Producers write some of the input.
    pub(super) fn feed(&mut self) {
        let open: Vec<usize> = (0..self.input.len())
            .filter(|&i| !self.input[i].records.is_empty())
            .collect();
        let Some(&at) = open.choose(&mut self.rng) else {
            return;
        };
        let mut brokers = self.kafka.lock();
        brokers.now_ms = self.clock.wall_ms();
        let feed = &mut self.input[at];
        let count = self.rng.random_range(1..=4).min(feed.records.len());
        let records: Vec<_> = feed.records.drain(..count).collect();
        if self.dangers.aborted_input && self.rng.random_bool(0.3) {
            brokers.append_transaction(&feed.topic, feed.partition, &records, false);
            brokers.append_transaction(&feed.topic, feed.partition, &records, true);
        } else if brokers.is_database {
            brokers.append_transaction(&feed.topic, feed.partition, &records, true);
        } else {
            for record in records {
                brokers.append(&feed.topic, feed.partition, record);
            }
        }
    }
}
