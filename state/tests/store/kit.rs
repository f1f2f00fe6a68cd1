//! A handful of stores that stand for the workers of a job, and a plain map that says what they must hold.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tidemill_state::{Error, Frozen, Settings, Snapshot, Store, Table};
use tidemill_types::key_group::{key_group, worker_of};

pub const TABLES: [&str; 2] = ["payment/dedup", "payment/table"];

/// Table, key group and key to value.
pub type Entries = BTreeMap<(usize, u16, Vec<u8>), Vec<u8>>;

pub fn settings(cache_bytes_max: usize) -> Settings {
    Settings {
        cache_bytes_max,
        block_cache_bytes: 1 << 20,
        memtable_bytes: 1 << 20,
        tables: Vec::new(),
    }
}

/// In memory where the system has such a folder: RocksDB syncs a lot, and no test here cuts the power.
pub fn temporary_folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    }
    .expect("a temporary folder")
}

pub struct Worker {
    pub store: Store,
    pub tables: Vec<Table>,
}

impl Worker {
    pub fn over(store: Store) -> Self {
        let tables = TABLES
            .iter()
            .map(|name| store.table(name).expect("names differ"))
            .collect();
        Self { store, tables }
    }

    pub fn open(dir: &Path, settings: &Settings) -> Self {
        Self::over(Store::open(dir, settings).expect("the folder is writable"))
    }

    /// Everything the worker holds, by scanning.
    pub fn entries(&mut self) -> Entries {
        let mut entries = Entries::new();
        for (i, table) in self.tables.iter_mut().enumerate() {
            let mut last: Option<(u16, Vec<u8>)> = None;
            let visited = table.scan(|group, key, value| {
                let this = (group, key.to_vec());
                assert!(
                    last.as_ref().is_none_or(|last| *last < this),
                    "a scan is in order and sees a key once"
                );
                entries.insert((i, group, key.to_vec()), value.to_vec());
                last = Some(this);
                Ok::<_, Error>(())
            });
            visited.expect("state can be read");
        }
        entries
    }
}

/// A job at some number of workers.
pub struct Job {
    pub settings: Settings,
    pub workers: Vec<Worker>,
    starts: usize,
    checkpoints: usize,
    /// Removed last.
    pub root: TempDir,
}

impl Job {
    pub fn new(workers: usize, settings: Settings) -> Self {
        let root = temporary_folder();
        let mut job = Self {
            root,
            settings,
            workers: Vec::new(),
            starts: 0,
            checkpoints: 0,
        };
        job.workers = (0..workers)
            .map(|worker| Worker::open(&job.live_dir(worker), &job.settings))
            .collect();
        job
    }

    fn live_dir(&self, worker: usize) -> PathBuf {
        self.root
            .path()
            .join(format!("live-{}-{worker}", self.starts))
    }

    pub fn table(&mut self, table: usize, key: &[u8]) -> (u16, &mut Table) {
        let group = key_group(key);
        let worker = worker_of(group, self.workers.len());
        (group, &mut self.workers[worker].tables[table])
    }

    pub fn put(&mut self, table: usize, key: &[u8], value: &[u8]) {
        let (group, table) = self.table(table, key);
        table.put(group, key, value).expect("state can be written");
    }

    /// The key must be one that the table never held.
    pub fn insert(&mut self, table: usize, key: &[u8], value: &[u8]) {
        let (group, table) = self.table(table, key);
        table
            .insert(group, key, value)
            .expect("state can be written");
    }

    pub fn delete(&mut self, table: usize, key: &[u8]) {
        let (group, table) = self.table(table, key);
        table.delete(group, key).expect("state can be written");
    }

    pub fn entries(&mut self) -> Entries {
        let mut all = Entries::new();
        for worker in &mut self.workers {
            for (key, value) in worker.entries() {
                assert!(
                    all.insert(key, value).is_none(),
                    "no two workers hold one key"
                );
            }
        }
        all
    }

    pub fn freeze(&self) -> Vec<Frozen> {
        self.workers
            .iter()
            .map(|worker| worker.store.freeze().expect("no snapshot is outstanding"))
            .collect()
    }

    /// Writes a snapshot of each worker, and returns the folders.
    pub fn write(&mut self, frozen: Vec<Frozen>) -> Vec<PathBuf> {
        self.checkpoints += 1;
        let dir = self
            .root
            .path()
            .join(format!("checkpoint-{}", self.checkpoints));
        std::fs::create_dir(&dir).expect("a new folder");
        let write = |(worker, frozen): (usize, Frozen)| {
            let folder = dir.join(format!("worker-{worker}"));
            let snapshot: Snapshot = frozen.write(&folder).expect("the folder is writable");
            assert!(
                snapshot
                    .files
                    .iter()
                    .any(|file| file.name == "FORMAT" && file.bytes > 0)
            );
            folder
        };
        frozen.into_iter().enumerate().map(write).collect()
    }

    pub fn checkpoint(&mut self) -> Vec<PathBuf> {
        let frozen = self.freeze();
        self.write(frozen)
    }

    /// Starts again from a checkpoint, at another number of workers.
    pub fn restore(&mut self, snapshots: &[PathBuf], workers: usize) {
        self.workers.clear();
        self.starts += 1;
        let same_layout = snapshots.len() == workers;
        let restore = |worker: usize| {
            let own = if same_layout {
                &snapshots[worker..=worker]
            } else {
                snapshots
            };
            let owns = |group| worker_of(group, workers) == worker;
            let store = Store::restore(
                &self.live_dir(worker),
                own,
                same_layout,
                &owns,
                &self.settings,
            );
            Worker::over(store.expect("the checkpoint is whole"))
        };
        self.workers = (0..workers).map(restore).collect();
    }
}
