//! How a connector is built from the options of the job.

pub use tidemill_types::options::{ConnectorOptions, Options, SinkKind};

use tidemill_types::ErrorKind;

use crate::{Committer, Delivery, DeliverySpec, Error, Replay, SinkSpec, Source};

/// A kind of system that jobs read from and write to, by the name that stands in `connector = '…'`.
pub trait Connector: Send + Sync {
    /// Its name in `connector = '…'`, and the options that it takes: no others are given to it.
    fn options(&self) -> ConnectorOptions;

    /// Builds the reader of one source. Does not connect yet.
    ///
    /// # Errors
    /// `Invalid` for an option that is missing, or has a value that it cannot have.
    fn source(&self, spec: &SourceSpec<'_>) -> Result<Box<dyn Source>, Error> {
        let message = format!(
            "source '{}': nothing can be read with connector '{}'; name another one",
            spec.name,
            self.options().name
        );
        Err(Error::new(ErrorKind::Invalid, message))
    }

    /// Builds the committer of all sinks of a job that are of this connector, if they are [`SinkKind::Transactional`]. Does not connect yet.
    ///
    /// # Errors
    /// As [`Connector::source`], and where the sinks cannot be committed together.
    fn committer(&self, _job: &str, sinks: &[SinkSpec]) -> Result<Box<dyn Committer>, Error> {
        let names = sinks.iter().map(|sink| sink.name.as_str());
        Err(self.cannot_write(names.collect::<Vec<_>>().join("', '").as_str()))
    }

    /// Builds what brings the records of a sink there, if its sinks are [`SinkKind::Delivered`]. Does not connect yet.
    ///
    /// # Errors
    /// As [`Connector::source`], and if a column has a type that has none there.
    fn delivery(&self, spec: &DeliverySpec<'_>) -> Result<Box<dyn Delivery>, Error> {
        Err(self.cannot_write(spec.name))
    }

    /// That a sink cannot be of this connector.
    fn cannot_write(&self, sink: &str) -> Error {
        let name = self.options().name;
        let message = format!(
            "sink '{sink}': nothing can be written so with connector '{name}'; name another one"
        );
        Error::new(ErrorKind::Invalid, message)
    }

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
