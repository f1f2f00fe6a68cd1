//! Plans jobs for connectors that take what these tests say to them.

use tidemill_jobs::options::{Environment, no_secrets};
use tidemill_jobs::plan::JobPlan;
use tidemill_jobs::{Context, Error, Profile, plan_job};
use tidemill_types::ErrorKind;
use tidemill_types::format::{self, Contract, ContractBook, SchemaText};
use tidemill_types::options::{ConnectorOptions, Options, SinkKind};

/// Plans a job.
pub fn plan(
    name: &str,
    sql: &str,
    profile: &Profile,
    environment: Environment<'_>,
) -> Result<JobPlan, Error> {
    let kafka = [
        "topic",
        "topic.pattern",
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
            target: "topic",
            sinks: SinkKind::Transactional,
        },
        ConnectorOptions {
            name: "files",
            source: vec!["path", "topic"],
            sink: vec!["path", "topic", "partitions"],
            target: "topic",
            sinks: SinkKind::Transactional,
        },
        ConnectorOptions {
            name: "x",
            source: vec!["topic"],
            sink: vec!["topic"],
            target: "topic",
            sinks: SinkKind::Transactional,
        },
        ConnectorOptions {
            name: "postgres",
            source: vec![],
            sink: vec!["table"],
            target: "table",
            sinks: SinkKind::Delivered { formats: &["json"] },
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
        contracts: &Book,
    };
    plan_job(name, sql, context)
}

/// A registry with a subject of which there are two versions, and one of its keys.
struct Book;

impl ContractBook for Book {
    fn options(&self) -> &'static [&'static str] {
        &["schema.registry.url", "schema.registry.bearer.auth.token"]
    }

    fn contract(
        &self,
        registry: &Options,
        subject: &str,
        version: Option<u32>,
    ) -> Result<Option<Contract>, format::Error> {
        if registry["schema.registry.url"] == "http://away" {
            return Err(format::Error::Registry {
                kind: ErrorKind::Retry,
                message: "the registry does not answer".to_owned(),
            });
        }
        if subject == "orders-key" && version.is_none_or(|version| version == 1) {
            return Ok(Some(Contract {
                subject: subject.to_owned(),
                version: 1,
                id: 81,
                schema: SchemaText {
                    text: "\"long\"".to_owned(),
                    references: Vec::new(),
                },
            }));
        }
        let version = version.unwrap_or(2);
        if subject != "orders-value" || version > 2 {
            return Ok(None);
        }
        let city = r#", {"name": "city", "type": ["null", "string"], "default": null}"#;
        Ok(Some(Contract {
            subject: subject.to_owned(),
            version,
            id: 70 + version,
            schema: SchemaText {
                text: format!(
                    r#"{{"type": "record", "name": "o", "fields": [{{"name": "id", "type": "long"}}{}]}}"#,
                    if version == 2 { city } else { "" }
                ),
                references: Vec::new(),
            },
        }))
    }
}
