//! The product end to end: the shipped job over a real Kafka, with crashes of its own and of the broker, and the troubles that only Kafka has.
//!
//! What is right is computed by `tidemill-studio verify`, from the events alone and another way than the job's; it also goes through the commits
//! one by one and looks for an impossible total (P-ATOMIC). Needs `scripts/setup.sh kafka slate`.

#![expect(
    clippy::unwrap_used,
    reason = "what a test cannot go on without fails it"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use rand::RngExt;
use serde_json::{Value, json};
use tempfile::TempDir;
use tidemill_tests_e2e::binaries::studio;
use tidemill_tests_e2e::broker::{Broker, slate};
use tidemill_tests_e2e::jobs::{flagship, run, text};
use tidemill_tests_e2e::process::{Live, call};
use tidemill_tests_e2e::seed::draws;

const MEGABYTE: usize = 1 << 20;
/// 2026-01-01, in milliseconds.
const NEW_YEAR: i64 = 1_767_225_600_000;

/// A job over a broker.
struct KafkaJob<'a> {
    broker: &'a Broker,
    sql: PathBuf,
    name: String,
    folder: TempDir,
    /// Its sources and their topics.
    sources: Vec<(String, String)>,
}

impl<'a> KafkaJob<'a> {
    fn flagship(broker: &'a Broker) -> Self {
        let entities = [
            "production",
            "talent",
            "schedule",
            "budget",
            "payment",
            "cash_flow",
        ];
        let source = |entity| (format!("{entity}_events"), format!("studio.{entity}"));
        Self {
            broker,
            sql: flagship(),
            name: "studio_finance".to_owned(),
            folder: TempDir::new().unwrap(),
            sources: entities.map(source).into(),
        }
    }

    /// A small job with topics of its own: `NAME.notes` in; `NAME.current`, `NAME.trail`, `NAME.late` and `NAME.dead` out.
    fn notes(broker: &'a Broker, name: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let sql = folder.path().join("notes.sql");
        let with = |topic: &str| {
            format!(
                "connector = 'kafka', bootstrap.servers = '${{TIDEMILL_KAFKA}}', topic = '{name}.{topic}'"
            )
        };
        let statements = format!(
            "CREATE SOURCE note_events (
                 id BIGINT NOT NULL METADATA FROM 'id', text VARCHAR, ts TIMESTAMP METADATA FROM 'ts',
                 WATERMARK FOR ts AS ts - INTERVAL '1' SECOND
             ) WITH (envelope = 'crud', {});
             CREATE TABLE note (PRIMARY KEY (id)) FROM note_events;
             CREATE STREAM note_changes FROM note_events RESEQUENCE BY ts PER id WITHIN INTERVAL '5' SECOND;
             CREATE SINK current WITH ({}, key = 'id') AS SELECT id, text FROM note;
             CREATE SINK trail WITH ({}, key = 'id', envelope = 'plain') AS SELECT id, ts FROM note_changes;
             CREATE SINK late WITH ({}) AS SELECT * FROM tidemill_late;
             CREATE SINK dead WITH ({}) AS SELECT * FROM tidemill_dead_letters;\n",
            with("notes"),
            with("current"),
            with("trail"),
            with("late"),
            with("dead"),
        );
        fs::write(&sql, statements).unwrap();
        Self {
            broker,
            sql,
            name: name.to_owned(),
            folder,
            sources: vec![("note_events".to_owned(), format!("{name}.notes"))],
        }
    }

    fn topic(&self, topic: &str) -> String {
        format!("{}.{topic}", self.name)
    }

    fn publish_notes(&self, notes: &[&[u8]]) {
        let records: Vec<(u32, &[u8])> = notes.iter().map(|note| (0, *note)).collect();
        self.broker.publish(&self.topic("notes"), &records);
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn run(&self, workers: usize, state: &Path, more: &[&str]) -> Command {
        let mut command = run(&self.sql, &self.name, state, workers, more);
        command.env("TIDEMILL_KAFKA", self.broker.bootstrap());
        command
    }

    fn start(&self, workers: usize, more: &[&str]) -> Live {
        Live::start(self.run(workers, &self.state(), more))
    }

    /// The values that readers of an output topic see.
    fn values(&self, topic: &str) -> Vec<Value> {
        let records = self.broker.committed(topic).into_iter();
        let values = records.filter_map(|(_, value, _)| value);
        values
            .map(|value| serde_json::from_str(&value).unwrap())
            .collect()
    }

    /// True if the journal's last record has everything that the sources' topics hold.
    fn has_committed_all(&self) -> bool {
        let journal = self.values(&format!("tidemill.journal.{}", self.name));
        let mut records = journal.iter().filter(|entry| !entry["epoch"].is_null());
        let Some(last) = records.next_back() else {
            return false;
        };
        self.sources.iter().all(|(source, topic)| {
            let committed = &last["positions"][source];
            let ends = self.broker.ends(topic).into_iter();
            let mut ends = ends.filter(|&(_, end)| end > 0);
            ends.all(|(partition, end)| committed[partition.to_string()] == end)
        })
    }
}

