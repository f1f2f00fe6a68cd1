//! Puts records back into the topic that they were read from, each once.
//!
//! A topic has a log of what was put back into it, `tidemill.replays.<topic>`: compacted, one partition, an entry per record by its place. A
//! record and its entry are written in one transaction, whose transactional id is the topic's: so there is one replay of a topic at a time, and
//! once it has fenced the one before, the log tells all. The log and not the topic itself is asked, since the topic may be large, may have
//! retained the record no longer, and may be waiting for transactions of others.
//!
//! Promises what [`Replay`] does, for as long as the log is there. Key, value, headers and partition are the record's; its time, too, unless the
//! topic sets times itself (`message.timestamp.type=LogAppendTime`). The header `tidemill-replay-of` is added.
//! Does not: keep an order relative to other records of the topic; they come now.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer};
use serde::{Deserialize, Serialize};
use tidemill_connectors_api::replay::{Place, REPLAY_OF_HEADER};
use tidemill_connectors_api::{Error, Options, Replay, ReplayRecord, SinkSpec, SourceSpec};
use tidemill_types::ErrorKind;

use crate::error::{advice, failed, kind_of};
use crate::hanging;
use crate::native::{Fetcher, wire_partition};
use crate::options::{self, CommitterOptions, topic_settings};
use crate::producer::{SendError, TopicProducer};
use crate::tools::read_ranges;
use crate::topics::{self, TopicSpec};

/// What the names of logs begin with.
const LOG_PREFIX: &str = "tidemill.replays.";
/// Layout of an entry.
const VERSION: u32 = 1;
/// How long the brokers may take to answer a new producer.
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long the brokers may take to end what another replay left open.
const FENCE_WAIT_MAX: Duration = Duration::from_secs(60);
/// How long an abort may take: it only spares readers the wait until the transaction expires.
const ABORT_WAIT_MAX: Duration = Duration::from_secs(5);
/// How long is waited for room in the local queue before it is tried again.
const ROOM_SLICE: Duration = Duration::from_millis(1);

/// What puts records of one topic back.
pub struct KafkaReplay {
    topic: String,
    log: String,
    /// As of a job whose one sink is the topic and whose journal is the log.
    options: CommitterOptions,
    owner: Option<Owner>,
}

/// What is open while this owns the topic's replays.
struct Owner {
    producer: TopicProducer,
    incarnation: String,
    there: BTreeSet<Place>,
}

/// An entry of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    version: u32,
    /// Which topic of that name it was (KIP-516).
    incarnation: String,
    partition: u32,
    offset: i64,
}

impl Entry {
    /// Entries of one place have one key, so that compaction keeps one of each.
    fn key(&self) -> String {
        let Self {
            incarnation,
            partition,
            offset,
            ..
        } = self;
        format!("{incarnation}/{partition}/{offset}")
    }

    fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an entry has only numbers and text")
    }
}

