//! Which partition of which topic each partition of a source is, where a source reads several topics.
//!
//! A source numbers its partitions from 0, and the engine knows the numbers alone. A map gives a number once: topics and partitions that come
//! later get the next ones. It is the source's incarnation ([`Described`](crate::Described)), so it stands in every journal record and
//! checkpoint, and whoever starts the job again numbers as the one before. Promises that the text never changes its meaning: it lies on disk.
//! Does not know how topics are found.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use tidemill_types::TopicPartition;

/// A topic as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundTopic {
    /// Its name, in which no `@`, `:` or `,` stands.
    pub name: String,
    /// Which topic of that name (Kafka: KIP-516); empty where that cannot be told.
    pub id: String,
    /// How many partitions it has, from 0 on.
    pub partitions: u32,
}

/// Some partitions of a topic that have consecutive numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Run {
    topic: Arc<str>,
    id: String,
    first: u32,
    count: u32,
}

/// The partitions of a source, in the order of their numbers.
///
/// ```
/// use tidemill_connectors_api::partition_map::{FoundTopic, PartitionMap};
///
/// let topic = |name: &str, partitions| FoundTopic { name: name.to_owned(), id: "x".to_owned(), partitions };
/// let mut map = PartitionMap::default();
/// map.add(&[topic("orders", 2), topic("returns", 1)]);
/// map.add(&[topic("orders", 3), topic("refunds", 1), topic("returns", 1)]);
/// assert_eq!(map.to_string(), "orders@x:0-1,returns@x:0-0,orders@x:2-2,refunds@x:0-0");
/// assert_eq!(map.place(3).unwrap().to_string(), "orders/2");
/// assert_eq!(PartitionMap::parse(&map.to_string()), Some(map));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartitionMap {
    runs: Vec<Run>,
}

/// Whether what is there goes on from what a map tells of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Continuation {
    /// It does: every topic is there, and is the one that it was.
    GoesOn,
    /// This topic was deleted and made again.
    MadeAgain(Arc<str>),
    /// This topic is not there.
    Gone(Arc<str>),
}

impl PartitionMap {
    /// Reads what `to_string` wrote; none if it is something else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let runs = text.split(',').map(Run::parse);
        let runs = runs.collect::<Option<_>>()?;
        Some(Self { runs })
    }

    /// Gives the next numbers to the partitions of these topics that have none yet: topics in the order given, their partitions in theirs.
    pub fn add(&mut self, found: &[FoundTopic]) {
        for topic in found {
            let known = self.count(&topic.name);
            if topic.partitions > known {
                self.runs.push(Run {
                    topic: Arc::from(topic.name.as_str()),
                    id: topic.id.clone(),
                    first: known,
                    count: topic.partitions - known,
                });
            }
        }
    }

    /// Whether these topics, which are all that there are, go on from what the map tells of.
    #[must_use]
    pub fn continued_by(&self, found: &[FoundTopic]) -> Continuation {
        for run in &self.runs {
            let topic = Arc::clone(&run.topic);
            match found.iter().find(|found| *found.name == *topic) {
                None => return Continuation::Gone(topic),
                Some(found) if run.id.is_empty() || found.id.is_empty() || run.id == found.id => {}
                Some(_) => return Continuation::MadeAgain(topic),
            }
        }
        Continuation::GoesOn
    }

    /// How many partitions of a topic have a number.
    #[must_use]
    pub fn count(&self, topic: &str) -> u32 {
        let of_topic = self.runs.iter().filter(|run| *run.topic == *topic);
        of_topic.map(|run| run.count).sum()
    }

    /// The topics, with their ids.
    #[must_use]
    pub fn topics(&self) -> BTreeMap<Arc<str>, &str> {
        let runs = self.runs.iter();
        runs.map(|run| (Arc::clone(&run.topic), run.id.as_str()))
            .collect()
    }

    /// Every partition, by number from 0 on.
    pub fn places(&self) -> impl Iterator<Item = TopicPartition> {
        self.runs.iter().flat_map(|run| {
            let partitions = run.first..run.first + run.count;
            partitions.map(|partition| TopicPartition {
                topic: Arc::clone(&run.topic),
                partition,
            })
        })
    }

    /// The partition of a number.
    #[must_use]
    pub fn place(&self, number: u32) -> Option<TopicPartition> {
        let mut first = 0;
        for run in &self.runs {
            if number < first + run.count {
                return Some(TopicPartition {
                    topic: Arc::clone(&run.topic),
                    partition: run.first + number - first,
                });
            }
            first += run.count;
        }
        None
    }
}

