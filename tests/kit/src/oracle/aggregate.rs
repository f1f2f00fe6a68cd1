//! Aggregates of a group, from all of its rows.

use std::collections::BTreeSet;

use super::expression::value;
use crate::random_job::job::{Aggregate, Function};
use crate::value::{Double, Row, Value};

/// The aggregate of rows, each so many times.
pub(super) fn of(aggregate: &Aggregate, rows: &[(&Row, i64)]) -> Value {
    let mut arguments: Vec<Value> = Vec::new();
    for (row, count) in rows {
        let counts = aggregate
            .filter
            .as_ref()
            .is_none_or(|filter| value(filter, row) == Some(Value::Bool(true)));
        let argument = aggregate
            .argument
            .map_or(Value::Bool(true), |index| row[index].clone());
        if counts && !argument.is_null() {
            arguments.extend((0..*count).map(|_| argument.clone()));
        }
    }
    if aggregate.distinct {
        arguments = BTreeSet::from_iter(arguments).into_iter().collect();
    }
    match aggregate.function {
        Function::Count => Value::Int(length(&arguments)),
        Function::Sum => sum(&arguments),
        Function::Avg => average(&arguments),
        Function::Min => arguments.into_iter().min().unwrap_or(Value::Null),
        Function::Max => arguments.into_iter().max().unwrap_or(Value::Null),
    }
}

fn length(arguments: &[Value]) -> i64 {
    i64::try_from(arguments.len()).expect("a group has few rows")
}

fn sum(arguments: &[Value]) -> Value {
    arguments
        .iter()
        .fold(Value::Null, |sum, argument| match (sum, argument) {
            (Value::Null, first) => first.clone(),
            (Value::Int(a), Value::Int(b)) => Value::Int(a + b),
            (Value::Decimal(a, scale), Value::Decimal(b, _)) => Value::Decimal(a + b, scale),
            (other, _) => other,
        })
}

/// Of decimals cut at four digits more than they have; of integers a floating-point number.
fn average(arguments: &[Value]) -> Value {
    let count = length(arguments);
    match sum(arguments) {
        Value::Decimal(sum, scale) => Value::Decimal(sum * 10_000 / i128::from(count), scale + 4),
        #[expect(
            clippy::cast_precision_loss,
            reason = "the numbers of a test are small"
        )]
        Value::Int(sum) => Value::Double(Double(sum as f64 / count as f64)),
        _ => Value::Null,
    }
}
