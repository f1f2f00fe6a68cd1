//! Constants that cannot be computed are refused while planning.

use super::kit::{function, plan};

#[test]
fn a_constant_that_leaves_its_type_is_refused_at_its_place() {
    for (sql, expected) in [
        (
            "9223372036854775807 + 1",
            "9:12: '9223372036854775807 + 1' cannot be computed: overflow happened on: 9223372036854775807 + 1",
        ),
        (
            "1 / 0",
            "9:12: '1 / 0' cannot be computed: divide by zero error",
        ),
        (
            "CASE WHEN b1 > 0 THEN 9223372036854775807 + 1 ELSE 0 END",
            "9:34: '9223372036854775807 + 1' cannot be computed: overflow happened on: 9223372036854775807 + 1",
        ),
    ] {
        assert_eq!(
            plan(&format!("SELECT id, {sql} AS x FROM r"))
                .err()
                .as_deref(),
            Some(expected)
        );
    }
    for sql in [
        "TIMESTAMP '9999-12-31 23:59:59' + INTERVAL '1 second'",
        "DATE '0001-01-01' - INTERVAL '1 day'",
        "CAST(253402300800000 AS TIMESTAMP)",
        "to_date('31.02.2026', '%d.%m.%Y')",
        "CAST('12x' AS INT)",
        "date_trunc('fortnight', t1)",
        "date_bin(INTERVAL '0 seconds', t1)",
        "b1 * 0 + 9223372036854775807 + 1",
    ] {
        // What depends on a column is a fault of its rows, at the latest.
        let planned = function(sql);
        if sql.contains("b1") {
            let outcomes = planned
                .expect("is planned")
                .outcomes(&[("b1", super::kit::limits('b'))]);
            assert!(
                outcomes
                    .iter()
                    .all(|outcome| outcome.is_err() || *outcome == Ok(None)),
                "{outcomes:?}"
            );
        } else {
            assert!(planned.is_err(), "{sql} was planned");
        }
    }
}

#[test]
fn a_constant_is_folded_to_what_it_is() {
    let plan = plan("SELECT id, b1 FROM r WHERE t1 < TIMESTAMP '9999-12-31 00:00:00' + INTERVAL '1 hour' AND b1 > 2 + 3")
        .expect("is planned")
        .to_string();
    assert!(
        plan.contains("TimestampMillisecond(253402218000000, None)"),
        "{plan}"
    );
    assert!(plan.contains("b1 > Int64(5)"), "{plan}");
}
