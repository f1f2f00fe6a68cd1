//! The write-back cache of one table: a hash index over a slab of entries, with second-chance eviction.
//!
//! Invariants. An entry is *clean* if its generation is at most the persisted one: RocksDB then has the same value. Every entry that is
//! not clean is in `dirty` (with `listed` set) or, between a freeze and its end, in `frozen`; so nothing changed can be forgotten.
//! Only clean entries are ever removed, or entries that RocksDB never saw (`stored` false). While `complete` is true, every entry that
//! RocksDB holds is here too, or is a removed tombstone, so that a miss needs no read.

use std::sync::Arc;

use hashbrown::HashTable;
use tidemill_types::row::head;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::frozen::FrozenEntry;

/// The id that stands for "not in the cache".
pub(crate) const ABSENT: u32 = u32::MAX;

/// Bytes of the key group in front of each key.
pub(crate) const GROUP_BYTES: usize = 2;

/// What an entry costs beside its key and value: slot, index, reference counts.
const ENTRY_OVERHEAD_BYTES: usize = 64;

/// A seed unlike that of the key groups: a worker owns only groups with some remainder, and their hashes would share their low bits.
const HASH_SEED: u64 = 0x7469_6465_6d69_6c6c;

/// At most so many dirty entries are written in one go under memory pressure, so that one call never stalls for long.
const SPILL_ENTRIES_MAX: usize = 4096;

struct Slot {
    /// `group | key | value`; `None` if the slot is free.
    bytes: Option<Arc<[u8]>>,
    hash: u32,
    /// Length of `group | key`.
    key_len: u32,
    /// The generation that last changed the entry; 0 as read from RocksDB.
    generation: u32,
    referenced: bool,
    /// True while the slot's id is in `dirty`; outlives the entry.
    listed: bool,
    /// True if RocksDB may hold the key.
    stored: bool,
    tombstone: bool,
}

impl Slot {
    fn key(&self) -> &[u8] {
        self.bytes
            .as_ref()
            .map_or(&[], |bytes| &bytes[..self.key_len as usize])
    }

    fn value(&self) -> Option<&[u8]> {
        let bytes = self.bytes.as_ref()?;
        (!self.tombstone).then(|| &bytes[self.key_len as usize..])
    }

    fn cost(&self) -> usize {
        self.bytes
            .as_ref()
            .map_or(0, |bytes| bytes.len() + ENTRY_OVERHEAD_BYTES)
    }
}

/// See the module.
pub(crate) struct Cache {
    index: HashTable<u32>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    dirty: Vec<u32>,
    frozen: Vec<u32>,
    frozen_tombstones: Vec<u32>,
    hand: usize,
    bytes: usize,
    live: usize,
    complete: bool,
    /// Where an entry's bytes are put together.
    scratch: Vec<u8>,
}

/// What [`Cache::evict`] did, and what it asks for.
#[derive(Default)]
pub(crate) struct Evicted {
    /// Bytes freed.
    pub freed: usize,
    /// Entries to write to RocksDB, and then to [`Cache::forget`].
    pub spill: Vec<u32>,
}

