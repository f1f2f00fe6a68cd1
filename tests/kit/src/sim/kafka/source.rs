//! A source over the simulated Kafka, for readers of committed data.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::RngExt;
use tidemill_connectors_api::partition_map::{Continuation, FoundTopic};
use tidemill_connectors_api::{Described, Error, Options, PartitionMap, Source, SourceBatch};
use tidemill_types::{ErrorKind, TopicPartition};

use super::{Brokers, Faults, Kafka, Partition};

/// How many records of a partition a poll brings at most.
const POLL_RECORDS_MAX: usize = 4;
/// For how many polls a partition may be left out: the end of it is told several times meanwhile.
const POLLS_STARVED: std::ops::Range<u32> = 20..300;

/// Which topics are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// These.
    Named(Vec<String>),
    /// All whose names begin so.
    Beginning(String),
}

impl Selection {
    /// By the options `topic`, a list, or `topic.pattern`, a beginning and `.*`.
    ///
    /// # Errors
    /// If there is neither.
    pub fn of(options: &Options) -> Result<Self, Error> {
        if let Some(pattern) = options.get("topic.pattern") {
            let beginning = pattern.trim_end_matches(".*");
            return Ok(Self::Beginning(beginning.to_owned()));
        }
        let missing = || Error::new(ErrorKind::Invalid, "the option 'topic' is missing; add it");
        let names = options.get("topic").ok_or_else(missing)?.split(',');
        Ok(Self::Named(
            names.map(|name| name.trim().to_owned()).collect(),
        ))
    }

    /// Those of them that there are, by name.
    pub fn found(&self, brokers: &Brokers) -> Vec<FoundTopic> {
        let takes = |name: &str| match self {
            Self::Named(names) => names.iter().any(|named| named == name),
            Self::Beginning(beginning) => name.starts_with(beginning),
        };
        let topics = brokers.topics().filter(|name| takes(name));
        let found = topics.filter_map(|name| {
            let topic = brokers.topic(name)?;
            Some(FoundTopic {
                name: name.to_owned(),
                id: topic.id.to_string(),
                partitions: u32::try_from(topic.partitions.len()).ok()?,
            })
        });
        found.collect()
    }

    /// One that is named and not there.
    fn missing(&self, found: &[FoundTopic]) -> bool {
        match self {
            Self::Named(names) => names.len() > found.len(),
            Self::Beginning(_) => found.is_empty(),
        }
    }
}

/// A reader of some topics.
pub struct SimSource {
    kafka: Kafka,
    selection: Selection,
    name: String,
    map: PartitionMap,
    /// By number, what is read and where it stands.
    positions: BTreeMap<u32, (TopicPartition, i64)>,
    /// Those that are not read for now.
    paused: BTreeSet<u32>,
    /// For how many polls a partition is still left out.
    starved: BTreeMap<u32, u32>,
}

impl SimSource {
    /// A reader that is not open yet.
    pub fn new(kafka: Kafka, selection: Selection) -> Self {
        let name = match &selection {
            Selection::Named(names) => names.join(", "),
            Selection::Beginning(beginning) => format!("{beginning}.*"),
        };
        Self {
            kafka,
            selection,
            name,
            map: PartitionMap::default(),
            positions: BTreeMap::new(),
            paused: BTreeSet::new(),
            starved: BTreeMap::new(),
        }
    }

    fn away(&self) -> Error {
        let message = format!("topic '{}' does not answer; try again", self.name);
        Error::new(ErrorKind::Retry, message)
    }

    /// Fails if a topic is another one than was opened, or what is to be read next was deleted.
    fn retained(&self, brokers: &Brokers) -> Result<(), Error> {
        let found = self.selection.found(brokers);
        if let Continuation::MadeAgain(name) = self.map.continued_by(&found) {
            let message = format!(
                "topic '{name}' was deleted and made again; start the job under a new name"
            );
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        for (place, at) in self.positions.values() {
            let Some(log) = log(brokers, place) else {
                continue;
            };
            let (start, TopicPartition { topic, partition }) = (log.start(), place);
            if *at < start {
                let message = format!(
                    "partition {partition} of topic '{topic}' is retained from offset {start} on, and the job stands at {at}; restore the topic"
                );
                return Err(Error::new(ErrorKind::Invalid, message));
            }
        }
        Ok(())
    }

    /// A call fails now and then.
    fn call(&self) -> Result<(), Error> {
        let mut brokers = self.kafka.lock();
        if brokers.refuses() {
            return Err(self.away());
        }
        Ok(())
    }

    /// Numbers what there is, as `before` did.
    fn look(&mut self, before: &str) -> Result<Described, Error> {
        let found = self.selection.found(&self.kafka.lock());
        if self.selection.missing(&found) {
            let message = format!("there is no topic '{}'; make it", self.name);
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let mut map = PartitionMap::parse(before).unwrap_or_default();
        let goes_on = map.continued_by(&found) == Continuation::GoesOn;
        if !goes_on {
            map = PartitionMap::default();
        }
        map.add(&found);
        let partitions = (0..).zip(map.places()).map(|(number, _)| number).collect();
        self.map = map;
        Ok(Described {
            incarnation: self.map.to_string(),
            goes_on,
            partitions,
        })
    }
}

fn log<'a>(brokers: &'a Brokers, place: &TopicPartition) -> Option<&'a Partition> {
    let topic = brokers.topic(&place.topic)?;
    topic.partitions.get(place.partition as usize)
}

