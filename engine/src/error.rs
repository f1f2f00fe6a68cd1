//! Why a run ended without being asked to.

use tidemill_types::{Epoch, ErrorKind};

/// A run that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A source or the committer.
    #[error(transparent)]
    Connector(#[from] tidemill_connectors_api::Error),
    /// The state directory, a checkpoint or the journal.
    #[error(transparent)]
    Checkpoint(#[from] tidemill_checkpoints::Error),
    /// A worker's state could not be opened or snapshotted.
    #[error(transparent)]
    State(#[from] tidemill_state::Error),
    /// An operator.
    #[error(transparent)]
    Operator(#[from] tidemill_operators::Error),
    /// The job names a connector that this binary does not have.
    #[error("'{object}' wants the connector '{name}'; this binary has {known}")]
    UnknownConnector {
        /// Source or sink.
        object: String,
        /// What it names.
        name: String,
        /// What there is.
        known: String,
    },
    /// The sinks cannot be committed together.
    #[error(
        "sinks '{first}' and '{second}' use different connectors, each of which commits with a journal of its own; use one of them for both"
    )]
    MixedSinks {
        /// A sink.
        first: String,
        /// A sink of another connector.
        second: String,
    },
    /// The plan has something that cannot be rendered.
    #[error("node '{node}': {reason}")]
    Plan {
        /// Node, source or sink.
        node: String,
        /// Why.
        reason: String,
    },
    /// Recovery would give wrong results.
    #[error("the job cannot go on from where it stands: {reason}")]
    Refused {
        /// Why, and what to do.
        reason: String,
    },
    /// The journal ends before a checkpoint. A checkpoint is written only after its epoch was committed, so after a fence this means that the
    /// journal is not the one it was; before, its readers may not see the end yet.
    #[error(
        "the job cannot go on from where it stands: the state directory has a checkpoint of epoch {checkpoint} that the journal does not tell of (it ends with epoch {committed}): the journal was lost, or is another one; restore it, or start anew with an empty state directory"
    )]
    JournalBehind {
        /// The checkpoint's epoch.
        checkpoint: Epoch,
        /// The journal's last.
        committed: Epoch,
    },
    /// Another run of the job owns the journal.
    #[error("a newer run of the job took over ('{by}' claimed the journal); this one exits")]
    Replaced {
        /// Its id.
        by: String,
    },
    /// Replay found another input than the journal tells of.
    #[error(
        "epoch {epoch} cannot be replayed: partition {partition} of source '{source_name}' ends before the journalled offset {offset}; restore the topic, or start the job under a new name"
    )]
    ReplayShort {
        /// The epoch.
        epoch: Epoch,
        /// The source.
        source_name: String,
        /// The partition.
        partition: u32,
        /// The journalled end.
        offset: i64,
    },
    /// A thread ended unexpectedly.
    #[error("{thread} ended unexpectedly; the message above says why")]
    Panicked {
        /// Which thread.
        thread: String,
    },
    /// Threads could not be started.
    #[error("workers cannot be started: {0}")]
    Spawn(String),
}

impl Error {
    /// What the caller must do.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Connector(error) => error.kind(),
            Self::Checkpoint(error) => error.kind(),
            Self::State(error) => error.kind(),
            Self::Operator(error) => error.kind(),
            Self::UnknownConnector { .. }
            | Self::MixedSinks { .. }
            | Self::Plan { .. }
            | Self::JournalBehind { .. }
            | Self::Refused { .. } => ErrorKind::Invalid,
            Self::Replaced { .. } => ErrorKind::Fenced,
            Self::ReplayShort { .. } => ErrorKind::Corrupt,
            Self::Panicked { .. } => ErrorKind::Bug,
            Self::Spawn(_) => ErrorKind::Retry,
        }
    }
}
