//! Numbers against integers of 128 bits.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Int64Array};

use super::kit::{Outcome, bigints, combinations, function, named};

/// Every pair of limits with what an operator gives, and what it should.
fn check(sql: &str, right: impl Fn(i128, i128) -> Option<i128>) {
    let columns = combinations(&['b', 'b']);
    let outcomes = function(sql)
        .expect("is planned")
        .outcomes(&named(&columns));
    let [left, by] = [0, 1].map(|i| {
        let column: &Int64Array = columns[i].1.as_any().downcast_ref().expect("integers");
        column.iter().collect::<Vec<_>>()
    });
    for ((left, by), outcome) in left.into_iter().zip(by).zip(outcomes) {
        let expected = match (left, by) {
            (Some(left), Some(by)) => right(left.into(), by.into()).map(Some),
            _ => Some(None),
        };
        compare(&format!("{sql} of {left:?} and {by:?}"), expected, &outcome);
    }
}

/// A value that fits 64 bits is given; any other is a fault.
fn compare(what: &str, expected: Option<Option<i128>>, outcome: &Outcome) {
    let fits = |number: &i128| i64::try_from(*number).is_ok();
    match expected {
        Some(None) => assert_eq!(*outcome, Ok(None), "{what}"),
        Some(Some(number)) if fits(&number) => {
            assert_eq!(*outcome, Ok(Some(number.to_string())), "{what}");
        }
        _ => assert!(outcome.is_err(), "{what}: {outcome:?}"),
    }
}

#[test]
fn integers_are_right_or_a_fault() {
    check("b1 + b2", |a, b| Some(a + b));
    check("b1 - b2", |a, b| Some(a - b));
    check("b1 * b2", |a, b| Some(a * b));
    check("b1 / b2", |a, b| (b != 0).then(|| a / b));
    check("b1 % b2", |a, b| (b != 0).then(|| a % b));
    check("b1 << b2", |a, b| {
        let by = u32::try_from(b).ok().filter(|by| *by < 64)?;
        Some(i128::from(i64::try_from(a).ok()?.wrapping_shl(by)))
    });
    check("b1 >> b2", |a, b| {
        let by = u32::try_from(b).ok().filter(|by| *by < 64)?;
        Some(a >> by)
    });
}

#[test]
fn a_minus_is_right_or_a_fault() {
    let numbers: ArrayRef = Arc::new(Int64Array::from(bigints()));
    let outcomes = function("-b1")
        .expect("is planned")
        .outcomes(&[("b1", numbers)]);
    for (number, outcome) in bigints().into_iter().zip(outcomes) {
        let expected = Some(number.map(|number| -i128::from(number)));
        compare(&format!("-b1 of {number:?}"), expected, &outcome);
    }
}

#[test]
fn casts_of_integers_are_right_or_a_fault() {
    let numbers: ArrayRef = Arc::new(Int64Array::from(bigints()));
    let casts: [(&str, i128, i128); 5] = [
        ("CAST(b1 AS INT)", i32::MIN.into(), i32::MAX.into()),
        ("CAST(b1 AS SMALLINT)", i16::MIN.into(), i16::MAX.into()),
        ("CAST(b1 AS BIGINT UNSIGNED)", 0, u64::MAX.into()),
        (
            "CAST(b1 AS DECIMAL(12, 0))",
            -999_999_999_999,
            999_999_999_999,
        ),
        (
            "CAST(CAST(b1 AS TIMESTAMP) AS BIGINT)",
            -62_135_596_800_000,
            253_402_300_799_999,
        ),
    ];
    for (sql, least, greatest) in casts {
        let outcomes = function(sql)
            .expect("is planned")
            .outcomes(&[("b1", Arc::clone(&numbers))]);
        for (number, outcome) in bigints().into_iter().zip(outcomes) {
            match number {
                Some(number) if (least..=greatest).contains(&number.into()) => {
                    assert_eq!(outcome, Ok(Some(number.to_string())), "{sql}");
                }
                Some(number) => assert!(outcome.is_err(), "{sql} of {number}: {outcome:?}"),
                None => assert_eq!(outcome, Ok(None), "{sql}"),
            }
        }
    }
}

#[test]
fn try_cast_gives_null_for_what_does_not_fit() {
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(5), Some(i64::MAX)]));
    let outcomes = |sql: &str| {
        function(sql)
            .expect("is planned")
            .outcomes(&[("b1", Arc::clone(&numbers))])
    };
    assert_eq!(
        outcomes("TRY_CAST(b1 AS INT)"),
        [Ok(Some("5".to_owned())), Ok(None)]
    );
    let moments = outcomes("TRY_CAST(b1 AS TIMESTAMP)");
    assert_eq!(
        moments,
        [Ok(Some("1970-01-01T00:00:00.005".to_owned())), Ok(None)]
    );
}

#[test]
fn decimals_of_38_digits_are_right_or_a_fault() {
    let columns = combinations(&['d', 'd']);
    for (sql, sum) in [("d1 + d2", true), ("d1 - d2", false)] {
        let outcomes = function(sql)
            .expect("is planned")
            .outcomes(&named(&columns));
        let limit = 10_i128.pow(38);
        let numbers = |i: usize| {
            let column: &arrow_array::Decimal128Array =
                columns[i].1.as_any().downcast_ref().expect("decimals");
            column.iter().collect::<Vec<_>>()
        };
        for ((a, b), outcome) in numbers(0).into_iter().zip(numbers(1)).zip(outcomes) {
            let Some((a, b)) = a.zip(b) else {
                assert_eq!(outcome, Ok(None), "{sql}");
                continue;
            };
            // Both are below 10^38, so that neither wraps.
            let right = if sum {
                a.checked_add(b)
            } else {
                a.checked_sub(b)
            };
            match right.filter(|right| right.abs() < limit) {
                Some(right) => {
                    let digits = outcome.expect("fits").expect("no null").replace('.', "");
                    assert_eq!(
                        digits.parse::<i128>().ok(),
                        Some(right),
                        "{sql} of {a} and {b}"
                    );
                }
                None => assert!(outcome.is_err(), "{sql} of {a} and {b}: {outcome:?}"),
            }
        }
    }
}

#[test]
fn a_double_is_finite_or_a_fault() {
    for sql in [
        "f1 * f2",
        "f1 + f2",
        "f1 / f2",
        "f1 % f2",
        "CAST(s1 AS DOUBLE) + f2",
        "CAST(f1 AS REAL) * 1",
    ] {
        let columns = [combinations(&['f', 'f']), vec![]].concat();
        for outcome in function(sql)
            .expect("is planned")
            .outcomes(&named(&columns))
        {
            if let Ok(Some(number)) = outcome {
                assert!(
                    number.parse::<f64>().expect("a number").is_finite(),
                    "{sql}: {number}"
                );
            }
        }
    }
    let texts = [("s1", super::kit::limits('s'))];
    let outcomes = function("CAST(s1 AS DOUBLE)")
        .expect("is planned")
        .outcomes(&texts);
    assert!(
        outcomes
            .iter()
            .flatten()
            .flatten()
            .all(|number| !number.contains(['N', 'i']))
    );
}

#[test]
fn a_fault_names_the_part_that_failed_its_place_and_the_reason() {
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![i64::MAX]));
    let outcome = function("upper(CAST(b1 + 1 AS VARCHAR))")
        .expect("is planned")
        .outcomes(&[("b1", numbers)]);
    let fault = outcome[0].as_ref().expect_err("overflows");
    let expected =
        "'b1 + 1' at 9:23 cannot be computed: overflow happened on: 9223372036854775807 + 1";
    assert_eq!(fault, expected);
}
