//! Deliveries: what was delivered is there, once, whoever delivers it and how often; what the target does not take is told.
//!
//! All sinks have the columns of [`schema`], records in JSON, and where they have a key, `id` is it.

use std::collections::BTreeMap;

use arrow_schema::{DataType, Field, Schema};
use serde_json::{Value, json};
use tidemill_connectors_api::{Delivery, Parcel, Rejected};
use tidemill_types::format::Contents;
use tidemill_types::{Epoch, ErrorKind};

/// The history that the epochs are counted in.
const HISTORY: &str = "history-1";

/// Somewhere that deliveries bring records to.
pub trait Target {
    /// A delivery of a sink of that name, which makes what it needs. It has connected to nothing yet.
    fn delivery(&mut self, sink: &str, contents: Contents) -> Box<dyn Delivery>;
    /// What a sink's target has: the values of its rows in the order of their `id`, each an object as the sink's format writes it.
    fn there(&mut self, sink: &str) -> Vec<Value>;
    /// From now on it does not answer, as after a `kill -9`.
    fn go_away(&mut self);
    /// It answers again, and has what it had.
    fn come_back(&mut self);
    /// A value of the columns that a sink's target does not take, which was made for them; none if it takes all.
    fn misfit(&mut self, sink: &str) -> Option<Value>;
}

/// The columns of every sink: `id BIGINT NOT NULL, label VARCHAR, amount DECIMAL(18, 2), at TIMESTAMP`.
#[must_use]
pub fn schema() -> Schema {
    use arrow_schema::TimeUnit::Millisecond;
    Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("label", DataType::Utf8, true),
        Field::new("amount", DataType::Decimal128(18, 2), true),
        Field::new("at", DataType::Timestamp(Millisecond, None), true),
    ])
}

/// The key of a sink of states.
pub const KEY: &str = "id";

fn row(id: i64, label: &str) -> Value {
    json!({"id": id, "label": label, "amount": "12.50", "at": "2026-05-01T09:30:00.250Z"})
}

/// A parcel of an epoch: by id a value, or none.
fn parcel<'a>(epoch: u64, records: impl IntoIterator<Item = (i64, Option<&'a Value>)>) -> Parcel {
    let mut parcel = Parcel {
        epoch: Epoch(epoch),
        ..Parcel::default()
    };
    for (id, value) in records {
        let value = value.map(Value::to_string);
        let value = value.as_ref().map(String::as_bytes);
        parcel.records.push(id.to_string().as_bytes(), value);
    }
    parcel
}

fn labels(target: &mut dyn Target, sink: &str) -> BTreeMap<i64, String> {
    let rows = target.there(sink).into_iter();
    let rows = rows.map(|row| {
        let label = row["label"].as_str().unwrap_or("null");
        (row["id"].as_i64().unwrap(), label.to_owned())
    });
    rows.collect()
}

fn of<const N: usize>(labels: [(i64, &str); N]) -> BTreeMap<i64, String> {
    let labels = labels.into_iter();
    labels.map(|(id, label)| (id, label.to_owned())).collect()
}

/// A delivery that has been opened, and had delivered through an epoch before.
fn opened(
    target: &mut dyn Target,
    sink: &str,
    contents: Contents,
    through: u64,
) -> Box<dyn Delivery> {
    let mut delivery = target.delivery(sink, contents);
    assert_eq!(delivery.open(HISTORY).unwrap(), Epoch(through));
    delivery
}

fn give(delivery: &mut dyn Delivery, parcels: &[Parcel]) {
    assert_eq!(delivery.deliver(parcels).unwrap(), []);
}

/// The three epochs that most contracts deliver, after which 1 has `c`, 2 is deleted, and 3 has `b`.
fn three() -> [Parcel; 3] {
    let [a, c] = ["a", "c"].map(|label| row(1, label));
    let (two, three) = (row(2, "a"), row(3, "b"));
    [
        parcel(1, [(1, Some(&a)), (2, Some(&two))]),
        parcel(4, [(2, None), (3, Some(&three))]),
        parcel(7, [(1, Some(&c))]),
    ]
}

/// Rows come, change and go; every value is there as it was given.
pub fn states_are_as_their_newest_records_say(target: &mut dyn Target) {
    let sink = "states";
    let mut delivery = opened(target, sink, Contents::States, 0);
    let [first, second, third] = three();
    give(delivery.as_mut(), &[first]);
    assert_eq!(labels(target, sink), of([(1, "a"), (2, "a")]));
    assert_eq!(target.there(sink)[0], row(1, "a"));
    give(delivery.as_mut(), &[second, third]);
    assert_eq!(labels(target, sink), of([(1, "c"), (3, "b")]));
    drop(delivery);
    opened(target, sink, Contents::States, 7);
}

