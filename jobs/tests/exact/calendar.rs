//! Dates and times against a calendar of any years.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Int64Array, TimestampMillisecondArray};
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, TimeDelta, Timelike, Utc};

use super::kit::{
    FIRST_MS, LAST_MS, MS_PER_DAY, Outcome, bigints, combinations, function, moments, named,
};

fn time(ms: i64) -> NaiveDateTime {
    DateTime::<Utc>::from_timestamp_millis(ms)
        .expect("of the calendar")
        .naive_utc()
}

fn shown(time: NaiveDateTime) -> String {
    let words = time.format("%Y-%m-%dT%H:%M:%S%.3f").to_string();
    words
        .strip_suffix(".000")
        .map_or(words.clone(), str::to_owned)
}

/// What an expression of `t1` gives, against what it should: none is a fault.
fn check(sql: &str, right: impl Fn(NaiveDateTime) -> Option<String>) {
    let column: ArrayRef = Arc::new(TimestampMillisecondArray::from(moments()));
    let outcomes = function(sql)
        .unwrap_or_else(|error| panic!("{sql}: {error}"))
        .outcomes(&[("t1", column)]);
    for (ms, outcome) in moments().into_iter().zip(outcomes) {
        let expected = ms.map(|ms| right(time(ms)));
        compare(&format!("{sql} of {:?}", ms.map(time)), expected, &outcome);
    }
}

fn compare(what: &str, expected: Option<Option<String>>, outcome: &Outcome) {
    match expected {
        None => assert_eq!(*outcome, Ok(None), "{what}"),
        Some(Some(value)) => assert_eq!(*outcome, Ok(Some(value)), "{what}"),
        Some(None) => assert!(outcome.is_err(), "{what}: {outcome:?}"),
    }
}

/// A time in words, if it is one of SQL's.
fn within(time: NaiveDateTime) -> Option<String> {
    let ms = time.and_utc().timestamp_millis();
    (FIRST_MS..=LAST_MS).contains(&ms).then(|| shown(time))
}

fn midnight(year: i32, month: u32, day: u32) -> NaiveDateTime {
    NaiveDate::from_ymd_opt(year, month, day)
        .expect("a date")
        .and_time(chrono::NaiveTime::MIN)
}

#[test]
fn date_trunc_gives_the_beginning_in_every_year() {
    check("date_trunc('year', t1)", |t| {
        within(midnight(t.year(), 1, 1))
    });
    check("date_trunc('quarter', t1)", |t| {
        within(midnight(t.year(), t.month0() / 3 * 3 + 1, 1))
    });
    check("date_trunc('month', t1)", |t| {
        within(midnight(t.year(), t.month(), 1))
    });
    check("date_trunc('week', t1)", |t| {
        let monday = t.date() - TimeDelta::days(t.weekday().num_days_from_monday().into());
        within(monday.and_time(chrono::NaiveTime::MIN))
    });
    check("date_trunc('day', t1)", |t| {
        within(t.date().and_time(chrono::NaiveTime::MIN))
    });
    check("date_trunc('hour', t1)", |t| {
        within(t.date().and_hms_opt(t.hour(), 0, 0)?)
    });
    check("date_trunc('minute', t1)", |t| {
        within(t.date().and_hms_opt(t.hour(), t.minute(), 0)?)
    });
    check("date_trunc('second', t1)", |t| {
        within(t.with_nanosecond(0)?)
    });
    check("date_trunc('millisecond', t1)", within);
    check("CAST(date_trunc('month', CAST(t1 AS DATE)) AS DATE)", |t| {
        Some(
            midnight(t.year(), t.month(), 1)
                .format("%Y-%m-%d")
                .to_string(),
        )
    });
}

#[test]
fn date_bin_gives_the_beginning_in_every_year() {
    for (sql, size) in [
        ("15 minutes", 900_000_i64),
        ("7 days", 7 * MS_PER_DAY),
        ("1 millisecond", 1),
        ("1000 hours", 3_600_000_000),
    ] {
        check(&format!("date_bin(INTERVAL '{sql}', t1)"), |t| {
            let ms = t.and_utc().timestamp_millis();
            within(time(ms - ms.rem_euclid(size)))
        });
        check(
            &format!("date_bin(INTERVAL '{sql}', t1, TIMESTAMP '9999-12-31 00:00:07')"),
            |t| {
                let (ms, origin) = (
                    t.and_utc().timestamp_millis(),
                    LAST_MS + 1 - MS_PER_DAY + 7_000,
                );
                within(time(ms - (ms - origin).rem_euclid(size)))
            },
        );
    }
    check("date_bin(INTERVAL '5 months', t1)", |t| {
        let months = (t.year() - 1970) * 12 + i32::try_from(t.month0()).ok()?;
        let begin = months.div_euclid(5) * 5;
        within(midnight(
            1970 + begin.div_euclid(12),
            u32::try_from(begin.rem_euclid(12)).ok()? + 1,
            1,
        ))
    });
}

