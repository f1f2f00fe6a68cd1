//! The file that says how far a service has come, and who posts to it.
//!
//! Promises: a state is there whole or not at all, and durable when it was written; it is only replaced by the owner that wrote the last one, or by
//! a new owner. Those who do so at the same time wait for each other at the file's folder. Does not work over network file systems without locks.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tidemill_connectors_api::{Error, error};
use tidemill_types::{Epoch, ErrorKind};

use crate::invalid;

/// The version of the file's layout.
const VERSION: u32 = 1;

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    version: u32,
    job: String,
    sink: String,
    /// The journal that epochs are counted in.
    history: String,
    /// Everything through this epoch was taken or refused.
    pub epoch: u64,
    /// Records may have been posted.
    pub begun: bool,
    /// Counts the owners.
    owner: u64,
}

/// Where the file is.
#[derive(Debug)]
pub struct ProgressFile(PathBuf);

impl ProgressFile {
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Takes the service over for a sink of a job, in a history.
    ///
    /// # Errors
    /// `Invalid` if the file is of another sink, or of another history in which something was posted.
    pub fn take_over(&self, job: &str, sink: &str, history: &str) -> Result<Progress, Error> {
        let _held = self.hold()?;
        let path = self.0.display();
        let there = self.read()?;
        let owner = there.as_ref().map_or(0, |there| there.owner) + 1;
        let (epoch, begun) = match there.filter(|there| there.begun) {
            None => (0, false),
            Some(there) if there.job != job || there.sink != sink => {
                return Err(invalid(format!(
                    "'{path}' says how far sink '{}' of job '{}' is; name another file in 'progress.path'",
                    there.sink, there.job
                )));
            }
            Some(there) if there.history != history => {
                return Err(invalid(format!(
                    "'{path}' is of the job before it began anew, and the service may have what it posted then; see to the service, and delete the file"
                )));
            }
            Some(there) => (there.epoch, true),
        };
        let progress = Progress {
            version: VERSION,
            job: job.to_owned(),
            sink: sink.to_owned(),
            history: history.to_owned(),
            epoch,
            begun,
            owner,
        };
        self.replace(&progress)?;
        Ok(progress)
    }

    /// That an owner still is the owner.
    ///
    /// # Errors
    /// `Fenced` if not.
    pub fn check(&self, progress: &Progress) -> Result<(), Error> {
        let there = self.read()?;
        if there.is_some_and(|there| there.owner == progress.owner) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Fenced,
            format!(
                "'{}' was taken over by a newer run of sink '{}', or deleted; let that one go on, or end it and start this one again",
                self.0.display(),
                progress.sink
            ),
        ))
    }

    /// Writes an owner's state.
    ///
    /// # Errors
    /// `Fenced` if there is another owner.
    pub fn write(&self, progress: &Progress) -> Result<(), Error> {
        let _held = self.hold()?;
        self.check(progress)?;
        self.replace(progress)
    }

    fn read(&self) -> Result<Option<Progress>, Error> {
        let text = match fs::read(&self.0) {
            Ok(text) => text,
            Err(found) if found.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(found) => return Err(error::io_error("read", &self.0, &found)),
        };
        let wrong = |why: String| {
            invalid(format!(
                "'{}' does not say how far a service is: {why}; name another file in 'progress.path', or bring back what it was",
                self.0.display()
            ))
        };
        let progress: Progress =
            serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
        match progress.version {
            VERSION => Ok(Some(progress)),
            other => Err(wrong(format!("its version is {other}, not {VERSION}"))),
        }
    }

    fn replace(&self, progress: &Progress) -> Result<(), Error> {
        let new = self.0.with_added_extension("new");
        let text = serde_json::to_vec(progress).expect("texts and numbers are JSON");
        let written = File::create(&new).and_then(|mut file| {
            file.write_all(&text)?;
            file.sync_all()
        });
        written.map_err(|found| error::io_error("write to", &new, &found))?;
        fs::rename(&new, &self.0).map_err(|found| error::io_error("replace", &self.0, &found))?;
        let folder = self.folder();
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|found| error::io_error("sync folder", folder, &found))
    }

    fn folder(&self) -> &Path {
        match self.0.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        }
    }

    /// Waits for others; nobody else is let in for as long as the answer lives.
    fn hold(&self) -> Result<File, Error> {
        let folder = self.folder();
        let held = File::open(folder).and_then(|folder| {
            folder.lock()?;
            Ok(folder)
        });
        held.map_err(|found| error::io_error("lock folder", folder, &found))
    }
}

impl Progress {
    /// The newest epoch that the service has all of.
    pub fn through(&self) -> Epoch {
        Epoch(self.epoch)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tidemill_types::ErrorKind;

    use super::ProgressFile;

    const FROZEN: &str =
        r#"{"version":1,"job":"j","sink":"s","history":"h","epoch":7,"begun":true,"owner":3}"#;

    #[test]
    fn the_layout_of_the_file_stays_readable() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hook.json");
        fs::write(&path, FROZEN).unwrap();
        let file = ProgressFile::new(path.clone());
        let progress = file.take_over("j", "s", "h").unwrap();
        assert_eq!(progress.through().0, 7);
        let written = fs::read_to_string(&path).unwrap();
        assert_eq!(written, FROZEN.replace(r#""owner":3"#, r#""owner":4"#));
    }

    #[test]
    fn an_owner_before_writes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = ProgressFile::new(folder.path().join("hook.json"));
        let mut before = file.take_over("j", "s", "h").unwrap();
        let mut owner = file.take_over("j", "s", "h").unwrap();
        owner.epoch = 5;
        file.write(&owner).unwrap();
        before.epoch = 4;
        assert_eq!(file.write(&before).unwrap_err().kind, ErrorKind::Fenced);
        assert_eq!(file.read().unwrap().unwrap(), owner);
    }

    #[test]
    fn a_file_of_somebody_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hook.json");
        let file = ProgressFile::new(path.clone());
        for (text, [job, sink, history], part) in [
            (FROZEN, ["j", "t", "h"], "of job 'j'"),
            (FROZEN, ["j", "s", "i"], "began anew"),
            ("{", ["j", "s", "h"], "does not say"),
            (
                &FROZEN.replace(":1,", ":2,"),
                ["j", "s", "h"],
                "its version is 2",
            ),
        ] {
            fs::write(&path, text).unwrap();
            let error = file.take_over(job, sink, history).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Invalid);
            assert!(
                error.message.contains(part) && error.message.contains(';'),
                "{error}"
            );
        }
        // Who posted nothing yet stands in nobody's way.
        fs::write(&path, FROZEN.replace("true", "false")).unwrap();
        assert_eq!(file.take_over("k", "t", "i").unwrap().through().0, 0);
    }
}
