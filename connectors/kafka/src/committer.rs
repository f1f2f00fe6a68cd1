//! Writes the sinks of a job and its journal: one Kafka transaction per commit.
//!
//! A transaction holds the outputs of all its epochs, one journal record per epoch and the source offsets. Its outcome is the journal's last
//! readable record: after any failure the caller fences, which makes the brokers finish or abort what was open, and reads the journal.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::Producer;
use rdkafka::{Offset, TopicPartitionList};
use tidemill_connectors_api::{Committer, EpochOutput, Error, OutputRecords, SourceOffset};
use tidemill_types::{Epoch, ErrorKind};

use crate::error::{advice, failed, kind_of};
use crate::native::{self, Fetcher, ProducedRecord, wire_partition};
use crate::options::{CommitterOptions, SinkOptions, topic_settings};
use crate::producer::{SendError, TopicId, TopicProducer};
use crate::tools::read_to_end;
use crate::topics::{self, TopicSpec};

/// How long a broker may take to answer a new producer.
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long the brokers may take to end what the owner before left open.
const FENCE_WAIT_MAX: Duration = Duration::from_secs(60);
/// How long an abort may take: it only spares readers the wait until the transaction expires.
const ABORT_WAIT_MAX: Duration = Duration::from_secs(5);

/// The committer of all Kafka sinks of a job.
pub struct KafkaCommitter {
    options: CommitterOptions,
    reader: Option<Fetcher>,
    /// Present from a successful fence until a commit fails.
    transactions: Option<Transactions>,
}

impl KafkaCommitter {
    /// A committer that has connected to nothing yet.
    pub const fn new(options: CommitterOptions) -> Self {
        Self {
            options,
            reader: None,
            transactions: None,
        }
    }

    fn create_missing_topics(options: &CommitterOptions, reader: &Fetcher) -> Result<(), Error> {
        let mut missing: BTreeMap<&str, TopicSpec<'_>> = BTreeMap::new();
        let journal_settings = vec![("retention.ms", "-1"), ("retention.bytes", "-1")];
        let journal = (
            options.journal_topic.as_str(),
            1,
            [topic_settings(false), journal_settings].concat(),
        );
        let sinks = options.sinks.iter().map(|sink| {
            (
                sink.topic.as_str(),
                sink.partitions,
                topic_settings(sink.upsert),
            )
        });
        for (name, partitions, settings) in sinks.chain([journal]) {
            if topics::partitions(reader.client(), name)?.is_none() {
                missing.insert(
                    name,
                    TopicSpec {
                        name,
                        partitions,
                        settings,
                    },
                );
            }
        }
        topics::create(
            &options.admin,
            reader.client(),
            &missing.into_values().collect::<Vec<_>>(),
        )
    }
}

impl Committer for KafkaCommitter {
    fn fence(&mut self) -> Result<(), Error> {
        self.transactions = None;
        let options = &self.options;
        let action = format!(
            "become the owner of the job's topics in kafka at '{}'",
            options.bootstrap
        );
        let reader = match &mut self.reader {
            Some(reader) => reader,
            empty => empty.insert(Fetcher::new(&options.reader).map_err(|e| failed(&action, &e))?),
        };
        reader.drain_events();
        Self::create_missing_topics(options, reader)?;
        let mut producer =
            TopicProducer::new(&options.producer).map_err(|e| failed(&action, &e))?;
        let sinks = options
            .sinks
            .iter()
            .map(|sink| producer.topic(&sink.topic))
            .collect::<Result<_, _>>()?;
        let journal = producer.topic(&options.journal_topic)?;
        // With a connection there is somebody to ask for the transaction's coordinator; without, librdkafka looks again after 500 ms.
        let connect = producer
            .client()
            .client()
            .fetch_metadata(Some(&options.journal_topic), CONNECT_WAIT_MAX);
        connect.map_err(|e| failed(&action, &e))?;
        producer
            .client()
            .init_transactions(FENCE_WAIT_MAX)
            .map_err(|e| failed(&action, &e))?;
        self.transactions = Some(Transactions {
            producer,
            sinks,
            journal,
            timeout: options.transaction_timeout,
            known_topics: BTreeMap::new(),
            sent_offsets: Vec::new(),
        });
        Ok(())
    }

