//! Table against three oracles: the newest event of the whole history wins; events taken one by one, with tombstones that are forgotten; and,
//! without a version, the last write of the last epoch.
//!
//! Catches: a row that depends on the order of arrival, on how events are cut into epochs and batches, or on a restart; changes that do
//! not add up to the rows, that retract what is not there or add what is; a deleted row resurrected within the bound; an image that is
//! not the current rows. Cannot catch: two workers that own one key (see the engine), expired tombstones that stay on disk.

use std::collections::{BTreeMap, BTreeSet};

use arrow_schema::{DataType, SchemaRef};
use proptest::prelude::*;
use tidemill_operators::table::{Settings, Table};
use tidemill_operators::{Counter, Tick};
use tidemill_types::ChangeBatch;
use tidemill_types::system_columns::{Kept, OP_CREATE, OP_DELETE, OP_UPDATE};

use crate::common::{
    Disk, MONEY, Multiset, Positions, TIME, Value, Values, add_batches, at_end_of, consolidated,
    insert_batches, restored_tick, schema, shuffle, tick, with_system_columns,
};

/// Output columns; the key is `(region, id)`, in another order than the columns.
fn output_schema() -> SchemaRef {
    schema(&[
        ("amount", MONEY),
        ("id", DataType::Int64),
        ("name", DataType::Utf8),
        ("region", DataType::Utf8),
        ("ts", TIME),
    ])
}

const ID: usize = 1;
const REGION: usize = 3;
const TS: usize = 4;
const OP: usize = 5;
const PARTITION: usize = 6;
const OFFSET: usize = 7;
/// When the record was written.
const WRITTEN: usize = 8;

#[derive(Debug, Clone)]
struct Step {
    clock_step_ms: i64,
    /// Events without an offset, in order of offset.
    events: Vec<Values>,
    order: u64,
    batch_rows: usize,
    restart: bool,
}

fn event() -> impl Strategy<Value = Values> {
    let op = prop_oneof![2 => Just(OP_CREATE), 4 => Just(OP_UPDATE), 3 => Just(OP_DELETE)];
    let state = (
        prop::option::of(-2..3_i64),
        prop::option::of(prop_oneof![
            Just("Dune"),
            Just("a name that does not fit a block")
        ]),
    );
    (
        0..3_i64,
        prop_oneof![Just("EU"), Just("")],
        prop::option::weighted(0.9, 0..12_i64),
        op,
        0..3_u32,
        state,
    )
        .prop_map(|(id, region, ts, op, partition, (amount, name))| {
            let (amount, name) = if op == OP_DELETE {
                (None, None)
            } else {
                (amount, name)
            };
            let name = name.map_or(Value::Null, Value::text);
            vec![
                amount.into(),
                Value::int(id),
                name,
                Value::text(region),
                ts.into(),
                Value::int(op),
                Value::int(partition),
            ]
        })
}

fn step() -> impl Strategy<Value = Step> {
    (
        0..300_i64,
        prop::collection::vec(event(), 0..8),
        any::<u64>(),
        1..5_usize,
        prop::bool::weighted(0.15),
    )
        .prop_map(|(clock_step_ms, events, order, batch_rows, restart)| Step {
            clock_step_ms,
            events,
            order,
            batch_rows,
            restart,
        })
}

fn input_schema() -> SchemaRef {
    let kept = Kept {
        time: true,
        bytes: false,
    };
    with_system_columns(&output_schema(), kept)
}

fn table(disk: &Disk, tombstone_ms: i64, version: Option<&str>, stale: &Counter) -> Table {
    let key = vec!["region".to_owned(), "id".to_owned()];
    let settings = Settings {
        name: "payment".to_owned(),
        key,
        version: version.map(str::to_owned),
        tombstone_ms,
        emits_image: true,
    };
    Table::new(
        settings,
        &input_schema(),
        &output_schema(),
        disk.table(),
        stale.clone(),
    )
    .expect("the schema has the columns")
}

/// What happened in each epoch: its clock and its events.
type History = Vec<(i64, Vec<Values>)>;

/// Version, partition, offset.
fn rank(event: &Values) -> (i64, i64, i64) {
    let number = |i: usize| event[i].as_int();
    (
        number(TS).unwrap_or(i64::MIN),
        number(PARTITION).expect("not null"),
        number(OFFSET).expect("not null"),
    )
}

fn key(event: &Values) -> (Value, Value) {
    (event[REGION].clone(), event[ID].clone())
}

fn row(event: &Values) -> Values {
    event[..OP].to_vec()
}

fn is_delete(event: &Values) -> bool {
    event[OP] == Value::int(OP_DELETE)
}

