//! What can go wrong with state on disk, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use tidemill_types::ErrorKind;

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
    /// RocksDB refused.
    #[error("cannot {action} the state in '{}': {message}; {}", path.display(), database_advice(*kind))]
    Database {
        /// What was tried.
        action: &'static str,
        /// The folder of the database.
        path: PathBuf,
        /// What the caller must do.
        kind: ErrorKind,
        /// What RocksDB said.
        message: String,
    },
    /// Two tables of one store were given one name.
    #[error(
        "table '{name}' is already open in this store; give each table of a job a name of its own"
    )]
    TableOpenTwice {
        /// The name.
        name: String,
    },
    /// A snapshot was asked for while the one before is still being written.
    #[error(
        "a snapshot of the state is still being written; wait for it to finish before taking the next"
    )]
    SnapshotOutstanding,
    /// A snapshot folder is not one that this version can read.
    #[error("snapshot '{}' has format '{found}', and this version reads '{expected}'; run the version of tidemill that wrote it", path.display())]
    UnknownFormat {
        /// The folder.
        path: PathBuf,
        /// What its `FORMAT` file says.
        found: String,
        /// What this version writes.
        expected: &'static str,
    },
    /// A snapshot folder's content contradicts itself.
    #[error("snapshot '{}' is damaged: {reason}; restore from an older checkpoint", path.display())]
    DamagedSnapshot {
        /// The folder.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The snapshot was abandoned before this write of it.
    #[error(
        "the frozen state was given up after an earlier failure; its entries go into the next snapshot"
    )]
    SnapshotAbandoned,
}

impl Error {
    /// What the caller must do.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::File { source, .. } => file_kind(source),
            Self::Database { kind, .. } => *kind,
            Self::TableOpenTwice { .. } => ErrorKind::Bug,
            Self::SnapshotOutstanding | Self::SnapshotAbandoned => ErrorKind::Retry,
            Self::UnknownFormat { .. } => ErrorKind::Invalid,
            Self::DamagedSnapshot { .. } => ErrorKind::Corrupt,
        }
    }

    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File {
            action,
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn database(action: &'static str, path: &Path) -> impl Fn(rocksdb::Error) -> Self {
        move |source| Self::Database {
            action,
            path: path.to_owned(),
            kind: database_kind(&source),
            message: source.into_string(),
        }
    }
}

fn file_kind(source: &io::Error) -> ErrorKind {
    use io::ErrorKind as Io;
    match source.kind() {
        Io::PermissionDenied | Io::ReadOnlyFilesystem | Io::NotADirectory | Io::InvalidFilename => {
            ErrorKind::Invalid
        }
        Io::NotFound | Io::InvalidData | Io::UnexpectedEof => ErrorKind::Corrupt,
        _ => ErrorKind::Retry,
    }
}

fn advice(source: &io::Error) -> &'static str {
    match file_kind(source) {
        ErrorKind::Invalid => "make it writable for this user, or set another state directory",
        ErrorKind::Corrupt => "restore from an older checkpoint",
        _ => "free disk space or repair the disk; the job tries again",
    }
}

fn database_kind(source: &rocksdb::Error) -> ErrorKind {
    use rocksdb::ErrorKind as Rocks;
    let message: &str = source.as_ref();
    match source.kind() {
        Rocks::Corruption => ErrorKind::Corrupt,
        Rocks::InvalidArgument | Rocks::NotSupported | Rocks::ColumnFamilyDropped => ErrorKind::Bug,
        Rocks::IOError if message.contains("No such file") => ErrorKind::Corrupt,
        Rocks::IOError
            if message.contains("Permission denied")
                || message.contains("Read-only file system") =>
        {
            ErrorKind::Invalid
        }
        _ => ErrorKind::Retry,
    }
}

fn database_advice(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Corrupt => "restore from an older checkpoint",
        ErrorKind::Invalid => {
            "make the folder writable for this user, or set another state directory"
        }
        ErrorKind::Bug => "report this",
        _ => "free disk space or repair the disk; the job tries again",
    }
}
