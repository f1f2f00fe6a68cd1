//! The schemas that the records of a source name: looked up in its registry before anybody decodes the records, each once.
//!
//! Promises: a record goes on only when the registry has said what its schema is, or that there is none; records of a partition stay in order;
//! a registry that is away holds back what names a schema not seen yet, and what is behind it in its partition, and nothing else.
//! Does not decide what the registry says of a number later: [`Registry`] gives the same answer for ever, kept in the state directory, so a
//! replay decodes as the first run did.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tidemill_connectors_api::registry::{Registered, Schema, SchemaId, with_references};
use tidemill_connectors_api::{Described, Error, Options, Registry, Source, SourceBatch};
use tidemill_jobs::plan::SourcePlan;
use tidemill_types::format::{self, Contract, SchemaText, Schemas, WriterSchema, framed_schema};
use tidemill_types::{ErrorKind, TopicPartition};

use crate::Clock;

/// The folder in the state directory that keeps what registries said.
pub const CONTRACTS: &str = "contracts";
/// How long a registry that was away is left alone.
const AWAY_WAIT: Duration = Duration::from_secs(1);
/// How long a poll waits at most while records are held back.
const HELD_WAIT: Duration = Duration::from_millis(10);

/// What a registry says of a number.
pub type Answer = Result<Option<WriterSchema>, Error>;

/// Where registries are opened.
pub trait Registries: Send + Sync {
    /// The registry of some options, whose answers are kept in a folder.
    ///
    /// # Errors
    /// `Invalid` for options that name none.
    fn open(&self, options: &Options, kept: &Path) -> Result<Arc<dyn Registry>, Error>;
}

/// Asks a registry for schemas, without making who asks wait.
pub trait Ask: Send {
    /// Asks for a schema.
    fn ask(&mut self, id: u32);

    /// What was answered since.
    fn answers(&mut self) -> Vec<(u32, Answer)>;
}

/// Asks when it is told to, and has the answer at once.
pub struct InPlace {
    registry: Arc<dyn Registry>,
    answers: Vec<(u32, Answer)>,
}

impl InPlace {
    /// Of a registry.
    #[must_use]
    pub fn asker(registry: Arc<dyn Registry>) -> Box<dyn Ask> {
        Box::new(Self {
            registry,
            answers: Vec::new(),
        })
    }
}

impl Ask for InPlace {
    fn ask(&mut self, id: u32) {
        self.answers.push((id, look_up(self.registry.as_ref(), id)));
    }

    fn answers(&mut self) -> Vec<(u32, Answer)> {
        std::mem::take(&mut self.answers)
    }
}

/// The schema of a number with all that it refers to, and where it stands.
///
/// # Errors
/// As [`Registry::schema`].
pub fn look_up(registry: &dyn Registry, id: u32) -> Answer {
    let Some(schema) = registry.schema(SchemaId(id))? else {
        return Ok(None);
    };
    let schema = whole(registry, schema)?;
    let places = registry.places(SchemaId(id))?.into_iter();
    Ok(Some(WriterSchema {
        schema,
        places: places.map(|at| (at.subject, at.version)).collect(),
    }))
}

/// A registered schema with all that it refers to, as a job is planned with it.
///
/// # Errors
/// As [`with_references`].
pub fn contract(registry: &dyn Registry, found: Registered) -> Result<Contract, Error> {
    Ok(Contract {
        subject: found.at.subject,
        version: found.at.version,
        id: found.id.0,
        schema: whole(registry, found.schema)?,
    })
}

/// What a planner is told of a version of a subject, or the newest.
///
/// # Errors
/// What the registry says.
pub fn planned(
    registry: &dyn Registry,
    subject: &str,
    version: Option<u32>,
) -> Result<Option<Contract>, format::Error> {
    let found = registry
        .find(subject, version)
        .and_then(|found| found.map(|found| contract(registry, found)).transpose());
    found.map_err(told)
}

/// An error of a registry, to a planner.
#[must_use]
pub fn told(error: Error) -> format::Error {
    format::Error::Registry {
        kind: error.kind(),
        message: error.message,
    }
}

fn whole(registry: &dyn Registry, schema: Schema) -> Result<SchemaText, Error> {
    let references = with_references(registry, &schema)?.into_iter();
    Ok(SchemaText {
        text: schema.text,
        references: references.map(|of| (of.name, of.schema.text)).collect(),
    })
}