/// What is delivered once more, by who knows no better, changes nothing: no row comes back, none goes back.
pub fn a_parcel_that_comes_again_changes_nothing(target: &mut dyn Target) {
    let sink = "again";
    let parcels = three();
    give(opened(target, sink, Contents::States, 0).as_mut(), &parcels);
    let mut delivery = target.delivery(sink, Contents::States);
    delivery.open(HISTORY).unwrap();
    give(delivery.as_mut(), &parcels[1..]);
    let mut delivery = target.delivery(sink, Contents::States);
    delivery.open(HISTORY).unwrap();
    give(delivery.as_mut(), &parcels[..2]);
    assert_eq!(labels(target, sink), of([(1, "c"), (3, "b")]));
    drop(delivery);
    opened(target, sink, Contents::States, 7);
}

/// An owner that was replaced and does not know it delivers late; readers see nothing of it.
pub fn an_owner_before_changes_nothing(target: &mut dyn Target) {
    let sink = "owners";
    let [first, second, third] = three();
    let mut before = opened(target, sink, Contents::States, 0);
    give(before.as_mut(), std::slice::from_ref(&first));
    let mut owner = opened(target, sink, Contents::States, 1);
    give(owner.as_mut(), &[second.clone(), third]);
    let late = before.deliver(&[second]);
    assert!(late.is_ok() || late.is_err_and(|error| error.kind() != ErrorKind::Corrupt));
    assert_eq!(labels(target, sink), of([(1, "c"), (3, "b")]));
    give(owner.as_mut(), &[parcel(8, [(3, None)])]);
    drop((before, owner));
    opened(target, sink, Contents::States, 8);
}

/// Rows without a key are there once, also if their epoch comes again.
pub fn rows_are_there_once(target: &mut dyn Target) {
    let sink = "rows";
    let [first, second, third] = [1, 2, 3].map(|id| row(id, "r"));
    let one = parcel(1, [(1, Some(&first)), (2, Some(&second))]);
    let two = parcel(2, [(3, Some(&third))]);
    give(
        opened(target, sink, Contents::Rows, 0).as_mut(),
        std::slice::from_ref(&one),
    );
    let mut delivery = target.delivery(sink, Contents::Rows);
    delivery.open(HISTORY).unwrap();
    give(delivery.as_mut(), &[one, two]);
    let ids: Vec<i64> = target
        .there(sink)
        .iter()
        .map(|row| row["id"].as_i64().unwrap())
        .collect();
    assert_eq!(ids, [1, 2, 3]);
}

