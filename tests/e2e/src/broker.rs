//! A real broker of a test, with what jobs read and write there. It is ended when the test process is gone.

use std::path::PathBuf;
use std::process::Command;

use tidemill_connectors_kafka::tools::{Bulk, TopicSpec, create_topics, end_offsets, read_topic};
use tidemill_tests_broker::Setup;

use crate::binaries::{in_clone, scratch};

/// What topics of records of 10 MB need.
const LARGE: (&str, &str) = ("max.message.bytes", "16842752");

/// A broker with its own data and ports.
pub struct Broker(tidemill_tests_broker::Broker);

/// A committed record: key, value (none is a tombstone), and the epoch that wrote it.
pub type Record = (String, Option<String>, u64);

impl Broker {
    /// Starts a broker.
    pub fn start(name: &str) -> Self {
        require("kafka-*/complete", "kafka");
        let data = scratch().join(format!("{name}-{}", std::process::id()));
        Self(tidemill_tests_broker::Broker::start(&data, &Setup::default()).unwrap())
    }

    /// Runs `scripts/kafka.sh` for this broker.
    pub fn script(&self, command: &str) {
        self.0.script(command).unwrap();
    }

    /// Where clients find it.
    pub fn bootstrap(&self) -> String {
        self.0.bootstrap()
    }

    /// Creates a topic that takes records of 10 MB.
    pub fn create_topic(&self, name: &str, partitions: u32) {
        let settings = vec![LARGE];
        let spec = TopicSpec {
            name,
            partitions,
            settings,
        };
        create_topics(&self.bootstrap(), &[spec]).unwrap();
    }

    /// Publishes records to partitions of a topic, in order.
    pub fn publish(&self, topic: &str, records: &[(u32, &[u8])]) {
        let mut producer = Bulk::new(&self.bootstrap()).unwrap();
        for &(partition, value) in records {
            producer
                .produce(topic, Some(partition), None, Some(value))
                .unwrap();
        }
        producer.flush().unwrap();
    }

    /// What readers of committed records see in a topic, partition by partition in order; nothing if it does not exist.
    pub fn committed(&self, topic: &str) -> Vec<Record> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let mut records: Vec<(u32, Record)> = Vec::new();
        let read = read_topic(&self.bootstrap(), topic, true, |record| {
            let epoch = record.epoch.map_or(0, |epoch| epoch.0);
            let record_of = (text(record.key), record.value.map(text), epoch);
            records.push((record.partition, record_of));
        });
        match read {
            Err(error) if error.to_string().contains("does not exist") => {}
            read => read.unwrap(),
        }
        records.sort_by_key(|(partition, _)| *partition);
        records.into_iter().map(|(_, record)| record).collect()
    }

    /// Per partition of a topic the offset after its last record.
    pub fn ends(&self, topic: &str) -> Vec<(u32, i64)> {
        end_offsets(&self.bootstrap(), topic).unwrap()
    }
}

/// The real film titles that the generated studio can use.
pub fn slate() -> PathBuf {
    require("slate/movies.json", "slate")
}

/// A file that `scripts/setup.sh` fetches.
fn require(pattern: &str, part: &str) -> PathBuf {
    let find = format!(
        ". '{}' && ls \"$TIDEMILL_CACHE\"/{pattern}",
        in_clone("scripts/env.sh").display()
    );
    let output = Command::new("bash").args(["-c", &find]).output().unwrap();
    assert!(
        output.status.success(),
        "this test needs what 'scripts/setup.sh {part}' fetches; run that first"
    );
    let found = String::from_utf8(output.stdout).unwrap();
    PathBuf::from(found.lines().next().expect("ls found it"))
}
