//! The connector against a real Kafka.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed, also in its helpers"
)]

mod broker;

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use broker::Broker;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tidemill_connectors_api::{
    Committer, Connector, EpochOutput, Options, OutputRecords, SinkSpec, Source, SourceBatch,
    SourceOffset, SourceSpec,
};
use tidemill_connectors_kafka::Kafka;
use tidemill_connectors_kafka::tools::{Bulk, Tail, end_offsets, read_topic};
use tidemill_types::{Epoch, ErrorKind, TopicPartition};

const MEGABYTE: usize = 1 << 20;

fn options(broker: &Broker, topic: &str, more: &[(&str, &str)]) -> Options {
    let bootstrap = broker.bootstrap();
    let base = [
        ("connector", "kafka"),
        ("topic", topic),
        ("bootstrap.servers", &bootstrap),
    ];
    [&base[..], more]
        .concat()
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn source(broker: &Broker, topic: &str) -> Box<dyn Source> {
    Kafka
        .source(&SourceSpec::new(
            "reader",
            topic,
            &options(broker, topic, &[]),
        ))
        .unwrap()
}

fn committer(
    broker: &Broker,
    job: &str,
    topics: &[&str],
    more: &[(&str, &str)],
) -> Box<dyn Committer> {
    let sinks: Vec<SinkSpec> = topics
        .iter()
        .map(|topic| SinkSpec {
            name: format!("sink_{topic}"),
            options: options(broker, topic, more),
            compacted: true,
        })
        .collect();
    Kafka.committer(job, &sinks).unwrap()
}

/// An epoch that writes `keys` to each of `sinks` topics, and deletes key `gone`.
fn epoch(number: u64, sinks: usize, keys: std::ops::Range<u32>) -> EpochOutput {
    let mut records = OutputRecords::default();
    for key in keys {
        records.push(
            key.to_string().as_bytes(),
            Some(format!("{{\"epoch\":{number}}}").as_bytes()),
        );
    }
    records.push(b"gone", None);
    let journal = format!("journal {number}").into_bytes();
    EpochOutput {
        epoch: Epoch(number),
        sinks: vec![records; sinks],
        journal,
        source_offsets: Vec::new(),
    }
}

type Record = (u32, String, Option<String>, Option<u64>);

fn records(broker: &Broker, topic: &str, read_committed: bool) -> Vec<Record> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut records = Vec::new();
    read_topic(&broker.bootstrap(), topic, read_committed, |record| {
        records.push((
            record.partition,
            text(record.key),
            record.value.map(text),
            record.epoch.map(|epoch| epoch.0),
        ));
    })
    .unwrap();
    records
}

fn epochs(broker: &Broker, topic: &str) -> Vec<u64> {
    let mut epochs: Vec<u64> = records(broker, topic, true)
        .into_iter()
        .filter_map(|record| record.3)
        .collect();
    epochs.sort_unstable();
    epochs.dedup();
    epochs
}

/// Waits until what was committed is visible: a commit returns when its outcome is certain, the brokers write the transaction's markers
/// just after.
fn settle(committer: &mut dyn Committer) {
    committer.fence().unwrap();
}

/// Polls until every partition stands at `ends`; the records as `(partition, offset, bytes)`.
fn read_until(source: &mut dyn Source, ends: &[(u32, i64)]) -> Vec<(u32, i64, Vec<u8>)> {
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut missing: BTreeMap<u32, i64> = ends.iter().copied().collect();
    let mut records = Vec::new();
    while !missing.is_empty() {
        assert!(Instant::now() < deadline, "still missing: {missing:?}");
        let mut batches: Vec<SourceBatch> = Vec::new();
        source
            .poll(Duration::from_millis(200), 4 * MEGABYTE, &mut batches)
            .unwrap();
        for batch in &batches {
            let of_batch = batch.records.iter().map(|record| {
                let value = record.value.unwrap_or_default();
                (batch.partition(), record.offset, value.to_vec())
            });
            records.extend(of_batch);
            if missing
                .get(&batch.partition())
                .is_some_and(|&end| batch.next_offset >= end)
            {
                missing.remove(&batch.partition());
            }
        }
    }
    records
}

