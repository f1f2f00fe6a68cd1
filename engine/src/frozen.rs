//! Frozen states on their way into a checkpoint: left by the workers, taken by whoever writes it.

use std::sync::{Arc, Mutex, PoisonError};

use tidemill_checkpoints::{CheckpointStore, Manifest, Outbox};
use tidemill_state::Frozen;

use crate::Error;
use crate::outgoing::Outgoing;

/// One slot per worker, and the outboxes, which go along.
#[derive(Debug)]
pub struct FrozenStates {
    slots: Mutex<Vec<Option<Frozen>>>,
    outgoing: Arc<Outgoing>,
}

impl FrozenStates {
    /// Empty slots.
    #[must_use]
    pub fn new(workers: usize, outgoing: Arc<Outgoing>) -> Self {
        Self {
            slots: Mutex::new((0..workers).map(|_| None).collect()),
            outgoing,
        }
    }

    /// A worker leaves its state.
    pub fn put(&self, worker: usize, frozen: Frozen) {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)[worker] = Some(frozen);
    }

    /// Writes the checkpoint of `manifest` from what the workers left, the manifest last, and removes all but the `keep` newest ones.
    /// Returns the oldest that is kept.
    ///
    /// # Errors
    /// If anything cannot be written; nothing of the checkpoint counts then.
    pub fn write(
        &self,
        store: &CheckpointStore,
        manifest: Manifest,
        keep: usize,
    ) -> Result<Manifest, Error> {
        let epoch = manifest.epoch;
        // Taken in any case: what is not written is given up, and goes into the next checkpoint.
        let states = self.take();
        let written = write(store, states, &self.outgoing, manifest, keep);
        if written.is_err() {
            // What was written so far is of no use; if it cannot even be removed, the next begin does.
            let _ = store.abandon(epoch);
        }
        written
    }

    fn take(&self) -> Vec<Option<Frozen>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.iter_mut().map(Option::take).collect()
    }
}

fn write(
    store: &CheckpointStore,
    states: Vec<Option<Frozen>>,
    outgoing: &Outgoing,
    manifest: Manifest,
    keep: usize,
) -> Result<Manifest, Error> {
    let dir = store.begin(manifest.epoch)?;
    for (worker, frozen) in states.into_iter().enumerate() {
        let frozen =
            frozen.expect("a checkpoint is written once every worker has frozen its state");
        frozen.write(&CheckpointStore::worker_dir(&dir, worker))?;
    }
    for (sink, outbox) in outgoing.outboxes() {
        outbox.write(&Outbox::in_checkpoint(&dir, sink))?;
    }
    let written = store.finish(manifest)?;
    store.retain(keep)?;
    Ok(store.oldest()?.unwrap_or(written))
}
