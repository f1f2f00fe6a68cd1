//! Files that are there whole or not at all, and what an error of the file system means to the caller.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};
use tidemill_connectors_api::registry::SCHEMA_BYTES_MAX;
use tidemill_connectors_api::{Error, error};
use tidemill_types::ErrorKind;

/// Writes a file beside its place and moves it there: whoever looks sees the old file or the new one, also after a power cut.
///
/// Two who write the same file at once must not write different things into it: the name beside it is of the process and thread.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let error = |error: &io::Error| io_error("write", path, error);
    let folder = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let thread = format!("{:?}", std::thread::current().id());
    let thread: String = thread.chars().filter(char::is_ascii_digit).collect();
    let beside = folder.join(format!(".{name}.{}-{thread}.new", std::process::id()));
    let written = File::create(&beside)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&beside, path))
        .and_then(|()| sync_folder(folder));
    written.map_err(|e| {
        // What was begun is of no use; that it cannot be removed says less than why it could not be written.
        let _ = fs::remove_file(&beside);
        error(&e)
    })
}

/// Makes a folder, and its name durable.
pub fn make_folder(path: &Path) -> Result<(), Error> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path)
        .and_then(|()| path.parent().map_or(Ok(()), sync_folder))
        .map_err(|error| io_error("make the folder", path, &error))
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    File::open(path)?.sync_all()
}

/// The text of a file, `None` if it is not there.
///
/// # Errors
/// `Invalid` if it is no text, or longer than it may be.
pub fn read(path: &Path, bytes_max: usize) -> Result<Option<String>, Error> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error("read", path, &error)),
    };
    let mut bytes = Vec::new();
    file.take(bytes_max as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| io_error("read", path, &error))?;
    let invalid = |why: String| {
        let message = format!("'{}' {why}", path.display());
        Error::new(ErrorKind::Invalid, message)
    };
    if bytes.len() > bytes_max {
        return Err(invalid(format!(
            "has more than {bytes_max} bytes, which no schema may have; make it smaller"
        )));
    }
    String::from_utf8(bytes)
        .map(Some)
        .map_err(|_| invalid("is no text in UTF-8; save it as such".to_owned()))
}

/// The text of a schema's file, `None` if it is not there.
pub fn read_schema(path: &Path) -> Result<Option<String>, Error> {
    read(path, SCHEMA_BYTES_MAX)
}

/// The SHA-256 of all parts, each told from the next, in hexadecimal digits.
pub fn hash(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The error for a failed `action` ("read", "write") on `path`, of which nobody makes the folder but who registers.
pub fn io_error(action: &str, path: &Path, error: &io::Error) -> Error {
    let advice = match error.kind() {
        io::ErrorKind::InvalidFilename => "move away what stands there",
        io::ErrorKind::NotFound => "make the folder first",
        _ => return error::io_error(action, path, error),
    };
    Error::new(
        ErrorKind::Invalid,
        format!("cannot {action} '{}': {error}; {advice}", path.display()),
    )
}