    fn read_journal(&mut self) -> Result<Vec<Vec<u8>>, Error> {
        let reader = self.reader.as_mut().ok_or_else(not_fenced)?;
        let mut records = Vec::new();
        read_to_end(reader, &self.options.journal_topic, |record| {
            records.push(record.value.unwrap_or_default().to_vec())
        })?;
        Ok(records)
    }

    fn commit(&mut self, epochs: &[EpochOutput]) -> Result<(), Error> {
        if epochs.is_empty() {
            return Ok(());
        }
        let (Some(mut transactions), Some(reader)) = (self.transactions.take(), &self.reader)
        else {
            return Err(not_fenced());
        };
        reader.drain_events();
        let began = Instant::now();
        match transactions.commit(&self.options, reader, epochs) {
            Ok(()) => {
                self.transactions = Some(transactions);
                Ok(())
            }
            Err(error) if error.kind == ErrorKind::Fenced => {
                Err(fenced(&self.options, began.elapsed(), &error))
            }
            Err(error) => {
                // Without this, readers of the topics wait until the transaction expires. The next fence ends it in any case.
                if let Err(abort) = transactions
                    .producer
                    .client()
                    .abort_transaction(ABORT_WAIT_MAX)
                {
                    tracing::info!(%abort, "could not abort a failed transaction; the next fence does");
                }
                Err(error)
            }
        }
    }
}

fn not_fenced() -> Error {
    Error::new(
        ErrorKind::Retry,
        "there is no open producer; fence first, then read the journal",
    )
}

fn fenced(options: &CommitterOptions, elapsed: Duration, error: &Error) -> Error {
    let expired = if elapsed >= options.transaction_timeout {
        format!(
            ", or the transaction expired: it took {} s, see 'transaction.timeout.ms'",
            elapsed.as_secs()
        )
    } else {
        String::new()
    };
    let message = format!(
        "a newer process of the job took over{expired}; this one exits ({})",
        error.message
    );
    Error::new(ErrorKind::Fenced, message)
}

/// What is open while the job owns its transactional id.
struct Transactions {
    producer: TopicProducer,
    /// In order of the sinks.
    sinks: Vec<TopicId>,
    journal: TopicId,
    timeout: Duration,
    /// Whether this cluster has a source's topic: a source may lie in another one, or be no Kafka at all.
    known_topics: BTreeMap<String, bool>,
    /// What the group's offsets are now.
    sent_offsets: Vec<SourceOffset>,
}

impl Transactions {
    fn commit(
        &mut self,
        options: &CommitterOptions,
        reader: &Fetcher,
        epochs: &[EpochOutput],
    ) -> Result<(), Error> {
        let deadline = Instant::now() + self.timeout;
        let client = || failed_action(options, epochs);
        self.producer
            .client()
            .begin_transaction()
            .map_err(|e| failed(&client(), &e))?;
        for epoch in epochs {
            self.send_epoch(options, epoch, deadline)?;
        }
        if let Some(epoch) = epochs.last() {
            self.send_offsets(reader, &options.group_id, &epoch.source_offsets, deadline)
                .map_err(|e| failed(&client(), &e))?;
        }
        self.producer
            .wait_delivered(deadline)
            .map_err(|e| send_error(options, &e))?;
        self.producer
            .client()
            .commit_transaction(left(deadline))
            .map_err(|e| failed(&client(), &e))
    }

    fn send_epoch(
        &self,
        options: &CommitterOptions,
        output: &EpochOutput,
        deadline: Instant,
    ) -> Result<(), Error> {
        if output.sinks.len() != self.sinks.len() {
            let (got, expected) = (output.sinks.len(), self.sinks.len());
            let message = format!(
                "epoch {} has outputs for {got} sinks but the job has {expected}; report this",
                output.epoch
            );
            return Err(Error::new(ErrorKind::Bug, message));
        }
        for (&topic, records) in self.sinks.iter().zip(&output.sinks) {
            self.send_records(topic, output.epoch, records, deadline)
                .map_err(|e| send_error(options, &e))?;
        }
        let record = ProducedRecord {
            partition: Some(0),
            key: None,
            value: Some(&output.journal),
            epoch: Some(output.epoch),
        };
        self.producer
            .send(self.journal, &record, deadline)
            .map_err(|e| send_error(options, &e))
    }