#[test]
fn a_source_yields_every_record_once_from_exactly_where_it_is_opened() {
    let broker = broker::shared();
    broker.create_topic("positions", 3, &[]);
    let mut bulk = Bulk::new(&broker.bootstrap()).unwrap();
    for i in 0..30_000_u32 {
        bulk.produce(
            "positions",
            Some(i % 3),
            None,
            Some(i.to_string().as_bytes()),
        )
        .unwrap();
    }
    bulk.produce("positions", Some(2), Some(b"key"), None)
        .unwrap();
    bulk.flush().unwrap();

    let mut source = source(broker, "positions");
    assert_eq!(source.describe("").unwrap().partitions, [0, 1, 2]);
    let ends = source.end_offsets().unwrap();
    assert_eq!(ends, [(0, 10_000), (1, 10_000), (2, 10_001)]);
    source
        .open(&[(0, None), (1, Some(9_990)), (2, Some(10_000))])
        .unwrap();
    let records = read_until(&mut *source, &ends);
    let of = |partition| {
        records
            .iter()
            .filter(move |record| record.0 == partition)
            .collect::<Vec<_>>()
    };
    assert_eq!(of(0).len(), 10_000);
    assert!(
        of(0)
            .iter()
            .enumerate()
            .all(|(i, record)| record.1 == i as i64 && record.2 == (i * 3).to_string().as_bytes())
    );
    assert_eq!(
        of(1).iter().map(|record| record.1).collect::<Vec<_>>(),
        (9_990..10_000).collect::<Vec<_>>()
    );
    assert_eq!(
        of(2),
        [&(2, 10_000, Vec::new())],
        "a record without a value is an empty record"
    );
}

#[test]
fn a_new_record_ends_the_wait_of_a_poll() {
    let broker = broker::shared();
    broker.create_topic("wakeup", 1, &[]);
    let mut source = source(broker, "wakeup");
    assert_eq!(source.open(&[(0, None)]).unwrap(), [(0, 0)]);
    // That the end is reached ends a poll, too.
    source
        .poll(Duration::from_secs(30), MEGABYTE, &mut Vec::new())
        .unwrap();
    let mut bulk = Bulk::new(&broker.bootstrap()).unwrap();
    bulk.produce("wakeup", Some(0), None, Some(b"x")).unwrap();
    bulk.flush().unwrap();
    let began = Instant::now();
    let mut batches = Vec::new();
    source
        .poll(Duration::from_secs(30), MEGABYTE, &mut batches)
        .unwrap();
    assert_eq!(batches[0].records.get(0).value, Some(&b"x"[..]));
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn a_commit_makes_all_sinks_the_journal_and_the_offsets_visible_together() {
    let broker = broker::shared();
    broker.create_topic("in", 2, &[]);
    let mut committer = committer(broker, "atomic", &["atomic_a", "atomic_b"], &[]);
    committer.fence().unwrap();
    assert_eq!(
        committer.read_journal(Epoch(0)).unwrap(),
        Vec::<Vec<u8>>::new()
    );
    let mut second = epoch(2, 2, 0..100);
    let offset = |topic: &str, partition, next_offset| SourceOffset {
        place: TopicPartition::new(topic, partition),
        next_offset,
    };
    second.source_offsets = vec![
        offset("in", 0, 17),
        offset("in", 1, 4),
        offset("a_file_that_no_broker_knows", 0, 99),
    ];
    committer.commit(&[epoch(1, 2, 0..100), second]).unwrap();
    committer.commit(&[epoch(3, 2, 0..50)]).unwrap();
    settle(&mut *committer);
    let journal: Vec<_> = (1..=3)
        .map(|number| format!("journal {number}").into_bytes())
        .collect();
    assert_eq!(committer.read_journal(Epoch(0)).unwrap(), journal);

    for topic in ["atomic_a", "atomic_b"] {
        let records = records(broker, topic, true);
        assert_eq!(records.len(), 253);
        let of_key = |key: &str| {
            records
                .iter()
                .filter(|record| record.1 == key)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            of_key("7")
                .iter()
                .map(|record| record.3)
                .collect::<Vec<_>>(),
            [Some(1), Some(2), Some(3)]
        );
        assert!(
            of_key("7")
                .iter()
                .all(|record| record.0 == of_key("7")[0].0),
            "a key stays in its partition"
        );
        assert_eq!(of_key("77")[1].2.as_deref(), Some("{\"epoch\":2}"));
        assert!(of_key("gone").iter().all(|record| record.2.is_none()));
        assert_eq!(
            records.iter().map(|record| record.0).max(),
            Some(3),
            "4 partitions are the default"
        );
    }
    // It tells the group where the sources stand, at last when it goes.
    drop(committer);
    assert_eq!(
        committed_offsets(broker, "tidemill-atomic", "in", 2),
        [Offset::Offset(17), Offset::Offset(4)]
    );
}

fn committed_offsets(broker: &Broker, group: &str, topic: &str, partitions: i32) -> Vec<Offset> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap())
        .set("group.id", group)
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_range(topic, 0, partitions - 1);
    let list = consumer
        .committed_offsets(list, Duration::from_secs(30))
        .unwrap();
    list.elements()
        .iter()
        .map(|element| element.offset())
        .collect()
}

