//! Deliveries of many steps that end between two of them: whoever goes on, with other parcels at once, each record takes effect once, and
//! what was not taken is told.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed, also in its helpers"
)]

mod common;

use std::sync::mpsc::{Receiver, channel};

use common::{Database, HISTORY, Sink, parcel};
use tidemill_connectors_api::Parcel;
use tidemill_tests_broker::redis::Redis as Server;
use tidemill_types::ErrorKind;

/// How many rows an epoch has: those of several steps.
const ROWS: u64 = 3_500;

/// An epoch of rows that no other one has.
fn epoch(number: u64) -> Parcel {
    let label = "x".repeat(100);
    parcel(
        number,
        (0..ROWS).map(|row| (number * ROWS + row, Some(&label))),
    )
}

fn stream(database: &Database) -> Sink {
    database.sink().with("key.prefix", "films").of_rows()
}

/// Memory for some steps more, and not for all of an epoch.
fn let_memory_run_out(database: &mut Database) {
    let info: String = database.ask("INFO memory");
    let used = info
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"));
    let used: u64 = used.unwrap().trim().parse().unwrap();
    database.ask::<String>(&format!("CONFIG SET maxmemory {}", used + (700 << 10)));
}

fn give_memory(database: &mut Database) {
    database.ask::<String>("CONFIG SET maxmemory 0");
}

/// The stream has each row of the first epochs once, in their order.
fn assert_each_once(database: &mut Database, epochs: u64) {
    type Entry = (String, Vec<(String, String)>);
    let entries: Vec<Entry> = database.ask("XRANGE films - +");
    let ids = entries
        .iter()
        .map(|(_, fields)| fields[0].1.parse::<u64>().unwrap());
    let ids: Vec<u64> = ids.collect();
    let expected: Vec<u64> = (ROWS..(epochs + 1) * ROWS).collect();
    assert!(ids == expected, "{} of {}", ids.len(), expected.len());
}

#[test]
fn where_memory_runs_out_in_the_middle_each_row_is_there_once_in_the_end() {
    let server = Server::start().unwrap();
    let mut database = Database::on(&server);
    let sink = stream(&database);
    let (mut delivery, _) = sink.open().unwrap();
    let_memory_run_out(&mut database);
    let error = delivery
        .deliver(&[epoch(1), epoch(2), epoch(3)])
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
    assert!(
        error.message.contains("OOM") && error.message.contains("'maxmemory'"),
        "{error}"
    );
    let there: u64 = database.ask("XLEN films");
    assert!((1_000..3 * ROWS).contains(&there), "{there}");
    // Still none, and nothing is lost by asking.
    assert_eq!(delivery.open(HISTORY).unwrap().0, 0);
    delivery
        .deliver(&[epoch(1), epoch(2), epoch(3)])
        .unwrap_err();
    give_memory(&mut database);
    // Another run goes on, with one epoch at a time.
    let (mut delivery, through) = sink.open().unwrap();
    assert_eq!(through, 0);
    for number in 1..=3 {
        assert_eq!(delivery.deliver(&[epoch(number)]).unwrap(), []);
    }
    assert_each_once(&mut database, 3);
    assert_eq!(sink.open().unwrap().1, 3);
    server.stop().unwrap();
}

#[test]
fn what_was_not_taken_before_memory_ran_out_is_told_with_its_epoch_by_who_goes_on() {
    let server = Server::start().unwrap();
    let mut database = Database::on(&server);
    let sink = database.sink();
    let (mut delivery, _) = sink.open().unwrap();
    database.ask::<u32>(&format!("RPUSH film:{} x", 2 * ROWS));
    let_memory_run_out(&mut database);
    // The first epoch is small, the second one has somebody else's key among its first rows.
    let small = parcel(1, [(1, Some("a"))]);
    delivery.deliver(&[small.clone(), epoch(2)]).unwrap_err();
    give_memory(&mut database);
    database.ask::<u32>(&format!("DEL film:{}", 2 * ROWS));
    let (mut delivery, through) = sink.open().unwrap();
    assert_eq!(through, 0);
    assert_eq!(delivery.deliver(&[small]).unwrap(), []);
    let (mut delivery, through) = sink.open().unwrap();
    assert_eq!(through, 1);
    let rejected = delivery.deliver(&[epoch(2)]).unwrap();
    let places: Vec<_> = rejected
        .iter()
        .map(|one| (one.epoch.0, one.record))
        .collect();
    assert_eq!(places, [(2, 0)]);
    assert_eq!(delivery.deliver(&[epoch(3)]).unwrap(), []);
    // All but that one, and the progress.
    assert_eq!(database.ask::<u64>("DBSIZE"), 1 + (ROWS - 1) + ROWS + 1);
    server.stop().unwrap();
}

