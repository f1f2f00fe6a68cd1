//! What can be wrong with a job's SQL or its profile, with the place where a person has to look.

use tidemill_types::ErrorKind;

/// Up to so many names are listed where none of them is near.
const NAMES_LISTED_MAX: usize = 12;

/// A place in the SQL text, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// Line.
    pub line: u64,
    /// Column, in characters.
    pub column: u64,
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Why a job cannot be planned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text is not SQL of this dialect.
    #[error("{at}: {message}")]
    Syntax {
        /// Where.
        at: Location,
        /// What was expected and what was found.
        message: String,
    },
    /// A name that nothing has.
    #[error("{at}: unknown {what} '{name}'{hint}")]
    Unknown {
        /// Where.
        at: Location,
        /// Column, table, function.
        what: &'static str,
        /// The name.
        name: String,
        /// The nearest name or the names that exist, as the end of the sentence; may be empty.
        hint: String,
    },
    /// Valid SQL that a stream cannot be asked, or that is not built.
    #[error("{at}: {what} not supported; {instead}")]
    Unsupported {
        /// Where.
        at: Location,
        /// What, with its verb.
        what: String,
        /// What is supported.
        instead: String,
    },
    /// A declaration or a query that contradicts itself or another.
    #[error("{at}: {message}")]
    Contradiction {
        /// Where.
        at: Location,
        /// What, and what to do.
        message: String,
    },
    /// The profile cannot be used.
    #[error("profile '{profile}': {message}")]
    Profile {
        /// Its name.
        profile: String,
        /// What, and what to do.
        message: String,
    },
    /// An option refers to the environment, which has no such variable.
    #[error("option '{option}' of '{object}': {message}")]
    Environment {
        /// Name of the source or sink.
        object: String,
        /// Name of the option.
        option: String,
        /// What, and what to do.
        message: String,
    },
    /// A contract cannot be found, or the registry does not answer.
    #[error("{at}: {message}")]
    Contract {
        /// Where.
        at: Location,
        /// What to do about it.
        kind: ErrorKind,
        /// What, and what to do.
        message: String,
    },
    /// The planner broke its own promise.
    #[error("{at}: the planner failed: {message}; please report this job")]
    Planner {
        /// The query's place.
        at: Location,
        /// What failed.
        message: String,
    },
}

impl Error {
    /// What the caller must do.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Planner { .. } => ErrorKind::Bug,
            Self::Contract { kind, .. } => *kind,
            _ => ErrorKind::Invalid,
        }
    }

    /// Where in the SQL, if it is about the SQL.
    #[must_use]
    pub const fn location(&self) -> Option<Location> {
        match self {
            Self::Syntax { at, .. }
            | Self::Unknown { at, .. }
            | Self::Unsupported { at, .. }
            | Self::Contradiction { at, .. }
            | Self::Contract { at, .. }
            | Self::Planner { at, .. } => Some(*at),
            Self::Profile { .. } | Self::Environment { .. } => None,
        }
    }

    pub(crate) fn syntax(at: Location, message: impl Into<String>) -> Self {
        Self::Syntax {
            at,
            message: message.into(),
        }
    }

    pub(crate) fn contradiction(at: Location, message: impl Into<String>) -> Self {
        Self::Contradiction {
            at,
            message: message.into(),
        }
    }

    pub(crate) fn planner(at: Location, message: impl Into<String>) -> Self {
        Self::Planner {
            at,
            message: message.into(),
        }
    }

    pub(crate) fn unsupported(
        at: Location,
        what: impl Into<String>,
        instead: impl Into<String>,
    ) -> Self {
        Self::Unsupported {
            at,
            what: what.into(),
            instead: instead.into(),
        }
    }

    /// An unknown name, with the nearest of the names that exist, or all of them if they are few.
    pub(crate) fn unknown<'a>(
        at: Location,
        what: &'static str,
        name: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let known: Vec<_> = known.into_iter().collect();
        let hint = match nearest(name, &known) {
            Some(near) => format!("; did you mean '{near}'?"),
            None if (1..=NAMES_LISTED_MAX).contains(&known.len()) => {
                format!("; there are '{}'", known.join("', '"))
            }
            None => String::new(),
        };
        Self::Unknown {
            at,
            what,
            name: name.to_owned(),
            hint,
        }
    }
}

/// The name that is fewest edits away, if it is near enough to be a slip of the hand.
fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |candidate: &str| {
        datafusion_common::utils::datafusion_strsim::levenshtein(
            &candidate.to_lowercase(),
            &name.to_lowercase(),
        )
    };
    let (edits, candidate) = known
        .iter()
        .map(|candidate| (distance(candidate), *candidate))
        .min()?;
    (edits <= 2.max(name.len() / 3)).then_some(candidate)
}
