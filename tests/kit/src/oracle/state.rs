//! What depends on the epochs before: the watermark of a source, the ids seen, the rows of tables, the events that
//! wait.

use std::collections::{BTreeMap, BTreeSet};

use super::event::{Change, Outcome, read};
use super::{Letter, Oracle, PartitionEpoch};
use tidemill_types::TopicPartition;

use crate::random_job::job::{Op, Source, Watermark};
use crate::value::{Row, Rows, Value};

/// An event of an epoch.
#[derive(Debug, Clone)]
pub(super) struct Event {
    partition: u32,
    offset: i64,
    timestamp_ms: i64,
    change: Change,
    row: Row,
    bytes: Vec<u8>,
}

/// What is known of a source.
#[derive(Debug)]
pub(super) struct SourceState {
    watermark: Option<Watermark>,
    /// Per partition the highest time seen.
    highest_ms: Vec<Option<i64>>,
    /// The watermark before the last epoch, and after it.
    pub(super) before_ms: Option<i64>,
    pub(super) watermark_ms: Option<i64>,
    /// The ids of events that a deduplication has seen.
    seen: BTreeSet<Value>,
    /// What its partitions are known by.
    places: Vec<TopicPartition>,
}

/// What a table or stream holds.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Of a table: per key the rank of its last event, and its row if it was not deleted.
    newest: BTreeMap<i64, (Rank, Option<Row>)>,
    /// Of a stream: all events that are out.
    rows: Rows,
    /// Of a stream that is put in order: what waits.
    waiting: Vec<Event>,
    /// What is put in order: all up to here.
    horizon_ms: Option<i64>,
}

/// Which of two events about a key is the newer one: version, epoch, timestamp, partition, offset.
type Rank = (i64, u64, i64, u32, i64);

impl SourceState {
    pub(super) fn new(source: &Source) -> Self {
        Self {
            watermark: source.watermark,
            highest_ms: vec![None; source.partitions as usize],
            before_ms: None,
            watermark_ms: None,
            seen: BTreeSet::new(),
            places: Vec::new(),
        }
    }

    /// An epoch that brought these times. What is idle was so before the epoch: then its own times do not count yet. It
    /// never goes back.
    fn advance(&mut self, partitions: &[PartitionEpoch], times: &[(u32, i64)]) {
        let Some(watermark) = self.watermark else {
            return;
        };
        // One that was added is there from now on.
        self.highest_ms.resize(partitions.len(), None);
        let before = self.reached(partitions);
        for &(partition, time) in times {
            let highest = &mut self.highest_ms[partition as usize];
            *highest = (*highest).max(Some(time));
        }
        let reached = before.max(self.reached(&vec![PartitionEpoch::default(); partitions.len()]));
        let next = reached.map(|time| time - watermark.delay_ms);
        self.before_ms = self.watermark_ms;
        self.watermark_ms = self.watermark_ms.max(next);
    }

    /// The time that all partitions have come to that are not idle; if all are, all that have any.
    fn reached(&self, partitions: &[PartitionEpoch]) -> Option<i64> {
        let all = || self.highest_ms.iter().zip(partitions);
        let live = || all().filter(|(_, partition)| !partition.idle);
        if live().next().is_some() {
            // A live partition without any event holds it back.
            live().map(|(highest, _)| *highest).min().flatten()
        } else {
            all().filter_map(|(highest, _)| *highest).min()
        }
    }
}

