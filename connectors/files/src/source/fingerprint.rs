//! Tells files apart that have the same name: by their first bytes, which appending never changes.
//!
//! A fingerprint is `partition:length:crc32`, joined by commas: the CRC-32 of the first `length` bytes, at most [`PREFIX_BYTES_MAX`], of the first
//! [`FILES_MAX`] partitions. A file that was empty or missing then fits whatever it holds now.

use std::fs::File;
use std::path::{Path, PathBuf};

use tidemill_connectors_api::Error;

use crate::disk::{io_error, read_up_to};

/// How much of a file is looked at.
const PREFIX_BYTES_MAX: u64 = 4096;
/// How many files are looked at: the fingerprint stands in every record of a journal.
const FILES_MAX: usize = 16;

/// The fingerprint of partition files, each with its length as far as it may be read.
pub fn of(files: &[(u32, PathBuf, Option<u64>)]) -> Result<String, Error> {
    let mut parts = Vec::new();
    for (partition, path, readable) in files.iter().take(FILES_MAX) {
        let length = readable.unwrap_or(u64::MAX).min(PREFIX_BYTES_MAX);
        let prefix = prefix(path, length)?;
        let crc = crc32fast::hash(&prefix);
        parts.push(format!("{partition}:{}:{crc:08x}", prefix.len()));
    }
    Ok(parts.join(","))
}

/// Whether the files still begin as they did.
pub fn matches(fingerprint: &str, path_of: impl Fn(u32) -> PathBuf) -> Result<bool, Error> {
    for part in fingerprint.split(',').filter(|part| !part.is_empty()) {
        let Some((partition, length, crc)) = parse(part) else {
            return Ok(false);
        };
        let path = path_of(partition);
        // That a partition is gone is told elsewhere, and by its number.
        if !path.exists() {
            continue;
        }
        let prefix = prefix(&path, length)?;
        if prefix.len() as u64 != length || crc32fast::hash(&prefix) != crc {
            return Ok(false);
        }
    }
    Ok(true)
}

fn parse(part: &str) -> Option<(u32, u64, u32)> {
    let mut words = part.split(':');
    let partition = words.next()?.parse().ok()?;
    let length: u64 = words.next()?.parse().ok()?;
    let crc = u32::from_str_radix(words.next()?, 16).ok()?;
    (length <= PREFIX_BYTES_MAX).then_some((partition, length, crc))
}

fn prefix(path: &Path, length: u64) -> Result<Vec<u8>, Error> {
    let file = File::open(path).map_err(|e| io_error("open", path, &e))?;
    let mut prefix = vec![0; usize::try_from(length).expect("a prefix is short")];
    let count = read_up_to(&file, &mut prefix, 0).map_err(|e| io_error("read", path, &e))?;
    prefix.truncate(count);
    Ok(prefix)
}
