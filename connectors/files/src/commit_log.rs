//! The file `_committed`: one line per commit, and the moment that a line is on disk is the moment of the commit.
//!
//! A line is `crc32 of the rest, 8 hex digits | space | JSON | line feed`. It repeats the committed length of every file, so the last line
//! alone says what is visible. Promises: a torn last line counts as never written; a bad line with a good one after it is `Corrupt`; lines are
//! dropped only when told that nobody needs their epochs ([`CommitLog::trim`]), and never the last one.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tidemill_connectors_api::Error;
use tidemill_types::{Epoch, ErrorKind};

use crate::disk::{io_error, read_up_to, sync_folder};

/// A log is rewritten to drop lines only once it is this much larger than it was after the last time, and twice as large.
const TRIM_BYTES_MIN: u64 = 1 << 20;
/// Layout of a line.
const VERSION: u32 = 1;

/// Committed bytes per topic and partition.
pub type Lengths = BTreeMap<String, BTreeMap<u32, u64>>;

/// A commit, or (without epochs) a claim of the journal or the announcement of files that are going to be written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitLine {
    /// Layout.
    version: u32,
    /// The job that writes under this path.
    pub job: String,
    /// First and last epoch of the commit.
    pub epochs: Option<(Epoch, Epoch)>,
    /// The journal record of each epoch, or the claim.
    journal: Vec<JournalRecord>,
    /// What is visible after the commit.
    pub lengths: Lengths,
}

/// A journal record is opaque; it nearly always is text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum JournalRecord {
    Text(String),
    Bytes(Vec<u8>),
}

impl CommitLine {
    /// A line of this version of the layout.
    pub fn new<'a>(
        job: &str,
        epochs: Option<(Epoch, Epoch)>,
        journal: impl Iterator<Item = &'a [u8]>,
        lengths: Lengths,
    ) -> Self {
        let journal = journal
            .map(|record| match std::str::from_utf8(record) {
                Ok(text) => JournalRecord::Text(text.to_owned()),
                Err(_) => JournalRecord::Bytes(record.to_vec()),
            })
            .collect();
        Self {
            version: VERSION,
            job: job.to_owned(),
            epochs,
            journal,
            lengths,
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut line = b"00000000 ".to_vec();
        serde_json::to_writer(&mut line, self)
            .expect("a line has only maps with text keys, and a Vec takes every write");
        let crc = format!("{:08x}", crc32fast::hash(&line[9..]));
        line[..8].copy_from_slice(crc.as_bytes());
        line.push(b'\n');
        line
    }

    /// The line's content, without its line feed; `None` if it is torn.
    fn decode(line: &[u8]) -> Option<Self> {
        let (crc, body) = line.split_at_checked(9)?;
        let crc = std::str::from_utf8(crc.strip_suffix(b" ")?).ok()?;
        if u32::from_str_radix(crc, 16).ok()? != crc32fast::hash(body) {
            return None;
        }
        serde_json::from_slice(body).ok()
    }
}

/// The good lines of `bytes`, and how many bytes they are.
fn parse(path: &Path, bytes: &[u8]) -> Result<(Vec<CommitLine>, usize), Error> {
    let (lines, good) = parse_with_starts(path, bytes)?;
    Ok((lines.into_iter().map(|(_, line)| line).collect(), good))
}

/// The good lines of `bytes` with where each starts, and how many bytes they are.
fn parse_with_starts(
    path: &Path,
    bytes: &[u8],
) -> Result<(Vec<(usize, CommitLine)>, usize), Error> {
    let mut lines = Vec::new();
    let mut good = 0;
    let mut start = 0;
    while let Some(end) = memchr::memchr(b'\n', &bytes[start..]).map(|at| start + at) {
        if let Some(line) = CommitLine::decode(&bytes[start..end]) {
            if good != start {
                return Err(Error::new(
                    ErrorKind::Corrupt,
                    format!(
                        "'{}' has a damaged line at byte {good} with good lines after it; restore the folder from a copy",
                        path.display()
                    ),
                ));
            }
            if line.version != VERSION {
                return Err(Error::new(
                    ErrorKind::Invalid,
                    format!(
                        "'{}' has layout {} but this version reads {VERSION}; use the version that wrote it",
                        path.display(),
                        line.version
                    ),
                ));
            }
            lines.push((start, line));
            good = end + 1;
        }
        start = end + 1;
    }
    Ok((lines, good))
}

