//! Reads the partition files of a topic, and goes on reading as they grow.
//!
//! Under a path that a job writes to, a topic is read up to its committed lengths only. Elsewhere up to the last line feed; a run that ends where the
//! files end ([`Source::end_offsets`]) reads a last line that has none as well, as if it had one, if it is a whole JSON object or array and the file
//! does not grow meanwhile. What is not read yet counts as lag.
//! Promises: a record is a whole line without its line feed, its bytes unchanged; an empty line is an empty record. A file whose first bytes are
//! not those that were read before is another file.

mod fingerprint;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tidemill_connectors_api::{Described, Error, Source, SourceBatch};
use tidemill_types::ErrorKind;

use crate::RECORD_BYTES_MAX;
use crate::commit_log::CommitFollower;
use crate::disk::{io_error, partition_path, read_up_to};
use crate::options::SourceOptions;

/// How long to wait before looking at the files again when there was nothing new.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// A batch is at least this large where there is more, so that a small `max_bytes` over many partitions doesn't make tiny reads.
const CHUNK_BYTES_MIN: usize = 64 << 10;
/// A batch is at most this large, so that partitions take turns.
const CHUNK_BYTES_MAX: usize = 4 << 20;

/// The reader of one topic.
#[derive(Debug)]
pub struct FilesSource {
    options: SourceOptions,
    follower: CommitFollower,
    /// Open partitions; the next one to read from stands first.
    partitions: VecDeque<PartitionFile>,
    /// Those that are not read for now.
    paused: BTreeSet<u32>,
    /// Files whose last line has no line feed and is whole all the same, with their length.
    sealed: BTreeMap<u32, u64>,
    /// Where lines are looked for.
    scratch: Vec<u8>,
}

impl FilesSource {
    /// A reader that has opened nothing yet.
    pub fn new(options: SourceOptions) -> Self {
        let follower = CommitFollower::new(&options.path);
        Self {
            options,
            follower,
            partitions: VecDeque::new(),
            paused: BTreeSet::new(),
            sealed: BTreeMap::new(),
            scratch: Vec::new(),
        }
    }

    /// The committed length of a partition, if a job writes this topic; a partition that it doesn't know has none.
    fn committed(&self, partition: u32) -> Option<u64> {
        let partitions = self.follower.lengths().get(&self.options.topic)?;
        Some(partitions.get(&partition).copied().unwrap_or(0))
    }

    fn read_available(
        &mut self,
        max_bytes: usize,
        out: &mut Vec<SourceBatch>,
    ) -> Result<bool, Error> {
        self.follower.refresh()?;
        let mut budget = max_bytes;
        let mut found = false;
        for _ in 0..self.partitions.len() {
            if found && budget == 0 {
                break;
            }
            let Some(mut file) = self.partitions.pop_front() else {
                break;
            };
            if self.paused.contains(&file.partition) {
                self.partitions.push_back(file);
                continue;
            }
            let committed = self.committed(file.partition);
            let batch = file.read(
                committed,
                self.sealed.get(&file.partition).copied(),
                budget.clamp(CHUNK_BYTES_MIN, CHUNK_BYTES_MAX),
                &mut self.scratch,
            );
            self.partitions.push_back(file);
            if let Some(batch) = batch? {
                budget = budget.saturating_sub(batch.records.held_bytes());
                found = true;
                out.push(batch);
            }
        }
        Ok(found)
    }
}

impl Source for FilesSource {
    fn topic(&self) -> &str {
        &self.options.topic
    }

    fn describe(&mut self, before: &str) -> Result<Described, Error> {
        let partitions = self.partitions()?;
        let mut files = Vec::new();
        for &partition in &partitions {
            files.push((
                partition,
                self.file_of(partition),
                self.committed(partition),
            ));
        }
        Ok(Described {
            incarnation: fingerprint::of(&files)?,
            goes_on: fingerprint::matches(before, |partition| self.file_of(partition))?,
            partitions,
        })
    }

