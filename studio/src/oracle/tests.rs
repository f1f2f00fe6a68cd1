//! Tiny cases, written by hand: the semantics one by one.

use super::entities::Entity;
use super::rows::Time;
use super::*;
use crate::Topic;
use crate::calendar::parse_date;
use crate::money::Money;
use crate::testing::Inputs;

const NOW_MS: i64 = 1_800_000_000_000;
const TS: i64 = 1_767_225_600_000;

fn uuid(number: u32) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

fn event(topic: Topic, number: u32, kind: &str, ts: i64, id: i64, data: &str) -> String {
    let uuid = uuid(number);
    let data = if data.is_empty() {
        String::new()
    } else {
        format!(",\"data\":{data}")
    };
    format!(
        r#"{{"uuid":"{uuid}","type":"{kind}","ts":{ts},"entity":"{}","id":{id}{data}}}"#,
        topic.entity()
    )
}

fn books(
    inputs: &Inputs,
) -> (
    Books,
    DeadLetters,
    std::collections::BTreeMap<Topic, Counts>,
) {
    let mut loader = Loader::new(inputs, NOW_MS);
    let tables = Tables {
        productions: loader.load(|_| ()).expect("memory can be read"),
        talents: loader.load(|_| ()).expect("memory can be read"),
        schedules: loader.load(|_| ()).expect("memory can be read"),
        budgets: loader.load(|_| ()).expect("memory can be read"),
        payments: loader.load(|_| ()).expect("memory can be read"),
        cash_flows: loader.load(|_| ()).expect("memory can be read"),
    };
    (
        Books::new(tables, loader.texts),
        loader.dead_letters,
        loader.counts,
    )
}

fn reason<T: Entity + std::fmt::Debug>(bytes: &[u8]) -> Reason {
    decode::decode::<T>(bytes, NOW_MS, &mut Texts::default()).expect_err("is a dead letter")
}