/// The log as its writer has it.
#[derive(Debug)]
pub struct CommitLog {
    path: PathBuf,
    file: File,
    inode: u64,
    length: u64,
    /// Its length after it was last looked for lines to drop; 0 since it was opened.
    trimmed_length: u64,
    last: Option<CommitLine>,
}

/// The journal's entries in the log of `folder`: of epochs from `from` on, claims, and at least the newest. None if there is no log. Reads past no
/// owner's lock, and nothing of a torn line.
pub fn read_entries(folder: &Path, job: &str, from: Epoch) -> Result<Vec<Vec<u8>>, Error> {
    let path = CommitLog::path(folder);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(io_error("read", &path, &e)),
    };
    let (mut lines, _) = parse(&path, &bytes)?;
    if let Some(last) = lines.last() {
        refuse_other_job(folder, &last.job, job)?;
    }
    let newest = lines.iter().rposition(|line| !line.journal.is_empty());
    let lines = lines.drain(..).enumerate().filter(|(index, line)| {
        line.epochs.is_none_or(|(_, last)| last >= from) || Some(*index) == newest
    });
    let entries = lines.flat_map(|(_, line)| line.journal);
    Ok(entries
        .map(|entry| match entry {
            JournalRecord::Text(text) => text.into_bytes(),
            JournalRecord::Bytes(bytes) => bytes,
        })
        .collect())
}

/// A path is one job's.
pub fn refuse_other_job(folder: &Path, found: &str, job: &str) -> Result<(), Error> {
    if found == job {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Invalid,
        format!(
            "'{}' belongs to job '{found}'; give job '{job}' a path of its own",
            folder.display()
        ),
    ))
}

impl CommitLog {
    /// Name of the log in the folder of topics.
    pub fn path(folder: &Path) -> PathBuf {
        folder.join("_committed")
    }

