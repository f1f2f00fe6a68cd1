//! A source over the simulated Kafka, for readers of committed data.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::RngExt;
use tidemill_connectors_api::{Described, Error, Source, SourceBatch};
use tidemill_types::ErrorKind;

use super::{Faults, Kafka, Topic};

/// How many records of a partition a poll brings at most.
const POLL_RECORDS_MAX: usize = 4;
/// For how many polls a partition may be left out: the end of it is told several times meanwhile.
const POLLS_STARVED: std::ops::Range<u32> = 20..300;

/// A reader of one topic.
pub struct SimSource {
    kafka: Kafka,
    topic: String,
    positions: BTreeMap<u32, i64>,
    /// Those that are not read for now.
    paused: BTreeSet<u32>,
    /// For how many polls a partition is still left out.
    starved: BTreeMap<u32, u32>,
    /// The topic that was opened.
    id: u64,
}

impl SimSource {
    /// A reader that is not open yet.
    pub const fn new(kafka: Kafka, topic: String) -> Self {
        Self {
            kafka,
            topic,
            positions: BTreeMap::new(),
            paused: BTreeSet::new(),
            starved: BTreeMap::new(),
            id: 0,
        }
    }

    fn away(&self) -> Error {
        let message = format!("topic '{}' does not answer; try again", self.topic);
        Error::new(ErrorKind::Retry, message)
    }

    /// Fails if the topic is another one than was opened, or what is to be read next was deleted.
    fn retained(&self, topic: &Topic) -> Result<(), Error> {
        let name = &self.topic;
        if topic.id != self.id {
            let message = format!(
                "topic '{name}' was deleted and made again; start the job under a new name"
            );
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        for (&partition, &at) in &self.positions {
            let start = topic.partitions[partition as usize].start();
            if at < start {
                let message = format!(
                    "partition {partition} of topic '{name}' is retained from offset {start} on, and the job stands at {at}; restore the topic"
                );
                return Err(Error::new(ErrorKind::Invalid, message));
            }
        }
        Ok(())
    }

    /// A call fails now and then.
    fn call(&self) -> Result<(), Error> {
        let mut brokers = self.kafka.lock();
        if brokers.refuses() {
            return Err(self.away());
        }
        Ok(())
    }
}

impl Source for SimSource {
    fn topic(&self) -> &str {
        &self.topic
    }

    fn describe(&mut self) -> Result<Described, Error> {
        self.call()?;
        let brokers = self.kafka.lock();
        let Some(topic) = brokers.topic(&self.topic) else {
            let message = format!("there is no topic '{}'; make it", self.topic);
            return Err(Error::new(ErrorKind::Invalid, message));
        };
        Ok(Described {
            incarnation: topic.id.to_string(),
            partitions: (0..).take(topic.partitions.len()).collect(),
        })
    }

    fn end_offsets(&mut self) -> Result<Vec<(u32, i64)>, Error> {
        self.call()?;
        Ok(self.known_ends())
    }

    fn known_ends(&mut self) -> Vec<(u32, i64)> {
        let brokers = self.kafka.lock();
        let partitions = brokers.topic(&self.topic).map(|topic| &topic.partitions);
        let ends = partitions.into_iter().flatten();
        (0..)
            .zip(ends.map(|log| log.last_stable_offset(&brokers.transactions)))
            .collect()
    }

    fn has_grown(&self) -> bool {
        let brokers = self.kafka.lock();
        let topic = brokers.topic(&self.topic);
        topic.is_some_and(|topic| topic.partitions.len() > self.positions.len())
    }

    fn open(&mut self, positions: &[(u32, Option<i64>)]) -> Result<Vec<(u32, i64)>, Error> {
        self.call()?;
        let brokers = self.kafka.lock();
        let topic = brokers.topic(&self.topic).ok_or_else(|| self.away())?;
        self.positions.clear();
        for &(partition, position) in positions {
            let start = topic.partitions[partition as usize].start();
            let at = position.unwrap_or(start);
            self.positions.insert(partition, at);
        }
        self.id = topic.id;
        self.retained(topic)?;
        Ok(self.positions.clone().into_iter().collect())
    }

    fn poll(&mut self, _: Duration, _: usize, out: &mut Vec<SourceBatch>) -> Result<(), Error> {
        self.call()?;
        let mut brokers = self.kafka.lock();
        if let Some(topic) = brokers.topic(&self.topic) {
            self.retained(topic)?;
        }
        let paused = &self.paused;
        let read = self.positions.iter_mut();
        for (&partition, position) in read.filter(|(partition, _)| !paused.contains(partition)) {
            let Faults {
                leader_away: away,
                starved,
                ..
            } = brokers.faults;
            let left_out = self.starved.entry(partition).or_default();
            *left_out = left_out.saturating_sub(1);
            if brokers.strikes(starved) {
                *left_out = brokers.rng.random_range(POLLS_STARVED);
            }
            if *left_out > 0 && starved > 0 {
                continue;
            }
            let count = brokers.rng.random_range(0..=POLL_RECORDS_MAX);
            if brokers.strikes(away) || count == 0 {
                continue;
            }
            let Some(topic) = brokers.topics.get(&self.topic) else {
                continue;
            };
            let log = &topic.partitions[partition as usize];
            let end = log.last_stable_offset(&brokers.transactions);
            let mut batch = SourceBatch::of(partition);
            for (offset, record) in log.committed(*position, &brokers.transactions).take(count) {
                batch.push(offset, record.key.as_deref(), record.value.as_deref());
                batch.records.timestamps.push(record.timestamp_ms);
            }
            if batch.records.len() < count {
                batch.next_offset = end;
            }
            if batch.next_offset > *position {
                *position = batch.next_offset;
                out.push(batch);
            }
        }
        Ok(())
    }
    fn pause(&mut self, partitions: &[u32]) -> Result<(), Error> {
        self.paused.extend(partitions);
        Ok(())
    }

    fn resume(&mut self) -> Result<(), Error> {
        self.paused.clear();
        Ok(())
    }
}
