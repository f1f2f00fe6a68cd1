//! The studio's events and outputs in Kafka.

use tidemill_connectors_kafka::tools::{Bulk, TopicSpec, create_topics, read_topic};
use tidemill_studio::ports::{OnInput, OnOutput};
use tidemill_studio::{Error, EventSink, InputReader, OutputReader, Topic};

/// Publishes events.
pub struct KafkaSink {
    producer: Bulk,
}

impl KafkaSink {
    /// Creates the topics that do not exist yet.
    pub fn create(
        bootstrap: &str,
        partitions: u32,
    ) -> Result<Self, tidemill_connectors_api::Error> {
        let spec = |topic: Topic| TopicSpec {
            name: topic.name(),
            partitions,
            settings: Vec::new(),
        };
        create_topics(bootstrap, &Topic::ALL.map(spec))?;
        Ok(Self {
            producer: Bulk::new(bootstrap)?,
        })
    }
}

impl EventSink for KafkaSink {
    fn write(
        &mut self,
        topic: Topic,
        partition: u32,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), Error> {
        let produced = self
            .producer
            .produce(topic.name(), Some(partition), Some(key), Some(value));
        produced.map_err(|error| Error::port(topic.name(), error))
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.producer
            .flush()
            .map_err(|error| Error::port("studio.*", error))
    }
}

/// Events and committed outputs of a cluster.
pub struct KafkaTopics {
    bootstrap: String,
}

impl KafkaTopics {
    /// A reader of the cluster's topics.
    pub const fn new(bootstrap: String) -> Self {
        Self { bootstrap }
    }
}

impl InputReader for KafkaTopics {
    fn read(&self, topic: &str, on_record: &mut OnInput<'_>) -> Result<(), Error> {
        let read = read_topic(&self.bootstrap, topic, true, |record| {
            on_record(
                record.partition,
                record.offset,
                record.value.unwrap_or_default(),
            );
        });
        read.map_err(|error| Error::port(topic, error))
    }
}

impl OutputReader for KafkaTopics {
    fn read(&self, topic: &str, on_record: &mut OnOutput<'_>) -> Result<(), Error> {
        let mut foreign = None;
        let read = read_topic(&self.bootstrap, topic, true, |record| match record.epoch {
            Some(epoch) => on_record(
                record.partition,
                record.offset,
                epoch.0,
                record.key,
                record.value,
            ),
            None => foreign = Some((record.partition, record.offset)),
        });
        read.map_err(|error| Error::port(topic, error))?;
        match foreign {
            Some((partition, offset)) => Err(Error::port(
                topic,
                format!(
                    "the record at {partition}/{offset} has no epoch: something else than a job writes here"
                ),
            )),
            None => Ok(()),
        }
    }
}
