//! How a connector is built from the options of the job.

pub use tidemill_types::options::{ConnectorOptions, Options};

use tidemill_types::ErrorKind;

use crate::{Committer, Error, Replay, SinkSpec, Source};

/// A kind of system that jobs read from and write to, by the name that stands in `connector = '…'`.
pub trait Connector: Send + Sync {
    /// Its name in `connector = '…'`, and the options that it takes: no others are given to it.
    fn options(&self) -> ConnectorOptions;

    /// Builds the reader of one source. Does not connect yet.
    ///
    /// # Errors
    /// `Invalid` for an option that is missing, or has a value that it cannot have.
    fn source(&self, spec: &SourceSpec<'_>) -> Result<Box<dyn Source>, Error>;

    /// Builds the committer of all sinks of a job. Does not connect yet.
    ///
    /// # Errors
    /// As [`Connector::source`], and where the sinks cannot be committed together.
    fn committer(&self, job: &str, sinks: &[SinkSpec]) -> Result<Box<dyn Committer>, Error>;

    /// Whether a source reads a topic.
    ///
    /// # Errors
    /// As [`Connector::source`].
    fn reads(&self, spec: &SourceSpec<'_>, topic: &str) -> Result<bool, Error> {
        Ok(spec.options.get("topic").is_some_and(|read| read == topic))
    }

    /// Builds what puts records of a source back into one of the topics that it reads. Does not connect yet.
    ///
    /// # Errors
    /// As [`Connector::source`], and where the connector cannot write to what it reads.
    fn replay(&self, spec: &SourceSpec<'_>, topic: &str) -> Result<Box<dyn Replay>, Error> {
        let name = self.options().name;
        let message = format!(
            "topic '{topic}' of source '{}' is read by connector '{name}', which cannot put records back; export them, and write them there by other means",
            spec.name
        );
        Err(Error::new(ErrorKind::Invalid, message))
    }
}

/// One source as its reader sees it.
#[derive(Debug, Clone, Copy)]
pub struct SourceSpec<'a> {
    /// Name of the job.
    pub job: &'a str,
    /// Name of the `CREATE SOURCE`.
    pub name: &'a str,
    /// Its options.
    pub options: &'a Options,
    /// True if somebody reads the headers of records; else they may be left out.
    pub headers: bool,
}

impl<'a> SourceSpec<'a> {
    /// Of a source whose headers nobody reads.
    #[must_use]
    pub const fn new(job: &'a str, name: &'a str, options: &'a Options) -> Self {
        Self {
            job,
            name,
            options,
            headers: false,
        }
    }
}