/// The broker that all tests but the first share.
fn shared() -> &'static Broker {
    static BROKER: OnceLock<Broker> = OnceLock::new();
    BROKER.get_or_init(|| Broker::start("flagship-shared"))
}

#[test]
fn three_kills_and_a_restart_of_the_broker_leave_every_row_right() {
    /// Many small epochs, and some checkpoints.
    const HASTY: [&str; 6] = [
        "--epoch-interval",
        "10 ms",
        "--epoch-bytes",
        "256 KiB",
        "--checkpoint-interval",
        "500 ms",
    ];
    let mut draws = draws(env!("CARGO_PKG_NAME"), "flagship_kafka");
    let broker = Broker::start("flagship");
    let job = KafkaJob::flagship(&broker);
    for (_, topic) in &job.sources {
        broker.create_topic(topic, 4);
    }
    // Kills a process when it has read so many records, or all that there are.
    let kill_after = |mut live: Live, records: u64| {
        live.wait_for("records", |status| {
            let at_end = || status["state"] == "caught_up" && job.has_committed_all();
            status["records_in"].as_u64() >= Some(records) || at_end()
        });
        live.kill();
    };
    let first = job.start(2, &HASTY);
    let generator = generate(&broker, draws.random());
    kill_after(first, draws.random_range(1..=30_000));
    kill_after(job.start(2, &HASTY), draws.random_range(1..=30_000));
    let mut third = job.start(2, &HASTY);
    third.wait_for("its recovery", |status| status["state"] != "recovering");
    broker.script("restart");
    kill_after(third, draws.random_range(1..=60_000));
    assert_eq!(generator.ends().last()["records"], 200_000);

    let mut last = job.start(2, &HASTY);
    last.wait_for("its recovery", |status| status["state"] != "recovering");
    last.until("the end of the topics", || job.has_committed_all());
    let status = last.stop().last();
    assert_eq!(status["checkpoint_epoch"], status["epoch"], "{status}");
    let bootstrap = broker.bootstrap();
    let verify = ["verify", "--from", "kafka", "--json", "--bootstrap"];
    let found = call(studio(&[&verify[..], &[&bootstrap]].concat())).last();
    assert_eq!(found["verified"], true, "{found:#}");
    let inputs = found["inputs"].as_object().unwrap().values();
    let records: u64 = inputs
        .map(|counts| counts["records"].as_u64().unwrap())
        .sum();
    assert_eq!(records, 200_000);
}

/// 200,000 events on their way into the broker.
fn generate(broker: &Broker, seed: u64) -> Live {
    let (bootstrap, seed, slate) = (broker.bootstrap(), seed.to_string(), slate());
    let what = [
        "--events",
        "200000",
        "--seed",
        &seed,
        "--slate",
        text(&slate),
    ];
    let troubles = [
        "--duplicates",
        "5%",
        "--disorder",
        "5%",
        "--garbage",
        "0.1%",
    ];
    let place = ["generate", "--into", "kafka", "--bootstrap", &bootstrap];
    Live::start(studio(
        &[&place[..], &what, &troubles, &["--json"]].concat(),
    ))
}

/// What a payment is in its three versions: due in July, in June, and in July again.
const VERSIONS: [(&str, &str); 3] = [
    ("2026-07-15", "10.00"),
    ("2026-06-10", "20.00"),
    ("2026-07-20", "30.00"),
];
/// In which order the three versions can arrive.
const ORDERS: [[usize; 3]; 6] = [
    [0, 1, 2],
    [0, 2, 1],
    [1, 0, 2],
    [1, 2, 0],
    [2, 0, 1],
    [2, 1, 0],
];

fn event(entity: &str, id: usize, ts: i64, kind: &str, data: &Value) -> Vec<u8> {
    let event = json!({
        "uuid": uuid(id, ts),
        "type": kind,
        "ts": ts,
        "entity": entity,
        "id": id,
        "data": data,
    });
    event.to_string().into_bytes()
}

fn uuid(id: usize, ts: i64) -> String {
    format!(
        "00000000-0000-4000-8000-{:012x}",
        id as i64 * 1_000_000 + ts - NEW_YEAR
    )
}