#[test]
fn a_source_learns_the_position_behind_transaction_markers() {
    let broker = broker::shared();
    let mut committer = committer(broker, "markers", &["markers"], &[("partitions", "1")]);
    committer.fence().unwrap();
    for number in 1..=5 {
        committer.commit(&[epoch(number, 1, 0..10)]).unwrap();
    }
    settle(&mut *committer);
    let mut source = source(broker, "markers");
    let ends = source.end_offsets().unwrap();
    assert_eq!(ends, [(0, 60)], "11 records and a marker, five times");
    source.open(&[(0, None)]).unwrap();
    assert_eq!(read_until(&mut *source, &ends).len(), 55);
    source.open(&[(0, Some(60))]).unwrap();
    committer.commit(&[epoch(6, 1, 0..10)]).unwrap();
    assert_eq!(
        read_until(&mut *source, &[(0, 72)])
            .iter()
            .map(|record| record.1)
            .collect::<Vec<_>>(),
        (60..71).collect::<Vec<_>>()
    );
}

#[test]
fn a_tail_yields_what_is_committed_after_it_was_opened() {
    let broker = broker::shared();
    let mut committer = committer(broker, "tailed", &["tailed"], &[]);
    committer.fence().unwrap();
    committer.commit(&[epoch(1, 1, 0..10)]).unwrap();
    settle(&mut *committer);
    let mut tail = Tail::open(&broker.bootstrap(), "tailed").unwrap();
    committer.commit(&[epoch(2, 1, 0..3)]).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut seen = Vec::new();
    while seen.len() < 4 {
        assert!(Instant::now() < deadline, "only {seen:?}");
        tail.poll(Duration::from_millis(100), |record| {
            let key = String::from_utf8_lossy(record.key).into_owned();
            seen.push((key, record.value.is_some(), record.epoch));
        })
        .unwrap();
    }
    seen.sort();
    let record = |key: &str, is_there| (key.to_owned(), is_there, Some(Epoch(2)));
    assert_eq!(
        seen,
        [
            record("0", true),
            record("1", true),
            record("2", true),
            record("gone", false)
        ]
    );
}

