//! Puts records back: appends them to the partition files that they were read from, and writes down which.
//!
//! `<path>/<topic>/_replayed` has a line before and a line after each append: `crc32 of the rest, 8 hex digits | space | JSON | line feed`, as
//! `_committed` has. The line before says what is going to be appended and how long the file was. So what a killed process left is found by
//! looking from there on: the lines are there, or their beginning is at the file's end, or nothing of them is.
//!
//! Promises: records that were put back are not put back again. Does not promise that in a file that somebody shortens, or to whose end
//! somebody else appends the very same lines while a replay is being killed. Keys, headers and times are left out: files have none.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use tidemill_connectors_api::replay::Place;
use tidemill_connectors_api::{Error, Replay, ReplayRecord};
use tidemill_types::ErrorKind;

use crate::commit_log::CommitFollower;
use crate::disk::{io_error, partition_path, read_up_to, sync_folder};
use crate::options::SourceOptions;

/// Layout of a line.
const VERSION: u32 = 1;
/// So much of a file is looked through at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// What puts records of one topic back.
#[derive(Debug)]
pub struct FilesReplay {
    options: SourceOptions,
    log: Option<Log>,
}

/// What is going to be appended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Intent {
    version: u32,
    partition: u32,
    /// Where the records were read.
    offsets: Vec<i64>,
    /// How long the partition's file was.
    length: u64,
    /// The records as lines, in base64.
    lines: String,
}

/// A line of the log: an intent, or that the one before it is carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Intent(Intent),
    Done { version: u32, done: bool },
}

/// The log as its only writer has it.
#[derive(Debug)]
struct Log {
    path: PathBuf,
    file: File,
    there: BTreeSet<Place>,
}

/// What a log tells.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    there: BTreeSet<Place>,
    /// What was perhaps not carried out.
    open: Option<Intent>,
    /// How many bytes the good lines are.
    good: usize,
}

impl FilesReplay {
    /// Opens nothing yet.
    pub const fn new(options: SourceOptions) -> Self {
        Self { options, log: None }
    }

    fn log_path(&self) -> PathBuf {
        self.options
            .path
            .join(&self.options.topic)
            .join("_replayed")
    }

    fn file_of(&self, partition: u32) -> PathBuf {
        partition_path(&self.options.path, &self.options.topic, partition)
    }

    /// Becomes the log's only writer, and brings to an end what another one left.
    fn own(&self) -> Result<Log, Error> {
        self.refuse_outputs()?;
        let path = self.log_path();
        let failed = |e: &std::io::Error| io_error("write to", &path, e);
        let file = (OpenOptions::new().create(true).append(true).read(true)).open(&path);
        let file = file.map_err(|e| failed(&e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let message = format!(
                    "another replay is writing to '{}'; wait until it is done",
                    path.display()
                );
                return Err(Error::new(ErrorKind::Invalid, message));
            }
            Err(TryLockError::Error(e)) => return Err(failed(&e)),
        }
        sync_folder(&self.options.path.join(&self.options.topic))?;
        let bytes = fs::read(&path).map_err(|e| failed(&e))?;
        let told = parse(&path, &bytes)?;
        file.set_len(told.good as u64).map_err(|e| failed(&e))?;
        let there = told.there;
        let mut log = Log { path, file, there };
        if let Some(intent) = told.open {
            self.finish(&mut log, &intent)?;
        }
        Ok(log)
    }

    /// What a job writes it cuts back to what it committed.
    fn refuse_outputs(&self) -> Result<(), Error> {
        let mut follower = CommitFollower::new(&self.options.path);
        follower.refresh()?;
        if !follower.lengths().contains_key(&self.options.topic) {
            return Ok(());
        }
        let message = format!(
            "topic '{}' under '{}' is written by a job: what others append is not read there; mend that job's output at its own source",
            self.options.topic,
            self.options.path.display()
        );
        Err(Error::new(ErrorKind::Invalid, message))
    }