impl Oracle<'_> {
    /// The events of a source's epoch, in the order of their places; its dead letters and its watermark.
    pub(super) fn read(&mut self, source: usize, partitions: &[PartitionEpoch]) -> Vec<Event> {
        let spec = &self.job.sources[source];
        let mut events = Vec::new();
        let place = |(number, partition): (u32, &PartitionEpoch)| {
            let usual = || TopicPartition::new(&spec.topic, number);
            partition.place.clone().unwrap_or_else(usual)
        };
        let places: Vec<_> = (0u32..).zip(partitions).map(place).collect();
        for (partition, epoch) in (0u32..).zip(partitions) {
            for record in &epoch.records {
                let bytes = record.value.clone().unwrap_or_default();
                match read(spec, record) {
                    Outcome::Nothing => {}
                    Outcome::Dead => self.dead.push(Letter {
                        stage: "decode",
                        origin: places[partition as usize].topic.to_string(),
                        partition: places[partition as usize].partition,
                        offset: record.offset,
                        reason: String::new(),
                        key: record.key.clone(),
                        bytes: record.value.clone(),
                    }),
                    Outcome::Event(change, row) => events.push(Event {
                        partition,
                        offset: record.offset,
                        timestamp_ms: record.timestamp_ms,
                        change,
                        row,
                        bytes,
                    }),
                }
            }
        }
        let times: Vec<(u32, i64)> = (events.iter())
            .filter_map(|event| match event.row[spec.watermark?.column] {
                // No event moves it further than the time at which it was written.
                Value::Time(time) => Some((event.partition, time.min(event.timestamp_ms))),
                _ => None,
            })
            .collect();
        self.sources[source].advance(partitions, &times);
        self.sources[source].places = places;
        events
    }

    /// Applies an epoch's events, per source, to tables and streams.
    pub(super) fn update(&mut self, events: &[Vec<Event>]) {
        self.epochs += 1;
        let first: Vec<Vec<Event>> = (events.iter().enumerate())
            .map(|(source, events)| self.first_ones(source, events))
            .collect();
        for (index, relation) in self.job.relations.iter().enumerate() {
            match relation.op {
                Op::Table {
                    source,
                    dedup,
                    version,
                } => {
                    let events = if dedup {
                        &first[source]
                    } else {
                        &events[source]
                    };
                    self.write(index, source, events, version);
                }
                Op::Stream {
                    source,
                    dedup,
                    resequence_ms,
                } => {
                    let events = if dedup {
                        &first[source]
                    } else {
                        &events[source]
                    };
                    match resequence_ms {
                        Some(within_ms) => self.put_in_order(index, source, events, within_ms),
                        None => {
                            let held = self.held.entry(index).or_default();
                            events.iter().for_each(|event| add(&mut held.rows, event));
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// The first event of each id, ever; within an epoch the one that was written first. All deduplications of a source
    /// see the same.
    fn first_ones(&mut self, source: usize, events: &[Event]) -> Vec<Event> {
        let uuid = self.job.column_named(source, "uuid");
        let seen = &mut self.sources[source].seen;
        let mut written: Vec<&Event> = events.iter().collect();
        written.sort_by_key(|event| (event.timestamp_ms, event.partition, event.offset));
        // An event without id is nobody's duplicate.
        let is_first = |event: &&Event| match &event.row[uuid] {
            Value::Null => true,
            id => seen.insert(id.clone()),
        };
        written.into_iter().filter(is_first).cloned().collect()
    }

    /// The newest event of each key is its row.
    fn write(&mut self, index: usize, source: usize, events: &[Event], version: bool) {
        let [id, ts] = ["id", "ts"].map(|name| self.job.column_named(source, name));
        let held = self.held.entry(index).or_default();
        for event in events {
            let Value::Int(key) = &event.row[id] else {
                continue;
            };
            // Of equal versions the later place is the newer one, whenever it came.
            let rank = match event.row[ts] {
                Value::Time(ts) if version => (ts, 0, 0, event.partition, event.offset),
                _ if version => continue,
                _ => (
                    0,
                    self.epochs,
                    event.timestamp_ms,
                    event.partition,
                    event.offset,
                ),
            };
            let row = (event.change != Change::Delete).then(|| event.row.clone());
            match held.newest.get(key) {
                Some((newest, _)) if *newest >= rank => {}
                _ => {
                    held.newest.insert(*key, (rank, row));
                }
            }
        }
    }

    /// Events leave when the highest time that every partition has reached is more than so much later; what comes from
    /// before that is late.
    fn put_in_order(&mut self, index: usize, source: usize, events: &[Event], within_ms: i64) {
        let spec = &self.job.sources[source];
        let Some(watermark) = spec.watermark else {
            return;
        };
        let by = &spec.columns[watermark.column].name;
        let held = self.held.entry(index).or_default();
        for event in events {
            let reason = match (&event.row[watermark.column], held.horizon_ms) {
                (Value::Time(time), Some(horizon)) if *time < horizon => {
                    let behind = horizon - time;
                    format!("late: '{by}' is {behind} ms behind what was already put in order")
                }
                (Value::Time(_), _) => {
                    held.waiting.push(event.clone());
                    continue;
                }
                _ => format!("no '{by}' to order by"),
            };
            let place = &self.sources[source].places[event.partition as usize];
            self.late.push(Letter {
                stage: "late",
                origin: place.topic.to_string(),
                partition: place.partition,
                offset: event.offset,
                reason,
                key: None,
                bytes: Some(event.bytes.clone()),
            });
        }
        let passed = self.sources[source].watermark_ms;
        let horizon = passed.map(|time| time + watermark.delay_ms - within_ms);
        held.horizon_ms = held.horizon_ms.max(horizon);
        let (leaves, stays): (Vec<Event>, Vec<Event>) =
            (held.waiting.drain(..)).partition(|event| {
                let Value::Time(time) = event.row[watermark.column] else {
                    return false;
                };
                held.horizon_ms.is_some_and(|horizon| time < horizon)
            });
        held.waiting = stays;
        leaves.iter().for_each(|event| add(&mut held.rows, event));
    }
}

impl Held {
    /// The rows of a table or stream.
    pub(super) fn content(&self) -> Rows {
        let newest = self.newest.values().filter_map(|(_, row)| row.clone());
        let mut rows = self.rows.clone();
        newest.for_each(|row| *rows.entry(row).or_default() += 1);
        rows
    }
}

/// Adds an event to a stream, whose last column says what it does.
fn add(rows: &mut Rows, event: &Event) {
    let change = match event.change {
        Change::Create => "create",
        Change::Update => "update",
        Change::Delete => "delete",
    };
    let mut row = event.row.clone();
    row.push(Value::Text(change.to_owned()));
    *rows.entry(row).or_default() += 1;
}
