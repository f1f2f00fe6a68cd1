//! Reads back what a job committed, for checks and tools.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde::Deserialize;
use serde_json::value::RawValue;
use tidemill_connectors_api::Error;
use tidemill_types::{Epoch, ErrorKind};

use crate::commit_log::CommitFollower;
use crate::disk::{io_error, partition_path};

/// A line as the committer writes it.
#[derive(Deserialize)]
struct Line<'a> {
    epoch: u64,
    #[serde(borrow)]
    key: &'a RawValue,
    #[serde(borrow)]
    value: &'a RawValue,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    timestamp: Option<i64>,
}

/// A record as a job committed it.
#[derive(Debug)]
pub struct CommittedRecord<'a> {
    /// Its partition.
    pub partition: u32,
    /// The epoch that wrote it.
    pub epoch: Epoch,
    /// Its key in JSON; the empty slice is none.
    pub key: &'a [u8],
    /// Its value in JSON; none is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Its headers.
    pub headers: BTreeMap<String, String>,
    /// Its time, in milliseconds since 1970, if it has one.
    pub timestamp_ms: Option<i64>,
}

/// Calls `on_record` for every committed record of `topic` under `path`: partition by partition, in the order in which they were written.
///
/// # Errors
/// `Invalid` if no job wrote the topic there, `Corrupt` if a file is shorter than what was committed or has a line that no job wrote.
pub fn read_committed(
    path: &Path,
    topic: &str,
    mut on_record: impl FnMut(CommittedRecord<'_>),
) -> Result<(), Error> {
    let mut follower = CommitFollower::new(path);
    follower.refresh()?;
    let Some(partitions) = follower.lengths().get(topic) else {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!(
                "no job committed topic '{topic}' under '{}'; run a job with that sink first",
                path.display()
            ),
        ));
    };
    let mut line = Vec::new();
    for (&partition, &length) in partitions {
        let file_path = partition_path(path, topic, partition);
        let file = File::open(&file_path).map_err(|e| io_error("open", &file_path, &e))?;
        let mut reader = BufReader::with_capacity(1 << 20, file.take(length));
        let mut position = 0;
        while position < length {
            line.clear();
            reader
                .read_until(b'\n', &mut line)
                .map_err(|e| io_error("read", &file_path, &e))?;
            let record: Line<'_> = serde_json::from_slice(&line).map_err(|e| {
                Error::new(
                    ErrorKind::Corrupt,
                    format!("'{}' has no record of a job at byte {position}: {e}; restore the folder from a copy", file_path.display()),
                )
            })?;
            let key = record.key.get();
            let value = record.value.get();
            on_record(CommittedRecord {
                partition,
                epoch: Epoch(record.epoch),
                key: if key == "null" { b"" } else { key.as_bytes() },
                value: (value != "null").then_some(value.as_bytes()),
                headers: record.headers,
                timestamp_ms: record.timestamp,
            });
            position += line.len() as u64;
        }
    }
    Ok(())
}
