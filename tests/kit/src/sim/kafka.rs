//! A Kafka in memory that does what the real one does with transactions: a log per partition with markers, producer epochs that fence,
//! readers of committed data that stop at the first open transaction, retention, topic ids, and requests whose answer gets lost.
//!
//! Catches: whatever the engine gets wrong about commits, fencing, offsets with gaps, retention and topics that are made again. Cannot
//! catch: what librdkafka does between the engine and a broker (the contract suite runs against the real thing for that).

mod committer;
mod connector;
mod log;
mod source;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::scenario::{self, Fed};

pub use committer::SimCommitter;
pub use connector::SimConnector;
pub use log::{Entry, Header, Partition, Record};
pub use source::Selection;

/// A number of a transaction, never used twice.
pub type TransactionId = u64;

/// What became of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It goes on, or its markers are still to be written; readers of committed data wait before it.
    Open,
    /// Its records count.
    Committed,
    /// Its records never were.
    Aborted,
}

/// How often things go wrong, each in per mille of the calls that it can happen to.
#[derive(Debug, Clone, Copy)]
pub struct Faults {
    /// A call fails before it had any effect.
    pub refused: u32,
    /// A commit's records arrive, but nothing after them: the transaction stays open.
    pub left_open: u32,
    /// A commit happens and its answer is lost.
    pub answer_lost: u32,
    /// A commit's last request is still under way when the caller gives up; it arrives later, or never.
    pub delayed: u32,
    /// A commit is answered some time before readers see it.
    pub unmarked: u32,
    /// A partition's leader is away at a poll.
    pub leader_away: u32,
    /// Polls bring nothing of a partition from now on, for a while, although there is something: others are in front of it.
    pub starved: u32,
    /// A call takes long: up to a minute.
    pub slow: u32,
}

impl Faults {
    /// Nothing goes wrong.
    pub const NONE: Self = Self {
        refused: 0,
        left_open: 0,
        answer_lost: 0,
        delayed: 0,
        unmarked: 0,
        leader_away: 0,
        starved: 0,
        slow: 0,
    };
}

/// A topic.
#[derive(Debug, Default)]
pub struct Topic {
    /// Another one each time that a topic of the name is made.
    pub id: u64,
    /// Its partitions.
    pub partitions: Vec<Partition>,
}

/// What a transactional id stands for.
#[derive(Debug, Default)]
struct Producer {
    /// Whoever has a lower one is fenced.
    epoch: u64,
    open: Option<TransactionId>,
    /// One that was committed, and whose markers are still to be written.
    prepared: Option<TransactionId>,
}

/// A request to end a transaction that has not arrived yet.
#[derive(Debug)]
struct Delayed {
    transactional_id: String,
    producer_epoch: u64,
    transaction: TransactionId,
}

/// The brokers.
#[derive(Debug)]
pub struct Brokers {
    topics: BTreeMap<String, Topic>,
    /// The first topics of a name that was made again.
    deleted: BTreeMap<String, Topic>,
    producers: BTreeMap<String, Producer>,
    transactions: Vec<Outcome>,
    delayed: Vec<Delayed>,
    topics_made: u64,
    /// What goes wrong from now on.
    pub faults: Faults,
    /// The time that records get, in milliseconds since 1970.
    pub now_ms: i64,
    /// They stand in for a database's log: readers are told where its transactions end, and what they confirm is gone.
    pub is_database: bool,
    /// How long calls took.
    delay_ms: u64,
    rng: ChaCha8Rng,
}

/// A handle to the brokers, as many as needed.
#[derive(Debug, Clone)]
pub struct Kafka(Arc<Mutex<Brokers>>);

impl Kafka {
    /// Brokers without topics.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Brokers {
            topics: BTreeMap::new(),
            deleted: BTreeMap::new(),
            producers: BTreeMap::new(),
            transactions: Vec::new(),
            delayed: Vec::new(),
            topics_made: 0,
            faults: Faults::NONE,
            now_ms: 0,
            is_database: false,
            delay_ms: 0,
            rng: ChaCha8Rng::seed_from_u64(seed),
        })))
    }

    /// The brokers.
    ///
    /// # Panics
    /// If a user of them panicked.
    pub fn lock(&self) -> MutexGuard<'_, Brokers> {
        self.0
            .lock()
            .expect("nobody panics while holding the brokers")
    }
}

