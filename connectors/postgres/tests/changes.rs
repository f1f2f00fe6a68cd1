//! Reading changes of a real server beyond the contracts: what is refused, what is killed, what is large, and every type.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed, also in its helpers"
)]

mod common;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use common::Database;
use serde_json::{Value, json};
use tidemill_connectors_api::{Error, Source};
use tidemill_tests_broker::postgres::Postgres as Server;
use tidemill_types::ErrorKind;

const PATIENCE: Duration = Duration::from_secs(60);

/// What was read: records by their positions, and the cuts.
#[derive(Default)]
struct Heard {
    records: Vec<(i64, Value)>,
    cuts: Vec<i64>,
    is_within: bool,
}

impl Heard {
    fn poll(&mut self, source: &mut dyn Source) -> Result<(), Error> {
        let mut batches = Vec::new();
        let polled = source.poll(Duration::from_millis(50), 1 << 18, &mut batches);
        for batch in batches {
            for record in batch.records.iter() {
                let before = self.records.last().map(|record| record.0);
                assert!(before < Some(record.offset), "positions rise");
                let value = serde_json::from_slice(record.value.unwrap()).unwrap();
                self.records.push((record.offset, value));
            }
            self.is_within = batch.is_within;
            if !batch.is_within {
                self.cuts.push(batch.next_offset);
            }
        }
        polled
    }

    /// Polls until that is so, and no transaction is open.
    fn until(&mut self, source: &mut dyn Source, is_enough: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while self.is_within || !is_enough(self) {
            let count = self.records.len();
            assert!(Instant::now() < deadline, "only {count} records came");
            if let Err(error) = self.poll(source) {
                assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
            }
        }
    }

    fn rows(&self) -> BTreeMap<i64, String> {
        let mut rows = BTreeMap::new();
        for (_, change) in &self.records {
            let id = |state: &str| change[state]["id"].as_i64().unwrap();
            if change["op"] == "d" {
                // One that no chunk had told yet is gone before it was there.
                rows.remove(&id("before"));
            } else {
                let label = change["after"]["label"].as_str().unwrap().to_owned();
                rows.insert(id("after"), label);
            }
        }
        rows
    }
}

fn make_table(database: &mut Database, rows: u32) {
    database.run(&format!(
        "CREATE TABLE t (id bigint PRIMARY KEY, label text); ALTER TABLE t REPLICA IDENTITY FULL; \
         INSERT INTO t SELECT n, 'row ' || n FROM generate_series(1, {rows}) n"
    ));
}

