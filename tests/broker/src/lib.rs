//! Real brokers for tests and benches: `scripts/kafka.sh` run with free ports, and with other ones where somebody was quicker. And a real
//! registry of schemas, a real OpenSearch, a real PostgreSQL and a real Redis likewise.
//!
//! *Promises* that a start fails only for a reason that other ports would not mend. *Does not* know Kafka's protocol, nor any connector: those
//! that test one use it.

pub mod certificates;
pub mod door;
pub mod ports;
pub mod postgres;
pub mod redis;
pub mod registry;
pub mod search;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ports::{Start, on_free_ports};

/// The script's exit code where somebody else listens on a port that the broker was to have.
const EXIT_PORT_TAKEN: i32 = 3;

/// Why the script did not do what it was to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be run, or there was no port.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Its own words.
    #[error("'{script} {command}' failed: {words}")]
    Script {
        /// Which.
        script: &'static str,
        /// What it was told to do.
        command: String,
        /// What it said.
        words: String,
    },
}

/// A script that starts and ends a server.
struct Script {
    file: &'static str,
    /// The variable with the process at whose end the server ends.
    owner: &'static str,
}

impl Script {
    const KAFKA: Self = Self {
        file: "kafka.sh",
        owner: "KAFKA_OWNER",
    };
    const REGISTRY: Self = Self {
        file: "registry.sh",
        owner: "REGISTRY_OWNER",
    };
    const OPENSEARCH: Self = Self {
        file: "opensearch.sh",
        owner: "OPENSEARCH_OWNER",
    };
    const POSTGRES: Self = Self {
        file: "postgres.sh",
        owner: "POSTGRES_OWNER",
    };
    const REDIS: Self = Self {
        file: "redis.sh",
        owner: "REDIS_OWNER",
    };

    /// Runs it with variables of its environment. All that it says stands in the error.
    fn run(&self, command: &str, variables: &[(&str, OsString)]) -> Result<(), Start<Error>> {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts");
        let output = Command::new(scripts.join(self.file))
            .arg(command)
            .env(self.owner, std::process::id().to_string())
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .output()
            .map_err(|error| Start::Failed(error.into()))?;
        if output.status.success() {
            return Ok(());
        }
        let error = Error::Script {
            script: self.file,
            command: command.to_owned(),
            words: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        Err(match output.status.code() {
            Some(EXIT_PORT_TAKEN) => Start::PortTaken(error),
            _ => Start::Failed(error),
        })
    }
}

/// Runs `scripts/kafka.sh` with variables of its environment. All that it says stands in the error.
///
/// # Errors
/// If it fails; [`Start::PortTaken`] if somebody else has a port.
pub fn script(command: &str, variables: &[(&str, OsString)]) -> Result<(), Start<Error>> {
    Script::KAFKA.run(command, variables)
}

/// What a broker has otherwise than by default.
#[derive(Clone, Copy)]
pub struct Setup<'a> {
    /// Variables of the script: see there.
    pub variables: &'a [(&'static str, &'a str)],
    /// How many ports it has beside the plain one and the controller's.
    pub doors: usize,
    /// Its settings, from its ports: the plain one, the controller's, those of the doors.
    pub properties: &'a dyn Fn(&[u16]) -> String,
}

impl Default for Setup<'_> {
    fn default() -> Self {
        Self {
            variables: &[],
            doors: 0,
            properties: &|_| String::new(),
        }
    }
}

/// One broker with its own data and ports. The script ends it when this process is gone.
#[derive(Debug)]
pub struct Broker {
    data: PathBuf,
    variables: Vec<(&'static str, OsString)>,
    ports: Vec<u16>,
}

impl Broker {
    /// Starts a broker whose data lies in `data`; returns when it answers.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(data: &Path, setup: &Setup<'_>) -> Result<Self, Error> {
        let properties = data.with_extension("properties");
        on_free_ports(2 + setup.doors, |ports| {
            let text = (setup.properties)(ports);
            let written = data.parent().map_or(Ok(()), fs::create_dir_all);
            let written = written.and_then(|()| fs::write(&properties, text));
            written.map_err(|error| Start::Failed(error.into()))?;
            let given = setup.variables.iter();
            let mut variables: Vec<(&str, OsString)> =
                given.map(|&(name, value)| (name, value.into())).collect();
            variables.extend([
                ("KAFKA_DATA", data.into()),
                ("KAFKA_PORT", ports[0].to_string().into()),
                ("KAFKA_CONTROLLER_PORT", ports[1].to_string().into()),
                ("KAFKA_PROPERTIES", properties.clone().into()),
            ]);
            script("start", &variables)?;
            Ok(Self {
                data: data.to_owned(),
                variables,
                ports: ports.to_vec(),
            })
        })
    }

    /// Runs the script for this broker.
    ///
    /// # Errors
    /// If it fails.
    pub fn script(&self, command: &str) -> Result<(), Error> {
        script(command, &self.variables).map_err(Start::into_error)
    }

    /// Where clients find it.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.ports[0])
    }

    /// Where clients find one of its other doors.
    ///
    /// # Panics
    /// If it does not have so many.
    #[must_use]
    pub fn door(&self, number: usize) -> String {
        format!("localhost:{}", self.ports[2 + number])
    }

    /// Its process.
    ///
    /// # Errors
    /// If it was ended by the script.
    pub fn process(&self) -> Result<u32, Error> {
        let text = fs::read_to_string(self.data.join("broker.pid"))?;
        let parsed = text.trim().parse();
        Ok(parsed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?)
    }
}
