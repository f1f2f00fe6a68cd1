//! Sums that leave their type, and come back: their group has no row in between, and a dead letter says so.
//!
//! Catches: a sum that wraps or is null, a row that stays or is taken away twice, a group that is lost for good, an
//! operator that fails.

use arrow_array::cast::AsArray;
use arrow_schema::{DataType, SchemaRef};
use tidemill_operators::accumulators::AggregateSpec;
use tidemill_operators::reduce::{Settings, aggregate};
use tidemill_operators::window::{self, Window};
use tidemill_operators::{Changes, Failure, Ticks};
use tidemill_types::{AggregateFunction, ChangeBatch};

use crate::common::dataflow::{Contents, Feed, Run, run};
use crate::common::{
    Disk, Multiset, TIME, Value, Values, aggregate_schema, at_end_of, batches, consolidated,
    schema, spec, tick, uncomputed,
};

fn input_schema() -> SchemaRef {
    schema(&[
        ("region", DataType::Utf8),
        ("big", DataType::Int64),
        ("unsigned", DataType::UInt64),
        ("weight", DataType::Float64),
        ("window_end", TIME),
    ])
}

fn of(function: AggregateFunction, argument: &str, data_type: DataType) -> AggregateSpec {
    spec(function, Some(argument), false, data_type, &input_schema())
}

fn row(region: &str, big: i64, unsigned: u64, weight: f64) -> Values {
    vec![
        Value::text(region),
        Value::int(big),
        Value::int(unsigned),
        Value::float(weight),
        Value::int(10_i64),
    ]
}

/// The rows and the dead letters of an aggregation by region, after each epoch.
fn grouped(specs: &[AggregateSpec], epochs: Vec<Vec<(Values, i64)>>, workers: usize) -> Contents {
    let specs = specs.to_vec();
    let build = shaped(move |mut inputs, ticks, failure| {
        let settings = Settings {
            name: "by_region".to_owned(),
            group: vec![0],
            aggregates: specs.clone(),
            uncomputed: uncomputed(),
        };
        let output = aggregate_schema(&input_schema(), &[0], &specs);
        let input = inputs.pop().expect("one input");
        let (rows, dead) = aggregate(input, ticks, settings, &input_schema(), &output, failure)
            .expect("types have encodings");
        vec![rows, dead]
    });
    let how = Run {
        workers,
        batch_rows: 2,
        schedule: Vec::new(),
    };
    let schema = input_schema();
    run(&how, &[Feed { schema, epochs }], 2, build)
}

/// Says of a closure that its streams are all of one scope.
fn shaped<F>(build: F) -> F
where
    F: for<'scope> Fn(Vec<Changes<'scope>>, Ticks<'scope>, &Failure) -> Vec<Changes<'scope>>,
{
    build
}

fn row_of(region: &str, results: &[Value]) -> Values {
    [&[Value::text(region)], results].concat()
}

fn set(rows: Vec<Values>) -> Multiset {
    rows.into_iter().map(|row| (row, 1)).collect()
}

#[test]
fn a_group_beyond_its_type_has_no_row_until_it_fits_again() {
    let full = row("EU", i64::MAX, u64::MAX, 1e308);
    let more = row("EU", 1, 1, 1e308);
    let other = row("US", 5, 5, 0.5);
    let epochs = vec![
        vec![(full, 1), (other, 1)],
        vec![(more.clone(), 1)],
        vec![(more, -1)],
    ];
    let big = |function| of(function, "big", DataType::Int64);
    let cases: [(Vec<AggregateSpec>, Value, Value); 4] = [
        (
            vec![big(AggregateFunction::Sum)],
            Value::int(i64::MAX),
            Value::int(5),
        ),
        (
            vec![of(AggregateFunction::Sum, "unsigned", DataType::UInt64)],
            Value::int(u64::MAX),
            Value::int(5),
        ),
        (
            vec![of(AggregateFunction::Sum, "weight", DataType::Float64)],
            Value::float(1e308),
            Value::float(0.5),
        ),
        (
            vec![big(AggregateFunction::Sum), big(AggregateFunction::Min)],
            Value::int(i64::MAX),
            Value::int(5),
        ),
    ];
    for (specs, eu, us) in cases {
        let row = |region: &str, value: &Value| row_of(region, &vec![value.clone(); specs.len()]);
        let all = set(vec![row("EU", &eu), row("US", &us)]);
        for workers in [1, 2] {
            let contents = grouped(&specs, epochs.clone(), workers);
            assert_eq!(contents[0][0], all, "all fit: {specs:?}");
            assert_eq!(
                contents[0][1],
                set(vec![row("US", &us)]),
                "one is beyond: {specs:?}"
            );
            assert_eq!(contents[0][2], all, "all fit again: {specs:?}");
            let letters = |epoch: usize| contents[1][epoch].values().sum::<i64>();
            assert_eq!([letters(0), letters(1), letters(2)], [0, 1, 1], "{specs:?}");
        }
    }
}

