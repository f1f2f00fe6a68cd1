//! The commit thread: merges the workers' outputs of each complete epoch and commits. While one commit is under way, complete epochs
//! gather, and go together in the next one (group commit).
//!
//! A commit whose outcome is unknown is never guessed: the journal says whether this run is still the owner and what of its own stands, and the
//! rest is sent again, in smaller groups: what takes too long together may do one by one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use tidemill_checkpoints::{Journal, ownership};
use tidemill_connectors_api::{Committer, EpochOutput, SourceOffset};
use tidemill_types::{Epoch, ErrorKind, OutputRecords};

use crate::event::{Event, PanicReport};
use crate::{Error, Status, clock};

/// How many epochs one transaction may carry.
const GROUP_MAX: usize = 64;
/// How long to wait before trying again, at first and at most.
const RETRY_WAIT: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// How long a job that is asked to stop tries to learn what became of its last commit. The next start finds out as well.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// Whose commits these are, and when to give up on one.
pub struct Owner {
    /// The run's id, which its journal records carry.
    pub id: String,
    /// Raised when the job is asked to stop: what is in flight is committed, if that can be done soon.
    pub stop: Arc<AtomicBool>,
    /// Raised when the run is over: nobody waits for a commit any more.
    pub over: Arc<AtomicBool>,
}

/// A complete epoch on its way to the committer.
pub struct CompleteEpoch {
    /// The epoch.
    pub epoch: u64,
    /// Per sink, what the workers wrote.
    pub outputs: Vec<SinkOutput>,
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
        let mut records: Vec<(&[u8], Option<&[u8]>)> =
            self.parts.iter().flat_map(OutputRecords::iter).collect();
        if keyed {
            // Stable: the records of one key come from one worker, in order.
            records.sort_by_key(|&(key, _)| key);
        } else {
            records.sort_by_key(|&(_, value)| value);
        }
        let bytes = self.parts.iter().map(|part| part.arena.len()).sum();
        merged.reserve(records.len(), bytes);
        for (key, value) in records {
            merged.push(key, value);
        }
        merged
    }
}

/// Starts the commit thread. It ends when `epochs` is closed, or after it reported a failure.
pub fn spawn(
    mut committer: Box<dyn Committer>,
    owner: Owner,
    epochs: Receiver<CompleteEpoch>,
    status: Arc<Status>,
    events: Sender<Event>,
) -> Result<JoinHandle<()>, Error> {
    let thread = std::thread::Builder::new()
        .name("commit".to_owned())
        .spawn(move || {
            let _report = PanicReport {
                thread: "the commit thread".to_owned(),
                events: events.clone(),
            };
            let mut trimmed = 0;
            while let Ok(first) = epochs.recv() {
                let mut group = vec![first];
                group.extend(epochs.try_iter().take(GROUP_MAX - 1));
                let newest = group.last().map_or(0, |complete| complete.epoch);
                let event = match commit(committer.as_mut(), &owner, group, &status) {
                    Ok(()) => Event::Committed { epoch: newest },
                    Err(error) => Event::Failed(error),
                };
                let failed = matches!(event, Event::Failed(_));
                if events.send(event).is_err() || failed {
                    return;
                }
                let oldest = status.checkpoint_oldest.load(Ordering::Relaxed);
                if oldest > trimmed {
                    trim(committer.as_mut(), Epoch(oldest));
                    trimmed = oldest;
                }
            }
        });
    thread.map_err(|error| Error::Spawn(error.to_string()))
}

/// Tells the committer that nothing before the oldest checkpoint is needed.
pub fn trim(committer: &mut dyn Committer, oldest: Epoch) {
    if let Err(error) = committer.trim(oldest) {
        tracing::warn!(%error, "the journal could not be trimmed; it is tried again after the next checkpoint");
    }
}

