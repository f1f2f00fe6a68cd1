//! How a job that starts goes on from what an earlier run left: a pure function from facts to a decision.
//!
//! The journal says what was committed, the checkpoints what state is at hand. What lies between the two is replayed with output suppressed.

use tidemill_types::Epoch;

use crate::journal::Record;

/// All that the decision depends on.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Identity of the plan that starts now.
    pub plan_hash: &'a str,
    /// The committed journal records that could be read, oldest first.
    pub journal: &'a [Record],
    /// The newest checkpoint that was found whole at or before the last committed epoch, and its plan.
    pub checkpoint: Option<CheckpointFact<'a>>,
}

/// A checkpoint as the decision sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckpointFact<'a> {
    /// Its epoch.
    pub epoch: Epoch,
    /// The plan that wrote it.
    pub plan_hash: &'a str,
}

/// How to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Nothing was ever committed: begin at epoch 1 with empty state.
    FreshStart,
    /// The checkpoint is as of the last committed epoch: restore it and go live at the next.
    RestoreAndGoLive {
        /// The checkpoint.
        checkpoint: Epoch,
    },
    /// Restore the checkpoint, replay the epochs `from..=to` with output suppressed, go live at `to + 1`.
    RestoreAndReplay {
        /// The checkpoint.
        checkpoint: Epoch,
        /// First epoch to replay.
        from: Epoch,
        /// Last epoch to replay: the last committed one.
        to: Epoch,
    },
    /// No checkpoint, but the whole journal: replay the epochs `1..=to` from empty state with output suppressed, go live at `to + 1`.
    ReplayFromBeginning {
        /// The last committed epoch.
        to: Epoch,
    },
    /// Going on could give wrong results.
    Refuse {
        /// Why, and what to do.
        reason: RefusalReason,
    },
}

/// Why a job does not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefusalReason {
    /// The journal's epochs are of another plan.
    #[error(
        "epoch {epoch} was committed by plan '{found}', and this is plan '{wanted}': the SQL or its settings changed; restore the old SQL, or \
         give the job a new name"
    )]
    PlanChanged {
        /// The last committed epoch.
        epoch: Epoch,
        /// Its plan.
        found: String,
        /// The plan that starts.
        wanted: String,
    },
    /// The checkpoint is of another plan.
    #[error(
        "the checkpoint of epoch {epoch} was written by plan '{found}', and this is plan '{wanted}': the SQL or its settings changed; restore \
         the old SQL, or give the job a new name"
    )]
    CheckpointOfOtherPlan {
        /// The checkpoint's epoch.
        epoch: Epoch,
        /// Its plan.
        found: String,
        /// The plan that starts.
        wanted: String,
    },
    /// The checkpoint is newer than what was committed.
    #[error(
        "the checkpoint of epoch {checkpoint} is newer than the last committed epoch {committed}: the state directory and the journal are not \
         of the same run; point the job at the journal it was run with, or start with an empty state directory"
    )]
    CheckpointAheadOfJournal {
        /// The checkpoint's epoch.
        checkpoint: Epoch,
        /// The last committed epoch; 0 for none.
        committed: Epoch,
    },
    /// A record that replay needs is missing.
    #[error(
        "epochs {from} to {to} have to be replayed, and the journal has no record of epoch {missing}; restore the state directory that the job \
         was run with, or give the job a new name and an empty state directory to begin again"
    )]
    JournalGap {
        /// First epoch to replay.
        from: Epoch,
        /// Last epoch to replay.
        to: Epoch,
        /// The first epoch without a record.
        missing: Epoch,
    },
    /// The records are not in the order of their epochs.
    #[error(
        "the journal has epoch {second} after epoch {first}; it was written by two owners at once or is damaged: keep it and report this"
    )]
    JournalOutOfOrder {
        /// An epoch.
        first: Epoch,
        /// The one that follows it.
        second: Epoch,
    },
}

/// Decides how to go on.
#[must_use]
pub fn decide(facts: &Facts<'_>) -> Decision {
    match go_on(facts) {
        Ok(decision) => decision,
        Err(reason) => Decision::Refuse { reason },
    }
}

fn go_on(facts: &Facts<'_>) -> Result<Decision, RefusalReason> {
    check_order(facts.journal)?;
    check_checkpoint(facts)?;
    let Some(last) = facts.journal.last() else {
        return Ok(Decision::FreshStart);
    };
    if last.plan_hash != facts.plan_hash {
        let (found, wanted) = (last.plan_hash.clone(), facts.plan_hash.to_owned());
        return Err(RefusalReason::PlanChanged {
            epoch: last.epoch,
            found,
            wanted,
        });
    }
    let to = last.epoch;
    let Some(checkpoint) = facts.checkpoint else {
        check_records(facts, Epoch(1), to)?;
        return Ok(Decision::ReplayFromBeginning { to });
    };
    if checkpoint.epoch == to {
        return Ok(Decision::RestoreAndGoLive { checkpoint: to });
    }
    let from = checkpoint.epoch.next();
    check_records(facts, from, to)?;
    Ok(Decision::RestoreAndReplay {
        checkpoint: checkpoint.epoch,
        from,
        to,
    })
}

fn check_order(journal: &[Record]) -> Result<(), RefusalReason> {
    match journal
        .windows(2)
        .find(|pair| pair[0].epoch >= pair[1].epoch)
    {
        Some(pair) => Err(RefusalReason::JournalOutOfOrder {
            first: pair[0].epoch,
            second: pair[1].epoch,
        }),
        None => Ok(()),
    }
}

fn check_checkpoint(facts: &Facts<'_>) -> Result<(), RefusalReason> {
    let Some(CheckpointFact { epoch, plan_hash }) = facts.checkpoint else {
        return Ok(());
    };
    let committed = facts.journal.last().map_or(Epoch(0), |last| last.epoch);
    if epoch > committed {
        return Err(RefusalReason::CheckpointAheadOfJournal {
            checkpoint: epoch,
            committed,
        });
    }
    if plan_hash != facts.plan_hash {
        let (found, wanted) = (plan_hash.to_owned(), facts.plan_hash.to_owned());
        return Err(RefusalReason::CheckpointOfOtherPlan {
            epoch,
            found,
            wanted,
        });
    }
    Ok(())
}

/// Every epoch of `from..=to` has a record, of this plan.
fn check_records(facts: &Facts<'_>, from: Epoch, to: Epoch) -> Result<(), RefusalReason> {
    let mut wanted = from;
    for record in facts
        .journal
        .iter()
        .skip_while(|record| record.epoch < from)
    {
        if record.epoch != wanted {
            break;
        }
        if record.plan_hash != facts.plan_hash {
            let found = record.plan_hash.clone();
            return Err(RefusalReason::PlanChanged {
                epoch: record.epoch,
                found,
                wanted: facts.plan_hash.to_owned(),
            });
        }
        wanted = wanted.next();
    }
    if wanted > to {
        Ok(())
    } else {
        Err(RefusalReason::JournalGap {
            from,
            to,
            missing: wanted,
        })
    }
}
