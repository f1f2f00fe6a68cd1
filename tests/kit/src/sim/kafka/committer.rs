//! A committer over the simulated Kafka: one transaction per commit, the journal record in it.

use tidemill_connectors_api::{Committer, EpochOutput, Error};
use tidemill_types::ErrorKind;

use super::{Brokers, Delayed, Entry, Kafka, Outcome, Record};

/// The committer of a job's sinks.
pub struct SimCommitter {
    kafka: Kafka,
    transactional_id: String,
    journal: String,
    /// Topic and number of partitions of each sink.
    sinks: Vec<(String, usize)>,
    /// Present from a fence until a commit fails.
    producer_epoch: Option<u64>,
}

impl SimCommitter {
    /// A committer that is not the owner yet.
    pub fn new(kafka: Kafka, job: &str, sinks: Vec<(String, usize)>) -> Self {
        Self {
            kafka,
            transactional_id: format!("tidemill-{job}"),
            journal: journal_topic(job),
            sinks,
            producer_epoch: None,
        }
    }

    fn write(&self, brokers: &mut Brokers, epochs: &[EpochOutput], transaction: u64) {
        for epoch in epochs {
            for ((topic, partitions), records) in self.sinks.iter().zip(&epoch.sinks) {
                for (key, value) in records.iter() {
                    let partition =
                        key.iter().map(|&byte| byte as usize).sum::<usize>() % partitions;
                    let record = Record {
                        key: (!key.is_empty()).then(|| key.to_vec()),
                        value: value.map(<[u8]>::to_vec),
                        epoch: Some(epoch.epoch.0),
                        timestamp_ms: brokers.now_ms,
                    };
                    brokers
                        .partition(topic, partition)
                        .append(Entry::Record(record), Some(transaction));
                }
            }
            let record = Record {
                key: None,
                value: Some(epoch.journal.clone()),
                epoch: Some(epoch.epoch.0),
                timestamp_ms: brokers.now_ms,
            };
            brokers
                .partition(&self.journal, 0)
                .append(Entry::Record(record), Some(transaction));
        }
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
        let refused = brokers.faults.refused;
        if brokers.strikes(refused) {
            return Err(retry("the brokers do not answer"));
        }
        brokers.make_topic_if_missing(&self.journal, 1);
        for (topic, partitions) in &self.sinks {
            brokers.make_topic_if_missing(topic, *partitions);
        }
        brokers.end_of(&self.transactional_id, Outcome::Aborted);
        let producer = brokers.producer(&self.transactional_id);
        producer.epoch += 1;
        self.producer_epoch = Some(producer.epoch);
        Ok(())
    }

    fn read_journal(&mut self) -> Result<Vec<Vec<u8>>, Error> {
        let mut brokers = self.kafka.lock();
        let refused = brokers.faults.refused;
        if brokers.strikes(refused) {
            return Err(retry("the brokers do not answer"));
        }
        let records = brokers.committed(&self.journal, 0);
        Ok(records
            .into_iter()
            .map(|(_, record)| record.value.clone().unwrap_or_default())
            .collect())
    }

    fn commit(&mut self, epochs: &[EpochOutput]) -> Result<(), Error> {
        let Some(producer_epoch) = self.producer_epoch.take() else {
            return Err(retry("there is no producer"));
        };
        let mut brokers = self.kafka.lock();
        let faults = brokers.faults;
        if brokers.strikes(faults.refused) {
            return Err(retry("the transaction could not begin"));
        }
        if brokers.producer(&self.transactional_id).epoch != producer_epoch {
            let message = "a newer process of the job took over; this one exits";
            return Err(Error::new(ErrorKind::Fenced, message));
        }
        let transaction = brokers.begin();
        brokers.producer(&self.transactional_id).open = Some(transaction);
        self.write(&mut brokers, epochs, transaction);
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
        brokers.end_of(&self.transactional_id, Outcome::Committed);
        if brokers.strikes(faults.answer_lost) {
            return Err(retry("the connection was lost"));
        }
        self.producer_epoch = Some(producer_epoch);
        Ok(())
    }
}
