//! The binary under measurement with a job on the studio's events: `tidemill-studio generate`, `tidemill run` and `tidemill-studio verify` in
//! processes of their own.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::job::Job;

/// The finance job, from the root of the workspace.
pub const FINANCE_JOB: &str = "jobs/catalog/studio_finance.sql";

/// The binaries that a run needs.
#[derive(Debug, Clone)]
pub struct Binaries {
    /// `tidemill`, which is measured.
    pub tidemill: PathBuf,
    /// `tidemill-studio`, which makes its input and judges its output.
    pub studio: PathBuf,
}

impl Binaries {
    /// Those that were built beside the one that runs.
    ///
    /// # Errors
    /// If one was not built.
    pub fn built() -> Result<Self> {
        Ok(Self {
            tidemill: tidemill_binary()?,
            studio: built_beside("tidemill-studio", "tidemill-studio-cli")?,
        })
    }

    /// Copies below `folder`, so that a build during the run does not change what is measured.
    ///
    /// # Errors
    /// If they cannot be copied.
    pub fn copied_to(&self, folder: &Path) -> Result<Self> {
        let copy = |binary: &Path| -> Result<PathBuf> {
            let copy = folder.join(binary.file_name().context("a binary is a file")?);
            std::fs::copy(binary, &copy)
                .with_context(|| format!("cannot copy '{}'", binary.display()))?;
            Ok(copy)
        };
        Ok(Self {
            tidemill: copy(&self.tidemill)?,
            studio: copy(&self.studio)?,
        })
    }
}

/// The `tidemill` binary that was built beside the one that runs.
///
/// # Errors
/// If it was not built.
pub fn tidemill_binary() -> Result<PathBuf> {
    built_beside("tidemill", "tidemill-cli")
}

fn built_beside(name: &str, package: &str) -> Result<PathBuf> {
    let binary = std::env::current_exe()?.with_file_name(name);
    ensure!(
        binary.is_file(),
        "'{}' is not built; run 'cargo build --release -p {package}'",
        binary.display()
    );
    binary.canonicalize().context("the binary is there")
}

/// How the binaries are called.
pub struct Launch {
    /// The binaries.
    pub binaries: Binaries,
    /// Root of the workspace, where the shipped jobs are.
    pub root: PathBuf,
    /// The job that is run, from there.
    pub job: PathBuf,
    /// Folder of this run, with the job's state and log.
    pub work: PathBuf,
    /// Where events and outputs lie.
    pub place: Place,
    /// Workers of the job.
    pub workers: usize,
    /// Interval of checkpoints.
    pub checkpoint_interval: Duration,
    /// Memory for keyed state; `None` leaves it to the job.
    pub state_memory_bytes: Option<u64>,
}

/// Where events and outputs lie.
pub enum Place {
    /// A broker, at this address.
    Kafka(String),
    /// Files, below this folder.
    Files(PathBuf),
}

impl Place {
    /// The name that the command line has for it, and its option that says where.
    fn options(&self) -> [&OsStr; 3] {
        match self {
            Self::Kafka(bootstrap) => ["kafka", "--bootstrap", bootstrap].map(OsStr::new),
            Self::Files(path) => [OsStr::new("files"), OsStr::new("--path"), path.as_os_str()],
        }
    }

    /// The profile of a job that is written for Kafka.
    const fn profile(&self) -> Option<&'static str> {
        match self {
            Self::Kafka(_) => None,
            Self::Files(_) => Some("local"),
        }
    }
}

impl Launch {
    /// Writes the studio's events to their place; returns what the generator says about them.
    ///
    /// # Errors
    /// If the generator fails.
    pub fn generate(&self, events: u64, seed: u64) -> Result<Value> {
        let (events, seed) = (events.to_string(), seed.to_string());
        let output = self
            .command(&self.binaries.studio, &["generate", "--json"])
            .args(["--events", &events, "--seed", &seed, "--into"])
            .args(self.place.options())
            .output()?;
        ensure!(
            output.status.success(),
            "'tidemill-studio generate' failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Starts the job with further options; it goes on from where an earlier one of this run ended.
    ///
    /// # Errors
    /// If the process cannot be started.
    pub fn run(&self, options: &[&str]) -> Result<Job> {
        let log = self.work.join("job.log");
        let command = self.within(Command::new(&self.binaries.tidemill), options);
        Job::start(command, log)
    }

    /// The job as another program starts it, which is told what to run.
    pub fn within(&self, mut command: Command, options: &[&str]) -> Command {
        if command.get_program() != self.binaries.tidemill.as_os_str() {
            command.arg(&self.binaries.tidemill);
        }
        let interval = format!("{} ms", self.checkpoint_interval.as_millis());
        command
            .args(["run", "--json"])
            .arg(&self.job)
            .args(["--workers", &self.workers.to_string()])
            .args(["--checkpoint-interval", &interval])
            .arg("--state-dir")
            .arg(self.state_folder());
        if let Some(profile) = self.place.profile() {
            command.args(["--profile", profile]);
        }
        if let Some(bytes) = self.state_memory_bytes {
            command.args(["--state-memory", &format!("{bytes} B")]);
        }
        command.args(options);
        self.at_home(command)
    }

    /// Holds what is committed against the oracle; returns what was found.
    ///
    /// # Errors
    /// If it cannot be compared. Rows that are wrong are no error here: `verified` in the answer tells.
    pub fn verify(&self) -> Result<Value> {
        let output = self
            .command(&self.binaries.studio, &["verify", "--json", "--from"])
            .args(self.place.options())
            .output()?;
        serde_json::from_slice(&output.stdout).with_context(|| {
            format!(
                "'tidemill-studio verify' failed: {}",
                String::from_utf8_lossy(&output.stderr)
            )
        })
    }

    fn command(&self, binary: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary);
        command.args(arguments);
        self.at_home(command)
    }

    /// A command that finds the shipped jobs, and the events.
    fn at_home(&self, mut command: Command) -> Command {
        command.current_dir(&self.root).stdin(Stdio::null());
        match &self.place {
            Place::Kafka(bootstrap) => command.env("TIDEMILL_KAFKA", bootstrap),
            Place::Files(path) => command.env("TIDEMILL_DATA", path),
        };
        command
    }

    /// Where the job keeps its state.
    #[must_use]
    pub fn state_folder(&self) -> PathBuf {
        self.work.join("state")
    }
}
