//! The one error of this crate.

use std::path::PathBuf;

use tidemill_types::ErrorKind;

/// What went wrong while generating or verifying. A wrong row is not an error: it is in the report.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting makes no sense.
    #[error("setting '{setting}' {problem}")]
    Setting {
        /// Name of the setting.
        setting: &'static str,
        /// What is wrong and what to do.
        problem: String,
    },
    /// The slate of films could not be used.
    #[error(
        "slate is not a JSON array of films: {0}; use movies.json of vega-datasets, or leave the slate away"
    )]
    Slate(#[from] serde_json::Error),
    /// A file exists that would be overwritten.
    #[error("'{}' holds events already; remove it or choose another folder", .0.display())]
    Exists(PathBuf),
    /// A file could not be read or written.
    #[error("'{}': {source}; check that the folder exists and may be used", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A reader or a sink that was handed in failed.
    #[error("'{topic}' cannot be read or written: {message}")]
    Port {
        /// The topic.
        topic: String,
        /// What it said.
        message: String,
    },
}

impl Error {
    /// An error of a reader or a sink that was handed in.
    pub fn port(topic: impl Into<String>, message: impl std::fmt::Display) -> Self {
        Self::Port {
            topic: topic.into(),
            message: message.to_string(),
        }
    }

    /// What the caller must do.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Setting { .. } | Self::Slate(_) | Self::Exists(_) => ErrorKind::Invalid,
            Self::Io { .. } | Self::Port { .. } => ErrorKind::Retry,
        }
    }
}
