//! A source that begins with files and goes on from a real Kafka at an exact offset: every event once, through kills on either side of the seam
//! and in it, and the same SQL on either side alone by a profile. Needs `scripts/setup.sh kafka`.

#![expect(
    clippy::unwrap_used,
    reason = "what a test cannot go on without fails it"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;
use tidemill_tests_e2e::binaries::tidemill;
use tidemill_tests_e2e::broker::Broker;
use tidemill_tests_e2e::jobs::{run, text};
use tidemill_tests_e2e::process::{Live, call};

const SQL: &str = "
CREATE SOURCE payments (id BIGINT NOT NULL, topic VARCHAR METADATA FROM 'topic')
WITH (connector = 'kafka', bootstrap.servers = '${TIDEMILL_KAFKA}', topic = 'payments', start = '0:500', format = 'json',
      backfill.connector = 'files', backfill.path = '${HISTORY}', backfill.topic = 'warehouse');
CREATE STREAM every_payment FROM payments;
CREATE SINK copies WITH (connector = 'kafka', bootstrap.servers = '${TIDEMILL_KAFKA}', topic = 'copies', partitions = '1')
AS SELECT id, topic FROM every_payment;
";

/// One alone, or another history.
const PROFILES: &str = r#"
[profile.warehouse.objects.payments]
connector = "files"
path = "${HISTORY}"
topic = "warehouse"
backfill.connector = ""

[profile.kafka.objects.payments]
start = "earliest"
backfill.connector = ""
"#;

/// How many events there are, before the seam and after it.
const EVENTS: u64 = 40_000;
/// The newest events of the warehouse, which the topic has, too: as many as its option `start` leaves out.
const IN_BOTH: u64 = 500;

struct Payments {
    broker: Broker,
    folder: TempDir,
}

impl Payments {
    /// A warehouse with events up to half of all, and a topic with those of the last `IN_BOTH` on.
    fn new(name: &str) -> Self {
        let payments = Self {
            broker: Broker::start(name),
            folder: TempDir::new().unwrap(),
        };
        fs::write(payments.path("job.sql"), SQL).unwrap();
        fs::write(payments.path("job.toml"), PROFILES).unwrap();
        payments.add_to_warehouse(0..EVENTS / 2);
        payments.broker.create_topic("payments", 1);
        payments.publish(EVENTS / 2 - IN_BOTH..EVENTS * 3 / 4);
        payments
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Two partitions take turns.
    fn add_to_warehouse(&self, ids: std::ops::Range<u64>) {
        let folder = self.path("history/warehouse");
        fs::create_dir_all(&folder).unwrap();
        for partition in 0..2 {
            let file = folder.join(format!("{partition}.jsonl"));
            let mut lines = fs::read_to_string(&file).unwrap_or_default();
            let own = ids.clone().filter(|id| id % 2 == partition);
            own.for_each(|id| writeln!(lines, r#"{{"id":{id}}}"#).unwrap());
            fs::write(file, lines).unwrap();
        }
    }

    fn publish(&self, ids: std::ops::Range<u64>) {
        let records: Vec<Vec<u8>> = ids.map(|id| format!(r#"{{"id":{id}}}"#).into()).collect();
        let records: Vec<(u32, &[u8])> = records
            .iter()
            .map(|record| (0, record.as_slice()))
            .collect();
        self.broker.publish("payments", &records);
    }

    fn start(&self, state: &str, more: &[&str]) -> Live {
        let sql = self.path("job.sql");
        // Small epochs, so that the seam comes late.
        let small = ["--epoch-bytes", "64 KiB", "--config"];
        let config = self.path("job.toml");
        let more = [&small[..], &[text(&config)], more].concat();
        let mut command = run(&sql, state, &self.path(state), 2, &more);
        command.env("TIDEMILL_KAFKA", self.broker.bootstrap());
        command.env("HISTORY", self.path("history"));
        Live::start(command)
    }

    /// What readers of the output see: the topic by id. An id that is there twice fails the test.
    fn copied(&self) -> BTreeMap<u64, String> {
        let mut copied = BTreeMap::new();
        for (_, value, _) in self.broker.committed("copies") {
            let row: Value = serde_json::from_str(&value.unwrap()).unwrap();
            let topic = row["topic"].as_str().unwrap().to_owned();
            let before = copied.insert(row["id"].as_u64().unwrap(), topic);
            assert_eq!(before, None, "{row} is there twice");
        }
        copied
    }
}

#[test]
fn what_begins_with_files_and_goes_on_from_kafka_has_every_event_once_through_kills() {
    let payments = Payments::new("backfill");
    let mut wanted = 1;
    // Killed in the history, and again and again until it is live.
    while payments.copied().len() < 3 * EVENTS as usize / 4 {
        let mut live = payments.start("state", &[]);
        live.until("some more", || payments.copied().len() >= wanted);
        live.kill();
        let there = payments.copied().len();
        wanted = (there + 4_000).min(3 * EVENTS as usize / 4);
        // The history ended where the job first saw it end.
        payments.add_to_warehouse(EVENTS * 10 + there as u64..EVENTS * 10 + there as u64 + 2);
    }
    payments.publish(EVENTS * 3 / 4..EVENTS);
    let mut live = payments.start("state", &[]);
    live.until("all that came later", || {
        payments.copied().len() == EVENTS as usize
    });
    live.stop().good();

    let copied = payments.copied();
    assert!(copied.keys().copied().eq(0..EVENTS), "each, and no other");
    for (id, topic) in [
        (0, "warehouse"),
        (EVENTS / 2 - 1, "warehouse"),
        (EVENTS / 2, "payments"),
    ] {
        assert_eq!(copied[&id], topic, "{id}");
    }
    let state = payments.path("state");
    let shown = call(tidemill(&[
        "checkpoints",
        "show",
        "--state-dir",
        text(&state),
    ]))
    .good();
    for place in ["0: 124,445  1: 124,445", "payments/0: 20,500"] {
        assert!(shown.contains(place), "{shown}");
    }
}

#[test]
fn a_profile_reads_one_side_alone_and_the_sql_stays() {
    for (profile, ids) in [
        ("warehouse", 0..EVENTS / 2),
        ("kafka", EVENTS / 2 - IN_BOTH..EVENTS * 3 / 4),
    ] {
        let payments = Payments::new(&format!("backfill-{profile}"));
        let live = payments.start(profile, &["--profile", profile, "--until-caught-up"]);
        live.ends().good();
        assert!(payments.copied().keys().copied().eq(ids), "{profile}");
    }
}
