//! The binary under measurement, as its users run it: `tidemill generate`, `run` and `verify` in processes of their own.
//!
//! A running job is followed by the lines of status that it writes, each stamped on arrival; its memory and processor time are read with
//! every line. So whatever is concluded from lines is exact to their interval, a fifth of a second, and never in the job's favour.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::Value;

use crate::process::Usage;

/// How long a job may take to end after it was asked to.
const END_WAIT_MAX: Duration = Duration::from_secs(120);

/// How the binary is called.
pub struct Launch {
    /// The `tidemill` binary.
    pub tidemill: PathBuf,
    /// Root of the workspace, where the shipped jobs are.
    pub root: PathBuf,
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

    const fn profile(&self) -> &'static str {
        match self {
            Self::Kafka(_) => "kafka",
            Self::Files(_) => "local",
        }
    }
}

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

impl Launch {
    /// Writes the studio's events to their place; returns what the generator says about them.
    ///
    /// # Errors
    /// If the generator fails.
    pub fn generate(&self, events: u64, seed: u64) -> Result<Value> {
        let (events, seed) = (events.to_string(), seed.to_string());
        let output = self
            .command(&["generate", "studio", "--json"])
            .args(["--events", &events, "--seed", &seed, "--into"])
            .args(self.place.options())
            .output()?;
        ensure!(
            output.status.success(),
            "'tidemill generate' failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Starts the finance job; it goes on from where an earlier one of this run ended.
    ///
    /// # Errors
    /// If the process cannot be started.
    pub fn run(&self, until_caught_up: bool) -> Result<Job> {
        let log = self.work.join("job.log");
        let (workers, interval) = (
            self.workers.to_string(),
            format!("{} ms", self.checkpoint_interval.as_millis()),
        );
        let mut command = self.command(&[
            "run",
            "jobs/catalog/studio_finance.sql",
            "--profile",
            self.place.profile(),
            "--json",
        ]);
        command
            .args(["--workers", &workers, "--checkpoint-interval", &interval])
            .arg("--state-dir")
            .arg(self.state_folder());
        if let Some(bytes) = self.state_memory_bytes {
            command.args(["--state-memory", &format!("{bytes} B")]);
        }
        if until_caught_up {
            command.arg("--until-caught-up");
        }
        command
            .stdout(Stdio::piped())
            .stderr(OpenOptions::new().create(true).append(true).open(&log)?);
        Job::start(command, log)
    }

    /// Holds what is committed against the oracle; returns what was found.
    ///
    /// # Errors
    /// If it cannot be compared. Rows that are wrong are no error here: `verified` in the answer tells.
    pub fn verify(&self) -> Result<Value> {
        let output = self
            .command(&["verify", "studio", "--json", "--from"])
            .args(self.place.options())
            .output()?;
        serde_json::from_slice(&output.stdout).with_context(|| {
            format!(
                "'tidemill verify' failed: {}",
                String::from_utf8_lossy(&output.stderr)
            )
        })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.tidemill);
        command
            .args(arguments)
            .current_dir(&self.root)
            .stdin(Stdio::null());
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
    fn start(mut command: Command, log: PathBuf) -> Result<Self> {
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

    fn last_words(&self) -> String {
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

fn last_lines(path: &Path, count: usize) -> String {
    let Ok(file) = File::open(path) else {
        return String::new();
    };
    let lines: Vec<String> = BufReader::new(file).lines().map_while(Result::ok).collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// When the first record was read, and when the last commit was made, both to the disadvantage of the job: the last line without a record,
/// and the first line with the last epoch.
pub fn bounds(lines: &[Line], started: Instant) -> Result<(Instant, Instant)> {
    let epoch = lines
        .last()
        .context("the job wrote no status")?
        .status
        .epoch;
    let idle = lines.iter().take_while(|line| line.status.records_in == 0);
    let committed = lines.iter().find(|line| line.status.epoch == epoch);
    Ok((
        idle.last().map_or(started, |line| line.at),
        committed.context("the last line has the last epoch")?.at,
    ))
}

/// How many checkpoints were finished between the first and the last line.
#[must_use]
pub fn checkpoints(lines: &[Line]) -> usize {
    let mut epochs: Vec<u64> = lines
        .iter()
        .map(|line| line.status.checkpoint_epoch)
        .collect();
    epochs.dedup();
    epochs.len().saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(started: Instant, readings: &[(u64, u64, u64, u64)]) -> Vec<Line> {
        let line = |&(ms, records_in, epoch, checkpoint_epoch): &(u64, u64, u64, u64)| Line {
            at: started + Duration::from_millis(ms),
            status: Status {
                state: "running".to_owned(),
                epoch,
                records_in,
                records_out: 0,
                commit_ms: 0.0,
                checkpoint_epoch,
                recovery_ms: None,
            },
        };
        readings.iter().map(line).collect()
    }

    #[test]
    fn time_runs_from_the_last_line_without_a_record_to_the_first_with_the_last_epoch() {
        let started = Instant::now();
        let lines = lines(
            started,
            &[
                (20, 0, 0, 0),
                (200, 0, 0, 0),
                (400, 50, 1, 0),
                (600, 90, 3, 2),
                (800, 90, 3, 3),
            ],
        );
        let (first, last) = bounds(&lines, started).unwrap();
        assert_eq!(first, started + Duration::from_millis(200));
        assert_eq!(last, started + Duration::from_millis(600));
        assert_eq!(checkpoints(&lines), 2);
    }

    #[test]
    fn a_job_that_reads_at_once_is_timed_from_its_start() {
        let started = Instant::now();
        let lines = lines(started, &[(20, 7, 0, 0), (40, 9, 1, 0)]);
        assert_eq!(bounds(&lines, started).unwrap().0, started);
    }
}
