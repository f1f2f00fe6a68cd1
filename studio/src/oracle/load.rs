//! Reads topics into tables of the newest versions.

use std::collections::BTreeMap;

use hashbrown::{HashMap, HashSet};

use super::decode::{Change, Decoded, Reason, decode};
use super::entities::{Entity, Texts};
use crate::{Error, InputReader, Topic};

/// The newest version of each entity of a kind.
#[derive(Debug)]
pub struct Table<T> {
    rows: HashMap<i64, Version<T>>,
}

#[derive(Debug)]
struct Version<T> {
    /// Orders versions: time, partition, offset.
    order: (i64, u32, i64),
    state: Option<T>,
}

impl<T> Table<T> {
    fn apply(&mut self, change: Change<T>, partition: u32, offset: i64) {
        let version = Version {
            order: (change.ts, partition, offset),
            state: change.state,
        };
        match self.rows.entry(change.id) {
            hashbrown::hash_map::Entry::Occupied(mut held) if held.get().order < version.order => {
                drop(held.insert(version))
            }
            hashbrown::hash_map::Entry::Occupied(_) => {}
            hashbrown::hash_map::Entry::Vacant(free) => drop(free.insert(version)),
        }
    }

    /// An entity, if it is there and not deleted.
    #[must_use]
    pub fn get(&self, id: i64) -> Option<&T> {
        self.rows.get(&id)?.state.as_ref()
    }

    /// All entities that are there.
    pub fn iter(&self) -> impl Iterator<Item = (i64, &T)> {
        self.rows
            .iter()
            .filter_map(|(id, version)| Some((*id, version.state.as_ref()?)))
    }
}

/// Dead letters by topic, partition and offset.
pub type DeadLetters = HashMap<(Topic, u32, i64), (Reason, Box<[u8]>)>;

/// What became of the records of a topic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// All of them.
    pub records: u64,
    /// Versions of entities, each once.
    pub accepted: u64,
    /// Repeated.
    pub duplicates: u64,
    /// Changed nothing.
    pub reads: u64,
    /// Dead letters.
    pub dead: u64,
}

/// An accepted change as it passes by.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "as in the event, and where it lay")]
pub struct Seen<'a> {
    pub partition: u32,
    pub offset: i64,
    pub bytes: &'a [u8],
    pub uuid: u128,
    pub id: i64,
    pub ts: i64,
    /// The time that the watermark follows.
    pub time: Option<i64>,
}

/// Reads topics, and collects what is not in the tables.
pub struct Loader<'a> {
    inputs: &'a dyn InputReader,
    now_ms: i64,
    /// All texts of all entities.
    pub texts: Texts,
    /// All dead letters.
    pub dead_letters: DeadLetters,
    /// Per topic.
    pub counts: BTreeMap<Topic, Counts>,
}

impl<'a> Loader<'a> {
    /// A loader; times more than a day after `now_ms` are refused.
    #[must_use]
    pub fn new(inputs: &'a dyn InputReader, now_ms: i64) -> Self {
        Self {
            inputs,
            now_ms,
            texts: Texts::default(),
            dead_letters: DeadLetters::default(),
            counts: BTreeMap::new(),
        }
    }

    /// Reads the topic of an entity.
    ///
    /// # Errors
    /// Of the reader.
    pub fn load<T: Entity>(
        &mut self,
        mut on_accepted: impl FnMut(Seen<'_>),
    ) -> Result<Table<T>, Error> {
        let mut table = Table {
            rows: HashMap::new(),
        };
        let mut uuids = HashSet::new();
        let mut counts = Counts::default();
        let Self {
            inputs,
            now_ms,
            texts,
            dead_letters,
            ..
        } = self;
        inputs.read(T::TOPIC.name(), &mut |partition, offset, bytes| {
            counts.records += 1;
            match decode::<T>(bytes, *now_ms, texts) {
                Err(reason) => {
                    counts.dead += 1;
                    dead_letters.insert((T::TOPIC, partition, offset), (reason, bytes.into()));
                }
                Ok(Decoded::Read) => counts.reads += 1,
                Ok(Decoded::Change(change)) if !uuids.insert(change.uuid) => counts.duplicates += 1,
                Ok(Decoded::Change(change)) => {
                    counts.accepted += 1;
                    let Change { uuid, ts, id, .. } = change;
                    let time = change
                        .state
                        .as_ref()
                        .map_or_else(|| T::time_of_delete(ts), |state| state.time(ts));
                    on_accepted(Seen {
                        partition,
                        offset,
                        bytes,
                        uuid,
                        id,
                        ts,
                        time,
                    });
                    table.apply(change, partition, offset);
                }
            }
        })?;
        self.counts.insert(T::TOPIC, counts);
        Ok(table)
    }
}
