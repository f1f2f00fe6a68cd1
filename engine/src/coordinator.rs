//! The coordinator: closes epochs, admits them while not too much is in flight, sees them committed, and asks for checkpoints.
//!
//! It is one loop over one queue of events. It decides; threads do.

mod checkpoints;
mod epochs;
mod replaying;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Select, Sender};
use tidemill_checkpoints::{CheckpointStore, Manifest, Positions, Record};
use tidemill_connectors_api::{SourceBatch, SourceOffset};
use tidemill_jobs::plan::JobPlan;
use tidemill_operators::Tick;
use tidemill_operators::decode::RawBatch;
use tidemill_state::Frozen;
use tidemill_types::Epoch;

use crate::assemble::InFlight;
use crate::checkpointer::{self, FrozenCheckpoint};
use crate::committing::CompleteEpoch;
use crate::data_time::{self, DataTime};
use crate::event::{Command, Event};
use crate::recovery::Start;
use crate::replay::Waiting;
use crate::{Error, Phase, Settings, Status, clock};

/// How long replay waits for a record that the journal says exists.
const REPLAY_PATIENCE: Duration = Duration::from_secs(60);
/// How long the coordinator waits at most before it looks at `stop` again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// How the coordinator speaks with the threads.
pub struct Channels {
    /// To each worker.
    pub commands: Vec<Sender<Command>>,
    /// The workers' threads, to wake them.
    pub workers: Vec<Thread>,
    /// From each source.
    pub batches: Vec<Receiver<Vec<SourceBatch>>>,
    /// From all threads.
    pub events: Receiver<Event>,
    /// For threads that are started later.
    pub events_in: Sender<Event>,
    /// To the commit thread; closed at the end.
    pub complete: Option<Sender<CompleteEpoch>>,
}

/// What the coordinator waits for, beside the passing of time.
#[derive(Debug, Clone, Copy)]
enum Wanted {
    /// What threads report.
    Events,
    /// That, and input.
    AllSources,
    /// That, and input of one source, which replay misses.
    Source(usize),
}

/// A checkpoint that is being made.
struct Checkpoint {
    manifest: Manifest,
    started: Instant,
    frozen: BTreeMap<usize, Frozen>,
}

/// What a run is about.
pub struct Run<'a> {
    /// The plan.
    pub plan: &'a JobPlan,
    /// Its identity.
    pub plan_hash: String,
    /// Settings.
    pub settings: &'a Settings,
    /// Counts.
    pub status: &'a Arc<Status>,
    /// Where checkpoints lie.
    pub store: CheckpointStore,
    /// When the run started.
    pub started: Instant,
    /// Partitions of each source.
    pub partitions: &'a [Vec<u32>],
}

/// The state of the loop.
pub struct Coordinator<'a> {
    plan: &'a JobPlan,
    plan_hash: String,
    settings: &'a Settings,
    status: &'a Arc<Status>,
    store: CheckpointStore,
    channels: Channels,
    started: Instant,
    /// Input that no epoch has taken, by source.
    waiting: Vec<Waiting>,
    waiting_bytes: usize,
    waiting_records: usize,
    /// After the newest closed epoch.
    positions: Positions,
    /// After what was read.
    read_positions: Positions,
    in_flight: InFlight,
    /// Epochs with the committer, and where the sources stand after them.
    committing: VecDeque<(u64, Positions)>,
    admitted_positions: VecDeque<(u64, Positions)>,
    newest: u64,
    clock_ms: i64,
    data_time: DataTime,
    live_at: Instant,
    closed_at: Instant,
    /// Outputs up to this epoch were committed before this run.
    suppress_through: u64,
    /// The newest committed epoch.
    committed_epoch: u64,
    replay: VecDeque<Record>,
    restored: Option<Manifest>,
    checkpoint: Option<Checkpoint>,
    checkpoint_epoch: u64,
    checkpoint_at: Instant,
    ends: Vec<Vec<(u32, i64)>>,
    /// Per worker, its state on disk and in caches, in bytes.
    sizes: Vec<(u64, u64)>,
}

