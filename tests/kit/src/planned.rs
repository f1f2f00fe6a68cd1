//! Plans jobs with the product's formats.

use tidemill_connectors_api::ConnectorOptions;
use tidemill_jobs::options::no_secrets;
use tidemill_jobs::plan::JobPlan;
use tidemill_jobs::{Context, Profile, plan_job};
use tidemill_types::format::ContractBook;

/// The plan of a job that these connectors and contracts are known to, without profile or environment.
///
/// # Errors
/// What is wrong with it.
pub fn planned(
    name: &str,
    sql: &str,
    connectors: &[ConnectorOptions],
    contracts: &dyn ContractBook,
) -> Result<JobPlan, String> {
    let context = Context {
        profile: &Profile::default(),
        environment: &|_| None,
        secrets: &no_secrets,
        formats: &tidemill_formats::all(),
        connectors,
        contracts,
    };
    plan_job(name, sql, context).map_err(|error| error.to_string())
}
