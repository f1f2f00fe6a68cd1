//! Writes the sinks of a job: data first, then the one line in `_committed` that makes it visible.
//!
//! A record is a line `{"epoch":12,"key":<JSON>,"value":<JSON>}` in `<path>/<topic>/<partition>.jsonl`; no key and no value (a tombstone) are
//! `null`, what is no JSON is its text, and what is no text `{"base64":"…"}`. What else it has stands behind: `"headers":{"name":"text"}`, and `"timestamp":` with milliseconds since 1970. The partition is `crc32(key) % partitions`, 0 without a key.
//! Promises: after [`Committer::commit`] returns, the epochs survive a power cut; after it failed, [`Committer::fence`] undoes or completes it.
//! A file is announced in the log before it is first written, so data that somebody else put there is refused, never truncated.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::IgnoredAny;
use tidemill_connectors_api::{Committer, EpochOutput, Error};
use tidemill_types::raw::Headers;
use tidemill_types::{Epoch, ErrorKind, OutputRecord};

use crate::commit_log::{CommitLine, CommitLog, Lengths, read_entries, refuse_other_job};
use crate::disk::{io_error, partition_path, sync_folder};
use crate::options::{CommitterOptions, SinkOptions};

/// How long the owner before may take to go away: a process that was killed keeps its lock until its memory is given back.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(5);
/// How often the lock is tried meanwhile.
const LOCK_RETRY: Duration = Duration::from_millis(50);

/// The committer of all file sinks of a job.
#[derive(Debug)]
pub struct FilesCommitter {
    job: String,
    options: CommitterOptions,
    lock_wait_max: Duration,
    /// Held from the first fence until the value is dropped.
    lock: Option<File>,
    /// Present from a successful fence until a commit fails.
    output: Option<Output>,
    /// True after a failed commit: what the log's pages in memory say may not be on disk.
    doubtful: bool,
}

impl FilesCommitter {
    /// A committer that owns nothing yet.
    pub fn new(job: &str, options: CommitterOptions) -> Self {
        Self {
            job: job.to_owned(),
            options,
            lock_wait_max: LOCK_WAIT_MAX,
            lock: None,
            output: None,
            doubtful: false,
        }
    }

    /// The same with another patience for the lock.
    #[cfg(test)]
    pub const fn with_lock_wait(mut self, wait: Duration) -> Self {
        self.lock_wait_max = wait;
        self
    }

    fn take_lock(&self) -> Result<File, Error> {
        let path = self.options.path.join("_lock");
        let failed = |e: &std::io::Error| io_error("lock", &path, e);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|e| failed(&e))?;
        let since = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if since.elapsed() < self.lock_wait_max => {
                    std::thread::sleep(LOCK_RETRY)
                }
                Err(TryLockError::WouldBlock) => {
                    let mut pid = String::new();
                    file.read_to_string(&mut pid).map_err(|e| failed(&e))?;
                    return Err(Error::new(
                        ErrorKind::Fenced,
                        format!(
                            "another process ({}) writes to '{}'; stop it, or give job '{}' a path of its own",
                            pid.trim(),
                            self.options.path.display(),
                            self.job
                        ),
                    ));
                }
                Err(TryLockError::Error(e)) => return Err(failed(&e)),
            }
        }
        file.set_len(0)
            .and_then(|()| writeln!(file, "job {} pid {}", self.job, std::process::id()))
            .map_err(|e| failed(&e))?;
        Ok(file)
    }
}

impl Committer for FilesCommitter {
    fn read_journal(&mut self, from: Epoch) -> Result<Vec<Vec<u8>>, Error> {
        read_entries(&self.options.path, &self.job, from)
    }

    fn fence(&mut self) -> Result<(), Error> {
        self.output = None;
        let path = &self.options.path;
        fs::create_dir_all(path).map_err(|e| io_error("create folder", path, &e))?;
        for sink in &self.options.sinks {
            let folder = path.join(&sink.topic);
            fs::create_dir_all(&folder).map_err(|e| io_error("create folder", &folder, &e))?;
        }
        if self.lock.is_none() {
            self.lock = Some(self.take_lock()?);
        }
        let mut log = CommitLog::open(path)?;
        if self.doubtful {
            log.rewrite(0)?;
        }
        self.output = Some(Output::open(&self.job, &self.options, log)?);
        self.doubtful = false;
        Ok(())
    }

    fn claim(&mut self, _epoch: Epoch, claim: &[u8]) -> Result<(), Error> {
        let job = self.job.clone();
        self.write(|output, _| {
            let line = CommitLine::new(&job, None, [claim].into_iter(), output.lengths());
            output.log.append(line)
        })
    }

