//! What a caller must do about an error; every library crate's `Error` has a `kind()`.

/// The six public kinds of error, named by what the caller must do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The outside world did not answer, or its answer is unknown: try again, after reading the journal where a commit was under way.
    Retry,
    /// The job or its settings are wrong: a person has to change them.
    Invalid,
    /// One record is bad: it goes to the dead letters and the job goes on.
    Data,
    /// A newer owner of the job exists: exit.
    Fenced,
    /// What lies on disk cannot be trusted: stop, and restore from an older checkpoint.
    Corrupt,
    /// Tidemill itself is wrong: report it.
    Bug,
}
