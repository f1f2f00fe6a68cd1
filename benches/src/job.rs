//! A running `tidemill run` under measurement, as its users run it: a process of its own.
//!
//! It is followed by the lines of status that it writes, each stamped on arrival; its memory and processor time are read with
//! every line. So whatever is concluded from lines is exact to their interval, a fifth of a second, and never in the job's favour.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::process::Usage;

/// How long a job may take to end after it was asked to.
const END_WAIT_MAX: Duration = Duration::from_secs(120);

/// A line of `tidemill run --json`.
#[derive(Debug, Clone, Deserialize)]
pub struct Status {
    /// `recovering`, `running`, `caught_up`, `stopping`.
    pub state: String,
    /// Last committed epoch.
    pub epoch: u64,
    /// Records read since the process started.
    pub records_in: u64,
    /// Records committed since the process started.
    pub records_out: u64,
    /// The newest commit's duration, in milliseconds.
    pub commit_ms: f64,
    /// Epoch of the newest checkpoint.
    pub checkpoint_epoch: u64,
    /// How long recovery took, in milliseconds, once it is over.
    pub recovery_ms: Option<i64>,
}

impl Status {
    /// True once the job reads and commits.
    #[must_use]
    pub fn is_live(&self) -> bool {
        matches!(self.state.as_str(), "running" | "caught_up")
    }
}

/// A status and when it came.
#[derive(Debug, Clone)]
pub struct Line {
    /// When.
    pub at: Instant,
    /// What.
    pub status: Status,
}

/// A job that runs; it is killed if the value goes before it has ended.
pub struct Job {
    /// When the process was started.
    pub started: Instant,
    child: Child,
    lines: Receiver<Line>,
    usage: Arc<Mutex<Usage>>,
    log: PathBuf,
}

impl Job {
    /// Starts `command`, which is a `tidemill run --json`; what it says besides is appended to `log`.
    ///
    /// # Errors
    /// If the process cannot be started.
    pub fn start(mut command: Command, log: PathBuf) -> Result<Self> {
        command
            .stdout(Stdio::piped())
            .stderr(OpenOptions::new().create(true).append(true).open(&log)?);
        let started = Instant::now();
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot run '{}'", command.get_program().display()))?;
        let output = child
            .stdout
            .take()
            .context("the job's output was asked for")?;
        let (sender, lines) = channel();
        let usage = Arc::new(Mutex::new(Usage::default()));
        let (process, sampled) = (child.id(), Arc::clone(&usage));
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let at = Instant::now();
                sampled
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .sample(process);
                let status = serde_json::from_str(&line);
                if status.is_ok_and(|status| sender.send(Line { at, status }).is_err()) {
                    break;
                }
            }
        });
        Ok(Self {
            started,
            child,
            lines,
            usage,
            log,
        })
    }

    /// The next line, or `None` if there will be no more; fails if none comes for so long.
    ///
    /// # Errors
    /// If the job is silent.
    pub fn next_line(&self, wait: Duration) -> Result<Option<Line>> {
        match self.lines.recv_timeout(wait) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => bail!(
                "the job has said nothing for {wait:?}; its last words:\n{}",
                self.last_words()
            ),
        }
    }

    /// The first line that is as wanted.
    ///
    /// # Errors
    /// If the job ends before, or takes longer than `wait_max`.
    pub fn wait_for(
        &self,
        what: &str,
        wait_max: Duration,
        is_wanted: impl Fn(&Status) -> bool,
    ) -> Result<Line> {
        let since = Instant::now();
        while since.elapsed() < wait_max {
            match self.next_line(wait_max)? {
                Some(line) if is_wanted(&line.status) => return Ok(line),
                Some(_) => {}
                None => bail!(
                    "the job ended before it was {what}; its last words:\n{}",
                    self.last_words()
                ),
            }
        }
        bail!(
            "the job was not {what} within {wait_max:?}; its last words:\n{}",
            self.last_words()
        )
    }

    /// The lines that have come and that nobody took.
    pub fn lines_so_far(&self) -> Vec<Line> {
        self.lines.try_iter().collect()
    }

    /// What it has used as of its last line.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.usage
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Its process.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Fails if it has ended.
    ///
    /// # Errors
    /// With its last words.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!(
                "the job has ended ({status}); its last words:\n{}",
                self.last_words()
            ),
        }
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// If it had ended by itself.
    pub fn kill(mut self) -> Result<()> {
        ensure!(
            self.child.try_wait()?.is_none(),
            "the job had ended before it was killed; its last words:\n{}",
            self.last_words()
        );
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to stop, and waits until it has.
    ///
    /// # Errors
    /// If it fails, or does not end.
    pub fn stop(mut self) -> Result<()> {
        let process = self.child.id().to_string();
        ensure!(
            Command::new("kill")
                .args(["-TERM", &process])
                .status()?
                .success(),
            "the job had ended before it was stopped"
        );
        let since = Instant::now();
        while self.next_line(END_WAIT_MAX)?.is_some() {
            ensure!(since.elapsed() < END_WAIT_MAX, "the job does not stop");
        }
        self.ended()
    }

    /// Waits for the end of a job that has closed its output.
    ///
    /// # Errors
    /// If it failed.
    pub fn ended(&mut self) -> Result<()> {
        let status = self.child.wait()?;
        ensure!(
            status.success(),
            "the job failed ({status}); its last words:\n{}",
            self.last_words()
        );
        Ok(())
    }

    /// The end of its log.
    #[must_use]
    pub fn last_words(&self) -> String {
        last_lines(&self.log, 20)
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        // It may have ended; then there is nothing to kill.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The last lines of a log; empty if it cannot be read.
pub fn last_lines(path: &Path, count: usize) -> String {
    let Ok(file) = File::open(path) else {
        return String::new();
    };
    let lines: Vec<String> = BufReader::new(file).lines().map_while(Result::ok).collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
