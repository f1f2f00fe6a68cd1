//! Helpers around a cluster for the command line, demos and tests: make topics, fill them fast, read them whole.

use std::ops::Range;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminOptions, NewPartitions};
use rdkafka::error::RDKafkaErrorCode;
use tidemill_connectors_api::Error;
use tidemill_types::raw::Headers;
use tidemill_types::{Epoch, ErrorKind, TopicPartition};

use crate::error::{advice, failed, kind_of};
use crate::native::admin::{Answer, Question};
use crate::native::{
    Admin, FETCH_MESSAGES_MAX, FetchedMessage, Fetcher, ProducedRecord, admin_client,
};
use crate::options::{client_config, consumer_config, producer_config};
use crate::producer::{SendError, TopicProducer};
use crate::topics;

pub use crate::topics::TopicSpec;

/// How long records may take to be acknowledged, or the next ones to arrive.
const PROGRESS_WAIT_MAX: Duration = Duration::from_secs(60);

/// A record as it lies in a topic.
#[derive(Debug, Clone, Copy)]
pub struct TopicRecord<'a> {
    /// Partition.
    pub partition: u32,
    /// Offset.
    pub offset: i64,
    /// Key; the empty slice if there is none.
    pub key: &'a [u8],
    /// Value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// The epoch that wrote it, if a job did.
    pub epoch: Option<Epoch>,
}

