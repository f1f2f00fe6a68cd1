//! The one place that talks to RocksDB: options whose memory is bounded, batched reads and writes without a write-ahead log, and
//! checkpoints of the immutable files.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use rocksdb::checkpoint::Checkpoint;
use rocksdb::compaction_filter::Decision as CompactionDecision;
use rocksdb::{
    BlockBasedOptions, BoundColumnFamily, Cache, ColumnFamilyDescriptor, DBCompressionType,
    DBRawIteratorWithThreadMode, DBWithThreadMode, LogLevel, LruCacheOptions, MultiThreaded,
    Options, ReadOptions, WriteBatch, WriteBufferManager,
};

use crate::{Error, Settings};

type Rocks = DBWithThreadMode<MultiThreaded>;
/// An iterator over one table.
pub(crate) type Cursor<'a> = DBRawIteratorWithThreadMode<'a, Rocks>;

/// Writes go to RocksDB in batches of about this size.
const WRITE_BATCH_BYTES: usize = 1 << 20;
/// So many keys are asked for at once; their blocks stay pinned meanwhile.
const READ_BATCH_KEYS: usize = 4096;
/// So many files are open at most, per store.
const OPEN_FILES_MAX: i32 = 256;
/// The column family that every RocksDB database has; no table lives in it.
const DEFAULT_FAMILY: &str = rocksdb::DEFAULT_COLUMN_FAMILY_NAME;

/// Ends the names of tables whose entries expire: it tells, when a database is opened, which ones need the filter.
const EXPIRING_SUFFIX: &str = "#expiring";

/// The name of a table whose entries expire.
#[must_use]
pub fn expiring_name(table: &str) -> String {
    format!("{table}{EXPIRING_SUFFIX}")
}

/// An open database.
pub(crate) struct Database {
    rocks: Rocks,
    options: TableOptions,
    path: PathBuf,
}

/// Options of the tables that keep their entries, and of those whose entries expire.
struct TableOptions {
    lasting: Options,
    expiring: Options,
    /// Entries that expire before this time, in milliseconds since 1970, may go.
    expired_before_ms: Arc<AtomicI64>,
}

impl TableOptions {
    fn new(settings: &Settings) -> Self {
        let lasting = options(settings);
        let expired_before_ms = Arc::new(AtomicI64::new(i64::MIN));
        let before = Arc::clone(&expired_before_ms);
        let mut expiring = lasting.clone();
        expiring.set_compaction_filter("expired", move |_, _, value: &[u8]| {
            match value.first_chunk() {
                Some(expiry) if i64::from_be_bytes(*expiry) < before.load(Ordering::Relaxed) => {
                    CompactionDecision::Remove
                }
                _ => CompactionDecision::Keep,
            }
        });
        Self {
            lasting,
            expiring,
            expired_before_ms,
        }
    }

    fn of(&self, table: &str) -> &Options {
        if table.ends_with(EXPIRING_SUFFIX) {
            &self.expiring
        } else {
            &self.lasting
        }
    }

    fn descriptors(&self, tables: Vec<String>) -> Vec<ColumnFamilyDescriptor> {
        let descriptor = |name: String| ColumnFamilyDescriptor::new(&name, self.of(&name).clone());
        tables.into_iter().map(descriptor).collect()
    }
}

impl Database {
    /// Opens or creates the database in `path` with all the tables it has.
    pub(crate) fn open(path: &Path, settings: &Settings) -> Result<Self, Error> {
        let failed = Error::database("open", path);
        let options = TableOptions::new(settings);
        let mut families = if path.join("CURRENT").exists() {
            Rocks::list_cf(&options.lasting, path).map_err(&failed)?
        } else {
            vec![DEFAULT_FAMILY.to_owned()]
        };
        let missing = settings.tables.iter();
        let missing: Vec<_> = missing.filter(|name| !families.contains(name)).collect();
        families.extend(missing.into_iter().cloned());
        let families = options.descriptors(families);
        let rocks =
            Rocks::open_cf_descriptors(&options.lasting, path, families).map_err(&failed)?;
        Ok(Self {
            rocks,
            options,
            path: path.to_owned(),
        })
    }

    /// Opens the database in `path` without changing it.
    pub(crate) fn open_read_only(path: &Path, settings: &Settings) -> Result<Self, Error> {
        let failed = Error::database("open", path);
        let options = TableOptions::new(settings);
        let families =
            options.descriptors(Rocks::list_cf(&options.lasting, path).map_err(&failed)?);
        let rocks = Rocks::open_cf_descriptors_read_only(&options.lasting, path, families, false)
            .map_err(&failed)?;
        Ok(Self {
            rocks,
            options,
            path: path.to_owned(),
        })
    }

    /// From now on compaction removes entries that expired before this time.
    pub(crate) fn forget_expired_before(&self, ms: i64) {
        self.options.expired_before_ms.store(ms, Ordering::Relaxed);
    }

    /// The names of the tables.
    pub(crate) fn tables(&self) -> Result<Vec<String>, Error> {
        let mut names = Rocks::list_cf(&self.options.lasting, &self.path)
            .map_err(Error::database("list the tables of", &self.path))?;
        names.retain(|name| name != DEFAULT_FAMILY);
        Ok(names)
    }

    /// Creates the table if it does not exist; true if it has no entry.
    pub(crate) fn open_table(&self, table: &str) -> Result<bool, Error> {
        if self.rocks.cf_handle(table).is_none() {
            self.rocks
                .create_cf(table, self.options.of(table))
                .map_err(Error::database("create a table in", &self.path))?;
            return Ok(true);
        }
        let mut cursor = self.cursor(table);
        cursor.seek_to_first();
        self.check(&cursor)?;
        Ok(!cursor.valid())
    }

