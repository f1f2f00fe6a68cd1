//! `tidemill contracts check`: whether a job keeps to the contracts of its topics, before it is deployed.

use std::io::Write;
use std::sync::Arc;

use clap::Args;
use serde_json::json;
use tidemill_engine::contracts::Known;
use tidemill_jobs::plan::{Column, ColumnOrigin, JobPlan, RegistryPlan, SourcePlan};
use tidemill_terminal::Failure;
use tidemill_terminal::show::{self, BAD, GOOD};
use tidemill_types::format::Schemas;

use crate::job::JobArguments;
use crate::plugins;
use crate::registries::{self, Book, SinkContract};

/// What to check.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    job: JobArguments,
    /// Ask no server: derive the schemas, and compare only with registries that are folders.
    #[arg(long)]
    offline: bool,
    /// Write a JSON object a line instead.
    #[arg(long)]
    json: bool,
}

/// What was found of one source or sink.
struct Finding {
    kind: &'static str,
    name: String,
    subject: String,
    /// What it is, if it fits.
    is: String,
    /// What does not fit.
    problems: Vec<String>,
}

impl Arguments {
    /// Checks, and fails if something does not fit.
    pub fn execute(&self) -> anyhow::Result<()> {
        let book = Book {
            is_offline: self.offline,
            ..Book::default()
        };
        let plan = self.job.load_by(&book)?;
        let mut findings = sources(&plan);
        for of in registries::of_sinks(&plan, &book)? {
            findings.push(self.sink(&plan.sinks[of.sink].name, &of)?);
        }
        let mut out = show::stdout();
        for finding in &findings {
            let Finding {
                kind,
                name,
                subject,
                is,
                problems,
            } = finding;
            if self.json {
                let object = json!({
                    "kind": kind, "name": name, "subject": subject, "is": is, "problems": problems,
                });
                writeln!(out, "{object}")?;
                continue;
            }
            let verdict = if problems.is_empty() {
                format!("{GOOD}{is}{GOOD:#}")
            } else {
                format!("{BAD}does not fit{BAD:#}")
            };
            writeln!(out, "{kind} {name}: '{subject}': {verdict}")?;
            for problem in problems {
                writeln!(out, "  {problem}")?;
            }
        }
        if findings.is_empty() && !self.json {
            writeln!(
                out,
                "no source and no sink names a registry; add schema.registry.url or schema.registry.folder to a WITH"
            )?;
        }
        let wrong = findings.iter().filter(|of| !of.problems.is_empty()).count();
        if wrong > 0 {
            let message = format!(
                "{wrong} of {} contracts are not kept; nothing was registered",
                findings.len()
            );
            return Err(Failure::invalid(message).into());
        }
        Ok(())
    }

    fn sink(&self, name: &str, sink: &SinkContract) -> anyhow::Result<Finding> {
        let options = &sink.registry.options;
        let subject = &sink.registry.subject;
        let mut finding = Finding {
            kind: "sink",
            name: name.to_owned(),
            subject: subject.clone(),
            is: String::new(),
            problems: Vec::new(),
        };
        if self.offline && registries::is_server(options) {
            finding.is = "has a schema; not compared with the server's".to_owned();
            return Ok(finding);
        }
        let registry = registries::open(options)?;
        let differences = registry.differences(subject, &sink.schema)?;
        finding.problems = differences.iter().map(ToString::to_string).collect();
        finding.is = match registry.latest(subject)? {
            None => "is its first version".to_owned(),
            Some(latest) if latest.schema == sink.schema => {
                format!("is version {}", latest.at.version)
            }
            Some(latest) => format!("can follow version {}", latest.at.version),
        };
        Ok(finding)
    }
}

fn sources(plan: &JobPlan) -> Vec<Finding> {
    let of_source = |source: &SourcePlan| {
        let is_of_key = |column: &Column| matches!(column.origin, ColumnOrigin::Key(_));
        let values = source.registry.as_ref();
        let values = values.and_then(|of| found(source, of, |column| !is_of_key(column)));
        let keys = source.key_registry.as_ref();
        let keys = keys.and_then(|of| found(source, of, is_of_key));
        values.into_iter().chain(keys)
    };
    plan.sources.iter().flat_map(of_source).collect()
}

/// What of a source's columns goes with a contract.
fn found(
    source: &SourcePlan,
    registry: &RegistryPlan,
    is_of_it: impl Fn(&Column) -> bool,
) -> Option<Finding> {
    let schemas: Arc<dyn Schemas> = Arc::new(Known::default());
    let formats = plugins::formats();
    let format = formats.named(&source.format.name)?;
    let columns = source.columns.iter().filter(|column| is_of_it(column));
    let part = SourcePlan {
        columns: columns.cloned().collect(),
        watermark: None,
        ..source.clone()
    };
    let decoder = format.decoder(&part.spec(Some(&schemas)));
    Some(Finding {
        kind: "source",
        name: source.name.clone(),
        subject: registry.subject.clone(),
        is: match &registry.contract {
            Some(contract) => format!("has its columns in version {}", contract.version),
            None => "has no version that its columns could be compared with".to_owned(),
        },
        problems: decoder.err().iter().map(ToString::to_string).collect(),
    })
}
