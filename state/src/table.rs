//! A keyed table: bytes by key, in key groups.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::rc::Rc;

use crate::Error;
use crate::cache::{ABSENT, Cache, GROUP_BYTES, hash, split};
use crate::store::Shared;

/// A sweep over a table that does not fit in memory deletes so many entries at a time.
const SWEEP_KEYS: usize = 65_536;

/// A keyed table of a [`crate::Store`]. Every key is given with the key group it belongs to, which must always be the same for one key.
pub struct Table {
    shared: Rc<Shared>,
    name: Rc<str>,
    cache: Rc<RefCell<Cache>>,
    lookup: Lookup,
    value: Vec<u8>,
}

/// Scratch space of a batched lookup, kept between calls.
#[derive(Default)]
struct Lookup {
    hashes: Vec<u32>,
    /// Per key its entry's id.
    ids: Vec<u32>,
    /// The keys that are not in the cache, as indexes, sorted by key.
    missing: Vec<u32>,
    /// Their `group | key`, back to back, and where each ends.
    arena: Vec<u8>,
    ends: Vec<usize>,
}

/// What a visitor of [`Table::update_many`] does with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Leaves it as it is.
    Keep,
    /// Sets it to the bytes in the buffer.
    Put,
    /// Deletes it.
    Delete,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Sees `group | key` and value of an entry, and says whether to go on.
type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

impl Table {
    pub(crate) fn new(shared: Rc<Shared>, name: Rc<str>, cache: Rc<RefCell<Cache>>) -> Self {
        Self {
            shared,
            name,
            cache,
            lookup: Lookup::default(),
            value: Vec::new(),
        }
    }

    /// Calls `visit` with the index and the value of each key, in the order of `keys`. What is not in memory is read in one batch.
    ///
    /// # Errors
    /// If RocksDB fails.
    pub fn get_many(
        &mut self,
        keys: &[(u16, &[u8])],
        mut visit: impl FnMut(usize, Option<&[u8]>),
    ) -> Result<(), Error> {
        self.look_up(keys)?;
        {
            let cache = self.cache.borrow();
            for (i, &id) in self.lookup.ids.iter().enumerate() {
                visit(i, cache.value(id));
            }
        }
        self.shared.shrink_if_full()
    }

    /// Reads, decides and writes many keys: calls `visit` with the index and the value of each key, in the order of `keys`, and an empty
    /// buffer to put the new value in. A key that comes twice is seen the second time as the first left it.
    ///
    /// # Errors
    /// If RocksDB fails.
    pub fn update_many(
        &mut self,
        keys: &[(u16, &[u8])],
        mut visit: impl FnMut(usize, Option<&[u8]>, &mut Vec<u8>) -> Change,
    ) -> Result<(), Error> {
        self.look_up(keys)?;
        let generation = self.shared.generation.get();
        let (Lookup { hashes, ids, .. }, value) = (&self.lookup, &mut self.value);
        self.shared.counted(&mut self.cache.borrow_mut(), |cache| {
            for (i, (&(group, key), (&hash, &found))) in
                keys.iter().zip(hashes.iter().zip(ids)).enumerate()
            {
                // The same key earlier in this call may have come to be since, or have gone.
                let id = if cache.is_at(found, group, key) {
                    found
                } else {
                    cache.find(hash, group, key)
                };
                value.clear();
                match (visit(i, cache.value(id), value), id) {
                    (Change::Keep, _) => {}
                    (Change::Put, ABSENT) => cache.put_new(hash, group, key, value, generation),
                    (Change::Put, id) => cache.put_at(id, value, generation),
                    (Change::Delete, ABSENT) => cache.delete_new(hash, group, key, generation),
                    (Change::Delete, id) => cache.delete_at(id, generation),
                }
            }
        });
        self.shared.shrink_if_full()
    }

    /// The value of a key.
    ///
    /// # Errors
    /// If RocksDB fails.
    pub fn get(&mut self, group: u16, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let mut value = None;
        self.get_many(&[(group, key)], |_, found| {
            value = found.map(<[u8]>::to_vec)
        })?;
        Ok(value)
    }

