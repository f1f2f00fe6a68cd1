//! Dedup against a list of the times at which an id passed.
//!
//! Catches: an event without an id that does not pass, a duplicate that passes within the bound, a first event that does not, a bound measured from anything but the first event, by
//! anything but the records' times, or to one side only; a choice that depends on the order within an epoch, on how events are cut into
//! epochs, on batches, or on how long the job was down; an id forgotten before the data's clock has passed it, or a bound renewed, by a
//! restart. Cannot catch: ids that collide in state (the state crate's keys), expired entries that stay on disk.

use std::collections::{BTreeSet, HashMap};

use arrow_schema::{DataType, SchemaRef};
use proptest::prelude::*;
use tidemill_operators::dedup::{Dedup, Settings};
use tidemill_operators::{Counter, Tick};
use tidemill_types::system_columns::Kept;

use crate::common::{
    Disk, Positions, Value, Values, at_end_of, insert_batches, restored_tick, rows_of, schema,
    shuffle, tick, with_system_columns,
};

const WITHIN_MS: i64 = 1000;

const PARTITION: usize = 2;
const OFFSET: usize = 3;
const WRITTEN: usize = 4;

#[derive(Debug, Clone)]
struct Step {
    /// How far the data's clock moves.
    oldest_step_ms: i64,
    /// Id, partition and time after the data's clock of each event, in order of offset; the time may lie before it.
    events: Vec<(u8, u32, i64)>,
    order: u64,
    batch_rows: usize,
    restart: bool,
}

fn step() -> impl Strategy<Value = Step> {
    let written_ms =
        prop_oneof![4 => -3 * WITHIN_MS..3 * WITHIN_MS, 1 => Just(0), 1 => Just(WITHIN_MS)];
    let events = prop::collection::vec((0..12_u8, 0..3_u32, written_ms), 0..10);
    let oldest_step_ms = prop_oneof![0..400_i64, Just(WITHIN_MS), Just(WITHIN_MS + 1)];
    (
        oldest_step_ms,
        events,
        any::<u64>(),
        1..5_usize,
        prop::bool::weighted(0.15),
    )
        .prop_map(
            |(oldest_step_ms, events, order, batch_rows, restart)| Step {
                oldest_step_ms,
                events,
                order,
                batch_rows,
                restart,
            },
        )
}

fn input_schema() -> SchemaRef {
    let kept = Kept {
        time: true,
        bytes: false,
    };
    with_system_columns(&schema(&[("uuid", DataType::FixedSizeBinary(16))]), kept)
}

/// The event with id 0 has none.
fn event(id: u8, partition: u32, offset: i64, written_ms: i64) -> Values {
    let uuid = match id {
        0 => Value::Null,
        id => Value::Bytes(vec![id; 16]),
    };
    vec![
        uuid,
        Value::int(0),
        Value::int(partition),
        Value::int(offset),
        Value::int(written_ms),
    ]
}

fn dedup(disk: &Disk, duplicates: &Counter) -> Dedup {
    let settings = Settings {
        name: "payment/dedup".to_owned(),
        id: "uuid".to_owned(),
        within_ms: WITHIN_MS,
    };
    Dedup::new(settings, &input_schema(), disk.table(), duplicates.clone())
        .expect("the schema has the columns")
}

/// A tick of this time of the data's clock; the wall clock is far beyond, as after an outage.
fn tick_at(oldest_ms: i64) -> Tick {
    Tick {
        oldest_ms,
        ..tick(oldest_ms + 1_000_000_000, None)
    }
}

/// By id, the times at which it passed.
type Passed = HashMap<Value, Vec<i64>>;

/// The events that pass.
fn oracle(passed: &mut Passed, oldest_ms: i64, events: &[Values]) -> BTreeSet<Values> {
    for times in passed.values_mut() {
        times.retain(|time| time + WITHIN_MS >= oldest_ms);
    }
    let mut in_order: Vec<&Values> = events.iter().collect();
    in_order.sort_by_key(|event| [WRITTEN, PARTITION, OFFSET].map(|i| event[i].clone()));
    let passes = |event: &&&Values| {
        if event[0] == Value::Null {
            return true;
        }
        let time = event[WRITTEN]
            .as_int()
            .expect("not null")
            .max(oldest_ms - WITHIN_MS);
        let times = passed.entry(event[0].clone()).or_default();
        let is_first = times
            .iter()
            .all(|before| before.abs_diff(time) > WITHIN_MS.unsigned_abs());
        if is_first {
            times.push(time);
        }
        is_first
    };
    in_order
        .iter()
        .filter(passes)
        .map(|event| (*event).clone())
        .collect()
}

