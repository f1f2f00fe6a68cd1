//! A real binary as a process: called to its end, or live, watched through its JSON status lines and killed like by a power cut.
//!
//! Nothing here waits for a length of time: it waits for a fact, and fails when that has not come true for two minutes.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

/// After so long without the fact that a test waits for, it never comes. Far beyond what a loaded machine needs.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often a fact that does not show in the process's output is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// Runs a binary to its end.
#[track_caller]
pub fn call(command: Command) -> Outcome {
    Live::start(command).ends()
}

/// What a process left.
#[derive(Debug)]
pub struct Outcome {
    /// Exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
}

impl Outcome {
    /// The standard output of a process that must have gone well.
    #[track_caller]
    pub fn good(self) -> String {
        assert_eq!(
            self.code,
            Some(0),
            "stdout: {}\nstderr: {}",
            self.stdout,
            self.stderr
        );
        self.stdout
    }

    /// The last line of the standard output of a process that must have gone well.
    #[track_caller]
    pub fn last(self) -> Value {
        let out = self.good();
        let line = out.lines().last().expect("a line of JSON");
        serde_json::from_str(line).unwrap_or_else(|error| panic!("'{line}' is no JSON: {error}"))
    }

    /// The standard error of a process that must have ended with a code.
    #[track_caller]
    pub fn failed_with(self, code: i32) -> String {
        assert_eq!(
            self.code,
            Some(code),
            "stdout: {}\nstderr: {}",
            self.stdout,
            self.stderr
        );
        self.stderr
    }
}

/// A process that runs. It is killed when the test lets go of it.
pub struct Live {
    child: Child,
    lines: Receiver<String>,
    seen: String,
    errors: Option<JoinHandle<String>>,
}

impl Live {
    /// Starts it.
    #[track_caller]
    pub fn start(mut command: Command) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let lines = BufReader::new(stdout).lines().map_while(Result::ok);
            // Nobody listens any more only if the test is over.
            lines
                .map(|line| sender.send(line))
                .find(Result::is_err)
                .map(drop)
        });
        let errors = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            drop(stderr.read_to_end(&mut bytes));
            String::from_utf8_lossy(&bytes).into_owned()
        });
        Self {
            child,
            lines,
            seen: String::new(),
            errors: Some(errors),
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The first status line from now on of which `fact` is true.
    #[track_caller]
    pub fn wait_for(&mut self, what: &str, fact: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    self.keep(&line);
                    if let Some(status) = serde_json::from_str(&line).ok().filter(&fact) {
                        return status;
                    }
                }
                Err(error) => self.give_up(what, error),
            }
        }
    }

    /// Waits until a fact about the outside world is true.
    #[track_caller]
    pub fn until(&mut self, what: &str, fact: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !fact() {
            match self.lines.recv_timeout(LOOK_AGAIN) {
                Ok(line) => self.keep(&line),
                Err(RecvTimeoutError::Timeout) if Instant::now() < deadline => {}
                Err(error) => self.give_up(what, error),
            }
        }
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; the job commits what is in flight, takes a checkpoint and ends.
    #[track_caller]
    pub fn stop(self) -> Outcome {
        let asked = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status();
        assert!(asked.unwrap().success());
        self.ends()
    }

    /// Waits until it ends by itself.
    #[track_caller]
    pub fn ends(mut self) -> Outcome {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.keep(&line),
                // Closed: the process is gone.
                Err(RecvTimeoutError::Disconnected) => break,
                Err(error) => self.give_up("its end", error),
            }
        }
        let status: ExitStatus = self.child.wait().unwrap();
        Outcome {
            code: status.code(),
            stdout: std::mem::take(&mut self.seen),
            stderr: self.take_errors(),
        }
    }

    fn keep(&mut self, line: &str) {
        self.seen.push_str(line);
        self.seen.push('\n');
    }

    fn take_errors(&mut self) -> String {
        let errors = self.errors.take().map(|errors| errors.join().unwrap());
        errors.unwrap_or_default()
    }

    #[track_caller]
    fn give_up(&mut self, what: &str, error: RecvTimeoutError) -> ! {
        let why = match error {
            RecvTimeoutError::Timeout => format!("did not come to {what} within {PATIENCE:?}"),
            RecvTimeoutError::Disconnected => format!("ended before {what}"),
        };
        // It may be gone already.
        drop(self.child.kill());
        drop(self.child.wait());
        let last = self.seen.lines().last().unwrap_or_default().to_owned();
        panic!(
            "the process {why}\nlast status: {last}\nstderr: {}",
            self.take_errors()
        );
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // It may be gone already, which is what is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
