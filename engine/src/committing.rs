//! Committing: merges the workers' outputs of each complete epoch and commits. While one commit is under way, complete epochs gather, and
//! go together in the next one (group commit).
//!
//! A commit whose outcome is unknown is never guessed: the journal says whether this run is still the owner and what of its own stands, and
//! the rest is sent again, in smaller groups: what takes too long together may do one by one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow_array::RecordBatch;
use tidemill_checkpoints::{DeadLetterFile, Journal, ownership};
use tidemill_connectors_api::{Committer, EpochOutput, SourceOffset};
use tidemill_operators::ledger::ledger_letters;
use tidemill_types::{Epoch, ErrorKind, OutputRecord, OutputRecords, Parcel};

use crate::outgoing::Outgoing;
use crate::{Clock, Error, Status};

/// How many epochs one transaction may carry.
const GROUP_MAX: usize = 64;
/// How long a job that is asked to stop tries to learn what became of its last commit. The next start finds out as well.
const STOP_PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait before trying again, at first and at most.
const RETRY_WAIT: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// A complete epoch on its way to the committer.
pub struct CompleteEpoch {
    /// The epoch.
    pub epoch: u64,
    /// Per sink, what the workers wrote.
    pub outputs: Vec<SinkOutput>,
    /// What is to be kept beside the state, as rows of the ledger.
    pub dead_letters: Vec<RecordBatch>,
    /// Per sink, whether records have keys (their order is by key, else by value).
    pub keyed: Arc<Vec<bool>>,
    /// The journal record.
    pub journal: Vec<u8>,
    /// Positions after the epoch.
    pub source_offsets: Vec<SourceOffset>,
    /// For freshness: middle of some events' `ts`, and how many events.
    pub decoded: Vec<(i64, u64)>,
}

/// What the workers wrote to one sink in one epoch.
#[derive(Default)]
pub struct SinkOutput {
    /// By worker, in no order.
    parts: Vec<OutputRecords>,
    /// By partition of the source, where records are written in its order. Each partition is one worker's.
    partitions: BTreeMap<u32, OutputRecords>,
}

impl SinkOutput {
    /// Adds what a worker wrote.
    pub fn add(&mut self, partition: Option<u32>, records: OutputRecords) {
        match partition {
            Some(partition) => drop(self.partitions.insert(partition, records)),
            None => self.parts.push(records),
        }
    }

    /// All records in an order that does not depend on how many workers there were.
    fn merge(self, keyed: bool) -> OutputRecords {
        let mut partitions = self.partitions.into_values();
        let mut merged = partitions.next().unwrap_or_default();
        partitions.for_each(|records| merged.append(&records));
        let mut records: Vec<OutputRecord<'_>> =
            self.parts.iter().flat_map(OutputRecords::iter).collect();
        if keyed {
            // Stable: the records of one key come from one worker, in order.
            records.sort_by_key(|record| record.key);
        } else {
            records.sort_by_key(|record| (record.value, record.headers, record.timestamp_ms));
        }
        let bytes = self.parts.iter().map(|part| part.arena.len()).sum();
        merged.reserve(records.len(), bytes);
        for record in records {
            merged.push_record(record);
        }
        merged
    }
}

/// What the committer does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing: it has no epoch.
    Idle,
    /// Everything up to an epoch is committed.
    Committed(u64),
    /// Tries again after a while.
    Again(Duration),
}

/// Commits complete epochs, in order.
pub struct Commits {
    committer: Box<dyn Committer>,
    /// The run's id, which its journal records carry.
    owner: String,
    status: Arc<Status>,
    clock: Arc<dyn Clock>,
    outgoing: Arc<Outgoing>,
    /// What had been committed before this run.
    stood: Epoch,
    dead_letters: Arc<Mutex<DeadLetterFile>>,
    /// Epochs that no commit has taken yet.
    waiting: VecDeque<CompleteEpoch>,
    group: Option<Group>,
    /// The journal may be trimmed before this epoch.
    to_trim: Option<Epoch>,
}

/// Epochs that are committed together.
struct Group {
    /// Those that do not stand yet.
    outputs: Vec<EpochOutput>,
    /// What goes into outboxes once all of them stand.
    parcels: Vec<(usize, Parcel)>,
    /// The newest of all.
    newest: u64,
    /// How many records each sink gets.
    records: Vec<u64>,
    decoded: Vec<(i64, u64)>,
    began: Duration,
    /// How many go together at most.
    together: usize,
    doubt: Option<Doubt>,
}

/// A commit whose outcome is unknown.
#[derive(Clone, Copy)]
struct Doubt {
    /// How long to wait before the journal is asked again.
    wait: Duration,
    /// This run has fenced since: no commit is unfinished and hidden any more.
    fenced: bool,
    /// Since when the run is asked to stop.
    stop_at: Option<Duration>,
}