impl Brokers {
    /// Makes a topic, a new one if there is one of this name.
    pub fn make_topic(&mut self, name: &str, partitions: usize) {
        self.topics_made += 1;
        let topic = Topic {
            id: self.topics_made,
            partitions: (0..partitions).map(|_| Partition::default()).collect(),
        };
        if let Some(before) = self.topics.insert(name.to_owned(), topic) {
            self.deleted.entry(name.to_owned()).or_insert(before);
        }
    }

    /// Makes a topic if there is none of this name.
    pub fn make_topic_if_missing(&mut self, name: &str, partitions: usize) {
        if !self.topics.contains_key(name) {
            self.make_topic(name, partitions);
        }
    }

    /// Adds a partition to a topic.
    pub fn add_partition(&mut self, name: &str) {
        if let Some(topic) = self.topics.get_mut(name) {
            topic.partitions.push(Partition::default());
        }
    }

    /// A topic.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<&Topic> {
        self.topics.get(name)
    }

    /// How many partitions a topic has; none if there is no such topic.
    #[must_use]
    pub fn partitions(&self, topic: &str) -> usize {
        self.topic(topic).map_or(0, |topic| topic.partitions.len())
    }

    /// Names of all topics.
    pub fn topics(&self) -> impl Iterator<Item = &str> {
        self.topics.keys().map(String::as_str)
    }

    /// Deletes a partition's records before an offset.
    pub fn retain_from(&mut self, topic: &str, partition: usize, offset: i64) {
        let partitions = self
            .topics
            .get_mut(topic)
            .map(|topic| &mut topic.partitions);
        if let Some(partition) = partitions.and_then(|partitions| partitions.get_mut(partition)) {
            partition.retain_from(offset);
        }
    }

    /// Appends a record outside of transactions.
    pub fn append(&mut self, topic: &str, partition: usize, record: Fed) {
        let now_ms = self.now_ms;
        let record = Record {
            key: record.key,
            value: record.value,
            epoch: None,
            headers: record.headers,
            timestamp_ms: now_ms,
        };
        self.partition(topic, partition)
            .append(Entry::Record(record), None);
    }

    /// Makes a topic with all its records.
    pub fn append_all(&mut self, topic: &scenario::Topic) {
        self.make_topic_if_missing(&topic.name, topic.partitions.len());
        for (partition, records) in topic.partitions.iter().enumerate() {
            for record in records {
                self.append(&topic.name, partition, record.clone());
            }
        }
    }

    /// Appends records within a transaction that is then committed or aborted, as producers with transactions do.
    pub fn append_transaction(
        &mut self,
        topic: &str,
        partition: usize,
        records: &[Fed],
        commit: bool,
    ) {
        let transaction = self.begin();
        for record in records {
            let record = Record {
                key: record.key.clone(),
                value: record.value.clone(),
                epoch: None,
                headers: record.headers.clone(),
                timestamp_ms: self.now_ms,
            };
            self.partition(topic, partition)
                .append(Entry::Record(record), Some(transaction));
        }
        self.end(
            transaction,
            if commit {
                Outcome::Committed
            } else {
                Outcome::Aborted
            },
        );
    }

    /// The committed records of a topic's partition with their offsets, as a reader of committed data sees them.
    #[must_use]
    pub fn committed(&self, topic: &str, partition: usize) -> Vec<(i64, &Record)> {
        let of_topic = self.topics.get(topic);
        let log = of_topic.and_then(|topic| topic.partitions.get(partition));
        log.map(|log| log.committed(log.start(), &self.transactions).collect())
            .unwrap_or_default()
    }

    /// True if a position in a topic's partition has records of one transaction on both sides.
    #[must_use]
    pub fn is_within(&self, topic: &str, partition: usize, position: i64) -> bool {
        let of_topic = self.deleted.get(topic).or_else(|| self.topics.get(topic));
        let log = of_topic.and_then(|topic| topic.partitions.get(partition));
        log.is_some_and(|log| log.is_within(position))
    }

    /// As [`Brokers::committed`], with what is no longer retained; of a topic that was made again as it was at first.
    #[must_use]
    pub fn ever_committed(&self, topic: &str, partition: usize) -> Vec<(i64, &Record)> {
        let of_topic = self.deleted.get(topic).or_else(|| self.topics.get(topic));
        let log = of_topic.and_then(|topic| topic.partitions.get(partition));
        log.map(|log| log.committed(0, &self.transactions).collect())
            .unwrap_or_default()
    }

    /// Lets what was under way arrive: markers, or a request, which may be lost.
    pub fn deliver_delayed(&mut self) {
        for id in self.transactional_ids() {
            if self.rng.random_bool(0.5) {
                self.write_markers(&id);
            }
        }
        if self.delayed.is_empty() {
            return;
        }
        let at = self.rng.random_range(0..self.delayed.len());
        let delayed = self.delayed.swap_remove(at);
        let is_lost = self.rng.random_bool(0.3);
        let producer = &self.producers[&delayed.transactional_id];
        let is_current =
            producer.epoch == delayed.producer_epoch && producer.open == Some(delayed.transaction);
        if is_current && !is_lost {
            self.end_of(&delayed.transactional_id, Outcome::Committed);
        }
    }

    /// The transaction that a producer left open expires: it is aborted, and the producer is fenced.
    pub fn expire(&mut self, transactional_id: &str) {
        if self
            .producers
            .get(transactional_id)
            .is_some_and(|producer| producer.open.is_some())
        {
            self.end_of(transactional_id, Outcome::Aborted);
            self.producer(transactional_id).epoch += 1;
        }
    }

    /// Transactional ids that have been used.
    #[must_use]
    pub fn transactional_ids(&self) -> Vec<String> {
        self.producers.keys().cloned().collect()
    }

    fn producer(&mut self, transactional_id: &str) -> &mut Producer {
        self.producers
            .entry(transactional_id.to_owned())
            .or_default()
    }

    fn partition(&mut self, topic: &str, partition: usize) -> &mut Partition {
        let topic = self
            .topics
            .get_mut(topic)
            .expect("the topic was made before it is written to");
        &mut topic.partitions[partition]
    }

    fn begin(&mut self) -> TransactionId {
        self.transactions.push(Outcome::Open);
        self.transactions.len() as u64 - 1
    }

    fn end(&mut self, transaction: TransactionId, outcome: Outcome) {
        self.transactions[usize::try_from(transaction).expect("few transactions")] = outcome;
        for partition in self
            .topics
            .values_mut()
            .flat_map(|topic| &mut topic.partitions)
        {
            partition.end(transaction);
        }
    }

    fn end_of(&mut self, transactional_id: &str, outcome: Outcome) {
        if let Some(transaction) = self.producer(transactional_id).open.take() {
            self.end(transaction, outcome);
        }
    }

    /// What was committed is seen from now on.
    fn write_markers(&mut self, transactional_id: &str) {
        if let Some(transaction) = self.producer(transactional_id).prepared.take() {
            self.end(transaction, Outcome::Committed);
        }
    }

    /// How long the calls took since this was last asked, in milliseconds.
    pub fn take_delay_ms(&mut self) -> u64 {
        std::mem::take(&mut self.delay_ms)
    }

    /// A call takes its time; true if it fails before it had any effect.
    fn refuses(&mut self) -> bool {
        if self.strikes(self.faults.slow) {
            self.delay_ms += self.rng.random_range(1_000..60_000);
        }
        self.strikes(self.faults.refused)
    }

    /// True as often as a fault of this frequency strikes.
    fn strikes(&mut self, per_mille: u32) -> bool {
        per_mille > 0 && self.rng.random_range(0..1_000) < per_mille
    }
}
