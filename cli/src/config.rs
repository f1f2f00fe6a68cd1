//! The configuration file: `[engine]` sets what the options of `run` set (an option wins), `[secrets]` says where
//! secrets come from, `[profile.NAME]` is the job's business.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Deserialize;
use tidemill_terminal::Failure;

use crate::secrets::SecretsTable;

/// Looked for beside the job's SQL.
const DEFAULT_NAME: &str = "profiles.toml";

/// A configuration file, or the lack of one.
#[derive(Debug, Default)]
pub struct Config {
    /// Where it was read from.
    pub path: Option<PathBuf>,
    /// All of it, for the profiles.
    pub text: String,
    /// The table `[engine]`.
    pub engine: EngineTable,
    /// The table `[secrets]`.
    pub secrets: SecretsTable,
}

/// The table `[engine]`: the long names of the options of `run`, with the same spelling of values.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct EngineTable {
    /// Worker threads.
    pub workers: Option<usize>,
    /// Where keyed state and checkpoints lie.
    pub state_dir: Option<PathBuf>,
    /// Memory for keyed state.
    pub state_memory: Option<String>,
    /// How long an epoch gathers input.
    pub epoch_interval: Option<String>,
    /// An epoch with so much input is closed at once.
    pub epoch_bytes: Option<String>,
    /// Time between two checkpoints.
    pub checkpoint_interval: Option<String>,
    /// How much may wait in the outbox of a sink that is delivered.
    pub outbox_size: Option<String>,
    /// How many checkpoints are kept.
    pub checkpoints_kept: Option<usize>,
    /// Where metrics are served.
    pub metrics_port: Option<u16>,
    /// Whether the time that each operator takes is told.
    pub operator_times: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    engine: EngineTable,
    #[serde(default)]
    secrets: SecretsTable,
    #[serde(default, rename = "profile")]
    _profile: toml::Table,
}

impl Config {
    /// Reads the file that was named, else `profiles.toml` beside the job if there is one, else nothing.
    pub fn read(named: Option<&Path>, job: &Path) -> anyhow::Result<Self> {
        let path = match named {
            Some(path) => path.to_owned(),
            None => job.with_file_name(DEFAULT_NAME),
        };
        if named.is_none() && !path.exists() {
            return Ok(Self::default());
        }
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Failure::invalid(format!(
                "cannot read '{shown}': {error}; name another file with --config"
            ))
        })?;
        let document = parse(&text).with_context(|| format!("'{shown}'"))?;
        Ok(Self {
            path: Some(path),
            text,
            engine: document.engine,
            secrets: document.secrets,
        })
    }
}

fn parse(text: &str) -> Result<Document, Failure> {
    let wrong = |error: toml::de::Error| Failure::invalid(error.to_string().trim_end().to_owned());
    toml::from_str(text).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::{EngineTable, parse};

    #[test]
    fn the_engine_table_is_read_and_profiles_are_left_alone() {
        let text = "[engine]\nworkers = 3\nepoch-interval = '50 ms'\n[profile.local.sources]\nconnector = 'files'";
        let engine = parse(text).expect("is valid").engine;
        assert_eq!(
            (engine.workers, engine.epoch_interval.as_deref()),
            (Some(3), Some("50 ms"))
        );
        assert_eq!(parse("").expect("is valid").engine, EngineTable::default());
    }

    #[test]
    fn a_misspelt_setting_is_refused_with_its_line() {
        let error = parse("[engine]\nworker = 3")
            .expect_err("is misspelt")
            .to_string();
        assert!(
            error.contains("line 2") && error.contains("`worker`") && error.contains("`workers`"),
            "{error}"
        );
    }
}