/// Delivers epochs, two at a time from `next` on, and tells the last of those that were answered, until it cannot.
fn deliver_until_it_is_killed(sink: &Sink, next: u64) -> Receiver<u64> {
    let (mut delivery, through) = sink.open().unwrap();
    assert_eq!(through + 1, next);
    let (told, answered) = channel();
    std::thread::spawn(move || {
        for number in (next..).step_by(2) {
            match delivery.deliver(&[epoch(number), epoch(number + 1)]) {
                Ok(rejected) => assert_eq!(rejected, []),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
                    return;
                }
            }
            if told.send(number + 1).is_err() {
                return;
            }
        }
    });
    answered
}

#[test]
fn wherever_the_server_is_killed_each_row_is_in_the_stream_once() {
    let server = Server::start().unwrap();
    let mut database = Database::on(&server);
    let sink = stream(&database);
    let mut next = 1;
    for _ in 0..5 {
        let answered = deliver_until_it_is_killed(&sink, next);
        let first = answered.recv().unwrap();
        server.kill().unwrap();
        let last = answered.iter().last().unwrap_or(first);
        server.start_again().unwrap();
        database.reconnect();
        let (mut delivery, through) = sink.open().unwrap();
        // The last ones may have been done although nobody was told.
        assert!((last..=last + 2).contains(&through), "{last} {through}");
        delivery.deliver(&[epoch(through + 1)]).unwrap();
        next = through + 2;
        assert_each_once(&mut database, through + 1);
    }
    server.stop().unwrap();
}

#[test]
fn a_server_that_forgot_is_found_to_have_nothing_and_one_that_went_back_to_have_less() {
    let server = Server::start().unwrap();
    let mut database = Database::on(&server);
    let sink = database.sink();
    let (mut delivery, _) = sink.open().unwrap();
    delivery.deliver(&[parcel(1, [(1, Some("a"))])]).unwrap();
    // As after a failover to a replica that was behind, on a connection that stays: through a proxy.
    database.ask::<u32>("HSET film:.tidemill epoch 0 at_epoch 1 at_record 0");
    let error = delivery
        .deliver(&[parcel(2, [(1, Some("b"))])])
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
    assert_eq!(delivery.open(HISTORY).unwrap().0, 0);
    let value: String = database.ask("GET film:1");
    assert!(value.contains("\"a\""), "{value}");
    database.ask::<String>("FLUSHALL");
    let error = delivery
        .deliver(&[parcel(2, [(1, Some("b"))])])
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
    assert_eq!(database.ask::<u32>("DBSIZE"), 0);
    assert_eq!(delivery.open(HISTORY).unwrap().0, 0);
    server.stop().unwrap();
}

#[test]
fn other_clients_wait_a_moment_only_while_a_large_epoch_arrives() {
    let server = Server::start().unwrap();
    let mut database = Database::on(&server);
    let sink = database.sink().with("type", "hash");
    let (mut delivery, _) = sink.open().unwrap();
    let label = "x".repeat(640);
    let large = parcel(1, (0..100_000).map(|id| (id, Some(&label))));
    assert!(large.records.arena.len() > 60 << 20);
    database.ask::<String>("CONFIG RESETSTAT");
    assert_eq!(delivery.deliver(&[large]).unwrap(), []);
    let stats: String = database.ask("INFO commandstats");
    let eval = stats
        .lines()
        .find_map(|line| line.strip_prefix("cmdstat_eval:"))
        .unwrap();
    let number = |name: &str| -> f64 {
        let part = eval.split(',').find_map(|part| part.strip_prefix(name));
        part.unwrap().trim().parse().unwrap()
    };
    // So many steps; each of them is all that another client waits for.
    assert!(number("calls=") >= 100.0, "{eval}");
    assert!(number("usec_per_call=") < 100_000.0, "{eval}");
    assert_eq!(database.ask::<u32>("DBSIZE"), 100_001);
    server.stop().unwrap();
}
