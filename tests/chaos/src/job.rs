//! A job: which it is, where its state lies, and the process that runs it now.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::process::{End, Process, Status};

/// What all processes of all jobs are started with.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The `tidemill` binary.
    pub tidemill: PathBuf,
    /// Root of the workspace.
    pub root: PathBuf,
    /// The proxies.
    pub bootstrap: String,
    /// Where logs go.
    pub logs: PathBuf,
}

/// A job.
pub struct Job {
    /// Its name.
    pub name: &'static str,
    /// Its sources and their topics.
    pub sources: Vec<(String, String)>,
    /// Workers of the next process.
    pub workers: usize,
    /// How wrong the clock of the next process is; none if it is right.
    pub clock: Option<Clock>,
    /// True once records are gone from its sources: it cannot begin anew.
    pub is_shortened: bool,
    /// The process that runs it, or ran it last.
    pub process: Option<Process>,
    launch: Launch,
    sql: PathBuf,
    /// The folder of its state directories; a disk of its own, if there can be one.
    disk: PathBuf,
    /// Which of them it uses.
    state: u32,
    processes: u32,
}

/// A wrong clock for one process.
#[derive(Debug, Clone)]
pub struct Clock {
    /// `wrong_clock.c`, built.
    pub library: PathBuf,
    /// What it reads: by how many seconds.
    pub offset: PathBuf,
}

impl Job {
    /// A job that does not run yet.
    #[must_use]
    pub fn new(
        (name, sql): (&'static str, &str),
        sources: &[(&str, &str)],
        disk: PathBuf,
        launch: &Launch,
    ) -> Self {
        Self {
            name,
            sources: sources
                .iter()
                .map(|&(source, topic)| (source.to_owned(), topic.to_owned()))
                .collect(),
            workers: 2,
            clock: None,
            is_shortened: false,
            process: None,
            launch: launch.clone(),
            sql: launch.root.join(sql),
            disk,
            state: 1,
            processes: 0,
        }
    }

    /// The disk that its state lies on.
    #[must_use]
    pub fn disk(&self) -> &Path {
        &self.disk
    }

    /// Its state directory.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.disk.join(format!("state-{}", self.state))
    }

    /// Starts it on its state directory.
    ///
    /// # Errors
    /// If there is no process to be had.
    pub fn start(&mut self, more: &[&str]) -> Result<()> {
        let state = self.state_dir();
        self.process = Some(self.start_on(&state, more)?);
        Ok(())
    }

    /// Starts a process of this job on any state directory, beside the one that may run.
    ///
    /// # Errors
    /// If there is no process to be had.
    pub fn start_on(&mut self, state: &Path, more: &[&str]) -> Result<Process> {
        self.processes += 1;
        let log = format!("{}-{}.log", self.name, self.processes);
        let mut command = Command::new(&self.launch.tidemill);
        command
            .arg("run")
            .arg(&self.sql)
            .args(["--name", self.name, "--json", "--profile", "chaos"])
            .arg("--config")
            .arg(self.launch.root.join("tests/chaos/profiles.toml"))
            .arg("--state-dir")
            .arg(state)
            .args(["--workers", &self.workers.to_string()])
            .args(["--checkpoint-interval", "3 s", "--state-memory", "96 MiB"])
            .args(more)
            .current_dir(&self.launch.root)
            .env("TIDEMILL_KAFKA", &self.launch.bootstrap);
        if let Some(clock) = &self.clock {
            command
                .env("LD_PRELOAD", &clock.library)
                .env("WRONG_CLOCK", &clock.offset);
        }
        Process::start(command, self.launch.logs.join(log))
    }

    /// A state directory that no process has used yet: a copy of the present one, as a crash would leave it, or
    /// empty.
    ///
    /// # Errors
    /// If it cannot be copied.
    pub fn other_state(&self, copied: bool) -> Result<PathBuf> {
        let other = self.disk.join(format!("state-{}", self.state + 1));
        if copied {
            let status = Command::new("cp")
                .arg("-a")
                .args([&self.state_dir(), &other])
                .status()?;
            ensure!(
                status.success(),
                "the state of '{}' cannot be copied",
                self.name
            );
        }
        Ok(other)
    }

    /// From now on the other state directory is its own, and `process` runs it.
    ///
    /// # Errors
    /// If the old one cannot be removed.
    pub fn move_to_other_state(&mut self, process: Process) -> Result<()> {
        let old = self.state_dir();
        self.state += 1;
        self.process = Some(process);
        fs::remove_dir_all(old).context("a state directory that nobody uses cannot be removed")
    }

    /// What the present process said last; the default before the first line.
    #[must_use]
    pub fn status(&self) -> Status {
        self.process
            .as_ref()
            .map_or_else(Status::default, Process::status)
    }

    /// How the present process ended, if it has.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn end(&mut self) -> Result<Option<End>> {
        self.process.as_mut().map_or(Ok(None), Process::end)
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn kill(&mut self) -> Result<()> {
        self.process.as_mut().map_or(Ok(()), Process::kill)
    }

    /// Topic, partition and offset up to which the oldest valid checkpoint has read; none if there is no such
    /// checkpoint now.
    #[must_use]
    pub fn oldest_positions(&self) -> Option<Vec<(String, i32, i64)>> {
        let state = self.state_dir();
        let ask = |arguments: &[&str]| -> Option<serde_json::Value> {
            let output = Command::new(&self.launch.tidemill)
                .arg("checkpoints")
                .args(arguments)
                .args(["--json", "--state-dir"])
                .arg(&state)
                .output()
                .ok()?;
            serde_json::from_slice(&output.stdout).ok()
        };
        let list = ask(&["list"])?;
        let valid = list.as_array()?.iter().find(|one| one["valid"] == true)?;
        let shown = ask(&["show", &valid["epoch"].to_string()])?;
        let mut positions = Vec::new();
        for (source, topic) in &self.sources {
            for (partition, offset) in shown["manifest"]["positions"][source].as_object()? {
                positions.push((topic.clone(), partition.parse().ok()?, offset.as_i64()?));
            }
        }
        Some(positions)
    }
}
