//! What a run is given beside its plan: the systems and formats that there are.

use std::path::Path;
use std::sync::Arc;

use tidemill_connectors_api::{Committer, Connector, Registry};
use tidemill_types::format::Formats;

use crate::contracts::{Ask, Registries};

/// Makes the journal of a job, by its name, whose sinks have none: in a folder of its state directory.
pub type LocalJournal<'a> = &'a dyn Fn(&str, &Path) -> Box<dyn Committer>;

/// What is built in.
#[derive(Clone, Copy)]
pub struct Plugins<'a> {
    /// The connectors.
    pub connectors: &'a [Arc<dyn Connector>],
    /// The formats.
    pub formats: &'a Formats,
    /// The registries of schemas.
    pub registries: &'a dyn Registries,
    /// How a registry is asked while a job runs.
    pub asker: fn(Arc<dyn Registry>) -> Box<dyn Ask>,
    /// Where the journal is if no sink is committed with one.
    pub journal: LocalJournal<'a>,
}
