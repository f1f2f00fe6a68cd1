//! Names of files, and steps on them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tidemill_connectors_api::Error;
pub use tidemill_connectors_api::error::io_error;

/// The file of a partition.
pub fn partition_path(path: &Path, topic: &str, partition: u32) -> PathBuf {
    path.join(topic).join(format!("{partition}.jsonl"))
}

/// Makes the entries of a folder durable.
pub fn sync_folder(path: &Path) -> Result<(), Error> {
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(|e| io_error("sync folder", path, &e))
}

/// Fills `buffer` from `position` on, as far as the file goes; returns how many bytes there were.
pub fn read_up_to(file: &File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], position + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}