impl<'a> Coordinator<'a> {
    /// A coordinator for a started run; `ends` is where a bounded run is done.
    pub fn new(run: Run<'a>, start: Start, ends: Vec<Vec<(u32, i64)>>, channels: Channels) -> Self {
        let Run {
            plan,
            plan_hash,
            settings,
            status,
            store,
            started,
            partitions,
        } = run;
        let is_keyed = plan.sinks.iter().map(|sink| !sink.key.is_empty()).collect();
        let checkpoint_epoch = start
            .checkpoint
            .as_ref()
            .map_or(0, |manifest| manifest.epoch.0);
        status
            .checkpoint_epoch
            .store(checkpoint_epoch, Ordering::Relaxed);
        status.epoch.store(start.committed.0, Ordering::Relaxed);
        Self {
            plan,
            plan_hash,
            settings,
            status,
            store,
            channels,
            started,
            waiting: plan.sources.iter().map(|_| Waiting::default()).collect(),
            waiting_bytes: 0,
            waiting_records: 0,
            positions: start.positions.clone(),
            read_positions: start.positions,
            in_flight: InFlight::new(settings.workers, is_keyed),
            committing: VecDeque::new(),
            admitted_positions: VecDeque::new(),
            newest: checkpoint_epoch,
            clock_ms: start
                .checkpoint
                .as_ref()
                .map_or(0, |manifest| manifest.clock_ms),
            data_time: data_time::of_plan(
                plan,
                partitions,
                start.checkpoint.as_ref(),
                clock::now_ms(),
            ),
            live_at: Instant::now(),
            closed_at: Instant::now(),
            suppress_through: start.committed.0,
            committed_epoch: start.committed.0,
            replay: start.replay,
            restored: start.checkpoint,
            checkpoint: None,
            checkpoint_epoch,
            checkpoint_at: Instant::now(),
            ends,
            sizes: vec![(0, 0); settings.workers],
        }
    }

    /// The whole run.
    ///
    /// # Errors
    /// Whatever a thread could not go on with.
    pub fn run(&mut self, stop: &AtomicBool) -> Result<(), Error> {
        if let Some(manifest) = self.restored.take() {
            let tick = data_time::tick(manifest.clock_ms, &manifest.time, true);
            self.admit(manifest.epoch.0, tick, BTreeMap::new(), Vec::new());
        }
        while let Some(record) = self.replay.pop_front() {
            if !self.replay(&record, stop)? {
                return Ok(());
            }
        }
        self.went_live();
        while !stop.load(Ordering::Relaxed) && !self.is_done() {
            let full = self.waiting_bytes >= self.settings.epoch_bytes_max;
            self.wait(if full {
                Wanted::Events
            } else {
                Wanted::AllSources
            })?;
            if self.is_epoch_due() {
                if self.epochs_in_flight() < self.settings.epochs_in_flight_max {
                    self.close_epoch();
                } else {
                    self.status.backpressure_waits.add(1);
                    self.wait(Wanted::Events)?;
                }
            }
            self.checkpoint_if_due();
        }
        self.status.set_phase(Phase::Stopping);
        self.finish()
    }

    /// Ends the workers and the commit thread.
    pub fn close(&mut self) {
        for (commands, worker) in self.channels.commands.iter().zip(&self.channels.workers) {
            // A worker that failed has gone already.
            let _ = commands.send(Command::Stop);
            worker.unpark();
        }
        self.channels.complete = None;
    }

    fn epochs_in_flight(&self) -> usize {
        self.in_flight.len() + self.committing.len()
    }