/// What was answered so far.
#[derive(Debug, Default)]
pub struct Known(RwLock<HashMap<u32, Option<Arc<WriterSchema>>>>);

impl Known {
    fn has(&self, id: u32) -> bool {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.contains_key(&id)
    }

    /// Takes an answer over.
    pub fn learn(&self, id: u32, answer: Option<WriterSchema>) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(id, answer.map(Arc::new));
    }
}

impl Schemas for Known {
    fn schema(&self, id: u32) -> Option<Arc<WriterSchema>> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let answer = known.get(&id);
        answer
            .expect("a record goes on only when its schema was looked up")
            .clone()
    }
}

/// Which parts of a source's records name schemas of its registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named {
    /// Their values.
    pub values: bool,
    /// Their keys.
    pub keys: bool,
}

impl Named {
    /// Those of a source.
    #[must_use]
    pub const fn of(source: &SourcePlan) -> Self {
        Self {
            values: source.registry.is_some(),
            keys: source.key_registry.is_some(),
        }
    }

    /// The numbers that a record's key and value have in front.
    #[must_use]
    pub fn numbers(self, key: Option<&[u8]>, value: Option<&[u8]>) -> [Option<u32>; 2] {
        let number =
            |part: Option<&[u8]>, is_named: bool| part.filter(|_| is_named).and_then(framed_schema);
        [number(key, self.keys), number(value, self.values)]
    }
}

/// A source, whose records go on when their schemas are known.
pub struct Gate {
    source: Box<dyn Source>,
    named: Named,
    asker: Box<dyn Ask>,
    known: Arc<Known>,
    clock: Arc<dyn Clock>,
    /// Asked for and not answered.
    asked: BTreeSet<u32>,
    /// To be asked for again, and when.
    again: BTreeMap<u32, Duration>,
    /// What waits for a schema, by partition, in order.
    held: BTreeMap<u32, VecDeque<SourceBatch>>,
    /// Those that whoever polls has paused.
    paused: BTreeSet<u32>,
    /// How many records wait, for whoever looks.
    awaiting: Arc<AtomicU64>,
}

impl Gate {
    /// Before a source; says in `awaiting` how many records wait.
    #[must_use]
    pub fn new(
        (source, named): (Box<dyn Source>, Named),
        asker: Box<dyn Ask>,
        known: Arc<Known>,
        clock: Arc<dyn Clock>,
        awaiting: Arc<AtomicU64>,
    ) -> Self {
        awaiting.store(0, Ordering::Relaxed);
        Self {
            source,
            named,
            asker,
            known,
            clock,
            asked: BTreeSet::new(),
            again: BTreeMap::new(),
            held: BTreeMap::new(),
            paused: BTreeSet::new(),
            awaiting,
        }
    }

