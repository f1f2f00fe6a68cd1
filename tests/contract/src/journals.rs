//! The journal: its end is found without its beginning, what is needed is never trimmed, and what cannot be written is told.

use tidemill_connectors_api::{Committer, EpochOutput, OutputRecords};
use tidemill_types::{Epoch, ErrorKind};

use crate::World;
use crate::steps::{epoch, epochs, journal, start, text, values};

/// How many epochs make a journal of which a part can be read or trimmed.
const EPOCHS: u64 = 3_000;
/// How many of them go in one commit.
const TOGETHER: u64 = 100;

/// Commits the epochs from 1 on.
fn commit_many(committer: &mut dyn Committer, epochs: u64, owner: &str) {
    for first in (1..epochs).step_by(usize::try_from(TOGETHER).unwrap()) {
        let group: Vec<EpochOutput> = (first..first + TOGETHER)
            .map(|number| epoch(number, owner))
            .collect();
        committer.commit(&group).unwrap();
    }
    committer.fence().unwrap();
}

/// Read from an epoch on, a journal has all from there, however long it is.
pub fn the_end_of_a_journal_is_whole(world: &mut dyn World) {
    let (job, sink) = ("tail", "tail_out");
    let mut owner = start(world, job, sink, "owner");
    commit_many(owner.as_mut(), EPOCHS, "owner");
    for from in [1, 2, EPOCHS / 2, EPOCHS - 1, EPOCHS] {
        let expected: Vec<u64> = (from..=EPOCHS).collect();
        assert_eq!(epochs(owner.as_mut(), from), expected, "from {from}");
    }
    assert_eq!(
        journal(owner.as_mut(), EPOCHS + 1).owner.as_deref(),
        Some("owner"),
        "at least the newest entry"
    );
}

/// Trimming never takes what a restore could need, nor the newest record, and goes on however often it is asked for.
pub fn trimming_keeps_what_is_needed(world: &mut dyn World) {
    let (job, sink) = ("trimmed", "trimmed_out");
    let mut owner = start(world, job, sink, "owner");
    owner.trim(Epoch(5)).unwrap();
    commit_many(owner.as_mut(), EPOCHS, "owner");
    for before in [EPOCHS / 3, EPOCHS / 2, EPOCHS / 2, EPOCHS - 2] {
        owner.trim(Epoch(before)).unwrap();
        owner.fence().unwrap();
        let expected: Vec<u64> = (before..=EPOCHS).collect();
        assert_eq!(epochs(owner.as_mut(), before), expected);
    }
    owner.trim(Epoch(EPOCHS + 50)).unwrap();
    for number in EPOCHS + 1..EPOCHS + 4 {
        owner.commit(&[epoch(number, "owner")]).unwrap();
        owner.trim(Epoch(EPOCHS + 50)).unwrap();
        owner.fence().unwrap();
        assert_eq!(journal(owner.as_mut(), 0).committed(), Epoch(number));
    }
    let mut next = world.committer(job, sink);
    assert_eq!(journal(next.as_mut(), 0).committed(), Epoch(EPOCHS + 3));
}

/// Once trimmed, and after what it takes until that is done, the journal is shorter.
pub fn trimming_shortens_the_journal(world: &mut dyn World) {
    let (job, sink) = ("shorter", "shorter_out");
    let mut owner = start(world, job, sink, "owner");
    let whole = world.abilities().trims_after;
    commit_many(owner.as_mut(), whole, "owner");
    let mut left = journal(owner.as_mut(), 0).records.len() as u64;
    assert_eq!(left, whole);
    for number in whole + 1..whole + 600 {
        owner.commit(&[epoch(number, "owner")]).unwrap();
        owner.trim(Epoch(number)).unwrap();
        if number % 20 == 0 {
            left = journal(owner.as_mut(), 0).records.len() as u64;
            if left < whole / 2 {
                return;
            }
        }
    }
    panic!("{left} of {whole} records are left");
}

/// A record at the limit that the port tells is taken; one above is refused, with its sink and without harm.
pub fn a_record_above_the_limit_is_refused_and_one_at_it_is_taken(world: &mut dyn World) {
    let (job, sink) = ("limit", "limit_out");
    let mut owner = start(world, job, sink, "owner");
    let Some(limit) = owner.record_bytes_max(0) else {
        return;
    };
    let sized = |number: u64, bytes: usize| {
        let mut output = epoch(number, "owner");
        output.sinks[0] = OutputRecords::default();
        // What compresses badly, as JSON text.
        let mut state = 12_345_u32;
        let mut digits = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            b'0' + u8::try_from((state >> 16) % 10).unwrap()
        };
        let mut value = vec![b'"'];
        value.extend((0..bytes - 3).map(|_| digits()));
        value.push(b'"');
        output.sinks[0].push(b"1", Some(&value));
        output
    };
    owner.commit(&[sized(1, limit)]).unwrap();
    let error = owner.commit(&[sized(2, 4 * limit)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(error.message.contains(sink), "{error}");
    owner.fence().unwrap();
    owner.commit(&[epoch(2, "owner")]).unwrap();
    owner.fence().unwrap();
    assert_eq!(epochs(owner.as_mut(), 1), [1, 2]);
    assert_eq!(values(world, sink)[1], text(2, "owner"));
}
