//! The commit thread: merges the workers' outputs of each complete epoch and commits. While one commit is under way, complete epochs
//! gather, and go together in the next one (group commit).
//!
//! A commit whose outcome is unknown is never guessed: the committer fences, the journal says what stands, and the rest is sent again.

use std::collections::BTreeMap;
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
                let event = match commit(committer.as_mut(), group, &status) {
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
mod tests {
    use super::*;

    fn records(values: &[&str]) -> OutputRecords {
        let mut records = OutputRecords::default();
        values
            .iter()
            .for_each(|value| records.push(b"key", Some(value.as_bytes())));
        records
    }

    fn values(records: &OutputRecords) -> Vec<&[u8]> {
        records.iter().filter_map(|(_, value)| value).collect()
    }

    #[test]
    fn records_in_the_order_of_their_source_are_written_by_partition_whoever_was_first() {
        let mut output = SinkOutput::default();
        output.add(Some(2), records(&["c", "a"]));
        output.add(Some(0), records(&["d", "b"]));
        let merged = output.merge(true);
        assert_eq!(values(&merged), [b"d", b"b", b"c", b"a"]);
    }

    #[test]
    fn records_without_keys_are_written_by_value_whoever_was_first() {
        let mut output = SinkOutput::default();
        output.add(None, records(&["b", "d"]));
        output.add(None, records(&["a", "c"]));
        let merged = output.merge(false);
        assert_eq!(values(&merged), [b"a", b"b", b"c", b"d"]);
    }
}
