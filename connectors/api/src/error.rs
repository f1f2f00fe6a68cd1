//! The one error of the connector ports.

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
