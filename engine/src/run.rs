//! One run of a job, from taking the state directory to the last commit.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, unbounded};
use tidemill_checkpoints::{CheckpointStore, StateDir};
use tidemill_connectors_api::{Committer, Connector, SinkSpec, Source, SourceBatch};
use tidemill_jobs::plan::{JobPlan, SinkMode};

use crate::committing::CompleteEpoch;
use crate::coordinator::{Channels, Coordinator, Run};
use crate::event::{Command, Event};
use crate::recovery::{RestoreFrom, Start, plan_start, state_settings};
use crate::worker::Shared;
use crate::{Error, Phase, Settings, Status, committing, reader, worker};

/// Runs a job until it is caught up (if so set), `stop` is raised, or it fails. A run that ends without an error has committed all that it
/// read and has checkpointed it.
///
/// # Errors
/// See [`Error::kind`]: `Fenced` if a newer process of the job took over, `Invalid` for settings, `Corrupt` and so on.
pub fn run(
    plan: JobPlan,
    connectors: &[Arc<dyn Connector>],
    settings: &Settings,
    status: &Arc<Status>,
    stop: &Arc<AtomicBool>,
) -> Result<(), Error> {
    let started = Instant::now();
    let plan_hash = plan.hash();
    let state_dir = StateDir::lock(&settings.state_dir, &plan.name, &plan_hash)?;
    let store = state_dir.checkpoints();
    let opened = open(&plan, connectors, settings, &store, &plan_hash)?;
    state_dir.claim()?;
    status
        .replayed_epochs
        .store(opened.start.replay.len() as u64, Ordering::Relaxed);

    let (events_in, events) = unbounded();
    let snapshots = opened.start.checkpoint.as_ref();
    let shared = Arc::new(Shared {
        partitions: opened.partitions,
        restore: RestoreFrom {
            snapshots: snapshots
                .map(|manifest| store.worker_dirs(manifest))
                .unwrap_or_default(),
            live_dir: state_dir.root().join("live"),
            settings: state_settings(settings),
        },
        restored_epoch: snapshots.map_or(0, |manifest| manifest.epoch.0),
        suppress_through: opened.start.committed.0,
        status: Arc::clone(status),
        events: events_in.clone(),
        plan,
    });
    let (commands, workers) = spawn_workers(&shared, settings.workers)?;
    let edges = Edges::spawn(opened.sources, opened.committer, status, &events_in)?;
    let guards = workers.guards().iter();
    let channels = Channels {
        commands,
        workers: guards.map(|guard| guard.thread().clone()).collect(),
        batches: edges.batches,
        events,
        events_in,
        complete: Some(edges.complete),
    };
    let run = Run {
        plan: &shared.plan,
        plan_hash,
        settings,
        status,
        store,
        started,
    };
    let mut coordinator = Coordinator::new(run, opened.start, opened.ends, channels);
    let result = coordinator.run(stop);
    status.set_phase(Phase::Stopping);
    coordinator.close();
    edges.stop.store(true, Ordering::Relaxed);
    drop(coordinator);
    for thread in edges.threads {
        // A thread that panicked has reported it.
        let _ = thread.join();
    }
    // A worker that panicked has reported it; dropping the guards would panic here as well.
    drop(workers.join());
    drop(state_dir);
    result
}

/// What was learnt and opened before any thread started.
struct Opened {
    sources: Vec<Box<dyn Source>>,
    committer: Box<dyn Committer>,
    partitions: Vec<Vec<u32>>,
    start: Start,
    /// For a bounded run, where each source ended.
    ends: Vec<Vec<(u32, i64)>>,
}

/// Becomes the job's owner, decides how to start, and opens the sources there.
fn open(
    plan: &JobPlan,
    connectors: &[Arc<dyn Connector>],
    settings: &Settings,
    store: &CheckpointStore,
    plan_hash: &str,
) -> Result<Opened, Error> {
    let mut sources = sources(plan, connectors)?;
    let mut committer = committer(plan, connectors)?;
    let mut partitions = Vec::new();
    for source in &mut sources {
        partitions.push(source.partitions()?);
    }
    committer.fence()?;
    let start = plan_start(committer.as_mut(), store, plan_hash)?;
    for (source, (plan, partitions)) in sources.iter_mut().zip(plan.sources.iter().zip(&partitions))
    {
        let known = start.positions.get(&plan.name);
        let position = |partition| known.and_then(|known| known.get(&partition)).copied();
        let positions: Vec<_> = partitions
            .iter()
            .map(|&partition| (partition, position(partition)))
            .collect();
        source.open(&positions)?;
    }
    let ends = if settings.until_caught_up {
        end_offsets(&mut sources)?
    } else {
        Vec::new()
    };
    Ok(Opened {
        sources,
        committer,
        partitions,
        start,
        ends,
    })
}

