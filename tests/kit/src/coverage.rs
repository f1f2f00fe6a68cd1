//! Which jobs to run so that every stage has stood behind every other, with rows between them.
//!
//! *Promises* that a pair counts only where both of its stages have rows in the end, by the oracle and the whole input.
//! *Does not promise* that these are the fewest seeds.

use std::collections::BTreeSet;

use crate::oracle::{EpochInput, Oracle, PartitionEpoch, Record};
use crate::random_job::stages::{HARD_CHAINS, Pair, accepted, chains, pairs, pairs_among};
use crate::random_job::{Case, InputRecord, Shapes, draw_of};

/// After so many seeds, what no job had is not made any more.
const SEEDS_MAX: u64 = 20_000;
/// In how many epochs the input is read to see what has rows.
const EPOCHS: usize = 3;
/// The clock of these epochs, behind all generated times.
const CLOCK_MS: i64 = 1_800_000_000_000;

/// Seeds whose jobs have, together, every pair of stages that is accepted and every chain that is known to be hard.
///
/// # Panics
/// If no seed has one of them: the generator does not make it any more.
#[must_use]
pub fn covering(shapes: Shapes) -> Vec<u64> {
    let (mut missing, mut hard) = (accepted(), BTreeSet::from(HARD_CHAINS));
    let mut seeds = Vec::new();
    for seed in 0..SEEDS_MAX {
        let case = draw_of(seed, shapes);
        let before = missing.len() + hard.len();
        let of_job = chains(&case.job);
        hard.retain(|chain| !of_job.contains(chain));
        if !pairs(&case.job).is_disjoint(&missing) {
            let met = pairs_with_rows(&case);
            missing.retain(|pair| !met.contains(pair));
        }
        if missing.len() + hard.len() < before {
            seeds.push(seed);
        }
        if missing.is_empty() && hard.is_empty() {
            return seeds;
        }
    }
    panic!("no seed has {missing:?} or {hard:?}");
}

/// The pairs of stages of a job of which both have rows in the end.
#[must_use]
pub fn pairs_with_rows(case: &Case) -> BTreeSet<Pair> {
    let mut oracle = Oracle::new(&case.job);
    for epoch in epochs(case, EPOCHS) {
        oracle.epoch(&epoch);
    }
    let has_rows: Vec<bool> = oracle.sizes().map(|(_, rows)| rows > 0).collect();
    pairs_among(&case.job, &has_rows)
}

/// The input of a case in so many epochs, no partition ever idle.
#[must_use]
pub fn epochs(case: &Case, count: usize) -> Vec<EpochInput> {
    let of = |part: usize| {
        let partition = |records: &Vec<InputRecord>| {
            let [from, to] = [part, part + 1].map(|part| part * records.len() / count);
            let placed = (0i64..).zip(records).take(to).skip(from);
            let records = placed.map(|(offset, record): (i64, &InputRecord)| Record {
                offset,
                timestamp_ms: record.timestamp_ms,
                written_ms: Some(record.timestamp_ms),
                key: record.key.clone(),
                value: record.value.clone(),
                headers: record.headers.clone(),
            });
            PartitionEpoch {
                records: records.collect(),
                idle: false,
            }
        };
        let sources = case.input.iter();
        EpochInput {
            clock_ms: CLOCK_MS,
            sources: sources
                .map(|source| source.partitions.iter().map(partition).collect())
                .collect(),
        }
    };
    (0..count).map(of).collect()
}
