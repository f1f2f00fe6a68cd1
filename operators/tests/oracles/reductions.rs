//! Reductions through a real timely dataflow against lists of rows, grouped and aggregated by definition after each epoch.
//!
//! Catches: a group that stays without rows, an aggregate that retractions leave wrong (least and greatest above all),
//! nulls counted or summed, a distinct value counted twice, a global aggregate with no row or two, results that depend
//! on the number of workers or on how rows are batched. Cannot catch: rounding of floating-point sums (the numbers here
//! are exact). Results beyond their type have tests of their own.

use arrow_schema::{DataType, SchemaRef};
use proptest::prelude::*;
use tidemill_operators::accumulators::AggregateSpec;
use tidemill_operators::reduce::{Settings, aggregate, distinct};
use tidemill_operators::{Changes, Failure, Ticks};

use tidemill_types::AggregateFunction;

use crate::common::dataflow::{Feed, Run, run};
use crate::common::{
    MONEY, Multiset, Value, Values, accumulated, aggregate_schema, history, naive_group_by, ops,
    schema, spec, uncomputed,
};

fn input_schema() -> SchemaRef {
    schema(&[
        ("number", DataType::Int64),
        ("region", DataType::Utf8),
        ("amount", MONEY),
        ("small", DataType::Int32),
        ("weight", DataType::Float64),
        ("day", DataType::Date32),
    ])
}

fn row() -> impl Strategy<Value = Values> {
    let number =
        |range: std::ops::Range<i64>| prop::option::weighted(0.8, range).prop_map(Value::from);
    let region = prop::option::weighted(0.8, prop_oneof![Just("EU"), Just("US")])
        .prop_map(|region| region.map_or(Value::Null, Value::text));
    let weight = prop::option::weighted(0.8, -4..5_i32).prop_map(|halves| {
        halves.map_or(Value::Null, |halves| Value::float(f64::from(halves) / 2.0))
    });
    (
        number(0..3),
        region,
        number(-3..4),
        number(-2..3),
        weight,
        number(0..3),
    )
        .prop_map(|(number, region, amount, small, weight, day)| {
            vec![number, region, amount, small, weight, day]
        })
}

/// Aggregates that are kept as sums.
fn sums() -> Vec<AggregateSpec> {
    let spec =
        |function, argument, data_type| spec(function, argument, false, data_type, &input_schema());
    vec![
        spec(
            AggregateFunction::Sum,
            Some("amount"),
            DataType::Decimal128(28, 2),
        ),
        spec(AggregateFunction::Count, None, DataType::Int64),
        spec(
            AggregateFunction::Avg,
            Some("amount"),
            DataType::Decimal128(22, 6),
        ),
        spec(AggregateFunction::Count, Some("region"), DataType::Int64),
        spec(AggregateFunction::Sum, Some("small"), DataType::Int64),
    ]
}

/// Aggregates that need their arguments, some of them beside sums.
fn others() -> Vec<AggregateSpec> {
    let spec = |function, argument, distinct, data_type| {
        spec(function, argument, distinct, data_type, &input_schema())
    };
    vec![
        spec(AggregateFunction::Min, Some("amount"), false, MONEY),
        spec(
            AggregateFunction::Max,
            Some("region"),
            false,
            DataType::Utf8,
        ),
        spec(AggregateFunction::Count, None, false, DataType::Int64),
        spec(AggregateFunction::Max, Some("day"), false, DataType::Date32),
        spec(
            AggregateFunction::Count,
            Some("small"),
            true,
            DataType::Int64,
        ),
        spec(
            AggregateFunction::Sum,
            Some("amount"),
            true,
            DataType::Decimal128(28, 2),
        ),
        spec(
            AggregateFunction::Avg,
            Some("amount"),
            true,
            DataType::Decimal128(22, 6),
        ),
        spec(
            AggregateFunction::Sum,
            Some("weight"),
            false,
            DataType::Float64,
        ),
        spec(
            AggregateFunction::Avg,
            Some("weight"),
            false,
            DataType::Float64,
        ),
        spec(
            AggregateFunction::Min,
            Some("weight"),
            false,
            DataType::Float64,
        ),
        spec(
            AggregateFunction::Sum,
            Some("amount"),
            false,
            DataType::Decimal128(28, 2),
        ),
        spec(
            AggregateFunction::Count,
            Some("weight"),
            false,
            DataType::Int64,
        ),
    ]
}

