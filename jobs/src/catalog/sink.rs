//! A `CREATE SINK`, checked by itself: who takes its options, and whether its connector can have what it says.

use std::path::PathBuf;

use tidemill_types::format::Envelope;
use tidemill_types::options::SinkKind;

use crate::context::Context;
use crate::contract::{self, PartFormats};
use crate::dialect::{Name, QueryText, SinkStatement};
use crate::error::{Error, Location};
use crate::metadata::{self, Metadata};
use crate::options::Options;
use crate::plan::{Contents, FormatPlan, RegistryPlan};
use crate::with::{Direction, With};

/// The options of a sink that are the planner's own.
const SINK_OPTIONS: [&str; 3] = ["key", metadata::HEADERS, metadata::TIME];

/// A `CREATE SINK`, its options checked.
#[derive(Debug, Clone)]
pub struct Sink {
    /// Its name.
    pub name: Name,
    /// Where the option `key` stands, or else the sink's name.
    pub key_at: Location,
    /// The key columns, not yet compared with the query's.
    pub key: Vec<String>,
    /// What stands beside its values, not yet compared with the query's columns.
    pub metadata: Metadata,
    /// What its records are.
    pub contents: Contents,
    /// The format.
    pub format: FormatPlan,
    /// Where it writes.
    pub target: Target,
    /// True if what is committed is brought there afterwards.
    pub is_delivered: bool,
    /// The registry of its schema.
    pub registry: Option<RegistryPlan>,
    /// The registry of its keys' schema.
    pub key_registry: Option<RegistryPlan>,
    /// The connector's options.
    pub options: Options,
    /// What it writes.
    pub query: QueryText,
}

/// Where a sink writes: no two sinks of a job to the same. A path is the same however it is spelt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    connector: String,
    path: Option<PathBuf>,
    url: Option<String>,
    /// Of the topic, table or index.
    name: Option<String>,
}

impl Sink {
    /// A sink as it is declared.
    pub fn new(statement: SinkStatement, context: Context<'_>) -> Result<Self, Error> {
        let name = statement.name;
        let with = With::new(Direction::Sink, &name, &statement.options, context)?;
        let connector = with.connector()?;
        let (format, envelope) = with.format(connector, context.formats)?;
        let formats = PartFormats {
            value: format,
            key: with.key_format(context.formats),
        };
        let own = [&SINK_OPTIONS[..], &contract::SINK_OPTIONS].concat();
        let split = with.split(connector, formats, envelope, &own)?;
        let registries = contract::of_sink(&with, &split.registry, formats)?;
        let key = with.list("key");
        if envelope.contents != Contents::Rows && key.is_empty() {
            let message = format!(
                "sink '{}' has envelope '{}' but no key; add key = 'column, …' to its WITH",
                name.text, envelope.name
            );
            return Err(Error::contradiction(name.at, message));
        }
        let is_delivered = connector.sinks != SinkKind::Transactional;
        if is_delivered {
            refuse_what_no_delivery_has(&with, envelope)?;
        }
        Ok(Self {
            key_at: with.place("key"),
            target: Target {
                path: with.get("path").map(PathBuf::from),
                url: with.get("url").map(str::to_owned),
                name: with.get(connector.target).map(str::to_owned),
                connector: connector.name.to_owned(),
            },
            is_delivered,
            key,
            metadata: Metadata::of(&with)?,
            contents: envelope.contents,
            format: FormatPlan {
                name: format.name().to_owned(),
                envelope: envelope.name.to_owned(),
                options: split.format,
            },
            registry: registries.value,
            key_registry: registries.key,
            options: split.connector,
            name,
            query: statement.query,
        })
    }

    /// The connector's name.
    pub fn connector(&self) -> &str {
        &self.target.connector
    }

    /// The name of the topic, table or index, if it has one.
    pub fn target_name(&self) -> Option<&str> {
        self.target.name.as_deref()
    }
}

/// A target has rows: nothing stands beside them, and what happened to them is not told.
fn refuse_what_no_delivery_has(with: &With<'_>, envelope: &Envelope) -> Result<(), Error> {
    for option in [metadata::HEADERS, metadata::TIME] {
        if with.get(option).is_some() {
            let message = format!(
                "what is delivered has no {option}; leave it a column, without this option"
            );
            return Err(Error::contradiction(with.place(option), message));
        }
    }
    if envelope.contents == Contents::Changes {
        let message = format!(
            "envelope '{}' tells what happened to a row, and a target has the row; use 'upsert' or 'plain'",
            envelope.name
        );
        return Err(Error::contradiction(with.place("envelope"), message));
    }
    Ok(())
}