impl Group {
    fn new(
        epochs: impl Iterator<Item = CompleteEpoch>,
        outgoing: &Outgoing,
        began: Duration,
    ) -> Self {
        let (mut outputs, mut parcels, mut decoded) = (Vec::new(), Vec::new(), Vec::new());
        let mut records: Vec<u64> = Vec::new();
        for mut complete in epochs {
            decoded.append(&mut complete.decoded);
            let (epoch, merged) = (Epoch(complete.epoch), merge(&mut complete));
            records.resize(merged.len(), 0);
            let counted = records.iter_mut().zip(&merged);
            counted.for_each(|(count, of_sink)| *count += of_sink.len() as u64);
            let mut split = outgoing.split(epoch, merged);
            parcels.append(&mut split.delivered);
            outputs.push(EpochOutput {
                epoch,
                sinks: split.committed,
                journal: complete.journal,
                source_offsets: complete.source_offsets,
            });
        }
        Self {
            newest: outputs.last().map_or(0, |output| output.epoch.0),
            records,
            together: outputs.len(),
            outputs,
            parcels,
            decoded,
            began,
            doubt: None,
        }
    }
}

impl Commits {
    /// Nothing to commit yet; the run `owner` has claimed the journal, after the epoch `stood`.
    pub fn new(
        committer: Box<dyn Committer>,
        (owner, stood): (String, Epoch),
        status: Arc<Status>,
        clock: Arc<dyn Clock>,
        outgoing: Arc<Outgoing>,
        dead_letters: Arc<Mutex<DeadLetterFile>>,
    ) -> Self {
        Self {
            dead_letters,
            committer,
            owner,
            status,
            clock,
            outgoing,
            stood,
            waiting: VecDeque::new(),
            group: None,
            to_trim: None,
        }
    }

    /// The journal is not needed before an epoch any more.
    pub fn trim(&mut self, before: Epoch) {
        self.to_trim = Some(before);
    }

