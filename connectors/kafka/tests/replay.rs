//! Records that are put back into a topic of a real Kafka, each once, whoever dies in between. Needs `scripts/setup.sh kafka`.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed, also in its helpers"
)]
#![allow(dead_code, reason = "the broker has more than this needs")]

mod broker;

use std::time::{Duration, Instant};

use broker::Broker;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use tidemill_connectors_api::replay::REPLAY_OF_HEADER;
use tidemill_connectors_api::{Connector, Options, Replay, ReplayRecord, SourceSpec};
use tidemill_connectors_kafka::Kafka;
use tidemill_types::dead_letter::Header;
use tidemill_types::{ErrorKind, RawRecord};

fn options(broker: &Broker, topic: &str) -> Options {
    let options = [("topic", topic), ("bootstrap.servers", &broker.bootstrap())];
    (options.into_iter())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn replay(broker: &Broker, topic: &str) -> Box<dyn Replay> {
    let options = options(broker, topic);
    Kafka
        .replay(&SourceSpec::new("job", "orders", &options), topic)
        .unwrap()
}

fn header(name: &str, value: Option<&[u8]>) -> Header {
    Header {
        name: name.to_owned(),
        value: value.map(<[u8]>::to_vec),
    }
}

fn record(place: (u32, i64), value: Option<&[u8]>) -> ReplayRecord {
    ReplayRecord {
        place,
        value: value.map(<[u8]>::to_vec),
        timestamp_ms: Some(1_767_225_600_000 + place.1),
        ..ReplayRecord::default()
    }
}

/// A record as it stands in a topic: what was put back, without its offset.
fn shown(partition: u32, record: &RawRecord<'_>) -> (u32, ReplayRecord) {
    let headers = record.headers.into_iter();
    let record = ReplayRecord {
        place: (0, 0),
        timestamp_ms: record.timestamp_ms,
        key: record.key.map(<[u8]>::to_vec),
        value: record.value.map(<[u8]>::to_vec),
        headers: headers
            .map(|(name, value)| header(std::str::from_utf8(name).unwrap(), value))
            .collect(),
    };
    (partition, record)
}

/// Where a partition ends, for readers of an isolation level.
fn end(broker: &Broker, (topic, partition): (&str, u32), isolation_level: &str) -> i64 {
    let reader: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap())
        .set("isolation.level", isolation_level)
        .create()
        .unwrap();
    let partition = i32::try_from(partition).unwrap();
    let (_, end) = reader
        .fetch_watermarks(topic, partition, Duration::from_secs(30))
        .unwrap();
    end
}

/// Waits until every transaction of a partition has ended: the broker answers a commit before it has written the markers.
fn wait_for_markers(broker: &Broker, place: (&str, u32)) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while end(broker, place, "read_committed") < end(broker, place, "read_uncommitted") {
        assert!(
            Instant::now() < deadline,
            "{place:?} has an open transaction"
        );
    }
}

/// The committed records of a topic, by partition and in order. Nobody writes into it any more.
fn committed(broker: &Broker, topic: &str) -> Vec<(u32, ReplayRecord)> {
    let options = options(broker, topic);
    let spec = SourceSpec {
        headers: true,
        ..SourceSpec::new("reader", "orders", &options)
    };
    let mut source = Kafka.source(&spec).unwrap();
    let partitions = source.describe("").unwrap().partitions;
    for &partition in &partitions {
        wait_for_markers(broker, (topic, partition));
    }
    let mut left = source.end_offsets().unwrap();
    let oldest: Vec<_> = partitions.iter().map(|&number| (number, None)).collect();
    let mut opened = source.open(&oldest).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut found = Vec::new();
    loop {
        left.retain(|(of, end)| {
            opened
                .iter()
                .any(|(partition, at)| partition == of && at < end)
        });
        if left.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "left to read: {left:?}");
        let mut batches = Vec::new();
        source
            .poll(Duration::from_millis(100), 1 << 20, &mut batches)
            .unwrap();
        for batch in batches {
            let partition = batch.partition();
            found.extend(batch.records.iter().map(|record| shown(partition, &record)));
            let at = opened.iter_mut().find(|(of, _)| *of == partition).unwrap();
            at.1 = batch.next_offset;
        }
    }
    found.sort_by_key(|(partition, _)| *partition);
    found
}

/// What stands in the topic once a record was put back.
fn put(topic: &str, record: &ReplayRecord) -> (u32, ReplayRecord) {
    let (partition, offset) = record.place;
    let of = format!("{topic}/{partition}/{offset}");
    let mut expected = record.clone();
    expected.place = (0, 0);
    expected
        .headers
        .push(header(REPLAY_OF_HEADER, Some(of.as_bytes())));
    (partition, expected)
}