    fn commit(&mut self, epochs: &[EpochOutput]) -> Result<(), Error> {
        let job = self.job.clone();
        self.write(|output, sinks| output.commit(&job, sinks, epochs))
    }

    fn trim(&mut self, before: Epoch) -> Result<(), Error> {
        self.write(|output, _| output.log.trim(before))
    }

    fn record_bytes_max(&self, _sink: usize) -> Option<usize> {
        Some(crate::RECORD_BYTES_MAX)
    }
}

impl FilesCommitter {
    /// Writes as the owner; what fails leaves nothing open.
    fn write(
        &mut self,
        write: impl FnOnce(&mut Output, &[SinkOptions]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut output = self.output.take().ok_or_else(not_fenced)?;
        match write(&mut output, &self.options.sinks) {
            Ok(()) => {
                self.output = Some(output);
                Ok(())
            }
            Err(error) => {
                self.doubtful = true;
                Err(error)
            }
        }
    }
}

fn not_fenced() -> Error {
    Error::new(
        ErrorKind::Retry,
        "the files are not open for writing; fence first, then read the journal",
    )
}

/// What is open while the job owns its path.
#[derive(Debug)]
struct Output {
    log: CommitLog,
    files: Vec<DataFile>,
    /// Per sink the index in `files` of each of its partitions.
    routes: Vec<Vec<usize>>,
}

#[derive(Debug)]
struct DataFile {
    topic: String,
    partition: u32,
    path: PathBuf,
    file: File,
    /// Committed length.
    length: u64,
    /// Lines of the commit under way.
    buffer: Vec<u8>,
}

impl Output {
    /// Opens the files of all sinks at their committed lengths; what lies beyond belongs to a commit that never stood.
    fn open(job: &str, options: &CommitterOptions, log: CommitLog) -> Result<Self, Error> {
        if let Some(line) = log.last() {
            refuse_other_job(&options.path, &line.job, job)?;
        }
        let mut indexes = BTreeMap::new();
        let mut files = Vec::new();
        let mut routes = Vec::with_capacity(options.sinks.len());
        for sink in &options.sinks {
            let mut route = Vec::with_capacity(sink.partitions as usize);
            for partition in 0..sink.partitions {
                let index = match indexes.get(&(&sink.topic, partition)) {
                    Some(&index) => index,
                    None => {
                        files.push(DataFile::open(&options.path, sink, partition, &log)?);
                        indexes.insert((&sink.topic, partition), files.len() - 1);
                        files.len() - 1
                    }
                };
                route.push(index);
            }
            sync_folder(&options.path.join(&sink.topic))?;
            routes.push(route);
        }
        sync_folder(&options.path)?;
        let mut output = Self { log, files, routes };
        output.announce(job)?;
        Ok(output)
    }

    /// Logs files that the log doesn't know yet.
    fn announce(&mut self, job: &str) -> Result<(), Error> {
        if self
            .files
            .iter()
            .all(|file| self.log.committed(&file.topic, file.partition).is_some())
        {
            return Ok(());
        }
        let line = CommitLine::new(job, None, std::iter::empty(), self.lengths());
        self.log.append(line)
    }

    /// The committed lengths: what the log says, also of sinks that the job no longer has, and of the open files.
    fn lengths(&self) -> Lengths {
        let mut lengths = self
            .log
            .last()
            .map(|line| line.lengths.clone())
            .unwrap_or_default();
        for file in &self.files {
            lengths
                .entry(file.topic.clone())
                .or_default()
                .insert(file.partition, file.length);
        }
        lengths
    }

