//! Resequence against a list of what waits, sorted anew in every epoch.
//!
//! Catches: events of a key out of order, an event lost, doubled or changed between input, output and late ledger; one that leaves above
//! the horizon, at it, or waits below it; one that is called late although its place is still open; waiting events or the horizon forgotten by a
//! restart. Cannot catch: a watermark that is itself wrong (see `watermark`).

use std::collections::{BTreeMap, BTreeSet};

use arrow_schema::{DataType, SchemaRef};
use proptest::prelude::*;
use tidemill_operators::Counter;
use tidemill_operators::ledger::Ledger;
use tidemill_operators::resequence::{Resequence, Settings};
use tidemill_types::ChangeBatch;
use tidemill_types::place::Places;
use tidemill_types::system_columns::Kept;

use crate::common::{
    Disk, Positions, TIME, Value, Values, at_end_of, insert_batches, restored_tick, rows_of,
    schema, shuffle, tick, with_system_columns,
};

const WITHIN_MS: i64 = 20;
const DELAY_MS: i64 = 5;

const ID: usize = 0;
const AT: usize = 1;
const PARTITION: usize = 4;
const OFFSET: usize = 5;
const BYTES: usize = 6;

/// Places of columns in the ledger.
const LEDGER_TOPIC: usize = 3;
const LEDGER_PARTITION: usize = 4;
const LEDGER_OFFSET: usize = 5;
const LEDGER_REASON: usize = 6;
const LEDGER_BYTES: usize = 10;

#[derive(Debug, Clone)]
struct Step {
    /// How far the watermark moves; `None` before the source has one.
    watermark_step_ms: Option<i64>,
    /// Id, time and partition of each event, in order of offset.
    events: Vec<(i64, Option<i64>, u32)>,
    order: u64,
    batch_rows: usize,
    restart: bool,
}

fn step() -> impl Strategy<Value = Step> {
    let events = prop::collection::vec(
        (0..3_i64, prop::option::weighted(0.95, 0..100_i64), 0..2_u32),
        0..8,
    );
    let watermark_step_ms =
        prop::option::weighted(0.7, prop_oneof![2 => Just(0_i64), 3 => 0..30_i64]);
    (
        watermark_step_ms,
        events,
        any::<u64>(),
        1..5_usize,
        prop::bool::weighted(0.15),
    )
        .prop_map(
            |(watermark_step_ms, events, order, batch_rows, restart)| Step {
                watermark_step_ms,
                events,
                order,
                batch_rows,
                restart,
            },
        )
}

fn input_schema() -> SchemaRef {
    with_system_columns(
        &schema(&[
            ("id", DataType::Int64),
            ("at", TIME),
            ("name", DataType::Utf8),
        ]),
        Kept {
            time: false,
            bytes: true,
        },
    )
    .project(&[ID, AT, 2, 3, PARTITION, OFFSET, BYTES])
    .map(std::sync::Arc::new)
    .expect("these are the columns")
}

fn output_schema() -> SchemaRef {
    let kept: Vec<usize> = (0..BYTES).collect();
    let schema = input_schema().project(&kept);
    std::sync::Arc::new(schema.expect("these are the columns"))
}

fn event(id: i64, at: Option<i64>, partition: u32, offset: i64) -> Values {
    let bytes = format!("record {partition}/{offset}").into_bytes();
    vec![
        Value::int(id),
        at.into(),
        Value::text("Dune"),
        Value::int(1),
        Value::int(partition),
        Value::int(offset),
        Value::Bytes(bytes),
    ]
}

/// An event as it leaves: only the ledger needs the record's bytes.
fn without_bytes(event: &Values) -> Values {
    event[..BYTES].to_vec()
}

fn position(event: &Values) -> (Value, Value) {
    (event[PARTITION].clone(), event[OFFSET].clone())
}

struct Subject {
    disk: Disk,
    late: Counter,
    operator: Resequence,
}