    fn end_offsets(&mut self) -> Result<Vec<(u32, i64)>, Error> {
        let mut ends = Vec::new();
        for partition in self.partitions()? {
            let end = match self.committed(partition) {
                Some(length) => length,
                None => self.seal(partition)?,
            };
            ends.push((partition, offset(end)));
        }
        Ok(ends)
    }

    fn known_ends(&mut self) -> Vec<(u32, i64)> {
        let numbers: Vec<u32> = self.partitions.iter().map(|file| file.partition).collect();
        let end = |partition| {
            let end = self.committed(partition).or_else(|| {
                let metadata = fs::metadata(self.file_of(partition)).ok()?;
                Some(metadata.len())
            });
            Some((partition, offset(end?)))
        };
        numbers.into_iter().filter_map(end).collect()
    }

    fn open(&mut self, positions: &[(u32, Option<i64>)]) -> Result<Vec<(u32, i64)>, Error> {
        self.follower.refresh()?;
        self.partitions.clear();
        let mut opened = Vec::with_capacity(positions.len());
        for &(partition, position) in positions {
            let position = position.unwrap_or(0);
            let file = PartitionFile::open(self.file_of(partition), partition, position)?;
            self.partitions.push_back(file);
            opened.push((partition, position));
        }
        Ok(opened)
    }

    fn poll(
        &mut self,
        max_wait: Duration,
        max_bytes: usize,
        out: &mut Vec<SourceBatch>,
    ) -> Result<(), Error> {
        let deadline = Instant::now() + max_wait;
        loop {
            if self.read_available(max_bytes, out)? {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(LOOK_AGAIN));
        }
    }

    fn pause(&mut self, partitions: &[u32]) -> Result<(), Error> {
        self.paused.extend(partitions);
        Ok(())
    }

    fn resume(&mut self) -> Result<(), Error> {
        self.paused.clear();
        Ok(())
    }
}

impl FilesSource {
    fn file_of(&self, partition: u32) -> PathBuf {
        partition_path(&self.options.path, &self.options.topic, partition)
    }

    /// The position after the last line as it is now, if that is whole, with or without a line feed; else after the line before.
    fn seal(&mut self, partition: u32) -> Result<u64, Error> {
        let path = self.file_of(partition);
        let failed = |e: &std::io::Error| io_error("read", &path, e);
        let file = File::open(&path).map_err(|e| failed(&e))?;
        let length = file.metadata().map_err(|e| failed(&e))?.len();
        let end = end_of_last_line(&file, length).map_err(|e| failed(&e))?;
        if end == length {
            return Ok(length);
        }
        let rest = usize::try_from(length - end).unwrap_or(usize::MAX);
        if rest <= RECORD_BYTES_MAX {
            let mut line = vec![0; rest];
            let count = read_up_to(&file, &mut line, end).map_err(|e| failed(&e))?;
            if is_whole(&line[..count]) {
                self.sealed.insert(partition, length);
                return Ok(length + 1);
            }
        }
        tracing::warn!(
            path = %path.display(), bytes = rest,
            "the last line is not whole and has no line feed; it is not read, and counts as lag"
        );
        Ok(end)
    }

    fn partitions(&mut self) -> Result<Vec<u32>, Error> {
        self.follower.refresh()?;
        if let Some(partitions) = self.follower.lengths().get(&self.options.topic) {
            return Ok(partitions.keys().copied().collect());
        }
        let folder = self.options.path.join(&self.options.topic);
        let missing = || {
            Error::new(
                ErrorKind::Invalid,
                format!(
                    "topic '{}' has no partition file; create '{}' (JSON lines)",
                    self.options.topic,
                    folder.join("0.jsonl").display()
                ),
            )
        };
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(missing()),
            Err(e) => return Err(io_error("list", &folder, &e)),
        };
        let mut partitions = Vec::new();
        for entry in entries {
            let name = entry
                .map_err(|e| io_error("list", &folder, &e))?
                .file_name();
            partitions.extend(name.to_str().and_then(partition_of_name));
        }
        partitions.sort_unstable();
        if partitions.is_empty() {
            Err(missing())
        } else {
            Ok(partitions)
        }
    }
}

