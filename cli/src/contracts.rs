//! `tidemill contracts`: what topics are agreed to look like, and whether a job keeps to it.

mod check;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tidemill_connectors_api::Options;
use tidemill_connectors_api::registry::{Registered, Registry};
use tidemill_connectors_registry::{Whole, diff};
use tidemill_terminal::Failure;
use tidemill_terminal::show::{self, HEADING, counted};

use crate::registries;

const EXAMPLES: &str = "\
Examples:
  tidemill contracts list --registry http://localhost:8081
  tidemill contracts show payments-value --registry contracts/        # a folder, the newest version
  tidemill contracts diff payments-value 3 4 --registry URL           # in words
  tidemill contracts check JOB.sql                                    # before a deployment: ends with 2 if something does not fit
  tidemill contracts check JOB.sql --offline                          # the same without asking a server

A server that wants to know who asks: -o schema.registry.basic.auth.user.info=USER:PASSWORD, or any other option of a source's registry.";

/// Look at the schemas of topics, and compare a job with them.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// One line per subject: its versions, its level of compatibility, and the id of the newest.
    List(Place),
    /// One version of a subject, with its schema.
    Show {
        /// The subject, mostly a topic's name with '-value' behind it.
        subject: String,
        /// Which version; default: the newest.
        #[arg(long, value_name = "N")]
        version: Option<u32>,
        #[command(flatten)]
        place: Place,
    },
    /// What differs between two versions of a subject, in words.
    Diff {
        /// The subject.
        subject: String,
        /// A version.
        old: u32,
        /// Another; default: the newest.
        new: Option<u32>,
        #[command(flatten)]
        place: Place,
    },
    /// Compare a job's sources with their contracts, and its sinks' schemas with what is registered. Registers nothing.
    Check(check::Arguments),
}

#[derive(Debug, Args)]
struct Place {
    /// The registry: the URL of a server with Confluent's API, or a folder.
    #[arg(long, value_name = "URL|FOLDER")]
    registry: String,
    /// How the registry is reached, as in the WITH of a source.
    #[arg(short, long = "option", value_name = "NAME=VALUE", value_parser = option)]
    option: Vec<(String, String)>,
    /// Write JSON instead.
    #[arg(long)]
    json: bool,
}

fn option(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or("write it as NAME=VALUE".to_owned())?;
    Ok((name.trim().to_owned(), value.to_owned()))
}

impl Arguments {
    /// Lists, shows or compares.
    pub fn execute(&self) -> anyhow::Result<()> {
        match &self.action {
            Action::List(place) => place.list(),
            Action::Show {
                subject,
                version,
                place,
            } => place.show(subject, *version),
            Action::Diff {
                subject,
                old,
                new,
                place,
            } => place.diff(subject, *old, *new),
            Action::Check(arguments) => arguments.execute(),
        }
    }
}

impl Place {
    fn open(&self) -> anyhow::Result<Arc<dyn Registry>> {
        let mut options = Options::from_iter(self.option.iter().cloned());
        let is_url = self.registry.contains("://");
        if !is_url && !Path::new(&self.registry).is_dir() {
            let message = format!(
                "'{}' is no folder and no URL; write a server's as http://… or https://…",
                self.registry
            );
            return Err(Failure::invalid(message).into());
        }
        let name = if is_url {
            "schema.registry.url"
        } else {
            "schema.registry.folder"
        };
        options.insert(name.to_owned(), self.registry.clone());
        Ok(registries::open(&options)?)
    }

