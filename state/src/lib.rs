//! Keyed tables over RocksDB, for the operators of one worker thread.
//!
//! A [`Store`] is one worker's database; a [`Table`] is one column family of it with a write-back cache in front. Keys are encoded rows;
//! every call names the key group that the key belongs to, and on disk a key is `key group (u16, big endian) | key`, so that a restore at
//! another number of workers reads just the groups it owns.
//!
//! Promises: a table reads its own writes; a changed entry costs one write to RocksDB per checkpoint however often it changes, unless
//! memory runs short; [`Store::freeze`] takes the state of all tables at one instant, and what [`Frozen::write`] puts into a folder is
//! exactly that state; the caches of a store together stay under [`Settings::cache_bytes_max`] (and a quarter more while a snapshot is
//! being written).
//!
//! Does not promise that anything outlives the process but snapshots: RocksDB's write-ahead log is off, and [`Store::open`] wipes what an
//! earlier process left.

mod cache;
mod database;
mod error;
mod format;
mod frozen;
mod restore;
mod settings;
mod store;
mod table;

pub use database::expiring_name;
pub use error::Error;
pub use frozen::{Frozen, Snapshot, SnapshotFile};
pub use settings::Settings;
pub use store::Store;
pub use table::{Change, Table};
