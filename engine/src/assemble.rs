//! Epochs in flight: what was admitted, what came back, what is complete.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use tidemill_connectors_api::SourceOffset;
use tidemill_types::OutputRecords;

use crate::committing::{CompleteEpoch, SinkOutput};

/// An admitted epoch.
struct Pending {
    outputs: Vec<SinkOutput>,
    dead_letters: Vec<RecordBatch>,
    decoded: Vec<(i64, u64)>,
    journal: Vec<u8>,
    source_offsets: Vec<SourceOffset>,
}

/// All epochs that were admitted and are not yet with the committer.
pub struct InFlight {
    pending: BTreeMap<u64, Pending>,
    /// Per worker, the first epoch that it has not finished.
    before: Vec<u64>,
    keyed: Arc<Vec<bool>>,
}

impl InFlight {
    /// Nothing in flight; `keyed` says of each sink whether its records have keys.
    pub fn new(workers: usize, keyed: Vec<bool>) -> Self {
        Self {
            pending: BTreeMap::new(),
            before: vec![0; workers],
            keyed: Arc::new(keyed),
        }
    }

    /// How many epochs the workers are at.
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// The first epoch that some worker has not finished.
    pub fn finished(&self) -> u64 {
        self.before.iter().copied().min().unwrap_or(0)
    }

    /// An epoch was sent to the workers.
    pub fn admitted(&mut self, epoch: u64, journal: Vec<u8>, source_offsets: Vec<SourceOffset>) {
        let outputs = self.keyed.iter().map(|_| SinkOutput::default()).collect();
        self.pending.insert(
            epoch,
            Pending {
                outputs,
                dead_letters: Vec::new(),
                decoded: Vec::new(),
                journal,
                source_offsets,
            },
        );
    }

    /// A worker wrote to a sink.
    pub fn output(
        &mut self,
        epoch: u64,
        sink: usize,
        partition: Option<u32>,
        records: OutputRecords,
    ) {
        if let Some(pending) = self.pending.get_mut(&epoch) {
            pending.outputs[sink].add(partition, records);
        }
    }

    /// A worker has dead letters to keep.
    pub fn dead_letters(&mut self, epoch: u64, rows: RecordBatch) {
        if let Some(pending) = self.pending.get_mut(&epoch) {
            pending.dead_letters.push(rows);
        }
    }

    /// Some events of an epoch were decoded.
    pub fn decoded(&mut self, epoch: u64, time_ms: i64, rows: u64) {
        if let Some(pending) = self.pending.get_mut(&epoch) {
            pending.decoded.push((time_ms, rows));
        }
    }

    /// A worker finished everything before an epoch; returns the epochs that are complete now.
    pub fn progress(&mut self, worker: usize, before: u64) -> Vec<CompleteEpoch> {
        self.before[worker] = before;
        let finished = self.finished();
        let rest = self.pending.split_off(&finished);
        std::mem::replace(&mut self.pending, rest)
            .into_iter()
            .map(|(epoch, pending)| CompleteEpoch {
                epoch,
                outputs: pending.outputs,
                dead_letters: pending.dead_letters,
                keyed: Arc::clone(&self.keyed),
                journal: pending.journal,
                source_offsets: pending.source_offsets,
                decoded: pending.decoded,
            })
            .collect()
    }
}
