//! Reads the facts that recovery decides on, and turns the decision into a start: what state begins with, and which epochs are replayed.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;

use tidemill_checkpoints::recovery::{CheckpointFact, decide, newly_started, opening_positions};
use tidemill_checkpoints::{
    CheckpointStore, Decision, Facts, Incarnations, Journal, Manifest, Positions, Record,
    SourceFact, StateDir,
};
use tidemill_connectors_api::{Committer, Source};
use tidemill_jobs::plan::JobPlan;
use tidemill_state::Store;
use tidemill_types::Epoch;
use tidemill_types::key_group::worker_of;

use crate::render::tables;
use crate::{Error, Settings};

/// Where the state of all workers comes from.
pub struct RestoreFrom {
    /// Each worker of the checkpoint's folder; empty for none.
    pub snapshots: Vec<PathBuf>,
    /// Where live state lies.
    pub live_dir: PathBuf,
    /// Of one worker's state.
    pub settings: tidemill_state::Settings,
}

impl RestoreFrom {
    /// From a checkpoint, or from nothing.
    pub fn new(
        checkpoint: Option<&Manifest>,
        state_dir: &StateDir,
        settings: tidemill_state::Settings,
    ) -> Self {
        let store = state_dir.checkpoints();
        let snapshots = checkpoint.map(|manifest| store.worker_dirs(manifest));
        Self {
            snapshots: snapshots.unwrap_or_default(),
            live_dir: state_dir.live_dir(),
            settings,
        }
    }

    /// Opens the state of one worker.
    pub fn open(&self, worker: usize, workers: usize) -> Result<Store, Error> {
        let dir = self.live_dir.join(format!("worker-{worker}"));
        if self.snapshots.is_empty() {
            return Ok(Store::open(&dir, &self.settings)?);
        }
        let same_layout = self.snapshots.len() == workers;
        let snapshots = if same_layout {
            vec![self.snapshots[worker].clone()]
        } else {
            self.snapshots.clone()
        };
        Ok(Store::restore(
            &dir,
            &snapshots,
            same_layout,
            &|group| worker_of(group, workers) == worker,
            &self.settings,
        )?)
    }
}

/// How a run starts.
pub struct Start {
    /// The checkpoint's manifest, if state is restored.
    pub checkpoint: Option<Manifest>,
    /// Epochs to replay, with suppressed output.
    pub replay: VecDeque<Record>,
    /// Outputs up to this epoch were committed.
    pub committed: Epoch,
    /// The sources as they were found.
    pub sources: Vec<SourceFact>,
    /// Where the sources stand as they are opened.
    pub positions: Positions,
    /// Those of them that the journal does not know yet.
    pub started: Positions,
    /// The journal's end that this was decided on: the last record, and the run that wrote the newest entry.
    end: (Option<Record>, Option<String>),
    /// The history that the journal tells of; empty if it is new.
    told_history: String,
}

impl Start {
    /// Which logs the sources read.
    pub fn incarnations(&self) -> Incarnations {
        let sources = self.sources.iter();
        sources
            .map(|source| (source.name.clone(), source.incarnation.clone()))
            .collect()
    }

    /// Which history its epochs are counted in: the one that the journal tells of, or a new one, named after the run that claims it first.
    pub fn history(&self, owner: &str) -> String {
        let is_new = self.told_history.is_empty();
        if is_new { owner } else { &self.told_history }.to_owned()
    }

    /// Where the newest epoch that is replayed ends in each partition of a source; nowhere if none is.
    pub fn replay_ends(&self, source: &str) -> BTreeMap<u32, i64> {
        let newest = self.replay.back();
        let ends = newest.and_then(|record| record.positions.get(source));
        ends.cloned().unwrap_or_default()
    }

    /// True if the journal still ends as it did, so that nothing was decided on what is no more: entries are only added to its end.
    pub fn holds(&self, committer: &mut dyn Committer) -> Result<bool, Error> {
        let journal = Journal::decode(&committer.read_journal(self.committed)?)?;
        Ok((journal.last(), &journal.owner) == (self.end.0.as_ref(), &self.end.1))
    }

    /// Opens the sources where this start goes on. A start that cannot read what it needs is refused here.
    pub fn open(&mut self, sources: &mut [Box<dyn Source>]) -> Result<(), Error> {
        let restored = self.checkpoint.as_ref().map(|manifest| &manifest.positions);
        let restored = restored.cloned().unwrap_or_default();
        let replayed = self.replay.make_contiguous();
        let opening = opening_positions(&restored, replayed, &self.sources);
        for (source, fact) in sources.iter_mut().zip(&self.sources) {
            let opened = source.open(&opening[&fact.name])?;
            self.positions
                .insert(fact.name.clone(), opened.into_iter().collect());
        }
        self.started = newly_started(&restored, replayed, &self.positions);
        Ok(())
    }
}