impl Run {
    fn parse(text: &str) -> Option<Self> {
        let (topic, rest) = text.split_once('@')?;
        let (id, range) = rest.split_once(':')?;
        let (first, last) = range.split_once('-')?;
        let (first, last) = (first.parse().ok()?, last.parse::<u32>().ok()?);
        Some(Self {
            topic: Arc::from(topic),
            id: id.to_owned(),
            first,
            count: last.checked_sub(first)?.checked_add(1)?,
        })
    }
}

impl fmt::Display for PartitionMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, run) in self.runs.iter().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            let (topic, id, first) = (&run.topic, &run.id, run.first);
            let last = first + run.count - 1;
            write!(f, "{separator}{topic}@{id}:{first}-{last}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Continuation, FoundTopic, PartitionMap};

    fn topic(name: &str, id: &str, partitions: u32) -> FoundTopic {
        FoundTopic {
            name: name.to_owned(),
            id: id.to_owned(),
            partitions,
        }
    }

    fn map() -> PartitionMap {
        PartitionMap::parse("a@1:0-1,b@2:0-0,a@1:2-3").unwrap()
    }

    #[test]
    fn a_number_stands_for_one_place_whatever_comes_later() {
        let before: Vec<_> = map().places().collect();
        let mut later = map();
        later.add(&[
            topic("_new", "3", 2),
            topic("a", "1", 5),
            topic("b", "2", 1),
        ]);
        let after: Vec<_> = later.places().map(|place| place.to_string()).collect();
        let expected = ["a/0", "a/1", "b/0", "a/2", "a/3", "_new/0", "_new/1", "a/4"];
        assert_eq!(after, expected);
        assert!(later.places().take(before.len()).eq(before));
        for (number, place) in (0..).zip(expected) {
            assert_eq!(later.place(number).unwrap().to_string(), place);
        }
        assert_eq!((later.place(8), later.count("a")), (None, 5));
    }

    #[test]
    fn only_the_same_topics_go_on() {
        let goes_on = |found: &[FoundTopic]| map().continued_by(found);
        let (a, b) = (topic("a", "1", 4), topic("b", "2", 1));
        assert_eq!(goes_on(&[a.clone(), b.clone()]), Continuation::GoesOn);
        let more = [a.clone(), b.clone(), topic("c", "9", 1)];
        assert_eq!(goes_on(&more), Continuation::GoesOn);
        assert_eq!(goes_on(&[a]), Continuation::Gone("b".into()));
        let again = [topic("a", "7", 4), b.clone()];
        assert_eq!(goes_on(&again), Continuation::MadeAgain("a".into()));
        let untold = [topic("a", "", 4), b];
        assert_eq!(goes_on(&untold), Continuation::GoesOn);
    }

    #[test]
    fn what_is_no_map_is_none() {
        for text in [
            "",
            "a",
            "lJFyXNoGTuuYXCGsR3VXug",
            "a@1:0",
            "a@1:3-2",
            "a@1:0-1,",
            "a@1:x-1",
        ] {
            assert_eq!(PartitionMap::parse(text), None, "{text}");
        }
        let nameless = "orders@:0-0";
        assert_eq!(PartitionMap::parse(nameless).unwrap().to_string(), nameless);
    }
}
