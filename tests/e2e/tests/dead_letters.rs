//! `tidemill dead-letters` over files: what a job could not use is listed, shown, exported, mended and put back, and every event counts once.
//!
//! The connector's own tests kill a replay at every byte; `dead_letters_kafka` does the same to the whole program over a real Kafka.

#![expect(
    clippy::unwrap_used,
    reason = "what a test cannot go on without fails it"
)]

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;
use tidemill_tests_e2e::binaries::tidemill;
use tidemill_tests_e2e::files;
use tidemill_tests_e2e::jobs::{FilesJob, text};
use tidemill_tests_e2e::process::{Live, Outcome, call};

const WITH: &str = "connector = 'files', path = '${TIDEMILL_DATA}'";
const SOURCE: &str =
    "CREATE SOURCE order_events (id BIGINT NOT NULL, amount DECIMAL(18, 2) NOT NULL, note VARCHAR)";
const SINK_OF_LETTERS: &str = "CREATE SINK dead WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'dead') AS \
                               SELECT * FROM tidemill_dead_letters;\n";

/// A job that sums orders, in a folder of its own.
struct Orders {
    job: FilesJob,
    scratch: TempDir,
}

impl Orders {
    /// With more statements.
    fn new(more: &str) -> Self {
        let scratch = TempDir::new().unwrap();
        let sql = scratch.path().join("orders.sql");
        let job = FilesJob::below(scratch.path(), &sql, "orders");
        let orders = Self { job, scratch };
        orders.write_sql(SOURCE, more);
        orders
    }

    fn write_sql(&self, source: &str, more: &str) {
        let sql = format!(
            "{source} WITH ({WITH}, topic = 'shop.orders', envelope = 'plain');
             CREATE STREAM orders FROM order_events;
             CREATE SINK totals WITH ({WITH}, topic = 'totals', key = 'k') AS
                 SELECT 'all' AS k, COUNT(*) AS orders, SUM(amount) AS total FROM orders GROUP BY 'all';
             {more}"
        );
        fs::write(&self.job.sql, sql).unwrap();
    }

    /// Two good orders of 10.00, and three bad records.
    fn feed(&self) {
        let records = [
            r#"{"id":1,"amount":"10.00"}"#,
            r#"{"id":2,"amount":"12,50"}"#,
            r#"{"id":3,"amount"#,
            r#"{"id":4,"amount":"10.00"}"#,
            r#"{"id":5}"#,
        ];
        for record in records {
            self.append(record);
        }
    }

    fn append(&self, record: &str) {
        let line = format!("{record}\n");
        files::append(&self.job.data, "shop.orders", 0, line.as_bytes());
    }

    fn catch_up(&self) -> Value {
        Live::start(self.job.run(2, &["--until-caught-up"]))
            .ends()
            .last()
    }

    /// The newest count and sum.
    fn totals(&self) -> (u64, String) {
        let rows = files::rows(&self.job.data, "totals");
        let row = rows.last().unwrap();
        (
            row["orders"].as_u64().unwrap(),
            row["total"].as_str().unwrap().to_owned(),
        )
    }

    fn letters(&self, command: &str, more: &[&str]) -> Outcome {
        let (sql, state) = (text(&self.job.sql), text(&self.job.state));
        let job = [
            "dead-letters",
            command,
            sql,
            "--name",
            "orders",
            "--state-dir",
            state,
        ];
        let mut command = tidemill(&[&job[..], more].concat());
        command.env("TIDEMILL_DATA", &self.job.data);
        call(command)
    }

    /// Exports all letters with one text in place of another.
    fn mend(&self, file: &str, from: &str, to: &str) -> String {
        let path = self.scratch.path().join(file);
        let exported = self.letters("export", &[]).good();
        assert!(exported.contains(from), "{exported}");
        fs::write(&path, exported.replace(from, to)).unwrap();
        text(&path).to_owned()
    }
}

/// How many letters `list --json` tells of, by cause.
fn causes(listed: &Value) -> Vec<(String, u64)> {
    let groups = listed["groups"].as_array().unwrap().iter();
    let mut causes: Vec<_> = groups
        .map(|group| {
            (
                group["cause"].as_str().unwrap().to_owned(),
                group["count"].as_u64().unwrap(),
            )
        })
        .collect();
    causes.sort();
    causes
}

fn put_back(report: &Value) -> (u64, u64) {
    let topic = &report["topics"]["shop.orders"];
    (
        topic["put_back"].as_u64().unwrap(),
        topic["before"].as_u64().unwrap(),
    )
}