fn run(steps: &[Step], roomy: bool) {
    let mut disk = Disk::new(roomy);
    let duplicates = Counter::default();
    let mut operator = dedup(&disk, &duplicates);
    let (mut passed, mut positions, mut oldest_ms, mut dropped) =
        (Passed::new(), Positions::default(), 0, 0);
    for step in steps {
        if step.restart {
            disk.restart();
            operator = dedup(&disk, &duplicates);
            let foreign = insert_batches(&input_schema(), &[event(250, 0, 0, 0)], 1);
            let output = at_end_of(&mut operator, &restored_tick(oldest_ms, None), &foreign);
            assert!(output.rows.is_empty());
        }
        oldest_ms += step.oldest_step_ms;
        let mut events: Vec<Values> = step
            .events
            .iter()
            .map(|&(id, partition, after_ms)| {
                event(
                    id,
                    partition,
                    positions.next(partition),
                    oldest_ms + after_ms,
                )
            })
            .collect();
        let expected = oracle(&mut passed, oldest_ms, &events);
        dropped += events.len() - expected.len();
        shuffle(&mut events, step.order);
        let input = insert_batches(&input_schema(), &events, step.batch_rows);
        let output = at_end_of(&mut operator, &tick_at(oldest_ms), &input);
        let rows: Vec<Values> = (output.rows.iter())
            .flat_map(|changes| rows_of(&changes.rows))
            .collect();
        assert_eq!(rows.len(), expected.len(), "nothing passes twice");
        assert_eq!(rows.into_iter().collect::<BTreeSet<_>>(), expected);
        assert_eq!(
            duplicates.get(),
            dropped as u64,
            "what is dropped is counted"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_first_event_of_an_id_passes_and_others_within_the_bound_do_not(
        steps in prop::collection::vec(step(), 1..10), roomy: bool,
    ) {
        run(&steps, roomy);
    }
}

/// Which of some events with one id pass, each in an epoch of its own behind a restart, or all in one epoch.
fn passes(written_ms: &[i64], oldest_ms: i64, cut: bool) -> Vec<i64> {
    let mut disk = Disk::new(true);
    let mut operator = dedup(&disk, &Counter::default());
    let events: Vec<Values> = (0..)
        .zip(written_ms)
        .map(|(offset, &ms)| event(1, 0, offset, ms))
        .collect();
    let mut passed = Vec::new();
    for events in events.chunks(if cut { 1 } else { events.len() }) {
        let input = insert_batches(&input_schema(), events, 1);
        let output = at_end_of(&mut operator, &tick_at(oldest_ms), &input);
        let rows = output.rows.iter().flat_map(|rows| rows_of(&rows.rows));
        let times = rows.map(|row| row[WRITTEN].as_int());
        passed.extend(times.map(|time| time.expect("not null")));
        disk.restart();
        operator = dedup(&disk, &Counter::default());
    }
    passed
}

#[test]
fn a_bound_is_inclusive_and_not_renewed_by_duplicates_however_epochs_are_cut() {
    for cut in [true, false] {
        let written = [0, 600, 1000, 1001, 1500, 2001, 2002];
        assert_eq!(passes(&written, 0, cut), [0, 1001, 2002], "cut: {cut}");
    }
}

#[test]
fn a_weekend_without_the_job_forgets_nothing() {
    // Two days by the wall clock (see `tick_at`), but the partition that the retry lies in was not read meanwhile.
    assert_eq!(passes(&[10, 500], 0, true), [10]);
}

#[test]
fn of_two_events_from_before_all_that_is_remembered_one_passes() {
    assert_eq!(passes(&[10, 10], 1_000_000, true), [10]);
    assert_eq!(passes(&[10, 10], 1_000_000, false), [10]);
}

#[test]
fn an_event_from_long_before_the_first_is_no_duplicate_of_it() {
    assert_eq!(
        passes(&[5_000, 1_000, 1_500, 5_100, 4_000], 0, true),
        [5_000, 1_000]
    );
}