impl KafkaReplay {
    /// Connects to nothing yet.
    pub fn new(spec: &SourceSpec<'_>, topic: &str) -> Result<Self, Error> {
        if !options::SourceOptions::parse(spec)?.topics.takes(topic) {
            return Err(options::invalid(format!(
                "source '{}' does not read topic '{topic}'; name one that it reads",
                spec.name
            )));
        }
        let log = format!("{LOG_PREFIX}{topic}");
        let taken = options::known().sink;
        let mut options: Options = (spec.options.iter())
            .filter(|(name, _)| taken.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        options.insert("topic".to_owned(), topic.to_owned());
        options.insert("journal.topic".to_owned(), log.clone());
        let sink = SinkSpec {
            name: spec.name.to_owned(),
            options,
            compacted: false,
        };
        let options = CommitterOptions::parse(&format!("replay-{topic}"), &[sink])?;
        Ok(Self {
            topic: topic.to_owned(),
            log,
            options,
            owner: None,
        })
    }

    fn reader(&self) -> Result<Fetcher, Error> {
        let action = format!(
            "read '{}' in kafka at '{}'",
            self.log, self.options.bootstrap
        );
        let reader = Fetcher::new(&self.options.reader).map_err(|e| failed(&action, &e))?;
        topics::required_partitions(&reader, &self.topic, Duration::ZERO)?;
        Ok(reader)
    }

    /// The places that the log has of this topic.
    fn read_log(&self, reader: &mut Fetcher, incarnation: &str) -> Result<BTreeSet<Place>, Error> {
        let mut there = BTreeSet::new();
        if topics::partitions(reader, &self.log)?.is_none() {
            return Ok(there);
        }
        let (low, high) = topics::watermarks(reader.client(), &self.log, 0)?;
        let mut unknown = None;
        read_ranges(reader, &self.log, &[(0, low..high)], |record| {
            let value = record.value.unwrap_or_default();
            match serde_json::from_slice::<Entry>(value) {
                Ok(entry) if entry.version == VERSION => {
                    if entry.incarnation == incarnation {
                        there.insert((entry.partition, entry.offset));
                    }
                }
                _ => unknown = Some(record.offset),
            }
        })?;
        match unknown {
            None => Ok(there),
            Some(offset) => {
                let message = format!(
                    "topic '{}' has an entry at offset {offset} that this version cannot read: it was written by another version, or by \
                     something else; use the version that wrote it",
                    self.log
                );
                Err(Error::new(ErrorKind::Invalid, message))
            }
        }
    }

    /// Becomes the only one that puts records of the topic back. After this the log tells all that was.
    fn own(&self) -> Result<Owner, Error> {
        let action = format!(
            "become the only replay of topic '{}' in kafka at '{}'",
            self.topic, self.options.bootstrap
        );
        let mut reader = self.reader()?;
        let incarnation = topics::id(&reader, &self.topic)?;
        if topics::partitions(&reader, &self.log)?.is_none() {
            let spec = TopicSpec {
                name: &self.log,
                partitions: 1,
                settings: topic_settings(true),
            };
            topics::create(&self.options.admin, &reader, &[spec])?;
        }
        let producer = TopicProducer::new(&self.options.producer);
        let producer = producer.map_err(|e| failed(&action, &e))?;
        let client = producer.client();
        let connected = (client.client()).fetch_metadata(Some(&self.log), CONNECT_WAIT_MAX);
        connected.map_err(|e| failed(&action, &e))?;
        let newest_end = hanging::newest_end(&self.options)?;
        let fenced = client.init_transactions(FENCE_WAIT_MAX);
        fenced.map_err(|e| failed(&action, &e))?;
        hanging::finish(&reader, &self.options, newest_end)?;
        let there = self.read_log(&mut reader, &incarnation)?;
        Ok(Owner {
            producer,
            incarnation,
            there,
        })
    }

    fn transact(&self, owner: &Owner, records: &[&ReplayRecord]) -> Result<(), Error> {
        let action = format!(
            "put records back into topic '{}' in kafka at '{}'",
            self.topic, self.options.bootstrap
        );
        let client = owner.producer.client();
        let deadline = Instant::now() + self.options.transaction_timeout;
        client
            .begin_transaction()
            .map_err(|e| failed(&action, &e))?;
        for record in records {
            let headers = self.headers(record);
            let (partition, offset) = record.place;
            let mut produced: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&self.topic)
                .partition(wire_partition(partition))
                .headers(headers);
            produced.key = record.key.as_deref();
            produced.payload = record.value.as_deref();
            produced.timestamp = record.timestamp_ms;
            send(owner, produced, deadline).map_err(|e| failed(&action, &e))?;
            let entry = Entry {
                version: VERSION,
                incarnation: owner.incarnation.clone(),
                partition,
                offset,
            };
            let (key, value) = (entry.key(), entry.encode());
            let entry = BaseRecord::to(&self.log).partition(0);
            let entry: BaseRecord<'_, [u8], [u8]> = entry.key(key.as_bytes()).payload(&value);
            send(owner, entry, deadline).map_err(|e| failed(&action, &e))?;
        }
        owner
            .producer
            .wait_delivered(deadline)
            .map_err(|e| not_delivered(&action, &e))?;
        let left = deadline.saturating_duration_since(Instant::now());
        client
            .commit_transaction(left)
            .map_err(|e| failed(&action, &e))
    }

