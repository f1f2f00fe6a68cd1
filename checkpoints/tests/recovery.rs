//! The decision how to go on, as a table: what was found, and what follows.

use tidemill_checkpoints::recovery::{
    CheckpointFact, Decision, Facts, RefusalReason, SourceFact, decide, newly_started,
    opening_positions,
};
use tidemill_checkpoints::{Positions, Record};
use tidemill_types::Epoch;

const PLAN: &str = "plan-a";

fn journal(epochs: impl IntoIterator<Item = u64>) -> Vec<Record> {
    epochs
        .into_iter()
        .map(|epoch| Record::new(Epoch(epoch), "run-a".to_owned(), PLAN.to_owned(), 0))
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
        sources: &[],
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
        sources: &[],
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
        sources: &[],
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
        sources: &[],
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

fn positions(of: &[(u32, i64)]) -> Positions {
    [("payments".to_owned(), of.iter().copied().collect())].into()
}

fn read(epoch: u64, at: &[(u32, i64)], started: &[(u32, i64)]) -> Record {
    let mut record = Record {
        positions: positions(at),
        incarnations: [("payments".to_owned(), "first".to_owned())].into(),
        ..journal([epoch]).remove(0)
    };
    if !started.is_empty() {
        record.started = positions(started);
    }
    record
}

fn source(incarnation: &str, partitions: &[u32]) -> [SourceFact; 1] {
    [SourceFact {
        name: "payments".to_owned(),
        incarnation: incarnation.to_owned(),
        goes_on: incarnation == "first",
        partitions: partitions.to_vec(),
    }]
}

#[test]
fn a_topic_that_was_made_again_or_lost_a_partition_is_refused_and_one_with_more_goes_on() {
    let journal = [read(1, &[(0, 5), (1, 7)], &[(0, 0), (1, 0)])];
    let with = |sources: &[SourceFact]| {
        decide(&Facts {
            plan_hash: PLAN,
            journal: &journal,
            checkpoint: None,
            sources,
        })
    };
    let goes_on = Decision::ReplayFromBeginning { to: Epoch(1) };
    assert_eq!(with(&source("first", &[0, 1])), goes_on);
    assert_eq!(with(&source("first", &[0, 1, 2])), goes_on);
    let text = refusal(with(&source("second", &[0, 1]))).to_string();
    for part in [
        "'payments'",
        "made again",
        "'first'",
        "'second'",
        "a new name",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(
        refusal(with(&source("first", &[0]))),
        RefusalReason::PartitionGone {
            source_name: "payments".to_owned(),
            epoch: Epoch(1),
            missing: 1
        }
    );
}

#[test]
fn without_a_checkpoint_partitions_are_opened_where_the_journal_says_that_they_started() {
    let replayed = [
        read(1, &[(0, 5)], &[(0, 3)]),
        read(2, &[(0, 9), (1, 4)], &[(1, 0)]),
        read(3, &[(0, 9), (1, 8)], &[]),
    ];
    let facts = source("first", &[0, 1, 2]);
    let opened = opening_positions(&Positions::new(), &replayed, &facts);
    assert_eq!(
        opened["payments"],
        [(0, Some(3)), (1, Some(0)), (2, Some(0))],
        "a partition that no record has is read from its very beginning"
    );
    let first = opening_positions(&Positions::new(), &[], &facts);
    assert_eq!(first["payments"], [(0, None), (1, None), (2, None)]);
}

#[test]
fn with_a_checkpoint_partitions_are_opened_where_it_has_them_or_where_they_started_after_it() {
    let replayed = [read(6, &[(0, 9), (1, 2)], &[(1, 0)])];
    let restored = positions(&[(0, 5)]);
    let opened = opening_positions(&restored, &replayed, &source("first", &[0, 1, 2]));
    assert_eq!(
        opened["payments"],
        [(0, Some(5)), (1, Some(0)), (2, Some(0))]
    );
    let at = positions(&[(0, 5), (1, 0), (2, 0)]);
    assert_eq!(
        newly_started(&restored, &replayed, &at),
        positions(&[(2, 0)])
    );
    assert_eq!(
        newly_started(&restored, &[], &at),
        positions(&[(1, 0), (2, 0)])
    );
    assert_eq!(newly_started(&Positions::new(), &[], &at), at);
    assert!(newly_started(&at, &replayed, &at).is_empty());
}
