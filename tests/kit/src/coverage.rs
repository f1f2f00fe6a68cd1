//! Which jobs to run so that every stage has stood behind every other, and every encoding was read and written in every envelope that it can
//! have, with rows in all of it.
//!
//! *Promises* that a pair counts only where both of its stages have rows in the end, by the oracle and the whole input; that a source's form
//! counts only where a record of it was read, and a sink's where it has a row in the end. *Does not promise* that these are the fewest seeds.

use std::collections::BTreeSet;

use crate::oracle::{EpochInput, Oracle, PartitionEpoch, Record, is_event};
use crate::random_job::job::{Encoding, Envelope, Written};
use crate::random_job::stages::{HARD_CHAINS, Pair, accepted, chains, pairs, pairs_among};
use crate::random_job::{Case, InputRecord, Shapes, draw_of};

/// After so many seeds, what no job had is not made any more.
const SEEDS_MAX: u64 = 20_000;
/// In how many epochs the input is read to see what has rows.
const EPOCHS: usize = 3;
/// The clock of these epochs, behind all generated times.
const CLOCK_MS: i64 = 1_800_000_000_000;

/// The form of a source's or a sink's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// They are read.
    Read(Encoding, Envelope),
    /// They are written.
    Written(Encoding, Written),
    /// They are read, and have values in values.
    ReadNested(Encoding),
    /// They are written, and have values in values.
    WrittenNested(Encoding),
}

/// All forms that there are.
#[must_use]
pub fn forms() -> BTreeSet<Form> {
    let read = Envelope::ALL.into_iter().flat_map(|envelope| {
        let encodings = envelope.encodings().iter();
        encodings.map(move |&encoding| Form::Read(encoding, envelope))
    });
    let written = Encoding::ALL.into_iter().flat_map(|encoding| {
        let written = encoding.written().iter();
        written.map(move |&written| Form::Written(encoding, written))
    });
    let nested = Encoding::ALL.into_iter().filter(|of| of.is_nested());
    let nested = nested.flat_map(|of| [Form::ReadNested(of), Form::WrittenNested(of)]);
    read.chain(written).chain(nested).collect()
}

/// The forms of a case that have records: of a source one that is an event, of a sink a row in the end.
#[must_use]
pub fn forms_with_rows(case: &Case) -> BTreeSet<Form> {
    let mut oracle = Oracle::new(&case.job);
    let mut forms = BTreeSet::new();
    for epoch in epochs(case, EPOCHS) {
        oracle.epoch(&epoch);
        for (source, partitions) in case.job.sources.iter().zip(&epoch.sources) {
            let mut records = partitions.iter().flat_map(|partition| &partition.records);
            if records.any(|record| is_event(source, record)) {
                forms.insert(Form::Read(source.encoding, source.envelope));
                if source.columns.iter().any(|column| column.ty.is_nested()) {
                    forms.insert(Form::ReadNested(source.encoding));
                }
            }
        }
    }
    let rows: Vec<i64> = oracle.sizes().map(|(_, rows)| rows).collect();
    for sink in case.job.sinks.iter().filter(|sink| rows[sink.input] > 0) {
        forms.insert(Form::Written(sink.encoding, sink.written));
        let columns = &case.job.relations[sink.input].columns;
        if columns.iter().any(|column| column.ty.is_nested()) {
            forms.insert(Form::WrittenNested(sink.encoding));
        }
    }
    forms
}

/// Seeds whose jobs have, together, every form, every pair of stages that is accepted and every chain that is known to be hard.
///
/// # Panics
/// If no seed has one of them: the generator does not make it any more.
#[must_use]
pub fn covering(shapes: Shapes) -> Vec<u64> {
    let (mut missing, mut hard) = (accepted(), BTreeSet::from(HARD_CHAINS));
    let mut unformed = if shapes.encodings {
        forms()
    } else {
        BTreeSet::new()
    };
    let mut seeds = Vec::new();
    for seed in 0..SEEDS_MAX {
        let case = draw_of(seed, shapes);
        let before = missing.len() + hard.len() + unformed.len();
        if !unformed.is_empty() {
            let met = forms_with_rows(&case);
            unformed.retain(|form| !met.contains(form));
        }
        let of_job = chains(&case.job);
        hard.retain(|chain| !of_job.contains(chain));
        if !pairs(&case.job).is_disjoint(&missing) {
            let met = pairs_with_rows(&case);
            missing.retain(|pair| !met.contains(pair));
        }
        if missing.len() + hard.len() + unformed.len() < before {
            seeds.push(seed);
        }
        if missing.is_empty() && hard.is_empty() && unformed.is_empty() {
            return seeds;
        }
    }
    panic!("no seed has {missing:?}, {hard:?} or {unformed:?}");
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
                place: None,
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
