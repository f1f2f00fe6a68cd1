//! Whose a job is, and whether its history is still there: what happens to topics and owners between and during runs, on a real Kafka.
//!
//! The job copies its input, so that a row too much or too few shows in the output. Needs `scripts/setup.sh kafka`.

#![expect(
    clippy::unwrap_used,
    reason = "what a test cannot go on without fails it"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};
use tempfile::TempDir;
use tidemill_connectors_kafka::tools::{add_partitions, delete_before, delete_topic};
use tidemill_tests_e2e::broker::Broker;
use tidemill_tests_e2e::jobs::run;
use tidemill_tests_e2e::process::{Live, Outcome};

/// No checkpoint: all that a start has is the journal.
const NO_CHECKPOINT: [&str; 2] = ["--checkpoint-interval", "1 h"];
/// Many checkpoints.
const HASTY: [&str; 4] = [
    "--checkpoint-interval",
    "200 ms",
    "--epoch-interval",
    "10 ms",
];

/// A job that copies `NAME.in` to `NAME.out`.
struct Copy {
    broker: &'static Broker,
    name: &'static str,
    folder: TempDir,
}

impl Copy {
    fn new(name: &'static str, partitions: u32) -> Self {
        static BROKER: OnceLock<Broker> = OnceLock::new();
        let copy = Self {
            broker: BROKER.get_or_init(|| Broker::start("history")),
            name,
            folder: TempDir::new().unwrap(),
        };
        copy.broker.create_topic(&copy.topic("in"), partitions);
        copy.broker.create_topic(&copy.topic("out"), 1);
        copy
    }

    fn topic(&self, topic: &str) -> String {
        format!("{}.{topic}", self.name)
    }

