//! The decision how to go on, as a table: what was found, and what follows.

use tidemill_checkpoints::recovery::{CheckpointFact, Decision, Facts, RefusalReason, decide};
use tidemill_checkpoints::{DataTimes, Positions, Record};
use tidemill_types::Epoch;

const PLAN: &str = "plan-a";

fn journal(epochs: impl IntoIterator<Item = u64>) -> Vec<Record> {
    epochs
        .into_iter()
        .map(|epoch| {
            Record::new(
                Epoch(epoch),
                PLAN.to_owned(),
                0,
                DataTimes::default(),
                Positions::new(),
            )
        })
        .collect()
}

fn decision(journal: &[Record], checkpoint: Option<u64>) -> Decision {
    let checkpoint = checkpoint.map(|epoch| CheckpointFact {
        epoch: Epoch(epoch),
        plan_hash: PLAN,
    });
    decide(&Facts {
        plan_hash: PLAN,
        journal,
        checkpoint,
    })
}

fn refusal(decision: Decision) -> RefusalReason {
    match decision {
        Decision::Refuse { reason } => reason,
        other => panic!("{other:?} is no refusal"),
    }
}

#[test]
fn without_a_committed_epoch_and_a_checkpoint_a_job_starts_fresh() {
    assert_eq!(decision(&[], None), Decision::FreshStart);
}

#[test]
fn a_checkpoint_of_the_last_committed_epoch_is_restored_without_replay() {
    assert_eq!(
        decision(&journal(1..=9), Some(9)),
        Decision::RestoreAndGoLive {
            checkpoint: Epoch(9)
        }
    );
    assert_eq!(
        decision(&journal([9]), Some(9)),
        Decision::RestoreAndGoLive {
            checkpoint: Epoch(9)
        },
        "older records are not needed"
    );
}

#[test]
fn epochs_after_the_checkpoint_are_replayed() {
    let expected = Decision::RestoreAndReplay {
        checkpoint: Epoch(5),
        from: Epoch(6),
        to: Epoch(9),
    };
    assert_eq!(decision(&journal(1..=9), Some(5)), expected);
    assert_eq!(
        decision(&journal(6..=9), Some(5)),
        expected,
        "what the checkpoint covers may be gone"
    );
    assert_eq!(
        decision(&journal([2, 4, 6, 7, 8, 9]), Some(5)),
        expected,
        "gaps that the checkpoint covers do no harm"
    );
}

#[test]
fn a_whole_journal_alone_is_replayed_from_the_beginning() {
    assert_eq!(
        decision(&journal(1..=9), None),
        Decision::ReplayFromBeginning { to: Epoch(9) }
    );
}

#[test]
fn a_missing_record_among_those_to_replay_is_refused() {
    let gap = |from, to, missing| RefusalReason::JournalGap {
        from: Epoch(from),
        to: Epoch(to),
        missing: Epoch(missing),
    };
    assert_eq!(refusal(decision(&journal(4..=9), None)), gap(1, 9, 1));
    assert_eq!(refusal(decision(&journal([1, 2, 4]), None)), gap(1, 4, 3));
    assert_eq!(refusal(decision(&journal([7, 9]), Some(5))), gap(6, 9, 6));
    assert_eq!(
        refusal(decision(&journal([6, 7, 9]), Some(5))),
        gap(6, 9, 8)
    );
}

#[test]
fn a_checkpoint_ahead_of_the_journal_is_refused() {
    let ahead = |checkpoint, committed| RefusalReason::CheckpointAheadOfJournal {
        checkpoint: Epoch(checkpoint),
        committed: Epoch(committed),
    };
    assert_eq!(refusal(decision(&journal(1..=9), Some(10))), ahead(10, 9));
    assert_eq!(refusal(decision(&[], Some(3))), ahead(3, 0));
}

#[test]
fn another_plan_is_refused_wherever_it_shows() {
    let (old, new) = (journal(1..=9), "plan-b");
    let refused = refusal(decide(&Facts {
        plan_hash: new,
        journal: &old,
        checkpoint: None,
    }));
    assert!(
        matches!(
            refused,
            RefusalReason::PlanChanged {
                epoch: Epoch(9),
                ..
            }
        ),
        "{refused:?}"
    );
    assert!(refused.to_string().contains("'plan-a'") && refused.to_string().contains("'plan-b'"));

    let mut mixed = journal(1..=9);
    mixed[8].plan_hash = new.to_owned();
    let refused = refusal(decide(&Facts {
        plan_hash: new,
        journal: &mixed,
        checkpoint: None,
    }));
    assert!(
        matches!(
            refused,
            RefusalReason::PlanChanged {
                epoch: Epoch(1),
                ..
            }
        ),
        "{refused:?}"
    );

    let checkpoint = Some(CheckpointFact {
        epoch: Epoch(9),
        plan_hash: PLAN,
    });
    let refused = refusal(decide(&Facts {
        plan_hash: new,
        journal: &mixed,
        checkpoint,
    }));
    assert!(
        matches!(
            refused,
            RefusalReason::CheckpointOfOtherPlan {
                epoch: Epoch(9),
                ..
            }
        ),
        "{refused:?}"
    );
}

#[test]
fn records_out_of_order_are_refused() {
    let refused = refusal(decision(&journal([1, 2, 2]), None));
    assert_eq!(
        refused,
        RefusalReason::JournalOutOfOrder {
            first: Epoch(2),
            second: Epoch(2)
        }
    );
}
