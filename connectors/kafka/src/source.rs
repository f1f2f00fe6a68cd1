//! Reads all partitions of one topic at exact positions, in batches.
//!
//! A record without a value is an empty record. While no broker answers, polls find nothing; librdkafka connects again by itself.
//! Besides, every second it is asked, without waiting for the answer, where the partitions end and whether it is still the same topic: one
//! that was deleted and made again has other records at the same offsets. That partitions were added is known from then on; they are read after
//! the next open.

mod watch;

use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode;
use tidemill_connectors_api::{Described, Error, Source, SourceBatch};
use tidemill_types::ErrorKind;

use crate::error::{advice, failed, kind_of};
use crate::native::admin::End;
use crate::native::{FETCH_MESSAGES_MAX, FetchedMessage, Fetcher};
use crate::options::SourceOptions;
use crate::start::Start;
use crate::topics;
use watch::Watch;

/// Marks a partition without a batch in the poll under way.
const NO_BATCH: usize = usize::MAX;
/// How long librdkafka may take to move its own position.
const SEEK_PATIENCE: Duration = Duration::from_secs(10);

/// The reader of one topic.
pub struct KafkaSource {
    options: SourceOptions,
    fetcher: Option<Fetcher>,
    /// True if somebody reads the records' headers.
    with_headers: bool,
    intake: Intake,
    watch: Watch,
    /// An error that came behind records: told by the next poll.
    pending_error: Option<Error>,
}

impl KafkaSource {
    /// A reader that has connected to nothing yet.
    pub fn new(options: SourceOptions, with_headers: bool) -> Self {
        Self {
            options,
            fetcher: None,
            with_headers,
            intake: Intake::default(),
            watch: Watch::default(),
            pending_error: None,
        }
    }

    fn fetcher(&mut self) -> Result<&mut Fetcher, Error> {
        match &mut self.fetcher {
            Some(fetcher) => Ok(fetcher),
            empty => {
                let action = format!(
                    "read topic '{}' from kafka at '{}'",
                    self.options.topic, self.options.bootstrap
                );
                Ok(empty
                    .insert(Fetcher::new(&self.options.client).map_err(|e| failed(&action, &e))?))
            }
        }
    }

    fn hold_back(&mut self, partitions: &[u32], pauses: bool) -> Result<(), Error> {
        let topic = self.options.topic.clone();
        let intake = &self.intake.partitions;
        let positions = partitions
            .iter()
            .map(|&number| (number, intake[number as usize].position));
        let positions: Vec<_> = positions.collect();
        let fetcher = self.fetcher()?;
        let mut held = fetcher.pause(&topic, partitions, pauses);
        if pauses {
            // librdkafka takes the end of a partition for a record that was read, and would go on behind the next one.
            held = held.and_then(|()| fetcher.seek(&topic, &positions, SEEK_PATIENCE));
        }
        held.map_err(|e| failed(&format!("hold back partitions of topic '{topic}'"), &e))
    }
}

impl Source for KafkaSource {
    fn topic(&self) -> &str {
        &self.options.topic
    }

    fn describe(&mut self) -> Result<Described, Error> {
        let (topic, wait) = (self.options.topic.clone(), self.options.topic_wait);
        let fetcher = self.fetcher()?;
        fetcher.drain_events();
        Ok(Described {
            partitions: topics::required_partitions(fetcher, &topic, wait)?,
            incarnation: topics::id(fetcher, &topic)?,
        })
    }

    fn end_offsets(&mut self) -> Result<Vec<(u32, i64)>, Error> {
        let (topic, wait) = (self.options.topic.clone(), self.options.topic_wait);
        let fetcher = self.fetcher()?;
        fetcher.drain_events();
        let partitions = topics::required_partitions(fetcher, &topic, wait)?;
        topics::offsets(fetcher, &topic, &partitions, End::Newest)
    }

    fn known_ends(&mut self) -> Vec<(u32, i64)> {
        self.watch.ends()
    }

    fn has_grown(&self) -> bool {
        self.watch.has_grown()
    }

