//! Sink against a map of the rows before and after the epoch; where rows share keys, against all rows, sorted, of which
//! the first of each key is looked up.
//!
//! Catches: a key written that did not change or not written that did, a tombstone for a row that is there, records out
//! of key order, keys and values that are not each other's, bytes that depend on the order or on the batches of an
//! epoch; a row that stays hidden when the one before it has gone, also when a restart or epochs whose output nobody
//! wants lie between; a conflict that is not counted. Cannot catch: a wrong JSON form of a value (see the formats
//! crate: the oracle writes with the same encoders, row by row), rows that are routed to two workers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow_schema::{DataType, SchemaRef, TimeUnit};
use proptest::prelude::*;
use tidemill_formats::Json;
use tidemill_operators::Counter;
use tidemill_operators::sink::{Closing, Mode, Order, Settings, Sink};
use tidemill_types::format::{Change, Encoder, Format, Options, SinkMetadata, SinkSpec};
use tidemill_types::{ChangeBatch, OutputRecord, OutputRecords};

use crate::common::{
    Disk, MONEY, Multiset, Value, Values, accumulated, batches, history, ops, record_batch, schema,
    shuffle,
};

/// The key is `(region, id)`, in another order than the columns.
fn columns() -> SchemaRef {
    schema(&[
        ("id", DataType::Int64),
        ("amount", MONEY),
        ("region", DataType::Utf8),
        ("name", DataType::Utf8),
    ])
}

const KEY: [usize; 2] = [2, 0];

type Key = (Value, Value);

/// Amount and name.
type State = (Value, Value);

fn row((region, id): &Key, (amount, name): &State) -> Values {
    vec![id.clone(), amount.clone(), region.clone(), name.clone()]
}

fn key() -> impl Strategy<Value = Key> {
    (
        prop_oneof![Just("EU"), Just(""), Just("US")],
        prop::option::weighted(0.9, -2..3_i64),
    )
        .prop_map(|(region, id)| (Value::text(region), id.into()))
}

fn state() -> impl Strategy<Value = State> {
    (prop::option::of(-2..3_i64), prop::option::of("[a-c]{0,2}")).prop_map(|(amount, name)| {
        (
            amount.into(),
            name.map_or(Value::Null, |name| Value::text(&name)),
        )
    })
}

/// A sink of upserts by `id` whose records have the header `trace` and the time `at`.
fn sink_with_metadata() -> (Sink, SchemaRef) {
    let columns = schema(&[
        ("id", DataType::Int64),
        ("trace", DataType::Utf8),
        ("at", DataType::Timestamp(TimeUnit::Millisecond, None)),
    ]);
    let key = vec!["id".to_owned()];
    let metadata = SinkMetadata {
        headers: vec![columns.field(1).clone()],
        timestamp: Some(columns.field(2).clone()),
    };
    let spec = SinkSpec {
        envelope: "upsert",
        schema: &schema(&[("id", DataType::Int64)]),
        key: &key,
        metadata: Some(&metadata),
        contract: None,
        key_contract: None,
        options: &Options::new(),
    };
    let settings = Settings {
        encoder: Json.encoder(&spec).expect("JSON has all types"),
        name: "finance".to_owned(),
        mode: Mode::Upsert,
        key,
    };
    let sink = Sink::new(settings, &columns, Counter::default()).expect("of the schema");
    (sink, columns)
}

/// Rows of it: id, trace, and milliseconds since 1970.
fn traced(columns: &SchemaRef, rows: &[(i64, &str, Option<i64>)], diff: i64) -> ChangeBatch {
    let (mut ids, mut traces, mut times) = (Vec::new(), Vec::new(), Vec::new());
    for &(id, trace, at) in rows {
        ids.push(id);
        traces.push(trace);
        times.push(at);
    }
    let columns_of: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(ids)),
        Arc::new(StringArray::from(traces)),
        Arc::new(TimestampMillisecondArray::from(times)),
    ];
    let batch = RecordBatch::try_new(columns.clone(), columns_of).expect("of the schema");
    ChangeBatch::new(batch, vec![diff; rows.len()])
}

