//! What a job is planned with beside its text.

use tidemill_types::format::{ContractBook, Formats};
use tidemill_types::options::ConnectorOptions;

use crate::options::{Environment, Secrets};
use crate::profile::Profile;

/// The world that a job is planned for.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Overrides of the SQL's options.
    pub profile: &'a Profile,
    /// Answers `${NAME}`.
    pub environment: Environment<'a>,
    /// Answers `secret('name')`.
    pub secrets: Secrets<'a>,
    /// The formats that there are.
    pub formats: &'a Formats,
    /// The connectors that there are.
    pub connectors: &'a [ConnectorOptions],
    /// Where contracts are found.
    pub contracts: &'a dyn ContractBook,
}
