//! One run of a job, from taking the state directory to the last commit.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidemill_checkpoints::{CheckpointStore, Claim, StateDir};
use tidemill_connectors_api::{
    Committer, Connector, Delivery, DeliverySpec, Options, SinkSpec, Source, SourceSpec,
};
use tidemill_jobs::plan::{Contents, JobPlan, SinkPlan};
use tidemill_types::ErrorKind;
use tidemill_types::format::Schemas;

use crate::backfill::Backfill;
use crate::clock::SystemClock;
use crate::committing::Commits;
use crate::confirming::Confirmations;
use crate::contracts::{CONTRACTS, Gate, Known, Named};
use crate::coordinator::{Coordinator, Run};
use crate::delivering::{Deliveries, OfRun};
use crate::frozen::FrozenStates;
use crate::limits::Limits;
use crate::outgoing::Outgoing;
use crate::plugins::Plugins;
use crate::reader::{Reader, Replayed};
use crate::recovery::{Basis, RestoreFrom, Start, plan_start, state_settings};
use crate::threads::End;
use crate::worker::Shared;
use crate::{Clock, Error, Phase, Settings, Status, threads};

/// How long a start is tried again if the outside world does not answer, and how long to wait in between.
const START_PATIENCE: Duration = Duration::from_secs(8);
const START_WAIT: Duration = Duration::from_millis(500);
/// Folder of the state directory with the journal of a job whose sinks have none.
const JOURNAL: &str = "journal";
/// How often a claim of unknown outcome is made again.
const CLAIM_TRIES: usize = 3;

/// Runs a job until it is caught up (if so set), `stop` is raised, or it fails. A run that ends without an error has committed all that it
/// read and has checkpointed it.
///
/// Where a source gets more partitions, the job ends and begins again by itself, and reads them from their oldest record: the way of every
/// other start, so that nothing has to be known of how they could enter a dataflow that runs.
///
/// # Errors
/// See [`Error::kind`]: `Fenced` if a newer process of the job took over, `Invalid` for settings, `Corrupt` and so on.
pub fn run(
    plan: JobPlan,
    plugins: Plugins<'_>,
    settings: &Settings,
    status: &Arc<Status>,
    stop: &Arc<AtomicBool>,
) -> Result<(), Error> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let plan = Arc::new(plan);
    let mut settings = settings.clone();
    let owner = settings.owner.clone();
    for beginning in 1.. {
        let since = clock.now();
        let opened = loop {
            let plan = Arc::clone(&plan);
            let waited = clock.now().saturating_sub(since);
            match Opened::new(plan, plugins, &settings, status, &clock) {
                // Just after a broker came back it knows its topics and does not lead them yet.
                Err(error) if error.kind() == ErrorKind::Retry && waited < START_PATIENCE => {
                    tracing::warn!(%error, "the job cannot start yet; trying again");
                    threads::pause(START_WAIT);
                }
                opened => break opened?,
            }
        };
        if threads::run(opened, &settings, stop)? == End::Done {
            break;
        }
        tracing::info!(
            "a source has more partitions or topics; the job begins again, to read them as well"
        );
        status.set_phase(Phase::Recovering);
        // Another owner as for the journal: each of them claims it once.
        settings.owner = format!("{owner}.{beginning}");
    }
    Ok(())
}

/// Everything that a run is made of, opened and not yet started.
pub struct Opened {
    /// What decides.
    pub coordinator: Coordinator,
    /// What reads the sources, in the plan's order.
    pub readers: Vec<Reader>,
    /// What commits.
    pub commits: Commits,
    /// What delivers, a value per sink that is delivered.
    pub deliveries: Vec<Deliveries>,
    /// What the workers need, but for where they report.
    pub shared: Shared,
    /// Where checkpoints lie.
    pub store: CheckpointStore,
    /// Held until the run is over.
    pub state_dir: StateDir,
}

