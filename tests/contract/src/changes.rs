//! Changes of a database's table: what was there and what changes meet exactly, a transaction is never cut, and what is read twice is the same.
//!
//! A record is the change of a row as Debezium tells it: `op`, `before`, `after`. All tables have the columns `id BIGINT PRIMARY KEY` and
//! `label VARCHAR`.
//!
//! Catches: rows that are missing, twice or stale where the snapshot meets the stream, transactions whose end is not told, positions that mean
//! something else after a restart. Cannot catch: races within the database that a test does not come upon.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;
use tidemill_connectors_api::{Source, SourceBatch};
use tidemill_types::ErrorKind;

/// How long a source may take to bring what is there.
const PATIENCE: Duration = Duration::from_secs(60);

/// One change of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change<'a> {
    /// The row of an id has this label, whether there was one or not.
    Put(i64, &'a str),
    /// There is no row of an id.
    Remove(i64),
}

/// A database whose changes are read.
pub trait Database {
    /// Makes an empty table.
    fn make_table(&mut self, table: &str);
    /// Commits changes in one transaction.
    fn commit(&mut self, table: &str, changes: &[Change<'_>]);
    /// Begins a transaction with changes, which stays open. Only one is open at a time.
    fn begin(&mut self, table: &str, changes: &[Change<'_>]);
    /// Commits the transaction that is open.
    fn end(&mut self);
    /// Forgets all that no reader has confirmed, and who the readers were: as a dropped slot, a purged log.
    fn lose_log(&mut self, table: &str);
    /// A reader of a table, which makes what it needs. It has connected to nothing yet.
    fn source(&mut self, table: &str) -> Box<dyn Source>;
}

/// A record as it was read: its position and what it says.
type Read = (i64, Value);

/// Records, and after which of their positions an epoch may end.
#[derive(Debug, Clone, Default, PartialEq)]
struct Heard {
    records: Vec<Read>,
    cuts: Vec<i64>,
    is_within: bool,
}

impl Heard {
    fn take(&mut self, batch: &SourceBatch) {
        assert_eq!(batch.partition(), 0, "a table is one partition");
        for (at, &offset) in batch.records.offsets.iter().enumerate() {
            let before = self.records.last().map(|record| record.0);
            assert!(before < Some(offset), "positions rise");
            assert!(offset < batch.next_offset, "the position is after it");
            let value = batch.records.get(at).value.expect("a change has a value");
            let value = serde_json::from_slice(value).expect("it is JSON");
            self.records.push((offset, value));
        }
        if batch.end_offset.is_none() {
            self.is_within = batch.is_within;
            if !batch.is_within {
                self.cuts.push(batch.next_offset);
            }
        }
    }

    /// What the table has, by what was heard.
    fn rows(&self) -> BTreeMap<i64, String> {
        rows(&self.records)
    }
}

fn rows(records: &[Read]) -> BTreeMap<i64, String> {
    let mut rows = BTreeMap::new();
    for (_, change) in records {
        let of = |state: &Value| {
            let label = state["label"].as_str().map(ToOwned::to_owned);
            Some((state["id"].as_i64()?, label?))
        };
        if change["op"] == "d" {
            let id = change["before"]["id"]
                .as_i64()
                .expect("what is gone has an id");
            // One that the snapshot had not come to is gone before it was there.
            rows.remove(&id);
        } else {
            rows.extend(of(&change["after"]));
        }
    }
    rows
}

/// Polls until what was heard is enough, and no transaction is open.
fn hear(source: &mut dyn Source, heard: &mut Heard, is_enough: impl Fn(&Heard) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while heard.is_within || !is_enough(heard) {
        assert!(Instant::now() < deadline, "only so much came: {heard:?}");
        let mut batches = Vec::new();
        match source.poll(Duration::from_millis(50), 1 << 20, &mut batches) {
            Ok(()) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::Retry, "{error}"),
        }
        batches.iter().for_each(|batch| heard.take(batch));
    }
}

/// A reader that has begun, from the oldest that there is.
fn begun(database: &mut dyn Database, table: &str) -> (Box<dyn Source>, String) {
    let mut source = database.source(table);
    let described = source.describe("").expect("it can be described");
    assert_eq!(described.partitions, [0]);
    source.open(&[(0, None)]).expect("it can be opened");
    (source, described.incarnation)
}

fn of<const N: usize>(rows: [(i64, &str); N]) -> BTreeMap<i64, String> {
    let rows = rows.into_iter();
    rows.map(|(id, label)| (id, label.to_owned())).collect()
}

/// What the table has when a reader begins comes, then what changes.
pub fn what_is_there_comes_and_then_what_changes(database: &mut dyn Database) {
    let table = "begins";
    database.make_table(table);
    database.commit(
        table,
        &[
            Change::Put(1, "one"),
            Change::Put(2, "two"),
            Change::Put(3, "three"),
        ],
    );
    let (mut source, _) = begun(database, table);
    let mut heard = Heard::default();
    hear(source.as_mut(), &mut heard, |heard| {
        heard.records.len() == 3
    });
    assert_eq!(heard.rows(), of([(1, "one"), (2, "two"), (3, "three")]));
    database.commit(table, &[Change::Put(2, "zwei"), Change::Remove(3)]);
    database.commit(table, &[Change::Put(4, "four"), Change::Put(1, "eins")]);
    hear(source.as_mut(), &mut heard, |heard| {
        heard.records.len() == 7
    });
    let ops: Vec<_> = heard.records[3..]
        .iter()
        .map(|(_, change)| change["op"].as_str().unwrap())
        .collect();
    assert_eq!(ops, ["u", "d", "c", "u"]);
    assert_eq!(heard.rows(), of([(1, "eins"), (2, "zwei"), (4, "four")]));
}

/// What changes while the snapshot is taken is there as it was last, whatever the reader saw first; also of a transaction that began before it.
pub fn a_snapshot_meets_the_changes_exactly(database: &mut dyn Database) {
    let table = "meets";
    database.make_table(table);
    let labels: Vec<String> = (0..500).map(|id| format!("old {id}")).collect();
    let all: Vec<Change<'_>> = labels
        .iter()
        .zip(0..)
        .map(|(label, id)| Change::Put(id, label))
        .collect();
    database.commit(table, &all);
    database.begin(table, &[Change::Put(7, "open"), Change::Remove(8)]);
    let mut source = database.source(table);
    let mut heard = Heard::default();
    source
        .describe("")
        .expect("a transaction that is open holds up nobody");
    source.open(&[(0, None)]).unwrap();
    for id in 0..40 {
        let mut batches = Vec::new();
        drop(source.poll(Duration::from_millis(5), 1 << 12, &mut batches));
        batches.iter().for_each(|batch| heard.take(batch));
        database.commit(
            table,
            &[
                Change::Put(10 * id + 1, "new"),
                Change::Remove(10 * id + 2),
                Change::Put(1_000 + id, "more"),
            ],
        );
    }
    database.end();
    let mut wanted: BTreeMap<i64, String> = labels
        .iter()
        .zip(0..)
        .map(|(label, id)| (id, label.clone()))
        .collect();
    for id in 0..40 {
        wanted.insert(10 * id + 1, "new".to_owned());
        wanted.remove(&(10 * id + 2));
        wanted.insert(1_000 + id, "more".to_owned());
    }
    wanted.insert(7, "open".to_owned());
    wanted.remove(&8);
    hear(source.as_mut(), &mut heard, |heard| heard.rows() == wanted);
}

/// A transaction's changes come together: no epoch may end between them, and none of another transaction is among them.
pub fn a_transaction_is_never_cut(database: &mut dyn Database) {
    let table = "whole";
    database.make_table(table);
    let (mut source, _) = begun(database, table);
    let labels: Vec<String> = (0..3_000)
        .map(|id| format!("{id} {}", "x".repeat(40)))
        .collect();
    let all: Vec<Change<'_>> = labels
        .iter()
        .zip(0..)
        .map(|(label, id)| Change::Put(id, label))
        .collect();
    database.begin(table, &all[..2_000]);
    database.end();
    database.commit(table, &[Change::Put(9_000, "alone")]);
    database.commit(table, &all[2_000..]);
    let mut heard = Heard::default();
    // Little at a time: what is large comes in several batches.
    let deadline = Instant::now() + PATIENCE;
    while heard.records.len() < 3_001 || heard.is_within {
        assert!(Instant::now() < deadline);
        let mut batches = Vec::new();
        source
            .poll(Duration::from_millis(50), 1 << 12, &mut batches)
            .unwrap();
        batches.iter().for_each(|batch| heard.take(batch));
    }
    for cut in &heard.cuts {
        let count = heard.records.iter().filter(|(at, _)| at < cut).count();
        assert!(
            [0, 2_000, 2_001, 3_001].contains(&count),
            "cut after {count} records"
        );
    }
}

/// Opened at any position where an epoch may end, a reader brings what another one brought from there on, at the same positions.
pub fn what_is_read_again_is_the_same(database: &mut dyn Database) {
    let table = "again";
    database.make_table(table);
    for id in 0..50 {
        database.commit(table, &[Change::Put(id, "there")]);
    }
    let (mut source, incarnation) = begun(database, table);
    let mut heard = Heard::default();
    hear(source.as_mut(), &mut heard, |heard| {
        heard.rows().len() == 50
    });
    for id in 0..10 {
        database.commit(
            table,
            &[
                Change::Put(id, "changed"),
                Change::Put(id + 100, "new"),
                Change::Remove(id + 20),
            ],
        );
    }
    let last = |heard: &Heard| heard.rows().contains_key(&109);
    hear(source.as_mut(), &mut heard, last);
    drop(source);
    let mut cuts = heard.cuts.clone();
    cuts.dedup();
    let step = cuts.len() / 4 + 1;
    for &cut in cuts.iter().step_by(step) {
        let mut source = database.source(table);
        assert!(source.describe(&incarnation).unwrap().goes_on);
        assert_eq!(source.open(&[(0, Some(cut))]).unwrap(), [(0, cut)]);
        let (_, rest) = heard
            .records
            .split_at(heard.records.partition_point(|(at, _)| *at < cut));
        let mut again = Heard::default();
        hear(source.as_mut(), &mut again, |again| {
            again.records.len() >= rest.len()
        });
        assert_eq!(again.records, rest, "from {cut}");
    }
}

/// What is confirmed need not be there any more: a reader goes on from there, or from later, and one that would begin before is refused.
pub fn what_is_confirmed_is_not_read_again(database: &mut dyn Database) {
    let table = "confirmed";
    database.make_table(table);
    database.commit(table, &[Change::Put(1, "one")]);
    let (mut source, incarnation) = begun(database, table);
    let mut heard = Heard::default();
    hear(source.as_mut(), &mut heard, |heard| {
        heard.records.len() == 1
    });
    let first = *heard.cuts.first().unwrap();
    for id in 2..20 {
        database.commit(table, &[Change::Put(id, "more")]);
        hear(source.as_mut(), &mut heard, |heard| {
            heard.records.len() as i64 == id
        });
        source.confirm(&[(0, *heard.cuts.last().unwrap())]).unwrap();
    }
    // It is said with the next polls.
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        let mut batches = Vec::new();
        source
            .poll(Duration::from_millis(50), 1 << 20, &mut batches)
            .unwrap();
        batches.iter().for_each(|batch| heard.take(batch));
    }
    drop(source);
    database.commit(table, &[Change::Put(20, "last")]);
    let mut source = database.source(table);
    assert!(source.describe(&incarnation).unwrap().goes_on);
    let end = *heard.cuts.last().unwrap();
    assert_eq!(source.open(&[(0, Some(end))]).unwrap(), [(0, end)]);
    let mut rest = Heard::default();
    hear(source.as_mut(), &mut rest, |rest| !rest.records.is_empty());
    assert_eq!(rest.rows(), of([(20, "last")]));
    drop(source);
    for before in [Some(first), None] {
        let mut source = database.source(table);
        source.describe(&incarnation).unwrap();
        let error = source.open(&[(0, before)]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
}

/// A log that is lost is refused, in words, and never begun anew in silence.
pub fn a_lost_log_is_refused(database: &mut dyn Database) {
    let table = "lost";
    database.make_table(table);
    database.commit(table, &[Change::Put(1, "one")]);
    let (mut source, incarnation) = begun(database, table);
    let mut heard = Heard::default();
    hear(source.as_mut(), &mut heard, |heard| {
        heard.records.len() == 1
    });
    drop(source);
    database.lose_log(table);
    let mut source = database.source(table);
    match source.describe(&incarnation) {
        Ok(described) => assert!(!described.goes_on),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Invalid, "{error}"),
    }
}

/// A run that ends where the table is now has read all that was committed before.
pub fn a_bounded_run_reads_all_that_is_there(database: &mut dyn Database) {
    let table = "bounded";
    database.make_table(table);
    let labels: Vec<String> = (0..300).map(|id| format!("label {id}")).collect();
    let all: Vec<Change<'_>> = labels
        .iter()
        .zip(0..)
        .map(|(label, id)| Change::Put(id, label))
        .collect();
    database.commit(table, &all);
    let mut source = database.source(table);
    source.describe("").unwrap();
    let ends = source.end_offsets().unwrap();
    source.open(&[(0, None)]).unwrap();
    let mut heard = Heard::default();
    let end = ends[0].1;
    hear(source.as_mut(), &mut heard, |heard| {
        heard.cuts.last().is_some_and(|&cut| cut >= end)
    });
    assert_eq!(heard.rows().len(), 300);
}

/// Makes a test of every contract of changes, each with a new database.
#[macro_export]
macro_rules! change_contracts {
    ($database:expr) => {
        $crate::contracts! { $database;
            changes::what_is_there_comes_and_then_what_changes,
            changes::a_snapshot_meets_the_changes_exactly,
            changes::a_transaction_is_never_cut,
            changes::what_is_read_again_is_the_same,
            changes::what_is_confirmed_is_not_read_again,
            changes::a_lost_log_is_refused,
            changes::a_bounded_run_reads_all_that_is_there,
        }
    };
}