/// Records in words: key, value, headers, time.
fn told(output: &OutputRecords) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let record = |record: OutputRecord<'_>| {
        let headers: Vec<_> = record
            .headers
            .map(|(name, value)| format!("{}={}", text(name), value.map_or_else(String::new, text)))
            .collect();
        format!(
            "{} {} {} {:?}",
            text(record.key),
            record.value.map_or_else(|| "-".to_owned(), text),
            headers.join(" "),
            record.timestamp_ms
        )
    };
    output.iter().map(record).collect()
}

fn encoder(envelope: &str, key: &[String]) -> Box<dyn Encoder> {
    let spec = SinkSpec {
        envelope,
        schema: &columns(),
        key,
        metadata: None,
        contract: None,
        key_contract: None,
        options: &Options::new(),
    };
    Json.encoder(&spec).expect("JSON has all types")
}

const fn closing(record_bytes_max: usize) -> Closing {
    Closing {
        clock_ms: 0,
        record_bytes_max,
    }
}

fn sink(key: &[usize], upsert: bool, conflicts: &Counter) -> Sink {
    let key: Vec<String> = key
        .iter()
        .map(|&i| columns().field(i).name().clone())
        .collect();
    let encoder = encoder(if upsert { "upsert" } else { "plain" }, &key);
    Sink::new(
        Settings {
            encoder,
            name: "finance".to_owned(),
            mode: match (upsert, key.is_empty()) {
                (true, _) => Mode::Upsert,
                (false, true) => Mode::Append(Order::Rows),
                (false, false) => Mode::Append(Order::Keys),
            },
            key,
        },
        &columns(),
        conflicts.clone(),
    )
    .expect("the schema has the columns")
}

/// A record: key and value as written.
type Record = (Vec<u8>, Option<Vec<u8>>);

fn records(output: &OutputRecords) -> Vec<Record> {
    output
        .iter()
        .map(|record| (record.key.to_vec(), record.value.map(<[u8]>::to_vec)))
        .collect()
}

fn write(sink: &mut Sink, input: &[ChangeBatch]) -> Vec<Record> {
    let written = sink
        .on_epoch(input, closing(usize::MAX))
        .expect("the rows are of the schema");
    records(&written.records)
}

fn value_bytes(row: &Values) -> Vec<u8> {
    let mut bytes = Vec::new();
    let rows = record_batch(&columns(), std::slice::from_ref(row));
    let encoder = encoder("plain", &[]);
    let rows = encoder.bind(&rows, 0).expect("of the schema");
    rows.write_value(Change::Insert(0), &mut bytes);
    bytes
}

fn key_bytes(row: &Values) -> Vec<u8> {
    let mut bytes = Vec::new();
    let rows = record_batch(&columns(), std::slice::from_ref(row));
    let encoder = encoder("upsert", &KEY.map(|i| columns().field(i).name().clone()));
    let rows = encoder.bind(&rows, 0).expect("of the schema");
    rows.write_key(0, &mut bytes);
    bytes
}

/// What an upsert sink writes, by key.
fn oracle(before: &BTreeMap<Key, State>, after: &BTreeMap<Key, State>) -> Vec<Record> {
    let keys: BTreeSet<&Key> = before.keys().chain(after.keys()).collect();
    let changed = keys
        .into_iter()
        .filter(|key| before.get(key) != after.get(key));
    changed
        .map(|key| {
            let row_of = |rows: &BTreeMap<Key, State>| rows.get(key).map(|state| row(key, state));
            let any = row_of(after)
                .or_else(|| row_of(before))
                .expect("a changed key has a row on one side");
            (key_bytes(&any), row_of(after).map(|row| value_bytes(&row)))
        })
        .collect()
}