fn version(id: usize, version: usize) -> (u32, Vec<u8>) {
    let (due_on, amount) = VERSIONS[version];
    let kind = if version == 0 { "create" } else { "update" };
    let data = json!({"production_id": 1, "amount": amount, "currency": "USD", "due_on": due_on, "status": "planned"});
    let ts = NEW_YEAR + 1_000 * version as i64;
    (partition(id), event("payment", id, ts, kind, &data))
}

fn partition(id: usize) -> u32 {
    u32::try_from(id % 2).unwrap()
}

/// Payments 1 to 6 have their three events in three epochs, 11 to 16 at once; each of a group in another order.
#[test]
#[expect(clippy::too_many_lines, reason = "one story, told in order")]
fn july_june_july_ends_in_july_in_every_order_of_arrival() {
    let broker = shared();
    let job = KafkaJob::flagship(broker);
    for (_, topic) in &job.sources {
        broker.create_topic(topic, 2);
    }
    let production = event(
        "production",
        1,
        NEW_YEAR,
        "create",
        &json!({"title": "Silent Harbor", "region": "EU"}),
    );
    broker.publish("studio.production", &[(0, &production)]);
    let mut live = job.start(2, &[]);
    let mut publish = |payments: &[(u32, Vec<u8>)]| {
        let records: Vec<(u32, &[u8])> = payments
            .iter()
            .map(|(partition, value)| (*partition, value.as_slice()))
            .collect();
        broker.publish("studio.payment", &records);
        live.until("its commit", || job.has_committed_all());
    };
    for round in 0..3 {
        let arrive = |(i, order): (usize, &[usize; 3])| version(1 + i, order[round]);
        publish(&ORDERS.iter().enumerate().map(arrive).collect::<Vec<_>>());
    }
    let at_once =
        |(i, order): (usize, &[usize; 3])| order.map(|arriving| version(11 + i, arriving));
    publish(
        &ORDERS
            .iter()
            .enumerate()
            .flat_map(at_once)
            .collect::<Vec<_>>(),
    );
    // What is a minute later brings the watermark past them all.
    let later = |id| {
        (
            partition(id),
            event(
                "payment",
                id,
                NEW_YEAR + 60_000,
                "create",
                &json!({"production_id": 1}),
            ),
        )
    };
    publish(&[later(98), later(99)]);
    live.stop().good();

    let enriched = by_payment(&job, "finance.payment_enriched");
    let audit = by_payment(&job, "finance.payment_audit");
    for (i, order) in ORDERS.iter().enumerate() {
        // A version is visible from its epoch on, unless a newer one came before.
        let mut newest = 0;
        let visible = order.iter().filter(|&&version| {
            let shows = version >= newest;
            newest = newest.max(version);
            shows
        });
        let visible: Vec<_> = visible.map(|&version| VERSIONS[version]).collect();
        assert_eq!(
            changes(&enriched[&(1 + i)]),
            visible,
            "{order:?} in three epochs"
        );
        assert_eq!(
            changes(&enriched[&(11 + i)]),
            [VERSIONS[2]],
            "{order:?} at once"
        );
        assert_eq!(enriched[&(1 + i)][0]["title"], "Silent Harbor");
        for payment in [1 + i, 11 + i] {
            assert_eq!(changes(&audit[&payment]), VERSIONS, "{order:?}");
        }
    }
    assert_eq!(enriched.len(), 14);
    assert_eq!(job.values("finance.late"), [Value::Null; 0]);
}

/// The values of a topic by payment, in the order in which they were committed.
fn by_payment(job: &KafkaJob<'_>, topic: &str) -> BTreeMap<usize, Vec<Value>> {
    let mut payments: BTreeMap<usize, Vec<Value>> = BTreeMap::new();
    for value in job.values(topic) {
        let id = value["payment_id"].as_u64().unwrap();
        payments
            .entry(usize::try_from(id).unwrap())
            .or_default()
            .push(value);
    }
    payments
}

fn changes(values: &[Value]) -> Vec<(&str, &str)> {
    values
        .iter()
        .map(|value| {
            (
                value["due_on"].as_str().unwrap(),
                value["amount"].as_str().unwrap(),
            )
        })
        .collect()
}

fn note(id: usize, ts: i64, text: &str) -> Vec<u8> {
    event("note", id, ts, "create", &json!({"text": text}))
}

#[test]
fn an_older_process_of_a_job_is_fenced_by_a_newer_one() {
    let job = KafkaJob::notes(shared(), "fenced");
    job.broker.create_topic(&job.topic("notes"), 1);
    job.publish_notes(&[&note(1, NEW_YEAR, "of the older")]);
    let mut older = job.start(1, &[]);
    older.until("its commit", || job.has_committed_all());

    let mut newer = Live::start(job.run(1, &job.folder.path().join("other"), &[]));
    newer.wait_for("its recovery", |status| status["state"] != "recovering");
    job.publish_notes(&[&note(2, NEW_YEAR, "of the newer")]);
    newer.until("its commit", || job.has_committed_all());
    let said = older.ends().failed_with(3);
    assert!(
        said.contains("another process runs this job, and nothing is lost"),
        "{said}"
    );
    newer.stop().good();

    let current = job.values(&job.topic("current"));
    let expected = [
        json!({"id": 1, "text": "of the older"}),
        json!({"id": 2, "text": "of the newer"}),
    ];
    assert_eq!(sorted(current), expected);
}

