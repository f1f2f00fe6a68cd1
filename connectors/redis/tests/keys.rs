//! What becomes of keys: as strings, as hashes, as entries of a stream; and of those that are somebody else's.

mod common;

use std::collections::BTreeMap;

use common::{Database, HISTORY, parcel};
use tidemill_connectors_api::{Parcel, Rejected};
use tidemill_types::{Epoch, ErrorKind};

fn raw(epoch: u64, key: &str, value: Option<&str>) -> Parcel {
    let mut parcel = Parcel {
        epoch: Epoch(epoch),
        ..Parcel::default()
    };
    parcel
        .records
        .push(key.as_bytes(), value.map(str::as_bytes));
    parcel
}

#[test]
fn a_string_is_the_value_as_it_was_written_at_the_prefix_and_the_key() {
    let mut database = Database::new();
    let (mut delivery, _) = database.sink().open().unwrap();
    let parcels = [
        raw(1, "42", Some(r#"{"id":42,"label":"Müller"}"#)),
        raw(2, r#""US""#, Some(r#"{"b":1.0}"#)),
        raw(3, r#"{"id":1,"currency":"USD"}"#, Some("{}")),
    ];
    assert_eq!(delivery.deliver(&parcels).unwrap(), []);
    let value: String = database.ask("GET film:42");
    assert_eq!(value, r#"{"id":42,"label":"Müller"}"#);
    assert_eq!(database.ask::<String>("GET film:US"), r#"{"b":1.0}"#);
    let several: String = database.ask(r#"GET film:{"id":1,"currency":"USD"}"#);
    assert_eq!(several, "{}");
    assert_eq!(delivery.deliver(&[raw(4, "42", None)]).unwrap(), []);
    assert_eq!(database.ask::<u32>("EXISTS film:42"), 0);
    assert_eq!(database.ask::<u32>("DBSIZE"), 3);
}

#[test]
fn a_hash_has_the_columns_that_have_a_value_and_keeps_fields_of_others() {
    let mut database = Database::new();
    let sink = database.sink().with("type", "hash");
    let (mut delivery, _) = sink.open().unwrap();
    let fields =
        |database: &mut Database| -> BTreeMap<String, String> { database.ask("HGETALL film:7") };
    let of = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        let pairs = pairs.iter();
        pairs
            .map(|&(name, text)| (name.to_owned(), text.to_owned()))
            .collect()
    };
    delivery.deliver(&[parcel(1, [(7, Some("a"))])]).unwrap();
    assert_eq!(fields(&mut database), of(&[("id", "7"), ("label", "a")]));
    database.ask::<u32>("HSET film:7 seen 1");
    delivery
        .deliver(&[
            parcel::<&str>(2, []),
            raw(3, "7", Some(r#"{"id":7,"label":null}"#)),
        ])
        .unwrap();
    assert_eq!(fields(&mut database), of(&[("id", "7"), ("seen", "1")]));
    delivery.deliver(&[raw(4, "7", None)]).unwrap();
    assert_eq!(database.ask::<u32>("EXISTS film:7"), 0);
    let rejected = delivery.deliver(&[raw(5, "7", Some("12"))]).unwrap();
    assert!(
        rejected[0].reason.contains("no object of JSON"),
        "{rejected:?}"
    );
}

#[test]
fn a_stream_has_an_entry_for_each_row_in_their_order() {
    let mut database = Database::new();
    let sink = database.sink().with("key.prefix", "films").of_rows();
    let (mut delivery, _) = sink.open().unwrap();
    let rows = (0..2_500).map(|id| (id, (id % 2 == 0).then_some("x")));
    let parcels = [parcel(1, rows), parcel(2, [(9, Some("y"))])];
    let rejected = delivery.deliver(&parcels).unwrap();
    assert_eq!(rejected.len(), 1_250);
    assert!(
        rejected[0].reason.contains("not taken away"),
        "{rejected:?}"
    );
    type Entry = (String, BTreeMap<String, String>);
    let entries: Vec<Entry> = database.ask("XRANGE films - +");
    let ids = entries
        .iter()
        .map(|(_, fields)| fields["id"].parse::<u64>().unwrap());
    let expected = (0..2_500).step_by(2).chain([9]);
    assert!(ids.eq(expected));
    assert_eq!(entries[1_250].1["label"], "y");
}

#[test]
fn a_key_goes_when_it_was_not_written_for_so_long() {
    let mut database = Database::new();
    for kept_as in ["string", "hash"] {
        let sink = database.sink().with("type", kept_as);
        let sink = sink
            .with("key.prefix", &format!("{kept_as}:"))
            .with("expire", "1 day");
        let (mut delivery, _) = sink.open().unwrap();
        delivery.deliver(&[parcel(1, [(7, Some("a"))])]).unwrap();
        let left: i64 = database.ask(&format!("PTTL {kept_as}:7"));
        assert!((86_000_000..=86_400_000).contains(&left), "{left}");
        let left: i64 = database.ask(&format!("PTTL {kept_as}:.tidemill"));
        assert_eq!(left, -1);
    }
    // Without the option a key stays, also one that was to go.
    let (mut delivery, _) = database.sink().open().unwrap();
    database.ask::<String>("SET film:7 x PX 5000");
    delivery.deliver(&[parcel(1, [(7, Some("a"))])]).unwrap();
    assert_eq!(database.ask::<i64>("PTTL film:7"), -1);
}

#[test]
fn keys_of_another_type_are_left_alone_and_told_in_the_words_of_redis() {
    let mut database = Database::new();
    for (kept_as, theirs) in [("string", "RPUSH film:1 x"), ("hash", "SET film:1 x")] {
        database.ask::<redis::Value>("FLUSHDB");
        database.ask::<redis::Value>(theirs);
        let sink = database.sink().with("type", kept_as);
        let (mut delivery, _) = sink.open().unwrap();
        let parcels = [
            parcel(1, [(1, Some("a")), (2, Some("a"))]),
            parcel(3, [(3, Some("a")), (1, None)]),
        ];
        let rejected = delivery.deliver(&parcels).unwrap();
        let reason = "WRONGTYPE Operation against a key holding the wrong kind of value";
        let expected = [(1, 0), (3, 1)].map(|(epoch, record)| Rejected {
            epoch: Epoch(epoch),
            record,
            reason: reason.to_owned(),
        });
        assert_eq!(rejected, expected);
        assert_eq!(database.ask::<u32>("EXISTS film:1 film:2 film:3"), 3);
        let left: String = database.ask("TYPE film:1");
        assert_ne!(left, kept_as);
        assert_eq!(
            delivery.deliver(&[parcel(4, [(2, Some("b"))])]).unwrap(),
            []
        );
    }
}

#[test]
fn values_of_ten_megabytes_are_there() {
    let mut database = Database::new();
    for kept_as in ["string", "hash"] {
        let sink = database.sink().with("type", kept_as);
        let sink = sink.with("key.prefix", &format!("{kept_as}:"));
        let (mut delivery, _) = sink.open().unwrap();
        let long = "x".repeat(10 << 20);
        let records = [(1, Some("a")), (2, Some(long.as_str())), (3, Some("b"))];
        assert_eq!(delivery.deliver(&[parcel(1, records)]).unwrap(), []);
    }
    let length: usize = database.ask("STRLEN string:2");
    assert!(length > 10 << 20);
    assert_eq!(database.ask::<usize>("HSTRLEN hash:2 label"), 10 << 20);
    assert_eq!(database.ask::<u32>("EXISTS string:3 hash:3"), 2);
}

#[test]
fn where_the_progress_would_be_nothing_of_somebody_else_is_overwritten() {
    let mut database = Database::new();
    for theirs in ["SET film:.tidemill x", "HSET film:.tidemill a b"] {
        database.ask::<redis::Value>("FLUSHDB");
        database.ask::<redis::Value>(theirs);
        let error = database.sink().refusal();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(
            error.message.contains("of somebody else; move it"),
            "{error}"
        );
    }
    database.ask::<redis::Value>("FLUSHDB");
    let (mut delivery, _) = database.sink().open().unwrap();
    let key = raw(1, r#"".tidemill""#, Some("{}"));
    let rejected = delivery.deliver(&[key]).unwrap();
    assert!(
        rejected[0].reason.contains("how far it came"),
        "{rejected:?}"
    );
}

#[test]
fn a_prefix_has_one_sink_until_it_is_told_that_the_sink_was_renamed() {
    let mut database = Database::new();
    let sink = database.sink();
    let (mut delivery, _) = sink.open().unwrap();
    delivery.deliver(&[parcel(1, [(1, Some("a"))])]).unwrap();
    let mut other = sink;
    other.name = "other".to_owned();
    let error = other.refusal();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    let (_, cure) = error.message.split_once("run: ").unwrap();
    database.ask::<u32>(&cure.replace('"', ""));
    assert_eq!(other.open().unwrap().1, 1);
    // What is said of another history is another thing.
    let error = other.delivery().open("history-2").unwrap_err();
    assert!(error.message.contains("counts anew"), "{error}");
    assert_eq!(other.delivery().open(HISTORY).unwrap(), Epoch(1));
}
