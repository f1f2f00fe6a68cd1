//! Building a store from the worker folders of a checkpoint: by linking files where the workers are the same, by reading the owned key
//! groups where they are not.

use std::fs;
use std::io;
use std::path::Path;

use tidemill_types::KEY_GROUPS;

use crate::cache::GROUP_BYTES;
use crate::database::Database;
use crate::{Error, Settings, format};

/// Links the immutable files of `from` into the new folder `to`, and copies the others, which RocksDB writes to.
pub(crate) fn link_folder(from: &Path, to: &Path) -> Result<(), Error> {
    fs::create_dir_all(to).map_err(Error::file("create", to))?;
    for entry in fs::read_dir(from).map_err(Error::file("list", from))? {
        let source = entry.map_err(Error::file("list", from))?.path();
        let Some(name) = source.file_name().filter(|name| *name != format::FILE_NAME) else {
            continue;
        };
        let target = to.join(name);
        let immutable = source
            .extension()
            .is_some_and(|extension| extension == "sst");
        if !(immutable && fs::hard_link(&source, &target).is_ok()) {
            fs::copy(&source, &target).map_err(Error::file("copy", &source))?;
        }
    }
    Ok(())
}

/// Moves the folder `from` to `to`, which must not exist, by linking or copying where it is on another device.
pub(crate) fn move_folder(from: &Path, to: &Path) -> Result<(), Error> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            link_folder(from, to)?;
            format::write(to)?;
            remove_folder(from)
        }
        moved => moved.map_err(Error::file("move", from)),
    }
}

/// Removes a folder if it exists.
pub(crate) fn remove_folder(dir: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::file("remove", dir)(error))
        }
        _ => Ok(()),
    }
}

/// Reads the owned key groups of a snapshot into `database`, using the folder `scratch` meanwhile.
pub(crate) fn import(
    database: &Database,
    snapshot: &Path,
    scratch: &Path,
    owns: &dyn Fn(u16) -> bool,
) -> Result<(), Error> {
    // RocksDB writes its log into a folder even to read it; the snapshot itself is left alone.
    link_folder(snapshot, scratch)?;
    let settings = Settings {
        cache_bytes_max: 0,
        block_cache_bytes: 8 << 20,
        memtable_bytes: 1 << 20,
        tables: Vec::new(),
    };
    let source = Database::open_read_only(scratch, &settings)?;
    for table in source.tables()? {
        database.open_table(&table)?;
        import_table(database, &source, &table, owns).map_err(|error| match error {
            Error::DamagedSnapshot { reason, .. } => Error::DamagedSnapshot {
                path: snapshot.to_owned(),
                reason,
            },
            other => other,
        })?;
    }
    drop(source);
    remove_folder(scratch)
}

fn import_table(
    database: &Database,
    source: &Database,
    table: &str,
    owns: &dyn Fn(u16) -> bool,
) -> Result<(), Error> {
    let mut writer = database.writer(table);
    let mut cursor = source.cursor(table);
    cursor.seek_to_first();
    let mut owned = None;
    while let Some((key, value)) = cursor.item() {
        let Some(&[high, low]) = key.get(..GROUP_BYTES) else {
            return Err(bad_key(table));
        };
        let group = u16::from_be_bytes([high, low]);
        if owned == Some(group) || owns(group) {
            owned = Some(group);
            writer.write(key, Some(value))?;
            cursor.next();
        } else if let Some(next) = (group..KEY_GROUPS).skip(1).find(|&group| owns(group)) {
            cursor.seek(next.to_be_bytes());
        } else {
            break;
        }
    }
    source.check(&cursor)?;
    writer.finish()
}

fn bad_key(table: &str) -> Error {
    let reason = format!("table '{table}' has a key without a key group");
    Error::DamagedSnapshot {
        path: Path::new("").to_owned(),
        reason,
    }
}
