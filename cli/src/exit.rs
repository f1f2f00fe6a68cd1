//! What a failure means to whoever called: an exit code, and on standard error what happened and what to do.

use std::process::ExitCode;

use tidemill_types::ErrorKind;

use crate::show::{BAD, QUIET};

/// A failure that this crate found itself, or one of a library with the place added.
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

/// Says what happened, and returns the exit code for it.
pub fn report(error: &anyhow::Error) -> ExitCode {
    if error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    {
        return ExitCode::from(NOBODY_READS);
    }
    anstream::eprintln!("{BAD}error:{BAD:#} {error:#}");
    let kind = kind(error);
    if let Some(next) = kind.and_then(next_step) {
        anstream::eprintln!("{QUIET}{next}{QUIET:#}");
    }
    ExitCode::from(kind.map_or(1, code))
}

/// The kind of the first error in the chain that has one.
fn kind(error: &anyhow::Error) -> Option<ErrorKind> {
    error.chain().find_map(|cause| {
        let failure = cause.downcast_ref::<Failure>().map(|failure| failure.kind);
        failure
            .or_else(|| {
                cause
                    .downcast_ref::<tidemill_engine::Error>()
                    .map(tidemill_engine::Error::kind)
            })
            .or_else(|| {
                cause
                    .downcast_ref::<tidemill_jobs::Error>()
                    .map(tidemill_jobs::Error::kind)
            })
            .or_else(|| {
                cause
                    .downcast_ref::<tidemill_checkpoints::Error>()
                    .map(tidemill_checkpoints::Error::kind)
            })
            .or_else(|| {
                cause
                    .downcast_ref::<tidemill_connectors_api::Error>()
                    .map(tidemill_connectors_api::Error::kind)
            })
            .or_else(|| {
                cause
                    .downcast_ref::<tidemill_studio::Error>()
                    .map(tidemill_studio::Error::kind)
            })
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
    use tidemill_types::ErrorKind;

    use super::{Failure, code, kind};

    #[test]
    fn the_kind_is_found_below_what_was_added_to_the_message() {
        let error = anyhow::Error::new(Failure::new(ErrorKind::Fenced, "x")).context("job 'a'");
        assert_eq!(kind(&error).map(code), Some(3));
        assert_eq!(format!("{error:#}"), "job 'a': x");
        assert_eq!(kind(&anyhow::anyhow!("x")), None);
    }
}