    fn commit(
        &mut self,
        job: &str,
        sinks: &[SinkOptions],
        epochs: &[EpochOutput],
    ) -> Result<(), Error> {
        let (Some(first), Some(last)) = (epochs.first(), epochs.last()) else {
            return Ok(());
        };
        for epoch in epochs {
            if epoch.sinks.len() != sinks.len() {
                return Err(Error::new(
                    ErrorKind::Bug,
                    format!(
                        "epoch {} has outputs for {} sinks but the job has {}; report this",
                        epoch.epoch,
                        epoch.sinks.len(),
                        sinks.len()
                    ),
                ));
            }
            for ((sink, route), records) in sinks.iter().zip(&self.routes).zip(&epoch.sinks) {
                for record in records.iter() {
                    let file = &mut self.files[route[partition_of(record.key, route.len())]];
                    push_line(&mut file.buffer, epoch.epoch, record)
                        .map_err(|problem| refused(sink, record.key, problem))?;
                }
            }
        }
        for file in self.files.iter_mut().filter(|file| !file.buffer.is_empty()) {
            file.flush()?;
        }
        let journal = epochs.iter().map(|epoch| epoch.journal.as_slice());
        let line = CommitLine::new(
            job,
            Some((first.epoch, last.epoch)),
            journal,
            self.lengths(),
        );
        self.log.append(line)
    }
}

impl DataFile {
    fn open(
        folder: &Path,
        sink: &SinkOptions,
        partition: u32,
        log: &CommitLog,
    ) -> Result<Self, Error> {
        let path = partition_path(folder, &sink.topic, partition);
        let failed = |e: &std::io::Error| io_error("open", &path, e);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|e| failed(&e))?;
        let size = file.metadata().map_err(|e| failed(&e))?.len();
        let length = match log.committed(&sink.topic, partition) {
            Some(length) if size < length => {
                return Err(Error::new(
                    ErrorKind::Corrupt,
                    format!(
                        "'{}' has {size} bytes but {length} were committed; restore the folder from a copy",
                        path.display()
                    ),
                ));
            }
            Some(length) => length,
            None if size > 0 => {
                return Err(Error::new(
                    ErrorKind::Invalid,
                    format!(
                        "'{}' has data that no job committed; give sink '{}' another topic, or move the file away",
                        path.display(),
                        sink.name
                    ),
                ));
            }
            None => 0,
        };
        if size > length {
            tracing::warn!(path = %path.display(), bytes = size - length, "cut off records of an unfinished commit");
            file.set_len(length)
                .and_then(|()| file.sync_all())
                .map_err(|e| io_error("cut", &path, &e))?;
        }
        Ok(Self {
            topic: sink.topic.clone(),
            partition,
            path,
            file,
            length,
            buffer: Vec::new(),
        })
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.file
            .write_all_at(&self.buffer, self.length)
            .and_then(|()| self.file.sync_data())
            .map_err(|e| io_error("write to", &self.path, &e))?;
        self.length += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

fn partition_of(key: &[u8], partitions: usize) -> usize {
    if key.is_empty() || partitions == 1 {
        0
    } else {
        crc32fast::hash(key) as usize % partitions
    }
}

fn push_line(
    buffer: &mut Vec<u8>,
    epoch: Epoch,
    record: OutputRecord<'_>,
) -> Result<(), &'static str> {
    let OutputRecord { key, value, .. } = record;
    if key.len() + value.map_or(0, <[u8]>::len) > crate::RECORD_BYTES_MAX {
        return Err("is larger than 64 MiB");
    }
    buffer.extend_from_slice(b"{\"epoch\":");
    write!(buffer, "{epoch}").expect("a Vec takes every write");
    buffer.extend_from_slice(b",\"key\":");
    push_json(buffer, if key.is_empty() { b"null" } else { key });
    buffer.extend_from_slice(b",\"value\":");
    push_json(buffer, value.unwrap_or(b"null"));
    if !record.headers.is_empty() {
        push_headers(buffer, record.headers)?;
    }
    if let Some(ms) = record.timestamp_ms {
        write!(buffer, ",\"timestamp\":{ms}").expect("a Vec takes every write");
    }
    buffer.extend_from_slice(b"}\n");
    Ok(())
}

/// Appends bytes of any format as JSON on one line.
fn push_json(buffer: &mut Vec<u8>, bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        let encoded = STANDARD.encode(bytes);
        return write!(buffer, "{{\"base64\":\"{encoded}\"}}").expect("a Vec takes every write");
    };
    let is_one_line = memchr::memchr(b'\n', bytes).is_none();
    if is_one_line && serde_json::from_str::<IgnoredAny>(text).is_ok() {
        buffer.extend_from_slice(bytes);
    } else {
        serde_json::to_writer(buffer, text).expect("a Vec takes every text");
    }
}

fn push_headers(buffer: &mut Vec<u8>, headers: Headers<'_>) -> Result<(), &'static str> {
    let text = |bytes| std::str::from_utf8(bytes).map_err(|_| "has a header that is no text");
    let mut before = ",\"headers\":{";
    for (name, value) in headers {
        buffer.extend_from_slice(before.as_bytes());
        before = ",";
        let value = value.map(text).transpose()?;
        for (part, end) in [(Some(text(name)?), ":"), (value, "")] {
            serde_json::to_writer(&mut *buffer, &part).expect("a Vec takes every text");
            buffer.extend_from_slice(end.as_bytes());
        }
    }
    buffer.push(b'}');
    Ok(())
}

fn refused(sink: &SinkOptions, key: &[u8], problem: &str) -> Error {
    let key = String::from_utf8_lossy(&key[..key.len().min(200)]).into_owned();
    Error::new(
        ErrorKind::Invalid,
        format!(
            "a record of sink '{}' with key '{key}' {problem}; change the job so that it writes another",
            sink.name
        ),
    )
}

#[cfg(test)]
mod tests;
