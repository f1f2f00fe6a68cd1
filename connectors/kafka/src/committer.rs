//! Writes the sinks of a job and its journal: one Kafka transaction per commit.
//!
//! A transaction holds the outputs of all its epochs and one journal record per epoch; a claim's holds nothing but the claim. Where the sources
//! stand is told to the job's consumer group besides.
//! What is known after a failure is what the journal's readable entries tell: after a fence, which makes the brokers finish or abort what was
//! open, all of it is readable.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::Producer;
use tidemill_connectors_api::{Committer, EpochOutput, Error, OutputRecords};
use tidemill_types::raw::Headers;
use tidemill_types::{Epoch, ErrorKind};

use crate::error::{advice, failed, kind_of};
use crate::group_offsets::GroupOffsets;
use crate::hanging::{self, Ended};
use crate::journal::{self, Marks};
use crate::limits::Limits;
use crate::native::{Fetcher, ProducedRecord};
use crate::options::{CommitterOptions, SinkOptions, topic_settings};
use crate::producer::{SendError, TopicId, TopicProducer};
use crate::topics::{self, TopicSpec};

/// How long a broker may take to answer a new producer.
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long the brokers may take to end what the owner before left open.
const FENCE_WAIT_MAX: Duration = Duration::from_secs(60);
/// How long an abort may take: it only spares readers the wait until the transaction expires.
const ABORT_WAIT_MAX: Duration = Duration::from_secs(5);
/// How often in a row an epoch alone may take longer than a transaction may: then it always will.
const EXPIRED_MAX: u32 = 3;

/// The committer of all Kafka sinks of a job.
pub struct KafkaCommitter {
    options: CommitterOptions,
    // Before the reader, over which it is told.
    group_offsets: Option<GroupOffsets>,
    reader: Option<Fetcher>,
    /// What the topics take; known from the first fence on.
    limits: Option<Limits>,
    marks: Marks,
    /// How the newest transaction before a fence ended, until that is true of every partition.
    newest_end: Option<Ended>,
    /// How often in a row one epoch alone took longer than a transaction may.
    expired: u32,
    /// Present from a successful fence until a commit fails.
    transactions: Option<Transactions>,
}

impl KafkaCommitter {
    /// A committer that has connected to nothing yet.
    pub const fn new(options: CommitterOptions) -> Self {
        Self {
            options,
            group_offsets: None,
            reader: None,
            limits: None,
            marks: Marks::new(),
            newest_end: None,
            expired: 0,
            transactions: None,
        }
    }