/// The rows where nothing is ever forgotten: per key the newest event of all.
fn newest_of_all(history: &History) -> Multiset {
    let mut newest: BTreeMap<_, &Values> = BTreeMap::new();
    for event in history.iter().flat_map(|(_, events)| events) {
        let best = newest.entry(key(event)).or_insert(event);
        *best = std::cmp::max_by_key(*best, event, |event| rank(event));
    }
    newest
        .into_values()
        .filter(|event| !is_delete(event))
        .map(|event| (row(event), 1))
        .collect()
}

/// The rows where a tombstone is forgotten after its bound, events taken one by one.
fn one_by_one(history: &History, tombstone_ms: i64) -> Multiset {
    let mut held: BTreeMap<_, (&Values, i64)> = BTreeMap::new();
    for (clock_ms, events) in history {
        held.retain(|_, (event, since_ms)| {
            !is_delete(event) || *since_ms + tombstone_ms >= *clock_ms
        });
        for event in events {
            match held.get(&key(event)) {
                Some((newer, _)) if rank(newer) >= rank(event) => {}
                _ => {
                    held.insert(key(event), (event, *clock_ms));
                }
            }
        }
    }
    held.into_values()
        .filter(|(event, _)| !is_delete(event))
        .map(|(event, _)| (row(event), 1))
        .collect()
}

/// The rows where the last write wins: that of the later epoch, then the one that was written later, then the later source position.
fn last_written(history: &History) -> Multiset {
    let mut last: BTreeMap<_, &Values> = BTreeMap::new();
    for (_, events) in history {
        let mut of_epoch: BTreeMap<_, &Values> = BTreeMap::new();
        for event in events {
            let place = |event: &Values| [WRITTEN, PARTITION, OFFSET].map(|i| event[i].clone());
            let best = of_epoch.entry(key(event)).or_insert(event);
            *best = std::cmp::max_by_key(*best, event, |event| place(event));
        }
        last.extend(of_epoch);
    }
    let live = last.into_values().filter(|event| !is_delete(event));
    live.map(|event| (row(event), 1)).collect()
}

/// Drives a table through the steps and compares its rows with the oracle's after each.
fn run(
    steps: &[Step],
    roomy: bool,
    (version, tombstone_ms): (Option<&str>, i64),
    oracle: impl Fn(&History) -> Multiset,
) {
    let (mut disk, stale) = (Disk::new(roomy), Counter::default());
    let mut operator = table(&disk, tombstone_ms, version, &stale);
    let input = input_schema();
    let (mut history, mut positions, mut rows, mut clock_ms) =
        (History::new(), Positions::default(), Multiset::new(), 0);
    for step in steps {
        if step.restart {
            disk.restart();
            operator = table(&disk, tombstone_ms, version, &stale);
            let foreign = history
                .last()
                .map(|(_, events)| insert_batches(&input, events, 3))
                .unwrap_or_default();
            let image = at_end_of(&mut operator, &restored_tick(clock_ms, None), &foreign).rows;
            assert_eq!(consolidated(&image), rows, "the image is the current rows");
        }
        clock_ms += step.clock_step_ms;
        let mut events = step.events.clone();
        events.iter_mut().for_each(|event| {
            let partition =
                u32::try_from(event[PARTITION].as_int().expect("not null")).expect("small");
            event.push(Value::int(positions.next(partition)));
            event.push(Value::int(event[TS].as_int().unwrap_or(0)));
        });
        shuffle(&mut events, step.order);
        let batches = insert_batches(&input, &events, step.batch_rows);
        let output = at_end_of(&mut operator, &tick(clock_ms, None), &batches).rows;
        history.push((clock_ms, events));
        check_changes(&output, &mut rows);
        assert_eq!(rows, oracle(&history));
    }
}

/// Applies an epoch's changes: a row is retracted only if it is there, added only if it is not, and each key changes once.
fn check_changes(output: &[ChangeBatch], rows: &mut Multiset) {
    let changes = consolidated(output);
    assert_eq!(
        changes.len(),
        output.iter().map(ChangeBatch::len).sum::<usize>(),
        "an unchanged row emits nothing"
    );
    for diff in [-1, 1] {
        let of_diff: Vec<_> = changes
            .iter()
            .filter(|(_, count)| **count == diff)
            .map(|(row, _)| key(row))
            .collect();
        assert_eq!(
            of_diff.iter().collect::<BTreeSet<_>>().len(),
            of_diff.len(),
            "a key has one row before and one after"
        );
    }
    add_batches(rows, output);
    assert!(
        changes.values().all(|diff| diff.abs() == 1) && rows.values().all(|&count| count == 1),
        "{changes:?} → {rows:?}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_newest_event_of_each_key_wins_however_events_are_ordered_and_cut(steps in prop::collection::vec(step(), 1..10), roomy: bool) {
        run(&steps, roomy, (Some("ts"), i64::MAX), newest_of_all);
    }

    #[test]
    fn a_tombstone_guards_against_older_updates_until_its_bound_has_passed(steps in prop::collection::vec(step(), 1..14), roomy: bool) {
        run(&steps, roomy, (Some("ts"), 400), |history| one_by_one(history, 400));
    }

    #[test]
    fn without_a_version_the_last_write_wins(steps in prop::collection::vec(step(), 1..14), roomy: bool) {
        run(&steps, roomy, (None, 400), last_written);
    }
}