impl Opened {
    /// Takes the state directory, decides how to start, becomes the job's owner, and opens the sources.
    ///
    /// # Errors
    /// As [`run`].
    pub fn new(
        plan: Arc<JobPlan>,
        plugins: Plugins<'_>,
        settings: &Settings,
        status: &Arc<Status>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, Error> {
        let plan_hash = plan.hash();
        let state_dir = StateDir::lock(&settings.state_dir, &plan.name, &plan_hash)?;
        let store = state_dir.checkpoints();
        let mut edges = Edges::open(&plan, plugins, settings, &store, &plan_hash)?;
        let schemas = edges.guard(&plan, plugins, settings, status, clock)?;
        state_dir.claim()?;
        let replayed = edges.start.replay.len() as u64;
        status.replayed_epochs.store(replayed, Ordering::Relaxed);
        let checkpoint = edges.start.checkpoint.as_ref();
        let sources = edges.start.sources.iter();
        let partitions: Vec<_> = sources.map(|source| source.partitions.clone()).collect();
        edges.show_places(status);
        let bytes_max = settings.outbox_bytes_max;
        let outgoing = Arc::new(Outgoing::restore(&plan, &state_dir, checkpoint, bytes_max)?);
        let (committer, replay) = (edges.committer.as_ref(), &edges.start.replay);
        let limits = Arc::new(Limits::new(committer, &outgoing, replay));
        let shared = Shared {
            limits: Arc::clone(&limits),
            plan: Arc::clone(&plan),
            formats: plugins.formats.clone(),
            schemas,
            partitions: partitions.clone(),
            restore: RestoreFrom::new(checkpoint, &state_dir, state_settings(settings, &plan)),
            operator_times: settings.operator_times,
            suppress_through: edges.start.committed.0,
            restored_epoch: checkpoint.map_or(0, |manifest| manifest.epoch.0),
            status: Arc::clone(status),
            clock: Arc::clone(clock),
            frozen: FrozenStates::new(settings.workers, Arc::clone(&outgoing)),
        };
        let (readers, confirmations) = edges.readers(&plan, settings, status, clock);
        let history = edges.start.history(&settings.owner);
        let dead_letters = Arc::new(Mutex::new(state_dir.dead_letters()));
        let of_run = OfRun {
            plan_hash: plan_hash.clone(),
            history: history.clone(),
            status: Arc::clone(status),
            dead_letters: Arc::clone(&dead_letters),
        };
        let deliveries = edges.deliveries(&outgoing, &of_run);
        let run = Run {
            plan,
            plan_hash,
            settings: settings.clone(),
            status: Arc::clone(status),
            clock: Arc::clone(clock),
            partitions: partitions.clone(),
            ends: edges.ends,
            limits,
            outgoing: Arc::clone(&outgoing),
            confirmations,
            history,
        };
        let commits = Commits::new(
            edges.committer,
            (settings.owner.clone(), edges.start.committed),
            Arc::clone(status),
            Arc::clone(clock),
            outgoing,
            dead_letters,
        );
        Ok(Self {
            coordinator: Coordinator::new(run, edges.start),
            readers,
            commits,
            deliveries,
            shared,
            store,
            state_dir,
        })
    }
}

/// The edges of a run, open, and what was learnt from them.
struct Edges {
    sources: Vec<Box<dyn Source>>,
    committer: Box<dyn Committer>,
    /// Of the sinks that are delivered, in order.
    deliveries: Vec<Box<dyn Delivery>>,
    start: Start,
    /// For a bounded run, where each source ended.
    ends: Vec<Vec<(u32, i64)>>,
}

impl Edges {
    /// Decides how to start and opens the sources there, which disturbs nobody and is where most refusals are told; becomes the job's owner;
    /// decides again if the journal is another one now, or was not readable to its end; and claims it.
    fn open(
        plan: &JobPlan,
        plugins: Plugins<'_>,
        settings: &Settings,
        store: &CheckpointStore,
        plan_hash: &str,
    ) -> Result<Self, Error> {
        let mut sources = sources(plan, plugins.connectors)?;
        let deliveries = deliveries(plan, plugins.connectors)?;
        let mut committer = committer(plan, plugins, &settings.state_dir)?;
        let names = plan.sources.iter().map(|source| source.name.as_str());
        let basis = Basis {
            store,
            plan_hash,
            sources: names.collect(),
        };
        let start = match plan_and_open(committer.as_mut(), &mut sources, &basis) {
            Err(Error::JournalBehind { checkpoint, .. }) => {
                tracing::info!(%checkpoint, "the journal does not show the epoch of a checkpoint yet; becoming its owner to be sure of its end");
                None
            }
            planned => Some(planned?),
        };
        let start = claim(
            committer.as_mut(),
            &mut sources,
            &basis,
            &settings.owner,
            start,
        )?;
        let ends = if settings.until_caught_up {
            end_offsets(&mut sources)?
        } else {
            Vec::new()
        };
        Ok(Self {
            sources,
            committer,
            deliveries,
            start,
            ends,
        })
    }

