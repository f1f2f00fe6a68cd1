//! How `try` reaches the system that it looks at: what the command line and a profile say, and how the proposed job says it.
//!
//! *Promises* that a secret stands in nothing that is shown or written: what a value of `--with` names by `secret('name')` stands in the job so,
//! and one that was given in plain text is left to a secret that the job names. *Does not* write what a profile says: the job is run with it.

use std::collections::BTreeMap;
use std::path::Path;

use tidemill_connectors_api::{ConnectorOptions, Options};
use tidemill_jobs::{Profile, options};
use tidemill_terminal::{Failure, environment};

use super::Arguments;
use crate::config::Config;
use crate::secrets::Secrets;

/// Where Kafka is, if nobody says.
const BOOTSTRAP: &str = "127.0.0.1:9092";
/// Stands before the file that a configuration is looked for beside.
const HERE: &str = "job.sql";

/// What is looked at.
pub struct Target {
    /// Name of the connector.
    pub connector: String,
    /// Its options as they are used.
    pub options: Options,
    /// Its options as the job has them: as values of SQL.
    pub written: BTreeMap<String, String>,
    /// What to know of them.
    pub notes: Vec<String>,
}

impl Target {
    /// By the command line, and the profile that it names.
    pub fn of(arguments: &Arguments, known: &[ConnectorOptions]) -> anyhow::Result<Self> {
        let config = Config::read(arguments.config.as_deref(), Path::new(HERE))?;
        let profile = match &arguments.profile {
            Some(name) => Profile::from_toml(&config.text, name)?,
            None => Profile::default(),
        };
        let profiled = profile.of_sources();
        let connector = match (&arguments.path, profiled.get("connector")) {
            (Some(_), _) => "files",
            (None, Some(named)) => named.as_str(),
            (None, None) => "kafka",
        };
        let known = known.iter().find(|of| of.name == connector);
        let known = known.ok_or_else(|| {
            Failure::invalid(format!(
                "there is no connector '{connector}'; mend the profile"
            ))
        })?;
        let said = arguments.said(connector, profiled)?;
        refuse_unknown(known, &said)?;
        let of_profile = profiled.iter();
        let of_profile = of_profile.filter(|(name, _)| known.source.contains(&name.as_str()));
        let mut used: Options = of_profile
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        used.extend(said.clone());
        let folder = config.path.as_deref().and_then(Path::parent);
        let secrets = Secrets::new(&config.secrets, folder.unwrap_or(Path::new("")));
        let mut resolved = Options::new();
        for (name, value) in used {
            let value = options::resolve(&value, &environment::variable, &|of| secrets.answer(of));
            let value =
                value.map_err(|wrong| Failure::invalid(format!("option '{name}': {wrong}")))?;
            resolved.insert(name, value);
        }
        let mut notes = Vec::new();
        let written = said.into_iter().map(|(name, value)| {
            let sql = written(&name, &value, &mut notes);
            (name, sql)
        });
        let written = written.collect();
        if let Some(name) = &arguments.profile {
            notes.push(format!(
                "what profile '{name}' says is not in the job: run it with --profile {name}"
            ));
        }
        Ok(Self {
            connector: connector.to_owned(),
            options: resolved,
            written,
            notes,
        })
    }
}

impl Arguments {
    /// What the command line says, as the values of a profile are spelled.
    fn said(&self, connector: &str, profiled: &Options) -> Result<Options, Failure> {
        let mut said = Options::from([("topic".to_owned(), self.topic.clone())]);
        if let Some(path) = &self.path {
            said.insert("path".to_owned(), path.display().to_string());
        }
        let bootstrap = "bootstrap.servers";
        if let Some(servers) = &self.bootstrap_servers {
            said.insert(bootstrap.to_owned(), servers.clone());
        } else if connector == "kafka" && !profiled.contains_key(bootstrap) {
            said.insert(bootstrap.to_owned(), BOOTSTRAP.to_owned());
        }
        for option in &self.options {
            // The value may be a secret.
            let (name, value) = option.split_once('=').ok_or_else(|| {
                Failure::invalid("an option after '--with' is not NAME=VALUE".to_owned())
            })?;
            let of_secret = value.trim().strip_prefix("secret('");
            let of_secret = of_secret.and_then(|rest| rest.strip_suffix("')"));
            let value = match of_secret {
                Some(secret) => options::secret(secret).ok_or_else(|| {
                    Failure::invalid(format!(
                        "'{secret}' is no name of a secret; use a-z, A-Z, 0-9, '.', '_' and '-'"
                    ))
                })?,
                None => value.to_owned(),
            };
            said.insert(name.to_owned(), value);
        }
        Ok(said)
    }
}

/// An option's value as it stands in SQL.
fn written(name: &str, value: &str, notes: &mut Vec<String>) -> String {
    let of_secret = value
        .strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'));
    let of_secret = of_secret.and_then(|rest| rest.strip_prefix(options::SECRET));
    if let Some(secret) = of_secret {
        return format!("secret('{secret}')");
    }
    if options::is_secret(name) && !value.contains("${") {
        let secret = name.replace('.', "-");
        let variable = secret.to_uppercase().replace('-', "_");
        notes.push(format!(
            "the value of {name} is left out: set the variable TIDEMILL_SECRET_{variable} to it, or name its place in [secrets] of the configuration"
        ));
        return format!("secret('{secret}')");
    }
    format!("'{}'", value.replace('\'', "''"))
}

fn refuse_unknown(known: &ConnectorOptions, options: &Options) -> Result<(), Failure> {
    let is_known = |name: &&String| known.source.contains(&name.as_str());
    match options.keys().find(|name| !is_known(name)) {
        None => Ok(()),
        Some(name) => Err(Failure::invalid(format!(
            "connector '{}' has no option '{name}' for a source; it has '{}'",
            known.name,
            known.source.join("', '")
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::written;

    #[test]
    fn no_secret_is_written() {
        let mut notes = Vec::new();
        let mut sql = |name, value| written(name, value, &mut notes);
        assert_eq!(sql("sasl.username", "o'brien"), "'o''brien'");
        assert_eq!(sql("sasl.password", "${secret:kafka}"), "secret('kafka')");
        assert_eq!(sql("ssl.ca.location", "${CA}"), "'${CA}'");
        assert_eq!(sql("sasl.password", "hunter2"), "secret('sasl-password')");
        assert_eq!(notes.len(), 1);
        assert!(
            notes[0].contains("TIDEMILL_SECRET_SASL_PASSWORD") && !notes[0].contains("hunter2")
        );
    }
}
