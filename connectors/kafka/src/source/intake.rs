//! Sorts what librdkafka hands over into a batch per partition, by the source's numbers.
//!
//! Promises that records of a partition stay in order. A message is told whose it is by its topic's mark and its partition: nothing is
//! allocated for it.

use std::sync::Arc;

use rdkafka::error::RDKafkaErrorCode;
use tidemill_connectors_api::SourceBatch;
use tidemill_types::TopicPartition;

use crate::native::{FETCH_MESSAGES_MAX, FetchedMessage, TopicMark};

/// Marks a partition without a batch in the poll under way, and one that is not read.
const NONE: usize = usize::MAX;

/// The partitions that are read, and the poll under way.
#[derive(Default)]
pub struct Intake {
    partitions: Vec<PartitionIntake>,
    topics: Vec<Topic>,
    /// Topics by the mark that their messages have, the one of the last message first.
    marks: Vec<(TopicMark, usize)>,
    /// True if somebody wants the headers.
    with_headers: bool,
    /// The memory that the messages of the poll under way take, in bytes.
    bytes: usize,
    /// Messages in the poll under way.
    messages: usize,
    /// The same of a message, lately.
    message_bytes: usize,
    /// The first trouble in the poll under way.
    trouble: Option<Trouble>,
}

struct Topic {
    name: Arc<str>,
    /// By partition, where it stands among those that are read.
    partitions: Vec<usize>,
}

struct PartitionIntake {
    /// Its number in the source.
    number: u32,
    place: TopicPartition,
    /// The offset to read next.
    position: i64,
    /// Index in the output of the partition's batch.
    batch: usize,
    /// Bytes and records of its last batch: what the next one reserves.
    expected: (usize, usize),
}

/// What came in the place of a record.
pub struct Trouble {
    /// Where.
    pub place: TopicPartition,
    /// The offset that was to be read next.
    pub offset: i64,
    /// What it is.
    pub code: RDKafkaErrorCode,
    /// librdkafka's words.
    pub text: String,
}

impl Intake {
    /// Of partitions that were opened, by number, place and position.
    pub fn new(opened: Vec<(u32, TopicPartition, i64)>, with_headers: bool) -> Self {
        let mut topics: Vec<Topic> = Vec::new();
        let mut partitions = Vec::with_capacity(opened.len());
        for (index, (number, place, position)) in opened.into_iter().enumerate() {
            let known = topics.iter().position(|topic| topic.name == place.topic);
            let topic = known.unwrap_or_else(|| {
                topics.push(Topic {
                    name: Arc::clone(&place.topic),
                    partitions: Vec::new(),
                });
                topics.len() - 1
            });
            let indices = &mut topics[topic].partitions;
            let at = place.partition as usize;
            indices.resize(indices.len().max(at + 1), NONE);
            indices[at] = index;
            partitions.push(PartitionIntake {
                number,
                place,
                position,
                batch: NONE,
                expected: (0, 0),
            });
        }
        Self {
            partitions,
            topics,
            with_headers,
            ..Self::default()
        }
    }

    /// The numbers of all partitions that are read.
    pub fn open(&self) -> Vec<u32> {
        self.partitions.iter().map(|of| of.number).collect()
    }

    /// Where some of them stand.
    pub fn positions(&self, numbers: &[u32]) -> Vec<(TopicPartition, i64)> {
        let read = self.partitions.iter();
        read.filter(|of| numbers.contains(&of.number))
            .map(|of| (of.place.clone(), of.position))
            .collect()
    }

    /// The memory that the messages of the poll under way take, in bytes.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// A poll begins.
    pub fn begin(&mut self) {
        self.bytes = 0;
        self.messages = 0;
    }

    /// How many messages to ask for so that about `max_bytes` come together.
    pub fn messages_within(&self, max_bytes: usize) -> usize {
        ((max_bytes - self.bytes) / self.message_bytes.max(1)).clamp(1, FETCH_MESSAGES_MAX)
    }

    /// Where the partition of a message stands; none of one that is not read.
    fn index_of(&mut self, message: &FetchedMessage<'_>) -> Option<usize> {
        let mark = message.topic_mark()?;
        let topic = match self.marks.iter().position(|(known, _)| *known == mark) {
            Some(at) => {
                self.marks.swap(0, at);
                self.marks[0].1
            }
            None => {
                let name = message.topic();
                let topic = self.topics.iter().position(|topic| *topic.name == *name)?;
                self.marks.push((mark, topic));
                topic
            }
        };
        let indices = &self.topics[topic].partitions;
        let index = indices.get(message.partition() as usize).copied();
        index.filter(|&index| index != NONE)
    }

    /// Takes a message.
    pub fn take(&mut self, message: &FetchedMessage<'_>, out: &mut Vec<SourceBatch>) {
        let Some(index) = self.index_of(message) else {
            return;
        };
        match message.error() {
            None => {
                let with_headers = self.with_headers;
                let batch = self.batch_of(index, message.offset() + 1, out);
                let held_before = batch.records.held_bytes();
                batch.push(message.offset(), message.key(), message.value());
                batch.records.timestamps.push(message.timestamp_ms());
                if with_headers {
                    message.each_header(|name, value| batch.records.push_header(name, value));
                }
                self.bytes += batch.records.held_bytes() - held_before;
                self.messages += 1;
            }
            Some(RDKafkaErrorCode::PartitionEOF) => {
                let position = message.offset();
                if self.partitions[index].position != position {
                    self.batch_of(index, position, out).next_offset = position;
                }
            }
            Some(code) => {
                let PartitionIntake {
                    place, position, ..
                } = &self.partitions[index];
                self.trouble.get_or_insert_with(|| Trouble {
                    place: place.clone(),
                    offset: *position,
                    code,
                    text: message.error_text(),
                });
            }
        }
    }

    fn batch_of<'a>(
        &mut self,
        index: usize,
        position: i64,
        out: &'a mut Vec<SourceBatch>,
    ) -> &'a mut SourceBatch {
        let intake = &mut self.partitions[index];
        intake.position = position;
        if intake.batch == NONE {
            intake.batch = out.len();
            let (bytes, records) = intake.expected;
            let mut batch = SourceBatch::of(intake.number);
            batch.records.place = Some(intake.place.clone());
            batch.records.reserve(records, bytes);
            batch.next_offset = position;
            out.push(batch);
        }
        &mut out[intake.batch]
    }

    /// The poll is over: what came in the place of a record, if something did.
    pub fn end(&mut self, out: &[SourceBatch]) -> Option<Trouble> {
        for intake in self.partitions.iter_mut().filter(|of| of.batch != NONE) {
            let records = &out[intake.batch].records;
            intake.expected = (records.bytes(), records.len());
            intake.batch = NONE;
        }
        if let Some(mean) = self.bytes.checked_div(self.messages) {
            self.message_bytes = mean;
        }
        self.trouble.take()
    }
}