/// Group columns and aggregates.
fn queries() -> Vec<(Vec<usize>, Vec<AggregateSpec>)> {
    vec![
        (vec![1, 0], sums()),
        (vec![0], others()),
        (vec![], sums()),
        (vec![], others()),
        (vec![1], Vec::new()),
    ]
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "reads better where it is called"
)]
fn build<'scope>(
    mut inputs: Vec<Changes<'scope>>,
    ticks: Ticks<'scope>,
    failure: &Failure,
) -> Vec<Changes<'scope>> {
    let input = inputs.pop().expect("one input");
    let query = |(group, aggregates): (Vec<usize>, Vec<AggregateSpec>)| {
        let output = aggregate_schema(&input_schema(), &group, &aggregates);
        let settings = Settings {
            name: "finance".to_owned(),
            group,
            aggregates,
            uncomputed: uncomputed(),
        };
        aggregate(
            input.clone(),
            ticks.clone(),
            settings,
            &input_schema(),
            &output,
            failure,
        )
        .expect("types have encodings")
        .0
    };
    let mut outputs: Vec<_> = queries().into_iter().map(query).collect();
    outputs.push(
        distinct(input.clone(), &input_schema(), "distinct", failure)
            .expect("types have encodings"),
    );
    outputs
}

fn check(changes: Vec<Vec<(Values, i64)>>, how: &Run) {
    let rows = accumulated(&changes);
    let queries = queries();
    let contents = run(
        how,
        &[Feed {
            schema: input_schema(),
            epochs: changes,
        }],
        queries.len() + 1,
        build,
    );
    for (epoch, rows) in rows.iter().enumerate() {
        for (contents, (group, aggregates)) in contents.iter().zip(&queries) {
            assert_eq!(
                contents[epoch],
                naive_group_by(rows, group, aggregates),
                "by {group:?} after epoch {}",
                epoch + 1
            );
        }
        let set: Multiset = rows.keys().map(|row| (row.clone(), 1)).collect();
        assert_eq!(
            contents[queries.len()][epoch],
            set,
            "the set of rows after epoch {}",
            epoch + 1
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn groups_and_sets_hold_what_their_definition_gives_after_each_epoch(
        epochs in ops(row(), 1..6, 10),
        workers in 1..3_usize,
        batch_rows in 1..5_usize,
        schedule in prop::collection::vec(0..4_usize, 0..20),
    ) {
        check(history(&epochs), &Run { workers, batch_rows, schedule });
    }
}

#[test]
fn a_global_aggregate_has_one_row_from_the_first_epoch_on_even_without_input() {
    for workers in [1, 2] {
        check(
            vec![vec![], vec![]],
            &Run {
                workers,
                batch_rows: 1,
                schedule: Vec::new(),
            },
        );
    }
}

#[test]
fn a_global_aggregate_whose_rows_all_went_still_has_its_row() {
    let row = vec![
        Value::int(1),
        Value::text("EU"),
        Value::int(5),
        Value::int(1),
        Value::Null,
        Value::int(0),
    ];
    for workers in [1, 2] {
        check(
            vec![
                vec![(row.clone(), 1)],
                vec![(row.clone(), -1)],
                vec![(row.clone(), 1)],
            ],
            &Run {
                workers,
                batch_rows: 1,
                schedule: Vec::new(),
            },
        );
    }
}
