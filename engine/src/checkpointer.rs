//! Writes checkpoints in the background: frozen state to files, then the manifest, last and at once.

use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::Sender;
use tidemill_checkpoints::{CheckpointStore, Manifest};
use tidemill_state::Frozen;
use tidemill_types::Epoch;

use crate::Error;
use crate::event::{Event, PanicReport};

/// A checkpoint whose state is frozen on every worker.
pub struct FrozenCheckpoint {
    /// What the manifest will say; files are filled in.
    pub manifest: Manifest,
    /// Each worker's frozen state, by worker.
    pub frozen: Vec<Frozen>,
    /// When the freeze was asked for.
    pub started: Instant,
    /// How many checkpoints are kept.
    pub keep: usize,
}

/// Starts a thread that writes one checkpoint and reports.
pub fn spawn(
    store: CheckpointStore,
    checkpoint: FrozenCheckpoint,
    events: Sender<Event>,
) -> Result<JoinHandle<()>, Error> {
    let thread = std::thread::Builder::new()
        .name("checkpoint".to_owned())
        .spawn(move || {
            let _report = PanicReport {
                thread: "the checkpoint thread".to_owned(),
                events: events.clone(),
            };
            let (epoch, started) = (checkpoint.manifest.epoch, checkpoint.started);
            let event = match write(&store, checkpoint) {
                Ok(oldest) => Event::Checkpointed {
                    epoch: epoch.0,
                    seconds: started.elapsed().as_secs_f64(),
                    oldest: oldest.unwrap_or(epoch).0,
                },
                Err(error) => {
                    // What was written so far is of no use; if it cannot even be removed, the next begin does.
                    let _ = store.abandon(epoch);
                    Event::CheckpointFailed {
                        epoch: epoch.0,
                        error,
                    }
                }
            };
            // Nobody listens any more only if the run is over.
            let _ = events.send(event);
        });
    thread.map_err(|error| Error::Spawn(error.to_string()))
}

/// Writes it, and returns the epoch of the oldest that is kept.
fn write(store: &CheckpointStore, checkpoint: FrozenCheckpoint) -> Result<Option<Epoch>, Error> {
    let dir = store.begin(checkpoint.manifest.epoch)?;
    for (worker, frozen) in checkpoint.frozen.into_iter().enumerate() {
        frozen.write(&CheckpointStore::worker_dir(&dir, worker))?;
    }
    store.finish(checkpoint.manifest)?;
    store.retain(checkpoint.keep)?;
    Ok(store.oldest()?)
}
