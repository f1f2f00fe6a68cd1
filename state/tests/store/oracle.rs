//! Random operations on the stores of a job, against a plain map.
//!
//! Catches: an entry lost, resurrected or doubled by caching, eviction, spilling, freezing, a failed snapshot, a restore or a change of
//! the number of workers; a snapshot that holds anything from after its freeze. Cannot catch: races between the worker and the thread
//! that writes a snapshot (see `snapshots.rs`), a power cut.

use std::path::PathBuf;

use crate::kit::{Entries, Job, Worker, settings};
use proptest::prelude::*;
use proptest::sample::Index;
use tidemill_state::{Change, Frozen};
use tidemill_types::key_group::{key_group, worker_of};

#[derive(Debug, Clone)]
enum Op {
    Put(usize, u8, Vec<u8>),
    /// A key that no table ever held.
    Insert(usize, Vec<u8>),
    /// Deletes one of the keys that were inserted, if it is there.
    DeleteInserted(Index),
    Delete(usize, u8),
    /// Looks keys up, some of them twice.
    GetMany(usize, Vec<u8>),
    /// Appends a byte to what is there, deletes what has become too long.
    UpdateMany(usize, Vec<u8>),
    Scan,
    /// Keeps the keys below this one.
    Retain(usize, u8),
    Freeze,
    /// Writes what was frozen; the flag makes it fail.
    Write(bool),
    /// Gives up what was frozen.
    Drop,
    /// Starts again from the last checkpoint.
    Restore(usize),
}

fn op() -> impl Strategy<Value = Op> {
    let (table, key) = (0..2_usize, 0..48_u8);
    let keys = prop::collection::vec(key.clone(), 0..12);
    prop_oneof![
        12 => (table.clone(), key.clone(), prop::collection::vec(any::<u8>(), 0..24)).prop_map(|(t, k, v)| Op::Put(t, k, v)),
        6 => (table.clone(), prop::collection::vec(any::<u8>(), 0..24)).prop_map(|(t, v)| Op::Insert(t, v)),
        4 => (table.clone(), key.clone()).prop_map(|(t, k)| Op::Delete(t, k)),
        4 => any::<Index>().prop_map(Op::DeleteInserted),
        6 => (table.clone(), keys.clone()).prop_map(|(t, ks)| Op::GetMany(t, ks)),
        6 => (table.clone(), keys).prop_map(|(t, ks)| Op::UpdateMany(t, ks)),
        2 => Just(Op::Scan),
        1 => (table, key).prop_map(|(t, k)| Op::Retain(t, k)),
        3 => Just(Op::Freeze),
        3 => prop::bool::weighted(0.3).prop_map(Op::Write),
        1 => Just(Op::Drop),
        1 => (1..4_usize).prop_map(Op::Restore),
    ]
}

/// The key of a number: some are prefixes of others, one is empty.
fn key(number: u8) -> Vec<u8> {
    vec![number / 8; usize::from(number % 8)]
}

/// The key of the n-th insert: longer than those of numbers.
fn inserted_key(number: u32) -> Vec<u8> {
    [&[255; 8], number.to_be_bytes().as_slice()].concat()
}

struct Run {
    job: Job,
    /// In which table, per key that was inserted; a restart inserts others.
    inserted: Vec<usize>,
    model: Entries,
    frozen: Option<(Vec<Frozen>, Entries)>,
    checkpoint: Option<(Vec<PathBuf>, Entries)>,
}