fn verdicts(report: &Value) -> Vec<(&str, u64)> {
    let refusals = report["not_put_back"].as_array().unwrap().iter();
    refusals
        .map(|refusal| {
            (
                refusal["verdict"].as_str().unwrap(),
                refusal["count"].as_u64().unwrap(),
            )
        })
        .collect()
}

/// From the first look to the last total, wherever the letters are kept.
fn mended_by_hand_every_event_counts_once(more: &str) {
    let orders = Orders::new(more);
    orders.feed();
    assert_eq!(orders.catch_up()["dead_letters"], 3);
    assert_eq!(orders.totals(), (2, "20.00".to_owned()));

    let listed = orders.letters("list", &["--json"]).last();
    let expected = [
        ("field 'amount': expected DECIMAL(18, 2)", 1),
        ("field 'amount': expected DECIMAL(18, 2) NOT NULL", 1),
        (
            "truncated JSON: it ends at byte … (EOF while parsing a string)",
            1,
        ),
    ];
    assert_eq!(
        causes(&listed),
        expected.map(|(cause, count)| (cause.to_owned(), count))
    );
    let shown = orders
        .letters("show", &["shop.orders/0/52", "--json"])
        .last();
    assert_eq!(shown["stage"], "decode");
    assert_eq!(shown["source"], "order_events");
    assert_eq!(
        (&shown["key"], &shown["truncated"]),
        (&Value::Null, &json!(false))
    );
    let for_people = orders.letters("show", &["shop.orders/0/52"]).good();
    assert!(
        for_people.contains("  {\"id\":3,\"amount\n"),
        "{for_people}"
    );
    assert!(for_people.contains("^ byte 15"), "{for_people}");

    // As they are, the job would refuse all of them again.
    let unmended = orders.letters("replay", &["--json"]).last();
    assert_eq!(
        verdicts(&unmended)
            .iter()
            .map(|(_, count)| count)
            .sum::<u64>(),
        3,
        "{unmended}"
    );
    assert!(
        verdicts(&unmended)
            .iter()
            .all(|(verdict, _)| *verdict == "refused-again")
    );

    let mended = orders.mend("mended.jsonl", "12,50", "12.50");
    let dry = orders
        .letters("replay", &["--from", &mended, "--dry-run", "--json"])
        .last();
    assert_eq!(put_back(&dry), (1, 0));
    let report = orders
        .letters("replay", &["--from", &mended, "--json"])
        .last();
    assert_eq!(put_back(&report), (1, 0), "{report}");
    let report = orders
        .letters("replay", &["--from", &mended, "--json"])
        .last();
    assert_eq!(put_back(&report), (0, 1), "{report}");
    assert_eq!(orders.catch_up()["dead_letters"], 0);
    assert_eq!(orders.totals(), (3, "32.50".to_owned()));
}

#[test]
fn what_is_kept_beside_the_state_is_mended_and_counts_once() {
    mended_by_hand_every_event_counts_once("");
}

#[test]
fn what_a_sink_wrote_is_mended_and_counts_once() {
    mended_by_hand_every_event_counts_once(SINK_OF_LETTERS);
}

#[test]
fn a_mended_job_reads_its_bad_records_itself_and_nothing_is_put_back() {
    let orders = Orders::new(SINK_OF_LETTERS);
    orders.feed();
    orders.catch_up();
    // The changed job begins anew, as 'run' says; only the topic of its letters is the same.
    orders.write_sql(
        &SOURCE.replace("DECIMAL(18, 2) NOT NULL", "DECIMAL(18, 2)"),
        SINK_OF_LETTERS,
    );
    let before = orders.letters("replay", &["--json"]).last();
    assert_eq!(verdicts(&before), [("other-plan", 3)], "{before}");
    assert!(before["topics"].as_object().unwrap().is_empty());
    assert!(!orders.job.data.join("shop.orders/_replayed").exists());

    fs::remove_dir_all(&orders.job.state).unwrap();
    for output in ["totals", "dead"] {
        fs::remove_dir_all(orders.job.data.join(output)).unwrap();
    }
    fs::remove_file(orders.job.data.join("_committed")).unwrap();
    assert_eq!(orders.catch_up()["dead_letters"], 2);
    assert_eq!(
        orders.totals(),
        (3, "20.00".to_owned()),
        "what it can read now, once"
    );
    let after = orders.letters("replay", &["--json"]).last();
    let mut after = verdicts(&after);
    after.sort_unstable();
    assert_eq!(after, [("refused-again", 1), ("refused-again", 1)]);
}

