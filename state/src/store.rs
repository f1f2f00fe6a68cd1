//! One worker's state: its database, and the memory that its tables' caches share.

use std::cell::{Cell, RefCell};
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use crate::cache::{Cache, Evicted};
use crate::database::{self, Database};
use crate::frozen::{FrozenTable, Outcome, Pending};
use crate::restore::{import, link_folder, remove_folder};
use crate::{Error, Frozen, Settings, Table, format};

/// The folders inside a store's folder.
const DATABASE_DIR: &str = "db";
const STAGED_DIR: &str = "staged";
const IMPORT_DIR: &str = "import";

/// One worker's state. Used from one thread.
pub struct Store {
    shared: Rc<Shared>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("dir", &self.shared.dir)
            .finish_non_exhaustive()
    }
}

/// What a store and its tables share.
pub(crate) struct Shared {
    pub database: Arc<Database>,
    dir: PathBuf,
    cache_bytes_max: usize,
    tables: RefCell<Vec<OpenTable>>,
    /// The bytes of all caches.
    pub cache_bytes: Cell<usize>,
    /// The generation of changes made now; a freeze starts the next one.
    pub generation: Cell<u32>,
    /// Changes up to this generation are in RocksDB.
    pub persisted: Cell<u32>,
    frozen: RefCell<Option<Outstanding>>,
}

#[derive(Clone)]
struct OpenTable {
    name: Rc<str>,
    cache: Rc<RefCell<Cache>>,
}

struct Outstanding {
    pending: Arc<Pending>,
    generation: u32,
    /// True once the caches know how it ended.
    settled: bool,
}

impl Store {
    /// Opens an empty store in `dir`, creating it. What an earlier process left there is wiped: live state is always rebuilt from a
    /// checkpoint.
    ///
    /// # Errors
    /// `Invalid` if the folder cannot be written.
    pub fn open(dir: &Path, settings: &Settings) -> Result<Self, Error> {
        wipe(dir)?;
        Self::over(
            Database::open(&dir.join(DATABASE_DIR), settings)?,
            dir,
            settings,
        )
    }

    /// Opens a store in `dir` (wiped as by [`Store::open`]) with the state of a checkpoint.
    ///
    /// If `same_layout` is true, `snapshots` is the one folder that the same worker wrote at the same number of workers, and its files
    /// are linked. Otherwise `snapshots` are the folders of all workers, and the key groups that `owns` accepts are read from each.
    ///
    /// # Errors
    /// `Corrupt` if a snapshot is damaged, `Invalid` if another version wrote it or the folder cannot be written.
    pub fn restore(
        dir: &Path,
        snapshots: &[PathBuf],
        same_layout: bool,
        owns: &dyn Fn(u16) -> bool,
        settings: &Settings,
    ) -> Result<Self, Error> {
        wipe(dir)?;
        snapshots
            .iter()
            .try_for_each(|snapshot| format::check(snapshot))?;
        let database_dir = dir.join(DATABASE_DIR);
        if let ([snapshot], true) = (snapshots, same_layout) {
            link_folder(snapshot, &database_dir)?;
            return Self::over(Database::open(&database_dir, settings)?, dir, settings);
        }
        let database = Database::open(&database_dir, settings)?;
        for snapshot in snapshots {
            import(&database, snapshot, &dir.join(IMPORT_DIR), owns)?;
        }
        Self::over(database, dir, settings)
    }

    fn over(database: Database, dir: &Path, settings: &Settings) -> Result<Self, Error> {
        let shared = Shared {
            database: Arc::new(database),
            dir: dir.to_owned(),
            cache_bytes_max: settings.cache_bytes_max,
            tables: RefCell::default(),
            cache_bytes: Cell::new(0),
            generation: Cell::new(1),
            persisted: Cell::new(0),
            frozen: RefCell::default(),
        };
        Ok(Self {
            shared: Rc::new(shared),
        })
    }

    /// Opens a table, creating it if it does not exist.
    ///
    /// # Errors
    /// If the name is in use by another table of this store, or RocksDB fails.
    pub fn table(&self, name: &str) -> Result<Table, Error> {
        let mut tables = self.shared.tables.borrow_mut();
        if tables.iter().any(|table| &*table.name == name) {
            return Err(Error::TableOpenTwice {
                name: name.to_owned(),
            });
        }
        let empty = self.shared.database.open_table(name)?;
        let table = OpenTable {
            name: Rc::from(name),
            cache: Rc::new(RefCell::new(Cache::new(empty))),
        };
        tables.push(table.clone());
        Ok(Table::new(Rc::clone(&self.shared), table.name, table.cache))
    }

    /// As [`Store::table`], for entries that expire: a value starts with its expiry (i64, big endian, milliseconds since 1970). Compaction
    /// removes what expired before [`Store::forget_expired_before`]; until then an expired entry may still be read.
    ///
    /// # Errors
    /// As [`Store::table`].
    pub fn expiring_table(&self, name: &str) -> Result<Table, Error> {
        self.table(&database::expiring_name(name))
    }

    /// Lets compaction remove entries of expiring tables that expired before this time. It must be a time that no reader looks back before,
    /// also not one that starts from the next snapshot: the clock of that snapshot.
    pub fn forget_expired_before(&self, ms: i64) {
        self.shared.database.forget_expired_before(ms);
    }

