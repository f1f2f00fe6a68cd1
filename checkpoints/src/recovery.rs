//! How a job that starts goes on from what an earlier run left: a pure function from facts to a decision.
//!
//! The journal says what was committed, the checkpoints what state is at hand. What lies between the two is replayed with output suppressed.
//! All positions are worth something only in the log that they were taken in: one that was deleted and made again, or that lost a partition,
//! is refused.

use std::collections::BTreeMap;

use tidemill_types::Epoch;

use crate::journal::{Positions, Record};

/// All that the decision depends on.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Identity of the plan that starts now.
    pub plan_hash: &'a str,
    /// The committed journal records that could be read, oldest first.
    pub journal: &'a [Record],
    /// The newest checkpoint that was found whole at or before the last committed epoch, and its plan.
    pub checkpoint: Option<CheckpointFact<'a>>,
    /// The sources as they are now.
    pub sources: &'a [SourceFact],
}

/// A source as the decision sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFact {
    /// Name of the `CREATE SOURCE`.
    pub name: String,
    /// Which log of its name there is now; empty where the connector cannot tell.
    pub incarnation: String,
    /// Whether that goes on from the one that the last record was read from.
    pub goes_on: bool,
    /// Its partitions now.
    pub partitions: Vec<u32>,
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
    /// A source's log was deleted and made again.
    #[error(
        "the topic of source '{source_name}' was deleted and made again since epoch {epoch} (it was '{found}' and is '{now}'): the offsets that \
         the job stands at mean other records now; give the job a new name, an empty state directory and new sinks to begin with the new \
         topic, or point the source at a topic that still has the old records and begin anew with that"
    )]
    TopicMadeAgain {
        /// The source.
        source_name: String,
        /// The last committed epoch.
        epoch: Epoch,
        /// What it was read from.
        found: String,
        /// What there is now.
        now: String,
    },
    /// A source has fewer partitions than were read.
    #[error(
        "source '{source_name}' had partition {missing} in epoch {epoch} and has it no more: its records cannot be read again; bring the partition \
         back, or give the job a new name and an empty state directory to begin again with those that there are"
    )]
    PartitionGone {
        /// The source.
        source_name: String,
        /// The last committed epoch.
        epoch: Epoch,
        /// The first partition that is not there.
        missing: u32,
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
    check_sources(facts, last)?;
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

/// Every source still has the log and the partitions that the last record tells of.
fn check_sources(facts: &Facts<'_>, last: &Record) -> Result<(), RefusalReason> {
    for source in facts.sources {
        let epoch = last.epoch;
        if !source.goes_on {
            let found = last.incarnations.get(&source.name);
            return Err(RefusalReason::TopicMadeAgain {
                source_name: source.name.clone(),
                epoch,
                found: found.cloned().unwrap_or_default(),
                now: source.incarnation.clone(),
            });
        }
        let read = last.positions.get(&source.name).into_iter().flatten();
        if let Some((&missing, _)) = read
            .into_iter()
            .find(|(partition, _)| !source.partitions.contains(partition))
        {
            return Err(RefusalReason::PartitionGone {
                source_name: source.name.clone(),
                epoch,
                missing,
            });
        }
    }
    Ok(())
}

/// Where to open every partition that the sources have now, by source: `None` is the oldest retained record.
///
/// A partition goes on where the checkpoint has it (`restored`), or else where the first of the `replayed` records that has it says that it
/// started. One that no record has was added since: it is read from its very beginning, so that what it lost to retention meanwhile is
/// refused. Only where nothing was ever committed, the oldest retained record will do.
#[must_use]
pub fn opening_positions(
    restored: &Positions,
    replayed: &[Record],
    sources: &[SourceFact],
) -> BTreeMap<String, Vec<(u32, Option<i64>)>> {
    let is_first = restored.is_empty() && replayed.is_empty();
    let of_partition = |name: &String, partition: u32| {
        let at = |positions: &Positions| positions.get(name)?.get(&partition).copied();
        let started = || replayed.iter().find_map(|record| at(&record.started));
        at(restored).or_else(started).or((!is_first).then_some(0))
    };
    let of_source = |source: &SourceFact| {
        let partitions = source.partitions.iter();
        let positions = partitions.map(|&number| (number, of_partition(&source.name, number)));
        (source.name.clone(), positions.collect())
    };
    sources.iter().map(of_source).collect()
}

/// The partitions among `opened` that neither the checkpoint nor a replayed record has: the next record tells where they started.
#[must_use]
pub fn newly_started(restored: &Positions, replayed: &[Record], opened: &Positions) -> Positions {
    let known = |name: &String, partition: &u32| {
        let has = |positions: &Positions| {
            positions
                .get(name)
                .is_some_and(|of| of.contains_key(partition))
        };
        has(restored) || replayed.last().is_some_and(|last| has(&last.positions))
    };
    let mut started = Positions::new();
    for (name, partitions) in opened {
        for (&partition, &offset) in partitions {
            if !known(name, &partition) {
                started
                    .entry(name.clone())
                    .or_default()
                    .insert(partition, offset);
            }
        }
    }
    started
}
