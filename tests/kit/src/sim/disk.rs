//! A disk that keeps what was synced and may lose everything else, as at a power cut.
//!
//! Whoever uses it tells of every `fsync` of the process by [`synced`]; see `tests/recovery/tests/simulated_power_cuts.rs`. A file keeps the
//! length that it had at its last sync, a folder the entries. What was deleted stays deleted, also if that was not synced.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Device and number of a file or folder.
type Inode = (u64, u64);

/// What is on the disk of a file or folder for certain.
#[derive(Debug)]
enum Kept {
    /// So many bytes.
    Bytes(u64),
    /// These entries.
    Entries(BTreeSet<OsString>),
}

/// By file or folder that was ever synced. The calls that tell of it have no place for a handle.
static KEPT: Mutex<BTreeMap<Inode, Kept>> = Mutex::new(BTreeMap::new());

fn kept() -> MutexGuard<'static, BTreeMap<Inode, Kept>> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A file or folder was synced, `path` being a name of it.
pub fn synced(file: &File, path: &Path) {
    let Ok(meta) = file.metadata() else {
        return;
    };
    let now = if meta.is_dir() {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        Kept::Entries(entries.map(|entry| entry.file_name()).collect())
    } else {
        Kept::Bytes(meta.len())
    };
    kept().insert((meta.dev(), meta.ino()), now);
}

/// The power is cut: of what was not synced in a folder, anything may be gone, also the folder.
pub(super) fn cut_power(folder: &Path, rng: &mut ChaCha8Rng) {
    let is_certain = folder
        .parent()
        .zip(folder.file_name())
        .is_some_and(|(parent, name)| certain_entries(parent).contains(name));
    if is_certain || rng.random_bool(0.5) {
        cut_within(folder, rng);
    } else {
        drop(fs::remove_dir_all(folder));
    }
}

fn certain_entries(folder: &Path) -> BTreeSet<OsString> {
    let meta = fs::metadata(folder);
    match meta.map(|meta| (meta.dev(), meta.ino())) {
        Ok(inode) => match kept().get(&inode) {
            Some(Kept::Entries(entries)) => entries.clone(),
            _ => BTreeSet::new(),
        },
        Err(_) => BTreeSet::new(),
    }
}

fn cut_within(folder: &Path, rng: &mut ChaCha8Rng) {
    let certain = certain_entries(folder);
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<OsString> = entries.map(|entry| entry.file_name()).collect();
    names.sort_unstable();
    for name in names {
        let path = folder.join(&name);
        let is_lost = !certain.contains(&name) && rng.random_bool(0.5);
        if path.is_dir() {
            if is_lost {
                drop(fs::remove_dir_all(&path));
            } else {
                cut_within(&path, rng);
            }
        } else if is_lost {
            drop(fs::remove_file(&path));
        } else {
            lose_bytes(&path, rng);
        }
    }
}

/// What was written after the last sync is gone, or nothing but zeros, or there.
fn lose_bytes(path: &Path, rng: &mut ChaCha8Rng) {
    let Ok(file) = File::options().write(true).open(path) else {
        return;
    };
    let Ok(meta) = file.metadata() else {
        return;
    };
    let certain = match kept().get(&(meta.dev(), meta.ino())) {
        Some(Kept::Bytes(bytes)) => *bytes,
        _ => 0,
    };
    if certain >= meta.len() || rng.random_bool(0.3) {
        return;
    }
    drop(file.set_len(certain));
    if rng.random_bool(0.5) {
        drop(file.set_len(meta.len()));
    }
}
