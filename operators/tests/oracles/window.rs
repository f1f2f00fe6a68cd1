//! Window against a GROUP BY over everything so far, of which the groups of closed windows are visible; of an input that only appends, over
//! everything that came before its window was over.
//!
//! Catches: a group seen before its window closes or not at all after, a correction lost or doubled, a group without rows that stays, sums
//! that retractions leave wrong, an image that is not exactly the visible groups, an open window forgotten by a restart; a window that is kept
//! when it is over or forgotten before, a late row that is not counted or makes a window anew. Cannot catch: a sum beyond the range of its type
//! (documented as null).

use arrow_schema::{DataType, SchemaRef};
use proptest::prelude::*;
use tidemill_operators::Counter;
use tidemill_operators::accumulators::AggregateSpec;
use tidemill_operators::window::{Settings, Window};

use tidemill_types::AggregateFunction;

use crate::common::{
    Disk, MONEY, Multiset, Ops, TIME, Value, Values, accumulated, add, add_batches,
    aggregate_schema, at_end_of, batches, consolidated, history, insert_batches, naive_group_by,
    ops, restored_tick, schema, shuffle, spec, tick, uncomputed,
};

fn input_schema() -> SchemaRef {
    schema(&[
        ("amount", MONEY),
        ("region", DataType::Utf8),
        ("quantity", DataType::Int64),
        ("window_end", TIME),
    ])
}

/// `region`, `window_end`.
const GROUP: [usize; 2] = [1, 3];

fn specs() -> Vec<AggregateSpec> {
    let spec =
        |function, argument, data_type| spec(function, argument, false, data_type, &input_schema());
    vec![
        spec(AggregateFunction::Count, None, DataType::Int64),
        spec(
            AggregateFunction::Sum,
            Some("amount"),
            DataType::Decimal128(28, 2),
        ),
        spec(
            AggregateFunction::Avg,
            Some("amount"),
            DataType::Decimal128(22, 6),
        ),
        spec(AggregateFunction::Count, Some("quantity"), DataType::Int64),
        spec(AggregateFunction::Sum, Some("quantity"), DataType::Int64),
        spec(
            AggregateFunction::Avg,
            Some("quantity"),
            DataType::Decimal128(24, 4),
        ),
    ]
}

fn row() -> impl Strategy<Value = Values> {
    let number = || prop::option::weighted(0.8, -3..4_i64);
    let region = prop::option::weighted(0.8, prop_oneof![Just("EU"), Just("US")]);
    (
        number(),
        region,
        number(),
        prop::option::weighted(0.95, (1..6_i64).prop_map(|window| window * 10)),
    )
        .prop_map(|(amount, region, quantity, end)| {
            vec![
                amount.into(),
                region.map_or(Value::Null, Value::text),
                quantity.into(),
                end.into(),
            ]
        })
}

/// How a window takes late rows; and whether something behind it needs all rows after a restore.
type Lateness = (Option<i64>, bool);

fn window(disk: &Disk, (lateness_ms, emits_image): Lateness, late: &Counter) -> Window {
    let settings = Settings {
        name: "revenue".to_owned(),
        group: GROUP.to_vec(),
        window_end: 1,
        aggregates: specs(),
        lateness_ms,
        emits_image,
        uncomputed: uncomputed(),
    };
    Window::new(
        settings,
        &input_schema(),
        &aggregate_schema(&input_schema(), &GROUP, &specs()),
        disk.table(),
        late.clone(),
    )
    .expect("the specs are sums")
}

/// The groups of closed windows; a window without end never closes.
fn visible(rows: &Multiset, watermark: Option<i64>) -> Multiset {
    let is_closed = |row: &Values| {
        row[1]
            .as_int()
            .is_some_and(|end| watermark.is_some_and(|watermark| end <= watermark))
    };
    naive_group_by(rows, &GROUP, &specs())
        .into_iter()
        .filter(|(row, _)| is_closed(row))
        .collect()
}

/// Watermark step, order, restart.
type Beat = (Option<i64>, u64, bool);

