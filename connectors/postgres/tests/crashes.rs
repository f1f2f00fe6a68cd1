//! A server that is killed at any instant: what was answered is there, what is there is known, and nothing is there twice or in part.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed, also in its helpers"
)]

mod common;

use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

use common::{Database, HISTORY, Sink, labelled, parcel};
use tidemill_connectors_api::Parcel;
use tidemill_tests_broker::postgres::Postgres as Server;
use tidemill_types::ErrorKind;

/// How many rows an epoch has.
const ROWS: u64 = 500;

/// An epoch whose rows are all new, and which changes one row that every epoch changes.
fn epoch(number: u64) -> Parcel {
    let new = (0..ROWS).map(|row| labelled(number * ROWS + row, "x"));
    parcel(number, new.chain([labelled(0, &number.to_string())]))
}

/// What is there is that epoch, whole, and nothing beyond.
fn assert_stands_at(database: &mut Database, epoch: u64) {
    let there = database.ask("SELECT count(*)::text, max(id)::text FROM t WHERE id > 0");
    let expected = format!("{} {}", epoch * ROWS, epoch * ROWS + ROWS - 1);
    assert_eq!(there, [expected]);
    let changed = database.ask("SELECT label FROM t WHERE id = 0");
    assert_eq!(changed, [epoch.to_string()]);
}

/// Delivers epochs, one after the other from `next` on, and tells each that was answered, until it cannot.
fn deliver_until_it_is_killed(sink: &Sink, next: u64) -> Receiver<u64> {
    let (mut delivery, stands) = sink.open().unwrap();
    assert_eq!(stands + 1, next);
    let (told, answered) = channel();
    std::thread::spawn(move || {
        for number in next.. {
            match delivery.deliver(&[epoch(number)]) {
                Ok(rejected) => assert_eq!(rejected, []),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
                    return;
                }
            }
            if told.send(number).is_err() {
                return;
            }
        }
    });
    answered
}

#[test]
fn wherever_the_server_is_killed_its_own_word_tells_what_is_there() {
    let server = Server::start(None).unwrap();
    let mut database = Database::on(&server);
    let sink = database.sink();
    let mut next = 1;
    for _ in 0..6 {
        let answered = deliver_until_it_is_killed(&sink, next);
        let first = answered.recv().unwrap();
        server.kill().unwrap();
        let last = answered.iter().last().unwrap_or(first);
        server.start_again().unwrap();
        database.reconnect();
        let (_, stands) = sink.open().unwrap();
        // The last one may have been committed although nobody was told.
        assert!((last..=last + 1).contains(&stands), "{last} {stands}");
        assert_stands_at(&mut database, stands);
        next = stands + 1;
    }
    server.stop().unwrap();
}

#[test]
fn a_server_that_is_killed_between_two_statements_has_nothing_of_the_epoch() {
    let server = Server::start(None).unwrap();
    let mut database = Database::on(&server);
    let sink = database.sink();
    let (mut delivery, _) = sink.open().unwrap();
    delivery.deliver(&[epoch(1)]).unwrap();
    // The rows go in, and then the progress of the second epoch waits for whoever holds its row.
    database.run(
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_lock(7); RETURN NEW; END $$; \
         CREATE TRIGGER wait BEFORE UPDATE ON tidemill_deliveries FOR EACH ROW WHEN (NEW.epoch = 2) EXECUTE FUNCTION wait(); \
         SELECT pg_advisory_lock(7)",
    );
    std::thread::scope(|scope| {
        let second = scope.spawn(|| delivery.deliver(&[epoch(2)]));
        let waits =
            "SELECT count(*)::text FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
        while database.ask(waits) != ["1"] {
            assert!(!second.is_finished());
        }
        server.kill().unwrap();
        let error = second.join().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
    });
    server.start_again().unwrap();
    database.reconnect();
    assert_eq!(delivery.open(HISTORY).unwrap().0, 1);
    assert_stands_at(&mut database, 1);
    delivery.deliver(&[epoch(2)]).unwrap();
    assert_stands_at(&mut database, 2);
    server.stop().unwrap();
}

#[test]
fn a_session_that_the_server_ends_and_a_lock_of_somebody_else_are_tried_again() {
    let mut database = Database::new();
    let sink = database.sink().with("timeout", "2 s");
    let (mut delivery, _) = sink.open().unwrap();
    database.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tidemill' AND datname = current_database()",
    );
    let error = delivery.deliver(&[epoch(1)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
    assert_eq!(delivery.open(HISTORY).unwrap().0, 0);
    database.run("BEGIN; LOCK TABLE t");
    let error = delivery.deliver(&[epoch(1)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
    database.run("COMMIT");
    assert_eq!(delivery.open(HISTORY).unwrap().0, 0);
    delivery.deliver(&[epoch(1)]).unwrap();
    assert_stands_at(&mut database, 1);
}

#[test]
fn a_commit_is_on_the_disk_whatever_the_server_s_default_is() {
    let mut database = Database::new();
    let name = database.name.clone();
    database.run(&format!(
        "ALTER DATABASE {name} SET synchronous_commit = off; ALTER DATABASE {name} SET TimeZone = 'Asia/Tokyo'"
    ));
    // What holds in the session that writes is seen by a trigger in it.
    database.run(
        "CREATE TABLE t (id bigint PRIMARY KEY, label text); CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         NEW.label := current_setting('synchronous_commit') || ' ' || current_setting('TimeZone'); RETURN NEW; END $$; \
         CREATE TRIGGER tell BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION tell()",
    );
    let (mut delivery, _) = database.sink().open().unwrap();
    delivery.deliver(&[parcel(1, [labelled(1, "a")])]).unwrap();
    assert_eq!(database.ask("SELECT label FROM t"), ["on UTC"]);
}

#[test]
fn who_listens_and_does_not_answer_is_left() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgresql://{}/x", silent.local_addr().unwrap());
    let sink = Database::new().sink();
    let error = sink.with("url", &url).with("timeout", "100 ms").refusal();
    assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
    assert!(error.message.contains("no answer within 2.1 s"), "{error}");
}

#[test]
fn who_is_not_there_and_who_must_not_be_reached_are_told_apart() {
    let sink = Database::new().sink();
    let error = sink
        .clone()
        .with("url", "postgresql://127.0.0.1:1/x")
        .refusal();
    assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
    let metadata = sink.with("url", "postgresql://169.254.169.254/x");
    let error = metadata.refusal();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(error.message.contains("not allowed"), "{error}");
}

#[test]
fn a_wrong_login_and_a_database_that_is_not_there_are_named_without_the_password() {
    let sink = Database::new().sink();
    for (option, value, told) in [
        ("password", "hunter2", "password authentication failed"),
        ("user", "nobody", "password authentication failed"),
        ("url", "", "does not exist"),
    ] {
        let wrong = match option {
            "url" => sink.options["url"].clone() + "_not",
            _ => value.to_owned(),
        };
        let error = sink.clone().with(option, &wrong).refusal();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.message.contains(told), "{error}");
        assert!(!error.message.contains("hunter2"), "{error}");
    }
    let mut without = sink;
    without.options.remove("password");
    let error = without.refusal();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(error.message.contains("password missing"), "{error}");
}
