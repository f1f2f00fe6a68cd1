//! What contracts are told in: runs of a job, their epochs, and polling until something is there.

use std::time::Duration;

use tidemill_checkpoints::{Claim, Journal, Record};
use tidemill_connectors_api::{Committer, EpochOutput, OutputRecords, Source, SourceBatch};
use tidemill_types::{Epoch, ErrorKind};

use crate::World;

/// How often is polled for what must come.
const POLLS_MAX: usize = 600;
/// How long each poll waits.
const POLL_WAIT: Duration = Duration::from_millis(100);
/// How much each poll takes.
const POLL_BYTES: usize = 1 << 20;

/// An epoch of a run that writes one record, which tells both.
pub fn epoch(number: u64, owner: &str) -> EpochOutput {
    let mut records = OutputRecords::default();
    records.push(b"1", Some(text(number, owner).as_bytes()));
    EpochOutput {
        epoch: Epoch(number),
        sinks: vec![records],
        journal: Record::new(Epoch(number), owner.to_owned(), "plan".to_owned(), 0).encode(),
        source_offsets: Vec::new(),
    }
}

/// What an epoch of a run writes.
pub fn text(number: u64, owner: &str) -> String {
    format!("\"{owner} {number}\"")
}

/// The values that a sink holds.
pub fn values(world: &mut dyn World, sink: &str) -> Vec<String> {
    let written = world.written(sink).into_iter();
    written
        .map(|(_, _, value)| String::from_utf8(value.unwrap()).unwrap())
        .collect()
}

/// Starts a run as its protocol says: fences, reads, claims.
pub fn start(world: &mut dyn World, job: &str, sink: &str, owner: &str) -> Box<dyn Committer> {
    let mut committer = world.committer(job, sink);
    take_over(committer.as_mut(), owner);
    committer
}

/// Fences, reads, claims.
pub fn take_over(committer: &mut dyn Committer, owner: &str) {
    committer.fence().unwrap();
    let after = journal(committer, 0).committed();
    let claim = Claim::new(after, owner.to_owned());
    committer.claim(after, &claim.encode()).unwrap();
}

/// The journal from an epoch on.
pub fn journal(committer: &mut dyn Committer, from: u64) -> Journal {
    Journal::decode(&committer.read_journal(Epoch(from)).unwrap()).unwrap()
}

/// The epochs that the journal has from one on.
pub fn epochs(committer: &mut dyn Committer, from: u64) -> Vec<u64> {
    let records = journal(committer, from).records.into_iter();
    records
        .map(|record| record.epoch.0)
        .filter(|&epoch| epoch >= from)
        .collect()
}

/// A record: its partition, offset and text.
pub type Read = (u32, i64, String);

/// Polls until so many records came, and once more.
pub fn read(source: &mut dyn Source, count: usize) -> Vec<Read> {
    let mut records = Vec::new();
    for _ in 0..POLLS_MAX {
        let enough = records.len() >= count;
        let mut batches: Vec<SourceBatch> = Vec::new();
        source.poll(POLL_WAIT, POLL_BYTES, &mut batches).unwrap();
        for batch in &batches {
            records.extend(batch.records.iter().map(|record| {
                let text = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
                (batch.partition(), record.offset, text)
            }));
        }
        if enough {
            records.sort();
            return records;
        }
    }
    panic!("only {} of {count} records came", records.len());
}

/// Polls until the source says that it cannot go on; nothing may have been read before that `allowed` does not have.
pub fn read_until_refused(source: &mut dyn Source, allowed: &[&str]) -> String {
    for _ in 0..POLLS_MAX {
        let mut batches: Vec<SourceBatch> = Vec::new();
        let outcome = source.poll(POLL_WAIT, POLL_BYTES, &mut batches);
        for batch in &batches {
            for record in batch.records.iter() {
                let text = std::str::from_utf8(record.value.unwrap()).unwrap();
                assert!(
                    allowed.contains(&text),
                    "'{text}' was read past what is gone"
                );
            }
        }
        match outcome {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Retry => {}
            Err(error) => {
                assert!(
                    matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Corrupt),
                    "{error}"
                );
                return error.message;
            }
        }
    }
    panic!("the source neither read nor refused");
}