/// A file that is being read.
#[derive(Debug)]
struct PartitionFile {
    path: PathBuf,
    partition: u32,
    file: File,
    inode: u64,
    /// Where the next record starts.
    position: u64,
    /// Up to where no line feed is, past `position`: a long line that grows is not searched again.
    searched: u64,
    /// True while the position is one beyond the file's end, because its last line was read without a line feed.
    is_past_end: bool,
}

impl PartitionFile {
    fn open(path: PathBuf, partition: u32, position: i64) -> Result<Self, Error> {
        let failed = |e: &std::io::Error| io_error("open", &path, e);
        let file = File::open(&path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => Error::new(
                ErrorKind::Invalid,
                format!("partition {partition} has no file '{}' any more; bring it back, or start the job from nothing", path.display()),
            ),
            _ => failed(&e),
        })?;
        let metadata = file.metadata().map_err(|e| failed(&e))?;
        let start = u64::try_from(position).map_err(|_| not_a_line(&path, position))?;
        let length = metadata.len();
        let is_past_end = start == length + 1
            && length > 0
            && !ends_line(&file, length).map_err(|e| failed(&e))?;
        if start > length && !is_past_end {
            return Err(truncated(&path, start, length));
        }
        if start > 0 && !is_past_end && !ends_line(&file, start).map_err(|e| failed(&e))? {
            return Err(not_a_line(&path, position));
        }
        Ok(Self {
            path,
            partition,
            file,
            inode: metadata.ino(),
            position: start,
            searched: start,
            is_past_end,
        })
    }

    /// The whole lines between the position and the end, about `chunk_bytes` of them.
    fn read(
        &mut self,
        committed: Option<u64>,
        sealed: Option<u64>,
        chunk_bytes: usize,
        scratch: &mut Vec<u8>,
    ) -> Result<Option<SourceBatch>, Error> {
        let end = self.readable_end(committed)?;
        let mut chunk = chunk_bytes;
        loop {
            let available = usize::try_from(end - self.position).unwrap_or(usize::MAX);
            let is_last_line = sealed == Some(end) && !self.is_past_end;
            if available == 0 || (self.searched >= end && !is_last_line) {
                return Ok(None);
            }
            scratch.resize(chunk.min(available), 0);
            let count = read_up_to(&self.file, scratch, self.position)
                .map_err(|e| io_error("read", &self.path, &e))?;
            let bytes = &scratch[..count];
            if let Some(last) = memchr::memrchr(b'\n', bytes) {
                return Ok(Some(self.batch_of(&bytes[..=last], chunk_bytes)));
            }
            if count > RECORD_BYTES_MAX {
                return Err(Error::new(
                    ErrorKind::Invalid,
                    format!(
                        "'{}' has a line of more than 64 MiB at byte {}; split it",
                        self.path.display(),
                        self.position
                    ),
                ));
            }
            self.searched = self.position + count as u64;
            if is_last_line && count == available && count > 0 {
                return Ok(Some(self.last_batch_of(bytes)));
            }
            chunk = chunk
                .saturating_mul(2)
                .max(count + 1)
                .min(RECORD_BYTES_MAX + 1);
        }
    }

    /// Up to where the file may be read now.
    fn readable_end(&mut self, committed: Option<u64>) -> Result<u64, Error> {
        let metadata = fs::metadata(&self.path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => self.replaced(),
            _ => io_error("read", &self.path, &e),
        })?;
        if metadata.ino() != self.inode {
            return Err(self.replaced());
        }
        if self.is_past_end {
            if metadata.len() + 1 == self.position {
                return Ok(self.position);
            }
            let failed = |e: &std::io::Error| io_error("read", &self.path, e);
            let ended = metadata.len() >= self.position
                && ends_line(&self.file, self.position).map_err(|e| failed(&e))?;
            if !ended {
                return Err(not_a_line(&self.path, offset(self.position)));
            }
            self.is_past_end = false;
        }
        let needed = committed.unwrap_or(0).max(self.position);
        if metadata.len() < needed {
            return Err(truncated(&self.path, needed, metadata.len()));
        }
        Ok(committed.unwrap_or(metadata.len()).max(self.position))
    }

    /// A batch of `lines`, which stand at the position and end with a line feed: of so many of them that they take about `held_max` of memory.
    fn batch_of(&mut self, lines: &[u8], held_max: usize) -> SourceBatch {
        let mut batch = SourceBatch::of(self.partition);
        batch.records.reserve(0, lines.len());
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', lines) {
            let at = offset(self.position + start as u64);
            batch.push(at, None, Some(&lines[start..end]));
            start = end + 1;
            if batch.records.held_bytes() >= held_max {
                break;
            }
        }
        self.position += start as u64;
        self.searched = self.position;
        batch.next_offset = offset(self.position);
        batch
    }

    /// A batch of the last line, which nothing ends, as if a line feed did.
    fn last_batch_of(&mut self, line: &[u8]) -> SourceBatch {
        let mut batch = SourceBatch::of(self.partition);
        batch.push(offset(self.position), None, Some(line));
        self.position += line.len() as u64 + 1;
        self.searched = self.position;
        self.is_past_end = true;
        batch.next_offset = offset(self.position);
        batch
    }

    fn replaced(&self) -> Error {
        Error::new(
            ErrorKind::Corrupt,
            format!(
                "'{}' was removed or replaced while it was read; only append to it, and bring the old file back",
                self.path.display()
            ),
        )
    }
}