impl Cache {
    pub(crate) fn new(complete: bool) -> Self {
        Self {
            index: HashTable::new(),
            slots: Vec::new(),
            free: Vec::new(),
            dirty: Vec::new(),
            frozen: Vec::new(),
            frozen_tombstones: Vec::new(),
            hand: 0,
            bytes: 0,
            live: 0,
            complete,
            scratch: Vec::new(),
        }
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many entries with a value are here.
    pub(crate) const fn live(&self) -> usize {
        self.live
    }

    /// True if a miss means that the key does not exist.
    pub(crate) const fn is_complete(&self) -> bool {
        self.complete
    }

    /// The id of the entry of a key with this [`hash`], or [`ABSENT`].
    pub(crate) fn find(&self, hash: u32, group: u16, key: &[u8]) -> u32 {
        let found = self.index.find(spread(hash), |&id| {
            self.slots[id as usize].hash == hash && self.is_at(id, group, key)
        });
        found.copied().unwrap_or(ABSENT)
    }

    /// True if the entry at `id` is the key's; false for [`ABSENT`].
    pub(crate) fn is_at(&self, id: u32, group: u16, key: &[u8]) -> bool {
        let Some(slot) = self.slots.get(id as usize) else {
            return false;
        };
        let held = slot.key();
        held.len() == GROUP_BYTES + key.len()
            && held[..GROUP_BYTES] == group.to_be_bytes()
            && held[GROUP_BYTES..] == *key
    }

    /// The value of an entry; `None` for a tombstone or for [`ABSENT`].
    pub(crate) fn value(&self, id: u32) -> Option<&[u8]> {
        self.slots.get(id as usize)?.value()
    }

    /// `group | key` of an entry.
    pub(crate) fn key(&self, id: u32) -> &[u8] {
        self.slots[id as usize].key()
    }

    /// Gives the entry its second chance.
    pub(crate) fn touch(&mut self, id: u32) {
        if let Some(slot) = self.slots.get_mut(id as usize) {
            slot.referenced = true;
        }
    }

    /// Sets the value of the entry at `id`.
    pub(crate) fn put_at(&mut self, id: u32, value: &[u8], generation: u32) {
        let slot = &mut self.slots[id as usize];
        slot.referenced = true;
        if slot.value() == Some(value) {
            return;
        }
        let key_len = slot.key_len as usize;
        let bytes = slot
            .bytes
            .as_mut()
            .expect("an id that was found is of an entry");
        let before = bytes.len();
        match Arc::get_mut(bytes) {
            Some(own) if own.len() == key_len + value.len() => {
                own[key_len..].copy_from_slice(value)
            }
            _ => {
                self.scratch.clear();
                self.scratch.extend_from_slice(&bytes[..key_len]);
                self.scratch.extend_from_slice(value);
                *bytes = Arc::from(self.scratch.as_slice());
            }
        }
        self.bytes = self.bytes + bytes.len() - before;
        self.live += usize::from(slot.tombstone);
        slot.tombstone = false;
        self.mark_dirty(id, generation);
    }

    /// Sets the value of a key that is absent.
    pub(crate) fn put_new(
        &mut self,
        hash: u32,
        group: u16,
        key: &[u8],
        value: &[u8],
        generation: u32,
    ) {
        self.put_absent((hash, group, key), value, generation, !self.complete);
    }

    /// Sets the value of a key that neither the cache nor RocksDB has.
    pub(crate) fn put_first(
        &mut self,
        hash: u32,
        group: u16,
        key: &[u8],
        value: &[u8],
        generation: u32,
    ) {
        self.put_absent((hash, group, key), value, generation, false);
    }

    fn put_absent(
        &mut self,
        (hash, group, key): (u32, u16, &[u8]),
        value: &[u8],
        generation: u32,
        stored: bool,
    ) {
        self.scratch.clear();
        self.scratch.extend_from_slice(&group.to_be_bytes());
        self.scratch.extend_from_slice(key);
        let key_len = self.scratch.len();
        self.scratch.extend_from_slice(value);
        let id = self.insert(hash, key_len, stored, false);
        self.mark_dirty(id, generation);
    }

    /// Deletes a key that is absent: RocksDB may have it.
    pub(crate) fn delete_new(&mut self, hash: u32, group: u16, key: &[u8], generation: u32) {
        if self.complete {
            return;
        }
        self.scratch.clear();
        self.scratch.extend_from_slice(&group.to_be_bytes());
        self.scratch.extend_from_slice(key);
        let id = self.insert(hash, self.scratch.len(), true, true);
        self.mark_dirty(id, generation);
    }

    /// Deletes the entry at `id`.
    pub(crate) fn delete_at(&mut self, id: u32, generation: u32) {
        let slot = &mut self.slots[id as usize];
        if slot.tombstone {
            return;
        }
        if !slot.stored {
            self.remove(id);
            return;
        }
        let before = slot.cost();
        slot.bytes = Some(Arc::from(slot.key()));
        slot.tombstone = true;
        self.bytes = self.bytes + slot.cost() - before;
        self.live -= 1;
        self.mark_dirty(id, generation);
    }

    /// Takes in an entry as RocksDB has it. The key must be absent.
    pub(crate) fn load(&mut self, group_and_key: &[u8], value: &[u8]) -> u32 {
        let (group, key) = split(group_and_key);
        self.scratch.clear();
        self.scratch.extend_from_slice(group_and_key);
        self.scratch.extend_from_slice(value);
        self.insert(hash(group, key), group_and_key.len(), true, false)
    }

    /// Inserts what `scratch` holds as a clean entry.
    fn insert(&mut self, hash: u32, key_len: usize, stored: bool, tombstone: bool) -> u32 {
        let id = self.free.pop().unwrap_or_else(|| {
            let id = u32::try_from(self.slots.len())
                .expect("the cache's limit in bytes is reached long before 2^32 entries");
            self.slots.push(Slot {
                bytes: None,
                hash: 0,
                key_len: 0,
                generation: 0,
                referenced: false,
                listed: false,
                stored: false,
                tombstone: false,
            });
            id
        });
        let slot = &mut self.slots[id as usize];
        slot.bytes = Some(Arc::from(self.scratch.as_slice()));
        slot.hash = hash;
        slot.key_len = u32::try_from(key_len).expect("keys are far below 4 GiB");
        slot.generation = 0;
        slot.referenced = false;
        slot.stored = stored;
        slot.tombstone = tombstone;
        self.bytes += slot.cost();
        self.live += usize::from(!tombstone);
        let slots = &self.slots;
        self.index.insert_unique(spread(hash), id, |&other| {
            spread(slots[other as usize].hash)
        });
        id
    }

    fn mark_dirty(&mut self, id: u32, generation: u32) {
        let slot = &mut self.slots[id as usize];
        slot.generation = generation;
        if !slot.listed {
            slot.listed = true;
            self.dirty.push(id);
        }
    }

    fn remove(&mut self, id: u32) {
        let slot = &mut self.slots[id as usize];
        let entry = self
            .index
            .find_entry(spread(slot.hash), |&other| other == id);
        entry.expect("every entry is in the index").remove();
        self.bytes -= slot.cost();
        self.live -= usize::from(!slot.tombstone);
        slot.bytes = None;
        self.free.push(id);
    }

    /// Takes what is not clean, for a snapshot. The entries stay readable; [`Cache::thaw`] must follow.
    pub(crate) fn freeze(&mut self, persisted: u32) -> Vec<FrozenEntry> {
        debug_assert!(self.frozen.is_empty(), "one snapshot at a time");
        self.frozen = std::mem::take(&mut self.dirty);
        let mut entries = Vec::with_capacity(self.frozen.len());
        for &id in &self.frozen {
            let slot = &mut self.slots[id as usize];
            slot.listed = false;
            let Some(bytes) = slot.bytes.as_ref().filter(|_| slot.generation > persisted) else {
                continue;
            };
            slot.stored = true;
            if slot.tombstone {
                self.frozen_tombstones.push(id);
            }
            entries.push(FrozenEntry {
                bytes: Arc::clone(bytes),
                key_len: slot.key_len,
                tombstone: slot.tombstone,
            });
        }
        entries
    }

    /// Ends a freeze: the frozen entries are in RocksDB (`persisted` says up to which generation), or else dirty again.
    pub(crate) fn thaw(&mut self, persisted: u32) {
        for id in std::mem::take(&mut self.frozen) {
            let slot = &mut self.slots[id as usize];
            if slot.bytes.is_some() && slot.generation > persisted && !slot.listed {
                slot.listed = true;
                self.dirty.push(id);
            }
        }
        for id in std::mem::take(&mut self.frozen_tombstones) {
            let slot = &self.slots[id as usize];
            if slot.bytes.is_some() && slot.tombstone && slot.generation <= persisted {
                self.remove(id);
            }
        }
    }

    /// Walks the clock hand, at most twice around, until `goal` bytes are freed or promised: clean entries are dropped, changed ones are
    /// returned for writing if `spill` allows it.
    pub(crate) fn evict(&mut self, goal: usize, persisted: u32, spill: bool) -> Evicted {
        let mut evicted = Evicted::default();
        let mut promised = 0;
        for _ in 0..self.slots.len() * 2 {
            if evicted.freed + promised >= goal || evicted.spill.len() >= SPILL_ENTRIES_MAX {
                break;
            }
            self.hand = if self.hand + 1 < self.slots.len() {
                self.hand + 1
            } else {
                0
            };
            let slot = &mut self.slots[self.hand];
            if slot.bytes.is_none() {
                continue;
            }
            let id = u32::try_from(self.hand).expect("slots are counted in u32");
            if slot.referenced {
                slot.referenced = false;
            } else if slot.generation <= persisted {
                evicted.freed += slot.cost();
                self.complete &= slot.tombstone;
                self.remove(id);
            } else if spill {
                // Seen again in the second round, it only loses this mark, so no entry is returned twice.
                slot.referenced = true;
                promised += slot.cost();
                evicted.spill.push(id);
            }
        }
        evicted
    }

    /// Drops entries that were just written to RocksDB.
    pub(crate) fn forget(&mut self, written: &[u32]) {
        for &id in written {
            self.complete &= self.slots[id as usize].tombstone;
            self.remove(id);
        }
    }

    /// The ids of all entries that `wanted` accepts, given whether they are clean and live.
    pub(crate) fn ids(&self, persisted: u32, wanted: impl Fn(bool, bool) -> bool) -> Vec<u32> {
        let slots = self.slots.iter().zip(0_u32..);
        let entries = slots.filter(|(slot, _)| slot.bytes.is_some());
        entries
            .filter(|(slot, _)| wanted(slot.generation <= persisted, !slot.tombstone))
            .map(|(_, id)| id)
            .collect()
    }

    /// Sorts ids by the key of their entries.
    pub(crate) fn sort_by_key(&self, ids: &mut [u32]) {
        ids.sort_by_cached_key(|&id| head(self.key(id)));
        for run in ids.chunk_by_mut(|&a, &b| head(self.key(a)) == head(self.key(b))) {
            run.sort_unstable_by(|&a, &b| self.key(a).cmp(self.key(b)));
        }
    }
}

/// Splits `group | key`.
pub(crate) fn split(group_and_key: &[u8]) -> (u16, &[u8]) {
    let (group, key) = group_and_key.split_at(GROUP_BYTES);
    (u16::from_be_bytes([group[0], group[1]]), key)
}

/// 32 bits of a key's hash: enough to find an entry and to move it when the index grows, without touching its bytes.
pub(crate) fn hash(group: u16, key: &[u8]) -> u32 {
    let hash = xxh3_64_with_seed(key, HASH_SEED ^ u64::from(group));
    // The upper half.
    (hash >> 32) as u32
}

/// Spreads a hash over the bits that the index looks at (Fibonacci hashing).
const fn spread(hash: u32) -> u64 {
    (hash as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
