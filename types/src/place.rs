//! Where people know a record from: the topic, and the partition of it.
//!
//! A source that reads several topics numbers the partitions of all of them from 0; that number is a partition wherever the engine speaks of
//! one. What people are shown, and what is told to other systems, is the place. Promises nothing of which number stands for which place: that
//! is the source's choice, and stands in the journal.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic.
    pub topic: Arc<str>,
    /// Its partition.
    pub partition: u32,
}

impl TopicPartition {
    /// A partition of a topic.
    #[must_use]
    pub fn new(topic: &str, partition: u32) -> Self {
        Self {
            topic: Arc::from(topic),
            partition,
        }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// The places of a source's partitions.
///
/// ```
/// use tidemill_types::place::{Places, TopicPartition};
///
/// let eu = TopicPartition::new("orders-eu", 0);
/// let places = Places::new("orders, orders-eu", [(1, eu.clone())]);
/// assert_eq!(places.of(1), eu);
/// assert_eq!(places.of(7).to_string(), "orders, orders-eu/7", "of one that it does not know");
/// ```
#[derive(Debug, Clone)]
pub struct Places {
    /// What is read, where the place of a number is not known.
    source: Arc<str>,
    numbered: Arc<BTreeMap<u32, TopicPartition>>,
}

impl Places {
    /// Of a source that reads `topic`; without any, each number is a partition of that.
    #[must_use]
    pub fn new(topic: &str, numbered: impl IntoIterator<Item = (u32, TopicPartition)>) -> Self {
        Self {
            source: Arc::from(topic),
            numbered: Arc::new(numbered.into_iter().collect()),
        }
    }

    /// The place of a partition, by its number in the source.
    #[must_use]
    pub fn of(&self, number: u32) -> TopicPartition {
        let known = self.numbered.get(&number).cloned();
        known.unwrap_or_else(|| TopicPartition {
            topic: Arc::clone(&self.source),
            partition: number,
        })
    }
}

impl Default for Places {
    fn default() -> Self {
        Self::new("", [])
    }
}
