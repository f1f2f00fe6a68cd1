//! Command lines of `tidemill run`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::binaries::{in_clone, tidemill};

/// A job over files below a folder: its SQL, its state, its topics.
pub struct FilesJob {
    /// Its SQL.
    pub sql: PathBuf,
    /// Its name.
    pub name: String,
    /// Its state directory.
    pub state: PathBuf,
    /// The folder of its topics.
    pub data: PathBuf,
}

impl FilesJob {
    /// A job that keeps everything below `folder`.
    pub fn below(folder: &Path, sql: &Path, name: &str) -> Self {
        Self {
            sql: sql.to_owned(),
            name: name.to_owned(),
            state: folder.join("state"),
            data: folder.join("data"),
        }
    }

    /// `tidemill run`, with more options.
    pub fn run(&self, workers: usize, more: &[&str]) -> Command {
        let mut command = run(&self.sql, &self.name, &self.state, workers, more);
        command.env("TIDEMILL_DATA", &self.data);
        command
    }
}

/// `tidemill run` with JSON on its standard output, and more options.
pub fn run(sql: &Path, name: &str, state: &Path, workers: usize, more: &[&str]) -> Command {
    let (sql, state, workers) = (text(sql), text(state), workers.to_string());
    let job = ["run", sql, "--name", name, "--state-dir", state];
    tidemill(&[&job[..], &["--workers", &workers, "--json"], more].concat())
}

/// The job that we ship.
pub fn flagship() -> PathBuf {
    in_clone("jobs/catalog/studio_finance.sql")
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
