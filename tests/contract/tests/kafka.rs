//! The contracts, on a real Kafka.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed, also in its helpers"
)]

#[path = "../../../connectors/kafka/tests/broker/mod.rs"]
mod broker;

use std::time::Duration;

use broker::Broker;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use tidemill_connectors_api::{Committer, Connector, Options, SinkSpec, Source, SourceSpec};
use tidemill_connectors_kafka::Kafka;
use tidemill_connectors_kafka::tools::{
    Bulk, add_partitions, delete_before, delete_topic, read_topic,
};
use tidemill_tests_contract::{Abilities, World, Written, contracts};

struct Real(&'static Broker);

impl Real {
    fn new() -> Self {
        Self(broker::shared())
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.0.bootstrap());
        config
    }

    fn options(&self, topic: &str) -> Options {
        Options::from([
            ("bootstrap.servers".to_owned(), self.0.bootstrap()),
            ("topic".to_owned(), topic.to_owned()),
        ])
    }
}

impl World for Real {
    fn abilities(&self) -> Abilities {
        Abilities {
            takes_over: true,
            retains: true,
            tells_growth: true,
            trims_after: 3_000,
        }
    }

    fn make_topic(&mut self, topic: &str, partitions: u32) {
        self.0.create_topic(topic, partitions, &[]);
    }

    fn make_topic_again(&mut self, topic: &str, partitions: u32) {
        delete_topic(&self.0.bootstrap(), topic).unwrap();
        self.make_topic(topic, partitions);
    }

    fn add_partitions(&mut self, topic: &str, partitions: u32) {
        add_partitions(&self.0.bootstrap(), topic, partitions).unwrap();
    }

    fn produce(&mut self, topic: &str, partition: u32, values: &[&str]) {
        let mut bulk = Bulk::new(&self.0.bootstrap()).unwrap();
        for value in values {
            bulk.produce(topic, Some(partition), None, Some(value.as_bytes()))
                .unwrap();
        }
        bulk.flush().unwrap();
    }

    fn delete_before(&mut self, topic: &str, partition: u32, offset: i64) {
        delete_before(&self.0.bootstrap(), topic, partition, offset).unwrap();
    }

    fn source(&mut self, topic: &str) -> Box<dyn Source> {
        Kafka
            .source(&SourceSpec::new("job", topic, &self.options(topic)))
            .unwrap()
    }

    fn matching(&mut self, pattern: &str) -> Option<Box<dyn Source>> {
        let mut options = self.options("");
        options.remove("topic");
        options.insert("topic.pattern".to_owned(), pattern.to_owned());
        Some(
            Kafka
                .source(&SourceSpec::new("job", "matching", &options))
                .unwrap(),
        )
    }

    fn committer(&mut self, job: &str, sink: &str) -> Box<dyn Committer> {
        let mut options = self.options(sink);
        options.insert("partitions".to_owned(), "1".to_owned());
        let spec = SinkSpec {
            name: sink.to_owned(),
            options,
            compacted: true,
        };
        Kafka.committer(job, &[spec]).unwrap()
    }

    fn die_within_a_commit(&mut self, job: &str, sink: &str) {
        let id = format!("tidemill-{job}");
        let producer: BaseProducer = self.config().set("transactional.id", id).create().unwrap();
        producer.init_transactions(Duration::from_secs(30)).unwrap();
        producer.begin_transaction().unwrap();
        for topic in [sink, &format!("tidemill.journal.{job}")] {
            let record = BaseRecord::to(topic).partition(0).key("1").payload("half");
            producer.send(record).unwrap();
        }
        producer.flush(Duration::from_secs(30)).unwrap();
        // Dropped with its transaction open, as a process that is killed leaves it.
    }

    fn written(&mut self, sink: &str) -> Vec<Written> {
        let mut written = Vec::new();
        read_topic(&self.0.bootstrap(), sink, true, |record| {
            let value = record.value.map(<[u8]>::to_vec);
            written.push((record.epoch.unwrap(), record.key.to_vec(), value));
        })
        .unwrap();
        written
    }
}

contracts!(Real::new());
