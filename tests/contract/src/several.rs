//! Several topics in one source: each partition has a number that it keeps, and records say where they are from.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tidemill_connectors_api::{Source, SourceBatch};
use tidemill_types::ErrorKind;

use crate::World;
use crate::steps::read;

/// How long a source may take to hear of a topic.
const PATIENCE: Duration = Duration::from_secs(30);

/// Values by place, as the records say it, after `count` records.
fn read_places(source: &mut dyn Source, count: usize) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let deadline = Instant::now() + PATIENCE;
    while found.values().map(Vec::len).sum::<usize>() < count {
        assert!(Instant::now() < deadline, "of {count} there are {found:?}");
        let mut batches: Vec<SourceBatch> = Vec::new();
        source
            .poll(Duration::from_millis(20), 1 << 20, &mut batches)
            .unwrap();
        for batch in batches {
            let place = source.place(batch.partition());
            assert_eq!(batch.records.place.as_ref(), Some(&place));
            let values = batch.records.iter().filter_map(|record| record.value);
            let texts = values.map(|value| String::from_utf8_lossy(value).into_owned());
            found.entry(place.to_string()).or_default().extend(texts);
        }
    }
    found
}

fn places(source: &dyn Source, numbers: &[u32]) -> Vec<String> {
    let numbers = numbers.iter();
    numbers
        .map(|&number| source.place(number).to_string())
        .collect()
}

/// Topics that are named together are read as one: their partitions are numbered, and whoever comes later numbers them alike, whatever was
/// added; one that was made again is told.
pub fn topics_that_are_read_together_keep_their_numbers(world: &mut dyn World) {
    if world.matching("several-.*").is_none() {
        return;
    }
    let both = "several-b, several-a";
    world.make_topic("several-b", 1);
    world.make_topic("several-a", 2);
    world.produce("several-a", 1, &["x"]);
    world.produce("several-b", 0, &["y", "z"]);
    let mut source = world.source(both);
    let before = source.describe("").unwrap();
    assert_eq!(before.partitions, [0, 1, 2]);
    let expected = ["several-a/0", "several-a/1", "several-b/0"];
    assert_eq!(places(source.as_ref(), &before.partitions), expected);
    source.open(&[(0, None), (1, None), (2, None)]).unwrap();
    let records = read_places(source.as_mut(), 3);
    assert_eq!(
        (&records["several-a/1"][..], &records["several-b/0"][..]),
        (&["x".to_owned()][..], &["y".to_owned(), "z".to_owned()][..])
    );
    assert_eq!(source.end_offsets().unwrap().len(), 3);

    world.add_partitions("several-a", 3);
    world.produce("several-a", 2, &["u"]);
    let mut source = world.source(both);
    let now = source.describe(&before.incarnation).unwrap();
    assert!(now.goes_on && now.partitions == [0, 1, 2, 3]);
    assert_eq!(
        places(source.as_ref(), &[2, 3]),
        ["several-b/0", "several-a/2"]
    );
    let opened = source.open(&[(0, None), (1, Some(1)), (2, Some(1)), (3, Some(0))]);
    assert_eq!(opened.unwrap(), [(0, 0), (1, 1), (2, 1), (3, 0)]);
    source.pause(&[3]).unwrap();
    assert_eq!(read_places(source.as_mut(), 1)["several-b/0"], ["z"]);
    source.resume().unwrap();
    assert_eq!(read_places(source.as_mut(), 1)["several-a/2"], ["u"]);

    world.make_topic_again("several-b", 1);
    let again = world.source(both).describe(&now.incarnation).unwrap();
    assert!(!again.goes_on);
}

/// A source that reads by a pattern tells that there is a topic more; the next start has it, after those that were there.
pub fn a_topic_that_is_made_while_a_pattern_is_read_is_noticed(world: &mut dyn World) {
    let Some(mut source) = world.matching("noticed-.*") else {
        return;
    };
    world.make_topic("unnoticed", 1);
    let error = loop {
        // While brokers are away it says so.
        match source.describe("").unwrap_err() {
            error if error.kind() == ErrorKind::Retry => {}
            error => break error,
        }
    };
    assert_eq!(
        error.kind(),
        ErrorKind::Invalid,
        "there is none yet: {error}"
    );
    world.make_topic("noticed-m", 1);
    world.produce("noticed-m", 0, &["a"]);
    let before = source.describe("").unwrap();
    assert_eq!(before.partitions, [0]);
    source.open(&[(0, None)]).unwrap();
    assert_eq!(read(source.as_mut(), 1).len(), 1);
    assert!(!source.has_grown());
    world.make_topic("noticed-b", 2);
    world.produce("noticed-b", 1, &["b"]);
    let deadline = Instant::now() + PATIENCE;
    while !source.has_grown() {
        assert!(Instant::now() < deadline, "it does not notice");
        drop(source.poll(Duration::from_millis(20), 1 << 20, &mut Vec::new()));
    }
    let mut source = world.matching("noticed-.*").expect("as before");
    let now = source.describe(&before.incarnation).unwrap();
    assert!(now.goes_on && now.partitions == [0, 1, 2]);
    let expected = ["noticed-m/0", "noticed-b/0", "noticed-b/1"];
    assert_eq!(places(source.as_ref(), &now.partitions), expected);
    source
        .open(&[(0, Some(1)), (1, Some(0)), (2, Some(0))])
        .unwrap();
    assert!(!source.has_grown());
    assert_eq!(read_places(source.as_mut(), 1)["noticed-b/1"], ["b"]);
}