/// The threads at the edges: one per source, and the one that commits.
struct Edges {
    batches: Vec<Receiver<Vec<SourceBatch>>>,
    complete: Sender<CompleteEpoch>,
    threads: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

impl Edges {
    fn spawn(
        sources: Vec<Box<dyn Source>>,
        committer: Box<dyn Committer>,
        status: &Arc<Status>,
        events: &Sender<Event>,
    ) -> Result<Self, Error> {
        let stop = Arc::new(AtomicBool::new(false));
        let (mut batches, mut threads) = (Vec::new(), Vec::new());
        for (index, source) in sources.into_iter().enumerate() {
            let (status, stop) = (Arc::clone(status), Arc::clone(&stop));
            let (receiver, thread) = reader::spawn(index, source, status, stop, events.clone())?;
            batches.push(receiver);
            threads.push(thread);
        }
        let (complete, epochs) = unbounded();
        let committing = committing::spawn(committer, epochs, Arc::clone(status), events.clone());
        threads.push(committing?);
        Ok(Self {
            batches,
            complete,
            threads,
            stop,
        })
    }
}

/// The workers' threads, as timely keeps them.
type Workers = timely::communication::WorkerGuards<()>;

fn spawn_workers(
    shared: &Arc<Shared>,
    count: usize,
) -> Result<(Vec<crossbeam_channel::Sender<Command>>, Workers), Error> {
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..count).map(|_| unbounded::<Command>()).unzip();
    let receivers: Mutex<Vec<Option<Receiver<Command>>>> =
        Mutex::new(receivers.into_iter().map(Some).collect());
    let shared = Arc::clone(shared);
    let guards = timely::execute(timely::Config::process(count), move |worker| {
        let receiver = receivers
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)[worker.index()]
        .take();
        worker::run(worker, &shared, &receiver.expect("each worker starts once"));
    });
    Ok((senders, guards.map_err(Error::Spawn)?))
}

fn find<'a>(
    connectors: &'a [Arc<dyn Connector>],
    object: &str,
    options: &BTreeMap<String, String>,
) -> Result<&'a Arc<dyn Connector>, Error> {
    let name = options.get("connector").map_or("", String::as_str);
    connectors
        .iter()
        .find(|connector| connector.name() == name)
        .ok_or_else(|| Error::UnknownConnector {
            object: object.to_owned(),
            name: name.to_owned(),
            known: connectors
                .iter()
                .map(|connector| format!("'{}'", connector.name()))
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
            Ok(find(connectors, &source.name, &source.options)?.source(
                &plan.name,
                &source.name,
                &source.options,
            )?)
        })
        .collect()
}

fn committer(
    plan: &JobPlan,
    connectors: &[Arc<dyn Connector>],
) -> Result<Box<dyn Committer>, Error> {
    let Some(first) = plan.sinks.first() else {
        return Err(Error::Plan {
            node: plan.name.clone(),
            reason: "the job has no sink; add a CREATE SINK".to_owned(),
        });
    };
    let connector = find(connectors, &first.name, &first.options)?;
    let mut specs = Vec::new();
    for sink in &plan.sinks {
        if find(connectors, &sink.name, &sink.options)?.name() != connector.name() {
            return Err(Error::MixedSinks {
                first: first.name.clone(),
                second: sink.name.clone(),
            });
        }
        specs.push(SinkSpec {
            name: sink.name.clone(),
            options: sink.options.clone(),
            upsert: sink.mode == SinkMode::Upsert,
        });
    }
    Ok(connector.committer(&plan.name, &specs)?)
}

fn end_offsets(sources: &mut [Box<dyn Source>]) -> Result<Vec<Vec<(u32, i64)>>, Error> {
    Ok(sources
        .iter_mut()
        .map(|source| source.end_offsets())
        .collect::<Result<_, _>>()?)
}