impl Run {
    fn apply(&mut self, op: Op) {
        match op {
            Op::Put(table, number, value) => {
                self.job.put(table, &key(number), &value);
                self.model
                    .insert((table, key_group(&key(number)), key(number)), value);
            }
            Op::Insert(table, value) => {
                let key = inserted_key(u32::try_from(self.inserted.len()).expect("few"));
                self.inserted.push(table);
                self.job.insert(table, &key, &value);
                self.model.insert((table, key_group(&key), key), value);
            }
            Op::DeleteInserted(index) if !self.inserted.is_empty() => {
                let number = index.index(self.inserted.len());
                let key = inserted_key(u32::try_from(number).expect("few"));
                let table = self.inserted[number];
                self.job.delete(table, &key);
                self.model.remove(&(table, key_group(&key), key));
            }
            Op::DeleteInserted(_) => {}
            Op::Delete(table, number) => {
                self.job.delete(table, &key(number));
                self.model
                    .remove(&(table, key_group(&key(number)), key(number)));
            }
            Op::GetMany(table, numbers) => self.get_many(table, &numbers),
            Op::UpdateMany(table, numbers) => self.update_many(table, &numbers),
            Op::Scan => assert_eq!(self.job.entries(), self.model),
            Op::Retain(table, number) => {
                let limit = key(number);
                for worker in &mut self.job.workers {
                    worker.tables[table]
                        .retain(|_, key, _| key < limit.as_slice())
                        .expect("state can be written");
                }
                self.model
                    .retain(|(t, _, key), _| *t != table || *key < limit);
            }
            Op::Freeze if self.frozen.is_none() => {
                self.frozen = Some((self.job.freeze(), self.model.clone()))
            }
            Op::Freeze => assert!(
                self.job
                    .workers
                    .iter()
                    .all(|worker| worker.store.freeze().is_err())
            ),
            Op::Write(fails) => self.write(fails),
            Op::Drop => self.frozen = None,
            Op::Restore(workers) => {
                self.frozen = None;
                if let Some((folders, model)) = &self.checkpoint {
                    self.job.restore(folders, workers);
                    self.model = model.clone();
                }
            }
        }
    }

    fn write(&mut self, fails: bool) {
        let Some((frozen, model)) = self.frozen.take() else {
            return;
        };
        if fails {
            let nowhere = self.job.root.path().join("missing").join("folder");
            frozen
                .into_iter()
                .for_each(|frozen| assert!(frozen.write(&nowhere).is_err()));
        } else {
            self.checkpoint = Some((self.job.write(frozen), model));
        }
    }

    /// Calls `visit` per worker with the positions, groups and keys that it owns.
    fn per_worker(
        &mut self,
        numbers: &[u8],
        mut visit: impl FnMut(&mut Worker, &Entries, &[(u16, &[u8])]),
    ) {
        let keys: Vec<_> = numbers.iter().map(|&number| key(number)).collect();
        let workers = self.job.workers.len();
        for (i, worker) in self.job.workers.iter_mut().enumerate() {
            let grouped = keys.iter().map(|key| (key_group(key), key.as_slice()));
            let owned: Vec<_> = grouped
                .filter(|&(group, _)| worker_of(group, workers) == i)
                .collect();
            visit(worker, &self.model, &owned);
        }
    }

    fn get_many(&mut self, table: usize, numbers: &[u8]) {
        self.per_worker(numbers, |worker, model, keys| {
            let mut seen = 0;
            let got = worker.tables[table].get_many(keys, |i, value| {
                assert_eq!(i, seen, "in order of the keys");
                seen += 1;
                let (group, key) = keys[i];
                assert_eq!(
                    value,
                    model.get(&(table, group, key.to_vec())).map(Vec::as_slice)
                );
            });
            got.expect("state can be read");
            assert_eq!(seen, keys.len());
        });
    }

    fn update_many(&mut self, table: usize, numbers: &[u8]) {
        let mut changed = self.model.clone();
        self.per_worker(numbers, |worker, _, keys| {
            let updated = worker.tables[table].update_many(keys, |i, value, buffer| {
                let key = (table, keys[i].0, keys[i].1.to_vec());
                assert_eq!(value, changed.get(&key).map(Vec::as_slice));
                let value = value.unwrap_or_default();
                match value.len() {
                    0..20 => {
                        buffer.extend_from_slice(value);
                        buffer.push(7);
                        changed.insert(key, buffer.clone());
                        Change::Put
                    }
                    20..22 => Change::Keep,
                    _ => {
                        changed.remove(&key);
                        Change::Delete
                    }
                }
            });
            updated.expect("state can be written");
        });
        self.model = changed;
    }
}

proptest! {
    // Its own default number of cases; `PROPTEST_CASES=5000` for a long run.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn stores_hold_what_a_plain_map_holds(
        cache_bytes_max in prop::sample::select(vec![0, 700, 2500, 1 << 20]),
        workers in 1..4_usize,
        ops in prop::collection::vec(op(), 1..200),
    ) {
        let job = Job::new(workers, settings(cache_bytes_max));
        let mut run = Run { job, inserted: Vec::new(), model: Entries::new(), frozen: None, checkpoint: None };
        ops.into_iter().for_each(|op| run.apply(op));
        run.frozen = None;
        assert_eq!(run.job.entries(), run.model);
        let folders = run.job.checkpoint();
        run.job.restore(&folders, 2);
        assert_eq!(run.job.entries(), run.model);
    }
}
