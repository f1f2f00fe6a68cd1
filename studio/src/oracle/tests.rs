//! Tiny cases, written by hand: the semantics one by one.

use super::decode;
use super::decode::Reason;
use super::entities::{CashFlow, Entity, Payment, Texts};
use super::load::{Counts, DeadLetters, Loader};
use super::rows::Time;
use super::totals::{Books, Tables};
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

/// A production with three budget lines and three payments, and a payment of no production.
fn small_studio() -> Books {
    let mut inputs = Inputs::default();
    let mut create = |topic, id: u32, data: &str| {
        inputs.push(
            topic,
            0,
            event(topic, id, "create", TS, i64::from(id), data),
        );
    };
    create(Topic::Production, 1, r#"{"title":"Tide","region":"UK"}"#);
    create(
        Topic::Budget,
        1,
        r#"{"production_id":1,"department":"vfx","amount":"10.00"}"#,
    );
    create(
        Topic::Budget,
        2,
        r#"{"production_id":1,"department":"vfx","amount":null}"#,
    );
    create(Topic::Budget, 3, r#"{"production_id":1,"amount":0.5}"#);
    create(
        Topic::Payment,
        1,
        r#"{"production_id":1,"budget_id":2,"amount":"11.25","due_on":"2026-05-01"}"#,
    );
    create(
        Topic::Payment,
        2,
        r#"{"production_id":1,"budget_id":9,"due_on":"2026-06-01"}"#,
    );
    create(
        Topic::Payment,
        3,
        r#"{"production_id":1,"amount":1,"due_on":"2027-01-01"}"#,
    );
    create(Topic::Payment, 4, r#"{"production_id":77,"amount":"5.00"}"#);
    books(&inputs).0
}

#[test]
fn totals_leave_nulls_out_but_count_their_rows() {
    let books = small_studio();
    let row = books.production(1).expect("is there");
    assert_eq!((row.budget_total, row.budget_lines), (Money(1_050), 3));
    assert_eq!((row.paid_total, row.payments), (Money(1_225), 3));
    assert_eq!((row.variance, row.over_budget), (Money(-175), true));
    let spend = |year| {
        books
            .spend(&(Some("UK".to_owned()), Some(year)))
            .map(|row| (row.payments, row.spend))
    };
    assert_eq!(spend(2026), Some((2, Some(Money(1_125)))));
    assert_eq!(spend(2027), Some((1, Some(Money(100)))));
}

#[test]
fn a_payment_needs_its_production_but_not_its_budget() {
    let books = small_studio();
    let payment = books.payment(1).expect("is there");
    assert_eq!(payment.department.expect("is joined").0, "vfx");
    assert_eq!(payment.budget_amount, None);
    assert_eq!(
        books.payment(2).expect("is there").department,
        None,
        "its budget does not exist"
    );
    assert!(books.payment(4).is_none(), "its production does not exist");
    assert_eq!(books.payment_ids().count(), 3);
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

fn payment(data: &str) -> String {
    event(Topic::Payment, 1, "create", TS, 1, data)
}

#[test]
fn each_breach_of_the_envelope_has_its_reason() {
    let good = payment(r#"{"production_id":1,"amount":"1.00"}"#);
    assert!(decode::decode::<Payment>(good.as_bytes(), NOW_MS, &mut Texts::default()).is_ok());
    let with = |from: &str, to: &str| good.replace(from, to);
    let cases = [
        (good[..good.len() - 1].to_owned(), Reason::NotAnObject),
        ("[1,2]".to_owned(), Reason::NotAnObject),
        ("null".to_owned(), Reason::NotAnObject),
        (String::new(), Reason::NotAnObject),
        (with("\"id\":1,", ""), Reason::MissingField),
        (
            with(&format!("\"{}\"", uuid(1)), "null"),
            Reason::MissingField,
        ),
        (with(&uuid(1), "not-a-uuid"), Reason::WrongType),
        (
            with("\"entity\":\"payment\"", "\"entity\":\"budget\""),
            Reason::WrongEntity,
        ),
        (with("create", "upsert"), Reason::UnknownType),
        (
            with(&TS.to_string(), &(NOW_MS + 86_400_001).to_string()),
            Reason::FarFuture,
        ),
        (payment(""), Reason::MissingData),
        (payment("[]"), Reason::MissingData),
        (
            event(Topic::Payment, 1, "delete", TS, 1, "7"),
            Reason::MissingData,
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(reason::<Payment>(text.as_bytes()), expected, "{text}");
    }
    assert_eq!(reason::<Payment>(b"\xff\xfe"), Reason::NotAnObject);
}

#[test]
fn a_field_of_another_type_is_refused() {
    for data in [
        r#"{"production_id":"1"}"#,
        r#"{"production_id":1.5}"#,
        r#"{"amount":"1.005"}"#,
        r#"{"amount":"10000000000000000.00"}"#,
        r#"{"amount":true}"#,
        r#"{"due_on":"June"}"#,
        r#"{"status":7}"#,
    ] {
        assert_eq!(
            reason::<Payment>(payment(data).as_bytes()),
            Reason::WrongType,
            "{data}"
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
    let far = NOW_MS + 300_001;
    assert_eq!(
        reason::<CashFlow>(flow(TS, far).as_bytes()),
        Reason::FarFuture
    );
    assert!(
        decode::decode::<CashFlow>(flow(far, TS).as_bytes(), NOW_MS, &mut Texts::default()).is_ok()
    );
}