    /// Opens or creates the log in `folder`, and cuts a torn last line off.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let path = Self::path(folder);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|e| io_error("open", &path, &e))?;
        let bytes = fs::read(&path).map_err(|e| io_error("read", &path, &e))?;
        let (mut lines, good) = parse(&path, &bytes)?;
        if good < bytes.len() {
            tracing::warn!(path = %path.display(), bytes = bytes.len() - good, "cut off a torn line of an unfinished commit");
            file.set_len(good as u64)
                .and_then(|()| file.sync_all())
                .map_err(|e| io_error("cut", &path, &e))?;
        }
        sync_folder(folder)?;
        let metadata = file.metadata().map_err(|e| io_error("read", &path, &e))?;
        Ok(Self {
            path,
            file,
            inode: metadata.ino(),
            length: good as u64,
            trimmed_length: 0,
            last: lines.pop(),
        })
    }

    /// The newest line.
    pub const fn last(&self) -> Option<&CommitLine> {
        self.last.as_ref()
    }

    /// The committed length of a file, if the log knows it.
    pub fn committed(&self, topic: &str, partition: u32) -> Option<u64> {
        self.last
            .as_ref()?
            .lengths
            .get(topic)?
            .get(&partition)
            .copied()
    }

    /// Appends a line. Once this returns, the commit stands. Fails as `Fenced` if somebody else wrote to the log.
    pub fn append(&mut self, line: CommitLine) -> Result<(), Error> {
        self.refuse_other_writer()?;
        let bytes = line.encode();
        self.file
            .write_all_at(&bytes, self.length)
            .and_then(|()| self.file.sync_data())
            .map_err(|e| io_error("write to", &self.path, &e))?;
        self.length += bytes.len() as u64;
        self.last = Some(line);
        Ok(())
    }

    /// The lock keeps others out, as long as nobody removes its file.
    fn refuse_other_writer(&self) -> Result<(), Error> {
        let now = fs::metadata(&self.path).map(|metadata| (metadata.ino(), metadata.len()));
        if now
            .as_ref()
            .is_ok_and(|now| *now == (self.inode, self.length))
        {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Fenced,
            format!(
                "another process wrote to '{}' or removed it; this one exits: let only one process run the job, and keep '_lock'",
                self.path.display()
            ),
        ))
    }

    /// Drops lines of epochs before `before`, when that is worth a rewrite; the last line and the newest entry of the journal stay.
    pub fn trim(&mut self, before: Epoch) -> Result<(), Error> {
        if self.length < 2 * self.trimmed_length.max(TRIM_BYTES_MIN) {
            return Ok(());
        }
        let (lines, _) = parse_with_starts(&self.path, &self.bytes()?)?;
        let newest = lines.iter().rposition(|(_, line)| !line.journal.is_empty());
        let needed = lines
            .iter()
            .position(|(_, line)| line.epochs.is_some_and(|(_, last)| last >= before));
        let last = lines.len().saturating_sub(1);
        let first_kept = needed.unwrap_or(last).min(newest.unwrap_or(last));
        if let Some(&(start, _)) = lines.get(first_kept) {
            self.refuse_other_writer()?;
            self.rewrite(start as u64)?;
        }
        self.trimmed_length = self.length;
        Ok(())
    }

    /// Writes the bytes from `from` on, where a line starts, to a new file that takes this one's place: to drop old lines, or (`from` 0) because
    /// after a failed fsync the old file's content in memory says nothing about the disk.
    pub fn rewrite(&mut self, from: u64) -> Result<(), Error> {
        let bytes = self.bytes()?;
        let kept = &bytes[usize::try_from(from).expect("the log was read into memory")..];
        let new_path = self.path.with_extension("new");
        let new = || -> std::io::Result<(File, u64)> {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(true)
                .open(&new_path)?;
            file.write_all_at(kept, 0)?;
            file.sync_all()?;
            fs::rename(&new_path, &self.path)?;
            let inode = file.metadata()?.ino();
            Ok((file, inode))
        };
        let (file, inode) = new().map_err(|e| io_error("rewrite", &self.path, &e))?;
        sync_folder(self.path.parent().expect("the log lies in a folder"))?;
        (self.file, self.inode) = (file, inode);
        self.length = kept.len() as u64;
        Ok(())
    }

    fn bytes(&self) -> Result<Vec<u8>, Error> {
        let mut bytes =
            vec![0; usize::try_from(self.length).expect("the log is bounded far below memory")];
        self.file
            .read_exact_at(&mut bytes, 0)
            .map_err(|e| io_error("read", &self.path, &e))?;
        Ok(bytes)
    }
}

/// The log as a reader in another process follows it.
#[derive(Debug)]
pub struct CommitFollower {
    path: PathBuf,
    file: Option<File>,
    inode: u64,
    position: u64,
    lengths: Lengths,
}

impl CommitFollower {
    /// Follows the log in `folder`, which need not exist.
    pub fn new(folder: &Path) -> Self {
        Self {
            path: CommitLog::path(folder),
            file: None,
            inode: 0,
            position: 0,
            lengths: Lengths::new(),
        }
    }

    /// What is committed, as of the last [`CommitFollower::refresh`].
    pub const fn lengths(&self) -> &Lengths {
        &self.lengths
    }

    /// Reads the lines that came since.
    pub fn refresh(&mut self) -> Result<(), Error> {
        let failed = |e: &std::io::Error| io_error("read", &self.path, e);
        let metadata = match fs::metadata(&self.path) {
            Ok(metadata) => metadata,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && self.file.is_none() => {
                return Ok(());
            }
            Err(e) => return Err(failed(&e)),
        };
        if self.file.is_none() || metadata.ino() != self.inode {
            let file = File::open(&self.path).map_err(|e| failed(&e))?;
            self.inode = file.metadata().map_err(|e| failed(&e))?.ino();
            self.file = Some(file);
            self.position = 0;
        }
        let Some(file) = &self.file else {
            return Ok(());
        };
        let length = file.metadata().map_err(|e| failed(&e))?.len();
        if length <= self.position {
            return Ok(());
        }
        let mut bytes = vec![
            0;
            usize::try_from(length - self.position)
                .expect("the log is bounded far below memory")
        ];
        let count = read_up_to(file, &mut bytes, self.position).map_err(|e| failed(&e))?;
        let (mut lines, good) = parse(&self.path, &bytes[..count])?;
        self.position += good as u64;
        if let Some(line) = lines.pop() {
            self.lengths = line.lengths;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
