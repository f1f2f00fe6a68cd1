//! One source over several topics of a real Kafka, some of which come to be while the job runs: every record counts once, by its own topic, and
//! what could not be read is named and put back there. Needs `scripts/setup.sh kafka`.

#![expect(
    clippy::unwrap_used,
    reason = "what a test cannot go on without fails it"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;
use tidemill_connectors_kafka::tools::delete_topic;
use tidemill_tests_e2e::binaries::tidemill;
use tidemill_tests_e2e::broker::Broker;
use tidemill_tests_e2e::jobs::{run, text};
use tidemill_tests_e2e::process::{Live, call};

const SQL: &str = "
CREATE SOURCE orders (id BIGINT NOT NULL, topic VARCHAR METADATA FROM 'topic', part BIGINT METADATA FROM 'partition')
WITH (connector = 'kafka', bootstrap.servers = '${TIDEMILL_KAFKA}', topic.pattern = 'shop-(eu|us|zz)', format = 'json');
CREATE STREAM every_order FROM orders;
CREATE SINK copies WITH (connector = 'kafka', bootstrap.servers = '${TIDEMILL_KAFKA}', topic = 'copies', partitions = '1')
AS SELECT id, topic, part FROM every_order;
";

struct Shop {
    broker: Broker,
    folder: TempDir,
}

impl Shop {
    fn new() -> Self {
        let shop = Self {
            broker: Broker::start("topics"),
            folder: TempDir::new().unwrap(),
        };
        fs::write(shop.path("shop.sql"), SQL).unwrap();
        shop
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn start(&self, more: &[&str]) -> Live {
        let sql = self.path("shop.sql");
        let mut command = run(&sql, "shop", &self.path("state"), 2, more);
        command.env("TIDEMILL_KAFKA", self.broker.bootstrap());
        Live::start(command)
    }

    fn letters(&self, command: &str, more: &[&str]) -> String {
        let (sql, state) = (self.path("shop.sql"), self.path("state"));
        let job = [
            "dead-letters",
            command,
            text(&sql),
            "--name",
            "shop",
            "--state-dir",
            text(&state),
        ];
        let mut command: Command = tidemill(&[&job[..], more].concat());
        command.env("TIDEMILL_KAFKA", self.broker.bootstrap());
        call(command).good()
    }

    /// Every tenth record's id is none.
    fn publish(&self, topic: &str, partition: u32, ids: std::ops::Range<u64>) {
        let record = |id| match id % 10 {
            9 => format!(r##"{{"id":"#{id}"}}"##).into_bytes(),
            _ => format!(r#"{{"id":{id}}}"#).into_bytes(),
        };
        let records: Vec<Vec<u8>> = ids.map(record).collect();
        let records: Vec<(u32, &[u8])> = (records.iter())
            .map(|record| (partition, record.as_slice()))
            .collect();
        self.broker.publish(topic, &records);
    }

    /// What readers of the output see: topic and partition by id. An id that is there twice fails the test.
    fn copied(&self) -> BTreeMap<u64, (String, u64)> {
        let mut copied = BTreeMap::new();
        for (_, value, _) in self.broker.committed("copies") {
            let row: Value = serde_json::from_str(&value.unwrap()).unwrap();
            let place = (
                row["topic"].as_str().unwrap().to_owned(),
                row["part"].as_u64().unwrap(),
            );
            let before = copied.insert(row["id"].as_u64().unwrap(), place);
            assert_eq!(before, None, "{row} is there twice");
        }
        copied
    }

    fn has_copied(&self, count: usize) -> bool {
        self.copied().len() == count
    }
}

#[test]
fn topics_that_come_to_be_are_read_once_and_their_dead_letters_go_back_to_them() {
    let shop = Shop::new();
    shop.broker.create_topic("shop-us", 1);
    shop.broker.create_topic("shop-other", 1);
    shop.publish("shop-us", 0, 0..10);
    shop.publish("shop-other", 0, 900..910);
    let mut live = shop.start(&[]);
    live.until("its commit", || shop.has_copied(9));
    // Before the one that is read, by name.
    shop.broker.create_topic("shop-eu", 2);
    shop.publish("shop-eu", 1, 10..20);
    live.until("what the new topic has", || shop.has_copied(18));
    live.kill();
    shop.publish("shop-us", 0, 20..30);
    shop.broker.create_topic("shop-zz", 1);
    shop.publish("shop-zz", 0, 30..40);
    let mut live = shop.start(&[]);
    live.until("all of them again", || shop.has_copied(36));
    live.stop().good();

    let copied = shop.copied();
    for (id, topic, part) in [
        (0, "shop-us", 0),
        (10, "shop-eu", 1),
        (20, "shop-us", 0),
        (30, "shop-zz", 0),
    ] {
        assert_eq!(copied[&id], (topic.to_owned(), part), "{id}");
    }
    let state = shop.path("state");
    let shown = call(tidemill(&[
        "checkpoints",
        "show",
        "--state-dir",
        text(&state),
    ]))
    .good();
    for place in [
        "shop-us/0: 20",
        "shop-eu/0: 0",
        "shop-eu/1: 10",
        "shop-zz/0: 10",
    ] {
        assert!(shown.contains(place), "{shown}");
    }
    assert!(shop.letters("show", &["shop-eu/1/9"]).contains("#19"));

    let exported = shop.letters("export", &[]);
    let mended = (0..40).fold(exported, |text, id| {
        text.replace(&format!("\\\"#{id}\\\""), &id.to_string())
    });
    fs::write(shop.path("mended.jsonl"), mended).unwrap();
    let from = shop.path("mended.jsonl");
    let told = shop.letters("replay", &["--from", text(&from)]);
    for topic in ["'shop-us'", "'shop-eu'", "'shop-zz'"] {
        assert!(told.contains(topic), "{told}");
    }
    shop.start(&["--until-caught-up"]).ends().good();
    let copied = shop.copied();
    assert_eq!(copied.len(), 40);
    assert_eq!(copied[&19], ("shop-eu".to_owned(), 1));

    // One that is deleted is missed, by a job that runs and by its next start.
    let live = shop.start(&[]);
    delete_topic(&shop.broker.bootstrap(), "shop-zz").unwrap();
    let said = live.ends().failed_with(2);
    assert!(
        said.contains("topic 'shop-zz'") && said.contains("does not exist any more"),
        "{said}"
    );
    let said = shop.start(&["--until-caught-up"]).ends().failed_with(2);
    assert!(said.contains("topic 'shop-zz'"), "{said}");
}