impl Subject {
    fn new(roomy: bool) -> Self {
        let (disk, late) = (Disk::new(roomy), Counter::default());
        let operator = Self::operator(&disk, &late);
        Self {
            disk,
            late,
            operator,
        }
    }

    fn operator(disk: &Disk, late: &Counter) -> Resequence {
        let settings = Settings {
            name: "changes".to_owned(),
            by: "at".to_owned(),
            per: vec!["id".to_owned()],
            within_ms: WITHIN_MS,
            watermark_delay_ms: DELAY_MS,
            places: Places::new("studio.payment", []),
        };
        Resequence::new(
            settings,
            [&input_schema(), &output_schema()],
            Ledger::of("plan"),
            disk.table(),
            late.clone(),
        )
        .expect("the schema has the columns")
    }

    /// A restart in an epoch that brings nothing out, whatever is put in.
    fn restart(&mut self, watermark: Option<i64>) {
        self.disk.restart();
        self.operator = Self::operator(&self.disk, &self.late);
        let foreign = insert_batches(&input_schema(), &[event(9, Some(0), 9, 9)], 1);
        let tick = restored_tick(0, watermark);
        let output = at_end_of(&mut self.operator, &tick, &foreign);
        assert!(output.rows.is_empty() && output.aside.is_empty());
    }

    fn epoch(
        &mut self,
        watermark: Option<i64>,
        events: &[Values],
        batch_rows: usize,
    ) -> (Vec<Values>, Vec<Values>) {
        let input = insert_batches(&input_schema(), events, batch_rows);
        let output = at_end_of(&mut self.operator, &tick(0, watermark), &input);
        let rows = |batches: &[ChangeBatch]| {
            batches
                .iter()
                .flat_map(|batch| rows_of(&batch.rows))
                .collect()
        };
        assert!(
            (output.rows.iter())
                .chain(&output.aside)
                .all(|batch| batch.diffs.is_none()),
            "a resequencer only adds"
        );
        (rows(&output.rows), rows(&output.aside))
    }
}

/// What is known of the run so far.
#[derive(Default)]
struct Model {
    horizon: Option<i64>,
    waiting: Vec<Values>,
    input: BTreeMap<(Value, Value), Values>,
    left: BTreeSet<(Value, Value)>,
    /// The last event that left, per key: its time and position.
    last: BTreeMap<Value, (Value, Value, Value)>,
}

impl Model {
    fn check(
        &mut self,
        watermark: Option<i64>,
        events: &[Values],
        output: &[Values],
        late: &[Values],
    ) {
        self.input
            .extend(events.iter().map(|event| (position(event), event.clone())));
        let before = self.horizon;
        self.horizon = self
            .horizon
            .max(watermark.map(|watermark| watermark + DELAY_MS - WITHIN_MS));
        self.check_late(before, events, late);
        for event in output {
            assert_eq!(
                self.input.get(&position(event)).map(without_bytes).as_ref(),
                Some(event),
                "an event leaves as it came"
            );
            assert!(self.left.insert(position(event)), "and once");
            assert!(
                event[AT].as_int() < self.horizon,
                "nothing leaves before the horizon has passed it"
            );
            let place = (
                event[AT].clone(),
                event[PARTITION].clone(),
                event[OFFSET].clone(),
            );
            let last = self.last.insert(event[ID].clone(), place.clone());
            assert!(
                last.is_none_or(|last| last < place),
                "a key's events leave in order"
            );
        }
        self.waiting.extend(events.iter().cloned());
        self.waiting
            .retain(|event| !self.left.contains(&position(event)));
        assert!(
            self.waiting
                .iter()
                .all(|event| event[AT].as_int() >= self.horizon),
            "what the horizon has passed does not wait"
        );
    }