fn run(epochs: &[Ops], beats: &[Beat], batch_rows: usize, roomy: bool) {
    let mut disk = Disk::new(roomy);
    let (retracting, late) = ((None, true), Counter::default());
    let mut operator = window(&disk, retracting, &late);
    let (mut rows, mut watermark) = (Multiset::new(), None);
    let changes = history(epochs);
    for ((mut changes, contents), &(watermark_step_ms, order, restart)) in changes
        .clone()
        .into_iter()
        .zip(accumulated(&changes))
        .zip(beats)
    {
        watermark = watermark_step_ms
            .map(|ms| watermark.unwrap_or(0) + ms)
            .or(watermark);
        shuffle(&mut changes, order);
        let input = batches(&input_schema(), &changes, batch_rows);
        let output = at_end_of(&mut operator, &tick(0, watermark), &input);
        add_batches(&mut rows, &output.rows);
        assert_eq!(rows, visible(&contents, watermark));
        if restart {
            disk.restart();
            operator = window(&disk, retracting, &late);
            let image = at_end_of(&mut operator, &restored_tick(0, watermark), &input).rows;
            assert_eq!(
                consolidated(&image),
                rows,
                "the image is the visible groups"
            );
            assert!(
                image
                    .iter()
                    .all(|batch| (0..batch.len()).all(|row| batch.diff(row) == 1))
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn the_groups_of_closed_windows_are_visible_and_corrected_at_once(
        epochs in ops(row(), 1..8, 10),
        beats in prop::collection::vec((prop::option::weighted(0.7, 0..20_i64), any::<u64>(), prop::bool::weighted(0.2)), 8),
        batch_rows in 1..5_usize,
        roomy: bool,
    ) {
        run(&epochs, &beats, batch_rows, roomy);
    }
}

const LATENESS_MS: i64 = 15;

/// Of an input that only appends.
fn run_appending(epochs: &[Vec<Values>], beats: &[Beat], emits_image: bool, roomy: bool) {
    let (mut disk, late) = (Disk::new(roomy), Counter::default());
    let lateness = (Some(LATENESS_MS), emits_image);
    let mut operator = window(&disk, lateness, &late);
    let (mut rows, mut taken, mut watermark, mut dropped) =
        (Multiset::new(), Multiset::new(), None, 0);
    for (events, &(watermark_step_ms, order, restart)) in epochs.iter().zip(beats) {
        let is_over = |row: &&Values| {
            let end = row[GROUP[1]].as_int();
            end.zip(watermark)
                .is_some_and(|(end, watermark)| end + LATENESS_MS < watermark)
        };
        dropped += events.iter().filter(is_over).count() as u64;
        for row in events.iter().filter(|row| !is_over(row)) {
            add(&mut taken, row.clone(), 1);
        }
        watermark = watermark_step_ms
            .map(|ms| watermark.unwrap_or(0) + ms)
            .or(watermark);
        let mut events = events.clone();
        shuffle(&mut events, order);
        let input = insert_batches(&input_schema(), &events, 3);
        let output = at_end_of(&mut operator, &tick(0, watermark), &input);
        add_batches(&mut rows, &output.rows);
        assert_eq!(rows, visible(&taken, watermark));
        assert_eq!(late.get(), dropped, "what is late is counted");
        if restart {
            disk.restart();
            operator = window(&disk, lateness, &late);
            let image = at_end_of(&mut operator, &restored_tick(0, watermark), &[]).rows;
            let expected = if emits_image {
                rows.clone()
            } else {
                Multiset::new()
            };
            assert_eq!(consolidated(&image), expected);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn a_window_of_an_input_that_only_appends_takes_rows_until_it_is_over(
        epochs in prop::collection::vec(prop::collection::vec(row(), 0..8), 1..10),
        beats in prop::collection::vec((prop::option::weighted(0.7, 0..20_i64), any::<u64>(), prop::bool::weighted(0.2)), 10),
        emits_image: bool,
        roomy: bool,
    ) {
        run_appending(&epochs, &beats, emits_image, roomy);
    }
}

#[test]
fn the_sums_of_windows_that_are_over_are_gone_and_those_within_the_lateness_stay() {
    let mut disk = Disk::new(true);
    let late = Counter::default();
    let mut operator = window(&disk, (Some(LATENESS_MS), false), &late);
    let row = |end: i64| {
        vec![
            Value::int(1),
            Value::text("EU"),
            Value::int(1),
            Value::int(end),
        ]
    };
    let mut epoch = |watermark: i64, rows: &[Values]| {
        let input = insert_batches(&input_schema(), rows, 1);
        at_end_of(&mut operator, &tick(0, Some(watermark)), &input);
    };
    let windows: Vec<Values> = (1..=1_000).map(|window| row(window * 10)).collect();
    epoch(0, &windows);
    epoch(10_000, &[]);
    // Ends at 9985 and after: exactly at the bound is in time.
    epoch(10_000, &[row(9_990), row(9_980)]);
    assert_eq!(late.get(), 1);
    drop(operator);
    disk.restart();
    let mut left = 0;
    disk.table()
        .scan(|_, _, _| -> Result<(), tidemill_state::Error> {
            left += 1;
            Ok(())
        })
        .expect("state is readable");
    assert_eq!(left, 2);
}

#[test]
fn an_aggregate_that_cannot_be_retracted_is_refused() {
    let disk = Disk::new(true);
    let greatest = spec(
        AggregateFunction::Max,
        Some("quantity"),
        false,
        DataType::Int64,
        &input_schema(),
    );
    let output = aggregate_schema(&input_schema(), &GROUP, std::slice::from_ref(&greatest));
    let settings = Settings {
        name: "revenue".to_owned(),
        group: GROUP.to_vec(),
        window_end: 1,
        aggregates: vec![greatest],
        lateness_ms: None,
        emits_image: true,
        uncomputed: uncomputed(),
    };
    let late = Counter::default();
    let error = Window::new(settings, &input_schema(), &output, disk.table(), late)
        .err()
        .expect("a maximum is no sum");
    assert!(error.to_string().contains("'revenue'"), "{error}");
}
