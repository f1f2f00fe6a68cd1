//! The file of dead letters that no sink is declared for, and of records that are too large for one: their last resort, on the machine of the
//! job.
//!
//! ```text
//! <root>/dead-letters/newest.jsonl   {"number":…,"epoch":…,"plan":…,"stage":…,"source":…,"topic":…,…}: a dead letter as JSON
//! <root>/dead-letters/older.jsonl    what was the newest before it was full
//! ```
//! Promises that nothing is in it late: an epoch's lines are there before the epoch is committed. That what is there is bounded, and what is
//! there no more is counted: lines are numbered from 1 on, so that the first number says how many went before it. That a line which a crash
//! tore is no part of it.
//! Does not promise that letters are there once: an epoch that a crash kept from being committed comes again. Nor that they are there for
//! ever: of two full files the older one is replaced. A single letter may be larger than a file: then it is alone in it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tidemill_types::{DeadLetter, Epoch};

use crate::Error;

/// A file above this is full, in bytes.
const FILE_BYTES: u64 = 64 << 20;
/// So much is read at a time when a line's beginning is looked for from its end.
const CHUNK_BYTES: usize = 64 << 10;

/// The dead letters that are kept beside the state. Its writer is one value.
#[derive(Debug)]
pub struct DeadLetterFile {
    root: PathBuf,
    file_bytes: u64,
    open: Option<Open>,
}

/// The newest file, being written.
#[derive(Debug)]
struct Open {
    out: BufWriter<File>,
    bytes: u64,
    next_number: u64,
}

/// A dead letter as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The how manieth of all that were ever kept there it is, from 1 on.
    pub number: u64,
    /// The epoch that it was read in.
    pub epoch: Epoch,
    /// It.
    #[serde(flatten)]
    pub letter: DeadLetter,
}

/// What there was beside the letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Missing {
    /// How many letters had to make room for newer ones.
    pub gone: u64,
    /// How many lines are no letters.
    pub unreadable: u64,
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
            open: None,
        }
    }

    /// Adds an epoch's dead letters; they are on disk when this returns.
    ///
    /// # Errors
    /// If they cannot be written. Some of them may be there then.
    pub fn append(
        &mut self,
        epoch: Epoch,
        letters: impl IntoIterator<Item = DeadLetter>,
    ) -> Result<(), Error> {
        let mut letters = letters.into_iter().peekable();
        if letters.peek().is_none() {
            return Ok(());
        }
        let newest = self.root.join(Self::NEWEST);
        // What failed midway is opened anew, without what it left of a line.
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.open()?,
        };
        for letter in letters {
            if open.bytes > self.file_bytes {
                open = self.rotate(open)?;
            }
            open.write(epoch, letter)
                .map_err(Error::file("write to", &newest))?;
        }
        open.sync().map_err(Error::file("write to", &newest))?;
        self.open = Some(open);
        Ok(())
    }

    /// Calls `on_letter` with every letter, the oldest first. A job may run meanwhile.
    ///
    /// # Errors
    /// If the files cannot be read.
    pub fn read(&self, mut on_letter: impl FnMut(Kept)) -> Result<Missing, Error> {
        // The newest is opened first: should it become the older one in between, its letters come twice rather than not at all.
        let newest = open_if_there(&self.root.join(Self::NEWEST))?;
        let older = open_if_there(&self.root.join(Self::OLDER))?;
        let (mut missing, mut first) = (Missing::default(), None);
        for (path, file) in older.into_iter().chain(newest) {
            let mut lines = BufReader::new(file);
            let mut line = Vec::new();
            loop {
                line.clear();
                let read = lines.read_until(b'\n', &mut line);
                read.map_err(Error::file("read", &path))?;
                if !line.ends_with(b"\n") {
                    break;
                }
                match serde_json::from_slice::<Kept>(&line) {
                    Ok(kept) => {
                        first.get_or_insert(kept.number);
                        on_letter(kept);
                    }
                    Err(_) => missing.unreadable += 1,
                }
            }
        }
        missing.gone = first.unwrap_or(1).saturating_sub(1);
        Ok(missing)
    }

    fn open(&self) -> Result<Open, Error> {
        let folder = self.root.join(Self::FOLDER);
        fs::create_dir_all(&folder).map_err(Error::file("create", &folder))?;
        let newest = self.root.join(Self::NEWEST);
        let failed = Error::file("write to", &newest);
        let file = (OpenOptions::new().create(true).append(true).read(true)).open(&newest);
        let (file, bytes, last) = file
            .and_then(|file| {
                let (bytes, last) = end_of(&file)?;
                file.set_len(bytes)?;
                File::open(&folder)?.sync_all()?;
                Ok((file, bytes, last))
            })
            .map_err(failed)?;
        let last = match last {
            Some(number) => number,
            None => self.last_older()?,
        };
        Ok(Open {
            out: BufWriter::new(file),
            bytes,
            next_number: last + 1,
        })
    }

    /// The newest number of the older file; 0 without one.
    fn last_older(&self) -> Result<u64, Error> {
        let Some((path, file)) = open_if_there(&self.root.join(Self::OLDER))? else {
            return Ok(0);
        };
        let (_, last) = end_of(&file).map_err(Error::file("read", &path))?;
        Ok(last.unwrap_or(0))
    }

    fn rotate(&self, mut full: Open) -> Result<Open, Error> {
        let newest = self.root.join(Self::NEWEST);
        full.sync().map_err(Error::file("write to", &newest))?;
        let older = self.root.join(Self::OLDER);
        fs::rename(&newest, &older).map_err(Error::file("rename", &newest))?;
        self.open()
    }
}

