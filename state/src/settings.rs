//! How much memory one store may use, and what it holds.

/// Settings of one worker's store. The resident memory that a store adds is about the sum of the three, and a quarter of the cache more
/// while a snapshot is being written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Write-back and read cache of all tables together, in bytes.
    pub cache_bytes_max: usize,
    /// RocksDB's cache of uncompressed blocks, indexes and filters, in bytes.
    pub block_cache_bytes: usize,
    /// RocksDB's memtables of all tables together, in bytes. A soft limit: reaching it starts a flush.
    pub memtable_bytes: usize,
    /// Tables that are made, if they are not there, when the store is opened: all together cost what one of them costs when it is asked for.
    /// Those whose entries expire are named by [`expiring_name`](crate::expiring_name).
    pub tables: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cache_bytes_max: 256 << 20,
            block_cache_bytes: 64 << 20,
            memtable_bytes: 64 << 20,
            tables: Vec::new(),
        }
    }
}
