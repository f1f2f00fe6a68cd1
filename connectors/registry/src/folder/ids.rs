//! The file `_ids`: which id stands for which schema.
//!
//! A line is `<id> <SHA-256 of the schema> <file>`; a schema that stands in several places has several lines with one id. Lines are only
//! ever added. In git, two branches that gave out the same id meet in a conflict, and both lines left in place are refused.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

use tidemill_connectors_api::Error;
use tidemill_connectors_api::registry::SchemaId;
use tidemill_types::ErrorKind;

use super::layout::missing;
use crate::disk::{self, io_error};
use crate::invalid;

const NAME: &str = "_ids";
const LOCK: &str = "_lock";
/// The first line: which layout it is, and what a person should know.
const HEAD: &str = "# tidemill ids 1: each line is never changed and never removed";
/// How many bytes the file may have: some 100,000 lines.
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long others may hold the lock, who do no more than write some small files.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(10);
const LOCK_POLL: Duration = Duration::from_millis(5);

/// A line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub id: SchemaId,
    /// Of text, kind and references.
    pub hash: String,
    /// Path below the root.
    pub file: String,
}

/// The ids that were given out.
#[derive(Debug, Default)]
pub struct Ids(Vec<Line>);

impl Ids {
    /// What stands there now.
    pub fn read(root: &Path) -> Result<Self, Error> {
        match disk::read(&root.join(NAME), BYTES_MAX)? {
            Some(text) => Self::parse(&text),
            None if root.is_dir() => Ok(Self::default()),
            // A folder that is away must not be taken for one that has given out no ids.
            None => Err(missing(root)),
        }
    }

    fn parse(text: &str) -> Result<Self, Error> {
        let mut lines = text.lines().enumerate();
        if !matches!(lines.next(), Some((_, HEAD))) {
            return Err(invalid(format!(
                "'{NAME}' does not begin with '{HEAD}'; restore it, or use the version of Tidemill that wrote it"
            )));
        }
        let mut ids = Self::default();
        for (at, line) in lines {
            let mut words = line.splitn(3, ' ');
            let id = words.next().and_then(|id| id.parse().ok()).map(SchemaId);
            let (Some(id), Some(hash), Some(file)) = (id, words.next(), words.next()) else {
                return Err(invalid(format!(
                    "line {} of '{NAME}' is not an id, a hash and a file; mend it as the version control has it",
                    at + 1
                )));
            };
            if let Some(other) = ids.lines_of(id).find(|other| other.hash != hash) {
                return Err(invalid(format!(
                    "'{NAME}' has the id {id} for '{}' and for '{file}', which are not the same; keep the line that records were \
                     written with, and give the other file's line the next free id",
                    other.file
                )));
            }
            ids.0.push(Line {
                id,
                hash: hash.to_owned(),
                file: file.to_owned(),
            });
        }
        Ok(ids)
    }

    /// Where the schema of an id stands.
    pub fn lines_of(&self, id: SchemaId) -> impl Iterator<Item = &Line> {
        self.0.iter().filter(move |line| line.id == id)
    }

    /// The id of a file that has one; `Corrupt` if the file was changed since.
    pub fn of_file(&self, file: &str, hash: &str) -> Result<Option<SchemaId>, Error> {
        match self.0.iter().find(|line| line.file == file) {
            Some(line) if line.hash == hash => Ok(Some(line.id)),
            Some(line) => Err(changed(file, line.id)),
            None => Ok(None),
        }
    }

    /// The id of a file, a new one if it has none: that of the same schema elsewhere, or the next number.
    pub fn give(root: &Path, _: &Lock, file: &str, hash: &str) -> Result<SchemaId, Error> {
        let mut ids = Self::read(root)?;
        if let Some(id) = ids.of_file(file, hash)? {
            return Ok(id);
        }
        let same = ids.0.iter().find(|line| line.hash == hash);
        let last = ids.0.iter().map(|line| line.id.0).max().unwrap_or(0);
        let id = same.map_or(SchemaId(last + 1), |line| line.id);
        ids.0.push(Line {
            id,
            hash: hash.to_owned(),
            file: file.to_owned(),
        });
        disk::replace(&root.join(NAME), ids.text().as_bytes())?;
        Ok(id)
    }

    fn text(&self) -> String {
        let lines = self.0.iter();
        let lines = lines.map(|line| format!("{} {} {}\n", line.id, line.hash, line.file));
        [format!("{HEAD}\n")].into_iter().chain(lines).collect()
    }
}

/// The right to change the folder, which one process has at a time. Its end, also by a crash, gives it back.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "it is held, not used")] File);

impl Lock {
    /// Waits for it, within a bound.
    pub fn take(root: &Path) -> Result<Self, Error> {
        let path = root.join(LOCK);
        let file = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(|error| io_error("write", &path, &error))?;
        let deadline = Instant::now() + LOCK_WAIT_MAX;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self(file)),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    std::thread::sleep(LOCK_POLL);
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::new(
                        ErrorKind::Retry,
                        format!(
                            "another process has held '{}' for {} s; look which one it is",
                            path.display(),
                            LOCK_WAIT_MAX.as_secs()
                        ),
                    ));
                }
                Err(TryLockError::Error(error)) => return Err(io_error("lock", &path, &error)),
            }
        }
    }
}

/// A file is not what got the id.
pub fn changed(file: &str, id: SchemaId) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        format!(
            "the schema '{file}' was changed after it got the id {id}, and records of that id could be read wrongly; restore it, and put the \
             change into the next version"
        ),
    )
}
