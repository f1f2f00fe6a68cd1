//! Dedup against a map from id to expiry.
//!
//! Catches: an event without an id that does not pass, a duplicate that passes within its window, a first event that does not, a window measured from anything but the first event
//! or by anything but the epoch clock, a choice that depends on the order within an epoch or on batches, an id forgotten or a window
//! renewed by a restart. Cannot catch: ids that collide in state (the state crate's keys), expired entries that stay on disk.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use arrow_schema::{DataType, SchemaRef};
use proptest::prelude::*;
use tidemill_operators::Counter;
use tidemill_operators::dedup::{Dedup, Settings};

use crate::common::{
    Disk, Positions, Value, Values, insert_batches, restored_tick, rows_of, schema, shuffle, tick,
    with_system_columns,
};

const WITHIN_MS: i64 = 1000;

#[derive(Debug, Clone)]
struct Step {
    clock_step_ms: i64,
    /// Id and partition of each event, in order of offset.
    events: Vec<(u8, u32)>,
    order: u64,
    batch_rows: usize,
    restart: bool,
}

fn step() -> impl Strategy<Value = Step> {
    let events = prop::collection::vec((0..12_u8, 0..3_u32), 0..10);
    let clock_step_ms = prop_oneof![0..400_i64, Just(WITHIN_MS - 1), Just(WITHIN_MS)];
    (
        clock_step_ms,
        events,
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
    with_system_columns(&schema(&[("uuid", DataType::FixedSizeBinary(16))]), false)
}

/// The event with id 0 has none.
fn event(id: u8, partition: u32, offset: i64) -> Values {
    let uuid = match id {
        0 => Value::Null,
        id => Value::Bytes(vec![id; 16]),
    };
    vec![
        uuid,
        Value::int(0),
        Value::int(partition),
        Value::int(offset),
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

/// The events that pass, and the map afterwards.
fn oracle(
    expiries: &mut HashMap<Value, i64>,
    clock_ms: i64,
    events: &[Values],
) -> BTreeSet<Values> {
    let mut by_position: BTreeMap<(Value, Value), &Values> = BTreeMap::new();
    by_position.extend(
        events
            .iter()
            .map(|event| ((event[2].clone(), event[3].clone()), event)),
    );
    let passes = |event: &&Values| {
        if event[0] == Value::Null {
            return true;
        }
        let is_first = expiries
            .get(&event[0])
            .is_none_or(|&expiry| expiry <= clock_ms);
        if is_first {
            expiries.insert(event[0].clone(), clock_ms + WITHIN_MS);
        }
        is_first
    };
    by_position.into_values().filter(passes).cloned().collect()
}

fn run(steps: &[Step], roomy: bool) {
    let mut disk = Disk::new(roomy);
    let duplicates = Counter::default();
    let mut operator = dedup(&disk, &duplicates);
    let (mut expiries, mut positions, mut clock_ms, mut dropped) =
        (HashMap::new(), Positions::default(), 0, 0);
    for step in steps {
        if step.restart {
            disk.restart();
            operator = dedup(&disk, &duplicates);
            let foreign = insert_batches(&input_schema(), &[event(250, 0, 0)], 1);
            assert!(
                operator
                    .on_epoch(&restored_tick(clock_ms, None), &foreign)
                    .expect("state is readable")
                    .is_none()
            );
        }
        clock_ms += step.clock_step_ms;
        let mut events: Vec<Values> = step
            .events
            .iter()
            .map(|&(id, partition)| event(id, partition, positions.next(partition)))
            .collect();
        let expected = oracle(&mut expiries, clock_ms, &events);
        dropped += events.len() - expected.len();
        shuffle(&mut events, step.order);
        let output = operator
            .on_epoch(
                &tick(clock_ms, None),
                &insert_batches(&input_schema(), &events, step.batch_rows),
            )
            .expect("state is usable");
        let passed = output
            .map(|changes| rows_of(&changes.rows))
            .unwrap_or_default();
        assert_eq!(passed.len(), expected.len(), "nothing passes twice");
        assert_eq!(passed.into_iter().collect::<BTreeSet<_>>(), expected);
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
    fn the_first_event_of_an_id_passes_and_later_ones_do_not_until_its_window_ends(
        steps in prop::collection::vec(step(), 1..10), roomy: bool,
    ) {
        run(&steps, roomy);
    }
}

#[test]
fn a_window_is_not_renewed_by_duplicates_and_ends_exactly_at_its_bound() {
    let once = |clock_step_ms, restart| Step {
        clock_step_ms,
        events: vec![(1, 0)],
        order: 0,
        batch_rows: 1,
        restart,
    };
    run(
        &[
            once(0, false),
            once(600, true),
            once(399, false),
            once(1, true),
            once(999, false),
            once(1, false),
        ],
        true,
    );
}