/// Partitions have no order among each other.
fn sorted(mut values: Vec<Value>) -> Vec<Value> {
    values.sort_by_key(|value| value["id"].as_u64());
    values
}

#[test]
fn a_topic_that_does_not_exist_is_refused() {
    let job = KafkaJob::notes(shared(), "missing");
    let said = job.start(1, &[]).ends().failed_with(2);
    assert!(
        said.contains("topic 'missing.notes' does not exist; create it"),
        "{said}"
    );
}

#[test]
fn an_empty_topic_is_caught_up_with_at_once_and_read_when_it_fills() {
    let job = KafkaJob::notes(shared(), "empty");
    job.broker.create_topic(&job.topic("notes"), 3);
    let last = job.start(2, &["--until-caught-up"]).ends().last();
    assert_eq!(
        (&last["records_in"], &last["epoch"]),
        (&json!(0), &json!(0))
    );

    job.broker
        .publish(&job.topic("notes"), &[(1, &note(1, NEW_YEAR, "at last"))]);
    let last = job.start(2, &["--until-caught-up"]).ends().last();
    assert_eq!((&last["records_in"], &last["lag"]), (&json!(1), &json!(0)));
    assert_eq!(
        job.values(&job.topic("current")),
        [json!({"id": 1, "text": "at last"})]
    );
}

#[test]
fn messages_of_ten_megabytes_are_a_row_or_a_dead_letter_and_stop_nothing() {
    let job = KafkaJob::notes(shared(), "large");
    job.broker.create_topic(&job.topic("notes"), 1);
    let (long, garbage) = ("x".repeat(10 * MEGABYTE), "y".repeat(10 * MEGABYTE));
    job.publish_notes(&[
        &note(1, NEW_YEAR, "before"),
        &note(2, NEW_YEAR, &long),
        garbage.as_bytes(),
        &note(3, NEW_YEAR, "after"),
    ]);
    let last = job.start(2, &["--until-caught-up"]).ends().last();
    assert_eq!(
        (&last["records_in"], &last["dead_letters"]),
        (&json!(4), &json!(1))
    );

    let current = sorted(job.values(&job.topic("current")));
    let texts: Vec<_> = current
        .iter()
        .map(|row| row["text"].as_str().unwrap())
        .collect();
    assert!(
        texts == ["before", &long, "after"],
        "lengths {:?}",
        texts.iter().map(|text| text.len())
    );
    let dead = job.values(&job.topic("dead"));
    assert_eq!((&dead[0]["offset"], dead.len()), (&json!(2), 1));
    // Base64: four characters for three bytes.
    assert_eq!(
        dead[0]["bytes"].as_str().unwrap().len(),
        (10 * MEGABYTE).div_ceil(3) * 4
    );
}

#[test]
fn a_time_far_in_the_future_is_a_dead_letter_and_does_not_drag_the_watermark() {
    const CENTURY: i64 = 100 * 365 * 86_400_000;
    let job = KafkaJob::notes(shared(), "future");
    job.broker.create_topic(&job.topic("notes"), 1);
    let mut live = job.start(1, &[]);
    for ts in [0, CENTURY, 2_000, 1_000, 20_000] {
        job.publish_notes(&[&note(1, NEW_YEAR + ts, "x")]);
        live.until("its commit", || job.has_committed_all());
    }
    let last = live.stop().last();
    assert_eq!(
        (&last["dead_letters"], &last["late"]),
        (&json!(1), &json!(0))
    );

    let trail = job.values(&job.topic("trail"));
    let times: Vec<_> = trail
        .iter()
        .map(|row| row["ts"].as_str().unwrap())
        .collect();
    // The last one waits for the watermark.
    assert_eq!(
        times,
        [
            "2026-01-01T00:00:00.000Z",
            "2026-01-01T00:00:01.000Z",
            "2026-01-01T00:00:02.000Z"
        ]
    );
    let dead = job.values(&job.topic("dead"));
    let reason = dead[0]["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("field 'ts': ") && reason.contains("ms ahead of its record's time"),
        "{reason}"
    );
    assert_eq!(
        (&dead[0]["topic"], &dead[0]["partition"], &dead[0]["offset"]),
        (&json!("future.notes"), &json!(0), &json!(1))
    );
}