    /// Takes over what was answered, and asks again what was not.
    fn learn(&mut self) -> Result<(), Error> {
        for (id, answer) in self.asker.answers() {
            self.asked.remove(&id);
            match answer {
                Ok(answer) => self.known.learn(id, answer),
                Err(error) if error.kind() == ErrorKind::Retry => {
                    tracing::warn!(topic = self.source.topic(), id, %error, "records wait for their schema");
                    self.again.insert(id, self.clock.now() + AWAY_WAIT);
                }
                Err(error) => return Err(error),
            }
        }
        let now = self.clock.now();
        let due = self.again.iter().filter(|(_, at)| **at <= now);
        for id in due.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.again.remove(&id);
            self.want(id);
        }
        Ok(())
    }

    fn want(&mut self, id: u32) {
        if !self.again.contains_key(&id) && self.asked.insert(id) {
            self.asker.ask(id);
        }
    }

    /// How many of a batch's records can go on; asks for the schema of the next.
    fn ready(&mut self, batch: &SourceBatch) -> usize {
        let mut last = [None; 2];
        for (index, record) in batch.records.iter().enumerate() {
            let ids = self.named.numbers(record.key, record.value);
            if ids == last {
                continue;
            }
            last = ids;
            let mut is_ready = true;
            for id in ids.into_iter().flatten() {
                if !self.known.has(id) {
                    self.want(id);
                    is_ready = false;
                }
            }
            if !is_ready {
                return index;
            }
        }
        batch.records.len()
    }

    /// What of a batch can go on, and the rest if it cannot.
    fn cut(&mut self, batch: SourceBatch) -> (Option<SourceBatch>, Option<SourceBatch>) {
        let count = self.ready(&batch);
        if count == batch.records.len() {
            return (Some(batch), None);
        }
        let front = count.checked_sub(1).map(|last| SourceBatch {
            records: batch.records.part(0..count),
            next_offset: batch.records.offsets[last] + 1,
            end_offset: None,
            // The rest may be of the same transaction.
            is_within: self.source.has_transactions(),
        });
        let rest = SourceBatch {
            records: batch.records.part(count..batch.records.len()),
            ..batch
        };
        (front, Some(rest))
    }

    /// Lets go what waited for a schema that is known now.
    fn release(&mut self, out: &mut Vec<SourceBatch>) -> Result<(), Error> {
        let mut is_any_free = false;
        for partition in self.held.keys().copied().collect::<Vec<_>>() {
            let mut waiting = self.held.remove(&partition).unwrap_or_default();
            while let Some(batch) = waiting.pop_front() {
                let (front, rest) = self.cut(batch);
                out.extend(front);
                if let Some(rest) = rest {
                    waiting.push_front(rest);
                    break;
                }
            }
            if waiting.is_empty() {
                is_any_free = true;
            } else {
                self.held.insert(partition, waiting);
            }
        }
        if is_any_free {
            self.source.resume()?;
            self.hold()?;
        }
        Ok(())
    }

    /// Nothing more is read of partitions that are held back: what waits is no more than the source had under way.
    fn hold(&mut self) -> Result<(), Error> {
        let still: BTreeSet<u32> = self.held.keys().chain(&self.paused).copied().collect();
        if still.is_empty() {
            return Ok(());
        }
        self.source.pause(&still.into_iter().collect::<Vec<_>>())
    }

    fn admit(&mut self, batch: SourceBatch, out: &mut Vec<SourceBatch>) -> Result<(), Error> {
        let partition = batch.partition();
        if let Some(waiting) = self.held.get_mut(&partition) {
            waiting.push_back(batch);
            return Ok(());
        }
        let (front, rest) = self.cut(batch);
        out.extend(front);
        if let Some(rest) = rest {
            self.held.insert(partition, VecDeque::from([rest]));
            self.hold()?;
        }
        Ok(())
    }
}

impl Source for Gate {
    fn topic(&self) -> &str {
        self.source.topic()
    }

    fn place(&self, partition: u32) -> TopicPartition {
        self.source.place(partition)
    }

    fn describe(&mut self, before: &str) -> Result<Described, Error> {
        self.source.describe(before)
    }

    fn end_offsets(&mut self) -> Result<Vec<(u32, i64)>, Error> {
        self.source.end_offsets()
    }

    fn known_ends(&mut self) -> Vec<(u32, i64)> {
        self.source.known_ends()
    }

    fn has_grown(&self) -> bool {
        self.source.has_grown()
    }

    fn open(&mut self, positions: &[(u32, Option<i64>)]) -> Result<Vec<(u32, i64)>, Error> {
        self.held.clear();
        self.paused.clear();
        self.source.open(positions)
    }

    fn poll(
        &mut self,
        max_wait: Duration,
        max_bytes: usize,
        out: &mut Vec<SourceBatch>,
    ) -> Result<(), Error> {
        self.learn()?;
        self.release(out)?;
        let wait = if self.held.is_empty() {
            max_wait
        } else {
            max_wait.min(HELD_WAIT)
        };
        let mut polled = Vec::new();
        let outcome = self.source.poll(wait, max_bytes, &mut polled);
        for batch in polled {
            self.admit(batch, out)?;
        }
        // An asker that has its answers at once is not made to wait for the next poll.
        self.learn()?;
        self.release(out)?;
        let held = self.held.values().flatten();
        let count = held.map(|batch| batch.records.len() as u64).sum();
        self.awaiting.store(count, Ordering::Relaxed);
        outcome
    }

    fn pause(&mut self, partitions: &[u32]) -> Result<(), Error> {
        self.paused.extend(partitions);
        self.source.pause(partitions)
    }

    fn resume(&mut self) -> Result<(), Error> {
        self.paused.clear();
        self.source.resume()?;
        self.hold()
    }

    fn has_transactions(&self) -> bool {
        self.source.has_transactions()
    }

    fn confirm(&mut self, positions: &[(u32, i64)]) -> Result<(), Error> {
        self.source.confirm(positions)
    }
}

#[cfg(test)]
mod tests;
