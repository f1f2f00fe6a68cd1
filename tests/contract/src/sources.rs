//! Reading: from exactly where it is opened, all that is there, and never past what is gone.

use std::time::{Duration, Instant};

use tidemill_types::ErrorKind;

use crate::World;
use crate::steps::{read, read_until_refused};

/// How long a source may take to hear of more partitions.
const PATIENCE: Duration = Duration::from_secs(30);
/// So many polls bring a source to the end of what was read long ago.
const POLLS_TO_THE_END: usize = 50;

/// A source yields every record once, from exactly where it is opened, and tells where that is.
pub fn a_source_reads_from_exactly_where_it_is_opened(world: &mut dyn World) {
    let topic = "exact";
    world.make_topic(topic, 2);
    world.produce(topic, 0, &["a", "b", "c"]);
    world.produce(topic, 1, &["d", "e"]);
    let mut source = world.source(topic);
    assert_eq!(source.describe("").unwrap().partitions, [0, 1]);
    assert_eq!(
        source.open(&[(0, None), (1, None)]).unwrap(),
        [(0, 0), (1, 0)]
    );
    let all = read(source.as_mut(), 5);
    let texts: Vec<&str> = all.iter().map(|record| record.2.as_str()).collect();
    assert_eq!(texts, ["a", "b", "c", "d", "e"]);
    let (second, ends) = (all[1].1, source.end_offsets().unwrap());

    let mut source = world.source(topic);
    let opened = source
        .open(&[(0, Some(second)), (1, Some(ends[1].1))])
        .unwrap();
    assert_eq!(opened, [(0, second), (1, ends[1].1)]);
    assert_eq!(source.known_ends(), ends);
    assert_eq!(read(source.as_mut(), 2), all[1..3]);
    world.produce(topic, 1, &["f"]);
    assert_eq!(read(source.as_mut(), 1)[0].2, "f");
}

/// A paused partition brings nothing while the others go on, and later everything from where it stopped.
pub fn a_paused_partition_waits_and_goes_on_where_it_stopped(world: &mut dyn World) {
    let topic = "paused";
    world.make_topic(topic, 2);
    world.produce(topic, 0, &["a", "b"]);
    let mut source = world.source(topic);
    source.open(&[(0, None), (1, None)]).unwrap();
    assert_eq!(read(source.as_mut(), 2).len(), 2);
    source.pause(&[0]).unwrap();
    world.produce(topic, 0, &["c", "d"]);
    world.produce(topic, 1, &["e"]);
    let texts = |records: Vec<(u32, i64, String)>| {
        let texts = records.into_iter().map(|record| record.2);
        texts.collect::<Vec<_>>()
    };
    assert_eq!(texts(read(source.as_mut(), 1)), ["e"]);
    world.produce(topic, 1, &["f"]);
    assert_eq!(texts(read(source.as_mut(), 1)), ["f"]);
    source.resume().unwrap();
    assert_eq!(texts(read(source.as_mut(), 2)), ["c", "d"]);
}

/// A partition that is paused when it was read to its end goes on with the next record that comes.
pub fn a_partition_that_is_paused_at_its_end_misses_nothing(world: &mut dyn World) {
    let topic = "paused-at-its-end";
    world.make_topic(topic, 1);
    world.produce(topic, 0, &["a"]);
    let mut source = world.source(topic);
    source.open(&[(0, None)]).unwrap();
    assert_eq!(read(source.as_mut(), 1).len(), 1);
    // What tells it the end comes some time after the last record, and nothing shows it.
    for _ in 0..POLLS_TO_THE_END {
        source
            .poll(Duration::from_millis(20), 1 << 20, &mut Vec::new())
            .unwrap();
    }
    source.pause(&[0]).unwrap();
    world.produce(topic, 0, &["b", "c"]);
    source.resume().unwrap();
    let next = read(source.as_mut(), 2).into_iter();
    let texts: Vec<_> = next.map(|record| record.2).collect();
    assert_eq!(texts, ["b", "c"]);
}

/// A topic that grows goes on: more records, and more partitions, are the same log.
pub fn a_topic_that_grows_is_the_same_log(world: &mut dyn World) {
    let topic = "grows";
    world.make_topic(topic, 1);
    world.produce(topic, 0, &["a"]);
    let before = world.source(topic).describe("").unwrap();
    world.produce(topic, 0, &["b", "c"]);
    world.add_partitions(topic, 3);
    world.produce(topic, 2, &["d"]);
    let mut source = world.source(topic);
    assert!(source.describe(&before.incarnation).unwrap().goes_on);
    let now = source.describe("").unwrap();
    assert_eq!(
        (before.partitions, now.partitions),
        (vec![0], vec![0, 1, 2])
    );
    let opened = source
        .open(&[(0, None), (1, Some(0)), (2, Some(0))])
        .unwrap();
    assert_eq!(opened, [(0, 0), (1, 0), (2, 0)]);
    assert_eq!(read(source.as_mut(), 4).len(), 4);
}