    /// Brings an append to its end, whatever of it is there.
    fn finish(&self, log: &mut Log, intent: &Intent) -> Result<(), Error> {
        let path = self.file_of(intent.partition);
        let lines = intent.decode(&log.path)?;
        let found = found(&path, intent.length, &lines).map_err(|e| io_error("read", &path, &e))?;
        append(&path, &lines[found..])?;
        log.done(intent)
    }
}

impl Replay for FilesReplay {
    fn put_before(&mut self) -> Result<BTreeSet<Place>, Error> {
        self.refuse_outputs()?;
        if let Some(log) = &self.log {
            return Ok(log.there.clone());
        }
        let path = self.log_path();
        match fs::read(&path) {
            Ok(bytes) => Ok(parse(&path, &bytes)?.there),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(BTreeSet::new()),
            Err(e) => Err(io_error("read", &path, &e)),
        }
    }

    fn put_back(&mut self, records: &[ReplayRecord]) -> Result<Vec<Place>, Error> {
        let mut log = match self.log.take() {
            Some(log) => log,
            None => self.own()?,
        };
        let mut put = BTreeSet::new();
        let mut by_partition: BTreeMap<u32, (Vec<i64>, Vec<u8>)> = BTreeMap::new();
        for record in records {
            if log.there.contains(&record.place) || !put.insert(record.place) {
                continue;
            }
            let (offsets, lines) = by_partition.entry(record.place.0).or_default();
            push_line(record, lines)?;
            offsets.push(record.place.1);
        }
        for (partition, (offsets, lines)) in by_partition {
            let path = self.file_of(partition);
            let intent = Intent {
                version: VERSION,
                partition,
                offsets,
                length: length_to_append_to(&path)?,
                lines: BASE64_STANDARD.encode(&lines),
            };
            log.write(&Line::Intent(intent.clone()))?;
            append(&path, &lines)?;
            log.done(&intent)?;
        }
        self.log = Some(log);
        Ok(put.into_iter().collect())
    }
}

impl Intent {
    fn decode(&self, path: &Path) -> Result<Vec<u8>, Error> {
        BASE64_STANDARD
            .decode(&self.lines)
            .map_err(|_| damaged(path))
    }

    fn places(&self) -> impl Iterator<Item = Place> {
        let place = |&offset: &i64| (self.partition, offset);
        self.offsets.iter().map(place)
    }
}

impl Log {
    fn write(&mut self, line: &Line) -> Result<(), Error> {
        let written = self.file.write_all(&encode(line));
        written
            .and_then(|()| self.file.sync_data())
            .map_err(|e| io_error("write to", &self.path, &e))
    }

    fn done(&mut self, intent: &Intent) -> Result<(), Error> {
        let (version, done) = (VERSION, true);
        self.write(&Line::Done { version, done })?;
        self.there.extend(intent.places());
        Ok(())
    }
}

fn push_line(record: &ReplayRecord, lines: &mut Vec<u8>) -> Result<(), Error> {
    let (partition, offset) = record.place;
    let refuse = |what: &str| {
        let message = format!(
            "record {partition}/{offset} cannot be put into a file of lines: {what}; mend it, or leave it out"
        );
        Err(Error::new(ErrorKind::Invalid, message))
    };
    match &record.value {
        None => refuse("it has no value"),
        Some(value) if value.contains(&b'\n') => refuse("it has a line feed"),
        Some(value) => {
            lines.extend_from_slice(value);
            lines.push(b'\n');
            Ok(())
        }
    }
}

