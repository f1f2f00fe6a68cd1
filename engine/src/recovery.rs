//! Reads the facts that recovery decides on, and turns the decision into a start: what state begins with, and which epochs are replayed.

use std::collections::VecDeque;
use std::path::PathBuf;

use tidemill_checkpoints::journal::decode_all;
use tidemill_checkpoints::recovery::{CheckpointFact, decide};
use tidemill_checkpoints::{CheckpointStore, Decision, Facts, Manifest, Positions, Record};
use tidemill_connectors_api::Committer;
use tidemill_state::Store;
use tidemill_types::Epoch;
use tidemill_types::key_group::worker_of;

use crate::{Error, Settings};

/// Where the state of all workers comes from.
pub struct RestoreFrom {
    /// Each worker of the checkpoint's folder; empty for none.
    pub snapshots: Vec<PathBuf>,
    /// Where live state lies.
    pub live_dir: PathBuf,
    /// Memory of one worker's state.
    pub settings: tidemill_state::Settings,
}

impl RestoreFrom {
    /// Opens the state of one worker.
    pub fn open(&self, worker: usize, workers: usize) -> Result<Store, Error> {
        let dir = self.live_dir.join(format!("worker-{worker}"));
        if self.snapshots.is_empty() {
            return Ok(Store::open(&dir, &self.settings)?);
        }
        let same_layout = self.snapshots.len() == workers;
        let snapshots = if same_layout {
            vec![self.snapshots[worker].clone()]
        } else {
            self.snapshots.clone()
        };
        Ok(Store::restore(
            &dir,
            &snapshots,
            same_layout,
            &|group| worker_of(group, workers) == worker,
            &self.settings,
        )?)
    }
}

/// How a run starts.
pub struct Start {
    /// The checkpoint's manifest, if state is restored.
    pub checkpoint: Option<Manifest>,
    /// Epochs to replay, with suppressed output.
    pub replay: VecDeque<Record>,
    /// Outputs up to this epoch were committed.
    pub committed: Epoch,
    /// Where the sources are opened.
    pub positions: Positions,
}

/// Reads journal and checkpoints and decides. The committer is the owner already.
pub fn plan_start(
    committer: &mut dyn Committer,
    store: &CheckpointStore,
    plan_hash: &str,
) -> Result<Start, Error> {
    let journal = decode_all(&committer.read_journal()?)?;
    let committed = journal.last().map_or(Epoch(0), |record| record.epoch);
    let (checkpoint, rejected) = store.newest_committed(&journal)?;
    for rejected in rejected {
        if rejected.uncommitted {
            // A checkpoint is written only after its epoch was committed, so it is the journal that is not the one it was.
            let reason = format!(
                "the state directory has a checkpoint of epoch {} that the journal does not tell of ({}): the journal was lost, or is another one; \
                 restore it, or start anew with an empty state directory",
                rejected.epoch, rejected.reason
            );
            return Err(Error::Refused { reason });
        }
        tracing::warn!(epoch = %rejected.epoch, reason = rejected.reason, "a checkpoint is passed over; using an older one");
    }
    let fact = checkpoint.as_ref().map(|manifest| CheckpointFact {
        epoch: manifest.epoch,
        plan_hash: &manifest.plan_hash,
    });
    let decision = decide(&Facts {
        plan_hash,
        journal: &journal,
        checkpoint: fact,
    });
    let from = match decision {
        Decision::FreshStart | Decision::ReplayFromBeginning { .. } => Epoch(0),
        Decision::RestoreAndGoLive { checkpoint }
        | Decision::RestoreAndReplay { checkpoint, .. } => checkpoint,
        Decision::Refuse { reason } => {
            return Err(Error::Refused {
                reason: reason.to_string(),
            });
        }
    };
    let checkpoint = checkpoint.filter(|_| from > Epoch(0));
    let positions = checkpoint
        .as_ref()
        .map(|manifest| manifest.positions.clone())
        .unwrap_or_default();
    Ok(Start {
        replay: journal
            .into_iter()
            .filter(|record| record.epoch > from)
            .collect(),
        checkpoint,
        committed,
        positions,
    })
}

/// Memory of one worker's state, out of the job's.
pub fn state_settings(settings: &Settings) -> tidemill_state::Settings {
    let bytes = settings.state_memory_bytes / settings.workers.max(1);
    tidemill_state::Settings {
        cache_bytes_max: bytes / 2,
        block_cache_bytes: bytes / 4,
        memtable_bytes: bytes / 4,
    }
}