/// Creates topics with the brokers' default replication; those that exist are left as they are.
///
/// # Errors
/// `Invalid` if the brokers refuse, `Retry` if they don't answer.
pub fn create_topics(bootstrap: &str, specs: &[TopicSpec<'_>]) -> Result<(), Error> {
    let reader = reader(bootstrap, true)?;
    topics::create(&client_config(bootstrap), &reader, specs)
}

/// Deletes a topic, and returns when no broker knows it any more.
///
/// # Errors
/// `Invalid` if the brokers refuse, `Retry` if they don't answer.
pub fn delete_topic(bootstrap: &str, topic: &str) -> Result<(), Error> {
    let action = format!("delete topic '{topic}'");
    let asked = admin(bootstrap, &action)?;
    let results = pollster::block_on(asked.delete_topics(&[topic], &AdminOptions::new()))
        .map_err(|e| failed(&action, &e))?;
    told(&action, results)?;
    let reader = reader(bootstrap, true)?;
    let since = Instant::now();
    while topics::partitions(&reader, topic)?.is_some() {
        if since.elapsed() > PROGRESS_WAIT_MAX {
            return Err(Error::new(
                ErrorKind::Retry,
                format!("topic '{topic}' does not go away; look at the brokers"),
            ));
        }
    }
    Ok(())
}

/// Gives a topic more partitions, so that it has `partitions`, and returns when the brokers know them.
///
/// # Errors
/// `Invalid` if the brokers refuse, `Retry` if they don't answer.
pub fn add_partitions(bootstrap: &str, topic: &str, partitions: u32) -> Result<(), Error> {
    let action = format!("give topic '{topic}' {partitions} partitions");
    let more = NewPartitions::new(topic, partitions as usize);
    let asked = admin(bootstrap, &action)?;
    let results = pollster::block_on(asked.create_partitions(&[more], &AdminOptions::new()))
        .map_err(|e| failed(&action, &e))?;
    told(&action, results)?;
    let reader = reader(bootstrap, true)?;
    let since = Instant::now();
    let known = || {
        let found = topics::partitions(&reader, topic)?;
        Ok::<_, Error>(found.map_or(0, |found| found.len()))
    };
    while known()? < partitions as usize && since.elapsed() < PROGRESS_WAIT_MAX {}
    Ok(())
}

/// Deletes the records of a partition before an offset.
///
/// # Errors
/// `Invalid` if the brokers refuse, `Retry` if they don't answer.
pub fn delete_before(
    bootstrap: &str,
    topic: &str,
    partition: u32,
    offset: i64,
) -> Result<(), Error> {
    let question = Question::DeleteBefore(topic, partition, offset);
    match reader(bootstrap, true)?.ask_now(&question, PROGRESS_WAIT_MAX) {
        Answer::Failed(code, text) => {
            let kind = kind_of(code);
            let message = format!(
                "cannot delete records of topic '{topic}': {text}; {}",
                advice(kind)
            );
            Err(Error::new(kind, message))
        }
        _ => Ok(()),
    }
}

fn admin(bootstrap: &str, action: &str) -> Result<Admin, Error> {
    admin_client(&client_config(bootstrap)).map_err(|e| failed(action, &e))
}

fn told(
    action: &str,
    results: Vec<Result<String, (String, RDKafkaErrorCode)>>,
) -> Result<(), Error> {
    for result in results {
        if let Err((_, code)) = result {
            let kind = kind_of(code);
            let message = format!("cannot {action}: {code}; {}", advice(kind));
            return Err(Error::new(kind, message));
        }
    }
    Ok(())
}

/// For every partition the offset after the last record that `read_committed` readers see.
///
/// # Errors
/// `Invalid` if the topic doesn't exist, `Retry` if the brokers don't answer.
pub fn end_offsets(bootstrap: &str, topic: &str) -> Result<Vec<(u32, i64)>, Error> {
    let reader = reader(bootstrap, true)?;
    let partitions = topics::required_partitions(&reader, topic, Duration::ZERO)?;
    partitions
        .into_iter()
        .map(|partition| {
            Ok((
                partition,
                topics::watermarks(reader.client(), topic, partition)?.1,
            ))
        })
        .collect()
}

/// Asks again and again where topics end for `read_committed` readers, over one connection.
pub struct Ends {
    reader: Fetcher,
    partitions: Vec<(String, u32)>,
}

impl Ends {
    /// For topics that exist.
    ///
    /// # Errors
    /// `Invalid` if a topic doesn't exist, `Retry` if the brokers don't answer.
    pub fn open(bootstrap: &str, topics: &[&str]) -> Result<Self, Error> {
        let reader = reader(bootstrap, true)?;
        let mut partitions = Vec::new();
        for &topic in topics {
            let of_topic = topics::required_partitions(&reader, topic, Duration::ZERO)?;
            partitions.extend(
                of_topic
                    .into_iter()
                    .map(|number| (topic.to_owned(), number)),
            );
        }
        Ok(Self { reader, partitions })
    }

    /// Topic and number of every partition, in the order in which [`Ends::now`] answers: topics as given, partitions by number.
    #[must_use]
    pub fn partitions(&self) -> &[(String, u32)] {
        &self.partitions
    }

    /// For every partition the offset after the last record that is committed now. One after the other: not at one instant.
    ///
    /// # Errors
    /// `Retry` if the brokers don't answer.
    pub fn now(&self) -> Result<Vec<i64>, Error> {
        let end = |(topic, partition): &(String, u32)| {
            Ok(topics::watermarks(self.reader.client(), topic, *partition)?.1)
        };
        self.partitions.iter().map(end).collect()
    }
}

/// Calls `on_record` for every record that a topic holds now, in order within each partition.
///
/// # Errors
/// `Invalid` if the topic doesn't exist, `Retry` if the brokers don't answer, `Corrupt` if a record cannot be read.
pub fn read_topic(
    bootstrap: &str,
    topic: &str,
    read_committed: bool,
    on_record: impl FnMut(TopicRecord<'_>),
) -> Result<(), Error> {
    read_to_end(&mut reader(bootstrap, read_committed)?, topic, on_record)
}

/// Follows a topic: the committed records that become visible after it was opened.
pub struct Tail {
    reader: Fetcher,
    topic: String,
}

impl Tail {
    /// Opens a topic at its end.
    ///
    /// # Errors
    /// `Invalid` if the topic doesn't exist, `Retry` if the brokers don't answer.
    pub fn open(bootstrap: &str, topic: &str) -> Result<Self, Error> {
        let reader = reader(bootstrap, true)?;
        let mut positions = Vec::new();
        for partition in topics::required_partitions(&reader, topic, Duration::ZERO)? {
            let (_, end) = topics::watermarks(reader.client(), topic, partition)?;
            positions.push((TopicPartition::new(topic, partition), end));
        }
        reader
            .assign(&positions)
            .map_err(|e| failed(&format!("read topic '{topic}'"), &e))?;
        Ok(Self {
            reader,
            topic: topic.to_owned(),
        })
    }

    /// Waits up to `max_wait` for records, and calls `on_record` for all that are there; those of a partition in order.
    ///
    /// # Errors
    /// `Corrupt` if a record cannot be read; a connection that is lost is made again.
    pub fn poll(
        &mut self,
        max_wait: Duration,
        mut on_record: impl FnMut(TopicRecord<'_>),
    ) -> Result<(), Error> {
        let mut trouble = None;
        let mut take = |message: &FetchedMessage<'_>| match message.error() {
            None => on_record(TopicRecord {
                partition: message.partition(),
                offset: message.offset(),
                key: message.key().unwrap_or_default(),
                value: message.value(),
                epoch: message.epoch(),
            }),
            Some(RDKafkaErrorCode::PartitionEOF) => {}
            Some(code) => {
                trouble.get_or_insert_with(|| (code, message.error_text()));
            }
        };
        self.reader.drain_events();
        if self.reader.fetch(max_wait, 1, &mut take) > 0 {
            while self
                .reader
                .fetch(Duration::ZERO, FETCH_MESSAGES_MAX, &mut take)
                > 0
            {}
        }
        let Some((code, text)) = trouble else {
            return Ok(());
        };
        let kind = kind_of(code);
        Err(Error::new(
            kind,
            format!(
                "cannot go on reading topic '{}': {code} {text}; {}",
                self.topic,
                advice(kind)
            ),
        ))
    }
}

fn reader(bootstrap: &str, read_committed: bool) -> Result<Fetcher, Error> {
    let mut config = consumer_config(bootstrap);
    config.set(
        "isolation.level",
        if read_committed {
            "read_committed"
        } else {
            "read_uncommitted"
        },
    );
    Fetcher::new(&config).map_err(|e| failed(&format!("read from kafka at '{bootstrap}'"), &e))
}

/// Reads a topic from its oldest record to where it ended when this was called.
fn read_to_end(
    reader: &mut Fetcher,
    topic: &str,
    on_record: impl FnMut(TopicRecord<'_>),
) -> Result<(), Error> {
    let partitions = topics::required_partitions(reader, topic, Duration::ZERO)?;
    let mut ranges = Vec::with_capacity(partitions.len());
    for partition in partitions {
        let (low, high) = topics::watermarks(reader.client(), topic, partition)?;
        ranges.push((partition, low..high));
    }
    read_ranges(reader, topic, &ranges, on_record)
}

/// Reads what lies in these ranges of offsets, by partition.
pub(crate) fn read_ranges(
    reader: &mut Fetcher,
    topic: &str,
    ranges: &[(u32, Range<i64>)],
    mut on_record: impl FnMut(TopicRecord<'_>),
) -> Result<(), Error> {
    let action = |e| failed(&format!("read topic '{topic}'"), &e);
    let count = ranges.iter().map(|(partition, _)| *partition as usize + 1);
    let mut progress = Progress {
        ends: vec![None; count.max().unwrap_or(0)],
        unfinished: 0,
        trouble: None,
    };
    let mut positions = Vec::with_capacity(ranges.len());
    for (partition, range) in ranges.iter().filter(|(_, range)| !range.is_empty()) {
        progress.ends[*partition as usize] = Some(range.end);
        progress.unfinished += 1;
        positions.push((TopicPartition::new(topic, *partition), range.start));
    }
    reader.assign(&positions).map_err(action)?;
    let mut last_arrival = Instant::now();
    while progress.goes_on() {
        reader.drain_events();
        let mut count = reader.fetch(Duration::from_millis(100), 1, |message| {
            progress.take(message, &mut on_record)
        });
        if count > 0 {
            last_arrival = Instant::now();
        } else if last_arrival.elapsed() > PROGRESS_WAIT_MAX {
            progress.trouble = Some((
                RDKafkaErrorCode::OperationTimedOut,
                reader.client().context().problem(),
            ));
        }
        while count > 0 && progress.goes_on() {
            count = reader.fetch(Duration::ZERO, FETCH_MESSAGES_MAX, |message| {
                progress.take(message, &mut on_record)
            });
        }
    }
    reader.assign(&[]).map_err(action)?;
    let Some((code, text)) = progress.trouble else {
        return Ok(());
    };
    let kind = kind_of(code);
    Err(Error::new(
        kind,
        format!(
            "cannot read topic '{topic}' to its end: {code} {text}; {}",
            advice(kind)
        ),
    ))
}

/// How far a topic is read.
struct Progress {
    /// Per partition where to stop, if it isn't reached yet.
    ends: Vec<Option<i64>>,
    unfinished: usize,
    trouble: Option<(RDKafkaErrorCode, String)>,
}

impl Progress {
    const fn goes_on(&self) -> bool {
        self.unfinished > 0 && self.trouble.is_none()
    }

    fn take(&mut self, message: &FetchedMessage<'_>, on_record: &mut impl FnMut(TopicRecord<'_>)) {
        let (partition, offset) = (message.partition(), message.offset());
        let Some(end) = self.ends[partition as usize] else {
            return;
        };
        let position = match message.error() {
            None if offset >= end => end,
            None => {
                let key = message.key().unwrap_or_default();
                on_record(TopicRecord {
                    partition,
                    offset,
                    key,
                    value: message.value(),
                    epoch: message.epoch(),
                });
                offset + 1
            }
            // Beyond the last record there may be transaction markers: only this tells that they are passed.
            Some(RDKafkaErrorCode::PartitionEOF) => offset,
            Some(code) => {
                self.trouble
                    .get_or_insert_with(|| (code, message.error_text()));
                return;
            }
        };
        if position >= end {
            self.ends[partition as usize] = None;
            self.unfinished -= 1;
        }
    }
}

/// Fills topics as fast as the brokers take it: idempotent, without transactions, lz4.
pub struct Bulk {
    producer: TopicProducer,
}

impl Bulk {
    /// A producer for the cluster.
    ///
    /// # Errors
    /// `Invalid` if the settings are not possible.
    pub fn new(bootstrap: &str) -> Result<Self, Error> {
        let mut config = producer_config(bootstrap);
        config.set("linger.ms", "20");
        let producer = TopicProducer::new(&config)
            .map_err(|e| failed(&format!("write to kafka at '{bootstrap}'"), &e))?;
        Ok(Self { producer })
    }

    /// Queues a record; the bytes are copied. Without a partition it goes where the key's hash says.
    ///
    /// # Errors
    /// `Retry` if the brokers take nothing for a minute, `Invalid` if they refuse this record or one before it.
    pub fn produce(
        &mut self,
        topic: &str,
        partition: Option<u32>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<(), Error> {
        let topic = self.producer.topic(topic)?;
        let record = ProducedRecord {
            partition,
            key,
            value,
            epoch: None,
            headers: Headers::NONE,
            timestamp_ms: None,
        };
        self.producer
            .send(topic, &record, Instant::now() + PROGRESS_WAIT_MAX)
            .map_err(|e| bulk_error(&e))
    }

    /// Waits until every record is acknowledged.
    ///
    /// # Errors
    /// As [`Bulk::produce`].
    pub fn flush(&mut self) -> Result<(), Error> {
        self.producer
            .wait_delivered(Instant::now() + PROGRESS_WAIT_MAX)
            .map_err(|e| bulk_error(&e))
    }
}

fn bulk_error(error: &SendError) -> Error {
    match error {
        SendError::TimedOut => Error::new(
            ErrorKind::Retry,
            "the brokers did not acknowledge records in time; look at their logs",
        ),
        SendError::Ended(code, text) => {
            let kind = kind_of(*code);
            Error::new(
                kind,
                format!("cannot write to kafka: {text}; {}", advice(kind)),
            )
        }
        SendError::Refused(failure) => {
            let kind = kind_of(failure.code);
            Error::new(
                kind,
                format!(
                    "topic '{}' cannot take the record with key '{}': {}; {}",
                    failure.topic,
                    failure.key,
                    failure.code,
                    advice(kind)
                ),
            )
        }
    }
}