#[test]
fn of_a_long_journal_only_its_end_is_read() {
    const EPOCHS: u64 = 30_000;
    let broker = broker::shared();
    broker.create_topic("long", 1, &[]);
    let mut committer = committer(broker, "long", &["long"], &[]);
    committer.fence().unwrap();
    let nothing = |number| EpochOutput {
        sinks: vec![OutputRecords::default()],
        journal: vec![b'j'; 300],
        epoch: Epoch(number),
        ..EpochOutput::default()
    };
    let all: Vec<EpochOutput> = (1..=EPOCHS).map(nothing).collect();
    for epochs in all.chunks(500) {
        committer.commit(epochs).unwrap();
    }
    settle(&mut *committer);
    let read = committer.read_journal(Epoch(EPOCHS - 10)).unwrap();
    assert!((11..6_000).contains(&read.len()), "{}", read.len());
}

#[test]
fn an_owner_that_was_replaced_commits_nothing_any_more() {
    let broker = broker::shared();
    let mut older = committer(broker, "fenced", &["fenced"], &[]);
    older.fence().unwrap();
    older.commit(&[epoch(1, 1, 0..10)]).unwrap();
    let mut newer = committer(broker, "fenced", &["fenced"], &[]);
    newer.fence().unwrap();
    assert_eq!(newer.read_journal(Epoch(0)).unwrap(), [b"journal 1"]);
    let error = older.commit(&[epoch(2, 1, 0..10)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    assert!(
        error
            .message
            .contains("a newer process of the job took over"),
        "{error}"
    );
    newer.commit(&[epoch(2, 1, 0..5)]).unwrap();
    settle(&mut *newer);
    assert_eq!(
        newer.read_journal(Epoch(0)).unwrap(),
        [b"journal 1", b"journal 2"]
    );
    assert_eq!(records(broker, "fenced", true).len(), 11 + 6);
}

#[test]
fn an_owner_that_is_replaced_in_the_middle_of_a_transaction_leaves_nothing_visible() {
    let broker = broker::shared();
    let mut first = committer(broker, "replaced", &["replaced"], &[]);
    first.fence().unwrap();
    // What a process leaves that dies while it commits: an open transaction with records.
    let producer: rdkafka::producer::BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap())
        .set("transactional.id", "tidemill-replaced")
        .create()
        .unwrap();
    use rdkafka::producer::Producer;
    producer.init_transactions(Duration::from_secs(30)).unwrap();
    producer.begin_transaction().unwrap();
    for topic in ["replaced", "tidemill.journal.replaced"] {
        producer
            .send(
                rdkafka::producer::BaseRecord::to(topic)
                    .partition(0)
                    .key("k")
                    .payload("half"),
            )
            .unwrap();
    }
    producer.flush(Duration::from_secs(30)).unwrap();
    let mut next = committer(broker, "replaced", &["replaced"], &[]);
    next.fence().unwrap();
    assert_eq!(next.read_journal(Epoch(0)).unwrap(), Vec::<Vec<u8>>::new());
    next.commit(&[epoch(1, 1, 0..10)]).unwrap();
    settle(&mut *next);
    assert_eq!(next.read_journal(Epoch(0)).unwrap(), [b"journal 1"]);
    assert_eq!(records(broker, "replaced", true).len(), 11);
    assert_eq!(records(broker, "replaced", false).len(), 12);
    assert!(
        producer
            .commit_transaction(Duration::from_secs(30))
            .is_err()
    );
}

#[test]
fn a_record_that_cannot_be_written_is_named_and_its_commit_undone() {
    let broker = broker::shared();
    broker.create_topic("narrow", 1, &[("max.message.bytes", "5000")]);
    // Refused by the client for the sink's own limit, and by the broker for the topic's.
    for (job, limit, size) in [
        ("client_limit", "20000", 30_000),
        ("broker_limit", "1000000", 10_000),
    ] {
        let mut committer = committer(
            broker,
            job,
            &["narrow"],
            &[("message.max.bytes", limit), ("compression.type", "none")],
        );
        committer.fence().unwrap();
        let mut large = epoch(1, 1, 0..10);
        large.sinks[0].push(b"the large one", Some(&vec![b'x'; size]));
        let error = committer.commit(&[large]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.message.contains("'sink_narrow'"), "{error}");
        assert!(
            job == "broker_limit" || error.message.contains("'the large one'"),
            "{error}"
        );
        assert_eq!(
            committer.commit(&[epoch(1, 1, 0..10)]).unwrap_err().kind(),
            ErrorKind::Retry
        );

        committer.fence().unwrap();
        let before = records(broker, "narrow", true).len();
        assert_eq!(
            committer.read_journal(Epoch(0)).unwrap(),
            Vec::<Vec<u8>>::new()
        );
        committer.commit(&[epoch(1, 1, 0..10)]).unwrap();
        settle(&mut *committer);
        assert_eq!(records(broker, "narrow", true).len(), before + 11);
        assert_eq!(committer.read_journal(Epoch(0)).unwrap(), [b"journal 1"]);
    }
}

#[test]
fn a_message_of_ten_megabytes_goes_through_both_ways() {
    let broker = broker::shared();
    let mut committer = committer(
        broker,
        "large",
        &["large"],
        &[("partitions", "1"), ("compression.type", "none")],
    );
    committer.fence().unwrap();
    let large: Vec<u8> = (0..10 * MEGABYTE).map(|i| (i * 31 % 251) as u8).collect();
    let mut output = epoch(1, 1, 0..2);
    output.sinks[0].push(b"large", Some(&large));
    output.sinks[0].push(b"after", Some(b"x"));
    committer.commit(&[output]).unwrap();
    settle(&mut *committer);
    let mut source = source(broker, "large");
    source.open(&[(0, None)]).unwrap();
    let records = read_until(&mut *source, &source_ends(broker, "large"));
    assert_eq!(records.len(), 5);
    assert!(records[3].2 == large && records[4].2 == b"x");
}

fn source_ends(broker: &Broker, topic: &str) -> Vec<(u32, i64)> {
    end_offsets(&broker.bootstrap(), topic).unwrap()
}

#[test]
fn a_first_start_is_where_the_option_says_and_partitions_that_come_later_are_read_whole() {
    let broker = broker::shared();
    broker.create_topic("started", 2, &[]);
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.bootstrap());
    let producer: BaseProducer = config.create().unwrap();
    let times = [1_000_000_000_000, 1_000_000_060_000, 1_000_000_120_000];
    for time in times {
        let record = BaseRecord::<(), [u8]>::to("started")
            .partition(0)
            .timestamp(time);
        producer.send(record.payload(b"x")).unwrap();
    }
    producer.flush(Duration::from_secs(10)).unwrap();
    let open = |start: &str, positions: &[(u32, Option<i64>)]| {
        let options = options(broker, "started", &[("start", start)]);
        let mut source = Kafka.source(&SourceSpec::new("starts", "s", &options))?;
        source.open(positions)
    };
    let new = [(0, None), (1, None)];
    for (start, expected) in [
        ("earliest", [(0, 0), (1, 0)]),
        ("latest", [(0, 3), (1, 0)]),
        ("2001-09-09T01:47:00Z", [(0, 1), (1, 0)]),
        ("2020-01-01T00:00:00Z", [(0, 3), (1, 0)]),
        ("0:2", [(0, 2), (1, 0)]),
    ] {
        assert_eq!(open(start, &new).unwrap(), expected, "{start}");
    }
    // The journal knows partition 0; so partition 1 was added while the job was away.
    let known = [(0, Some(1)), (1, None)];
    assert_eq!(open("latest", &known).unwrap(), [(0, 1), (1, 0)]);
    for (start, said) in [
        ("0:4", "holds the offsets 0 to 3"),
        ("7:0", "no partition 7"),
    ] {
        let error = open(start, &new).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.message.contains(said), "{error}");
    }
}