#[test]
fn july_june_july_published_as_july_july_june_is_july() {
    let mut inputs = Inputs::default();
    let release = |number, ts, date: &str| {
        event(
            Topic::Production,
            number,
            "update",
            ts,
            1,
            &format!(r#"{{"release_date":"{date}"}}"#),
        )
    };
    inputs.push(Topic::Production, 0, release(1, TS, "2027-07-16"));
    inputs.push(Topic::Production, 0, release(3, TS + 400, "2027-07-16"));
    inputs.push(Topic::Production, 0, release(2, TS + 200, "2027-06-18"));
    let (books, ..) = books(&inputs);
    let row = books.production(1).expect("is there");
    assert_eq!(
        row.release_date.map(|date| date.0),
        parse_date("2027-07-16")
    );
}

#[test]
fn among_equal_times_the_later_position_stands() {
    let mut inputs = Inputs::default();
    for (number, title) in [(1, "first"), (2, "second")] {
        inputs.push(
            Topic::Production,
            0,
            event(
                Topic::Production,
                number,
                "update",
                TS,
                1,
                &format!(r#"{{"title":"{title}"}}"#),
            ),
        );
    }
    assert_eq!(
        books(&inputs)
            .0
            .production(1)
            .expect("is there")
            .title
            .expect("has a title")
            .0,
        "second"
    );
}

#[test]
fn a_delete_wins_over_an_older_update_that_arrives_after_it() {
    let mut inputs = Inputs::default();
    inputs.push(
        Topic::Production,
        0,
        event(Topic::Production, 1, "create", TS, 1, "{}"),
    );
    inputs.push(
        Topic::Production,
        0,
        event(Topic::Production, 2, "delete", TS + 2, 1, ""),
    );
    inputs.push(
        Topic::Production,
        0,
        event(Topic::Production, 3, "update", TS + 1, 1, "{}"),
    );
    assert!(books(&inputs).0.production(1).is_none());
}

#[test]
fn of_one_uuid_the_first_counts_and_reads_count_for_nothing() {
    let mut inputs = Inputs::default();
    inputs.push(
        Topic::Production,
        0,
        event(Topic::Production, 1, "create", TS, 1, r#"{"title":"kept"}"#),
    );
    inputs.push(
        Topic::Production,
        0,
        event(
            Topic::Production,
            1,
            "create",
            TS + 5,
            1,
            r#"{"title":"again"}"#,
        ),
    );
    inputs.push(
        Topic::Production,
        0,
        event(
            Topic::Production,
            2,
            "read",
            TS + 9,
            1,
            r#"{"title":"read"}"#,
        ),
    );
    let (books, dead, counts) = books(&inputs);
    assert_eq!(
        books
            .production(1)
            .expect("is there")
            .title
            .expect("has a title")
            .0,
        "kept"
    );
    assert!(dead.is_empty());
    assert_eq!(
        counts[&Topic::Production],
        Counts {
            records: 3,
            accepted: 1,
            duplicates: 1,
            reads: 1,
            dead: 0
        }
    );
}

#[test]
fn totals_leave_nulls_out_but_count_their_rows() {
    let mut inputs = Inputs::default();
    inputs.push(
        Topic::Production,
        0,
        event(
            Topic::Production,
            1,
            "create",
            TS,
            1,
            r#"{"title":"Tide","region":"UK"}"#,
        ),
    );
    for (id, amount) in [(1, "\"10.00\""), (2, "null"), (3, "0.5")] {
        let budget = format!(r#"{{"production_id":1,"department":"vfx","amount":{amount}}}"#);
        inputs.push(
            Topic::Budget,
            0,
            event(Topic::Budget, id, "create", TS, i64::from(id), &budget),
        );
    }
    for (id, budget, amount, due) in [
        (1, "2", "\"11.25\"", "2026-05-01"),
        (2, "9", "null", "2026-06-01"),
        (3, "null", "1", "2027-01-01"),
    ] {
        let payment = format!(
            r#"{{"production_id":1,"budget_id":{budget},"amount":{amount},"due_on":"{due}"}}"#
        );
        inputs.push(
            Topic::Payment,
            0,
            event(Topic::Payment, id, "create", TS, i64::from(id), &payment),
        );
    }
    inputs.push(
        Topic::Payment,
        0,
        event(
            Topic::Payment,
            4,
            "create",
            TS,
            4,
            r#"{"production_id":77,"amount":"5.00"}"#,
        ),
    );
    let (books, ..) = books(&inputs);
    let row = books.production(1).expect("is there");
    assert_eq!((row.budget_total, row.budget_lines), (Money(1_050), 3));
    assert_eq!((row.paid_total, row.payments), (Money(1_225), 3));
    assert_eq!((row.variance, row.over_budget), (Money(-175), true));

    let payment = books.payment(1).expect("is there");
    assert_eq!(
        (
            payment.department.expect("is joined").0.as_ref(),
            payment.budget_amount
        ),
        ("vfx", None)
    );
    assert_eq!(
        books.payment(2).expect("is there").department,
        None,
        "its budget does not exist"
    );
    assert!(books.payment(4).is_none(), "its production does not exist");
    assert_eq!(books.payment_ids().count(), 3);

    let spend = |year| {
        books
            .spend(&(Some("UK".to_owned()), Some(year)))
            .map(|row| (row.payments, row.spend))
    };
    assert_eq!(spend(2026), Some((2, Some(Money(1_125)))));
    assert_eq!(spend(2027), Some((1, Some(Money(100)))));
}

#[test]
fn cash_flows_are_summed_by_day_of_booking() {
    let mut inputs = Inputs::default();
    let flow = |id, direction: &str, amount: &str, booked_at: i64| {
        let data = format!(
            r#"{{"production_id":1,"direction":"{direction}","amount":"{amount}","booked_at":{booked_at}}}"#
        );
        event(Topic::CashFlow, id, "create", TS, i64::from(id), &data)
    };
    inputs.push(Topic::CashFlow, 0, flow(1, "in", "5.00", TS));
    inputs.push(Topic::CashFlow, 0, flow(2, "out", "7.25", TS + 86_399_999));
    inputs.push(Topic::CashFlow, 0, flow(3, "out", "1.00", TS + 86_400_000));
    let (books, ..) = books(&inputs);
    let row = books.daily(&(Some(1), TS)).expect("is there");
    assert_eq!(
        (row.day, row.cash_in, row.cash_out, row.net, row.entries),
        (Time(TS), Money(500), Money(725), Money(-225), 2)
    );
    assert_eq!(books.daily_keys().count(), 2);
}

#[test]
fn each_breach_of_the_contract_has_its_reason() {
    let payment = |data: &str| event(Topic::Payment, 1, "create", TS, 1, data);
    let good = payment(r#"{"production_id":1,"amount":"1.00"}"#);
    assert!(decode::decode::<Payment>(good.as_bytes(), NOW_MS, &mut Texts::default()).is_ok());
    let cases = [
        (b"\xff\xfe".to_vec(), Reason::NotAnObject),
        (
            good.as_bytes()[..good.len() - 1].to_vec(),
            Reason::NotAnObject,
        ),
        (b"[1,2]".to_vec(), Reason::NotAnObject),
        (b"null".to_vec(), Reason::NotAnObject),
        (
            good.replace("\"id\":1,", "").into_bytes(),
            Reason::MissingField,
        ),
        (
            good.replace(&format!("\"{}\"", uuid(1)), "null")
                .into_bytes(),
            Reason::MissingField,
        ),
        (
            good.replace(&uuid(1), "not-a-uuid").into_bytes(),
            Reason::WrongType,
        ),
        (
            good.replace("\"entity\":\"payment\"", "\"entity\":\"budget\"")
                .into_bytes(),
            Reason::WrongEntity,
        ),
        (
            good.replace("create", "upsert").into_bytes(),
            Reason::UnknownType,
        ),
        (payment("").into_bytes(), Reason::MissingData),
        (payment("[]").into_bytes(), Reason::MissingData),
        (
            payment(r#"{"production_id":"1"}"#).into_bytes(),
            Reason::WrongType,
        ),
        (
            payment(r#"{"production_id":1.5}"#).into_bytes(),
            Reason::WrongType,
        ),
        (
            payment(r#"{"amount":"1.005"}"#).into_bytes(),
            Reason::WrongType,
        ),
        (
            payment(r#"{"amount":"10000000000000000.00"}"#).into_bytes(),
            Reason::WrongType,
        ),
        (
            payment(r#"{"due_on":"June"}"#).into_bytes(),
            Reason::WrongType,
        ),
        (payment(r#"{"status":7}"#).into_bytes(), Reason::WrongType),
        (
            good.replace(&TS.to_string(), &(NOW_MS + 86_400_001).to_string())
                .into_bytes(),
            Reason::FarFuture,
        ),
    ];
    for (bytes, expected) in cases {
        assert_eq!(
            reason::<Payment>(&bytes),
            expected,
            "{}",
            String::from_utf8_lossy(&bytes)
        );
    }
}

#[test]
fn the_future_of_a_cash_flow_is_its_booking() {
    let flow = |ts, booked_at| {
        event(
            Topic::CashFlow,
            1,
            "create",
            ts,
            1,
            &format!(r#"{{"booked_at":{booked_at}}}"#),
        )
    };
    let far = NOW_MS + 86_400_001;
    assert_eq!(
        reason::<CashFlow>(flow(TS, far).as_bytes()),
        Reason::FarFuture
    );
    assert!(
        decode::decode::<CashFlow>(flow(far, TS).as_bytes(), NOW_MS, &mut Texts::default()).is_ok()
    );
}