#[test]
fn a_record_is_put_back_as_it_was_and_once() {
    let (broker, topic) = (broker::shared(), "replay.once");
    broker.create_topic(topic, 2, &[]);
    let whole = ReplayRecord {
        key: Some(b"\x00\xff".to_vec()),
        headers: vec![
            header("trace", Some(b"\xff")),
            header("none", None),
            header("trace", Some(b"")),
        ],
        ..record((1, 7), Some(b"{\"amount\":\"1.00\"}"))
    };
    let tombstone = record((0, 3), None);
    let empty = ReplayRecord {
        key: Some(Vec::new()),
        ..record((0, 4), Some(b""))
    };
    let records = [whole.clone(), tombstone.clone(), empty.clone()];

    let mut first = replay(broker, topic);
    assert_eq!(first.put_before().unwrap(), [].into());
    assert_eq!(first.put_back(&records[..1]).unwrap(), [(1, 7)]);
    assert_eq!(first.put_back(&records).unwrap(), [(0, 3), (0, 4)]);
    assert_eq!(first.put_back(&records).unwrap(), []);
    drop(first);
    let mut second = replay(broker, topic);
    assert_eq!(
        second.put_before().unwrap(),
        [(0, 3), (0, 4), (1, 7)].into()
    );
    assert_eq!(second.put_back(&records).unwrap(), []);
    let expected = [
        put(topic, &tombstone),
        put(topic, &empty),
        put(topic, &whole),
    ];
    assert_eq!(committed(broker, topic), expected);
}

#[test]
fn what_was_a_replay_already_says_whose_it_is_now() {
    let (broker, topic) = (broker::shared(), "replay.again");
    broker.create_topic(topic, 1, &[]);
    let headers = vec![header(REPLAY_OF_HEADER, Some(b"replay.again/0/1"))];
    let again = ReplayRecord {
        headers,
        ..record((0, 9), Some(b"x"))
    };
    replay(broker, topic).put_back(&[again]).unwrap();
    assert_eq!(
        committed(broker, topic),
        [put(topic, &record((0, 9), Some(b"x")))]
    );
}

#[test]
fn what_a_dead_process_had_under_way_never_was_and_is_put_back_once() {
    let (broker, topic) = (broker::shared(), "replay.killed");
    broker.create_topic(topic, 1, &[]);
    let records = [record((0, 0), Some(b"a")), record((0, 1), Some(b"b"))];
    replay(broker, topic).put_back(&records[..1]).unwrap();
    // A process that wrote the second record and its entry, and was killed before it committed them.
    let dead: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap())
        .set("transactional.id", format!("tidemill-replay-{topic}"))
        .create()
        .unwrap();
    dead.init_transactions(Duration::from_secs(30)).unwrap();
    dead.begin_transaction().unwrap();
    let lost = BaseRecord::<str, str>::to(topic).partition(0).payload("b");
    dead.send(lost).map_err(|(error, _)| error).unwrap();
    let log = format!("tidemill.replays.{topic}");
    let entry = r#"{"version":1,"incarnation":"","partition":0,"offset":1}"#;
    let entry = BaseRecord::<str, str>::to(&log)
        .partition(0)
        .key("/0/1")
        .payload(entry);
    dead.send(entry).map_err(|(error, _)| error).unwrap();
    dead.flush(Duration::from_secs(30)).unwrap();
    std::mem::forget(dead);

    assert_eq!(replay(broker, topic).put_back(&records).unwrap(), [(0, 1)]);
    assert_eq!(replay(broker, topic).put_back(&records).unwrap(), []);
    let expected = records.each_ref().map(|record| put(topic, record));
    assert_eq!(committed(broker, topic), expected);
}

#[test]
fn a_replay_that_another_one_replaced_puts_nothing_back() {
    let (broker, topic) = (broker::shared(), "replay.fenced");
    broker.create_topic(topic, 1, &[]);
    let [a, b] = [record((0, 0), Some(b"a")), record((0, 1), Some(b"b"))];
    let (mut first, mut second) = (replay(broker, topic), replay(broker, topic));
    first.put_back(std::slice::from_ref(&a)).unwrap();
    second.put_back(std::slice::from_ref(&b)).unwrap();
    let error = first.put_back(&[record((0, 2), Some(b"c"))]).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Fenced, "{error}");
    assert_eq!(committed(broker, topic), [put(topic, &a), put(topic, &b)]);
}

#[test]
fn a_topic_that_is_not_there_is_no_place_to_put_anything() {
    let broker = broker::shared();
    let error = replay(broker, "replay.none")
        .put_back(&[record((0, 0), None)])
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(
        error.message.contains("'replay.none' does not exist"),
        "{error}"
    );
}