/// What a start is decided from, beside what the outside world says.
pub struct Basis<'a> {
    /// The checkpoints.
    pub store: &'a CheckpointStore,
    /// Identity of the plan that starts.
    pub plan_hash: &'a str,
    /// The sources' names, in order.
    pub sources: Vec<&'a str>,
}

/// Reads journal and checkpoints, looks at the sources, and decides. Disturbs nobody.
pub fn plan_start(
    committer: &mut dyn Committer,
    sources: &mut [Box<dyn Source>],
    basis: &Basis<'_>,
) -> Result<Start, Error> {
    let oldest = basis.store.oldest()?;
    let oldest = oldest.map_or(Epoch(0), |oldest| oldest.epoch);
    let mut journal = Journal::decode(&committer.read_journal(oldest)?)?;
    let mut checkpoint = usable_checkpoint(basis.store, &journal)?;
    if checkpoint.is_none() && oldest > Epoch(0) {
        // No checkpoint can be used, so all of the journal counts.
        journal = Journal::decode(&committer.read_journal(Epoch(0))?)?;
        checkpoint = usable_checkpoint(basis.store, &journal)?;
    }
    let facts = source_facts(sources, &basis.sources, journal.last())?;
    let fact = checkpoint.as_ref().map(|manifest| CheckpointFact {
        epoch: manifest.epoch,
        plan_hash: &manifest.plan_hash,
    });
    let decision = decide(&Facts {
        plan_hash: basis.plan_hash,
        journal: &journal.records,
        checkpoint: fact,
        sources: &facts,
    });
    let from = match decision {
        Decision::FreshStart | Decision::ReplayFromBeginning { .. } => Epoch(0),
        Decision::RestoreAndGoLive { checkpoint }
        | Decision::RestoreAndReplay { checkpoint, .. } => checkpoint,
        Decision::Refuse { reason } => {
            return Err(Error::Refused {
                reason: reason.to_string(),
            });
        }
    };
    let committed = journal.committed();
    let end = (journal.last().cloned(), journal.owner.clone());
    let (told_history, records) = (journal.history, journal.records.into_iter());
    Ok(Start {
        replay: records.filter(|record| record.epoch > from).collect(),
        checkpoint: checkpoint.filter(|_| from > Epoch(0)),
        committed,
        sources: facts,
        positions: Positions::new(),
        started: Positions::new(),
        end,
        told_history,
    })
}

/// The newest checkpoint that is of the history that the journal tells.
fn usable_checkpoint(
    store: &CheckpointStore,
    journal: &Journal,
) -> Result<Option<Manifest>, Error> {
    let (checkpoint, rejected) = store.newest_committed(&journal.records)?;
    let committed = journal.committed();
    for rejected in rejected {
        if rejected.epoch > committed {
            return Err(Error::JournalBehind {
                checkpoint: rejected.epoch,
                committed,
            });
        }
        if rejected.uncommitted {
            let reason = format!(
                "the state directory has a checkpoint of epoch {} that the journal does not tell of ({}): the journal was lost, or is another one; \
                 restore it, or start anew with an empty state directory",
                rejected.epoch, rejected.reason
            );
            return Err(Error::Refused { reason });
        }
        tracing::warn!(epoch = %rejected.epoch, reason = rejected.reason, "a checkpoint is passed over; using an older one");
    }
    Ok(checkpoint)
}

/// The sources as they are, beside what the last record says of them.
fn source_facts(
    sources: &mut [Box<dyn Source>],
    names: &[&str],
    last: Option<&Record>,
) -> Result<Vec<SourceFact>, Error> {
    let mut facts = Vec::with_capacity(sources.len());
    for (source, &name) in sources.iter_mut().zip(names) {
        let before = last.and_then(|last| last.incarnations.get(name));
        let described = source.describe(before.map_or("", String::as_str))?;
        facts.push(SourceFact {
            name: name.to_owned(),
            goes_on: described.goes_on,
            incarnation: described.incarnation,
            partitions: described.partitions,
        });
    }
    Ok(facts)
}

/// One worker's state: its memory out of the job's, and the tables of the plan.
pub fn state_settings(settings: &Settings, plan: &JobPlan) -> tidemill_state::Settings {
    let bytes = settings.state_memory_bytes / settings.workers.max(1);
    tidemill_state::Settings {
        cache_bytes_max: bytes / 2,
        block_cache_bytes: bytes / 4,
        memtable_bytes: bytes / 4,
        tables: tables::all(plan),
    }
}
