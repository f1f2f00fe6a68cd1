//! A real OpenSearch or Elasticsearch: one node, run by `scripts/opensearch.sh`.
//!
//! *Does not* know what is asked of it: those that test it use a connector, or HTTP.

use std::ffi::OsString;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use crate::ports::{Start, free_ports, on_free_ports_of};
use crate::{Error, Script};

/// The ports of HTTP that the launcher in the jars knows.
const PORTS: RangeInclusive<u16> = 9201..=9299;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// OpenSearch.
    OpenSearch,
    /// The last Elasticsearch under the Apache licence.
    Elasticsearch,
}

impl Engine {
    const fn name(self) -> &'static str {
        match self {
            Self::OpenSearch => "opensearch",
            Self::Elasticsearch => "elasticsearch",
        }
    }
}

/// One node with its own data and ports. The script ends it when this process is gone.
#[derive(Debug)]
pub struct SearchNode {
    port: u16,
    variables: Vec<(&'static str, OsString)>,
}

impl SearchNode {
    /// Starts a node whose data lies in `data`; returns when its shards can be written to.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(data: &Path, engine: Engine) -> Result<Self, Error> {
        Self::start_with(data, engine, &[])
    }

    /// The same with variables of the script: see there.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start_with(
        data: &Path,
        engine: Engine,
        more: &[(&'static str, &str)],
    ) -> Result<Self, Error> {
        std::fs::create_dir_all(data)?;
        let data: PathBuf = data.canonicalize()?;
        on_free_ports_of(&PORTS, |port| {
            let transport = free_ports(1).map_err(|error| Start::Failed(error.into()))?;
            let more = more.iter().map(|&(name, value)| (name, value.into()));
            let mut variables: Vec<(&str, OsString)> = more.collect();
            variables.extend([
                ("OPENSEARCH_ENGINE", engine.name().into()),
                ("OPENSEARCH_DATA", data.clone().into()),
                ("OPENSEARCH_PORT", port.to_string().into()),
                ("OPENSEARCH_TRANSPORT_PORT", transport[0].to_string().into()),
            ]);
            Script::OPENSEARCH.run("start", &variables)?;
            Ok(Self { port, variables })
        })
    }

    fn script(&self, command: &str) -> Result<(), Error> {
        Script::OPENSEARCH
            .run(command, &self.variables)
            .map_err(Start::into_error)
    }

    /// Ends it cleanly; its data stays.
    ///
    /// # Errors
    /// If that fails.
    pub fn stop(&self) -> Result<(), Error> {
        self.script("stop")
    }

    /// Ends it as a crash would.
    ///
    /// # Errors
    /// If that fails, or it does not run.
    pub fn kill(&self) -> Result<(), Error> {
        self.script("kill")
    }

    /// Starts it again, with what it had and at the same port; returns when its shards can be written to.
    ///
    /// # Errors
    /// If it does not start, or runs.
    pub fn start_again(&self) -> Result<(), Error> {
        self.script("start")
    }

    /// Its port of HTTP.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Where it answers.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}
