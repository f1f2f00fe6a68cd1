//! Records that are appended to topics of a real Kafka, and what their caller is told. Needs `scripts/setup.sh kafka`.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed, also in its helpers"
)]
#![allow(dead_code, reason = "the broker has more than this needs")]

mod broker;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use broker::{Broker, shared};
use tidemill_connectors_api::Options;
use tidemill_connectors_kafka::append::{AppendRecord, Appender};
use tidemill_connectors_kafka::tools::read_topic;
use tidemill_types::ErrorKind;

/// Far beyond what a loaded machine needs.
const PATIENCE: Duration = Duration::from_secs(60);

fn options(broker: &Broker, more: &[(&str, &str)]) -> Options {
    let bootstrap = broker.bootstrap();
    let mut options = Options::new();
    options.insert("bootstrap.servers".to_owned(), bootstrap);
    let more = more.iter();
    options.extend(more.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    options
}

fn connect(broker: &Broker, topic: &str, patience: Duration) -> Appender {
    Appender::connect(&options(broker, &[]), &[topic], patience).unwrap()
}

/// Key and value of every record, by partition and offset.
fn records(broker: &Broker, topic: &str) -> BTreeMap<(u32, i64), (String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut records = BTreeMap::new();
    read_topic(&broker.bootstrap(), topic, true, |record| {
        let place = (record.partition, record.offset);
        records.insert(place, (text(record.key), text(record.value.unwrap())));
    })
    .unwrap();
    records
}

#[test]
fn records_are_there_as_they_were_given_and_the_offsets_are_the_last_ones() {
    let broker = shared();
    broker.create_topic("append-order", 3, &[]);
    let appender = connect(broker, "append-order", PATIENCE);
    let given: Vec<(String, String)> = (0..500)
        .map(|number| (format!("key {}", number % 7), format!("value {number}")))
        .collect();
    let as_records: Vec<_> = given
        .iter()
        .map(|(key, value)| AppendRecord {
            key: Some(key.as_bytes()),
            value: value.as_bytes(),
        })
        .collect();
    let ends = appender.append("append-order", &as_records).unwrap();
    let found = records(broker, "append-order");
    let mut last = BTreeMap::new();
    for &(partition, offset) in found.keys() {
        last.insert(partition, offset);
    }
    assert_eq!(ends, last);
    for key in (0..7).map(|key| format!("key {key}")) {
        let of_key = |records: Vec<&(String, String)>| -> Vec<String> {
            let of_key = records.into_iter().filter(|(of, _)| *of == key);
            of_key.map(|(_, value)| value.clone()).collect()
        };
        assert_eq!(
            of_key(found.values().collect()),
            of_key(given.iter().collect())
        );
    }
    assert_eq!(found.len(), given.len());
}

#[test]
fn what_the_brokers_do_not_take_in_time_is_given_up_and_not_written_later() {
    let broker = Broker::start("append-away");
    broker.create_topic("events", 1, &[]);
    let appender = connect(&broker, "events", Duration::from_secs(2));
    let record = |value: &'static str| AppendRecord {
        key: None,
        value: value.as_bytes(),
    };
    appender.append("events", &[record("before")]).unwrap();
    broker.script("kill").unwrap();
    let since = Instant::now();
    let error = appender
        .append("events", &[record("while it is away")])
        .unwrap_err();
    assert!(
        since.elapsed() < Duration::from_secs(10),
        "{:?}",
        since.elapsed()
    );
    assert_eq!(
        (error.acknowledged, error.error.kind()),
        (0, ErrorKind::Retry)
    );
    broker.script("start").unwrap();
    let deadline = Instant::now() + PATIENCE;
    while appender.append("events", &[record("after")]).is_err() {
        assert!(Instant::now() < deadline, "the broker is not found again");
    }
    let values: Vec<_> = records(&broker, "events")
        .into_values()
        .map(|(_, value)| value)
        .collect();
    assert_eq!(values, ["before", "after"]);
    assert_eq!(appender.ended(), None);
}

#[test]
fn a_topic_that_is_not_there_and_an_option_that_is_none_are_told() {
    let broker = shared();
    let connect = |topic: &str, more: &[(&str, &str)]| {
        let connected = Appender::connect(&options(broker, more), &[topic], PATIENCE);
        connected.map(drop).unwrap_err()
    };
    let error = connect("append-none", &[]);
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(
        error.message.contains("'append-none' does not exist"),
        "{error}"
    );
    let error = connect("append-none", &[("linger.sm", "5")]);
    assert!(
        error.message.contains("did you mean 'linger.ms'?"),
        "{error}"
    );
    let error = connect("append-none", &[("acks", "0")]);
    assert!(error.message.contains("'acks'"), "{error}");
}

#[test]
fn the_largest_record_of_a_topic_is_known() {
    let broker = shared();
    broker.create_topic("append-small", 1, &[("max.message.bytes", "2000")]);
    let twice = ["append-small", "append-small"];
    let appender = Appender::connect(&options(broker, &[]), &twice, PATIENCE).unwrap();
    let max = appender.record_bytes_max("append-small").unwrap();
    assert!((1_000..2_000).contains(&max), "{max}");
    let value = vec![b'x'; max];
    let records = vec![
        AppendRecord {
            key: None,
            value: &value
        };
        20
    ];
    let ends = appender.append("append-small", &records).unwrap();
    assert_eq!(ends, BTreeMap::from([(0, 19)]));
}
