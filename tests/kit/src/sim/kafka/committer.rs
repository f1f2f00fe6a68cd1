//! A committer over the simulated Kafka: one transaction per commit, the journal record in it.

use tidemill_connectors_api::{Committer, EpochOutput, Error};
use tidemill_types::{Epoch, ErrorKind, OutputRecord};

use super::{Brokers, Delayed, Entry, Kafka, Outcome, Record};

/// The topic of a sink.
pub struct SinkTopic {
    /// Its name.
    pub name: String,
    /// How many partitions it has.
    pub partitions: usize,
    /// What key and value of a record may have together.
    pub record_bytes_max: usize,
}

/// The committer of a job's sinks.
pub struct SimCommitter {
    kafka: Kafka,
    transactional_id: String,
    journal: String,
    sinks: Vec<SinkTopic>,
    /// Present from a fence until a commit fails.
    producer_epoch: Option<u64>,
}

impl SimCommitter {
    /// A committer that is not the owner yet.
    pub fn new(kafka: Kafka, job: &str, sinks: Vec<SinkTopic>) -> Self {
        Self {
            kafka,
            transactional_id: format!("tidemill-{job}"),
            journal: journal_topic(job),
            sinks,
            producer_epoch: None,
        }
    }

    fn write(&self, brokers: &mut Brokers, epoch: &EpochOutput, transaction: u64) {
        for (topic, records) in self.sinks.iter().zip(&epoch.sinks) {
            for record in records.iter() {
                let key = record.key;
                let hash = key.iter().map(|&byte| byte as usize).sum::<usize>();
                let partition = hash % topic.partitions;
                let header = |(name, value): (&[u8], Option<&[u8]>)| {
                    (name.to_vec(), value.unwrap_or_default().to_vec())
                };
                let record = Record {
                    key: (!key.is_empty()).then(|| key.to_vec()),
                    value: record.value.map(<[u8]>::to_vec),
                    epoch: Some(epoch.epoch.0),
                    headers: record.headers.map(header).collect(),
                    timestamp_ms: record.timestamp_ms.unwrap_or(brokers.now_ms),
                };
                brokers
                    .partition(&topic.name, partition)
                    .append(Entry::Record(record), Some(transaction));
            }
        }
    }

    fn write_journal(&self, brokers: &mut Brokers, epoch: Epoch, entry: &[u8], transaction: u64) {
        let record = Record {
            key: None,
            value: Some(entry.to_vec()),
            epoch: Some(epoch.0),
            headers: Vec::new(),
            timestamp_ms: brokers.now_ms,
        };
        brokers
            .partition(&self.journal, 0)
            .append(Entry::Record(record), Some(transaction));
    }

    /// A transaction that writes something.
    fn transaction(&mut self, write: impl FnOnce(&Self, &mut Brokers, u64)) -> Result<(), Error> {
        let Some(producer_epoch) = self.producer_epoch.take() else {
            return Err(retry("there is no producer"));
        };
        let kafka = self.kafka.clone();
        let mut brokers = kafka.lock();
        let faults = brokers.faults;
        if brokers.refuses() {
            return Err(retry("the transaction could not begin"));
        }
        if brokers.producer(&self.transactional_id).epoch != producer_epoch {
            let message = "a newer process of the job took over; this one exits";
            return Err(Error::new(ErrorKind::Fenced, message));
        }
        brokers.write_markers(&self.transactional_id);
        let transaction = brokers.begin();
        brokers.producer(&self.transactional_id).open = Some(transaction);
        write(self, &mut brokers, transaction);
        if brokers.strikes(faults.left_open) {
            return Err(retry("the records were not acknowledged"));
        }
        if brokers.strikes(faults.delayed) {
            brokers.delayed.push(Delayed {
                transactional_id: self.transactional_id.clone(),
                producer_epoch,
                transaction,
            });
            return Err(retry("the commit was not answered in time"));
        }
        if brokers.strikes(faults.unmarked) {
            let producer = brokers.producer(&self.transactional_id);
            producer.prepared = producer.open.take();
        } else {
            brokers.end_of(&self.transactional_id, Outcome::Committed);
        }
        if brokers.strikes(faults.answer_lost) {
            return Err(retry("the connection was lost"));
        }
        self.producer_epoch = Some(producer_epoch);
        Ok(())
    }
}

