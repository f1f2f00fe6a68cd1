//! The `WITH` options that this connector knows.
//!
//! No others come here: the planner refuses what nobody takes.

use std::path::PathBuf;

use tidemill_connectors_api::{ConnectorOptions, Error, Options, SinkKind, SinkSpec};
use tidemill_types::ErrorKind;

/// What a sink's file count may be set to at most: each is a file that stays open.
const PARTITIONS_MAX: u32 = 1024;

/// The options that there are.
pub fn known() -> ConnectorOptions {
    ConnectorOptions {
        name: "files",
        source: vec!["path", "topic"],
        sink: vec!["path", "topic", "partitions"],
        target: "topic",
        sinks: SinkKind::Transactional,
    }
}

/// Where a source reads.
#[derive(Debug, Clone)]
pub struct SourceOptions {
    /// Folder of topics.
    pub path: PathBuf,
    /// Folder in it.
    pub topic: String,
}

/// Where one sink writes.
#[derive(Debug, Clone)]
pub struct SinkOptions {
    /// Name of the `CREATE SINK`, for messages.
    pub name: String,
    /// Folder under the path.
    pub topic: String,
    /// Among how many files its keys are spread.
    pub partitions: u32,
}

/// Where the sinks of a job write.
#[derive(Debug, Clone)]
pub struct CommitterOptions {
    /// Folder of topics, the same for all sinks.
    pub path: PathBuf,
    /// In order of the [`SinkSpec`]s.
    pub sinks: Vec<SinkOptions>,
}

impl SourceOptions {
    /// Reads a source's options.
    pub fn parse(source: &str, options: &Options) -> Result<Self, Error> {
        let what = format!("source '{source}'");
        Ok(Self {
            path: required(&what, options, "path")?.into(),
            topic: topic(&what, options)?,
        })
    }
}

impl CommitterOptions {
    /// Reads the options of all sinks of a job.
    pub fn parse(specs: &[SinkSpec]) -> Result<Self, Error> {
        let mut path: Option<(PathBuf, &str)> = None;
        let mut sinks = Vec::with_capacity(specs.len());
        for spec in specs {
            let what = format!("sink '{}'", spec.name);
            let own = PathBuf::from(required(&what, &spec.options, "path")?);
            match &path {
                None => path = Some((own, &spec.name)),
                Some((shared, _)) if *shared == own => {}
                Some((shared, first)) => {
                    return Err(invalid(format!(
                        "{what} writes to path '{}' but sink '{first}' to '{}': the sinks of a job are committed together, give all of them the same 'path'",
                        own.display(),
                        shared.display()
                    )));
                }
            }
            sinks.push(SinkOptions {
                name: spec.name.clone(),
                topic: topic(&what, &spec.options)?,
                partitions: partitions(&what, &spec.options)?,
            });
        }
        let Some((path, _)) = path else {
            return Err(invalid(
                "the job has no sink with connector 'files'; add a CREATE SINK".to_owned(),
            ));
        };
        Ok(Self { path, sinks })
    }
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

fn required<'a>(what: &str, options: &'a Options, name: &str) -> Result<&'a str, Error> {
    match options.get(name) {
        Some(value) if !value.is_empty() => Ok(value),
        _ => Err(invalid(format!(
            "{what} lacks the option '{name}', which connector 'files' needs; add {name} = '…' to its WITH"
        ))),
    }
}

fn topic(what: &str, options: &Options) -> Result<String, Error> {
    let topic = required(what, options, "topic")?;
    if topic.starts_with(['_', '.']) || topic.contains(['/', '\\', '\0']) {
        return Err(invalid(format!(
            "{what} has topic '{topic}', which is no folder name: use letters, digits, '.', '-', '_', and begin with a letter or digit"
        )));
    }
    Ok(topic.to_owned())
}

fn partitions(what: &str, options: &Options) -> Result<u32, Error> {
    let Some(text) = options.get("partitions") else {
        return Ok(1);
    };
    match text.parse() {
        Ok(count) if (1..=PARTITIONS_MAX).contains(&count) => Ok(count),
        _ => Err(invalid(format!(
            "{what} has partitions = '{text}'; give a number from 1 to {PARTITIONS_MAX}"
        ))),
    }
}
