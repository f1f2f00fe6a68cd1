//! How a connector is built from the options of the job.

use std::collections::BTreeMap;

use crate::{Committer, Error, SinkSpec, Source};

/// The `WITH` options of an object after the profile was applied, secrets resolved.
pub type Options = BTreeMap<String, String>;

/// A kind of system that jobs read from and write to, by the name that stands in `connector = '…'`.
pub trait Connector: Send + Sync {
    /// The name in `connector = '…'`.
    fn name(&self) -> &'static str;

    /// Builds the reader of one source. Does not connect yet.
    ///
    /// # Errors
    /// `Invalid` for a missing or unknown option: names it, and the ones that exist.
    fn source(
        &self,
        job: &str,
        source_name: &str,
        options: &Options,
    ) -> Result<Box<dyn Source>, Error>;

    /// Builds the committer of all sinks of a job. Does not connect yet.
    ///
    /// # Errors
    /// `Invalid` for a missing or unknown option, or where the sinks cannot be committed together.
    fn committer(&self, job: &str, sinks: &[SinkSpec]) -> Result<Box<dyn Committer>, Error>;
}