impl Open {
    fn write(&mut self, epoch: Epoch, letter: DeadLetter) -> io::Result<()> {
        let number = self.next_number;
        let kept = Kept {
            number,
            epoch,
            letter,
        };
        let mut line = serde_json::to_vec(&kept)?;
        line.push(b'\n');
        self.out.write_all(&line)?;
        self.bytes += line.len() as u64;
        self.next_number += 1;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.out.flush()?;
        self.out.get_ref().sync_data()
    }
}

fn open_if_there(path: &Path) -> Result<Option<(PathBuf, File)>, Error> {
    match File::open(path) {
        Ok(file) => Ok(Some((path.to_owned(), file))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::file("read", path)(error)),
    }
}

/// Where the last whole line of a file ends, and its number; no number without a line that has one.
fn end_of(file: &File) -> io::Result<(u64, Option<u64>)> {
    let end = after_line_feed(file, file.metadata()?.len())?;
    let start = after_line_feed(file, end.saturating_sub(1))?;
    let mut head = [0; 64];
    let wanted = head
        .len()
        .min(usize::try_from(end - start).unwrap_or(usize::MAX));
    file.read_exact_at(&mut head[..wanted], start)?;
    let number = head[..wanted].strip_prefix(b"{\"number\":".as_slice());
    let digits = number.and_then(|rest| rest.split(|byte| !byte.is_ascii_digit()).next());
    let number = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    Ok((end, number))
}