    /// What reads the sources, and where they hear what they may forget.
    fn readers(
        &mut self,
        plan: &JobPlan,
        settings: &Settings,
        status: &Arc<Status>,
        clock: &Arc<dyn Clock>,
    ) -> (Vec<Reader>, Arc<Confirmations>) {
        let confirmations = Arc::new(Confirmations::default());
        let sources = std::mem::take(&mut self.sources).into_iter();
        let sources = sources.zip(&plan.sources).enumerate();
        let readers = sources.map(|(index, (source, planned))| {
            let replayed = Replayed {
                ends: self.start.replay_ends(&planned.name),
                ahead_bytes_max: settings.replay_ahead_bytes_max,
            };
            let (status, clock) = (Arc::clone(status), Arc::clone(clock));
            let confirmed = confirmations.slot(&planned.name);
            Reader::new(index, source, replayed, confirmed, status, clock)
        });
        (readers.collect(), confirmations)
    }

    /// What delivers to the sinks that are delivered.
    fn deliveries(&mut self, outgoing: &Outgoing, of_run: &OfRun) -> Vec<Deliveries> {
        let deliveries = std::mem::take(&mut self.deliveries).into_iter();
        let deliveries = deliveries.zip(outgoing.outboxes());
        let deliveries = deliveries.map(|(delivery, (sink, outbox))| {
            Deliveries::new(of_run.clone(), sink, delivery, Arc::clone(outbox))
        });
        deliveries.collect()
    }

    /// Tells the status which partitions of which topics the sources' are.
    fn show_places(&self, status: &Status) {
        let sources = self.sources.iter().zip(&self.start.sources);
        for ((source, fact), status) in sources.zip(&status.sources) {
            let numbers = fact.partitions.iter();
            status.set_places(numbers.map(|&number| (number, source.place(number))));
        }
    }

    /// Puts before each source with a registry what looks up the schemas of its records; returns them as they come to be known, by source.
    fn guard(
        &mut self,
        plan: &JobPlan,
        plugins: Plugins<'_>,
        settings: &Settings,
        status: &Status,
        clock: &Arc<dyn Clock>,
    ) -> Result<Vec<Option<Arc<dyn Schemas>>>, Error> {
        let mut schemas: Vec<Option<Arc<dyn Schemas>>> = Vec::new();
        let sources = std::mem::take(&mut self.sources).into_iter();
        for ((source, planned), status) in sources.zip(&plan.sources).zip(&status.sources) {
            let Some(of) = planned.registries().next() else {
                self.sources.push(source);
                schemas.push(None);
                continue;
            };
            let kept = settings.state_dir.join(CONTRACTS);
            let registry = plugins.registries.open(&of.options, &kept)?;
            let (asker, known) = ((plugins.asker)(registry), Arc::new(Known::default()));
            let (clock, awaiting) = (Arc::clone(clock), Arc::clone(&status.awaiting_schema));
            let source = (source, Named::of(planned));
            let gate = Gate::new(source, asker, Arc::clone(&known), clock, awaiting);
            self.sources.push(Box::new(gate));
            schemas.push(Some(known));
        }
        Ok(schemas)
    }
}

fn plan_and_open(
    committer: &mut dyn Committer,
    sources: &mut [Box<dyn Source>],
    basis: &Basis<'_>,
) -> Result<Start, Error> {
    let mut start = plan_start(committer, sources, basis)?;
    start.open(sources)?;
    Ok(start)
}

/// Becomes the job's owner, decides if that was not possible before, or again if somebody wrote to the journal meanwhile, and claims it.
fn claim(
    committer: &mut dyn Committer,
    sources: &mut [Box<dyn Source>],
    basis: &Basis<'_>,
    owner: &str,
    before: Option<Start>,
) -> Result<Start, Error> {
    let mut planned = before;
    let mut tries = 0;
    loop {
        committer.fence()?;
        let start = match planned {
            Some(start) if start.holds(committer)? => start,
            _ => plan_and_open(committer, sources, basis)?,
        };
        let claim = Claim {
            history: start.history(owner),
            ..Claim::new(start.committed, owner.to_owned())
        };
        match committer.claim(start.committed, &claim.encode()) {
            Ok(()) => return Ok(start),
            Err(error) if error.kind() == ErrorKind::Retry && tries < CLAIM_TRIES => {
                tracing::warn!(%error, "it is not known whether the journal was claimed; beginning again");
                tries += 1;
            }
            Err(error) => return Err(error.into()),
        }
        planned = Some(start);
    }
}

fn find<'a>(
    connectors: &'a [Arc<dyn Connector>],
    object: &str,
    name: &str,
) -> Result<&'a Arc<dyn Connector>, Error> {
    connectors
        .iter()
        .find(|connector| connector.options().name == name)
        .ok_or_else(|| Error::UnknownConnector {
            object: object.to_owned(),
            name: name.to_owned(),
            known: connectors
                .iter()
                .map(|connector| format!("'{}'", connector.options().name))
                .collect::<Vec<_>>()
                .join(", "),
        })
}