    fn family(&self, table: &str) -> Arc<BoundColumnFamily<'_>> {
        self.rocks
            .cf_handle(table)
            .expect("tables are opened before they are used, and never dropped")
    }

    /// An iterator over a table as it is now; its reads leave the block cache alone.
    pub(crate) fn cursor(&self, table: &str) -> Cursor<'_> {
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        self.rocks.raw_iterator_cf_opt(&self.family(table), options)
    }

    /// Tells an iterator's end from its failure.
    pub(crate) fn check(&self, cursor: &Cursor<'_>) -> Result<(), Error> {
        cursor.status().map_err(Error::database("read", &self.path))
    }

    /// Reads many keys, which must be sorted; calls `found` with the index and the value of each that exists.
    pub(crate) fn read_sorted(
        &self,
        table: &str,
        keys: &[&[u8]],
        mut found: impl FnMut(usize, &[u8]),
    ) -> Result<(), Error> {
        let family = self.family(table);
        for (chunk, base) in keys
            .chunks(READ_BATCH_KEYS)
            .zip((0..).step_by(READ_BATCH_KEYS))
        {
            let values = self.rocks.batched_multi_get_cf(&family, chunk, true);
            for (value, i) in values.into_iter().zip(base..) {
                if let Some(value) = value.map_err(Error::database("read", &self.path))? {
                    found(i, &value);
                }
            }
        }
        Ok(())
    }

    /// Starts writing to a table; nothing is durable before a checkpoint.
    pub(crate) fn writer(&self, table: &str) -> Writer<'_> {
        Writer {
            database: self,
            family: self.family(table),
            batch: WriteBatch::default(),
        }
    }

    /// Flushes the memtables and links the immutable files into `dir`, which must not exist.
    pub(crate) fn checkpoint(&self, dir: &Path) -> Result<(), Error> {
        let failed = Error::database("take a snapshot of", &self.path);
        Checkpoint::new(&self.rocks)
            .and_then(|checkpoint| checkpoint.create_checkpoint(dir))
            .map_err(failed)
    }

    /// A number of RocksDB's own statistics, of one table.
    fn property(&self, table: &str, name: &str) -> u64 {
        self.rocks
            .property_int_value_cf(&self.family(table), name)
            .ok()
            .flatten()
            .unwrap_or(0)
    }

    /// About how many keys a table has.
    pub(crate) fn keys_estimate(&self, table: &str) -> u64 {
        self.property(table, "rocksdb.estimate-num-keys")
    }

    /// The size of a table's files.
    pub(crate) fn file_bytes(&self, table: &str) -> u64 {
        self.property(table, "rocksdb.live-sst-files-size")
    }
}

/// Collects writes to one table and sends them in batches.
pub(crate) struct Writer<'a> {
    database: &'a Database,
    family: Arc<BoundColumnFamily<'a>>,
    batch: WriteBatch,
}

impl Writer<'_> {
    /// Adds a value, or a delete where it is `None`.
    pub(crate) fn write(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), Error> {
        match value {
            Some(value) => self.batch.put_cf(&self.family, key, value),
            None => self.batch.delete_cf(&self.family, key),
        }
        if self.batch.size_in_bytes() >= WRITE_BATCH_BYTES {
            self.flush()
        } else {
            Ok(())
        }
    }

    /// Sends what is left.
    pub(crate) fn finish(mut self) -> Result<(), Error> {
        self.flush()
    }

    fn flush(&mut self) -> Result<(), Error> {
        let batch = std::mem::take(&mut self.batch);
        self.database
            .rocks
            .write_without_wal(batch)
            .map_err(Error::database("write", &self.database.path))
    }
}

/// One shard: only a worker and RocksDB's background threads share it, and a whole file's filter must fit into a shard.
fn block_cache(bytes: usize) -> Cache {
    let mut options = LruCacheOptions::default();
    options.set_capacity(bytes);
    options.set_num_shard_bits(0);
    Cache::new_lru_cache_opts(&options)
}

/// Options under which memory is bounded: indexes and filters live in the block cache, and one manager counts all memtables.
fn options(settings: &Settings) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&block_cache(settings.block_cache_bytes));
    table.set_cache_index_and_filter_blocks(true);
    table.set_cache_index_and_filter_blocks_with_high_priority(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    table.set_bloom_filter(10.0, false);
    // State is read by single keys: a small block is read and decompressed for less.
    table.set_block_size(4 << 10);

    // What is not in a snapshot is worth nothing after the process: closing must not flush it. And room for a manifest of 4 MiB is made, and
    // given back, at each opening. These have no setters.
    let base = Options::default().get_options_from_string(
        "avoid_flush_during_shutdown=true;manifest_preallocation_size=65536",
    );
    let mut options = base.expect("RocksDB knows these options");
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_block_based_table_factory(&table);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_write_buffer_manager(&WriteBufferManager::new_write_buffer_manager(
        settings.memtable_bytes,
        false,
    ));
    options.set_write_buffer_size((settings.memtable_bytes / 4).clamp(64 << 10, 64 << 20));
    options.set_max_background_jobs(2);
    options.set_max_open_files(OPEN_FILES_MAX);
    options.set_keep_log_file_num(2);
    options.set_log_level(LogLevel::Warn);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options
}
