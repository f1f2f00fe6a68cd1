//! The real binary, as it is called from a shell: what it prints, where, and with which exit code.
//!
//! Not tested here: that what a job computes is right (tests of the engine and of the whole), and Kafka, which needs a broker.

#![expect(
    clippy::unwrap_used,
    reason = "what a test cannot go on without fails it"
)]

mod attempt;
mod checkpoints;
mod help;
mod plan;
mod run;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The binary with arguments, in an environment that has nothing to do with that of the tests.
fn tidemill(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidemill"));
    command
        .args(arguments)
        .env_remove("TIDEMILL_DATA")
        .env_remove("TIDEMILL_LOG")
        .env_remove("TIDEMILL_BOOTSTRAP")
        .stdin(Stdio::null());
    command
}

/// What a run of the binary left.
#[derive(Debug)]
struct Outcome {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Outcome {
    fn of(mut command: Command) -> Self {
        let Output {
            status,
            stdout,
            stderr,
        } = command.output().unwrap();
        Self {
            code: status.code(),
            stdout: String::from_utf8(stdout).unwrap(),
            stderr: String::from_utf8(stderr).unwrap(),
        }
    }

    /// The standard output of a run that must go well.
    #[track_caller]
    fn good(self) -> String {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self.stdout
    }

    /// What a run says that is refused.
    #[track_caller]
    fn refused(self) -> String {
        assert_eq!(self.code, Some(2), "{self:#?}");
        self.stderr
    }

    #[track_caller]
    fn json(self) -> serde_json::Value {
        serde_json::from_str(&self.good()).unwrap()
    }
}

fn call(arguments: &[&str]) -> Outcome {
    Outcome::of(tidemill(arguments))
}

/// Calls the studio's binary, which is built beside this one.
fn studio(arguments: &[&str]) -> Outcome {
    let studio = Path::new(env!("CARGO_BIN_EXE_tidemill")).with_file_name("tidemill-studio");
    assert!(
        studio.is_file(),
        "'{}' is not built; run 'cargo build --release -p tidemill-studio-cli'",
        studio.display()
    );
    let mut command = Command::new(studio);
    command.args(arguments).env_remove("TIDEMILL_LOG");
    Outcome::of(command)
}

/// The job that we ship.
fn flagship() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../jobs/catalog/studio_finance.sql")
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