#[test]
fn rows_appended_as_they_come_are_written_in_that_order_as_often_as_they_were_added() {
    let settings = Settings {
        encoder: encoder("plain", &[]),
        name: "finance".to_owned(),
        key: Vec::new(),
        mode: Mode::Append(Order::Arrival),
    };
    let mut sink =
        Sink::new(settings, &columns(), Counter::default()).expect("the schema has the columns");
    let key = |id: i64| (Value::text("EU"), Some(id).into());
    let state = (Value::Null, Value::Null);
    let rows = [2, 1, 3].map(|id| row(&key(id), &state));
    let first = ChangeBatch::new(record_batch(&columns(), &rows[..2]), vec![2, 1]);
    let second = ChangeBatch::inserts(record_batch(&columns(), &rows[2..]));
    let expected = [&rows[0], &rows[0], &rows[1], &rows[2]];
    let expected: Vec<Record> = expected
        .map(|row| (Vec::new(), Some(value_bytes(row))))
        .into();
    assert_eq!(write(&mut sink, &[first, second]), expected);
}

#[test]
fn a_record_that_is_too_large_is_a_dead_letter_and_what_stood_there_a_tombstone() {
    let mut sink = sink(&KEY, true, &Counter::default());
    let key = |id: i64| (Value::text("EU"), Some(id).into());
    let state = |name: &str| (Value::Null, Value::text(name));
    let (small, large) = (
        row(&key(1), &state("a")),
        row(&key(2), &state(&"b".repeat(99))),
    );
    let limit = key_bytes(&small).len() + value_bytes(&small).len();
    let input = record_batch(&columns(), &[small.clone(), large.clone()]);
    let written = sink
        .on_epoch(&[ChangeBatch::inserts(input)], closing(limit))
        .expect("the rows are of the schema");
    let expected = [
        (key_bytes(&small), Some(value_bytes(&small))),
        (key_bytes(&large), None),
    ];
    assert_eq!(records(&written.records), expected);
    let [letter] = &written.refused[..] else {
        panic!("one record is too large: {:?}", written.refused);
    };
    assert_eq!(letter.bytes, Some(value_bytes(&large)));
    assert!(
        letter.reason.contains("sink 'finance' can write"),
        "{}",
        letter.reason
    );
}

#[test]
fn records_have_headers_and_a_time_of_which_the_end_of_a_row_has_the_headers_alone() {
    let (mut sink, columns) = sink_with_metadata();
    let mut write = |input: &[ChangeBatch]| {
        let written = sink.on_epoch(input, closing(usize::MAX));
        told(&written.expect("the rows are of the schema").records)
    };
    let first = traced(&columns, &[(1, "a", Some(5)), (2, "b", None)], 1);
    assert_eq!(
        write(&[first]),
        ["1 {\"id\":1} trace=a Some(5)", "2 {\"id\":2} trace=b None"]
    );
    // Another header is another record, though the value is the same.
    let gone = traced(&columns, &[(1, "a", Some(5)), (2, "b", None)], -1);
    let there = traced(&columns, &[(1, "c", Some(6))], 1);
    assert_eq!(
        write(&[gone, there]),
        ["1 {\"id\":1} trace=c Some(6)", "2 - trace=b None"]
    );
}

#[test]
fn a_record_of_a_time_before_1970_is_a_dead_letter_and_what_stood_there_a_tombstone() {
    let (mut sink, columns) = sink_with_metadata();
    let rows = traced(&columns, &[(1, "a", Some(-1)), (2, "b", Some(1))], 1);
    let written = sink
        .on_epoch(&[rows], closing(usize::MAX))
        .expect("the rows are of the schema");
    assert_eq!(
        told(&written.records),
        ["1 -  None", "2 {\"id\":2} trace=b Some(1)"]
    );
    let [letter] = &written.refused[..] else {
        panic!("one record is too early: {:?}", written.refused);
    };
    assert_eq!(letter.bytes, Some(b"{\"id\":1}".to_vec()));
    let reason = &letter.reason;
    assert!(
        reason.contains("the record of key '1' has the time -1"),
        "{reason}"
    );
}