/// A source says that partitions were added since it was opened, and goes on reading those that it has; opened again, it has them all. A world
/// may not be able to tell; then it says nothing, and nothing is lost but time.
pub fn a_topic_that_grows_while_it_is_read_says_so(world: &mut dyn World) {
    if !world.abilities().tells_growth {
        return;
    }
    let topic = "growing";
    world.make_topic(topic, 1);
    world.produce(topic, 0, &["a"]);
    let mut source = world.source(topic);
    source.open(&[(0, None)]).unwrap();
    assert_eq!(read(source.as_mut(), 1).len(), 1);
    assert!(!source.has_grown());
    world.add_partitions(topic, 2);
    world.produce(topic, 1, &["b"]);
    let mut batches = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while !source.has_grown() {
        assert!(Instant::now() < deadline, "it does not notice");
        // While brokers are away it says so.
        drop(source.poll(Duration::from_millis(20), 1 << 20, &mut batches));
    }
    assert!(batches.iter().all(|batch| batch.partition() == 0));
    source.open(&[(0, Some(1)), (1, None)]).unwrap();
    assert!(!source.has_grown());
    assert_eq!(read(source.as_mut(), 1), [(1, 0, "b".to_owned())]);
}

/// A topic that was deleted and made again is another log, even if it holds as much as the one before.
pub fn a_topic_made_again_is_another_log(world: &mut dyn World) {
    let topic = "again";
    world.make_topic(topic, 1);
    world.produce(topic, 0, &["a", "b", "c"]);
    let before = world.source(topic).describe("").unwrap();
    assert_eq!(before, world.source(topic).describe("").unwrap());
    world.make_topic_again(topic, 1);
    world.produce(topic, 0, &["x", "y", "z", "u"]);
    let mut source = world.source(topic);
    assert!(!source.describe(&before.incarnation).unwrap().goes_on);
    let now = source.describe("").unwrap();
    assert!(source.describe(&now.incarnation).unwrap().goes_on);
}

/// A topic that is made again while it is read is refused, sooner or later; nothing of it is taken for what the old one held, but perhaps what
/// comes in between.
pub fn a_topic_made_again_while_it_is_read_is_refused(world: &mut dyn World) {
    let topic = "meanwhile";
    world.make_topic(topic, 1);
    world.produce(topic, 0, &["a", "b"]);
    let mut source = world.source(topic);
    source.open(&[(0, None)]).unwrap();
    assert_eq!(read(source.as_mut(), 2).len(), 2);
    world.make_topic_again(topic, 1);
    world.produce(topic, 0, &["x", "y", "z"]);
    read_until_refused(source.as_mut(), &["z"]);
}

/// What is retained no longer is refused where a source is opened, by its partition and with what to do.
pub fn an_offset_that_is_not_retained_is_refused(world: &mut dyn World) {
    if !world.abilities().retains {
        return;
    }
    let topic = "retained";
    world.make_topic(topic, 1);
    world.produce(topic, 0, &["a", "b", "c", "d"]);
    world.delete_before(topic, 0, 2);
    let mut source = world.source(topic);
    for gone in [0, 1] {
        let error = source.open(&[(0, Some(gone))]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        for part in ["partition 0", "from offset 2", &format!("stands at {gone}")] {
            assert!(error.message.contains(part), "{error}");
        }
    }
    assert_eq!(
        source.open(&[(0, None)]).unwrap(),
        [(0, 2)],
        "the oldest retained"
    );
    assert_eq!(read(source.as_mut(), 2)[0], (0, 2, "c".to_owned()));
}

/// Retention that overtakes a source while it reads is refused too, never skipped.
pub fn retention_that_overtakes_a_source_is_refused(world: &mut dyn World) {
    if !world.abilities().retains {
        return;
    }
    let topic = "overtaken";
    world.make_topic(topic, 1);
    world.produce(topic, 0, &["a", "b"]);
    let mut source = world.source(topic);
    source.open(&[(0, Some(0))]).unwrap();
    world.produce(topic, 0, &["c", "d", "e"]);
    world.delete_before(topic, 0, 4);
    // It may have fetched some before.
    read_until_refused_or_complete(source.as_mut());
}

/// Either everything was read before it was deleted, in order, or nothing is read after the gap.
fn read_until_refused_or_complete(source: &mut dyn tidemill_connectors_api::Source) {
    let mut next = 0;
    for _ in 0..600 {
        let mut batches = Vec::new();
        let outcome = source.poll(std::time::Duration::from_millis(100), 1 << 20, &mut batches);
        for batch in &batches {
            for &offset in &batch.records.offsets {
                assert_eq!(offset, next, "offsets {next} to {offset} were skipped");
                next = offset + 1;
            }
        }
        match outcome {
            Err(error) if error.kind() == ErrorKind::Retry => {}
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
                return;
            }
            Ok(()) if next == 5 => return,
            Ok(()) => {}
        }
    }
    panic!("neither read nor refused after offset {next}");
}