    fn send_records(
        &self,
        topic: TopicId,
        epoch: Epoch,
        records: &OutputRecords,
        deadline: Instant,
    ) -> Result<(), SendError> {
        for (key, value) in records.iter() {
            // The same input gives the same output: also a record without a key has one place.
            let (partition, key) = if key.is_empty() {
                (Some(0), None)
            } else {
                (None, Some(key))
            };
            self.producer.send(
                topic,
                &ProducedRecord {
                    partition,
                    key,
                    value,
                    epoch: Some(epoch),
                },
                deadline,
            )?;
        }
        Ok(())
    }

    /// Puts the positions that moved, in topics that this cluster has, into the transaction.
    fn send_offsets(
        &mut self,
        reader: &Fetcher,
        group: &str,
        offsets: &[SourceOffset],
        deadline: Instant,
    ) -> Result<(), KafkaError> {
        let mut list = TopicPartitionList::new();
        for offset in offsets {
            if self.sent_offsets.contains(offset) || !self.knows(reader, &offset.topic) {
                continue;
            }
            list.add_partition_offset(
                &offset.topic,
                wire_partition(offset.partition),
                Offset::Offset(offset.next_offset),
            )?;
        }
        if list.count() == 0 {
            return Ok(());
        }
        native::send_offsets(self.producer.client(), group, &list, left(deadline))
            .map_err(KafkaError::Global)?;
        self.sent_offsets = offsets.to_vec();
        Ok(())
    }

    fn knows(&mut self, reader: &Fetcher, topic: &str) -> bool {
        if let Some(&known) = self.known_topics.get(topic) {
            return known;
        }
        // Without an answer the offsets just stay behind: nothing but lag tools reads them.
        let known = matches!(topics::partitions(reader.client(), topic), Ok(Some(_)));
        self.known_topics.insert(topic.to_owned(), known);
        known
    }
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

fn failed_action(options: &CommitterOptions, epochs: &[EpochOutput]) -> String {
    let (first, last) = (
        epochs.first().map_or(Epoch(0), |e| e.epoch),
        epochs.last().map_or(Epoch(0), |e| e.epoch),
    );
    format!(
        "commit epochs {first} to {last} to kafka at '{}'",
        options.bootstrap
    )
}

fn send_error(options: &CommitterOptions, error: &SendError) -> Error {
    let failure = match error {
        SendError::Refused(failure) => failure,
        SendError::Ended(code, text) => {
            let kind = kind_of(*code);
            let message = format!(
                "cannot write to kafka at '{}': {text}; {}",
                options.bootstrap,
                advice(kind)
            );
            return Error::new(kind, message);
        }
        SendError::TimedOut => {
            let message = format!(
                "kafka at '{}' did not acknowledge the records of a commit within {} s; {}",
                options.bootstrap,
                options.transaction_timeout.as_secs(),
                advice(ErrorKind::Retry)
            );
            return Error::new(ErrorKind::Retry, message);
        }
    };
    let topic = &failure.topic;
    let name = match options.sinks.iter().find(|sink| sink.topic == *topic) {
        Some(SinkOptions { name, .. }) => format!("sink '{name}' (topic '{topic}')"),
        None => format!("topic '{topic}'"),
    };
    let kind = kind_of(failure.code);
    let advice = match failure.code {
        RDKafkaErrorCode::MessageSizeTooLarge => {
            "make the row smaller, or raise the topic's max.message.bytes and the sink's option message.max.bytes"
        }
        _ => advice(kind),
    };
    let message = format!(
        "{name} cannot take the record with key '{}': {}; {advice}",
        failure.key, failure.code
    );
    Error::new(kind, message)
}
