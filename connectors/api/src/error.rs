//! The one error of the connector ports.

use std::io;
use std::path::Path;

use tidemill_types::ErrorKind;

/// What went wrong at the edge of the system. `kind` says what the engine must do; `message` is for a person: what, where, and what to do next.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What the caller must do.
    pub kind: ErrorKind,
    /// Lower case, identifiers quoted, ends with what to do next.
    pub message: String,
}

impl Error {
    /// An error of a kind with a message.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// What the caller must do.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }
}

/// What an error of the file system means to the caller: for a failed `action` ("read", "write to") on `path`.
#[must_use]
pub fn io_error(action: &str, path: &Path, error: &io::Error) -> Error {
    let (kind, advice) = match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            (ErrorKind::Invalid, "give the job's user access to it")
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => {
            (ErrorKind::Invalid, "move away what stands there")
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (
            ErrorKind::Retry,
            "free some space, the job goes on by itself",
        ),
        _ => (
            ErrorKind::Retry,
            "it is tried again; look at the disk if this stays",
        ),
    };
    Error::new(
        kind,
        format!("cannot {action} '{}': {error}; {advice}", path.display()),
    )
}