    fn state(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `column` changes the plan.
    fn run(&self, state: &Path, column: &str, more: &[&str]) -> Command {
        let sql = self.folder.path().join(format!("{column}.sql"));
        let with = "connector = 'kafka', bootstrap.servers = '${TIDEMILL_KAFKA}'";
        let name = self.name;
        let statements = format!(
            "CREATE SOURCE events (id BIGINT NOT NULL METADATA FROM 'id', {column} BIGINT) WITH (envelope = 'crud', {with}, topic = '{name}.in');\n\
             CREATE STREAM event FROM events;\n\
             CREATE SINK copies WITH ({with}, topic = '{name}.out', envelope = 'plain', transaction.timeout.ms = '5000') AS SELECT id, {column} AS n FROM event;\n"
        );
        fs::write(&sql, statements).unwrap();
        let mut command = run(&sql, self.name, state, 1, more);
        command.env("TIDEMILL_KAFKA", self.broker.bootstrap());
        command
    }

    fn start(&self, more: &[&str]) -> Live {
        Live::start(self.run(&self.state("state"), "n", more))
    }

    fn catch_up(&self) -> Outcome {
        self.start(&["--until-caught-up"]).ends()
    }

    fn publish(&self, partition: u32, ids: std::ops::Range<u64>) {
        let event = |id| {
            let event = json!({"uuid": format!("u{id}"), "type": "create", "ts": 0, "entity": "event", "id": id, "data": {"n": id}});
            event.to_string().into_bytes()
        };
        let events: Vec<Vec<u8>> = ids.map(event).collect();
        let records: Vec<(u32, &[u8])> = events
            .iter()
            .map(|event| (partition, event.as_slice()))
            .collect();
        self.broker.publish(&self.topic("in"), &records);
    }

    /// The ids that readers of the output see, sorted.
    fn copied(&self) -> Vec<u64> {
        let records = self.broker.committed(&self.topic("out")).into_iter();
        let id = |value: String| {
            let row: Value = serde_json::from_str(&value).unwrap();
            row["id"].as_u64().unwrap()
        };
        let mut ids: Vec<u64> = records
            .filter_map(|(_, value, _)| Some(id(value?)))
            .collect();
        ids.sort_unstable();
        ids
    }

    fn has_copied(&self, count: usize) -> bool {
        self.copied().len() == count
    }

    /// Lets the job copy `count` records in all, and kills it.
    fn kill_after(&self, count: usize, more: &[&str]) {
        let mut live = self.start(more);
        live.until("its commit", || self.has_copied(count));
        live.kill();
    }
}

fn ids(count: u64) -> Vec<u64> {
    (0..count).collect()
}

#[test]
fn a_start_that_is_refused_leaves_the_job_that_runs_alone() {
    let job = Copy::new("refused", 1);
    job.publish(0, 0..10);
    let mut live = job.start(&[]);
    live.until("its commit", || job.has_copied(10));
    // Another plan under the same name, from elsewhere.
    let changed = job.run(&job.state("elsewhere"), "m", &["--until-caught-up"]);
    let said = Live::start(changed).ends().failed_with(2);
    assert!(said.contains("was committed by plan '"), "{said}");
    job.publish(0, 10..20);
    live.until("another commit", || job.has_copied(20));
    live.stop().good();
    assert_eq!(job.copied(), ids(20));
}

#[test]
fn a_journalled_range_that_retention_deleted_is_refused_without_a_checkpoint_too() {
    let job = Copy::new("expired", 1);
    job.publish(0, 0..100);
    job.kill_after(100, &NO_CHECKPOINT);
    job.publish(0, 100..110);
    delete_before(&job.broker.bootstrap(), &job.topic("in"), 0, 100).unwrap();
    let said = job.catch_up().failed_with(2);
    for part in [
        "partition 0",
        "from offset 100",
        "stands at 0",
        "100 records are gone",
    ] {
        assert!(said.contains(part), "{said}");
    }
    assert_eq!(job.copied(), ids(100));
}

#[test]
fn a_first_epoch_that_began_at_the_oldest_retained_record_is_replayed_from_there() {
    let job = Copy::new("began", 1);
    job.publish(0, 0..100);
    delete_before(&job.broker.bootstrap(), &job.topic("in"), 0, 40).unwrap();
    job.kill_after(60, &NO_CHECKPOINT);
    job.publish(0, 100..110);
    job.catch_up().good();
    assert_eq!(job.copied(), (40..110).collect::<Vec<_>>());
}

#[test]
fn a_topic_that_was_made_again_is_refused_between_two_runs_and_during_one() {
    let job = Copy::new("again", 1);
    job.publish(0, 0..100);
    job.catch_up().good();
    let bootstrap = job.broker.bootstrap();
    delete_topic(&bootstrap, &job.topic("in")).unwrap();
    job.broker.create_topic(&job.topic("in"), 1);
    job.publish(0, 200..400);
    let said = job.catch_up().failed_with(2);
    assert!(
        said.contains("'events' was deleted and made again since epoch")
            && said.contains("a new name"),
        "{said}"
    );
    assert_eq!(job.copied(), ids(100), "nothing of the new topic");

    let live_job = Copy::new("again_live", 1);
    live_job.publish(0, 0..10);
    let mut live = live_job.start(&[]);
    live.until("its commit", || live_job.has_copied(10));
    delete_topic(&bootstrap, &live_job.topic("in")).unwrap();
    live_job.broker.create_topic(&live_job.topic("in"), 1);
    live.ends().failed_with(2);
    live_job.publish(0, 100..200);
    let said = live_job.catch_up().failed_with(2);
    assert!(said.contains("was deleted and made again"), "{said}");
}

#[test]
fn a_partition_that_was_added_is_read_from_its_beginning_and_nothing_twice() {
    let job = Copy::new("added", 1);
    job.publish(0, 0..50);
    job.kill_after(50, &NO_CHECKPOINT);
    add_partitions(&job.broker.bootstrap(), &job.topic("in"), 3).unwrap();
    job.publish(2, 50..80);
    // The kill comes after the first epochs that know of the new partitions.
    job.kill_after(80, &NO_CHECKPOINT);
    job.publish(1, 80..90);
    job.publish(0, 90..100);
    job.catch_up().good();
    assert_eq!(job.copied(), ids(100));
}

#[test]
fn partitions_that_are_added_while_a_job_runs_are_read_from_their_beginning_and_nothing_twice() {
    let job = Copy::new("growing", 1);
    job.publish(0, 0..10);
    let mut live = job.start(&[]);
    live.until("its commit", || job.has_copied(10));
    add_partitions(&job.broker.bootstrap(), &job.topic("in"), 3).unwrap();
    job.publish(2, 10..20);
    job.publish(0, 20..30);
    live.until("what the new partition has", || job.has_copied(30));
    // The journal knows it now: what comes after a kill goes on there.
    live.kill();
    job.publish(1, 30..40);
    let mut live = job.start(&[]);
    job.publish(2, 40..50);
    live.until("all of them again", || job.has_copied(50));
    live.stop().good();
    assert_eq!(job.copied(), ids(50));
}

#[test]
fn the_journal_is_trimmed_behind_the_checkpoints_and_the_job_still_restarts() {
    let job = Copy::new("trims", 1);
    let mut live = job.start(&HASTY);
    let (journal, mut next) = (format!("tidemill.journal.{}", job.name), 0);
    let first_epoch = || {
        let entries = job.broker.committed(&journal);
        entries.first().map_or(0, |(_, _, epoch)| *epoch)
    };
    while first_epoch() < 20 {
        job.publish(0, next..next + 1);
        next += 1;
        live.until("its commit", || {
            job.has_copied(usize::try_from(next).unwrap())
        });
        assert!(
            next < 20_000,
            "the journal still begins with epoch {}",
            first_epoch()
        );
    }
    live.kill();
    job.publish(0, next..next + 5);
    job.catch_up().good();
    assert_eq!(job.copied(), ids(next + 5));
}

#[test]
fn a_job_that_is_asked_to_stop_ends_although_the_brokers_are_gone() {
    let broker = Broker::start("gone");
    let job = Copy {
        broker: Box::leak(Box::new(broker)),
        name: "gone",
        folder: TempDir::new().unwrap(),
    };
    job.broker.create_topic(&job.topic("in"), 1);
    job.broker.create_topic(&job.topic("out"), 1);
    job.publish(0, 0..10);
    let mut live = job.start(&[]);
    live.until("its commit", || job.has_copied(10));
    job.publish(0, 10..5_000);
    job.broker.script("kill");
    let code = live.stop().code;
    assert!(code == Some(0) || code == Some(1), "{code:?}");
    job.broker.script("start");
    job.catch_up().good();
    assert_eq!(job.copied(), ids(5_000));
}
