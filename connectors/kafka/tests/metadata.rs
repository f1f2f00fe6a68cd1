//! What a sink writes beside key and value, on a real Kafka. Needs `scripts/setup.sh kafka`.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed, also in its helpers"
)]
#![allow(dead_code, reason = "the broker has more than this needs")]

mod broker;

use std::time::{Duration, Instant};

use broker::Broker;
use tidemill_connectors_api::{
    Connector, EpochOutput, Options, OutputRecords, SinkSpec, SourceBatch, SourceSpec,
};
use tidemill_connectors_kafka::Kafka;
use tidemill_types::raw::write_header;
use tidemill_types::{Epoch, ErrorKind, RawRecords};

const MEGABYTE: usize = 1 << 20;
/// 2026-01-01T00:00:00.123Z.
const TIME_MS: i64 = 1_767_225_600_123;

fn options(broker: &Broker, topic: &str) -> Options {
    let options = [
        ("bootstrap.servers", broker.bootstrap()),
        ("topic", topic.to_owned()),
    ];
    options.map(|(name, value)| (name.to_owned(), value)).into()
}

fn sink(broker: &Broker, topic: &str) -> SinkSpec {
    SinkSpec {
        name: format!("sink_{topic}"),
        options: options(broker, topic),
        compacted: false,
    }
}

fn epoch(records: OutputRecords) -> EpochOutput {
    EpochOutput {
        epoch: Epoch(1),
        sinks: vec![records],
        journal: b"journal 1".to_vec(),
        source_offsets: Vec::new(),
    }
}

/// The first records of a topic of one partition, with their headers.
fn read(broker: &Broker, topic: &str, count: usize) -> RawRecords {
    let options = options(broker, topic);
    let spec = SourceSpec {
        headers: true,
        ..SourceSpec::new("reader", topic, &options)
    };
    let mut source = Kafka.source(&spec).unwrap();
    source.open(&[(0, None)]).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut batches: Vec<SourceBatch> = Vec::new();
    while batches
        .iter()
        .map(|batch| batch.records.len())
        .sum::<usize>()
        < count
    {
        assert!(Instant::now() < deadline, "only {batches:?} came");
        source
            .poll(Duration::from_millis(200), MEGABYTE, &mut batches)
            .unwrap();
    }
    let [batch] = &batches[..] else {
        panic!("one transaction came in several batches: {batches:?}");
    };
    batch.records.clone()
}

#[test]
fn headers_stand_beside_that_of_the_epoch_and_times_are_those_that_were_said() {
    let broker = broker::shared();
    broker.create_topic("traced", 1, &[]);
    let mut committer = Kafka
        .committer("traced", &[sink(broker, "traced")])
        .unwrap();
    committer.fence().unwrap();
    let mut records = OutputRecords::default();
    records.push(b"1", Some(b"{}"));
    records.push_metadata(Some(TIME_MS), |arena| {
        for (name, value) in [("trace", "a-\u{fc}"), ("tenant", "")] {
            write_header(arena, name.as_bytes(), |arena| {
                arena.extend_from_slice(value.as_bytes());
                true
            });
        }
    });
    records.push(b"2", None);
    committer.commit(&[epoch(records)]).unwrap();
    committer.fence().unwrap();

    let read = read(broker, "traced", 2);
    let headers: Vec<_> = read.get(0).headers.collect();
    let epoch = 1_u64.to_be_bytes();
    assert_eq!(
        headers,
        [
            (&b"tidemill-epoch"[..], Some(&epoch[..])),
            (b"trace", Some("a-\u{fc}".as_bytes())),
            (b"tenant", Some(b"")),
        ]
    );
    assert_eq!(read.get(0).timestamp_ms, Some(TIME_MS));
    let second = read.get(1);
    assert_eq!(second.headers.count(), 1);
    // The time of writing.
    assert!(second.timestamp_ms.unwrap() > TIME_MS);
}

#[test]
fn a_time_that_the_topic_does_not_take_is_refused_with_sink_and_key() {
    let broker = broker::shared();
    let an_hour = ("message.timestamp.after.max.ms", "3600000");
    broker.create_topic("bounded", 1, &[an_hour]);
    let mut committer = Kafka
        .committer("bounded", &[sink(broker, "bounded")])
        .unwrap();
    committer.fence().unwrap();
    let mut records = OutputRecords::default();
    records.push(b"1", Some(b"{}"));
    // The year 2286.
    records.push_metadata(Some(10_000_000_000_000), |_| {});
    let error = committer.commit(&[epoch(records)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    for part in [
        "sink 'sink_bounded'",
        "key '1'",
        "message.timestamp.after.max.ms",
    ] {
        assert!(error.message.contains(part), "{error}");
    }
}