#[test]
fn an_appended_row_that_is_too_large_is_a_dead_letter() {
    let mut sink = sink(&[], false, &Counter::default());
    let large = row(
        &(Value::text("EU"), Value::Null),
        &(Value::Null, Value::text("abc")),
    );
    let input = record_batch(&columns(), std::slice::from_ref(&large));
    let written = sink
        .on_epoch(&[ChangeBatch::inserts(input)], closing(1))
        .expect("the rows are of the schema");
    assert!(written.records.is_empty());
    assert_eq!(written.refused[0].bytes, Some(value_bytes(&large)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn an_upsert_sink_writes_each_changed_key_once_in_order_whatever_the_order_and_batches(
        before in prop::collection::btree_map(key(), state(), 0..8),
        after in prop::collection::btree_map(key(), state(), 0..8),
        passing in prop::collection::vec((key(), state()), 0..6),
        order: u64,
        batch_rows in 1..6_usize,
    ) {
        let mut changes: Vec<(Values, i64)> = before.iter().map(|(key, state)| (row(key, state), -1)).collect();
        changes.extend(after.iter().map(|(key, state)| (row(key, state), 1)));
        // Rows that came and went within the epoch.
        changes.extend(passing.iter().flat_map(|(key, state)| [(row(key, state), 1), (row(key, state), -1)]));
        let conflicts = Counter::default();
        let mut sink = sink(&KEY, true, &conflicts);
        let straight = write(&mut sink, &batches(&columns(), &changes, 1000));
        assert_eq!(straight, oracle(&before, &after));
        shuffle(&mut changes, order);
        assert_eq!(write(&mut sink, &batches(&columns(), &changes, batch_rows)), straight);
        assert_eq!(conflicts.get(), 0);
    }

    #[test]
    fn an_append_sink_writes_every_row_by_key_and_in_order_within_a_key(
        rows in prop::collection::vec((key(), state()), 0..12), batch_rows in 1..6_usize,
    ) {
        let changes: Vec<(Values, i64)> = rows.iter().map(|(key, state)| (row(key, state), 1)).collect();
        let mut by_key = rows.clone();
        by_key.sort_by(|a, b| a.0.cmp(&b.0));
        let expected: Vec<Record> = by_key.iter().map(|(key, state)| row(key, state)).map(|row| (key_bytes(&row), Some(value_bytes(&row)))).collect();
        let mut sink = sink(&KEY, false, &Counter::default());
        assert_eq!(write(&mut sink, &batches(&columns(), &changes, batch_rows)), expected);
    }

    #[test]
    fn an_append_sink_without_a_key_writes_the_same_bytes_whatever_the_order_and_batches(
        rows in prop::collection::vec((key(), state()), 0..12), order: u64, batch_rows in 1..6_usize,
    ) {
        let mut rows: Vec<Values> = rows.iter().map(|(key, state)| row(key, state)).collect();
        let mut changes: Vec<(Values, i64)> = rows.iter().map(|row| (row.clone(), 1)).collect();
        shuffle(&mut changes, order);
        rows.sort();
        let expected: Vec<Record> = rows.iter().map(|row| (Vec::new(), Some(value_bytes(row)))).collect();
        let mut sink = sink(&[], false, &Counter::default());
        assert_eq!(write(&mut sink, &batches(&columns(), &changes, batch_rows)), expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_sink_that_keeps_rows_shows_the_first_of_each_key_whatever_came_before(
        epochs in ops((key(), state()).prop_map(|(key, state)| row(&key, &state)), 1..8, 8),
        restarts in prop::collection::vec(any::<bool>(), 8), order: u64, batch_rows in 1..4_usize, roomy: bool,
    ) {
        let mut disk = Disk::new(roomy);
        let counted = Counter::default();
        let start = |disk: &Disk| sink(&KEY, true, &counted).keeping_rows(disk.table());
        let mut operator = start(&disk);
        let mut changes = history(&epochs);
        let contents = accumulated(&changes);
        let mut before = Multiset::new();
        for ((changes, after), restart) in changes.iter_mut().zip(contents).zip(restarts) {
            shuffle(changes, order);
            let counted_before = counted.get();
            let written = write(&mut operator, &batches(&columns(), changes, batch_rows));
            assert_eq!(written, oracle(&first_of_each_key(&before), &first_of_each_key(&after)));
            assert_eq!(counted.get() - counted_before, conflicts(&before, &after));
            if restart {
                disk.restart();
                operator = start(&disk);
            }
            before = after;
        }
    }
}

#[test]
fn a_row_that_was_hidden_is_written_when_the_one_that_was_shown_has_gone() {
    let disk = Disk::new(true);
    let counted = Counter::default();
    let mut sink = sink(&KEY, true, &counted).keeping_rows(disk.table());
    let mut written = |changes: &[(Values, i64)]| {
        let records = write(&mut sink, &batches(&columns(), changes, 8));
        records
            .into_iter()
            .map(|(_, value)| value)
            .collect::<Vec<_>>()
    };
    let value = |name| Some(value_bytes(&eu(name)));
    assert_eq!(written(&[(eu("b"), 1)]), [value("b")]);
    assert_eq!(written(&[(eu("a"), 1), (eu("c"), 1)]), [value("a")]);
    assert_eq!(written(&[(eu("c"), -1)]), []);
    assert_eq!(written(&[(eu("a"), -1)]), [value("b")]);
    assert_eq!(written(&[(eu("b"), -1)]), [None]);
    assert_eq!(counted.get(), 2);
}

fn eu(name: &str) -> Values {
    row(
        &(Value::text("EU"), Value::int(1)),
        &(Value::Null, Value::text(name)),
    )
}

/// The row of each key that is shown: the first of all that are there.
fn first_of_each_key(rows: &Multiset) -> BTreeMap<Key, State> {
    let mut shown: BTreeMap<Key, State> = BTreeMap::new();
    for row in rows.keys() {
        let state = (row[1].clone(), row[3].clone());
        shown
            .entry((row[2].clone(), row[0].clone()))
            .and_modify(|least| {
                if state < *least {
                    *least = state.clone();
                }
            })
            .or_insert(state);
    }
    shown
}

/// By how many the rows of each key that are not shown became more.
fn conflicts(before: &Multiset, after: &Multiset) -> u64 {
    let hidden = |rows: &Multiset| {
        let mut counts: BTreeMap<[Value; 2], i64> = BTreeMap::new();
        for (row, count) in rows {
            *counts.entry([row[2].clone(), row[0].clone()]).or_default() += count;
        }
        counts
    };
    let before = hidden(before);
    let more = hidden(after).into_iter().map(|(key, count)| {
        let before = before.get(&key).map_or(0, |count| count - 1);
        u64::try_from(count - 1 - before).unwrap_or(0)
    });
    more.sum()
}

#[test]
fn of_two_rows_with_one_key_the_least_is_written_and_the_conflict_counted() {
    let conflicts = Counter::default();
    let mut sink = sink(&KEY, true, &conflicts);
    for changes in [[(eu("a"), 1), (eu("b"), 1)], [(eu("b"), 1), (eu("a"), 1)]] {
        let written = write(&mut sink, &batches(&columns(), &changes, 1));
        assert_eq!(
            written,
            [(key_bytes(&eu("a")), Some(value_bytes(&eu("a"))))]
        );
    }
    assert_eq!(conflicts.get(), 2);
}

#[test]
fn an_append_sink_writes_a_row_as_often_as_it_was_added() {
    let mut sink = sink(&KEY, false, &Counter::default());
    let written = write(
        &mut sink,
        &batches(&columns(), &[(eu("a"), 2), (eu("b"), 1)], 8),
    );
    let names: Vec<_> = written.into_iter().map(|(_, value)| value).collect();
    assert_eq!(
        names,
        [
            Some(value_bytes(&eu("a"))),
            Some(value_bytes(&eu("a"))),
            Some(value_bytes(&eu("b")))
        ]
    );
}
