//! A slow interpreter of a job, obviously right: what every sink must hold after each epoch.
//!
//! It keeps what the contract says depends on the past (ids seen, the rows of tables, events that wait, watermarks),
//! and computes everything else anew from whole relations in every epoch. It shares no code with the engine and knows
//! nothing of dataflows, batches or workers.
//!
//! *Does not know* bounds of deduplication and of tombstones: jobs declare them longer than any run. Does not order
//! appended rows.

mod aggregate;
mod evaluate;
mod event;
mod expression;
mod state;
mod written;

use std::collections::BTreeMap;

use tidemill_types::TopicPartition;

use crate::random_job::job::{Encoding, Job, Sink};
use crate::sim::kafka::Header;
use crate::value::{Row, Rows, Value, key_text, row_text};

pub use event::is_event;
pub use written::{Beside, Written, difference};

/// What an epoch reads.
#[derive(Debug, Clone)]
pub struct EpochInput {
    /// Its reading of the clock.
    pub clock_ms: i64,
    /// Per source of the job, in order, its partitions.
    pub sources: Vec<Vec<PartitionEpoch>>,
}

/// What an epoch reads of a partition.
#[derive(Debug, Clone, Default)]
pub struct PartitionEpoch {
    /// Its records, in order.
    pub records: Vec<Record>,
    /// True if it had nothing more to read when everything before the epoch was read, and so does not hold the
    /// watermark back.
    pub idle: bool,
    /// The topic and partition that it is known by; without, its source's topic, and its number among the source's.
    pub place: Option<TopicPartition>,
}

/// A record with its place.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its offset.
    pub offset: i64,
    /// When it was written: its timestamp, or the epoch's clock where the source has none.
    pub timestamp_ms: i64,
    /// Its timestamp as the producer gave it; none where the source has none.
    pub written_ms: Option<i64>,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// Its headers.
    pub headers: Vec<Header>,
}

/// What a sink holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// Of an upsert: key to row, as JSON texts with members in the order of their names; behind a row's, what stands beside it.
    Upsert(BTreeMap<String, String>),
    /// Of an append: every row, and how often.
    Append(BTreeMap<String, i64>),
}

/// A letter of a ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Letter {
    stage: &'static str,
    origin: String,
    partition: u32,
    offset: i64,
    reason: String,
    key: Option<Vec<u8>>,
    bytes: Option<Vec<u8>>,
}

/// The oracle of a run of a job from its beginning.
#[derive(Debug)]
pub struct Oracle<'a> {
    job: &'a Job,
    sources: Vec<state::SourceState>,
    /// What tables and streams hold, by relation.
    held: BTreeMap<usize, state::Held>,
    dead: Vec<Letter>,
    late: Vec<Letter>,
    /// Of aggregates over windows that end: the rows that came in time.
    in_time: BTreeMap<usize, Rows>,
    /// How many epochs there were.
    epochs: u64,
    /// The relations after the last epoch.
    relations: Vec<Rows>,
}

impl<'a> Oracle<'a> {
    /// Before the first epoch.
    #[must_use]
    pub fn new(job: &'a Job) -> Self {
        let sources = job.sources.iter().map(state::SourceState::new).collect();
        Self {
            job,
            sources,
            held: BTreeMap::new(),
            dead: Vec::new(),
            late: Vec::new(),
            in_time: BTreeMap::new(),
            epochs: 0,
            relations: vec![Rows::new(); job.relations.len()],
        }
    }

    /// One epoch.
    pub fn epoch(&mut self, input: &EpochInput) {
        let mut events = Vec::new();
        for (source, partitions) in input.sources.iter().enumerate() {
            events.push(self.read(source, partitions));
        }
        self.update(&events);
        self.evaluate();
    }

    /// What every sink holds now, by topic.
    #[must_use]
    pub fn expected(&self) -> BTreeMap<String, Expected> {
        let sinks = self.job.sinks.iter();
        sinks
            .map(|sink| {
                let relation = &self.job.relations[sink.input];
                let names: Vec<&str> = (relation.columns.iter())
                    .map(|column| column.name.as_str())
                    .collect();
                let text = |row: &Row| record_text(sink, &names, row);
                let rows = &self.relations[sink.input];
                let expected = if sink.upsert {
                    let key = |row: &Row| {
                        let columns: Vec<_> = (sink.key.iter())
                            .map(|&index| (relation.columns[index].name.as_str(), &row[index]))
                            .collect();
                        key_text(&columns)
                    };
                    let rows = rows.keys().map(|row| (key(row), text(row)));
                    Expected::Upsert(rows.collect())
                } else {
                    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
                    for (row, count) in rows {
                        *counts.entry(text(row)).or_default() += count;
                    }
                    Expected::Append(counts)
                };
                (sink.topic.clone(), expected)
            })
            .collect()
    }

    /// How many rows every relation has now, by name: whether a case says anything.
    pub fn sizes(&self) -> impl Iterator<Item = (&str, i64)> {
        let relations = self.job.relations.iter().zip(&self.relations);
        relations.map(|(relation, rows)| (relation.name.as_str(), rows.values().sum()))
    }

    /// Two rows of an upsert's view that have one key, if there are any: a mistake of the generator.
    #[must_use]
    pub fn key_twice(&self) -> Option<String> {
        self.job
            .sinks
            .iter()
            .filter(|sink| sink.upsert)
            .find_map(|sink| {
                let rows = &self.relations[sink.input];
                let mut seen = std::collections::BTreeSet::new();
                let twice = rows.iter().find(|(row, count)| {
                    let key: Row = sink.key.iter().map(|&index| row[index].clone()).collect();
                    **count != 1 || !seen.insert(key)
                });
                twice.map(|(row, count)| format!("{}: {count} times {row:?}", sink.name))
            })
    }
}

/// The text of a sink's record: its value, and what stands beside that.
fn record_text(sink: &Sink, names: &[&str], row: &[Value]) -> String {
    let of_value = (0..row.len()).filter(|&index| sink.is_of_value(index));
    let (of_value, values): (Vec<&str>, Vec<Value>) = of_value
        .map(|index| match &row[index] {
            // A text is there or empty.
            Value::Null if sink.encoding == Encoding::Raw => {
                (names[index], Value::Text(String::new()))
            }
            value => (names[index], value.clone()),
        })
        .unzip();
    let header = |&index: &usize| {
        let json = row[index].to_json();
        let text = (!row[index].is_null()).then(|| {
            json.as_str()
                .map_or_else(|| json.to_string(), str::to_owned)
        });
        Some((names[index].to_owned(), text?))
    };
    let beside = Beside {
        headers: sink.headers.iter().filter_map(header).collect(),
        timestamp_ms: sink.timestamp.and_then(|index| match row[index] {
            Value::Time(ms) => Some(ms),
            _ => None,
        }),
    };
    beside.behind(row_text(of_value.into_iter(), &values))
}
