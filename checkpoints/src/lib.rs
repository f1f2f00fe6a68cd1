//! What is durable about a job beside its state's bytes: the journal's records, the checkpoints and their manifests, the outboxes, the lock on the
//! state directory, and the decision how to recover from all that.
//!
//! Promises: a checkpoint is seen whole or not at all (its manifest is written last, atomically); a damaged one is never restored, and
//! the reason is told; [`recovery::decide`] and [`ownership::decide`] are pure functions.
//!
//! Does not promise to know what is inside a checkpoint's files (that is the crate `state`), nor where the journal lies (a topic, or a log
//! next to the outputs): both are the caller's.

mod dead_letter_file;
mod error;
pub mod journal;
pub mod manifest;
mod outbox;
pub mod ownership;
pub mod recovery;
pub mod state_dir;
pub mod store;

pub use dead_letter_file::{DeadLetterFile, Kept, Missing};
pub use error::Error;
pub use journal::{Claim, DataTimes, Incarnations, Journal, Positions, Record};
pub use manifest::{FileEntry, Manifest};
pub use outbox::Outbox;
pub use recovery::{Decision, Facts, SourceFact};
pub use state_dir::StateDir;
pub use store::{CheckpointStore, Rejected, Summary};