#[test]
fn what_is_compressed_is_read_and_written() {
    let broker = broker::shared();
    let value = "the same again and again ".repeat(100);
    for codec in ["gzip", "snappy", "lz4", "zstd"] {
        let topic = format!("compressed-{codec}");
        broker.create_topic(&topic, 1, &[("compression.type", codec)]);
        let more = [("compression.type", codec)];
        let mut committer = committer(broker, &topic, &[&topic], &more);
        committer.fence().unwrap();
        let mut output = OutputRecords::default();
        (0..50_u32).for_each(|key| output.push(&key.to_be_bytes(), Some(value.as_bytes())));
        let epoch = EpochOutput {
            sinks: vec![output],
            ..epoch(1, 0, 0..0)
        };
        committer.commit(&[epoch]).unwrap();
        settle(&mut *committer);
        let mut source = source(broker, &topic);
        source.open(&[(0, None)]).unwrap();
        let ends = source.end_offsets().unwrap();
        let read = read_until(&mut *source, &ends);
        assert_eq!(read.len(), 50, "{codec}");
        assert!(
            read.iter().all(|(_, _, read)| read == value.as_bytes()),
            "{codec}"
        );
    }
}

#[test]
fn a_missing_topic_is_an_error_that_says_what_to_do_or_is_waited_for() {
    let broker = broker::shared();
    let error = source(broker, "nowhere").describe("").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(
        error.message.contains("topic 'nowhere' does not exist")
            && error.message.contains("topic.wait"),
        "{error}"
    );

    let mut waiting = Kafka
        .source(&SourceSpec::new(
            "reader",
            "s",
            &options(broker, "later", &[("topic.wait", "60 s")]),
        ))
        .unwrap();
    std::thread::scope(|scope| {
        let found = scope.spawn(move || waiting.describe("").unwrap().partitions);
        broker.create_topic("later", 2, &[]);
        assert_eq!(found.join().unwrap(), [0, 1]);
    });
}

