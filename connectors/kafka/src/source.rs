//! Reads all partitions of its topics at exact positions, in batches.
//!
//! A record without a value is an empty record. While no broker answers, polls find nothing; librdkafka connects again by itself.
//! Besides, every second it is asked, without waiting for the answer, where the partitions end and whether it is still the same topics: one
//! that was deleted and made again has other records at the same offsets. That partitions or topics were added is known from then on; they are
//! read after the next open. Which number is which partition of which topic is told by a [`PartitionMap`], which is the incarnation.

mod finder;
mod intake;
mod watch;

use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode;
use tidemill_connectors_api::partition_map::Continuation;
use tidemill_connectors_api::{Described, Error, PartitionMap, Source, SourceBatch};
use tidemill_types::{ErrorKind, TopicPartition};

use crate::error::{advice, failed, kind_of};
use crate::native::Fetcher;
use crate::native::admin::End;
use crate::options::SourceOptions;
use crate::selection::Selection;
use crate::start::{Ends, Start};
use crate::topics;
use finder::Finder;
use intake::{Intake, Trouble};
use watch::Watch;

/// How long librdkafka may take to move its own position.
const SEEK_PATIENCE: Duration = Duration::from_secs(10);

/// The reader of some topics.
pub struct KafkaSource {
    options: SourceOptions,
    /// What is read, for messages.
    name: String,
    fetcher: Option<Fetcher>,
    /// True if somebody reads the records' headers.
    with_headers: bool,
    /// Which number is which partition; empty until it was described.
    map: PartitionMap,
    intake: Intake,
    watch: Watch,
    /// An error that came behind records: told by the next poll.
    pending_error: Option<Error>,
}

impl KafkaSource {
    /// A reader that has connected to nothing yet.
    pub fn new(options: SourceOptions, with_headers: bool) -> Self {
        Self {
            name: options.topics.to_string(),
            options,
            fetcher: None,
            with_headers,
            map: PartitionMap::default(),
            intake: Intake::default(),
            watch: Watch::default(),
            pending_error: None,
        }
    }

    fn fetcher(&mut self) -> Result<&mut Fetcher, Error> {
        match &mut self.fetcher {
            Some(fetcher) => Ok(fetcher),
            empty => {
                let action = format!(
                    "read topic '{}' from kafka at '{}'",
                    self.name, self.options.bootstrap
                );
                Ok(empty
                    .insert(Fetcher::new(&self.options.client).map_err(|e| failed(&action, &e))?))
            }
        }
    }

    fn hold_back(&mut self, partitions: &[u32], pauses: bool) -> Result<(), Error> {
        let positions = self.intake.positions(partitions);
        let action = format!("hold back partitions of topic '{}'", self.name);
        let fetcher = self.fetcher()?;
        let mut held = fetcher.pause(&positions, pauses);
        if pauses {
            // librdkafka takes the end of a partition for a record that was read, and would go on behind the next one.
            held = held.and_then(|()| fetcher.seek(&positions, SEEK_PATIENCE));
        }
        held.map_err(|e| failed(&action, &e))
    }

    /// The places of these numbers, of a map that has them.
    fn places(&mut self, numbers: impl Iterator<Item = u32>) -> Result<Vec<TopicPartition>, Error> {
        let numbers: Vec<u32> = numbers.collect();
        let is_known = |number: &u32| self.map.place(*number).is_some();
        if !numbers.iter().all(is_known) {
            // They were added since.
            let before = self.map.to_string();
            self.describe(&before)?;
        }
        let place = |number: &u32| {
            self.map.place(*number).ok_or_else(|| {
                let name = &self.name;
                let message =
                    format!("topic '{name}' has no partition of number {number}; report this");
                Error::new(ErrorKind::Bug, message)
            })
        };
        numbers.iter().map(place).collect()
    }

    fn finder(&self) -> Result<Option<Finder>, Error> {
        match &self.options.topics {
            Selection::Named(_) => Ok(None),
            matching @ Selection::Matching { .. } => {
                let settings = self.options.client.clone();
                Finder::start(settings, matching.clone(), self.map.clone()).map(Some)
            }
        }
    }
}

impl Source for KafkaSource {
    fn topic(&self) -> &str {
        &self.name
    }

    fn place(&self, partition: u32) -> TopicPartition {
        let place = self.map.place(partition);
        place.unwrap_or_else(|| TopicPartition::new(&self.name, partition))
    }

    fn describe(&mut self, before: &str) -> Result<Described, Error> {
        let (selection, wait) = (self.options.topics.clone(), self.options.topic_wait);
        let fetcher = self.fetcher()?;
        fetcher.drain_events();
        let found = topics::selected(fetcher, &selection, wait)?;
        let mut map = PartitionMap::parse(before).unwrap_or_default();
        let goes_on = match map.continued_by(&found) {
            Continuation::GoesOn => before.is_empty() || map != PartitionMap::default(),
            Continuation::Gone(topic) if selection.takes(&topic) => {
                return Err(watch::gone(&topic));
            }
            Continuation::Gone(_) | Continuation::MadeAgain(_) => false,
        };
        if !goes_on {
            map = PartitionMap::default();
        }
        map.add(&found);
        // One that was lost is told elsewhere.
        let is_there = |place: &TopicPartition| {
            let topic = found.iter().find(|topic| *topic.name == *place.topic);
            topic.is_some_and(|topic| place.partition < topic.partitions)
        };
        let numbered = (0..).zip(map.places());
        let partitions = numbered.filter(|(_, place)| is_there(place));
        let described = Described {
            partitions: partitions.map(|(number, _)| number).collect(),
            incarnation: map.to_string(),
            goes_on,
        };
        self.map = map;
        Ok(described)
    }

