//! Names of files, and what an error of the file system means to the caller.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tidemill_connectors_api::Error;
use tidemill_types::ErrorKind;

/// The file of a partition.
pub fn partition_path(path: &Path, topic: &str, partition: u32) -> PathBuf {
    path.join(topic).join(format!("{partition}.jsonl"))
}

/// The error for a failed `action` ("read", "write to") on `path`.
pub fn io_error(action: &str, path: &Path, error: &io::Error) -> Error {
    let (kind, advice) = match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            (ErrorKind::Invalid, "give the job's user access to it")
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => {
            (ErrorKind::Invalid, "move away what stands there")
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (
            ErrorKind::Retry,
            "free some space, the job goes on by itself",
        ),
        _ => (
            ErrorKind::Retry,
            "it is tried again; look at the disk if this stays",
        ),
    };
    Error::new(
        kind,
        format!("cannot {action} '{}': {error}; {advice}", path.display()),
    )
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
