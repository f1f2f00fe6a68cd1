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

use tidemill_types::Epoch;

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

    /// Adds an epoch's dead letters, each a JSON object.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn append<'a>(
        &self,
        epoch: Epoch,
        objects: impl Iterator<Item = &'a [u8]>,
    ) -> Result<(), Error> {
        let mut objects = objects.peekable();
        if objects.peek().is_none() {
            return Ok(());
        }
        let folder = self.root.join(Self::FOLDER);
        fs::create_dir_all(&folder).map_err(Error::file("create", &folder))?;
        let newest = self.root.join(Self::NEWEST);
        let file = OpenOptions::new().create(true).append(true).open(&newest);
        let file = file.map_err(Error::file("write to", &newest))?;
        let size = write(file, epoch, objects).map_err(Error::file("write to", &newest))?;
        if size > self.file_bytes {
            let older = self.root.join(Self::OLDER);
            fs::rename(&newest, &older).map_err(Error::file("rename", &newest))?;
        }
        Ok(())
    }
}

/// Returns the file's size after it.
fn write<'a>(file: File, epoch: Epoch, objects: impl Iterator<Item = &'a [u8]>) -> io::Result<u64> {
    let mut out = BufWriter::new(file);
    for object in objects {
        write!(out, "{{\"epoch\":{epoch},")?;
        out.write_all(object.strip_prefix(b"{").unwrap_or(object))?;
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

    use tidemill_types::Epoch;

    use super::DeadLetterFile;

    #[test]
    fn lines_carry_their_epoch_and_the_older_of_two_full_files_is_replaced() {
        let root = tempfile::tempdir().unwrap();
        let file = DeadLetterFile {
            file_bytes: 40,
            ..DeadLetterFile::new(root.path())
        };
        let append = |epoch, object: &str| {
            file.append(Epoch(epoch), [object.as_bytes()].into_iter())
                .unwrap();
        };
        append(3, r#"{"reason":"a"}"#);
        append(4, r#"{"reason":"b"}"#);
        append(5, r#"{"reason":"c"}"#);
        let read = |name| fs::read_to_string(root.path().join("dead-letters").join(name)).unwrap();
        assert_eq!(
            read("older.jsonl"),
            "{\"epoch\":3,\"reason\":\"a\"}\n{\"epoch\":4,\"reason\":\"b\"}\n"
        );
        assert_eq!(read("newest.jsonl"), "{\"epoch\":5,\"reason\":\"c\"}\n");
    }

    #[test]
    fn without_dead_letters_there_is_no_file() {
        let root = tempfile::tempdir().unwrap();
        let file = DeadLetterFile::new(root.path());
        file.append(Epoch(1), std::iter::empty()).unwrap();
        assert!(!root.path().join("dead-letters").exists());
    }
}
