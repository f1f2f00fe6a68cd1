//! The contracts of the ports, on the simulated Kafka: whatever stands in for the real one keeps what that keeps.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed, also in its helpers"
)]

use tidemill_connectors_api::{Committer, Connector, Options, SinkSpec, Source, SourceSpec};
use tidemill_tests_contract::{Abilities, World, Written, contracts};
use tidemill_tests_kit::sim::kafka::{Faults, Kafka, SimConnector};
use tidemill_tests_kit::sim::scenario::Fed;
use tidemill_types::Epoch;

struct Simulated(Kafka);

impl Simulated {
    fn new() -> Self {
        Self(Kafka::new(1))
    }
}

fn options(topic: &str) -> Options {
    Options::from([
        ("topic".to_owned(), topic.to_owned()),
        ("partitions".to_owned(), "1".to_owned()),
    ])
}

impl World for Simulated {
    fn abilities(&self) -> Abilities {
        Abilities {
            takes_over: true,
            retains: true,
            tells_growth: true,
            trims_after: 100,
        }
    }

    fn make_topic(&mut self, topic: &str, partitions: u32) {
        self.0.lock().make_topic(topic, partitions as usize);
    }

    fn make_topic_again(&mut self, topic: &str, partitions: u32) {
        self.make_topic(topic, partitions);
    }

    fn add_partitions(&mut self, topic: &str, partitions: u32) {
        let mut brokers = self.0.lock();
        while brokers.topic(topic).unwrap().partitions.len() < partitions as usize {
            brokers.add_partition(topic);
        }
    }

    fn produce(&mut self, topic: &str, partition: u32, values: &[&str]) {
        let mut brokers = self.0.lock();
        for value in values {
            brokers.append(
                topic,
                partition as usize,
                Fed::of(value.as_bytes().to_vec()),
            );
        }
    }

    fn delete_before(&mut self, topic: &str, partition: u32, offset: i64) {
        self.0.lock().retain_from(topic, partition as usize, offset);
    }

    fn source(&mut self, topic: &str) -> Box<dyn Source> {
        let connector = SimConnector(self.0.clone());
        connector
            .source(&SourceSpec::new("job", topic, &options(topic)))
            .unwrap()
    }

    fn matching(&mut self, pattern: &str) -> Option<Box<dyn Source>> {
        let options = Options::from([("topic.pattern".to_owned(), pattern.to_owned())]);
        let connector = SimConnector(self.0.clone());
        let source = connector.source(&SourceSpec::new("job", "matching", &options));
        Some(source.unwrap())
    }

    fn committer(&mut self, job: &str, sink: &str) -> Box<dyn Committer> {
        let spec = SinkSpec {
            name: sink.to_owned(),
            options: options(sink),
            compacted: true,
        };
        SimConnector(self.0.clone())
            .committer(job, &[spec])
            .unwrap()
    }

    fn die_within_a_commit(&mut self, job: &str, sink: &str) {
        self.0.lock().faults = Faults {
            left_open: 1_000,
            ..Faults::NONE
        };
        let mut dying = self.committer(job, sink);
        dying.fence().unwrap();
        dying.claim(Epoch(9), b"half").unwrap_err();
        self.0.lock().faults = Faults::NONE;
    }

    fn written(&mut self, sink: &str) -> Vec<Written> {
        let brokers = self.0.lock();
        let records = brokers.committed(sink, 0).into_iter();
        records
            .map(|(_, record)| {
                let epoch = Epoch(record.epoch.unwrap());
                (
                    epoch,
                    record.key.clone().unwrap_or_default(),
                    record.value.clone(),
                )
            })
            .collect()
    }
}

contracts!(Simulated::new());
