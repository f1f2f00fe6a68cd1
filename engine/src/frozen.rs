//! Frozen states on their way into a checkpoint: left by the workers, taken by whoever writes it.

use std::sync::{Mutex, PoisonError};

use tidemill_checkpoints::{CheckpointStore, Manifest};
use tidemill_state::Frozen;
use tidemill_types::Epoch;

use crate::Error;

/// One slot per worker.
#[derive(Debug)]
pub struct FrozenStates(Mutex<Vec<Option<Frozen>>>);

impl FrozenStates {
    /// Empty slots.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self(Mutex::new((0..workers).map(|_| None).collect()))
    }

    /// A worker leaves its state.
    pub fn put(&self, worker: usize, frozen: Frozen) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[worker] = Some(frozen);
    }

    /// Writes the checkpoint of `manifest` from what the workers left, the manifest last, and removes all but the `keep` newest ones.
    /// Returns the epoch of the oldest that is kept.
    ///
    /// # Errors
    /// If anything cannot be written; nothing of the checkpoint counts then.
    pub fn write(
        &self,
        store: &CheckpointStore,
        manifest: Manifest,
        keep: usize,
    ) -> Result<Epoch, Error> {
        let epoch = manifest.epoch;
        // Taken in any case: what is not written is given up, and goes into the next checkpoint.
        let states = self.take();
        let written = write(store, states, manifest, keep);
        if written.is_err() {
            // What was written so far is of no use; if it cannot even be removed, the next begin does.
            let _ = store.abandon(epoch);
        }
        written
    }

    fn take(&self) -> Vec<Option<Frozen>> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slots.iter_mut().map(Option::take).collect()
    }
}

fn write(
    store: &CheckpointStore,
    states: Vec<Option<Frozen>>,
    manifest: Manifest,
    keep: usize,
) -> Result<Epoch, Error> {
    let dir = store.begin(manifest.epoch)?;
    for (worker, frozen) in states.into_iter().enumerate() {
        let frozen =
            frozen.expect("a checkpoint is written once every worker has frozen its state");
        frozen.write(&CheckpointStore::worker_dir(&dir, worker))?;
    }
    let epoch = store.finish(manifest)?.epoch;
    store.retain(keep)?;
    Ok(store.oldest()?.unwrap_or(epoch))
}
