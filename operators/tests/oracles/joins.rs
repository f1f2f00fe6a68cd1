//! Joins through a real timely dataflow against nested loops over the rows that are there after each epoch.
//!
//! Catches: a pair lost, doubled or left behind, padding that appears or goes in the wrong epoch, a null that equals something,
//! multiplicities that do not multiply, changes of both sides in one epoch, one input ahead of the other by several epochs, rows on
//! another worker than their match, arrangements that several joins share. Cannot catch: what only large traces show (compaction by
//! merging batches of many epochs is exercised, but not its cost), keys whose types differ between the sides (refused in planning).

use arrow_schema::{DataType, SchemaRef};
use proptest::prelude::*;
use tidemill_operators::arrange::{Arrangement, arrange};
use tidemill_operators::join::{Follows, Settings, Side, join};
use tidemill_operators::keyed::KeyedLayout;
use tidemill_operators::{Changes, Failure, Ticks};

use crate::common::dataflow::{Feed, Run, run};
use crate::common::{Multiset, Value, Values, accumulated, add, history, ops, schema};

const COLUMNS: usize = 3;

fn left_schema() -> SchemaRef {
    schema(&[
        ("left_id", DataType::Int64),
        ("number", DataType::Int64),
        ("region", DataType::Utf8),
    ])
}

/// The key columns stand elsewhere than on the left.
fn right_schema() -> SchemaRef {
    schema(&[
        ("right_region", DataType::Utf8),
        ("right_id", DataType::Int64),
        ("right_number", DataType::Int64),
    ])
}

fn both(left: &SchemaRef, right: &SchemaRef) -> SchemaRef {
    let fields = left.fields().iter().chain(right.fields()).enumerate();
    let named: Vec<(String, DataType)> = fields
        .map(|(i, field)| (format!("{}_{i}", field.name()), field.data_type().clone()))
        .collect();
    schema(
        &named
            .iter()
            .map(|(name, data_type)| (name.as_str(), data_type.clone()))
            .collect::<Vec<_>>(),
    )
}

/// Id, number and region; few keys, many nulls, and duplicates.
fn row() -> impl Strategy<Value = Values> {
    let region = prop::option::weighted(
        0.8,
        prop_oneof![Just("EU"), Just("a region with a long name")],
    );
    (0..4_i64, prop::option::weighted(0.8, 0..3_i64), region).prop_map(|(id, number, region)| {
        vec![
            Value::int(id),
            number.into(),
            region.map_or(Value::Null, Value::text),
        ]
    })
}

fn right_row() -> impl Strategy<Value = Values> {
    row().prop_map(|row| vec![row[2].clone(), row[0].clone(), row[1].clone()])
}

fn left_key(row: &Values) -> [&Value; 2] {
    [&row[1], &row[2]]
}

fn right_key(row: &Values) -> [&Value; 2] {
    [&row[2], &row[0]]
}

/// A join by definition.
fn oracle(
    left: &Multiset,
    right: &Multiset,
    preserve: Preserve,
    right_key: fn(&Values) -> [&Value; 2],
) -> Multiset {
    let equal = |left: &Values, right: &Values| {
        left_key(left) == right_key(right) && !left_key(left).contains(&&Value::Null)
    };
    let nulls = || vec![Value::Null; COLUMNS];
    let mut joined = Multiset::new();
    for (left_row, left_count) in left {
        for (right_row, right_count) in right
            .iter()
            .filter(|(right_row, _)| equal(left_row, right_row))
        {
            add(
                &mut joined,
                [left_row.clone(), right_row.clone()].concat(),
                left_count * right_count,
            );
        }
        if preserve.left && !right.keys().any(|right_row| equal(left_row, right_row)) {
            add(
                &mut joined,
                [left_row.clone(), nulls()].concat(),
                *left_count,
            );
        }
    }
    for (right_row, right_count) in right {
        if preserve.right && !left.keys().any(|left_row| equal(left_row, right_row)) {
            add(
                &mut joined,
                [nulls(), right_row.clone()].concat(),
                *right_count,
            );
        }
    }
    joined
}

/// Which rows without a match are kept.
#[derive(Debug, Clone, Copy)]
struct Preserve {
    left: bool,
    right: bool,
}

const KINDS: [Preserve; 4] = [
    Preserve {
        left: false,
        right: false,
    },
    Preserve {
        left: true,
        right: false,
    },
    Preserve {
        left: false,
        right: true,
    },
    Preserve {
        left: true,
        right: true,
    },
];

fn indexed<'scope>(
    rows: Changes<'scope>,
    schema: &SchemaRef,
    key: [&str; 2],
    failure: &Failure,
) -> Arrangement<'scope> {
    let layout = KeyedLayout::new(schema, &key.map(str::to_owned));
    let layout = layout.expect("the schema has the columns");
    arrange(rows, layout, "side", failure).expect("keys have encodings")
}

fn joined<'scope>(
    sides: Vec<(Arrangement<'scope>, bool)>,
    output: SchemaRef,
    failure: &Failure,
) -> Changes<'scope> {
    let settings = Settings {
        name: "join".to_owned(),
        output,
        follows: Follows::AllSides,
        unneeded_through: None,
    };
    let sides = sides
        .into_iter()
        .map(|(arrangement, padded)| Side {
            arrangement,
            padded,
        })
        .collect();
    join(sides, settings, failure).expect("types have encodings")
}

