//! What can go wrong with the journal, the checkpoints and the state directory, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use tidemill_types::{Epoch, ErrorKind};

/// Everything that this crate can fail with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system refused.
    #[error("cannot {action} '{}': {source}; {}", path.display(), advice(source))]
    File {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A journal record cannot be read.
    #[error(
        "journal record {index} cannot be read: {reason}; the journal was written by something else or is damaged, keep it and report this"
    )]
    BadJournalRecord {
        /// Which one, counted from 0.
        index: usize,
        /// Why.
        reason: String,
    },
    /// Bytes on disk are of another version than this one.
    #[error(
        "{what} has version {found}, and this version of tidemill reads version {expected}; run the version that wrote it"
    )]
    UnknownVersion {
        /// What was read.
        what: String,
        /// The version in the bytes.
        found: u32,
        /// The version that is understood.
        expected: u32,
    },
    /// The state directory belongs to another job.
    #[error("state directory '{}' belongs to job '{found}', not to '{wanted}'; give each job a state directory of its own", path.display())]
    OtherJob {
        /// The directory.
        path: PathBuf,
        /// Its job.
        found: String,
        /// The job that wanted it.
        wanted: String,
    },
    /// The state directory was written by another plan of the job.
    #[error(
        "the state in '{}' was written by plan '{found}' of job '{job}', and this is plan '{wanted}': the SQL or its settings changed; \
         restore the old SQL, or start with an empty state directory and a new journal",
        path.display()
    )]
    OtherPlan {
        /// The directory.
        path: PathBuf,
        /// The job.
        job: String,
        /// The plan that wrote the state.
        found: String,
        /// The plan that wanted it.
        wanted: String,
    },
    /// Another process of the job runs.
    #[error("state directory '{}' is in use by process {holder}: the job is already running; stop that process first", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The process id it left, or `unknown`.
        holder: String,
    },
    /// A file that describes the directory or a checkpoint cannot be understood.
    #[error("'{}' is damaged: {reason}; restore from an older checkpoint", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A checkpoint of this epoch exists already.
    #[error("a checkpoint of epoch {epoch} exists already; an epoch is checkpointed once")]
    CheckpointExists {
        /// The epoch.
        epoch: Epoch,
    },
}

impl Error {
    /// What the caller must do.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::File { source, .. } => file_kind(source),
            Self::BadJournalRecord { .. } | Self::Damaged { .. } => ErrorKind::Corrupt,
            Self::UnknownVersion { .. }
            | Self::OtherJob { .. }
            | Self::OtherPlan { .. }
            | Self::InUse { .. } => ErrorKind::Invalid,
            Self::CheckpointExists { .. } => ErrorKind::Bug,
        }
    }

    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File {
            action,
            path: path.to_owned(),
            source,
        }
    }
}

fn file_kind(source: &io::Error) -> ErrorKind {
    use io::ErrorKind as Io;
    match source.kind() {
        Io::PermissionDenied
        | Io::ReadOnlyFilesystem
        | Io::AlreadyExists
        | Io::NotADirectory
        | Io::IsADirectory
        | Io::InvalidFilename => ErrorKind::Invalid,
        Io::NotFound | Io::InvalidData | Io::UnexpectedEof => ErrorKind::Corrupt,
        _ => ErrorKind::Retry,
    }
}

fn advice(source: &io::Error) -> &'static str {
    match file_kind(source) {
        ErrorKind::Invalid => {
            "make it a folder that this user can write, or set another state directory"
        }
        ErrorKind::Corrupt => "restore from an older checkpoint",
        _ => "free disk space or repair the disk; the job tries again",
    }
}