    fn open(&mut self, positions: &[(u32, Option<i64>)]) -> Result<Vec<(u32, i64)>, Error> {
        let (topic, start) = (self.options.topic.clone(), self.options.start.clone());
        let fetcher = self.fetcher()?;
        let partitions: Vec<u32> = positions.iter().map(|&(partition, _)| partition).collect();
        let incarnation = topics::id(fetcher, &topic)?;
        let oldest = topics::offsets(fetcher, &topic, &partitions, End::Oldest)?;
        let newest = topics::offsets(fetcher, &topic, &partitions, End::Newest)?;
        // Where some partitions are known, the others came later.
        let is_first = positions.iter().all(|(_, position)| position.is_none());
        let start = if is_first { start } else { Start::Earliest };
        let starts = start.positions(fetcher, &topic, &oldest, &newest)?;
        let mut opened = Vec::with_capacity(positions.len());
        for ((&(partition, position), (_, low)), start) in positions.iter().zip(oldest).zip(starts)
        {
            // A position above the end is left to the brokers: just after a new leader was elected, its end may lag behind.
            let position = position.unwrap_or(start);
            if position < low {
                return Err(out_of_range(&topic, partition, position, low));
            }
            opened.push((partition, position));
        }
        fetcher
            .assign(&topic, &opened)
            .map_err(|e| failed(&format!("read topic '{topic}'"), &e))?;
        self.intake = Intake::new(&opened, self.with_headers);
        self.watch = Watch::new(incarnation, newest);
        Ok(opened)
    }

    fn poll(
        &mut self,
        max_wait: Duration,
        max_bytes: usize,
        out: &mut Vec<SourceBatch>,
    ) -> Result<(), Error> {
        if let Some(error) = self.pending_error.take() {
            return Err(error);
        }
        let Some(fetcher) = &mut self.fetcher else {
            return Err(Error::new(
                ErrorKind::Bug,
                "a source was polled before it was opened; report this",
            ));
        };
        fetcher.drain_events();
        self.watch.look(&self.options.topic, fetcher)?;
        let first_batch = out.len();
        self.intake.begin();
        if fetcher.fetch(max_wait, 1, |message| self.intake.take(message, out)) > 0 {
            while self.intake.bytes < max_bytes {
                let wanted = self.intake.messages_within(max_bytes);
                if fetcher.fetch(Duration::ZERO, wanted, |message| {
                    self.intake.take(message, out)
                }) < wanted
                {
                    break;
                }
            }
        }
        self.intake.end(&out[first_batch..]);
        let Some(trouble) = self.intake.trouble.take() else {
            return Ok(());
        };
        let error = trouble.into_error(&self.options.topic, fetcher);
        if out.len() == first_batch {
            return Err(error);
        }
        self.pending_error = Some(error);
        Ok(())
    }
    fn pause(&mut self, partitions: &[u32]) -> Result<(), Error> {
        self.hold_back(partitions, true)
    }

    fn resume(&mut self) -> Result<(), Error> {
        let partitions: Vec<u32> = self.intake.open().collect();
        self.hold_back(&partitions, false)
    }
}

/// Sorts messages into a batch per partition.
#[derive(Default)]
struct Intake {
    partitions: Vec<PartitionIntake>,
    /// True if somebody wants the headers.
    with_headers: bool,
    /// Bytes in the poll under way.
    bytes: usize,
    /// Messages in the poll under way.
    messages: usize,
    /// Bytes of a message, lately.
    message_bytes: usize,
    /// The first trouble in the poll under way.
    trouble: Option<Trouble>,
}

struct PartitionIntake {
    /// The offset to read next.
    position: i64,
    /// Index in the output of the partition's batch.
    batch: usize,
    /// Bytes and records of its last batch: what the next one reserves.
    expected: (usize, usize),
}

impl Intake {
    /// The partitions that are read.
    fn open(&self) -> impl Iterator<Item = u32> {
        let numbered = (0..).zip(&self.partitions);
        numbered
            .filter(|(_, partition)| partition.position >= 0)
            .map(|(number, _)| number)
    }

    fn new(positions: &[(u32, i64)], with_headers: bool) -> Self {
        let count = positions
            .iter()
            .map(|&(partition, _)| partition as usize + 1)
            .max()
            .unwrap_or(0);
        let mut partitions: Vec<_> = (0..count)
            .map(|_| PartitionIntake {
                position: -1,
                batch: NO_BATCH,
                expected: (0, 0),
            })
            .collect();
        for &(partition, position) in positions {
            partitions[partition as usize].position = position;
        }
        Self {
            partitions,
            with_headers,
            ..Self::default()
        }
    }

