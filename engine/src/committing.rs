//! The commit thread: merges the workers' outputs of each complete epoch and commits. While one commit is under way, complete epochs
//! gather, and go together in the next one (group commit).
//!
//! A commit whose outcome is unknown is never guessed: the committer fences, the journal says what stands, and the rest is sent again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use tidemill_checkpoints::journal::decode_all;
use tidemill_connectors_api::{Committer, EpochOutput, SourceOffset};
use tidemill_types::{Epoch, ErrorKind, OutputRecords};

use crate::event::{Event, PanicReport};
use crate::{Error, Status, clock};

/// How many epochs one transaction may carry.
const GROUP_MAX: usize = 64;
/// How long to wait before trying again, at first and at most.
const RETRY_WAIT: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// A complete epoch on its way to the committer.
pub struct CompleteEpoch {
    /// The epoch.
    pub epoch: u64,
    /// Per sink, what each worker wrote.
    pub outputs: Vec<Vec<OutputRecords>>,
    /// Per sink, whether records have keys (their order is by key, else by value).
    pub keyed: Arc<Vec<bool>>,
    /// The journal record.
    pub journal: Vec<u8>,
    /// Positions after the epoch.
    pub source_offsets: Vec<SourceOffset>,
    /// For freshness: middle of some events' `ts`, and how many events.
    pub decoded: Vec<(i64, u64)>,
}

/// Starts the commit thread. It ends when `epochs` is closed, returning the committer, or after it reported a failure.
pub fn spawn(
    mut committer: Box<dyn Committer>,
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
            while let Ok(first) = epochs.recv() {
                let mut group = vec![first];
                group.extend(epochs.try_iter().take(GROUP_MAX - 1));
                let newest = group.last().map_or(0, |complete| complete.epoch);
                let event = match commit(committer.as_mut(), &group, &status) {
                    Ok(()) => Event::Committed { epoch: newest },
                    Err(error) => Event::Failed(error),
                };
                let failed = matches!(event, Event::Failed(_));
                if events.send(event).is_err() || failed {
                    return;
                }
            }
        });
    thread.map_err(|error| Error::Spawn(error.to_string()))
}

fn commit(
    committer: &mut dyn Committer,
    group: &[CompleteEpoch],
    status: &Status,
) -> Result<(), Error> {
    let mut outputs: Vec<EpochOutput> = group.iter().map(merge).collect();
    let started = Instant::now();
    let mut wait = RETRY_WAIT.0;
    while let Err(error) = committer.commit(&outputs) {
        if error.kind() != ErrorKind::Retry {
            return Err(error.into());
        }
        tracing::warn!(%error, "the outcome of a commit is unknown; asking the journal");
        let committed = resolve(committer, &mut wait)?;
        outputs.retain(|output| Some(output.epoch) > committed);
        if outputs.is_empty() {
            break;
        }
    }
    observe(group, status, started);
    Ok(())
}

/// Becomes the owner again and reads which epoch was committed last.
fn resolve(committer: &mut dyn Committer, wait: &mut Duration) -> Result<Option<Epoch>, Error> {
    loop {
        match committer.fence().and_then(|()| committer.read_journal()) {
            Ok(records) => return Ok(decode_all(&records)?.last().map(|record| record.epoch)),
            Err(error) if error.kind() == ErrorKind::Retry => {
                tracing::warn!(%error, "the journal cannot be read; trying again");
                std::thread::sleep(*wait);
                *wait = (*wait * 2).min(RETRY_WAIT.1);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn observe(group: &[CompleteEpoch], status: &Status, started: Instant) {
    status
        .commit_seconds
        .observe(started.elapsed().as_secs_f64(), 1);
    let now = clock::now_ms();
    for complete in group {
        for (sink, outputs) in status.sinks.iter().zip(&complete.outputs) {
            sink.records
                .add(outputs.iter().map(|records| records.len() as u64).sum());
        }
        for &(time_ms, rows) in &complete.decoded {
            #[expect(clippy::cast_precision_loss, reason = "a reading for a monitor")]
            status
                .freshness_seconds
                .observe((now - time_ms).max(0) as f64 / 1e3, rows);
        }
        status.epoch.store(complete.epoch, Ordering::Relaxed);
    }
}

/// One epoch's records, the workers' parts merged in key order, so that the bytes do not depend on how many workers there were.
fn merge(complete: &CompleteEpoch) -> EpochOutput {
    let sinks = complete
        .outputs
        .iter()
        .zip(complete.keyed.iter())
        .map(|(parts, &keyed)| merge_sink(parts, keyed))
        .collect();
    EpochOutput {
        epoch: Epoch(complete.epoch),
        sinks,
        journal: complete.journal.clone(),
        source_offsets: complete.source_offsets.clone(),
    }
}

fn merge_sink(parts: &[OutputRecords], keyed: bool) -> OutputRecords {
    let mut records: Vec<(&[u8], Option<&[u8]>)> =
        parts.iter().flat_map(OutputRecords::iter).collect();
    if keyed {
        // Stable: the records of one key come from one worker, in order.
        records.sort_by_key(|&(key, _)| key);
    } else {
        records.sort_by_key(|&(_, value)| value);
    }
    let mut merged = OutputRecords::default();
    for (key, value) in records {
        merged.push(key, value);
    }
    merged
}
