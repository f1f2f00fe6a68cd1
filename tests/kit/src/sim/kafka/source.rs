//! A source over the simulated Kafka, for readers of committed data.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::RngExt;
use tidemill_connectors_api::{Error, Source, SourceBatch};
use tidemill_types::ErrorKind;

use super::Kafka;

/// How many records of a partition a poll brings at most.
const POLL_RECORDS_MAX: usize = 4;

/// A reader of one topic.
pub struct SimSource {
    kafka: Kafka,
    topic: String,
    positions: BTreeMap<u32, i64>,
}

impl SimSource {
    /// A reader that is not open yet.
    pub const fn new(kafka: Kafka, topic: String) -> Self {
        Self {
            kafka,
            topic,
            positions: BTreeMap::new(),
        }
    }

    fn away(&self) -> Error {
        let message = format!("topic '{}' does not answer; try again", self.topic);
        Error::new(ErrorKind::Retry, message)
    }

    /// A call fails now and then.
    fn call(&self) -> Result<(), Error> {
        let mut brokers = self.kafka.lock();
        let refused = brokers.faults.refused;
        if brokers.strikes(refused) {
            return Err(self.away());
        }
        Ok(())
    }
}

impl Source for SimSource {
    fn topic(&self) -> &str {
        &self.topic
    }

    fn partitions(&mut self) -> Result<Vec<u32>, Error> {
        self.call()?;
        let brokers = self.kafka.lock();
        let Some(topic) = brokers.topic(&self.topic) else {
            let message = format!("there is no topic '{}'; make it", self.topic);
            return Err(Error::new(ErrorKind::Invalid, message));
        };
        Ok((0..).take(topic.partitions.len()).collect())
    }

    fn end_offsets(&mut self) -> Result<Vec<(u32, i64)>, Error> {
        self.call()?;
        let brokers = self.kafka.lock();
        let partitions = brokers.topic(&self.topic).map(|topic| &topic.partitions);
        let ends = partitions.into_iter().flatten();
        Ok((0..)
            .zip(ends.map(|log| log.last_stable_offset(&brokers.transactions)))
            .collect())
    }

    fn open(&mut self, positions: &[(u32, Option<i64>)]) -> Result<(), Error> {
        self.call()?;
        let brokers = self.kafka.lock();
        let topic = brokers.topic(&self.topic).ok_or_else(|| self.away())?;
        for &(partition, position) in positions {
            let start = topic.partitions[partition as usize].start();
            let at = position.unwrap_or(start);
            if at < start {
                let message = format!(
                    "offset {at} of partition {partition} of topic '{}' is no longer retained, the oldest is {start}",
                    self.topic
                );
                return Err(Error::new(ErrorKind::Invalid, message));
            }
            self.positions.insert(partition, at);
        }
        Ok(())
    }

    fn poll(&mut self, _: Duration, _: usize, out: &mut Vec<SourceBatch>) -> Result<(), Error> {
        self.call()?;
        let mut brokers = self.kafka.lock();
        for (&partition, position) in &mut self.positions {
            let away = brokers.faults.leader_away;
            let count = brokers.rng.random_range(0..=POLL_RECORDS_MAX);
            if brokers.strikes(away) || count == 0 {
                continue;
            }
            let Some(topic) = brokers.topics.get(&self.topic) else {
                continue;
            };
            let log = &topic.partitions[partition as usize];
            let end = log.last_stable_offset(&brokers.transactions);
            let mut batch = SourceBatch {
                partition,
                ..SourceBatch::default()
            };
            for (offset, record) in log.committed(*position, &brokers.transactions).take(count) {
                batch.push(offset, record.value.as_deref().unwrap_or_default());
            }
            if batch.len() < count {
                batch.next_offset = end;
            }
            if batch.next_offset > *position {
                *position = batch.next_offset;
                out.push(batch);
            }
        }
        Ok(())
    }
}
