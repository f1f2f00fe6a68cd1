//! The file of dead letters that no sink is declared for, and of records that are too large for one: their last resort, on the machine of the
//! job.
//!
//! ```text
//! <root>/dead-letters/newest.jsonl   {"epoch":…,"topic":…,"partition":…,"offset":…,"reason":…,"bytes":…}
//! <root>/dead-letters/older.jsonl    what was the newest before it was full
//! ```
//! Promises that nothing is in it late: an epoch's lines are there before the epoch is committed. Does not promise that they are there once: an
//! epoch that a crash kept from being committed comes again, with the same number. Nor that they are there for ever: of two full files the
//! older one is replaced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use tidemill_types::{DeadLetter, Epoch};

use crate::Error;

/// A file above this is full, in bytes.
const FILE_BYTES: u64 = 64 << 20;

/// The dead letters that are kept beside the state.
#[derive(Debug, Clone)]
pub struct DeadLetterFile {
    root: PathBuf,
    file_bytes: u64,
}

impl DeadLetterFile {
    /// Where the newest are, below a state directory.
    pub const NEWEST: &str = "dead-letters/newest.jsonl";
    const OLDER: &str = "dead-letters/older.jsonl";
    const FOLDER: &str = "dead-letters";

    /// Those under a state directory. Touches nothing yet.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            file_bytes: FILE_BYTES,
        }
    }

    /// Adds an epoch's dead letters.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn append(&self, epoch: Epoch, letters: &[DeadLetter]) -> Result<(), Error> {
        if letters.is_empty() {
            return Ok(());
        }
        let folder = self.root.join(Self::FOLDER);
        fs::create_dir_all(&folder).map_err(Error::file("create", &folder))?;
        let newest = self.root.join(Self::NEWEST);
        let file = OpenOptions::new().create(true).append(true).open(&newest);
        let file = file.map_err(Error::file("write to", &newest))?;
        let size = write(file, epoch, letters).map_err(Error::file("write to", &newest))?;
        if size > self.file_bytes {
            let older = self.root.join(Self::OLDER);
            fs::rename(&newest, &older).map_err(Error::file("rename", &newest))?;
        }
        Ok(())
    }
}

/// A dead letter as it stands in the file.
#[derive(Serialize)]
struct Line<'a> {
    epoch: u64,
    topic: &'a str,
    partition: u32,
    offset: i64,
    reason: &'a str,
    /// In base64.
    bytes: String,
}

impl<'a> Line<'a> {
    fn of(epoch: Epoch, letter: &'a DeadLetter) -> Self {
        Self {
            epoch: epoch.0,
            topic: &letter.topic,
            partition: letter.partition,
            offset: letter.offset,
            reason: &letter.reason,
            bytes: BASE64_STANDARD.encode(&letter.bytes),
        }
    }
}

/// Returns the file's size after it.
fn write(file: File, epoch: Epoch, letters: &[DeadLetter]) -> io::Result<u64> {
    let mut out = BufWriter::new(file);
    for letter in letters {
        serde_json::to_writer(&mut out, &Line::of(epoch, letter))?;
        out.write_all(b"\n")?;
    }
    let file = out
        .into_inner()
        .map_err(std::io::IntoInnerError::into_error)?;
    file.sync_data()?;
    Ok(file.metadata()?.len())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tidemill_types::{DeadLetter, Epoch};

    use super::DeadLetterFile;

    fn letter(reason: &str) -> DeadLetter {
        DeadLetter {
            topic: "t".to_owned(),
            partition: 1,
            offset: 7,
            reason: reason.to_owned(),
            bytes: b"{".to_vec(),
        }
    }

    #[test]
    fn lines_carry_their_epoch_and_the_older_of_two_full_files_is_replaced() {
        let root = tempfile::tempdir().unwrap();
        let file = DeadLetterFile {
            file_bytes: 100,
            ..DeadLetterFile::new(root.path())
        };
        let append = |epoch, reason| file.append(Epoch(epoch), &[letter(reason)]).unwrap();
        append(3, "a");
        append(4, "b");
        append(5, "c");
        let read = |name| fs::read_to_string(root.path().join("dead-letters").join(name)).unwrap();
        let line = |epoch, reason| {
            format!(
                "{{\"epoch\":{epoch},\"topic\":\"t\",\"partition\":1,\"offset\":7,\"reason\":\"{reason}\",\"bytes\":\"ew==\"}}\n"
            )
        };
        assert_eq!(read("older.jsonl"), line(3, "a") + &line(4, "b"));
        assert_eq!(read("newest.jsonl"), line(5, "c"));
    }

    #[test]
    fn without_dead_letters_there_is_no_file() {
        let root = tempfile::tempdir().unwrap();
        let file = DeadLetterFile::new(root.path());
        file.append(Epoch(1), &[]).unwrap();
        assert!(!root.path().join("dead-letters").exists());
    }
}