fn there(database: &mut Database) -> BTreeMap<i64, String> {
    let rows = database.client.query("SELECT id, label FROM t", &[]);
    let rows = rows.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[test]
fn what_cannot_be_read_is_refused_with_the_sql_that_cures_it() {
    let mut database = Database::new();
    database.run(
        "CREATE TABLE plain (id int PRIMARY KEY); CREATE TABLE keyless (id int); ALTER TABLE keyless REPLICA IDENTITY FULL; \
         CREATE VIEW seen AS SELECT * FROM plain; CREATE UNLOGGED TABLE unlogged (id int PRIMARY KEY); \
         CREATE TABLE good (id int PRIMARY KEY); ALTER TABLE good REPLICA IDENTITY FULL",
    );
    let name = database.name.clone();
    database.run(&format!(
        "CREATE PUBLICATION {name}_other FOR TABLE plain; CREATE ROLE {name}_reader LOGIN PASSWORD 'x'; GRANT SELECT ON good TO {name}_reader; \
         CREATE ROLE {name}_walker LOGIN REPLICATION PASSWORD 'x'; SELECT pg_create_physical_replication_slot('{name}_taken')"
    ));
    for (table, more, told) in [
        ("nothing", vec![], "there is no table \"nothing\""),
        (
            "plain",
            vec![],
            "ALTER TABLE \"public\".\"plain\" REPLICA IDENTITY FULL;",
        ),
        (
            "keyless",
            vec![],
            "ALTER TABLE \"public\".\"keyless\" ADD PRIMARY KEY (…);",
        ),
        ("seen", vec![], "is no table of its own"),
        (
            "unlogged",
            vec![],
            "ALTER TABLE \"public\".\"unlogged\" SET LOGGED;",
        ),
        (
            "good",
            vec![("password", "hunter2")],
            "password authentication failed",
        ),
        (
            "good",
            vec![("user", "reader"), ("password", "x")],
            "REPLICATION;",
        ),
        (
            "good",
            vec![("user", "walker"), ("password", "x")],
            "GRANT SELECT ON \"public\".\"good\"",
        ),
        ("good", vec![("slot", "other")], "DROP PUBLICATION"),
        ("good", vec![("slot", "taken")], "was not made for this"),
    ] {
        let mut reader = database.reader(table);
        for (option, value) in more {
            let own = ["user", "slot"].contains(&option);
            let value = if own {
                format!("{name}_{value}")
            } else {
                value.to_owned()
            };
            reader = reader.with(option, &value);
        }
        let error = reader.refusal();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(
            error.message.contains(told) && !error.message.contains("hunter2"),
            "{error}"
        );
    }
}

#[test]
fn a_server_whose_log_tells_no_rows_is_refused() {
    let server = Server::start_with(None, "replica").unwrap();
    let error = Database::on(&server).reader("t").refusal();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(
        error
            .message
            .contains("ALTER SYSTEM SET wal_level = 'logical'"),
        "{error}"
    );
    server.stop().unwrap();
}

#[test]
fn a_slot_in_use_is_tried_again_and_one_that_is_dropped_is_lost() {
    let mut database = Database::new();
    make_table(&mut database, 3);
    let reader = database.reader("t");
    let mut first = reader.open(None).unwrap();
    let mut heard = Heard::default();
    heard.until(first.as_mut(), |heard| heard.records.len() == 3);
    let mut second = reader.open(None).unwrap();
    let error = Heard::default().poll(second.as_mut()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
    assert!(error.message.contains("is in use (process "), "{error}");
    drop(second);
    let slot = reader.0["slot"].clone();
    let end = format!(
        "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '{slot}' AND active"
    );
    database.run(&end);
    let drop_it = format!("SELECT pg_drop_replication_slot('{slot}')");
    while database.client.batch_execute(&drop_it).is_err() {}
    let deadline = Instant::now() + PATIENCE;
    let error = loop {
        assert!(Instant::now() < deadline);
        match heard.poll(first.as_mut()) {
            Err(error) if error.kind() != ErrorKind::Retry => break error,
            _ => {}
        }
    };
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(error.message.contains("is gone"), "{error}");
}

#[test]
fn a_server_killed_within_the_snapshot_and_within_the_changes_loses_and_repeats_nothing() {
    let server = Server::start(None).unwrap();
    let mut database = Database::on(&server);
    make_table(&mut database, 20_000);
    let reader = database.reader("t");
    let mut source = reader.open(None).unwrap();
    let mut heard = Heard::default();
    heard.until(source.as_mut(), |heard| heard.records.len() > 1_000);
    database
        .run("UPDATE t SET label = 'changed' WHERE id % 10 = 0; DELETE FROM t WHERE id % 10 = 1");
    for (round, enough) in [5_000, 24_000].into_iter().enumerate() {
        heard.until(source.as_mut(), |heard| {
            heard.records.len() > enough.min(20_000)
        });
        server.kill().unwrap();
        // What was sent before is read yet.
        let error = loop {
            if let Err(error) = heard.poll(source.as_mut()) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
        server.start_again().unwrap();
        database.reconnect();
        database.run(&format!(
            "UPDATE t SET label = 'round {round}' WHERE id % 7 = 0"
        ));
    }
    let wanted = there(&mut database);
    heard.until(source.as_mut(), |heard| heard.rows() == wanted);
    let last = heard.records.len();
    drop(source);
    // Whoever begins in between reads the rest as it was.
    for at in [1, heard.cuts.len() / 3, heard.cuts.len() / 2] {
        let cut = heard.cuts[at];
        let mut source = reader.open(Some(cut)).unwrap();
        let from = heard.records.partition_point(|record| record.0 < cut);
        let mut again = Heard::default();
        again.until(source.as_mut(), |again| again.records.len() >= last - from);
        assert!(again.records == heard.records[from..last], "from {cut}");
    }
    server.stop().unwrap();
}

#[test]
fn a_transaction_of_many_rows_is_whole_and_positions_come_back_to_the_log() {
    let mut database = Database::new();
    make_table(&mut database, 0);
    let reader = database.reader("t");
    let mut source = reader.open(None).unwrap();
    let mut heard = Heard::default();
    heard.until(source.as_mut(), |heard| !heard.cuts.is_empty());
    database.run("INSERT INTO t SELECT n, 'row ' || n FROM generate_series(1, 200000) n");
    heard.until(source.as_mut(), |heard| heard.records.len() == 200_000);
    let cut = *heard.cuts.last().unwrap();
    let first = heard.records[0].0;
    assert!(
        heard
            .cuts
            .iter()
            .all(|&cut| cut <= first || cut > first + 199_999)
    );
    database.run("UPDATE t SET label = 'x' WHERE id = 7");
    heard.until(source.as_mut(), |heard| heard.records.len() == 200_001);
    drop(source);
    let mut source = reader.open(Some(cut)).unwrap();
    let mut again = Heard::default();
    again.until(source.as_mut(), |again| !again.records.is_empty());
    assert_eq!(again.records[0], heard.records[200_000]);
}

const TYPES: &str = "CREATE TYPE mood AS ENUM ('sad', 'it''s \"ok\"'); CREATE DOMAIN cents AS numeric(20,2); CREATE TYPE pair AS (a int, b text); \
    CREATE TABLE every (id uuid, part char(4), i2 smallint, i8 bigint, f4 real, f8 double precision, n numeric, n2 cents, b boolean, \
    t text, v varchar(9), j json, jb jsonb, d date, ts timestamp, tz timestamptz, ti time, iv interval, by bytea, ip inet, m mood, p pair, \
    ia int[], ta text[], ma mood[], tza timestamptz[], nothing text, large text, twice int GENERATED ALWAYS AS (i2 * 2) STORED, PRIMARY KEY (id, part)); \
    ALTER TABLE every ALTER large SET STORAGE EXTERNAL; ALTER TABLE every REPLICA IDENTITY FULL; \
    INSERT INTO every VALUES ('0190f3a1-7b2c-7def-8123-456789abcdef', 'a', -5, 9223372036854775807, 0.5, 1e300, 12345678901234567890.123456789, 7.5, true, \
    E'q\"u\\\\o\\n\\u00e9,(x)', '', '{\"a\": [1, 2]}', '{\"b\": null}', '2026-05-01', '2026-05-01 09:30:00.25', '2026-05-01 09:30:00+02', '09:30', '1 day 2 h', \
    '\\x00ff', '10.0.0.7', 'it''s \"ok\"', '(1,\"x,y\")', '{1,NULL}', '{a,\"b c\"}', '{sad}', '{\"2026-05-01 00:00+00\"}', NULL, repeat('x', 100000))";

#[test]
fn every_type_is_read_alike_from_the_snapshot_and_from_the_log() {
    let mut database = Database::new();
    database.run(TYPES);
    let mut source = database.reader("every").open(None).unwrap();
    let mut heard = Heard::default();
    heard.until(source.as_mut(), |heard| heard.records.len() == 1);
    database.run("UPDATE every SET i2 = i2");
    database.run("UPDATE every SET id = '0190f3a1-7b2c-7def-8123-000000000000'");
    database.run("TRUNCATE every");
    heard.until(source.as_mut(), |heard| heard.records.len() == 5);
    let changes: Vec<&Value> = heard.records.iter().map(|record| &record.1).collect();
    let mut after = changes[0]["after"].clone();
    assert_eq!(after["large"].as_str().unwrap().len(), 100_000);
    after["large"] = Value::Null;
    let wanted = r#"{"id":"0190f3a1-7b2c-7def-8123-456789abcdef","part":"a   ","i2":-5,"i8":9223372036854775807,"f4":0.5,"f8":1e300,
        "n":12345678901234567890.123456789,"n2":7.50,"b":true,"t":"q\"u\\o\né,(x)","v":"","j":{"a":[1,2]},"jb":{"b":null},"d":"2026-05-01",
        "ts":"2026-05-01T09:30:00.25Z","tz":"2026-05-01T07:30:00Z","ti":"09:30:00","iv":"1 day 02:00:00","by":"AP8=","ip":"10.0.0.7",
        "m":"it's \"ok\"","p":"(1,\"x,y\")","ia":[1,null],"ta":["a","b c"],"ma":["sad"],"tza":["2026-05-01T00:00:00Z"],"nothing":null,"large":null}"#;
    assert_eq!(after, serde_json::from_str::<Value>(wanted).unwrap());
    let ops: Vec<_> = changes
        .iter()
        .map(|change| change["op"].as_str().unwrap())
        .collect();
    assert_eq!(ops, ["r", "u", "d", "c", "t"]);
    assert_eq!(changes[1]["after"], changes[0]["after"]);
    assert_eq!(changes[1]["before"], changes[0]["after"]);
    assert_eq!(changes[2]["before"], changes[0]["after"]);
    assert_eq!(changes[3]["after"]["large"], changes[0]["after"]["large"]);
    assert_eq!(changes[0]["source"]["snapshot"], json!("true"));
    assert_eq!(changes[4]["after"], Value::Null);
}

#[test]
fn columns_may_come_and_go_and_a_key_that_changes_is_refused() {
    let mut database = Database::new();
    make_table(&mut database, 2);
    let reader = database.reader("t").with("snapshot", "never");
    let mut source = reader.open(None).unwrap();
    let mut heard = Heard::default();
    heard.until(source.as_mut(), |heard| !heard.cuts.is_empty());
    database.run("ALTER TABLE t ADD more int DEFAULT 4; UPDATE t SET label = 'x' WHERE id = 1");
    database.run("ALTER TABLE t DROP more; UPDATE t SET label = 'y' WHERE id = 1");
    heard.until(source.as_mut(), |heard| heard.records.len() == 2);
    assert_eq!(
        heard.records[0].1["after"],
        json!({"id": 1, "label": "x", "more": 4})
    );
    assert_eq!(heard.records[1].1["after"], json!({"id": 1, "label": "y"}));
    drop(source);
    database.run("ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (id, label)");
    let error = reader.refusal();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(error.message.contains("the primary key of"), "{error}");
}

#[test]
fn whoever_runs_the_sql_of_each_message_ends_up_with_a_user_who_can_read() {
    let mut database = Database::new();
    make_table(&mut database, 2);
    let role = format!("{}_plain", database.name);
    database.run(&format!(
        "ALTER TABLE t REPLICA IDENTITY DEFAULT; CREATE ROLE {role} LOGIN PASSWORD 'x'"
    ));
    let reader = database.reader("public.t").with("user", &role);
    let reader = reader
        .with("password", "x")
        .with("slot", &format!("{role}_slot"));
    let mut cures = 0;
    let mut source = loop {
        match reader.open(None) {
            Ok(source) => break source,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
                let (_, sql) = error.message.split_once("run: ").unwrap();
                database.run(sql);
                cures += 1;
                assert!(cures < 9, "{error}");
            }
        }
    };
    assert_eq!(cures, 5);
    let mut heard = Heard::default();
    heard.until(source.as_mut(), |heard| heard.records.len() == 2);
    database.run("UPDATE t SET label = 'x' WHERE id = 1");
    heard.until(source.as_mut(), |heard| heard.records.len() == 3);
}

#[test]
fn who_was_not_polled_for_long_goes_on_where_it_stopped() {
    let mut database = Database::new();
    make_table(&mut database, 3);
    let name = database.name.clone();
    database.run(&format!(
        "ALTER DATABASE {name} SET wal_sender_timeout = '200ms'"
    ));
    let mut source = database.reader("t").open(None).unwrap();
    let mut heard = Heard::default();
    heard.until(source.as_mut(), |heard| heard.records.len() == 3);
    let gone = "SELECT pid::text FROM pg_stat_replication JOIN pg_stat_activity USING (pid) WHERE datname = current_database()";
    let deadline = Instant::now() + PATIENCE;
    while !database.ask(gone).is_empty() {
        assert!(Instant::now() < deadline);
    }
    database.run("UPDATE t SET label = 'x'");
    while heard.records.len() < 6 {
        assert!(Instant::now() < deadline);
        heard.poll(source.as_mut()).unwrap();
    }
}

#[test]
fn a_table_that_is_read_to_its_end_is_known_to_be() {
    let mut database = Database::new();
    make_table(&mut database, 3);
    let mut source = database.reader("t").open(None).unwrap();
    let mut heard = Heard::default();
    heard.until(source.as_mut(), |heard| heard.records.len() == 3);
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline);
        heard.poll(source.as_mut()).unwrap();
        let next = heard.cuts.last().copied().unwrap();
        match source.known_ends()[..] {
            [(0, end)] if end <= next => break,
            _ => {}
        }
    }
    assert_eq!(heard.records.len(), 3);
}
