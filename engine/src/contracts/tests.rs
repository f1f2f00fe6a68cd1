//! A source of framed records before a registry that is asked by hand.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidemill_connectors_api::{Described, Error, Source, SourceBatch};
use tidemill_types::ErrorKind;
use tidemill_types::format::{SchemaText, Schemas, WriterSchema};

use super::{AWAY_WAIT, Answer, Ask, Gate, Known, Named};
use crate::Clock;

#[derive(Default)]
struct Log {
    batches: Vec<SourceBatch>,
    paused: Vec<u32>,
    asked: Vec<u32>,
    answers: Vec<(u32, Answer)>,
    now: Duration,
}

#[derive(Clone, Default)]
struct Fake(Arc<Mutex<Log>>);

impl Ask for Fake {
    fn ask(&mut self, id: u32) {
        self.0.lock().unwrap().asked.push(id);
    }

    fn answers(&mut self) -> Vec<(u32, Answer)> {
        std::mem::take(&mut self.0.lock().unwrap().answers)
    }
}

impl Clock for Fake {
    fn now(&self) -> Duration {
        self.0.lock().unwrap().now
    }

    fn wall_ms(&self) -> i64 {
        0
    }
}

impl Source for Fake {
    fn topic(&self) -> &'static str {
        "orders"
    }

    fn describe(&mut self, _: &str) -> Result<Described, Error> {
        Err(Error::new(ErrorKind::Bug, "not asked here"))
    }

    fn end_offsets(&mut self) -> Result<Vec<(u32, i64)>, Error> {
        Ok(Vec::new())
    }

    fn known_ends(&mut self) -> Vec<(u32, i64)> {
        Vec::new()
    }

    fn open(&mut self, _: &[(u32, Option<i64>)]) -> Result<Vec<(u32, i64)>, Error> {
        Ok(Vec::new())
    }

    fn poll(&mut self, _: Duration, _: usize, out: &mut Vec<SourceBatch>) -> Result<(), Error> {
        out.append(&mut self.0.lock().unwrap().batches);
        Ok(())
    }

    fn pause(&mut self, partitions: &[u32]) -> Result<(), Error> {
        self.0.lock().unwrap().paused = partitions.to_vec();
        Ok(())
    }

    fn resume(&mut self) -> Result<(), Error> {
        self.0.lock().unwrap().paused.clear();
        Ok(())
    }
}

struct World {
    fake: Fake,
    gate: Gate,
    known: Arc<Known>,
    awaiting: Arc<AtomicU64>,
}

impl World {
    fn new() -> Self {
        Self::of(Named {
            values: true,
            keys: false,
        })
    }

    fn of(named: Named) -> Self {
        let fake = Fake::default();
        let known = Arc::new(Known::default());
        let awaiting = Arc::new(AtomicU64::new(7));
        let gate = Gate::new(
            (Box::new(fake.clone()), named),
            Box::new(fake.clone()),
            Arc::clone(&known),
            Arc::new(fake.clone()),
            Arc::clone(&awaiting),
        );
        Self {
            fake,
            gate,
            known,
            awaiting,
        }
    }

    fn sends(&self, partition: u32, offset: i64, ids: &[u8]) {
        let mut batch = SourceBatch::of(partition);
        for (offset, id) in (offset..).zip(ids) {
            batch.push(offset, None, Some(&[0, 0, 0, 0, *id, 1]));
        }
        self.fake.0.lock().unwrap().batches.push(batch);
    }

    fn answers(&self, id: u32, answer: Answer) {
        self.fake.0.lock().unwrap().answers.push((id, answer));
    }

    /// Partition and offset of the records that go on.
    fn poll(&mut self) -> Vec<(u32, i64)> {
        let mut out = Vec::new();
        self.gate.poll(Duration::ZERO, 0, &mut out).unwrap();
        let records = out.iter().flat_map(|batch| {
            let offsets = batch.records.offsets.iter();
            offsets.map(|offset| (batch.partition(), *offset))
        });
        records.collect()
    }

    fn awaiting(&self) -> u64 {
        self.awaiting.load(Ordering::Relaxed)
    }

    fn asked(&self) -> Vec<u32> {
        std::mem::take(&mut self.fake.0.lock().unwrap().asked)
    }