    /// True while it is not known what became of a commit.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        self.group
            .as_ref()
            .is_some_and(|group| group.doubt.is_some())
    }

    /// Adds a complete epoch; also one that had been committed before this run, and is done again: what it has for outboxes is not theirs yet.
    pub fn add(&mut self, epoch: CompleteEpoch) {
        self.waiting.push_back(epoch);
    }

    /// Commits what is there, or finds out what became of a commit. Waits for nothing but the other side's answer. `stop` says that the
    /// run is asked to end: then it is not in doubt for ever.
    ///
    /// # Errors
    /// `Fenced` if a newer process took over, `Invalid` if something cannot be written, `Corrupt` if the journal cannot be read.
    pub fn step(&mut self, stop: bool) -> Result<Step, Error> {
        if let Some(epoch) = self.take_standing()? {
            return Ok(Step::Committed(epoch));
        }
        let Some(mut group) = self.next_group() else {
            return Ok(Step::Idle);
        };
        let again = match group.doubt.take() {
            Some(doubt) => self.resolve(&mut group, doubt, stop)?,
            None => self.try_commit(&mut group)?,
        };
        if group.outputs.is_empty() {
            self.trim_now();
            self.outgoing.put(&group.parcels)?;
            return Ok(self.committed(&group));
        }
        self.group = Some(group);
        Ok(Step::Again(again))
    }

    /// Takes the epochs that stand already; the newest of them, if there are some.
    fn take_standing(&mut self) -> Result<Option<u64>, Error> {
        let mut newest = None;
        let stood = self.stood;
        while let Some(mut complete) = (self.waiting).pop_front_if(|next| next.epoch <= stood.0) {
            let outputs = merge(&mut complete);
            let split = self.outgoing.split(Epoch(complete.epoch), outputs);
            self.outgoing.put(&split.delivered)?;
            newest = Some(complete.epoch);
        }
        Ok(newest)
    }

    /// The group that is being committed, or the next one.
    fn next_group(&mut self) -> Option<Group> {
        if let Some(group) = self.group.take() {
            return Some(group);
        }
        if self.waiting.is_empty() {
            return None;
        }
        let count = self.waiting.len().min(GROUP_MAX);
        let mut file = self.dead_letters.lock();
        let file = file.as_mut().unwrap_or_else(PoisonError::get_mut);
        for epoch in self.waiting.range(..count) {
            keep_dead_letters(file, epoch);
        }
        let epochs = self.waiting.drain(..count);
        Some(Group::new(epochs, &self.outgoing, self.clock.now()))
    }

    /// Tells the committer that nothing before the oldest checkpoint is needed. Right after a commit, which proves that this run is the owner:
    /// one that was replaced must not take from its successor what that one has no checkpoint of.
    fn trim_now(&mut self) {
        if let Some(before) = self.to_trim.take()
            && let Err(error) = self.committer.trim(before)
        {
            tracing::warn!(%error, "the journal could not be trimmed; it is tried again after the next checkpoint");
        }
    }

    fn try_commit(&mut self, group: &mut Group) -> Result<Duration, Error> {
        let count = group.together.min(group.outputs.len());
        match self.committer.commit(&group.outputs[..count]) {
            Ok(()) => drop(group.outputs.drain(..count)),
            Err(error) if error.kind() == ErrorKind::Retry => {
                tracing::warn!(%error, "the outcome of a commit is unknown; asking the journal");
                group.together = (count / 2).max(1);
                group.doubt = Some(Doubt {
                    wait: RETRY_WAIT.0,
                    fenced: false,
                    stop_at: None,
                });
            }
            Err(error) => return Err(error.into()),
        }
        Ok(Duration::ZERO)
    }

    /// Looks into the journal, as its only owner if that was decided; what does not stand is left to be sent again.
    fn resolve(&mut self, group: &mut Group, doubt: Doubt, stop: bool) -> Result<Duration, Error> {
        let first = group
            .outputs
            .first()
            .map_or(Epoch(0), |output| output.epoch);
        let journal = match self.look(Epoch(first.0.saturating_sub(1)), doubt.fenced) {
            Ok(journal) => journal,
            Err(Error::Connector(error)) if error.kind() == ErrorKind::Retry => {
                let now = self.clock.now();
                let stop_at = doubt.stop_at.or_else(|| stop.then_some(now));
                if stop_at.is_some_and(|at| now.saturating_sub(at) >= STOP_PATIENCE) {
                    return Err(error.into());
                }
                tracing::warn!(%error, "the journal cannot be read; trying again");
                group.doubt = Some(Doubt {
                    wait: (doubt.wait * 2).min(RETRY_WAIT.1),
                    // Meanwhile another run may take over, so nothing that was known counts.
                    fenced: false,
                    stop_at,
                });
                return Ok(doubt.wait);
            }
            Err(error) => return Err(error),
        };
        let facts = ownership::Facts {
            owner: &self.owner,
            journal: &journal,
            fenced: doubt.fenced,
        };
        match ownership::decide(&facts) {
            ownership::Decision::Replaced { by } => Err(Error::Replaced { by }),
            ownership::Decision::FenceAndReadAgain => {
                group.doubt = Some(Doubt {
                    fenced: true,
                    ..doubt
                });
                Ok(Duration::ZERO)
            }
            ownership::Decision::Stands { through } => {
                group.outputs.retain(|output| output.epoch > through);
                Ok(Duration::ZERO)
            }
            ownership::Decision::JournalLost => {
                let reason = "the journal that this run claimed is empty; restore it, or start anew with an empty state directory";
                Err(Error::Refused {
                    reason: reason.to_owned(),
                })
            }
        }
    }

    fn look(&mut self, from: Epoch, fence: bool) -> Result<Journal, Error> {
        if fence {
            self.committer.fence()?;
        }
        Ok(Journal::decode(&self.committer.read_journal(from)?)?)
    }

    fn committed(&self, group: &Group) -> Step {
        let took = self.clock.now().saturating_sub(group.began);
        self.status.commit_seconds.observe(took.as_secs_f64(), 1);
        for (sink, &records) in self.status.sinks.iter().zip(&group.records) {
            sink.records.add(records);
        }
        let now_ms = self.clock.wall_ms();
        for &(time_ms, rows) in &group.decoded {
            #[expect(clippy::cast_precision_loss, reason = "a reading for a monitor")]
            let seconds = (now_ms - time_ms).max(0) as f64 / 1e3;
            self.status.freshness_seconds.observe(seconds, rows);
        }
        self.status.epoch.store(group.newest, Ordering::Relaxed);
        Step::Committed(group.newest)
    }
}

/// Before the commit: should the process die in between, they stand there although their epoch comes once more.
fn keep_dead_letters(file: &mut DeadLetterFile, epoch: &CompleteEpoch) {
    let letters = epoch.dead_letters.iter().filter_map(ledger_letters);
    if let Err(error) = file.append(Epoch(epoch.epoch), letters.flatten()) {
        tracing::error!(epoch = epoch.epoch, %error, "dead letters could not be kept beside the state; they are only counted");
    }
}

/// What an epoch has for each sink.
fn merge(complete: &mut CompleteEpoch) -> Vec<OutputRecords> {
    let outputs = std::mem::take(&mut complete.outputs).into_iter();
    let outputs = outputs.zip(complete.keyed.iter());
    outputs
        .map(|(output, &keyed)| output.merge(keyed))
        .collect()
}

#[cfg(test)]
mod tests;