    /// Sets the value of a key.
    ///
    /// # Errors
    /// If memory ran short and RocksDB fails.
    pub fn put(&mut self, group: u16, key: &[u8], value: &[u8]) -> Result<(), Error> {
        let generation = self.shared.generation.get();
        let hash = hash(group, key);
        self.shared.counted(&mut self.cache.borrow_mut(), |cache| {
            match cache.find(hash, group, key) {
                ABSENT => cache.put_new(hash, group, key, value, generation),
                id => cache.put_at(id, value, generation),
            }
        });
        self.shared.shrink_if_full()
    }

    /// Sets the value of a key that the table never held: one that goes again before the next snapshot leaves no trace on disk.
    ///
    /// # Errors
    /// As [`Table::put`].
    pub fn insert(&mut self, group: u16, key: &[u8], value: &[u8]) -> Result<(), Error> {
        let generation = self.shared.generation.get();
        let hash = hash(group, key);
        self.shared.counted(&mut self.cache.borrow_mut(), |cache| {
            debug_assert_eq!(cache.find(hash, group, key), ABSENT, "the key is not new");
            cache.put_first(hash, group, key, value, generation);
        });
        self.shared.shrink_if_full()
    }

    /// Deletes a key; it need not exist.
    ///
    /// # Errors
    /// As [`Table::put`].
    pub fn delete(&mut self, group: u16, key: &[u8]) -> Result<(), Error> {
        let generation = self.shared.generation.get();
        let hash = hash(group, key);
        self.shared.counted(&mut self.cache.borrow_mut(), |cache| {
            match cache.find(hash, group, key) {
                ABSENT => cache.delete_new(hash, group, key, generation),
                id => cache.delete_at(id, generation),
            }
        });
        self.shared.shrink_if_full()
    }