fn sources(
    plan: &JobPlan,
    connectors: &[Arc<dyn Connector>],
) -> Result<Vec<Box<dyn Source>>, Error> {
    plan.sources
        .iter()
        .map(|source| {
            let open = |connector: &str, options: &Options| {
                let connector = find(connectors, &source.name, connector)?;
                Ok::<_, Error>(connector.source(&SourceSpec {
                    job: &plan.name,
                    name: &source.name,
                    options,
                    // A dead letter has them, whoever reads them besides.
                    headers: true,
                })?)
            };
            let live = open(&source.connector, &source.options)?;
            let Some(history) = &source.history else {
                return Ok(live);
            };
            let history = open(&history.connector, &history.options)?;
            Ok(Box::new(Backfill::new(history, live)))
        })
        .collect()
}

/// Commits the sinks that are in the journal's transaction, or the journal alone, in the state directory.
fn committer(
    plan: &JobPlan,
    plugins: Plugins<'_>,
    state_dir: &Path,
) -> Result<Box<dyn Committer>, Error> {
    if plan.sinks.is_empty() {
        return Err(Error::Plan {
            node: plan.name.clone(),
            reason: "the job has no sink; add a CREATE SINK".to_owned(),
        });
    }
    let committed = plan.sinks.iter().filter(|sink| !sink.is_delivered);
    let Some(first) = committed.clone().next() else {
        return Ok((plugins.journal)(&plan.name, &state_dir.join(JOURNAL)));
    };
    let is_other = |sink: &&SinkPlan| sink.connector != first.connector;
    if let Some(second) = committed.clone().find(is_other) {
        return Err(Error::MixedSinks {
            first: first.name.clone(),
            second: second.name.clone(),
        });
    }
    let connector = find(plugins.connectors, &first.name, &first.connector)?;
    let spec = |sink: &SinkPlan| SinkSpec {
        name: sink.name.clone(),
        options: sink.options.clone(),
        compacted: sink.contents == Contents::States,
    };
    let specs: Vec<_> = committed.map(spec).collect();
    Ok(connector.committer(&plan.name, &specs)?)
}

fn deliveries(
    plan: &JobPlan,
    connectors: &[Arc<dyn Connector>],
) -> Result<Vec<Box<dyn Delivery>>, Error> {
    let delivered = plan.sinks.iter().filter(|sink| sink.is_delivered);
    let delivery = |sink: &SinkPlan| {
        let connector = find(connectors, &sink.name, &sink.connector)?;
        let columns = sink.columns(&plan.nodes[sink.input].schema);
        Ok(connector.delivery(&DeliverySpec {
            job: &plan.name,
            name: &sink.name,
            options: &sink.options,
            schema: &columns.values,
            key: &sink.key,
            contents: sink.contents,
        })?)
    };
    delivered.map(delivery).collect()
}

fn end_offsets(sources: &mut [Box<dyn Source>]) -> Result<Vec<Vec<(u32, i64)>>, Error> {
    Ok(sources
        .iter_mut()
        .map(|source| source.end_offsets())
        .collect::<Result<_, _>>()?)
}
