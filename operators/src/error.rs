//! What can go wrong in an operator. A bad record is not among it: that is data, and goes to the dead letters.

use arrow_schema::ArrowError;
use tidemill_types::ErrorKind;

/// An operator that cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// State could not be read or written.
    #[error("state of '{operator}': {source}")]
    State {
        /// Which operator.
        operator: String,
        /// What the state store said.
        #[source]
        source: tidemill_state::Error,
    },
    /// Columns did not have the types that the plan promised, or stored bytes are not a row of this plan.
    #[error("operator '{operator}': {source}")]
    Columns {
        /// Which operator.
        operator: String,
        /// What arrow said.
        #[source]
        source: ArrowError,
    },
    /// A stored entry is shorter than its header.
    #[error(
        "state of '{operator}' holds an entry that is not of this format; restore from an older checkpoint"
    )]
    Entry {
        /// Which operator.
        operator: String,
    },
    /// The plan asks for what an operator cannot do.
    #[error("operator '{operator}': {reason}")]
    Plan {
        /// Which operator.
        operator: String,
        /// Why.
        reason: String,
    },
}

impl Error {
    /// What the caller must do.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::State { source, .. } => source.kind(),
            Self::Columns { .. } | Self::Plan { .. } => ErrorKind::Bug,
            Self::Entry { .. } => ErrorKind::Corrupt,
        }
    }
}

/// Names the operator in errors of the libraries below.
pub(crate) trait Context<T> {
    fn of(self, operator: &str) -> Result<T, Error>;
}

impl<T> Context<T> for Result<T, ArrowError> {
    fn of(self, operator: &str) -> Result<T, Error> {
        self.map_err(|source| Error::Columns {
            operator: operator.to_owned(),
            source,
        })
    }
}

impl<T> Context<T> for Result<T, tidemill_state::Error> {
    fn of(self, operator: &str) -> Result<T, Error> {
        self.map_err(|source| Error::State {
            operator: operator.to_owned(),
            source,
        })
    }
}