    fn list(&self) -> anyhow::Result<()> {
        let registry = self.open()?;
        let mut lines = Vec::new();
        for subject in registry.subjects()? {
            let versions = registry.versions(&subject)?;
            let Some(newest) = registry.latest(&subject)? else {
                continue;
            };
            lines.push((versions, newest, registry.level(&subject)?));
        }
        let mut out = show::stdout();
        if self.json {
            let lines = lines.iter().map(|(versions, newest, level)| {
                json!({
                    "subject": newest.at.subject,
                    "versions": versions,
                    "id": newest.id.0,
                    "format": newest.schema.kind.name(),
                    "compatibility": level.name(),
                })
            });
            writeln!(out, "{}", Value::Array(lines.collect()))?;
            return Ok(());
        }
        if lines.is_empty() {
            writeln!(out, "no subjects in '{}'", self.registry)?;
            return Ok(());
        }
        writeln!(
            out,
            "{HEADING}{:<40}  {:>8}  {:>8}  {:<9}  compatibility{HEADING:#}",
            "subject", "versions", "id", "format"
        )?;
        for (versions, newest, level) in lines {
            writeln!(
                out,
                "{:<40}  {:>8}  {:>8}  {:<9}  {}",
                newest.at.subject,
                versions.len(),
                newest.id,
                newest.schema.kind.to_string(),
                level
            )?;
        }
        Ok(())
    }

    fn version(
        &self,
        registry: &dyn Registry,
        subject: &str,
        version: Option<u32>,
    ) -> anyhow::Result<Registered> {
        registry.find(subject, version)?.ok_or_else(|| {
            let what = match version {
                Some(version) => format!("version {version} of '{subject}'"),
                None => format!("subject '{subject}'"),
            };
            Failure::invalid(format!(
                "'{}' has no {what}; see: tidemill contracts list --registry {}",
                self.registry, self.registry
            ))
            .into()
        })
    }

    fn show(&self, subject: &str, version: Option<u32>) -> anyhow::Result<()> {
        let registry = self.open()?;
        let found = self.version(registry.as_ref(), subject, version)?;
        let mut out = show::stdout();
        if self.json {
            let references =
                found.schema.references.iter().map(
                    |of| json!({ "name": of.name, "subject": of.subject, "version": of.version }),
                );
            let object = json!({
                "subject": found.at.subject,
                "version": found.at.version,
                "id": found.id.0,
                "format": found.schema.kind.name(),
                "references": references.collect::<Vec<_>>(),
                "schema": found.schema.text,
            });
            writeln!(out, "{object}")?;
            return Ok(());
        }
        writeln!(
            out,
            "{HEADING}{}, id {}, {}{HEADING:#}",
            found.at, found.id, found.schema.kind
        )?;
        for reference in &found.schema.references {
            writeln!(
                out,
                "refers to '{}': '{}' version {}",
                reference.name, reference.subject, reference.version
            )?;
        }
        let pretty = serde_json::from_str::<Value>(&found.schema.text);
        match pretty {
            Ok(schema) => writeln!(out, "{schema:#}")?,
            Err(_) => writeln!(out, "{}", found.schema.text)?,
        }
        Ok(())
    }

    fn diff(&self, subject: &str, old: u32, new: Option<u32>) -> anyhow::Result<()> {
        let registry = self.open()?;
        let registry = registry.as_ref();
        let old = self.version(registry, subject, Some(old))?;
        let new = self.version(registry, subject, new)?;
        let (before, after) = (
            Whole::of(registry, old.schema)?,
            Whole::of(registry, new.schema)?,
        );
        let differences = diff(&before, &after)?;
        let mut out = show::stdout();
        if self.json {
            let differences = differences
                .iter()
                .map(|of| json!({ "path": of.path, "what": of.what }));
            let object = json!({
                "subject": subject,
                "old": old.at.version,
                "new": new.at.version,
                "differences": differences.collect::<Vec<_>>(),
            });
            writeln!(out, "{object}")?;
            return Ok(());
        }
        writeln!(
            out,
            "{HEADING}'{subject}' from version {} to {}: {}{HEADING:#}",
            old.at.version,
            new.at.version,
            counted(differences.len() as u64, "difference")
        )?;
        for difference in differences {
            writeln!(out, "  {difference}")?;
        }
        Ok(())
    }
}