/// The topic of a job's journal.
#[must_use]
pub fn journal_topic(job: &str) -> String {
    format!("{job}.journal")
}

fn retry(what: &str) -> Error {
    Error::new(
        ErrorKind::Retry,
        format!("{what}; fence and read the journal"),
    )
}

impl Committer for SimCommitter {
    fn fence(&mut self) -> Result<(), Error> {
        let mut brokers = self.kafka.lock();
        if brokers.refuses() {
            return Err(retry("the brokers do not answer"));
        }
        brokers.make_topic_if_missing(&self.journal, 1);
        for topic in &self.sinks {
            brokers.make_topic_if_missing(&topic.name, topic.partitions);
        }
        brokers.write_markers(&self.transactional_id);
        brokers.end_of(&self.transactional_id, Outcome::Aborted);
        let producer = brokers.producer(&self.transactional_id);
        producer.epoch += 1;
        self.producer_epoch = Some(producer.epoch);
        Ok(())
    }

    fn read_journal(&mut self, from: Epoch) -> Result<Vec<Vec<u8>>, Error> {
        let mut brokers = self.kafka.lock();
        if brokers.refuses() {
            return Err(retry("the brokers do not answer"));
        }
        let entries = brokers.committed(&self.journal, 0);
        let newest = entries.len().saturating_sub(1);
        let wanted = entries.into_iter().enumerate().filter(|(i, (_, entry))| {
            *i == newest || entry.epoch.is_some_and(|epoch| epoch >= from.0)
        });
        Ok(wanted
            .map(|(_, (_, entry))| entry.value.clone().unwrap_or_default())
            .collect())
    }

    fn claim(&mut self, epoch: Epoch, claim: &[u8]) -> Result<(), Error> {
        self.transaction(|committer, brokers, transaction| {
            committer.write_journal(brokers, epoch, claim, transaction);
        })
    }

    fn commit(&mut self, epochs: &[EpochOutput]) -> Result<(), Error> {
        for (sink, records) in epochs
            .iter()
            .flat_map(|epoch| self.sinks.iter().zip(&epoch.sinks))
        {
            let bytes =
                |record: OutputRecord<'_>| record.key.len() + record.value.map_or(0, <[u8]>::len);
            let mut bytes = records.iter().map(bytes);
            if bytes.any(|bytes| bytes > sink.record_bytes_max) {
                let message = format!(
                    "topic '{}' cannot take a record of over {} bytes",
                    sink.name, sink.record_bytes_max
                );
                return Err(Error::new(ErrorKind::Invalid, message));
            }
        }
        self.transaction(|committer, brokers, transaction| {
            for epoch in epochs {
                committer.write(brokers, epoch, transaction);
                committer.write_journal(brokers, epoch.epoch, &epoch.journal, transaction);
            }
        })
    }

    fn trim(&mut self, before: Epoch) -> Result<(), Error> {
        let mut brokers = self.kafka.lock();
        let entries = brokers.committed(&self.journal, 0);
        let needed = entries
            .iter()
            .find(|(_, entry)| entry.epoch.is_some_and(|epoch| epoch >= before.0));
        let Some(&(offset, _)) = needed.or(entries.last()) else {
            return Ok(());
        };
        brokers.retain_from(&self.journal.clone(), 0, offset);
        Ok(())
    }

    fn record_bytes_max(&self, sink: usize) -> Option<usize> {
        Some(self.sinks.get(sink)?.record_bytes_max)
    }
}