/// Months that a launch date was set to, in order of event time.
const LAUNCH: [(&str, i64); 3] = [("July", 1), ("June", 2), ("July", 3)];
const ARRIVALS: [[usize; 3]; 6] = [
    [0, 1, 2],
    [0, 2, 1],
    [1, 0, 2],
    [1, 2, 0],
    [2, 0, 1],
    [2, 1, 0],
];
const CUTS: [&[usize]; 4] = [&[1, 1, 1], &[1, 2], &[2, 1], &[3]];

fn launch(month: &str, ts: Option<i64>, op: u8, partition: u32, offset: i64) -> Values {
    let month = if op == OP_DELETE {
        Value::Null
    } else {
        Value::text(month)
    };
    vec![
        Value::Null,
        Value::int(1),
        month,
        Value::text("EU"),
        ts.into(),
        Value::int(op),
        Value::int(partition),
        Value::int(offset),
        Value::int(0),
    ]
}

/// An event whose record was written at this time.
fn written(mut event: Values, written_ms: i64) -> Values {
    event[WRITTEN] = Value::int(written_ms);
    event
}

/// The month and event time of the one row after each epoch; a restart follows each epoch.
fn months_after_each_epoch(
    epochs: &[Vec<Values>],
    version: Option<&str>,
) -> Vec<Option<(Value, Value)>> {
    let (mut disk, stale) = (Disk::new(true), Counter::default());
    let mut operator = table(&disk, i64::MAX, version, &stale);
    let input = input_schema();
    let mut rows = Multiset::new();
    let mut after = |events: &Vec<Values>| {
        let batches = insert_batches(&input, events, 1);
        let output = at_end_of(&mut operator, &tick(0, None), &batches).rows;
        check_changes(&output, &mut rows);
        disk.restart();
        operator = table(&disk, i64::MAX, version, &stale);
        let image = at_end_of(&mut operator, &restored_tick(0, None), &[]).rows;
        assert_eq!(consolidated(&image), rows);
        rows.keys()
            .next()
            .map(|row| (row[2].clone(), row[TS].clone()))
    };
    epochs.iter().map(&mut after).collect()
}

#[test]
fn july_then_june_then_july_is_july_in_every_order_of_arrival_and_every_cut_into_epochs() {
    for arrival in ARRIVALS {
        let arrived: Vec<(&str, i64)> = arrival.iter().map(|&i| LAUNCH[i]).collect();
        let events: Vec<Values> = (0..)
            .zip(&arrived)
            .map(|(offset, &(month, ts))| launch(month, Some(ts), OP_UPDATE, 0, offset))
            .collect();
        for cut in CUTS {
            let (mut rest, mut epochs, mut expected, mut seen) =
                (events.as_slice(), Vec::new(), Vec::new(), 0);
            for &len in cut {
                let (epoch, behind) = rest.split_at(len);
                epochs.push(epoch.to_vec());
                rest = behind;
                seen += len;
                let newest = arrived[..seen]
                    .iter()
                    .max_by_key(|(_, ts)| *ts)
                    .expect("at least one");
                expected.push(Some((Value::text(newest.0), Value::int(newest.1))));
            }
            assert_eq!(
                months_after_each_epoch(&epochs, Some("ts")),
                expected,
                "arrival {arrival:?} cut {cut:?}"
            );
            assert_eq!(
                expected.last(),
                Some(&Some((Value::text("July"), Value::int(3))))
            );
        }
    }
}

#[test]
fn a_delete_between_july_and_july_is_undone_by_the_newer_july_in_every_order_and_cut() {
    let event = |i: usize, offset: i64| match i {
        0 => launch("July", Some(1), OP_CREATE, 0, offset),
        1 => launch("", Some(2), OP_DELETE, 0, offset),
        _ => launch("July", Some(3), OP_CREATE, 0, offset),
    };
    for arrival in ARRIVALS {
        let events: Vec<Values> = (0..)
            .zip(arrival)
            .map(|(offset, i)| event(i, offset))
            .collect();
        for cut in CUTS {
            let (mut rest, mut epochs) = (events.as_slice(), Vec::new());
            for &len in cut {
                let (epoch, behind) = rest.split_at(len);
                epochs.push(epoch.to_vec());
                rest = behind;
            }
            let months = months_after_each_epoch(&epochs, Some("ts"));
            assert_eq!(
                months.last(),
                Some(&Some((Value::text("July"), Value::int(3)))),
                "arrival {arrival:?} cut {cut:?}"
            );
        }
    }
}

