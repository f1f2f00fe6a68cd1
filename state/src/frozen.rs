//! A snapshot under way: the changed entries that a freeze took, on their way into RocksDB and into a folder of linked files.
//!
//! Until the folder is complete, nothing newer may reach RocksDB, or the snapshot would hold changes from after its instant. If the
//! worker runs out of memory meanwhile it does the writing itself, into a folder of its own ([`Pending::stage`]), and the background
//! thread only moves the result: so neither ever waits for a thread that may not be running.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::database::Database;
use crate::{Error, format, restore};

/// One changed entry.
pub(crate) struct FrozenEntry {
    /// `group | key | value`.
    pub bytes: Arc<[u8]>,
    pub key_len: u32,
    pub tombstone: bool,
}

impl FrozenEntry {
    fn key(&self) -> &[u8] {
        &self.bytes[..self.key_len as usize]
    }
}

/// The changed entries of one table.
pub(crate) struct FrozenTable {
    pub name: String,
    pub entries: Vec<FrozenEntry>,
}

enum Stage {
    /// Nothing was written yet.
    Waiting(Vec<FrozenTable>),
    /// The snapshot lies in the worker's own folder.
    Staged,
    /// The snapshot was written, or given up.
    Ended,
}

/// How a freeze ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Not yet.
    Outstanding,
    /// RocksDB has the entries.
    Persisted,
    /// Perhaps not: they must go into the next snapshot.
    Failed,
}

/// What the worker and the background thread share about one freeze.
pub(crate) struct Pending {
    stage: Mutex<Stage>,
    outcome: AtomicU8,
    /// True once the [`Frozen`] is gone, written or not.
    released: AtomicBool,
    /// Where the worker puts the snapshot if it has to write it.
    staged_dir: PathBuf,
}

impl Pending {
    pub(crate) fn new(tables: Vec<FrozenTable>, staged_dir: PathBuf) -> Self {
        Self {
            stage: Mutex::new(Stage::Waiting(tables)),
            outcome: AtomicU8::new(Outcome::Outstanding as u8),
            released: AtomicBool::new(false),
            staged_dir,
        }
    }

    pub(crate) fn is_released(&self) -> bool {
        self.released.load(Ordering::Acquire)
    }

    pub(crate) fn outcome(&self) -> Outcome {
        match self.outcome.load(Ordering::Acquire) {
            0 => Outcome::Outstanding,
            1 => Outcome::Persisted,
            _ => Outcome::Failed,
        }
    }

    fn end(&self, outcome: Outcome) {
        self.outcome.store(outcome as u8, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Stage> {
        // A thread that panicked in here left `Ended`: see `write_waiting`.
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings the frozen entries into RocksDB now, on the worker's thread, or waits while the background thread is doing it.
    pub(crate) fn stage(&self, database: &Database) -> Result<(), Error> {
        let mut stage = self.lock();
        match std::mem::replace(&mut *stage, Stage::Ended) {
            Stage::Waiting(tables) => {
                self.write_waiting(database, tables, &self.staged_dir)?;
                *stage = Stage::Staged;
            }
            other => *stage = other,
        }
        Ok(())
    }

    /// Called with the stage already at `Ended`, so that a panic in here counts as a failure.
    fn write_waiting(
        &self,
        database: &Database,
        tables: Vec<FrozenTable>,
        dir: &Path,
    ) -> Result<(), Error> {
        let mut ending = EndOnDrop {
            pending: self,
            outcome: Outcome::Failed,
        };
        let written = write_tables(database, tables)
            .and_then(|()| database.checkpoint(dir))
            .and_then(|()| format::write(dir));
        if let Err(error) = written {
            // Best effort: a partial folder is no checkpoint, whoever finds it.
            let _ = fs::remove_dir_all(dir);
            return Err(error);
        }
        ending.outcome = Outcome::Persisted;
        Ok(())
    }
}

/// Publishes how a write ended, also when it ended in a panic.
struct EndOnDrop<'a> {
    pending: &'a Pending,
    outcome: Outcome,
}

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.pending.end(self.outcome);
    }
}

/// The state of all tables of a store at the instant of [`crate::Store::freeze`]. Write it on another thread; dropping it unwritten gives
/// the snapshot up, and its entries go into the next one.
pub struct Frozen {
    pending: Arc<Pending>,
    database: Arc<Database>,
}

impl std::fmt::Debug for Frozen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Frozen").finish_non_exhaustive()
    }
}

/// A snapshot folder that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its files, by name.
    pub files: Vec<SnapshotFile>,
}

impl Snapshot {
    /// The size of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// One file of a snapshot folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotFile {
    /// Name in the folder.
    pub name: String,
    /// Size.
    pub bytes: u64,
}

impl Frozen {
    pub(crate) const fn new(pending: Arc<Pending>, database: Arc<Database>) -> Self {
        Self { pending, database }
    }

    /// Writes the frozen entries to RocksDB, flushes, and hard-links the immutable files into `dir` (copies them if it is on another
    /// device). `dir` must not exist; its parent must.
    ///
    /// # Errors
    /// If anything cannot be written. `dir` is then gone, and the entries go into the next snapshot.
    pub fn write(self, dir: &Path) -> Result<Snapshot, Error> {
        let mut stage = self.pending.lock();
        match std::mem::replace(&mut *stage, Stage::Ended) {
            Stage::Waiting(tables) => self.pending.write_waiting(&self.database, tables, dir)?,
            Stage::Staged => restore::move_folder(&self.pending.staged_dir, dir)?,
            Stage::Ended => return Err(Error::SnapshotAbandoned),
        }
        list(dir)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        match std::mem::replace(&mut *self.pending.lock(), Stage::Ended) {
            Stage::Waiting(_) => self.pending.end(Outcome::Failed),
            // Best effort: the next opening of the store wipes it too.
            Stage::Staged => drop(fs::remove_dir_all(&self.pending.staged_dir)),
            Stage::Ended => {}
        }
        self.pending.released.store(true, Ordering::Release);
    }
}

fn write_tables(database: &Database, tables: Vec<FrozenTable>) -> Result<(), Error> {
    for mut table in tables {
        table.entries.sort_unstable_by(|a, b| a.key().cmp(b.key()));
        let mut writer = database.writer(&table.name);
        for entry in &table.entries {
            let value = (!entry.tombstone).then(|| &entry.bytes[entry.key_len as usize..]);
            writer.write(entry.key(), value)?;
        }
        writer.finish()?;
    }
    Ok(())
}

fn list(dir: &Path) -> Result<Snapshot, Error> {
    let failed = || Error::file("list", dir);
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed())? {
        let entry = entry.map_err(failed())?;
        let bytes = entry.metadata().map_err(failed())?.len();
        files.push(SnapshotFile {
            name: entry.file_name().to_string_lossy().into_owned(),
            bytes,
        });
    }
    files.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(Snapshot { files })
}