    /// The client for reading.
    fn reader<'a>(
        slot: &'a mut Option<Fetcher>,
        options: &CommitterOptions,
    ) -> Result<&'a mut Fetcher, Error> {
        match slot {
            Some(reader) => Ok(reader),
            empty => {
                let action = format!("read the journal in kafka at '{}'", options.bootstrap);
                Ok(empty.insert(Fetcher::new(&options.reader).map_err(|e| failed(&action, &e))?))
            }
        }
    }

    /// What a failed transaction means to the caller.
    fn outcome(&mut self, error: Error, took: Duration, epochs: usize, began: &str) -> Error {
        let timeout = self.options.transaction_timeout;
        let expired = took >= timeout;
        if !(expired && matches!(error.kind, ErrorKind::Fenced | ErrorKind::Retry)) {
            self.expired = 0;
            return if error.kind == ErrorKind::Fenced {
                let message = format!(
                    "a newer process of the job took over; this one exits ({})",
                    error.message
                );
                Error::new(ErrorKind::Fenced, message)
            } else {
                error
            };
        }
        // The brokers fence the owner of a transaction that expired. Whether there is a newer one, the journal says.
        self.expired = if epochs == 1 { self.expired + 1 } else { 0 };
        let limit = format!("'transaction.timeout.ms' ({} ms)", timeout.as_millis());
        if self.expired >= EXPIRED_MAX {
            let message = format!(
                "cannot {began}: {EXPIRED_MAX} times in a row it took longer than {limit}; set that option of the sinks higher (the brokers' \
                 transaction.max.timeout.ms bounds it), or make epochs smaller with --epoch-bytes"
            );
            return Error::new(ErrorKind::Invalid, message);
        }
        let message = format!(
            "cannot {began}: it took {} s, longer than {limit} ({}); it is tried again",
            took.as_secs(),
            error.message
        );
        Error::new(ErrorKind::Retry, message)
    }

    /// Runs one transaction.
    fn transact(
        &mut self,
        epochs: usize,
        action: &str,
        send: impl FnOnce(&Transactions, &CommitterOptions, Instant) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (Some(transactions), Some(reader)) = (self.transactions.take(), &self.reader) else {
            return Err(not_fenced());
        };
        reader.drain_events();
        self.marks.take_answers(reader);
        transactions.has_ended(&self.options, reader)?;
        let began = Instant::now();
        let deadline = began + self.options.transaction_timeout;
        let client = transactions.producer.client();
        let sent = client
            .begin_transaction()
            .map_err(|e| failed(action, &e))
            .and_then(|()| send(&transactions, &self.options, deadline))
            .and_then(|()| transactions.end(&self.options, action, deadline));
        match sent {
            Ok(()) => {
                self.transactions = Some(transactions);
                self.expired = 0;
                Ok(())
            }
            Err(error) => {
                self.marks.forget_questions();
                if error.kind != ErrorKind::Fenced {
                    transactions.abort();
                }
                Err(self.outcome(error, began.elapsed(), epochs, action))
            }
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
                topic_settings(sink.compacted),
            )
        });
        for (name, partitions, settings) in sinks.chain([journal]) {
            if topics::partitions(reader, name)?.is_none() {
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
            reader,
            &missing.into_values().collect::<Vec<_>>(),
        )
    }
}

impl Committer for KafkaCommitter {
    fn read_journal(&mut self, from: Epoch) -> Result<Vec<Vec<u8>>, Error> {
        let reader = Self::reader(&mut self.reader, &self.options)?;
        journal::read(reader, &self.options.journal_topic, from, &mut self.marks)
    }

    fn fence(&mut self) -> Result<(), Error> {
        self.transactions = None;
        let options = &self.options;
        let action = format!(
            "become the owner of the job's topics in kafka at '{}'",
            options.bootstrap
        );
        let reader = Self::reader(&mut self.reader, options)?;
        reader.drain_events();
        Self::create_missing_topics(options, reader)?;
        let limits = match &mut self.limits {
            Some(limits) => limits,
            empty => empty.insert(Limits::ask(options)?),
        };
        let mut producer = TopicProducer::new(&limits.apply(&options.producer))
            .map_err(|e| failed(&action, &e))?;
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
        // Kept from a fence that was not finished: this one would only hear of that.
        if self.newest_end.is_none() {
            self.newest_end = hanging::newest_end(options)?;
        }
        producer
            .client()
            .init_transactions(FENCE_WAIT_MAX)
            .map_err(|e| failed(&action, &e))?;
        hanging::finish(reader, options, self.newest_end)?;
        self.newest_end = None;
        self.transactions = Some(Transactions {
            producer,
            sinks,
            journal,
        });
        Ok(())
    }

    fn claim(&mut self, epoch: Epoch, claim: &[u8]) -> Result<(), Error> {
        let action = format!("claim the journal in kafka at '{}'", self.options.bootstrap);
        self.transact(0, &action, |transactions, options, deadline| {
            transactions.send_entry(options, epoch, claim, deadline)
        })
    }

    fn commit(&mut self, epochs: &[EpochOutput]) -> Result<(), Error> {
        let Some(last) = epochs.last() else {
            return Ok(());
        };
        let action = commit_action(&self.options, epochs);
        self.transact(epochs.len(), &action, |transactions, options, deadline| {
            epochs
                .iter()
                .try_for_each(|epoch| transactions.send_epoch(options, epoch, deadline))
        })?;
        self.marks.committed(last.epoch);
        if let Some(reader) = &self.reader {
            let group = &self.options.group_id;
            let offsets = self
                .group_offsets
                .get_or_insert_with(|| GroupOffsets::new(group, reader));
            offsets.reached(reader, &last.source_offsets);
        }
        Ok(())
    }