    /// The record's own, and whose replay it is; of an earlier replay no longer.
    fn headers(&self, record: &ReplayRecord) -> OwnedHeaders {
        let (partition, offset) = record.place;
        let of = format!("{}/{partition}/{offset}", self.topic);
        let own = record.headers.iter();
        let own = own.filter(|header| header.name != REPLAY_OF_HEADER);
        let headers = own.fold(OwnedHeaders::new(), |headers, header| {
            headers.insert(Header {
                key: &header.name,
                value: header.value.as_ref(),
            })
        });
        headers.insert(Header {
            key: REPLAY_OF_HEADER,
            value: Some(&of),
        })
    }
}

impl Replay for KafkaReplay {
    fn put_before(&mut self) -> Result<BTreeSet<Place>, Error> {
        if let Some(owner) = &self.owner {
            return Ok(owner.there.clone());
        }
        let mut reader = self.reader()?;
        let incarnation = topics::id(&reader, &self.topic)?;
        self.read_log(&mut reader, &incarnation)
    }

    fn put_back(&mut self, records: &[ReplayRecord]) -> Result<Vec<Place>, Error> {
        let mut owner = match self.owner.take() {
            Some(owner) => owner,
            None => self.own()?,
        };
        let mut put = BTreeSet::new();
        let is_new = |record: &&ReplayRecord| {
            !owner.there.contains(&record.place) && put.insert(record.place)
        };
        let records: Vec<_> = records.iter().filter(is_new).collect();
        if !records.is_empty() {
            self.transact(&owner, &records).inspect_err(|error| {
                let aborted = owner.producer.client().abort_transaction(ABORT_WAIT_MAX);
                if let (Err(abort), true) = (aborted, error.kind != ErrorKind::Fenced) {
                    tracing::info!(%abort, "could not abort a failed transaction; the next replay does");
                }
            })?;
            owner.there.extend(&put);
        }
        self.owner = Some(owner);
        Ok(put.into_iter().collect())
    }
}

/// Queues a record, waiting for room until `deadline`.
fn send(
    owner: &Owner,
    mut record: BaseRecord<'_, [u8], [u8]>,
    deadline: Instant,
) -> Result<(), KafkaError> {
    const FULL: KafkaError = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
    let client = owner.producer.client();
    loop {
        match client.send(record) {
            Ok(()) => return Ok(()),
            Err((error, back)) if error == FULL && Instant::now() < deadline => {
                client.poll(ROOM_SLICE);
                record = back;
            }
            Err((error, _)) => return Err(error),
        }
    }
}

fn not_delivered(action: &str, error: &SendError) -> Error {
    let (kind, why) = match error {
        SendError::Refused(failure) => {
            let kind = kind_of(failure.code);
            let why = format!(
                "topic '{}' cannot take the record with key '{}': {}",
                failure.topic, failure.key, failure.code
            );
            (kind, why)
        }
        SendError::Ended(code, text) => (kind_of(*code), text.clone()),
        SendError::TimedOut => {
            let why = "the records were not acknowledged in time".to_owned();
            (ErrorKind::Retry, why)
        }
    };
    Error::new(kind, format!("cannot {action}: {why}; {}", advice(kind)))
}

#[cfg(test)]
mod tests {
    use super::{Entry, VERSION};

    #[test]
    fn an_entry_is_these_bytes() {
        let entry = Entry {
            version: VERSION,
            incarnation: "lJFyXNoGTuuYXCGsR3VXug".to_owned(),
            partition: 3,
            offset: 9_007_199_254_740_993,
        };
        let text = r#"{"version":1,"incarnation":"lJFyXNoGTuuYXCGsR3VXug","partition":3,"offset":9007199254740993}"#;
        assert_eq!(String::from_utf8(entry.encode()).unwrap(), text);
        assert_eq!(serde_json::from_str::<Entry>(text).unwrap(), entry);
        assert_eq!(entry.key(), "lJFyXNoGTuuYXCGsR3VXug/3/9007199254740993");
    }
}