fn commit(
    committer: &mut dyn Committer,
    owner: &Owner,
    group: Vec<CompleteEpoch>,
    status: &Status,
) -> Result<(), Error> {
    let (mut outputs, mut decoded) = (Vec::new(), Vec::new());
    for mut complete in group {
        decoded.append(&mut complete.decoded);
        outputs.push(merge(complete));
    }
    let newest = outputs.last().map_or(0, |output| output.epoch.0);
    let records = status.sinks.iter().enumerate().map(|(i, _)| {
        let of_sink = outputs.iter().map(|output| output.sinks[i].len() as u64);
        of_sink.sum()
    });
    let records: Vec<u64> = records.collect();
    let started = Instant::now();
    let mut together = outputs.len();
    while !outputs.is_empty() {
        let count = together.min(outputs.len());
        match committer.commit(&outputs[..count]) {
            Ok(()) => drop(outputs.drain(..count)),
            Err(error) if error.kind() == ErrorKind::Retry => {
                tracing::warn!(%error, "the outcome of a commit is unknown; asking the journal");
                let through = resolve(committer, owner, outputs[0].epoch)?;
                outputs.retain(|output| output.epoch > through);
                together = (count / 2).max(1);
            }
            Err(error) => return Err(error.into()),
        }
    }
    status
        .commit_seconds
        .observe(started.elapsed().as_secs_f64(), 1);
    for (sink, records) in status.sinks.iter().zip(records) {
        sink.records.add(records);
    }
    observe_freshness(&decoded, status);
    status.epoch.store(newest, Ordering::Relaxed);
    Ok(())
}

/// Finds out through which epoch this run's commits stand, `first` being the first in doubt; fails if another run took over.
fn resolve(committer: &mut dyn Committer, owner: &Owner, first: Epoch) -> Result<Epoch, Error> {
    let mut wait = RETRY_WAIT.0;
    let mut asked: Option<Instant> = None;
    let mut fenced = false;
    loop {
        match look(committer, Epoch(first.0.saturating_sub(1)), fenced) {
            Ok(journal) => {
                let facts = ownership::Facts {
                    owner: &owner.id,
                    journal: &journal,
                    fenced,
                };
                match ownership::decide(&facts) {
                    ownership::Decision::Replaced { by } => return Err(Error::Replaced { by }),
                    ownership::Decision::FenceAndReadAgain => fenced = true,
                    ownership::Decision::Stands { through } => return Ok(through),
                    ownership::Decision::JournalLost => {
                        let reason = "the journal that this run claimed is empty; restore it, or start anew with an empty state directory";
                        return Err(Error::Refused {
                            reason: reason.to_owned(),
                        });
                    }
                }
            }
            Err(Error::Connector(error)) if error.kind() == ErrorKind::Retry => {
                if owner.stop.load(Ordering::Relaxed) {
                    asked = asked.or_else(|| Some(Instant::now()));
                }
                let enough = asked.is_some_and(|asked| asked.elapsed() >= STOP_PATIENCE);
                if enough || owner.over.load(Ordering::Relaxed) {
                    return Err(error.into());
                }
                tracing::warn!(%error, "the journal cannot be read; trying again");
                // Meanwhile another run may take over, so nothing that was known counts.
                fenced = false;
                std::thread::sleep(wait);
                wait = (wait * 2).min(RETRY_WAIT.1);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Reads the journal, as its only owner if so wanted.
fn look(committer: &mut dyn Committer, from: Epoch, fence: bool) -> Result<Journal, Error> {
    if fence {
        committer.fence()?;
    }
    Ok(Journal::decode(&committer.read_journal(from)?)?)
}

fn observe_freshness(decoded: &[(i64, u64)], status: &Status) {
    let now = clock::now_ms();
    for &(time_ms, rows) in decoded {
        #[expect(clippy::cast_precision_loss, reason = "a reading for a monitor")]
        status
            .freshness_seconds
            .observe((now - time_ms).max(0) as f64 / 1e3, rows);
    }
}

fn merge(complete: CompleteEpoch) -> EpochOutput {
    let sinks = complete
        .outputs
        .into_iter()
        .zip(complete.keyed.iter())
        .map(|(output, &keyed)| output.merge(keyed))
        .collect();
    EpochOutput {
        epoch: Epoch(complete.epoch),
        sinks,
        journal: complete.journal,
        source_offsets: complete.source_offsets,
    }
}

#[cfg(test)]
mod tests;