#[test]
fn what_a_later_stage_refused_is_not_put_back() {
    let table = format!(
        "CREATE SOURCE price_events (sku VARCHAR, price INT, id BIGINT NOT NULL METADATA FROM 'id')
             WITH ({WITH}, topic = 'prices', envelope = 'crud', entity = 'price');
         CREATE TABLE by_sku (PRIMARY KEY (sku)) FROM price_events;
         CREATE TABLE by_id (PRIMARY KEY (id)) FROM price_events;
         CREATE SINK by_sku_out WITH ({WITH}, topic = 'by_sku', key = 'sku') AS SELECT sku, 100 / price AS per FROM by_sku;
         CREATE SINK by_id_out WITH ({WITH}, topic = 'by_id', key = 'id') AS SELECT id, price FROM by_id;\n"
    );
    let orders = Orders::new(&table);
    orders.feed();
    let price = |id: u64, data: &str| {
        let event = format!(
            "{{\"uuid\":\"u{id}\",\"type\":\"create\",\"ts\":176722560000{id},\"entity\":\"price\",\"id\":{id},\"data\":{{{data}}}}}\n"
        );
        files::append(&orders.job.data, "prices", 0, event.as_bytes());
    };
    price(1, r#""price":5"#);
    price(2, r#""sku":"a","price":0"#);
    orders.catch_up();
    let listed = orders.letters("list", &["--json"]).last();
    let mut stages: Vec<_> = listed["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| group["stage"].as_str().unwrap())
        .collect();
    stages.sort_unstable();
    assert_eq!(
        stages,
        ["decode", "decode", "decode", "row", "table"],
        "{listed}"
    );
    for source in ["by_sku", "by_sku_out"] {
        let report = orders
            .letters("replay", &["--json", "--source", source])
            .last();
        assert_eq!(
            verdicts(&report),
            [("later-stage", 1)],
            "{source}: {report}"
        );
    }
    assert_eq!(
        files::rows(&orders.job.data, "by_id").len(),
        2,
        "another table took the event"
    );
}

#[test]
fn a_record_that_another_source_of_its_topic_took_is_not_put_back() {
    let more = format!(
        "CREATE SOURCE ids (id BIGINT NOT NULL) WITH ({WITH}, topic = 'shop.orders', envelope = 'plain');
         CREATE STREAM id_stream FROM ids;
         CREATE SINK ids_out WITH ({WITH}, topic = 'ids') AS SELECT id FROM id_stream;\n"
    );
    let orders = Orders::new(&more);
    orders.feed();
    orders.catch_up();
    let mended = orders.mend("mended.jsonl", "12,50", "12.50");
    let report = orders
        .letters("replay", &["--from", &mended, "--json"])
        .last();
    let mut found = verdicts(&report);
    found.sort_unstable();
    // The record that is no JSON was refused by both, and would be again.
    assert_eq!(found, [("refused-again", 2), ("taken", 2)], "{report}");
}

#[test]
fn values_are_exported_as_the_files_connector_reads_them() {
    let orders = Orders::new("");
    orders.feed();
    orders.catch_up();
    let folder = orders.scratch.path().join("values");
    orders
        .letters(
            "export",
            &["--values", text(&folder), "--reason", "truncated"],
        )
        .good();
    let lines = fs::read_to_string(folder.join("shop.orders/0.jsonl")).unwrap();
    assert_eq!(lines, "{\"id\":3,\"amount\n");
    let again = orders
        .letters("export", &["--values", text(&folder)])
        .failed_with(2);
    assert!(
        again.contains("name a place where nothing is yet"),
        "{again}"
    );
}

#[test]
fn what_is_not_there_is_refused_with_what_to_do() {
    let orders = Orders::new("");
    let none = orders.letters("list", &[]).failed_with(2);
    assert!(
        none.contains("name the --state-dir that the job runs with"),
        "{none}"
    );
    orders.feed();
    orders.catch_up();
    let missing = orders.letters("show", &["shop.orders/0/1"]).failed_with(2);
    assert!(
        missing.contains("there is no dead letter 'shop.orders/0/1'"),
        "{missing}"
    );
    let file = orders.scratch.path().join("broken.jsonl");
    fs::write(&file, "{}\n").unwrap();
    let broken = orders
        .letters("replay", &["--from", text(&file)])
        .failed_with(2);
    assert!(broken.contains("line 1 is no dead letter"), "{broken}");
    let parts = "CREATE SINK dead WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'dead') AS SELECT topic FROM tidemill_dead_letters;";
    let orders = Orders::new(parts);
    let parts = orders.letters("list", &[]).failed_with(2);
    assert!(
        parts.contains("sink 'dead' has not all that dead letters are"),
        "{parts}"
    );
}