    fn handle(&mut self, event: Event) -> Result<(), Error> {
        match event {
            Event::Output {
                epoch,
                sink,
                partition,
                records,
            } => self.in_flight.output(epoch, sink, partition, records),
            Event::Decoded {
                epoch,
                time_ms,
                rows,
            } => self.in_flight.decoded(epoch, time_ms, rows),
            Event::Progress { worker, before } => self.progress(worker, before),
            Event::Frozen {
                worker,
                epoch,
                frozen,
            } => self.frozen(worker, epoch, frozen)?,
            Event::Size {
                worker,
                disk_bytes,
                cache_bytes,
            } => self.sized(worker, disk_bytes, cache_bytes),
            Event::Committed { epoch } => self.committed(epoch)?,
            Event::Checkpointed { epoch, seconds } => {
                self.checkpoint_epoch = epoch;
                self.status.checkpoint_epoch.store(epoch, Ordering::Relaxed);
                self.status.checkpoint_seconds.observe(seconds, 1);
                self.checkpoint = None;
            }
            Event::CheckpointFailed { epoch, error } => {
                tracing::error!(epoch, %error, "a checkpoint could not be written; the one before stays, the next is tried at its time");
                self.checkpoint = None;
            }
            Event::Failed(error) => return Err(error),
        }
        Ok(())
    }

    fn progress(&mut self, worker: usize, before: u64) {
        for complete in self.in_flight.progress(worker, before) {
            let positions = self
                .admitted_positions
                .pop_front()
                .map_or_else(Positions::new, |(_, positions)| positions);
            if complete.epoch <= self.suppress_through {
                self.update_lag(&positions);
                continue;
            }
            self.committing.push_back((complete.epoch, positions));
            if let Some(sender) = &self.channels.complete {
                // A commit thread that has gone has reported why.
                let _ = sender.send(complete);
            }
        }
        if self.replay.is_empty()
            && before > self.suppress_through
            && self.in_flight.finished() > self.suppress_through
        {
            self.recovered();
        }
    }

    fn committed(&mut self, epoch: u64) -> Result<(), Error> {
        self.committed_epoch = epoch;
        while self
            .committing
            .front()
            .is_some_and(|&(committing, _)| committing <= epoch)
        {
            if let Some((_, positions)) = self.committing.pop_front() {
                self.update_lag(&positions);
            }
        }
        self.write_checkpoint_if_ready()
    }

    /// Tells the status where the sources stand.
    fn update_lag(&self, positions: &Positions) {
        for (source, status) in self.plan.sources.iter().zip(&self.status.sources) {
            let mut known = status
                .positions
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            for (&partition, &next) in positions.get(&source.name).into_iter().flatten() {
                match known.iter_mut().find(|known| known.0 == partition) {
                    Some(known) => (known.1, known.2) = (next, known.2.max(next)),
                    None => known.push((partition, next, next)),
                }
            }
        }
        let caught_up = self
            .status
            .sources
            .iter()
            .all(|source| crate::status::lag(source) == 0);
        match (self.status.phase(), caught_up) {
            (Phase::Running, true) => self.status.set_phase(Phase::CaughtUp),
            (Phase::CaughtUp, false) => self.status.set_phase(Phase::Running),
            _ => {}
        }
    }

    /// True if the run is bounded and everything that was there at its start is committed.
    fn is_done(&self) -> bool {
        let is_settled = self.newest == 0 || !self.data_time.is_unsettled();
        self.is_read() && is_settled && self.epochs_in_flight() == 0
    }

    /// True if the run is bounded and everything that was there at its start is in epochs.
    fn is_read(&self) -> bool {
        if !self.settings.until_caught_up || self.waiting_records > 0 {
            return false;
        }
        self.plan
            .sources
            .iter()
            .zip(&self.ends)
            .all(|(source, ends)| {
                let read = self.read_positions.get(&source.name);
                ends.iter().all(|&(partition, end)| {
                    read.and_then(|read| read.get(&partition))
                        .copied()
                        .unwrap_or(0)
                        >= end
                })
            })
    }

    /// Commits what is in flight, and takes a last checkpoint.
    fn finish(&mut self) -> Result<(), Error> {
        while self.epochs_in_flight() > 0 || self.checkpoint.is_some() {
            self.wait(Wanted::Events)?;
        }
        if self.newest > self.checkpoint_epoch {
            self.begin_checkpoint();
            while self.checkpoint.is_some() {
                self.wait(Wanted::Events)?;
            }
        }
        Ok(())
    }
}