    /// Takes the state of all tables at this instant. Costs a reference count per entry that changed since the last one; the tables go on
    /// at once. The snapshot counts when [`Frozen::write`] has returned; until then no other can be taken.
    ///
    /// # Errors
    /// [`Error::SnapshotOutstanding`] while the one before is neither written nor dropped.
    ///
    /// # Panics
    /// If called from within a callback of one of the tables.
    pub fn freeze(&self) -> Result<Frozen, Error> {
        let shared = &self.shared;
        shared.settle();
        if shared.frozen.borrow().is_some() {
            return Err(Error::SnapshotOutstanding);
        }
        let staged_dir = shared.dir.join(STAGED_DIR);
        remove_folder(&staged_dir)?;
        let persisted = shared.persisted.get();
        let freeze = |table: &OpenTable| FrozenTable {
            name: table.name.to_string(),
            entries: table.cache.borrow_mut().freeze(persisted),
        };
        let tables = shared.tables.borrow().iter().map(freeze).collect();
        let pending = Arc::new(Pending::new(tables, staged_dir));
        let generation = shared.generation.get();
        shared.generation.set(generation + 1);
        *shared.frozen.borrow_mut() = Some(Outstanding {
            pending: Arc::clone(&pending),
            generation,
            settled: false,
        });
        Ok(Frozen::new(pending, Arc::clone(&shared.database)))
    }

    /// The size of the state's files on disk, all tables together.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.shared
            .tables
            .borrow()
            .iter()
            .map(|table| self.shared.database.file_bytes(&table.name))
            .sum()
    }

    /// The memory that the caches of all tables use, in bytes.
    #[must_use]
    pub fn cache_bytes(&self) -> usize {
        self.shared.cache_bytes.get()
    }
}

impl Shared {
    /// Notices that a snapshot ended: its entries are clean now, or dirty again. Waits for later from within a table's callback.
    pub(crate) fn settle(&self) {
        let mut frozen = self.frozen.borrow_mut();
        let Some(outstanding) = &mut *frozen else {
            return;
        };
        if !outstanding.settled && !self.thaw(outstanding) {
            return;
        }
        outstanding.settled = true;
        if outstanding.pending.is_released() {
            *frozen = None;
        }
    }

    /// False if the snapshot has not ended, or a table is in use by a caller.
    fn thaw(&self, outstanding: &Outstanding) -> bool {
        let outcome = outstanding.pending.outcome();
        let tables = self.tables.borrow();
        if outcome == Outcome::Outstanding
            || tables
                .iter()
                .any(|table| table.cache.try_borrow_mut().is_err())
        {
            return false;
        }
        if outcome == Outcome::Persisted {
            self.persisted.set(outstanding.generation);
        } else {
            tracing::warn!(dir = %self.dir.display(), "a snapshot was not written; its changes go into the next one");
        }
        for table in &*tables {
            self.counted(&mut table.cache.borrow_mut(), |cache| {
                cache.thaw(self.persisted.get())
            });
        }
        true
    }

    /// The snapshot whose entries the caches still hold as frozen.
    fn unsettled(&self) -> Option<Arc<Pending>> {
        let frozen = self.frozen.borrow();
        frozen
            .as_ref()
            .filter(|outstanding| !outstanding.settled)
            .map(|outstanding| Arc::clone(&outstanding.pending))
    }

    /// Changes a cache and keeps the sum of the caches' bytes.
    pub(crate) fn counted<R>(&self, cache: &mut Cache, change: impl FnOnce(&mut Cache) -> R) -> R {
        let before = cache.bytes();
        let result = change(cache);
        self.cache_bytes
            .set(self.cache_bytes.get() + cache.bytes() - before);
        result
    }

    /// Brings the caches back under their limit, if they are over it.
    pub(crate) fn shrink_if_full(&self) -> Result<(), Error> {
        if self.cache_bytes.get() > self.cache_bytes_max {
            self.shrink()
        } else {
            Ok(())
        }
    }

    #[cold]
    fn shrink(&self) -> Result<(), Error> {
        self.settle();
        if let Some(pending) = self.unsettled() {
            // Nothing changed may be written while a snapshot is: so there is a margin, and beyond it the snapshot comes first.
            if self.cache_bytes.get() <= self.cache_bytes_max + self.cache_bytes_max / 4 {
                return Ok(());
            }
            pending.stage(&self.database)?;
            self.settle();
        }
        let spill = self.unsettled().is_none();
        while self.cache_bytes.get() > self.cache_bytes_max {
            let goal = self.cache_bytes.get() - self.cache_bytes_max + self.cache_bytes_max / 64;
            if !self.evict_from_largest(goal, spill)? {
                break;
            }
        }
        Ok(())
    }

    /// Evicts from the largest table that is not in use by a caller; false if that freed nothing.
    fn evict_from_largest(&self, goal: usize, spill: bool) -> Result<bool, Error> {
        let tables = self.tables.borrow();
        let free = tables
            .iter()
            .filter_map(|table| Some((table, table.cache.try_borrow_mut().ok()?)));
        let Some((table, mut cache)) = free.max_by_key(|(_, cache)| cache.bytes()) else {
            return Ok(false);
        };
        let Evicted { freed, spill } = self.counted(&mut cache, |cache| {
            cache.evict(goal, self.persisted.get(), spill)
        });
        if !spill.is_empty() {
            self.spill(&table.name, &mut cache, spill)?;
            return Ok(true);
        }
        Ok(freed > 0)
    }

    fn spill(&self, table: &str, cache: &mut Cache, mut ids: Vec<u32>) -> Result<(), Error> {
        cache.sort_by_key(&mut ids);
        let mut writer = self.database.writer(table);
        ids.iter()
            .try_for_each(|&id| writer.write(cache.key(id), cache.value(id)))?;
        writer.finish()?;
        self.counted(cache, |cache| cache.forget(&ids));
        Ok(())
    }
}

fn wipe(dir: &Path) -> Result<(), Error> {
    for name in [DATABASE_DIR, STAGED_DIR, IMPORT_DIR] {
        remove_folder(&dir.join(name))?;
    }
    fs::create_dir_all(dir).map_err(Error::file("create", dir))
}