    /// Visits all entries as `(group, key, value)`, by group, and by key within a group.
    ///
    /// # Errors
    /// If RocksDB fails, or with the first error of `visit`.
    pub fn scan<E: From<Error>>(
        &mut self,
        mut visit: impl FnMut(u16, &[u8], &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut failed = Ok(());
        self.walk(&[], &mut |group_and_key, value| {
            let (group, key) = split(group_and_key);
            failed = visit(group, key, value);
            if failed.is_ok() {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        failed
    }

    /// Deletes the entries for which `keep` is false, and returns how many they were. In no particular order; reads the whole table.
    ///
    /// # Errors
    /// If RocksDB fails; some entries may be deleted then.
    pub fn retain(
        &mut self,
        mut keep: impl FnMut(u16, &[u8], &[u8]) -> bool,
    ) -> Result<u64, Error> {
        if self.cache.borrow().is_complete() {
            return Ok(self.retain_in_memory(keep));
        }
        let (mut start, mut deleted) = (Vec::new(), 0);
        loop {
            let (mut arena, mut ends) = (Vec::new(), Vec::new());
            let mut resume = None;
            self.walk(&start, &mut |group_and_key, value| {
                if ends.len() == SWEEP_KEYS {
                    resume = Some(group_and_key.to_vec());
                    return ControlFlow::Break(());
                }
                let (group, key) = split(group_and_key);
                if !keep(group, key, value) {
                    arena.extend_from_slice(group_and_key);
                    ends.push(arena.len());
                }
                ControlFlow::Continue(())
            })?;
            for key in pieces(&arena, &ends) {
                let (group, key) = split(key);
                self.delete(group, key)?;
            }
            deleted += ends.len() as u64;
            match resume {
                Some(key) => start = key,
                None => return Ok(deleted),
            }
        }
    }

    /// How many entries there are: exact while all are in memory, an estimate otherwise.
    #[must_use]
    pub fn len_hint(&self) -> u64 {
        let cache = self.cache.borrow();
        if cache.is_complete() {
            return cache.live() as u64;
        }
        self.shared
            .database
            .keys_estimate(&self.name)
            .max(cache.live() as u64)
    }

    fn retain_in_memory(&self, mut keep: impl FnMut(u16, &[u8], &[u8]) -> bool) -> u64 {
        let generation = self.shared.generation.get();
        self.shared.counted(&mut self.cache.borrow_mut(), |cache| {
            let mut doomed = cache.ids(0, |_, live| live);
            doomed.retain(|&id| {
                let (group, key) = split(cache.key(id));
                !keep(group, key, cache.value(id).unwrap_or_default())
            });
            doomed
                .iter()
                .for_each(|&id| cache.delete_at(id, generation));
            doomed.len() as u64
        })
    }

    /// Fills `lookup.ids`; what RocksDB has of it is in the cache afterwards.
    fn look_up(&mut self, keys: &[(u16, &[u8])]) -> Result<(), Error> {
        let mut cache = self.cache.borrow_mut();
        let Lookup {
            hashes,
            ids,
            missing,
            ..
        } = &mut self.lookup;
        hashes.clear();
        ids.clear();
        missing.clear();
        hashes.extend(keys.iter().map(|&(group, key)| hash(group, key)));
        for ((&(group, key), &hash), i) in keys.iter().zip(&*hashes).zip(0_u32..) {
            let id = cache.find(hash, group, key);
            ids.push(id);
            if id == ABSENT {
                missing.push(i);
            } else {
                cache.touch(id);
            }
        }
        if missing.is_empty() || cache.is_complete() {
            return Ok(());
        }
        self.shared.counted(&mut cache, |cache| {
            load_missing(&self.shared, &self.name, cache, &mut self.lookup, keys)
        })
    }

    /// Visits the entries whose `group | key` is at least `start`, in order, until `visit` breaks off.
    fn walk(&self, start: &[u8], visit: &mut Visit<'_>) -> Result<(), Error> {
        self.shared.settle();
        let cache = self.cache.borrow();
        let complete = cache.is_complete();
        // What is clean is in RocksDB too; what is not overrides it, tombstones included.
        let mut ids = cache.ids(self.shared.persisted.get(), |clean, live| {
            if complete { live } else { !clean }
        });
        ids.retain(|&id| cache.key(id) >= start);
        cache.sort_by_key(&mut ids);
        let mut overlay = ids.into_iter().peekable();
        if !complete {
            let mut cursor = self.shared.database.cursor(&self.name);
            cursor.seek(start);
            while let Some((key, value)) = cursor.item() {
                while let Some(id) = overlay.next_if(|&id| cache.key(id) < key) {
                    if let Some(value) = cache.value(id)
                        && visit(cache.key(id), value).is_break()
                    {
                        return Ok(());
                    }
                }
                let held = overlay.next_if(|&id| cache.key(id) == key);
                let value = held.map_or(Some(value), |id| cache.value(id));
                if value.is_some_and(|value| visit(key, value).is_break()) {
                    return Ok(());
                }
                cursor.next();
            }
            self.shared.database.check(&cursor)?;
        }
        for id in overlay {
            if cache
                .value(id)
                .is_some_and(|value| visit(cache.key(id), value).is_break())
            {
                break;
            }
        }
        Ok(())
    }
}

/// Reads the missing keys from RocksDB in one batch, and puts what exists into the cache.
fn load_missing(
    shared: &Shared,
    table: &str,
    cache: &mut Cache,
    lookup: &mut Lookup,
    keys: &[(u16, &[u8])],
) -> Result<(), Error> {
    let Lookup {
        ids,
        missing,
        arena,
        ends,
        ..
    } = lookup;
    missing.sort_unstable_by_key(|&i| keys[i as usize]);
    arena.clear();
    ends.clear();
    for &i in &*missing {
        let (group, key) = keys[i as usize];
        arena.extend_from_slice(&group.to_be_bytes());
        arena.extend_from_slice(key);
        ends.push(arena.len());
    }
    let sorted: Vec<&[u8]> = pieces(arena, ends).collect();
    shared.database.read_sorted(table, &sorted, |found, value| {
        // A key that was asked for twice stands next to its like, and is in the cache by now.
        let again = found
            .checked_sub(1)
            .filter(|&before| sorted[before] == sorted[found]);
        let id = again.map_or_else(
            || cache.load(sorted[found], value),
            |before| ids[missing[before] as usize],
        );
        ids[missing[found] as usize] = id;
    })
}

fn pieces<'a>(arena: &'a [u8], ends: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let starts = std::iter::once(0).chain(ends.iter().copied());
    starts.zip(ends).map(|(start, &end)| &arena[start..end])
}

const _: () = assert!(
    GROUP_BYTES == size_of::<u16>(),
    "a key group is two bytes on disk"
);