    fn check_late(&mut self, before: Option<i64>, events: &[Values], late: &[Values]) {
        let is_late = |event: &&Values| {
            event[AT]
                .as_int()
                .is_none_or(|at| before.is_some_and(|horizon| at < horizon))
        };
        let expected: BTreeSet<_> = events.iter().filter(is_late).map(position).collect();
        let found: BTreeSet<_> = late
            .iter()
            .map(|letter| {
                (
                    letter[LEDGER_PARTITION].clone(),
                    letter[LEDGER_OFFSET].clone(),
                )
            })
            .collect();
        assert_eq!(
            (found.len(), &found),
            (late.len(), &expected),
            "late is what came from below the horizon before"
        );
        for letter in late {
            let event = &self.input[&(
                letter[LEDGER_PARTITION].clone(),
                letter[LEDGER_OFFSET].clone(),
            )];
            assert_eq!(
                (&letter[LEDGER_TOPIC], &letter[LEDGER_BYTES]),
                (&Value::text("studio.payment"), &event[BYTES])
            );
            let Value::Text(reason) = &letter[LEDGER_REASON] else {
                panic!("a reason is text")
            };
            assert!(reason.contains("'at'"), "{reason}");
        }
        self.left.extend(found);
    }
}

fn run(steps: &[Step], roomy: bool) {
    let mut subject = Subject::new(roomy);
    let (mut model, mut positions, mut watermark) = (Model::default(), Positions::default(), None);
    for step in steps {
        if step.restart {
            subject.restart(watermark);
        }
        watermark = step
            .watermark_step_ms
            .map(|ms| watermark.unwrap_or(0) + ms)
            .or(watermark);
        let mut events: Vec<Values> = step
            .events
            .iter()
            .map(|&(id, at, partition)| event(id, at, partition, positions.next(partition)))
            .collect();
        shuffle(&mut events, step.order);
        let (output, late) = subject.epoch(watermark, &events, step.batch_rows);
        model.check(watermark, &events, &output, &late);
    }
    let (output, late) = subject.epoch(Some(1_000_000), &[], 1);
    model.check(Some(1_000_000), &[], &output, &late);
    assert_eq!(
        model.left.len(),
        model.input.len(),
        "output and late ledger together are the input"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_keys_events_leave_in_order_and_every_event_leaves_exactly_once(steps in prop::collection::vec(step(), 1..10), roomy: bool) {
        run(&steps, roomy);
    }
}

#[test]
fn june_that_arrives_between_july_and_july_leaves_in_its_place() {
    let mut subject = Subject::new(true);
    let [july, june, july_again] =
        [(10, 1), (20, 3), (30, 2)].map(|(at, offset)| event(1, Some(at), 0, offset));
    assert_eq!(
        subject
            .epoch(Some(5), &[july.clone(), july_again.clone()], 2)
            .0,
        Vec::<Values>::new()
    );
    subject.restart(Some(5));
    assert_eq!(
        subject.epoch(Some(24), std::slice::from_ref(&june), 1).0,
        Vec::<Values>::new()
    );
    assert_eq!(
        subject.epoch(Some(36), &[], 1).0,
        [july, june].map(|event| without_bytes(&event)),
        "the horizon is at 21"
    );
    assert_eq!(
        subject.epoch(Some(45), &[], 1).0,
        Vec::<Values>::new(),
        "the horizon is at 30: another event of that time may come"
    );
    let at_the_bound = event(1, Some(30), 0, 4);
    assert_eq!(
        subject
            .epoch(Some(46), std::slice::from_ref(&at_the_bound), 1)
            .0,
        [july_again, at_the_bound].map(|event| without_bytes(&event))
    );
    let too_late = event(1, Some(30), 0, 5);
    let (output, late) = subject.epoch(Some(46), std::slice::from_ref(&too_late), 1);
    assert_eq!(
        (output.len(), late.len(), subject.late.get()),
        (0, 1, 1),
        "behind the horizon is late"
    );
    assert_eq!(
        late[0][LEDGER_BYTES], too_late[BYTES],
        "the ledger has the bytes"
    );
}