#[test]
fn a_tie_of_versions_goes_to_the_later_source_position() {
    let (first, second) = (
        launch("July", Some(1), OP_UPDATE, 0, 9),
        launch("June", Some(1), OP_UPDATE, 1, 3),
    );
    let june = Some((Value::text("June"), Value::int(1)));
    assert_eq!(
        months_after_each_epoch(&[vec![first.clone()], vec![second.clone()]], Some("ts")).last(),
        Some(&june)
    );
    assert_eq!(
        months_after_each_epoch(&[vec![second], vec![first]], Some("ts")).last(),
        Some(&june)
    );
}

#[test]
fn without_a_version_a_key_that_moves_to_a_lower_partition_goes_on() {
    let (first, second) = (
        written(launch("July", Some(3), OP_UPDATE, 7, 500), 10),
        written(launch("June", Some(1), OP_UPDATE, 2, 4), 11),
    );
    let june = Some((Value::text("June"), Value::int(1)));
    assert_eq!(
        months_after_each_epoch(&[vec![second.clone(), first.clone()]], None),
        std::slice::from_ref(&june),
        "in one epoch the later write"
    );
    assert_eq!(
        months_after_each_epoch(&[vec![first], vec![second]], None).last(),
        Some(&june),
        "else the later epoch"
    );
}

#[test]
fn without_a_version_a_delete_leaves_nothing_and_is_undone_by_whatever_comes_later() {
    let july = Some((Value::text("July"), Value::int(1)));
    let epochs = [
        vec![launch("June", Some(1), OP_CREATE, 5, 9)],
        vec![launch("", Some(1), OP_DELETE, 5, 10)],
        vec![launch("", Some(1), OP_DELETE, 5, 11)],
        vec![launch("July", Some(1), OP_CREATE, 0, 1)],
    ];
    let months = months_after_each_epoch(&epochs, None);
    assert_eq!(months[1..], [None, None, july]);
}

#[test]
fn a_tombstone_is_kept_as_long_as_a_partition_has_not_been_read_so_far() {
    let (disk, stale) = (Disk::new(true), Counter::default());
    let mut operator = table(&disk, 400, Some("ts"), &stale);
    let input = input_schema();
    let mut at = |clock_ms: i64, oldest_ms: i64, event: Values| {
        let tick = Tick {
            oldest_ms,
            ..tick(clock_ms, None)
        };
        let batches = insert_batches(&input, &[event], 1);
        at_end_of(&mut operator, &tick, &batches).rows.len()
    };
    assert_eq!(at(1_000, 900, launch("", Some(5), OP_DELETE, 0, 1)), 0);
    let older = |offset| launch("June", Some(4), OP_UPDATE, 1, offset);
    assert_eq!(at(900_000, 900, older(1)), 0, "after an outage");
    assert_eq!(at(900_000, 1_400, older(2)), 0, "exactly at the bound");
    assert_eq!(at(900_000, 1_401, older(3)), 1);
}

#[test]
fn events_that_change_nothing_are_counted_as_stale() {
    let (disk, stale) = (Disk::new(true), Counter::default());
    let mut operator = table(&disk, i64::MAX, Some("ts"), &stale);
    let input = input_schema();
    let epochs = [
        vec![
            launch("July", Some(5), OP_UPDATE, 0, 1),
            launch("June", Some(4), OP_UPDATE, 0, 2),
        ],
        vec![
            launch("May", Some(3), OP_UPDATE, 0, 3),
            launch("", Some(2), OP_DELETE, 0, 4),
        ],
        vec![launch("July", Some(6), OP_UPDATE, 0, 5)],
    ];
    for events in &epochs {
        let batches = insert_batches(&input, events, 2);
        at_end_of(&mut operator, &tick(0, None), &batches);
    }
    assert_eq!(stale.get(), 3);
}

#[test]
fn a_newer_event_that_leaves_the_row_as_it_is_emits_nothing_and_still_outranks_older_ones() {
    let (disk, stale) = (Disk::new(true), Counter::default());
    let mut operator = table(&disk, i64::MAX, Some("ts"), &stale);
    let input = input_schema();
    let mut emitted = |event: Values| {
        let events = insert_batches(&input, &[event], 1);
        let output = at_end_of(&mut operator, &tick(0, None), &events).rows;
        output.iter().map(ChangeBatch::len).sum::<usize>()
    };
    assert_eq!(emitted(launch("July", Some(5), OP_UPDATE, 0, 1)), 1);
    assert_eq!(emitted(launch("July", Some(5), OP_UPDATE, 0, 9)), 0);
    assert_eq!(emitted(launch("June", Some(5), OP_UPDATE, 0, 8)), 0);
    assert_eq!(stale.get(), 1);
}
