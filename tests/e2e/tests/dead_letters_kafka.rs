//! `tidemill dead-letters` over a real Kafka: what a sink wrote is mended and put back with key, time and headers, and every event counts once,
//! although the replay is killed half-way. Needs `scripts/setup.sh kafka`.

#![expect(
    clippy::unwrap_used,
    reason = "what a test cannot go on without fails it"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::Value;
use tempfile::TempDir;
use tidemill_tests_e2e::binaries::tidemill;
use tidemill_tests_e2e::broker::Broker;
use tidemill_tests_e2e::jobs::{run, text};
use tidemill_tests_e2e::process::{Live, call};

const SQL: &str = "
CREATE SOURCE order_events (id BIGINT NOT NULL, amount DECIMAL(18, 2) NOT NULL, trace VARCHAR METADATA FROM 'headers.trace')
WITH (envelope = 'plain', connector = 'kafka', bootstrap.servers = '${TIDEMILL_KAFKA}', topic = 'shop.orders');
CREATE STREAM orders FROM order_events;
CREATE SINK totals WITH (connector = 'kafka', bootstrap.servers = '${TIDEMILL_KAFKA}', topic = 'shop.totals', key = 'trace') AS
SELECT trace, COUNT(*) AS orders, SUM(amount) AS total FROM orders GROUP BY trace;
CREATE SINK dead WITH (connector = 'kafka', bootstrap.servers = '${TIDEMILL_KAFKA}', topic = 'shop.dead') AS
SELECT * FROM tidemill_dead_letters;
";
/// Far more than go together.
const BAD: u64 = 20_000;
const PARTITIONS: u64 = 2;

struct Orders<'a> {
    broker: &'a Broker,
    folder: &'a Path,
}

impl Orders<'_> {
    fn command(&self, mut command: Command) -> Command {
        command.env("TIDEMILL_KAFKA", self.broker.bootstrap());
        command
    }

    fn catch_up(&self) -> Value {
        let (sql, state) = (self.folder.join("orders.sql"), self.folder.join("state"));
        let job = run(&sql, "orders", &state, 2, &["--until-caught-up"]);
        Live::start(self.command(job)).ends().last()
    }

    fn letters(&self, command: &str, more: &[&str]) -> Command {
        let (sql, state) = (self.folder.join("orders.sql"), self.folder.join("state"));
        let job = [
            "dead-letters",
            command,
            text(&sql),
            "--name",
            "orders",
            "--state-dir",
            text(&state),
        ];
        self.command(tidemill(&[&job[..], more].concat()))
    }

    /// Every bad record has a key and a header, and its amount a comma.
    fn publish(&self) {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", self.broker.bootstrap())
            .set("queue.buffering.max.messages", "1000000")
            .create()
            .unwrap();
        for id in 0..BAD {
            let (key, value) = (
                format!("k{id}"),
                format!(r#"{{"id":{id},"amount":"1,00"}}"#),
            );
            let header = Header {
                key: "trace",
                value: Some("web"),
            };
            let record = BaseRecord::to("shop.orders")
                .partition(i32::try_from(id % PARTITIONS).unwrap())
                .key(&key)
                .payload(&value)
                .timestamp(1_767_225_600_000 + i64::try_from(id).unwrap())
                .headers(OwnedHeaders::new().insert(header));
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(Duration::from_secs(60)).unwrap();
    }

    /// The keys of what was put back, that is: of the records without a comma.
    fn put_back(&self) -> Vec<String> {
        let records = self.broker.committed("shop.orders").into_iter();
        let good = records
            .filter(|(_, value, _)| value.as_ref().is_some_and(|value| value.contains("1.00")));
        good.map(|(key, _, _)| key).collect()
    }
}

#[test]
fn a_replay_that_is_killed_and_done_again_counts_every_event_once() {
    let broker = Broker::start("letters");
    broker.create_topic("shop.orders", u32::try_from(PARTITIONS).unwrap());
    let folder = TempDir::new().unwrap();
    let orders = Orders {
        broker: &broker,
        folder: folder.path(),
    };
    fs::write(folder.path().join("orders.sql"), SQL).unwrap();
    orders.publish();
    assert_eq!(orders.catch_up()["dead_letters"], BAD);

    let listed = call(orders.letters("list", &["--json"])).last();
    assert_eq!(listed["total"], BAD);
    assert_eq!(listed["groups"].as_array().unwrap().len(), 1, "{listed}");
    let shown = call(orders.letters("show", &["shop.orders/1/3"])).good();
    for part in [
        "key        'k7'",
        "header     trace = 'web'",
        "2026-01-01 00:00:00.007 UTC",
        r#"{"id":7,"amount":"1,00"}"#,
    ] {
        assert!(shown.contains(part), "{shown}");
    }

    let mended = folder.path().join("mended.jsonl");
    let exported = call(orders.letters("export", &[])).good();
    fs::write(&mended, exported.replace("1,00", "1.00")).unwrap();
    let replay = || orders.letters("replay", &["--from", text(&mended), "--json"]);
    let mut killed = Live::start(replay());
    killed.wait_for("a portion that was put back", |line| {
        line.get("portion").is_some()
    });
    killed.kill();
    // The next one's fence ends what the dead one left.
    let report = call(replay()).last();
    let topic = &report["topics"]["shop.orders"];
    let (put, before) = (
        topic["put_back"].as_u64().unwrap(),
        topic["before"].as_u64().unwrap(),
    );
    assert_eq!(put + before, BAD, "{report}");
    assert!(put > 0 && before > 0, "it was killed half-way: {report}");
    let report = call(replay()).last();
    assert_eq!(report["topics"]["shop.orders"]["put_back"], 0, "{report}");

    let keys = orders.put_back();
    assert_eq!(keys.len() as u64, BAD);
    assert_eq!(
        keys.iter().collect::<BTreeSet<_>>().len() as u64,
        BAD,
        "each once"
    );
    assert_eq!(orders.catch_up()["dead_letters"], 0);
    let totals = broker.committed("shop.totals");
    let (_, newest, _) = totals.last().unwrap();
    let newest: Value = serde_json::from_str(newest.as_ref().unwrap()).unwrap();
    assert_eq!(
        newest,
        serde_json::json!({"trace": "web", "orders": BAD, "total": "20000.00"})
    );
}
