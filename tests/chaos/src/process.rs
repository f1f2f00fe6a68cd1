//! A process of `tidemill run`, followed through the status that it writes; killed when the value goes.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// A line of `tidemill run --json`, as far as it matters here.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Status {
    /// `recovering`, `running`, `caught_up`, `stopping`.
    pub state: String,
    /// Last committed epoch.
    pub epoch: u64,
    /// Epoch of the newest checkpoint.
    pub checkpoint_epoch: u64,
    /// Records read since it started.
    pub records_in: u64,
    /// Records that wait in its sources.
    pub lag: u64,
}

impl Status {
    /// True once the job reads and commits.
    #[must_use]
    pub fn is_live(&self) -> bool {
        matches!(self.state.as_str(), "running" | "caught_up")
    }
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// Exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// What it said last.
    pub words: String,
}

impl End {
    /// True for the exit code of an owner that was replaced.
    #[must_use]
    pub fn is_fenced(&self) -> bool {
        self.code == Some(3)
    }

    /// True if it said that the same command again may help, as docs/operate/run.md has it.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        self.code == Some(1) && !self.words.contains("bug of tidemill")
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.code {
            Some(code) => write!(f, "ended with {code}: {}", self.words),
            None => write!(f, "was ended by a signal: {}", self.words),
        }
    }
}

/// A process that runs, or has ended.
pub struct Process {
    child: Child,
    latest: Arc<Mutex<Status>>,
    log: PathBuf,
}

impl Process {
    /// Starts `command`, which is a `tidemill run --json`; what it says besides goes to `log`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(mut command: Command, log: PathBuf) -> Result<Self> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            // What a terminal sends to this program is not meant for it.
            .process_group(0);
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot run '{}'", command.get_program().display()))?;
        let output = child.stdout.take().context("its output was asked for")?;
        let latest = Arc::new(Mutex::new(Status::default()));
        let written = Arc::clone(&latest);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Ok(status) = serde_json::from_str(&line) {
                    *written.lock().unwrap_or_else(PoisonError::into_inner) = status;
                }
            }
        });
        Ok(Self { child, latest, log })
    }

    /// What it said of itself last.
    #[must_use]
    pub fn status(&self) -> Status {
        self.latest
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// What its threads wait for, by name: for who asks why it stands still.
    #[must_use]
    pub fn threads(&self) -> String {
        let folder = format!("/proc/{}/task", self.child.id());
        let tasks = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut threads: Vec<String> = tasks
            .map(|task| {
                let read = |name| fs::read_to_string(task.path().join(name)).unwrap_or_default();
                format!("{} in {}", read("comm").trim(), read("wchan").trim())
            })
            .collect();
        threads.sort_unstable();
        threads.join(", ")
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn end(&mut self) -> Result<Option<End>> {
        let status = self.child.try_wait()?;
        Ok(status.map(|status| End {
            code: status.code(),
            words: last_words(&self.log),
        }))
    }

    /// Sends a signal by its name: `STOP`, `CONT`, `TERM`.
    ///
    /// # Errors
    /// If the process has ended.
    pub fn signal(&self, name: &str) -> Result<()> {
        let process = self.child.id().to_string();
        let status = Command::new("kill")
            .args([&format!("-{name}"), &process])
            .status()?;
        ensure!(
            status.success(),
            "process {process} had ended before SIG{name}"
        );
        Ok(())
    }

    /// `kill -9`, also of one that stands still.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.kill());
    }
}

/// What a log ends with: from the last error on.
fn last_words(log: &Path) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let from = lines
        .iter()
        .rposition(|line| line.starts_with("error:") || line.contains("panicked"))
        .unwrap_or(lines.len().saturating_sub(2));
    let words = lines[from..].iter().take(4).copied();
    words.collect::<Vec<_>>().join(" | ")
}