/// A target that is away says so by `Retry`, and has everything after it was opened again.
pub fn a_target_that_was_away_has_everything_in_the_end(target: &mut dyn Target) {
    let sink = "away";
    let parcels = three();
    let mut delivery = opened(target, sink, Contents::States, 0);
    give(delivery.as_mut(), &parcels[..1]);
    target.go_away();
    let error = delivery.deliver(&parcels[1..]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
    let error = delivery.open(HISTORY).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
    target.come_back();
    let through = delivery.open(HISTORY).unwrap();
    let rest: Vec<Parcel> = parcels
        .into_iter()
        .filter(|parcel| parcel.epoch > through)
        .collect();
    give(delivery.as_mut(), &rest);
    assert_eq!(labels(target, sink), of([(1, "c"), (3, "b")]));
}

/// A record that the target does not take is told with its place and the reason; all others are there, and the next ones come.
pub fn what_is_rejected_is_told_and_the_rest_is_there(target: &mut dyn Target) {
    let sink = "misfits";
    let mut delivery = opened(target, sink, Contents::States, 0);
    let Some(misfit) = target.misfit(sink) else {
        return;
    };
    let (good, other) = (row(1, "good"), row(3, "good"));
    let parcels = [
        parcel(1, [(1, Some(&good))]),
        parcel(2, [(2, Some(&misfit)), (3, Some(&other))]),
    ];
    let rejected = delivery.deliver(&parcels).unwrap();
    let [
        Rejected {
            epoch,
            record,
            reason,
        },
    ] = &rejected[..]
    else {
        panic!("one record was to be rejected, not {rejected:?}");
    };
    assert_eq!((*epoch, *record), (Epoch(2), 0));
    assert!(!reason.is_empty());
    assert_eq!(labels(target, sink), of([(1, "good"), (3, "good")]));
    give(delivery.as_mut(), &[parcel(3, [(1, None)])]);
    assert_eq!(labels(target, sink), of([(3, "good")]));
    drop(delivery);
    opened(target, sink, Contents::States, 3);
}

/// What is rejected is known before its epoch counts: who brought it and died in between brings it again, and hears it again.
pub fn what_is_rejected_is_told_before_it_counts(target: &mut dyn Target) {
    let sink = "told";
    let mut delivery = opened(target, sink, Contents::States, 0);
    let Some(misfit) = target.misfit(sink) else {
        return;
    };
    let good = row(3, "good");
    let parcels = [parcel(1, [(2, Some(&misfit)), (3, Some(&good))])];
    let told = delivery.bring(&parcels).unwrap();
    assert_eq!(told.len(), 1);
    drop(delivery);
    let mut delivery = opened(target, sink, Contents::States, 0);
    assert_eq!(delivery.bring(&parcels).unwrap(), told);
    delivery.settle().unwrap();
    drop(delivery);
    opened(target, sink, Contents::States, 1);
    assert_eq!(labels(target, sink), of([(3, "good")]));
}

/// A job that began anew counts its epochs from 1 again: what it brings would be taken for old, so it is refused, with what to do.
pub fn another_history_is_refused(target: &mut dyn Target) {
    let sink = "histories";
    let [first, ..] = three();
    give(opened(target, sink, Contents::States, 0).as_mut(), &[first]);
    let error = target.delivery(sink, Contents::States).open("history-2");
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(error.message.contains(';'), "what to do: {error}");
    opened(target, sink, Contents::States, 1);
}

/// Two sinks of a target know nothing of each other.
pub fn sinks_have_their_own_epochs(target: &mut dyn Target) {
    let [first, second, _] = three();
    let mut one = opened(target, "one", Contents::States, 0);
    let mut two = opened(target, "two", Contents::States, 0);
    give(one.as_mut(), &[first.clone(), second]);
    give(two.as_mut(), &[first]);
    drop((one, two));
    opened(target, "one", Contents::States, 4);
    opened(target, "two", Contents::States, 1);
    assert_eq!(labels(target, "two"), of([(1, "a"), (2, "a")]));
}

/// Whatever text a value has, and however long it is, it is there unchanged; nulls are nulls.
pub fn values_of_all_kinds_are_there_unchanged(target: &mut dyn Target) {
    let sink = "values";
    let long = "x".repeat(1 << 20);
    let texts = [
        "",
        "'; DROP TABLE payment; --",
        "\"\\/\t\n\u{1}",
        "Müller 🎬 \u{200b}",
        long.as_str(),
    ];
    let mut rows: Vec<Value> = texts
        .iter()
        .zip(1..)
        .map(|(text, id)| row(id, text))
        .collect();
    rows.push(
        json!({"id": -9_223_372_036_854_775_807_i64, "label": null, "amount": null, "at": null}),
    );
    rows.push(json!({"id": i64::MAX, "label": "far", "amount": "-9999999999999999.99", "at": "1969-12-31T23:59:59.999Z"}));
    let mut delivery = opened(target, sink, Contents::States, 0);
    let records = rows
        .iter()
        .map(|row| (row["id"].as_i64().unwrap(), Some(row)));
    give(delivery.as_mut(), &[parcel(1, records)]);
    rows.sort_by_key(|row| row["id"].as_i64());
    let mut there = target.there(sink);
    there.sort_by_key(|row| row["id"].as_i64());
    assert_eq!(there, rows);
}

/// Many epochs at once, each with its own changes of the same keys.
pub fn many_epochs_at_once_leave_the_newest_of_each_key(target: &mut dyn Target) {
    let sink = "many";
    let mut delivery = opened(target, sink, Contents::States, 0);
    let parcels: Vec<Parcel> = (1..=60_u64)
        .map(|epoch| {
            let rows: Vec<(i64, Value)> = (0..50)
                .filter(|id| (epoch + id) % 3 != 0)
                .map(|id| {
                    (
                        i64::try_from(id).unwrap(),
                        row(i64::try_from(id).unwrap(), &epoch.to_string()),
                    )
                })
                .collect();
            let gone = (0..50).filter(|id| (epoch + id) % 7 == 0 && (epoch + id) % 3 == 0);
            let gone: Vec<i64> = gone.map(|id| i64::try_from(id).unwrap()).collect();
            let records = rows.iter().map(|(id, row)| (*id, Some(row)));
            parcel(epoch, records.chain(gone.into_iter().map(|id| (id, None))))
        })
        .collect();
    let mut expected: BTreeMap<i64, String> = BTreeMap::new();
    for parcel in &parcels {
        for record in parcel.records.iter() {
            let id: i64 = std::str::from_utf8(record.key).unwrap().parse().unwrap();
            match record.value {
                Some(_) => drop(expected.insert(id, parcel.epoch.0.to_string())),
                None => drop(expected.remove(&id)),
            }
        }
    }
    for group in parcels.chunks(17) {
        give(delivery.as_mut(), group);
    }
    assert_eq!(labels(target, sink), expected);
}

/// Makes a test of every contract, each at a new target.
#[macro_export]
macro_rules! delivery_contracts {
    ($target:expr) => {
        $crate::contracts! { $target;
            deliveries::states_are_as_their_newest_records_say,
            deliveries::a_parcel_that_comes_again_changes_nothing,
            deliveries::an_owner_before_changes_nothing,
            deliveries::rows_are_there_once,
            deliveries::a_target_that_was_away_has_everything_in_the_end,
            deliveries::what_is_rejected_is_told_and_the_rest_is_there,
            deliveries::what_is_rejected_is_told_before_it_counts,
            deliveries::another_history_is_refused,
            deliveries::sinks_have_their_own_epochs,
            deliveries::values_of_all_kinds_are_there_unchanged,
            deliveries::many_epochs_at_once_leave_the_newest_of_each_key,
        }
    };
}