    fn paused(&self) -> Vec<u32> {
        self.fake.0.lock().unwrap().paused.clone()
    }
}

fn schema(text: &str) -> Option<WriterSchema> {
    Some(WriterSchema {
        schema: SchemaText {
            text: text.to_owned(),
            references: Vec::new(),
        },
        places: Vec::new(),
    })
}

#[test]
fn only_what_names_an_unseen_schema_waits_and_what_is_behind_it_in_its_partition() {
    let mut world = World::new();
    world.answers(7, Ok(schema("seven")));
    assert!(world.poll().is_empty());
    assert_eq!(world.awaiting(), 0, "of another run");
    world.sends(0, 10, &[7, 7, 8, 7]);
    world.sends(1, 20, &[7]);
    assert_eq!(world.poll(), [(0, 10), (0, 11), (1, 20)]);
    assert_eq!((world.asked(), world.paused()), (vec![8], vec![0]));
    world.sends(1, 21, &[7]);
    world.sends(0, 14, &[7]);
    assert_eq!(
        world.poll(),
        [(1, 21)],
        "what was under way is kept in order"
    );
    assert!(world.asked().is_empty(), "it is asked for already");
    assert_eq!(world.awaiting(), 3);
    world.answers(8, Ok(None));
    assert_eq!(world.poll(), [(0, 12), (0, 13), (0, 14)]);
    assert!(world.paused().is_empty() && world.awaiting() == 0);
    assert_eq!(world.known.schema(8), None);
    assert_eq!(world.known.schema(7).unwrap().schema.text, "seven");
}

#[test]
fn a_registry_that_is_away_is_asked_again_after_a_while_and_one_that_refuses_ends_the_run() {
    let mut world = World::new();
    world.sends(0, 10, &[7]);
    assert!(world.poll().is_empty());
    assert_eq!(world.asked(), [7]);
    world.answers(7, Err(Error::new(ErrorKind::Retry, "away")));
    assert!(world.poll().is_empty());
    assert!(world.asked().is_empty(), "not at once");
    world.fake.0.lock().unwrap().now += AWAY_WAIT;
    assert!(world.poll().is_empty());
    assert_eq!(world.asked(), [7]);
    world.answers(7, Err(Error::new(ErrorKind::Invalid, "who are you")));
    let error = world.gate.poll(Duration::ZERO, 0, &mut Vec::new());
    assert_eq!(error.unwrap_err().message, "who are you");
}

#[test]
fn what_others_paused_stays_so_when_a_partition_goes_on() {
    let mut world = World::new();
    world.sends(0, 10, &[7]);
    world.poll();
    world.gate.pause(&[3]).unwrap();
    world.answers(7, Ok(None));
    assert_eq!(world.poll(), [(0, 10)]);
    assert_eq!(world.paused(), [3]);
    world.gate.resume().unwrap();
    assert!(world.paused().is_empty());
}

#[test]
fn a_record_waits_for_the_schema_of_its_key_and_that_of_its_value() {
    let keyed = |world: &World, key: &[u8], value: &[u8]| {
        let mut batch = SourceBatch::of(0);
        batch.push(10, Some(key), Some(value));
        world.fake.0.lock().unwrap().batches.push(batch);
    };
    let (seven, eight) = ([0, 0, 0, 0, 7, 1], [0, 0, 0, 0, 8, 1]);
    let named = |values, keys| Named { values, keys };
    let mut both = World::of(named(true, true));
    keyed(&both, &seven, &eight);
    assert!(both.poll().is_empty());
    assert_eq!(both.asked(), [7, 8]);
    both.answers(8, Ok(schema("eight")));
    assert!(both.poll().is_empty(), "its key is not known");
    both.answers(7, Ok(None));
    assert_eq!(both.poll(), [(0, 10)]);
    let mut keys = World::of(named(false, true));
    keyed(&keys, &seven, &eight);
    assert!(keys.poll().is_empty());
    assert_eq!(keys.asked(), [7]);
    let mut values = World::new();
    keyed(&values, &seven, &eight);
    assert!(values.poll().is_empty());
    assert_eq!(values.asked(), [8]);
}
