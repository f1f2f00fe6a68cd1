//! Who may commit: one owner at a time, and in doubt only what the journal says of one's own.

use tidemill_checkpoints::ownership::{Decision, Facts, decide};
use tidemill_types::{Epoch, ErrorKind};

use crate::World;
use crate::steps::{epoch, epochs, journal, start, take_over, text, values};

/// An owner that was replaced commits nothing any more; where owners cannot be replaced, the second one is refused while the first lives.
pub fn every_owner_is_fenced(world: &mut dyn World) {
    let (job, sink) = ("fenced", "fenced_out");
    let mut older = start(world, job, sink, "older");
    older.commit(&[epoch(1, "older")]).unwrap();
    let mut newer = world.committer(job, sink);
    if !world.abilities().takes_over {
        assert_eq!(newer.fence().unwrap_err().kind(), ErrorKind::Fenced);
        older.commit(&[epoch(2, "older")]).unwrap();
        drop(older);
        take_over(newer.as_mut(), "newer");
        newer.commit(&[epoch(3, "newer")]).unwrap();
        assert_eq!(epochs(newer.as_mut(), 1), [1, 2, 3]);
        return;
    }
    take_over(newer.as_mut(), "newer");
    let error = older.commit(&[epoch(2, "older")]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    newer.commit(&[epoch(2, "newer")]).unwrap();
    newer.fence().unwrap();
    assert_eq!(epochs(newer.as_mut(), 1), [1, 2]);
    assert_eq!(
        values(world, sink),
        [text(1, "older"), text(2, "newer")],
        "nothing of the older one's second epoch"
    );
}

/// Whoever reads the journal, to decide whether to start at all, leaves the owner alone.
pub fn reading_the_journal_disturbs_nobody(world: &mut dyn World) {
    let (job, sink) = ("read", "read_out");
    let mut newcomer = world.committer(job, sink);
    assert!(
        epochs(newcomer.as_mut(), 0).is_empty(),
        "there is no journal yet"
    );
    let mut owner = start(world, job, sink, "owner");
    owner.commit(&[epoch(1, "owner")]).unwrap();
    owner.fence().unwrap();
    let mut newcomer = world.committer(job, sink);
    assert_eq!(epochs(newcomer.as_mut(), 0), [1]);
    owner.commit(&[epoch(2, "owner")]).unwrap();
    owner.fence().unwrap();
    assert_eq!(epochs(newcomer.as_mut(), 0), [1, 2]);
    assert_eq!(values(world, sink), [text(1, "owner"), text(2, "owner")]);
}

/// A claim stands in the journal in its order, is no epoch, and brings no output.
pub fn a_claim_is_an_entry_and_no_epoch(world: &mut dyn World) {
    let (job, sink) = ("claimed", "claimed_out");
    let mut first = start(world, job, sink, "first");
    first.fence().unwrap();
    let empty = journal(first.as_mut(), 0);
    assert_eq!(
        (empty.owner.as_deref(), empty.committed()),
        (Some("first"), Epoch(0))
    );
    first
        .commit(&[epoch(1, "first"), epoch(2, "first")])
        .unwrap();
    drop(first);
    let mut second = start(world, job, sink, "second");
    second.fence().unwrap();
    for from in [0, 1, 2, 3, 9] {
        let claimed = journal(second.as_mut(), from);
        assert_eq!(claimed.owner.as_deref(), Some("second"), "read from {from}");
    }
    assert_eq!(epochs(second.as_mut(), 1), [1, 2]);
    second.commit(&[epoch(3, "second")]).unwrap();
    second.fence().unwrap();
    assert_eq!(epochs(second.as_mut(), 1), [1, 2, 3]);
    assert_eq!(values(world, sink).len(), 3);
}

/// A process that was stopped and goes on finds, without fencing anybody, that another run took over: also where that one committed an epoch of
/// the very number that is in doubt.
pub fn a_zombie_in_doubt_leaves_the_newer_owner_alone(world: &mut dyn World) {
    let (job, sink) = ("doubt", "doubt_out");
    if !world.abilities().takes_over {
        return;
    }
    let mut zombie = start(world, job, sink, "zombie");
    zombie.commit(&[epoch(1, "zombie")]).unwrap();
    zombie.fence().unwrap();
    let decided = |committer: &mut dyn tidemill_connectors_api::Committer, fenced| {
        decide(&Facts {
            owner: "zombie",
            journal: &journal(committer, 1),
            fenced,
        })
    };
    assert_eq!(decided(zombie.as_mut(), false), Decision::FenceAndReadAgain);
    assert_eq!(
        decided(zombie.as_mut(), true),
        Decision::Stands { through: Epoch(1) }
    );

    let mut newer = start(world, job, sink, "newer");
    let replaced = Decision::Replaced {
        by: "newer".to_owned(),
    };
    newer.fence().unwrap();
    assert_eq!(
        decided(zombie.as_mut(), false),
        replaced,
        "its claim says it"
    );
    newer.commit(&[epoch(2, "newer")]).unwrap();
    newer.fence().unwrap();
    assert_eq!(decided(zombie.as_mut(), false), replaced);
    assert_eq!(decided(zombie.as_mut(), true), replaced);
    newer.commit(&[epoch(3, "newer")]).unwrap();
    newer.fence().unwrap();
    let expected = [text(1, "zombie"), text(2, "newer"), text(3, "newer")];
    assert_eq!(values(world, sink), expected);
}

/// What a process leaves that dies within a commit is seen by nobody, and gone once there is a next owner.
pub fn half_a_commit_is_undone_by_the_next_owner(world: &mut dyn World) {
    let (job, sink) = ("half", "half_out");
    let mut first = start(world, job, sink, "first");
    first.commit(&[epoch(1, "first")]).unwrap();
    first.fence().unwrap();
    drop(first);
    world.die_within_a_commit(job, sink);
    let mut second = world.committer(job, sink);
    assert_eq!(
        epochs(second.as_mut(), 1),
        [1],
        "nothing of it is read before fencing"
    );
    take_over(second.as_mut(), "second");
    second.commit(&[epoch(2, "second")]).unwrap();
    second.fence().unwrap();
    assert_eq!(epochs(second.as_mut(), 1), [1, 2]);
    assert_eq!(values(world, sink), [text(1, "first"), text(2, "second")]);
}