    fn end_offsets(&mut self) -> Result<Vec<(u32, i64)>, Error> {
        if self.map == PartitionMap::default() {
            self.describe("")?;
        }
        let places: Vec<_> = self.map.places().collect();
        let fetcher = self.fetcher()?;
        fetcher.drain_events();
        let ends = topics::offsets(fetcher, &places, End::Newest)?;
        Ok((0..).zip(ends).collect())
    }

    fn known_ends(&mut self) -> Vec<(u32, i64)> {
        self.watch.ends()
    }

    fn has_grown(&self) -> bool {
        self.watch.has_grown()
    }

    fn open(&mut self, positions: &[(u32, Option<i64>)]) -> Result<Vec<(u32, i64)>, Error> {
        let places = self.places(positions.iter().map(|&(number, _)| number))?;
        let start = self.options.start.clone();
        let fetcher = self.fetcher()?;
        let oldest = topics::offsets(fetcher, &places, End::Oldest)?;
        let newest = topics::offsets(fetcher, &places, End::Newest)?;
        let ends = places.into_iter().zip(oldest.into_iter().zip(newest));
        let ends = ends.map(|(place, (oldest, newest))| Ends {
            place,
            oldest,
            newest,
        });
        let ends: Vec<_> = ends.collect();
        // Where some partitions are known, the others came later.
        let is_first = positions.iter().all(|(_, position)| position.is_none());
        let start = if is_first { start } else { Start::Earliest };
        let starts = start.positions(fetcher, &ends)?;
        let mut opened = Vec::with_capacity(positions.len());
        for ((&(number, position), ends), start) in positions.iter().zip(&ends).zip(starts) {
            // A position above the end is left to the brokers: just after a new leader was elected, its end may lag behind.
            let position = position.unwrap_or(start);
            if position < ends.oldest {
                return Err(out_of_range(&ends.place, position, ends.oldest));
            }
            opened.push((number, ends.place.clone(), position));
        }
        let assigned: Vec<_> = (opened.iter())
            .map(|(_, place, position)| (place.clone(), *position))
            .collect();
        let assigned = fetcher.assign(&assigned);
        assigned.map_err(|e| failed(&format!("read topic '{}'", self.name), &e))?;
        let watched = opened.iter().zip(ends);
        let watched =
            watched.map(|((number, place, _), ends)| (*number, place.clone(), ends.newest));
        let watched: Vec<_> = watched.collect();
        self.watch = Watch::new(&self.map, &watched, self.finder()?);
        let positions = opened
            .iter()
            .map(|(number, _, position)| (*number, *position));
        let positions = positions.collect();
        self.intake = Intake::new(opened, self.with_headers);
        Ok(positions)
    }

    fn poll(
        &mut self,
        max_wait: Duration,
        max_bytes: usize,
        out: &mut Vec<SourceBatch>,
    ) -> Result<(), Error> {
        if let Some(error) = self.pending_error.take() {
            return Err(error);
        }
        let Some(fetcher) = &mut self.fetcher else {
            return Err(Error::new(
                ErrorKind::Bug,
                "a source was polled before it was opened; report this",
            ));
        };
        fetcher.drain_events();
        self.watch.look(fetcher)?;
        let first_batch = out.len();
        self.intake.begin();
        if fetcher.fetch(max_wait, 1, |message| self.intake.take(message, out)) > 0 {
            while self.intake.bytes() < max_bytes {
                let wanted = self.intake.messages_within(max_bytes);
                if fetcher.fetch(Duration::ZERO, wanted, |message| {
                    self.intake.take(message, out)
                }) < wanted
                {
                    break;
                }
            }
        }
        let Some(trouble) = self.intake.end(out) else {
            return Ok(());
        };
        let error = error_of(&trouble, fetcher);
        if out.len() == first_batch {
            return Err(error);
        }
        self.pending_error = Some(error);
        Ok(())
    }

    fn pause(&mut self, partitions: &[u32]) -> Result<(), Error> {
        self.hold_back(partitions, true)
    }

    fn resume(&mut self) -> Result<(), Error> {
        let partitions = self.intake.open();
        self.hold_back(&partitions, false)
    }
}

/// What came in the place of a record, and what to do.
fn error_of(trouble: &Trouble, fetcher: &Fetcher) -> Error {
    let Trouble {
        place,
        offset,
        code,
        text,
    } = trouble;
    let TopicPartition { topic, partition } = place;
    if matches!(
        code,
        RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange
    ) {
        return match topics::watermarks(fetcher.client(), topic, *partition) {
            Ok((low, _)) if *offset < low => out_of_range(place, *offset, low),
            Ok((low, high)) => Error::new(
                ErrorKind::Invalid,
                format!(
                    "partition {partition} of topic '{topic}' has no offset {offset}: it holds {low} to {high} ({text}); was the topic deleted \
                     and created again? bring the old one back, or start the job from nothing"
                ),
            ),
            Err(error) => error,
        };
    }
    let kind = kind_of(*code);
    let message = format!(
        "cannot read partition {partition} of topic '{topic}' at offset {offset}: {text}; {}",
        advice(kind)
    );
    Error::new(kind, message)
}

fn out_of_range(place: &TopicPartition, position: i64, low: i64) -> Error {
    let TopicPartition { topic, partition } = place;
    Error::new(
        ErrorKind::Invalid,
        format!(
            "partition {partition} of topic '{topic}' is retained from offset {low} on but the job stands at {position}: {} records are gone; \
             copy them back from where they are archived, or start the job from nothing and accept that they are missing; \
             raise the topic's retention.ms or retention.bytes so that it doesn't happen again",
            low - position
        ),
    )
}