#[test]
fn a_position_that_is_not_retained_is_an_error_with_the_choices() {
    let broker = broker::shared();
    broker.create_topic("retained", 1, &[]);
    let mut bulk = Bulk::new(&broker.bootstrap()).unwrap();
    for _ in 0..10 {
        bulk.produce("retained", Some(0), None, Some(b"x")).unwrap();
    }
    bulk.flush().unwrap();
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap())
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset("retained", 0, Offset::Offset(6))
        .unwrap();
    pollster::block_on(admin.delete_records(&list, &AdminOptions::new())).unwrap();

    let mut source = source(broker, "retained");
    let error = source.open(&[(0, Some(2))]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    for part in [
        "partition 0",
        "'retained'",
        "from offset 6",
        "stands at 2",
        "4 records are gone",
        "start the job from nothing",
    ] {
        assert!(error.message.contains(part), "{error}");
    }
    source.open(&[(0, None)]).unwrap();
    assert_eq!(read_until(&mut *source, &[(0, 10)])[0].1, 6);

    source.open(&[(0, Some(1000))]).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let error = loop {
        assert!(Instant::now() < deadline);
        if let Err(error) = source.poll(Duration::from_millis(200), MEGABYTE, &mut Vec::new()) {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(
        error.message.contains("no offset 1000: it holds 6 to 10"),
        "{error}"
    );
}

#[test]
fn a_broker_that_is_killed_and_comes_back_costs_nothing_but_time() {
    let broker = Broker::start("kafka-killed");
    broker.create_topic("in", 1, &[]);
    let mut source = source(&broker, "in");
    assert_eq!(source.open(&[(0, None)]).unwrap(), [(0, 0)]);
    let mut committer = committer(&broker, "killed", &["out"], &[]);
    committer.fence().unwrap();
    committer.commit(&[epoch(1, 1, 0..10)]).unwrap();

    broker.script("kill").unwrap();
    let mut batches = Vec::new();
    source
        .poll(Duration::from_millis(100), MEGABYTE, &mut batches)
        .unwrap();
    assert!(batches.is_empty());
    assert_eq!(
        source.known_ends(),
        [(0, 0)],
        "what was heard at the opening"
    );
    assert_eq!(source.known_ends(), [], "nothing was heard since");
    assert_eq!(source.end_offsets().unwrap_err().kind(), ErrorKind::Retry);

    std::thread::scope(|scope| {
        let commit = scope.spawn(move || {
            let mut outcome = committer.commit(&[epoch(2, 1, 0..10)]);
            while let Err(error) = outcome {
                assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
                outcome = committer.fence().and_then(|()| {
                    let stands = committer.read_journal(Epoch(0))?.len() == 2;
                    if stands {
                        Ok(())
                    } else {
                        committer.commit(&[epoch(2, 1, 0..10)])
                    }
                });
            }
            settle(&mut *committer);
            committer.read_journal(Epoch(0)).unwrap().len()
        });
        broker.script("start").unwrap();
        assert_eq!(commit.join().unwrap(), 2);
    });
    assert_eq!(epochs(&broker, "out"), [1, 2]);
    assert_eq!(records(&broker, "out", true).len(), 22);
    let mut bulk = Bulk::new(&broker.bootstrap()).unwrap();
    bulk.produce("in", Some(0), None, Some(b"after")).unwrap();
    bulk.flush().unwrap();
    assert_eq!(
        read_until(&mut *source, &[(0, 1)]),
        [(0, 0, b"after".to_vec())]
    );
    broker.script("stop").unwrap();
}

#[test]
fn a_commit_that_was_answered_is_there_once_although_the_broker_dies_before_its_markers() {
    let broker = Broker::start("kafka-markers");
    let sinks = ["first", "second", "third"];
    for sink in sinks {
        broker.create_topic(sink, 6, &[]);
    }
    let count = |sink: &str, number: u64| {
        let records = records(&broker, sink, true).into_iter();
        records.filter(|record| record.3 == Some(number)).count()
    };
    for (round, owner_dies) in [true, false].into_iter().enumerate() {
        let [before, last, next] = [1, 2, 3].map(|number| number + 3 * round as u64);
        let mut owner = committer(&broker, "markers", &sinks, &[]);
        owner.fence().unwrap();
        owner.commit(&[epoch(before, 3, 0..200)]).unwrap();
        let process = broker.process().unwrap().to_string();
        owner.commit(&[epoch(last, 3, 0..200)]).unwrap();
        // Within a millisecond or two; the script takes longer.
        let killed = Command::new("kill").args(["-9", &process]).status();
        assert!(killed.unwrap().success());
        broker.script("stop").unwrap();
        broker.script("start").unwrap();
        if owner_dies {
            owner = committer(&broker, "markers", &sinks, &[]);
            while let Err(error) = owner.fence() {
                assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
            }
        }
        // It writes to a few of the partitions only, and so ends in these only what came before.
        while let Err(error) = owner.commit(&[epoch(next, 3, 0..1)]) {
            eprintln!("COMMIT {error}");
            assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
            if owner.fence().is_ok() {
                let journal = owner.read_journal(Epoch(before)).unwrap();
                let stands = format!("journal {last}").into_bytes();
                assert_eq!(journal.last(), Some(&stands), "it was acknowledged");
            }
        }
        let counts = || sinks.map(|sink| [before, last, next].map(|number| count(sink, number)));
        let since = Instant::now();
        while counts() != [[201, 201, 2]; 3] {
            let waits = since.elapsed() < Duration::from_secs(20);
            assert!(waits, "owner dies: {owner_dies}, {:?}", counts());
        }
    }
}