fn not_a_line(path: &Path, position: i64) -> Error {
    Error::new(
        ErrorKind::Invalid,
        format!(
            "'{}' has no line that starts at byte {position}; bring the old file back, or start the job from nothing",
            path.display()
        ),
    )
}

fn truncated(path: &Path, needed: u64, size: u64) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        format!(
            "'{}' has only {size} bytes but was read or committed up to byte {needed}; only append to it, and bring the old file back",
            path.display()
        ),
    )
}

fn offset(position: u64) -> i64 {
    i64::try_from(position).expect("a file is shorter than 2^63 bytes")
}

/// The partition that a file name stands for; `None` for other files.
fn partition_of_name(name: &str) -> Option<u32> {
    let stem = name.strip_suffix(".jsonl")?;
    let partition: u32 = stem.parse().ok()?;
    (partition.to_string() == stem).then_some(partition)
}

/// Whether a line without a line feed is complete: one whole JSON object or array, to which nothing can be added.
fn is_whole(line: &[u8]) -> bool {
    (line.ends_with(b"}") || line.ends_with(b"]"))
        && serde_json::from_slice::<serde::de::IgnoredAny>(line).is_ok()
}

/// The position after the last line feed of a file of that length.
fn end_of_last_line(file: &File, length: u64) -> std::io::Result<u64> {
    let mut end = length;
    let mut chunk = vec![0; CHUNK_BYTES_MIN];
    while end > 0 {
        let start = end.saturating_sub(CHUNK_BYTES_MIN as u64);
        let count = read_up_to(file, &mut chunk, start)?;
        // The file may have grown meanwhile: what lies past `end` was not there when this was asked.
        let count = count.min(usize::try_from(end - start).expect("at most a chunk"));
        if let Some(last) = memchr::memrchr(b'\n', &chunk[..count]) {
            return Ok(start + last as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// Whether the byte before `end` is a line feed.
fn ends_line(file: &File, end: u64) -> std::io::Result<bool> {
    let mut before = [0];
    let count = read_up_to(file, &mut before, end - 1)?;
    Ok(count == 1 && before == *b"\n")
}

#[cfg(test)]
mod tests;