/// All four kinds over shared arrangements, and the left side joined with itself.
fn build<'scope>(
    mut inputs: Vec<Changes<'scope>>,
    _: Ticks<'scope>,
    failure: &Failure,
) -> Vec<Changes<'scope>> {
    let right = inputs.pop().expect("two inputs");
    let left = inputs.pop().expect("two inputs");
    let left = indexed(left, &left_schema(), ["number", "region"], failure);
    let key = ["right_number", "right_region"];
    let right = indexed(right, &right_schema(), key, failure);
    let output = both(&left_schema(), &right_schema());
    let kinds = KINDS.map(|preserve| {
        let sides = vec![
            (left.clone(), preserve.right),
            (right.clone(), preserve.left),
        ];
        joined(sides, output.clone(), failure)
    });
    let output = both(&left_schema(), &left_schema());
    let with_itself = joined(
        vec![(left.clone(), false), (left, KINDS[1].left)],
        output,
        failure,
    );
    kinds.into_iter().chain([with_itself]).collect()
}

fn check(left: Vec<Vec<(Values, i64)>>, right: Vec<Vec<(Values, i64)>>, how: &Run) {
    let (left_rows, right_rows) = (accumulated(&left), accumulated(&right));
    let feeds = [
        Feed {
            schema: left_schema(),
            epochs: left,
        },
        Feed {
            schema: right_schema(),
            epochs: right,
        },
    ];
    let contents = run(how, &feeds, KINDS.len() + 1, build);
    for (epoch, (left, right)) in left_rows.iter().zip(&right_rows).enumerate() {
        for (contents, preserve) in contents.iter().zip(KINDS) {
            assert_eq!(
                contents[epoch],
                oracle(left, right, preserve, right_key),
                "{preserve:?} after epoch {}",
                epoch + 1
            );
        }
        assert_eq!(
            contents[KINDS.len()][epoch],
            oracle(left, left, KINDS[1], left_key),
            "with itself after epoch {}",
            epoch + 1
        );
    }
}

const EPOCHS: usize = 6;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn every_kind_of_join_holds_what_nested_loops_give_after_each_epoch(
        left in ops(row(), EPOCHS..EPOCHS + 1, 6),
        right in ops(right_row(), EPOCHS..EPOCHS + 1, 6),
        workers in 1..3_usize,
        batch_rows in 1..4_usize,
        schedule in prop::collection::vec(0..6_usize, 0..30),
    ) {
        check(history(&left), history(&right), &Run { workers, batch_rows, schedule });
    }
}

/// A row of the left input with the key `(1, 'EU')`.
fn left(id: i64) -> Values {
    vec![Value::int(id), Value::int(1), Value::text("EU")]
}

fn right(id: i64) -> Values {
    vec![Value::text("EU"), Value::int(id), Value::int(1)]
}

#[test]
fn a_side_that_is_epochs_ahead_waits_for_the_other() {
    const STEP: usize = 9;
    let ahead = vec![
        vec![],
        vec![],
        vec![],
        vec![(left(1), 1)],
        vec![(left(1), -1)],
    ];
    let behind = vec![
        vec![],
        vec![(right(1), 1)],
        vec![(right(1), -1)],
        vec![(right(2), 1)],
        vec![(right(2), 1)],
    ];
    let steps = [STEP; 4];
    let one_by_one: Vec<usize> = (0..5).flat_map(|_| [1].into_iter().chain(steps)).collect();
    for workers in [1, 2] {
        let schedule: Vec<usize> = [0; 5]
            .into_iter()
            .chain(steps)
            .chain(one_by_one.clone())
            .collect();
        check(
            ahead.clone(),
            behind.clone(),
            &Run {
                workers,
                batch_rows: 1,
                schedule,
            },
        );
    }
}

#[test]
fn a_match_that_goes_and_comes_within_one_epoch_changes_no_padding() {
    let epochs_left = vec![
        vec![(left(1), 1)],
        vec![],
        vec![(left(1), -1), (left(1), 1)],
    ];
    let epochs_right = vec![
        vec![(right(1), 1)],
        vec![(right(1), -1), (right(2), 1)],
        vec![(right(2), -1), (right(2), 1)],
    ];
    check(
        epochs_left,
        epochs_right,
        &Run {
            workers: 1,
            batch_rows: 2,
            schedule: Vec::new(),
        },
    );
}

#[test]
fn rows_without_a_key_match_nothing_and_are_padded_where_their_side_is_kept() {
    let null_keyed = |id: i64| vec![Value::int(id), Value::Null, Value::text("EU")];
    let null_right = |id: i64| vec![Value::text("EU"), Value::int(id), Value::Null];
    let epochs_left = vec![
        vec![(null_keyed(1), 1), (left(2), 1)],
        vec![(null_keyed(1), -1)],
    ];
    let epochs_right = vec![
        vec![(null_right(1), 1), (null_right(1), 1)],
        vec![(null_right(1), -1)],
    ];
    check(
        epochs_left,
        epochs_right,
        &Run {
            workers: 2,
            batch_rows: 2,
            schedule: Vec::new(),
        },
    );
}