/// The length of a file whose last line is ended.
fn length_to_append_to(path: &Path) -> Result<u64, Error> {
    let failed = |e: &std::io::Error| io_error("read", path, e);
    let file = File::open(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => Error::new(
            ErrorKind::Invalid,
            format!(
                "there is no file '{}' to put records back into; bring it back",
                path.display()
            ),
        ),
        _ => failed(&e),
    })?;
    let length = file.metadata().map_err(|e| failed(&e))?.len();
    let mut last = [b'\n'];
    if length > 0 {
        read_up_to(&file, &mut last, length - 1).map_err(|e| failed(&e))?;
    }
    if last == *b"\n" {
        return Ok(length);
    }
    let message = format!(
        "the last line of '{}' has no line feed, or somebody is writing it; end it, then replay again",
        path.display()
    );
    Err(Error::new(ErrorKind::Invalid, message))
}

fn append(path: &Path, lines: &[u8]) -> Result<(), Error> {
    let file = OpenOptions::new().append(true).open(path);
    file.and_then(|mut file| {
        file.write_all(lines)?;
        file.sync_data()
    })
    .map_err(|e| io_error("write to", path, &e))
}

/// How much of `lines` is in the file from `start` on: all of it somewhere, or its beginning at the file's end, or nothing.
fn found(path: &Path, start: u64, lines: &[u8]) -> std::io::Result<usize> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let finder = memchr::memmem::Finder::new(lines);
    let mut chunk = vec![0; lines.len() + CHUNK_BYTES];
    let mut position = start;
    while position < length {
        let count = read_up_to(&file, &mut chunk, position)?;
        if finder.find(&chunk[..count]).is_some() {
            return Ok(lines.len());
        }
        position += CHUNK_BYTES as u64;
    }
    let tail = usize::try_from(length.saturating_sub(start)).unwrap_or(usize::MAX);
    // One byte more than can be theirs: they begin where a line does.
    let mut end = vec![0; tail.min(lines.len())];
    let tail_start = length - end.len() as u64;
    read_up_to(&file, &mut end, tail_start)?;
    let is_theirs = |&begin: &usize| {
        let begins_line = match begin.checked_sub(1) {
            Some(before) => end[before] == b'\n',
            None => end.len() == tail,
        };
        begins_line && lines.starts_with(&end[begin..])
    };
    let begin = (0..end.len()).find(is_theirs);
    Ok(begin.map_or(0, |begin| end.len() - begin))
}

fn encode(line: &Line) -> Vec<u8> {
    let json = serde_json::to_vec(line).expect("a line has only numbers and text");
    let crc = crc32fast::hash(&json);
    [format!("{crc:08x} ").as_bytes(), &json, b"\n"].concat()
}

fn decode(line: &[u8]) -> Option<Line> {
    let (crc, body) = line.split_at_checked(9)?;
    let crc = std::str::from_utf8(crc.strip_suffix(b" ")?).ok()?;
    if u32::from_str_radix(crc, 16).ok()? != crc32fast::hash(body) {
        return None;
    }
    serde_json::from_slice(body).ok()
}

/// What the log's bytes tell; a torn last line was never written.
fn parse(path: &Path, bytes: &[u8]) -> Result<Told, Error> {
    let mut told = Told::default();
    let mut rest = bytes;
    while let Some(end) = memchr::memchr(b'\n', rest) {
        match decode(&rest[..end]) {
            Some(Line::Intent(intent)) if intent.version == VERSION => told.open = Some(intent),
            Some(Line::Done {
                version: VERSION, ..
            }) => {
                let intent = told.open.take().ok_or_else(|| damaged(path))?;
                told.there.extend(intent.places());
            }
            Some(_) => {
                let message = format!(
                    "'{}' was written by another version; use the version that wrote it",
                    path.display()
                );
                return Err(Error::new(ErrorKind::Invalid, message));
            }
            None => return Err(damaged(path)),
        }
        rest = &rest[end + 1..];
        told.good = bytes.len() - rest.len();
    }
    Ok(told)
}

fn damaged(path: &Path) -> Error {
    let message = format!(
        "'{}' has a damaged line, so that nobody knows what was put back; restore it from a copy",
        path.display()
    );
    Error::new(ErrorKind::Corrupt, message)
}

#[cfg(test)]
mod tests;
