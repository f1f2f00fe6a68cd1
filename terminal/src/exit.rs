//! What a failure means to whoever called: an exit code, and on standard error what happened and what to do.

use std::error::Error;
use std::process::ExitCode;

use tidemill_types::ErrorKind;

use crate::show::{BAD, QUIET};

/// A failure that a binary found itself, or one of a library with the place added.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    kind: ErrorKind,
    message: String,
}

impl Failure {
    /// A failure of a kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// Something that a person has to change.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }
}

/// Exit code when who read standard output has gone, as a shell reports it of any command.
const NOBODY_READS: u8 = 141;

/// The kind of an error, if it is one of those that a binary can meet.
pub type KindOf = fn(&(dyn Error + 'static)) -> Option<ErrorKind>;

/// Says what happened, and returns the exit code for it. `kind_of` knows the errors of the libraries that the binary uses.
#[must_use]
pub fn report(error: &anyhow::Error, kind_of: KindOf) -> ExitCode {
    if error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    {
        return ExitCode::from(NOBODY_READS);
    }
    anstream::eprintln!("{BAD}error:{BAD:#} {error:#}");
    let kind = kind(error, kind_of);
    if let Some(next) = kind.and_then(next_step) {
        anstream::eprintln!("{QUIET}{next}{QUIET:#}");
    }
    ExitCode::from(kind.map_or(1, code))
}

/// The kind of the first error in the chain that has one.
fn kind(error: &anyhow::Error, kind_of: KindOf) -> Option<ErrorKind> {
    error.chain().find_map(|cause| {
        let failure = cause.downcast_ref::<Failure>().map(|failure| failure.kind);
        failure.or_else(|| kind_of(cause))
    })
}

const fn code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Retry | ErrorKind::Data | ErrorKind::Bug => 1,
        ErrorKind::Invalid => 2,
        ErrorKind::Fenced => 3,
        ErrorKind::Corrupt => 4,
    }
}

const fn next_step(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::Retry => Some(
            "this may pass: start the same command again once the cause is gone; a job goes on where it was",
        ),
        ErrorKind::Fenced => Some(
            "another process runs this job, and nothing is lost; if it is not meant to, find out who started it",
        ),
        ErrorKind::Corrupt => Some(
            "'tidemill checkpoints list --state-dir DIR' shows what can still be used; docs/operate/recover.md says how",
        ),
        ErrorKind::Bug => Some(
            "this is a bug of tidemill: keep the state directory, and report it with the message above",
        ),
        ErrorKind::Invalid | ErrorKind::Data => None,
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use tidemill_types::ErrorKind;

    use super::{Failure, code, kind};

    /// An error of some library.
    #[derive(Debug, thiserror::Error)]
    #[error("torn")]
    struct Torn;

    fn kind_of(error: &(dyn Error + 'static)) -> Option<ErrorKind> {
        error.is::<Torn>().then_some(ErrorKind::Corrupt)
    }

    #[test]
    fn the_kind_is_found_below_what_was_added_to_the_message() {
        let error = anyhow::Error::new(Failure::new(ErrorKind::Fenced, "x")).context("job 'a'");
        assert_eq!(kind(&error, kind_of).map(code), Some(3));
        assert_eq!(format!("{error:#}"), "job 'a': x");
        let error = anyhow::Error::new(Torn).context("job 'a'");
        assert_eq!(kind(&error, kind_of).map(code), Some(4));
        assert_eq!(kind(&anyhow::anyhow!("x"), kind_of), None);
    }
}