#[test]
fn parts_of_a_date_are_right_in_every_year() {
    let part = |sql: &str, right: fn(NaiveDateTime) -> i64| {
        check(sql, |t| Some(right(t).to_string()));
    };
    part("EXTRACT(YEAR FROM t1)", |t| t.year().into());
    part("EXTRACT(MONTH FROM t1)", |t| t.month().into());
    part("EXTRACT(DAY FROM t1)", |t| t.day().into());
    part("EXTRACT(HOUR FROM t1)", |t| t.hour().into());
    part("EXTRACT(MINUTE FROM t1)", |t| t.minute().into());
    part("EXTRACT(SECOND FROM t1)", |t| t.second().into());
    part("EXTRACT(MILLISECOND FROM t1)", |t| {
        i64::from(t.second()) * 1_000 + i64::from(t.nanosecond()) / 1_000_000
    });
    part("EXTRACT(DOY FROM t1)", |t| t.ordinal().into());
    part("EXTRACT(DOW FROM t1)", |t| {
        t.weekday().num_days_from_sunday().into()
    });
    part("EXTRACT(QUARTER FROM t1)", |t| {
        i64::from(t.month0()) / 3 + 1
    });
    part("EXTRACT(WEEK FROM t1)", |t| t.iso_week().week().into());
    part("to_unixtime(t1)", |t| t.and_utc().timestamp());
    part("CAST(t1 AS BIGINT)", |t| t.and_utc().timestamp_millis());
    part(
        "CAST(EXTRACT(EPOCH FROM t1) * 1000 AS BIGINT) / 1000",
        |t| t.and_utc().timestamp_millis() / 1_000,
    );
    check("CAST(t1 AS DATE)", |t| {
        Some(t.format("%Y-%m-%d").to_string())
    });
    check("to_date(t1)", |t| Some(t.format("%Y-%m-%d").to_string()));
    check("to_char(t1, '%Y/%m/%d %H:%M')", |t| {
        Some(t.format("%Y/%m/%d %H:%M").to_string())
    });
    check("CAST(CAST(t1 AS DATE) AS TIMESTAMP)", |t| {
        within(t.date().and_time(chrono::NaiveTime::MIN))
    });
    check("CAST(CAST(t1 AS VARCHAR) AS TIMESTAMP)", within);
    check("to_timestamp(CAST(t1 AS VARCHAR))", within);
}

#[test]
fn intervals_are_added_and_taken_away_in_every_year() {
    check("t1 + INTERVAL '1 day'", |t| within(t + TimeDelta::days(1)));
    check("t1 - INTERVAL '1 millisecond'", |t| {
        within(t - TimeDelta::milliseconds(1))
    });
    check("t1 + INTERVAL '1 month'", |t| {
        within(t.checked_add_months(chrono::Months::new(1))?)
    });
    check("t1 - INTERVAL '8000 years'", |t| {
        t.checked_sub_months(chrono::Months::new(96_000))
            .and_then(within)
    });
    check("CAST(t1 AS DATE) + INTERVAL '1 day'", |t| {
        let day = t.date() + TimeDelta::days(1);
        within(day.and_time(chrono::NaiveTime::MIN)).map(|_| day.to_string())
    });
    check(
        "CAST(t1 - TIMESTAMP '0001-01-01 00:00:00' AS BIGINT)",
        |t| Some((t.and_utc().timestamp_millis() - FIRST_MS).to_string()),
    );
    check("CAST(t1 AS DATE) - DATE '9999-12-31'", |t| {
        Some(
            (t.date() - midnight(9999, 12, 31).date())
                .num_days()
                .to_string(),
        )
    });
}

#[test]
fn a_date_and_a_text_are_compared_with_a_time_in_every_year() {
    check("t1 > CAST(t1 AS DATE)", |t| {
        Some((t.time() > chrono::NaiveTime::MIN).to_string())
    });
    check("t1 >= '9999-12-31'", |t| {
        Some((t >= midnight(9999, 12, 31)).to_string())
    });
    check("t1 BETWEEN '1600-01-01' AND DATE '2262-04-12'", |t| {
        Some(
            (midnight(1600, 1, 1)..=midnight(2262, 4, 12))
                .contains(&t)
                .to_string(),
        )
    });
    check("coalesce(CAST(NULL AS DATE), t1)", within);
    check("greatest(t1, CAST(t1 AS DATE))", within);
    check(
        "CASE WHEN t1 IS NULL THEN CAST(t1 AS DATE) ELSE t1 END",
        within,
    );
}

#[test]
fn numbers_become_times_in_every_year_or_are_faults() {
    for (sql, per_second) in [
        ("to_timestamp(b1)", 1_i128),
        ("to_timestamp_seconds(b1)", 1),
        ("from_unixtime(b1)", 1),
        ("to_timestamp_millis(b1)", 1_000),
        ("to_timestamp_micros(b1)", 1_000_000),
        ("to_timestamp_nanos(b1)", 1_000_000_000),
    ] {
        let numbers: ArrayRef = Arc::new(Int64Array::from(bigints()));
        let outcomes = function(sql)
            .expect("is planned")
            .outcomes(&[("b1", numbers)]);
        for (number, outcome) in bigints().into_iter().zip(outcomes) {
            let expected = number.map(|number| {
                let ms = (i128::from(number) * 1_000).div_euclid(per_second);
                let ms = i64::try_from(ms)
                    .ok()
                    .filter(|ms| (FIRST_MS..=LAST_MS).contains(ms))?;
                Some(shown(time(ms)))
            });
            compare(&format!("{sql} of {number:?}"), expected, &outcome);
        }
    }
}

#[test]
fn the_time_between_two_moments_is_right_in_every_year() {
    let columns = combinations(&['t', 't']);
    let outcomes = function("CAST(t1 - t2 AS BIGINT)")
        .expect("is planned")
        .outcomes(&named(&columns));
    let [from, to] = [0, 1].map(|i| {
        let column: &TimestampMillisecondArray =
            columns[i].1.as_any().downcast_ref().expect("times");
        column.iter().collect::<Vec<_>>()
    });
    for ((from, to), outcome) in from.into_iter().zip(to).zip(outcomes) {
        let expected = from.zip(to).map(|(from, to)| Some((from - to).to_string()));
        compare(&format!("{from:?} - {to:?}"), expected, &outcome);
    }
}