impl Source for SimSource {
    fn topic(&self) -> &str {
        &self.name
    }

    fn place(&self, partition: u32) -> TopicPartition {
        let place = self.map.place(partition);
        place.unwrap_or_else(|| TopicPartition::new(&self.name, partition))
    }

    fn describe(&mut self, before: &str) -> Result<Described, Error> {
        self.call()?;
        self.look(before)
    }

    fn end_offsets(&mut self) -> Result<Vec<(u32, i64)>, Error> {
        self.call()?;
        Ok(self.known_ends())
    }

    fn known_ends(&mut self) -> Vec<(u32, i64)> {
        let brokers = self.kafka.lock();
        let numbered = (0..).zip(self.map.places());
        let end = |(number, place): (u32, TopicPartition)| {
            let log = log(&brokers, &place)?;
            Some((number, log.last_stable_offset(&brokers.transactions)))
        };
        numbered.filter_map(end).collect()
    }

    fn has_transactions(&self) -> bool {
        self.kafka.lock().is_database
    }

    fn has_grown(&self) -> bool {
        let found = self.selection.found(&self.kafka.lock());
        let count: u32 = found.iter().map(|topic| topic.partitions).sum();
        count as usize > self.positions.len()
    }

    fn open(&mut self, positions: &[(u32, Option<i64>)]) -> Result<Vec<(u32, i64)>, Error> {
        self.call()?;
        if positions
            .iter()
            .any(|&(number, _)| self.map.place(number).is_none())
        {
            let before = self.map.to_string();
            self.look(&before)?;
        }
        self.positions.clear();
        let brokers = self.kafka.lock();
        for &(number, position) in positions {
            let place = self.place(number);
            let log = log(&brokers, &place).ok_or_else(|| self.away())?;
            let at = position.unwrap_or(log.start());
            self.positions.insert(number, (place, at));
        }
        self.retained(&brokers)?;
        let opened = self.positions.iter();
        Ok(opened.map(|(&number, &(_, at))| (number, at)).collect())
    }

    fn poll(&mut self, _: Duration, _: usize, out: &mut Vec<SourceBatch>) -> Result<(), Error> {
        self.call()?;
        let mut brokers = self.kafka.lock();
        self.retained(&brokers)?;
        let paused = &self.paused;
        let read = self.positions.iter_mut();
        for (&number, (place, position)) in read.filter(|(number, _)| !paused.contains(number)) {
            let Faults {
                leader_away: away,
                starved,
                ..
            } = brokers.faults;
            let left_out = self.starved.entry(number).or_default();
            *left_out = left_out.saturating_sub(1);
            if brokers.strikes(starved) {
                *left_out = brokers.rng.random_range(POLLS_STARVED);
            }
            if *left_out > 0 && starved > 0 {
                continue;
            }
            let count = brokers.rng.random_range(0..=POLL_RECORDS_MAX);
            if brokers.strikes(away) || count == 0 {
                continue;
            }
            let Some(log) = log(&brokers, place) else {
                continue;
            };
            let end = log.last_stable_offset(&brokers.transactions);
            let mut batch = SourceBatch::of(number);
            batch.records.place = Some(place.clone());
            for (offset, record) in log.committed(*position, &brokers.transactions).take(count) {
                batch.push(offset, record.key.as_deref(), record.value.as_deref());
                for (name, value) in &record.headers {
                    batch.records.push_header(name, Some(value));
                }
                batch.records.timestamps.push(record.timestamp_ms);
            }
            if batch.records.len() < count {
                batch.next_offset = end;
            }
            batch.is_within = brokers.is_database && log.is_within(batch.next_offset);
            if batch.next_offset > *position {
                *position = batch.next_offset;
                out.push(batch);
            }
        }
        Ok(())
    }

    fn pause(&mut self, partitions: &[u32]) -> Result<(), Error> {
        self.paused.extend(partitions);
        Ok(())
    }

    fn resume(&mut self) -> Result<(), Error> {
        self.paused.clear();
        Ok(())
    }

    fn confirm(&mut self, positions: &[(u32, i64)]) -> Result<(), Error> {
        let mut brokers = self.kafka.lock();
        if brokers.is_database {
            for &(number, position) in positions {
                let TopicPartition { topic, partition } = self.place(number);
                brokers.retain_from(&topic, partition as usize, position);
            }
        }
        Ok(())
    }
}
