//! Plans jobs for connectors that take what these tests say to them.

use tidemill_jobs::options::{Environment, no_secrets};
use tidemill_jobs::plan::JobPlan;
use tidemill_jobs::{Context, Error, Profile, plan_job};
use tidemill_types::options::ConnectorOptions;

/// Plans a job.
pub fn plan(
    name: &str,
    sql: &str,
    profile: &Profile,
    environment: Environment<'_>,
) -> Result<JobPlan, Error> {
    let kafka = [
        "topic",
        "bootstrap.servers",
        "sasl.password",
        "schema.url",
        "fetch.min.bytes",
    ];
    let connectors = [
        ConnectorOptions {
            name: "kafka",
            source: kafka.to_vec(),
            sink: [&kafka[..], &["partitions", "ssl.key.pem", "linger.ms"]].concat(),
        },
        ConnectorOptions {
            name: "files",
            source: vec!["path", "topic"],
            sink: vec!["path", "topic", "partitions"],
        },
        ConnectorOptions {
            name: "x",
            source: vec!["topic"],
            sink: vec!["topic"],
        },
    ];
    let context = Context {
        profile,
        environment,
        secrets: &|name| match name {
            "kafka" => Ok("hunter2".to_owned()),
            _ => no_secrets(name),
        },
        formats: &tidemill_formats::all(),
        connectors: &connectors,
    };
    plan_job(name, sql, context)
}