#[test]
fn an_average_is_right_where_its_sum_would_not_fit() {
    let digits = |scale| DataType::Decimal128(38, scale);
    let schema = schema(&[("amount", digits(0)), ("region", DataType::Utf8)]);
    let average = spec(
        AggregateFunction::Avg,
        Some("amount"),
        false,
        digits(4),
        &schema,
    );
    let large = 10_i128.pow(33);
    let numbers = vec![Value::Int(large), Value::Int(large + 1)];
    let rows: Vec<(Values, i64)> = numbers
        .into_iter()
        .map(|number| (vec![number, Value::text("EU")], 50_000_000))
        .collect();
    let plan = tidemill_operators::accumulators::AccumulatorPlan::new(vec![average]);
    let mut sums = plan.zero();
    for batch in batches(&schema, &rows, 1) {
        let arguments = plan.arguments(&batch.rows).expect("decimals");
        plan.add(&mut sums, &arguments, 0, batch.diff(0));
    }
    let finished = plan.finish(&[&sums]).expect("decimals");
    assert!(finished.beyond.is_empty());
    let average = finished.columns[0].as_primitive::<arrow_array::types::Decimal128Type>();
    assert_eq!(average.value(0), large * 10_000 + 5_000);
}

#[test]
fn a_window_beyond_its_type_has_no_row_until_it_fits_again() {
    let disk = Disk::new(true);
    let specs = vec![of(AggregateFunction::Sum, "unsigned", DataType::UInt64)];
    let settings = window::Settings {
        name: "revenue".to_owned(),
        group: vec![0, 4],
        window_end: 1,
        aggregates: specs.clone(),
        uncomputed: uncomputed(),
        lateness_ms: None,
        emits_image: true,
    };
    let output = aggregate_schema(&input_schema(), &[0, 4], &specs);
    let mut window = Window::new(
        settings,
        &input_schema(),
        &output,
        disk.table(),
        tidemill_operators::Counter::default(),
    )
    .expect("a sum");
    let mut step = |changes: &[(Values, i64)]| -> (Multiset, Vec<String>) {
        let input = batches(&input_schema(), changes, 4);
        let output = at_end_of(&mut window, &tick(0, Some(20)), &input);
        let reasons = output.aside.iter().map(reason).collect();
        (consolidated(&output.rows), reasons)
    };
    let (full, more) = (row("EU", 0, u64::MAX, 0.0), row("EU", 0, 1, 0.0));
    let of_full = vec![Value::text("EU"), Value::int(10_i64), Value::int(u64::MAX)];
    let fits = |diff| Multiset::from([(of_full.clone(), diff)]);
    assert_eq!(step(&[(full, 1)]), (fits(1), vec![]));
    let letter = "'sum(unsigned)' of a group cannot be computed: it does not fit BIGINT UNSIGNED";
    assert_eq!(
        step(&[(more.clone(), 1)]),
        (fits(-1), vec![letter.to_owned()])
    );
    assert_eq!(step(&[(more, -1)]), (fits(1), vec![]));
}

fn reason(letters: &ChangeBatch) -> String {
    letters
        .rows
        .column(6)
        .as_string::<i32>()
        .value(0)
        .to_owned()
}
