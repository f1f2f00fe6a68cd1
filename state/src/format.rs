//! The version mark of a snapshot folder: a file `FORMAT` with one line.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use crate::Error;

/// Name of the file.
pub(crate) const FILE_NAME: &str = "FORMAT";
/// Its content. Version 1: a RocksDB database whose column families are the tables, keys `key group (u16 BE) | key`.
const CONTENT: &str = "tidemill-state 1";

/// Marks `dir` as a snapshot of this version, durably.
pub(crate) fn write(dir: &Path) -> Result<(), Error> {
    let path = dir.join(FILE_NAME);
    let mut file = File::create(&path).map_err(Error::file("create", &path))?;
    writeln!(file, "{CONTENT}").map_err(Error::file("write", &path))?;
    file.sync_all().map_err(Error::file("sync", &path))
}

/// Refuses a folder that this version cannot read.
pub(crate) fn check(dir: &Path) -> Result<(), Error> {
    let path = dir.join(FILE_NAME);
    let found = match fs::read_to_string(&path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let reason = format!("it has no '{FILE_NAME}' file");
            return Err(Error::DamagedSnapshot {
                path: dir.to_owned(),
                reason,
            });
        }
        Err(error) => return Err(Error::file("read", &path)(error)),
    };
    if found.trim_end() == CONTENT {
        return Ok(());
    }
    Err(Error::UnknownFormat {
        path: dir.to_owned(),
        found: found.trim_end().to_owned(),
        expected: CONTENT,
    })
}