/// The position after the last line feed before `end`.
fn after_line_feed(file: &File, mut end: u64) -> io::Result<u64> {
    let mut chunk = vec![0; CHUNK_BYTES];
    while end > 0 {
        let start = end.saturating_sub(CHUNK_BYTES as u64);
        let chunk = &mut chunk[..usize::try_from(end - start).expect("at most a chunk")];
        file.read_exact_at(chunk, start)?;
        if let Some(last) = chunk.iter().rposition(|&byte| byte == b'\n') {
            return Ok(start + last as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::Write;
    use std::path::Path;

    use tidemill_types::{DeadLetter, Epoch};

    use super::{DeadLetterFile, Missing};

    fn letter(reason: &str) -> DeadLetter {
        DeadLetter {
            source: "s".to_owned(),
            topic: "t".to_owned(),
            partition: 1,
            offset: 7,
            reason: reason.to_owned(),
            bytes: Some(b"{".to_vec()),
            ..DeadLetter::default()
        }
    }

    fn small(root: &Path) -> DeadLetterFile {
        DeadLetterFile {
            file_bytes: 200,
            ..DeadLetterFile::new(root)
        }
    }

    fn read(file: &DeadLetterFile) -> (Vec<(u64, u64, String)>, Missing) {
        let mut letters = Vec::new();
        let missing =
            file.read(|kept| letters.push((kept.number, kept.epoch.0, kept.letter.reason)));
        (letters, missing.unwrap())
    }

    fn kept(all: &[(u64, u64, &str)]) -> Vec<(u64, u64, String)> {
        all.iter()
            .map(|&(number, epoch, reason)| (number, epoch, reason.to_owned()))
            .collect()
    }

    #[test]
    fn lines_are_these_bytes_and_the_older_of_two_full_files_is_replaced() {
        let root = tempfile::tempdir().unwrap();
        let mut file = small(root.path());
        file.append(Epoch(3), [letter("a")]).unwrap();
        file.append(Epoch(4), [letter("b"), letter("c")]).unwrap();
        let text = |name| fs::read_to_string(root.path().join("dead-letters").join(name)).unwrap();
        let line = |number, epoch, reason| {
            format!(
                "{{\"number\":{number},\"epoch\":{epoch},\"plan\":\"\",\"stage\":\"decode\",\"source\":\"s\",\"topic\":\"t\",\"partition\":1,\"offset\":7,\
                 \"reason\":\"{reason}\",\"timestamp\":null,\"key\":null,\"headers\":null,\"bytes\":\"ew==\",\"truncated\":false}}\n"
            )
        };
        assert_eq!(text("older.jsonl"), line(1, 3, "a") + &line(2, 4, "b"));
        assert_eq!(text("newest.jsonl"), line(3, 4, "c"));
        let expected = kept(&[(1, 3, "a"), (2, 4, "b"), (3, 4, "c")]);
        assert_eq!(read(&file), (expected, Missing::default()));

        file.append(Epoch(5), ["d", "e"].map(letter)).unwrap();
        let (letters, missing) = read(&file);
        assert_eq!(letters, kept(&[(3, 4, "c"), (4, 5, "d"), (5, 5, "e")]));
        assert_eq!(
            missing,
            Missing {
                gone: 2,
                unreadable: 0
            }
        );
    }

    #[test]
    fn numbers_go_on_after_a_restart_also_right_after_a_rotation() {
        let root = tempfile::tempdir().unwrap();
        small(root.path())
            .append(Epoch(1), ["a", "b"].map(letter))
            .unwrap();
        small(root.path()).append(Epoch(2), [letter("c")]).unwrap();
        fs::write(root.path().join(DeadLetterFile::NEWEST), b"").unwrap();
        small(root.path()).append(Epoch(3), [letter("d")]).unwrap();
        let (letters, missing) = read(&small(root.path()));
        assert_eq!(letters, kept(&[(1, 1, "a"), (2, 1, "b"), (3, 3, "d")]));
        assert_eq!(missing, Missing::default());
    }

    #[test]
    fn a_line_that_a_crash_tore_is_no_part_of_it() {
        let root = tempfile::tempdir().unwrap();
        DeadLetterFile::new(root.path())
            .append(Epoch(1), [letter("a")])
            .unwrap();
        let newest = root.path().join(DeadLetterFile::NEWEST);
        let mut torn = OpenOptions::new().append(true).open(&newest).unwrap();
        torn.write_all(b"{\"number\":2,\"epoch\":2,\"sta").unwrap();
        assert_eq!(
            read(&DeadLetterFile::new(root.path())).0,
            kept(&[(1, 1, "a")])
        );
        DeadLetterFile::new(root.path())
            .append(Epoch(2), [letter("b")])
            .unwrap();
        let (letters, missing) = read(&DeadLetterFile::new(root.path()));
        assert_eq!(letters, kept(&[(1, 1, "a"), (2, 2, "b")]));
        assert_eq!(missing, Missing::default());
    }

    #[test]
    fn a_line_that_is_no_letter_is_counted() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("dead-letters")).unwrap();
        fs::write(root.path().join(DeadLetterFile::NEWEST), "{\"epoch\":1}\n").unwrap();
        let mut file = DeadLetterFile::new(root.path());
        file.append(Epoch(2), [letter("b")]).unwrap();
        assert_eq!(
            read(&file),
            (
                kept(&[(1, 2, "b")]),
                Missing {
                    gone: 0,
                    unreadable: 1
                }
            )
        );
    }

    #[test]
    fn without_dead_letters_there_is_no_file() {
        let root = tempfile::tempdir().unwrap();
        let mut file = DeadLetterFile::new(root.path());
        file.append(Epoch(1), []).unwrap();
        assert!(!root.path().join("dead-letters").exists());
        assert_eq!(read(&file), (Vec::new(), Missing::default()));
    }
}