    fn begin(&mut self) {
        self.bytes = 0;
        self.messages = 0;
    }

    /// How many messages to ask for so that about `max_bytes` come together.
    fn messages_within(&self, max_bytes: usize) -> usize {
        ((max_bytes - self.bytes) / self.message_bytes.max(1)).clamp(1, FETCH_MESSAGES_MAX)
    }

    fn take(&mut self, message: &FetchedMessage<'_>, out: &mut Vec<SourceBatch>) {
        match message.error() {
            None => {
                let (key, value) = (message.key(), message.value());
                let bytes = key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len);
                self.bytes += bytes;
                self.messages += 1;
                let position = message.offset() + 1;
                let with_headers = self.with_headers;
                let batch = self.batch_of(message.partition(), position, out);
                batch.push(message.offset(), key, value);
                batch.records.timestamps.push(message.timestamp_ms());
                if with_headers {
                    message.each_header(|name, value| batch.records.push_header(name, value));
                }
            }
            Some(RDKafkaErrorCode::PartitionEOF) => {
                let position = message.offset();
                if self.partitions[message.partition() as usize].position != position {
                    self.batch_of(message.partition(), position, out)
                        .next_offset = position;
                }
            }
            Some(code) => {
                let (partition, offset) = (
                    message.partition(),
                    self.partitions[message.partition() as usize].position,
                );
                self.trouble.get_or_insert_with(|| Trouble {
                    partition,
                    offset,
                    code,
                    text: message.error_text(),
                });
            }
        }
    }

    fn batch_of<'a>(
        &mut self,
        partition: u32,
        position: i64,
        out: &'a mut Vec<SourceBatch>,
    ) -> &'a mut SourceBatch {
        let intake = &mut self.partitions[partition as usize];
        intake.position = position;
        if intake.batch == NO_BATCH {
            intake.batch = out.len();
            let (bytes, records) = intake.expected;
            let mut batch = SourceBatch::of(partition);
            batch.records.reserve(records, bytes);
            batch.next_offset = position;
            out.push(batch);
        }
        &mut out[intake.batch]
    }

    fn end(&mut self, batches: &[SourceBatch]) {
        for batch in batches {
            let intake = &mut self.partitions[batch.partition() as usize];
            intake.batch = NO_BATCH;
            intake.expected = (batch.records.bytes(), batch.records.len());
        }
        if let Some(mean) = self.bytes.checked_div(self.messages) {
            self.message_bytes = mean;
        }
    }
}

/// What came in the place of a record.
struct Trouble {
    partition: u32,
    offset: i64,
    code: RDKafkaErrorCode,
    text: String,
}

impl Trouble {
    fn into_error(self, topic: &str, fetcher: &Fetcher) -> Error {
        if matches!(
            self.code,
            RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange
        ) {
            return match topics::watermarks(fetcher.client(), topic, self.partition) {
                Ok((low, _)) if self.offset < low => {
                    out_of_range(topic, self.partition, self.offset, low)
                }
                Ok((low, high)) => Error::new(
                    ErrorKind::Invalid,
                    format!(
                        "partition {} of topic '{topic}' has no offset {}: it holds {low} to {high} ({}); was the topic deleted and created again? \
                         bring the old one back, or start the job from nothing",
                        self.partition, self.offset, self.text
                    ),
                ),
                Err(error) => error,
            };
        }
        let kind = kind_of(self.code);
        let message = format!(
            "cannot read partition {} of topic '{topic}' at offset {}: {}; {}",
            self.partition,
            self.offset,
            self.text,
            advice(kind)
        );
        Error::new(kind, message)
    }
}

fn out_of_range(topic: &str, partition: u32, position: i64, low: i64) -> Error {
    Error::new(
        ErrorKind::Invalid,
        format!(
            "partition {partition} of topic '{topic}' is retained from offset {low} on but the job stands at {position}: {} records are gone; \
             copy them back from where they are archived, or start the job from nothing and accept that they are missing; \
             raise the topic's retention.ms or retention.bytes so that it doesn't happen again",
            low - position
        ),
    )
}