    fn trim(&mut self, before: Epoch) -> Result<(), Error> {
        let reader = self.reader.as_ref().ok_or_else(not_fenced)?;
        self.marks.take_answers(reader);
        self.marks.trim(reader, &self.options.journal_topic, before);
        Ok(())
    }

    fn record_bytes_max(&self, sink: usize) -> Option<usize> {
        *self.limits.as_ref()?.record_bytes_max.get(sink)?
    }
}

impl Drop for KafkaCommitter {
    fn drop(&mut self) {
        // One whose last commit failed may be somebody else's job by now.
        if let (Some(offsets), Some(reader), Some(_)) =
            (&mut self.group_offsets, &self.reader, &self.transactions)
        {
            offsets.finish(reader);
        }
    }
}

fn not_fenced() -> Error {
    Error::new(
        ErrorKind::Retry,
        "there is no open producer; fence first, then read the journal",
    )
}

/// What is open while the job owns its transactional id.
struct Transactions {
    producer: TopicProducer,
    /// In order of the sinks.
    sinks: Vec<TopicId>,
    journal: TopicId,
}

impl Transactions {
    /// Fails if the transaction before may be hanging: a connection was lost, and there is no end of it within a moment.
    fn has_ended(&self, options: &CommitterOptions, reader: &Fetcher) -> Result<(), Error> {
        let lost = [
            self.producer.take_trouble(),
            reader.client().context().take_trouble(),
        ];
        if lost == [false, false] {
            return Ok(());
        }
        hanging::await_end(reader, options)
    }

    /// Waits for what was sent, and commits it.
    fn end(
        &self,
        options: &CommitterOptions,
        action: &str,
        deadline: Instant,
    ) -> Result<(), Error> {
        self.producer
            .wait_delivered(deadline)
            .map_err(|e| send_error(options, &e))?;
        self.producer
            .client()
            .commit_transaction(left(deadline))
            .map_err(|e| failed(action, &e))
    }

    /// Without this, readers of the topics wait until the transaction expires. The next fence ends it in any case.
    fn abort(&self) {
        if let Err(abort) = self.producer.client().abort_transaction(ABORT_WAIT_MAX) {
            tracing::info!(%abort, "could not abort a failed transaction; the next fence does");
        }
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
        self.send_entry(options, output.epoch, &output.journal, deadline)
    }

    /// Adds an entry to the journal.
    fn send_entry(
        &self,
        options: &CommitterOptions,
        epoch: Epoch,
        entry: &[u8],
        deadline: Instant,
    ) -> Result<(), Error> {
        let record = ProducedRecord {
            partition: Some(0),
            key: None,
            value: Some(entry),
            epoch: Some(epoch),
            headers: Headers::NONE,
            timestamp_ms: None,
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
        for record in records.iter() {
            // The same input gives the same output: also a record without a key has one place.
            let (partition, key) = if record.key.is_empty() {
                (Some(0), None)
            } else {
                (None, Some(record.key))
            };
            self.producer.send(
                topic,
                &ProducedRecord {
                    partition,
                    key,
                    value: record.value,
                    epoch: Some(epoch),
                    headers: record.headers,
                    timestamp_ms: record.timestamp_ms,
                },
                deadline,
            )?;
        }
        Ok(())
    }
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

fn commit_action(options: &CommitterOptions, epochs: &[EpochOutput]) -> String {
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
        RDKafkaErrorCode::InvalidTimestamp => {
            "let the query give another time to the column of the sink's option timestamp, or widen the topic's message.timestamp.before.max.ms and message.timestamp.after.max.ms"
        }
        _ => advice(kind),
    };
    let message = format!(
        "{name} cannot take the record with key '{}': {}; {advice}",
        failure.key, failure.code
    );
    Error::new(kind, message)
}

#[cfg(test)]
mod tests;
