//! The coordinator: closes epochs, admits them while not too much is in flight, sees them committed, and asks for checkpoints.
//!
//! It only decides. It hears of the world by [`Coordinator::handle`] and [`Coordinator::take`], it acts through its [`Crew`], it is told the
//! time, and it never waits: [`Coordinator::advance`] says what to wait for. So a process drives it with threads around it, and a simulation
//! with whatever it likes.

mod admission;
mod checkpointing;
mod intake;
mod replaying;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tidemill_checkpoints::{Incarnations, Manifest, Positions, Record};
use tidemill_connectors_api::{SourceBatch, SourceOffset};
use tidemill_jobs::plan::JobPlan;
use tidemill_operators::Tick;
use tidemill_operators::decode::{RawBatch, Standing};
use tidemill_types::format::Clocks;
use tidemill_types::{Epoch, RawRecords};

use crate::confirming::Confirmations;
use crate::crew::{Crew, WorkerInput};
use crate::data_time::{self, DataTime};
use crate::event::Event;
use crate::limits::Limits;
use crate::outgoing::Outgoing;
use crate::recovery::Start;
use crate::{Clock, Error, Phase, Settings, Status};
use admission::{Admission, Pending};
use checkpointing::Checkpointing;
use intake::{Input, Intake};
use replaying::Replaying;

/// How long the coordinator waits at most before it looks around again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Which sources' input the coordinator takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// None: only events.
    Events,
    /// All of them.
    AllSources,
    /// One source, which replay misses.
    Source(usize),
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Wait for an event, for the input that is wanted, or for time to pass, whichever comes first.
    Wait {
        /// The input.
        wanted: Wanted,
        /// How long at most.
        at_most: Duration,
    },
    /// The run is over.
    Done,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The checkpoint's epoch is to be admitted.
    Restoring,
    /// Journalled epochs are done again.
    Replaying,
    /// Epochs are closed.
    Live,
    /// What is in flight is committed.
    Draining,
    /// The last checkpoint is being made.
    LastCheckpoint,
    /// Nothing is left to do.
    Done,
}

/// What a run is about.
pub struct Run {
    /// The plan.
    pub plan: Arc<JobPlan>,
    /// Its identity.
    pub plan_hash: String,
    /// Settings.
    pub settings: Settings,
    /// Counts.
    pub status: Arc<Status>,
    /// The clocks.
    pub clock: Arc<dyn Clock>,
    /// Partitions of each source.
    pub partitions: Vec<Vec<u32>>,
    /// For a bounded run, where each source ended.
    pub ends: Vec<Vec<(u32, i64)>>,
    /// How large records may be.
    pub limits: Arc<Limits>,
    /// Where the outboxes are.
    pub outgoing: Arc<Outgoing>,
    /// What the sources may forget.
    pub confirmations: Arc<Confirmations>,
    /// Which history the epochs are counted in.
    pub history: String,
}

/// The state of a run.
pub struct Coordinator {
    run: Run,
    stage: Stage,
    intake: Intake,
    admission: Admission,
    checkpointing: Checkpointing,
    replaying: Replaying,
    restored: Option<Manifest>,
    data_time: DataTime,
    /// When the run went live.
    live_at: Duration,
    /// After the newest admitted epoch.
    positions: Positions,
    /// Partitions that no record tells of yet, and where they were opened.
    new_partitions: Positions,
    /// Which logs the sources read.
    incarnations: Incarnations,
    /// The run that committed the newest admitted epoch, or will.
    newest_owner: String,
    /// Per worker, its state on disk and in caches, in bytes.
    sizes: Vec<(u64, u64)>,
}

impl Coordinator {
    /// A coordinator of a run that starts as was decided.
    pub fn new(run: Run, start: Start) -> Self {
        let keyed = run.plan.sinks.iter().map(|sink| !sink.key.is_empty());
        let restored = start.checkpoint.as_ref();
        let restored = restored.map_or((0, 0), |manifest| (manifest.epoch.0, manifest.clock_ms));
        run.status
            .checkpoint_epoch
            .store(restored.0, Ordering::Relaxed);
        run.status.epoch.store(start.committed.0, Ordering::Relaxed);
        let now = run.clock.now();
        let incarnations = start.incarnations();
        let checkpoint = start.checkpoint.as_ref();
        let data_time =
            data_time::of_plan(&run.plan, &run.partitions, checkpoint, run.clock.wall_ms());
        let names = run.plan.sources.iter().map(|source| source.name.clone());
        Self {
            stage: Stage::Restoring,
            intake: Intake::new(names.collect(), start.positions.clone()),
            admission: Admission::new(&run.settings, keyed.collect(), restored, start.committed.0),
            checkpointing: Checkpointing::new(&run.settings, restored.0, now),
            replaying: Replaying::new(start.replay),
            restored: start.checkpoint,
            data_time,
            live_at: now,
            new_partitions: start.started,
            incarnations,
            newest_owner: run.settings.owner.clone(),
            positions: start.positions,
            sizes: vec![(0, 0); run.settings.workers],
            run,
        }
    }

    /// Takes what a thread reports.
    ///
    /// # Errors
    /// What it could not go on with.
    pub fn handle(&mut self, event: Event, crew: &mut dyn Crew) -> Result<(), Error> {
        match event {
            Event::Output {
                epoch,
                sink,
                partition,
                records,
            } => self.admission.output(epoch, sink, partition, records),
            Event::DeadLetters { epoch, rows } => self.admission.dead_letters(epoch, rows),
            Event::Decoded {
                epoch,
                time_ms,
                rows,
            } => self.admission.decoded(epoch, time_ms, rows),
            Event::Progress { worker, before } => self.progress(worker, before, crew),
            Event::Frozen { worker, epoch } => {
                self.checkpointing.frozen(worker, epoch);
                self.write_checkpoint_if_ready(crew);
            }
            Event::Size {
                worker,
                disk_bytes,
                cache_bytes,
            } => self.sized(worker, disk_bytes, cache_bytes),
            Event::Committed { epoch } => {
                if let Some(positions) = self.admission.committed_through(epoch) {
                    self.update_lag(&positions);
                }
                self.write_checkpoint_if_ready(crew);
            }
            Event::Checkpointed {
                epoch,
                seconds,
                oldest,
            } => {
                self.run
                    .status
                    .checkpoint_epoch
                    .store(epoch, Ordering::Relaxed);
                self.run.status.checkpoint_seconds.observe(seconds, 1);
                self.checkpointing.written(epoch);
                crew.trim(oldest.epoch.0);
                self.run.confirmations.put(&oldest.positions);
            }
            Event::CheckpointFailed { epoch, error } => {
                tracing::error!(epoch, %error, "a checkpoint could not be written; the one before stays, the next is tried at its time");
                self.checkpointing.failed();
            }
            Event::Failed(error) => return Err(error),
        }
        Ok(())
    }

    /// True while another batch of this source is wanted. Replay takes what it misses, whatever else waits: the journal says how far it has
    /// to read.
    #[must_use]
    pub fn takes(&self, wanted: Wanted) -> bool {
        match wanted {
            Wanted::Events => false,
            Wanted::AllSources => !self.admission.is_full(self.intake.bytes()),
            Wanted::Source(_) => true,
        }
    }

    /// Takes what a source sent.
    pub fn take(&mut self, source: usize, batches: Vec<SourceBatch>) {
        let status = &self.run.status.sources[source];
        let live_for_ms = self.live_for_ms();
        for batch in batches {
            if let Some(end) = batch.end_offset
                && self.stage == Stage::Replaying
            {
                self.replaying.heard(source, batch.partition(), end);
            }
            let position = self.intake.position(source, batch.partition());
            if !self
                .data_time
                .gathered(source, &batch, position, live_for_ms)
            {
                continue;
            }
            status.records.add(batch.records.len() as u64);
            status.bytes.add(batch.records.bytes() as u64);
            self.intake.push(source, batch);
        }
    }

    fn live_for_ms(&self) -> i64 {
        let live_for = self.run.clock.now().saturating_sub(self.live_at);
        i64::try_from(live_for.as_millis()).unwrap_or(i64::MAX)
    }

    /// Goes on as far as possible; `stop` asks for an orderly end.
    ///
    /// # Errors
    /// If replay does not find what the journal tells of.
    pub fn advance(&mut self, stop: bool, crew: &mut dyn Crew) -> Result<Next, Error> {
        let now = self.run.clock.now();
        loop {
            let next = match self.stage {
                Stage::Restoring => self.restore(crew),
                Stage::Replaying => self.replay(now, stop, crew)?,
                Stage::Live => self.live(now, stop, crew),
                Stage::Draining => self.drain(now, stop, crew),
                Stage::LastCheckpoint if self.checkpointing.is_under_way() => Some(for_events()),
                Stage::LastCheckpoint => self.enter(Stage::Done),
                Stage::Done => Some(Next::Done),
            };
            if let Some(next) = next {
                return Ok(next);
            }
        }
    }

    fn enter(&mut self, stage: Stage) -> Option<Next> {
        self.stage = stage;
        None
    }

    fn restore(&mut self, crew: &mut dyn Crew) -> Option<Next> {
        if let Some(manifest) = self.restored.take() {
            let tick = data_time::tick(manifest.clock_ms, &manifest.time, true);
            let nothing = vec![WorkerInput::new(); self.run.settings.workers];
            self.admit(manifest.epoch.0, tick, nothing, Vec::new(), crew);
        }
        self.enter(Stage::Replaying)
    }

    /// Closes an epoch if one is due and there is room for it.
    fn live(&mut self, now: Duration, stop: bool, crew: &mut dyn Crew) -> Option<Next> {
        if stop || self.is_done() {
            self.run.status.set_phase(Phase::Stopping);
            return self.enter(Stage::Draining);
        }
        let pending = Pending {
            records: self.intake.records(),
            bytes: self.intake.bytes(),
            is_changed: *self.intake.read() != self.positions || self.data_time.is_due(),
            is_owed: self.is_read() && self.data_time.is_unsettled(),
        };
        if self.admission.is_due(now, pending) {
            if !self.admission.has_room() || self.run.outgoing.is_full() {
                self.run.status.backpressure_waits.add(1);
                return Some(for_events());
            }
            self.close_epoch(now, crew);
        }
        let (newest, _) = self.admission.newest();
        if self
            .checkpointing
            .is_due(now, newest, self.admission.suppress_through())
        {
            self.begin_checkpoint(now, crew);
        }
        let due_in = self.admission.due_in(now, self.intake.records());
        Some(Next::Wait {
            wanted: if self.admission.is_full(self.intake.bytes()) {
                Wanted::Events
            } else {
                Wanted::AllSources
            },
            at_most: due_in.unwrap_or(LOOK_AGAIN),
        })
    }

    /// Waits for what is in flight, and what a bounded run owes its targets, then takes a last checkpoint.
    fn drain(&mut self, now: Duration, stop: bool, crew: &mut dyn Crew) -> Option<Next> {
        let is_owed = !stop && self.run.settings.until_caught_up && !self.run.outgoing.is_empty();
        if self.admission.in_flight() > 0 || self.checkpointing.is_under_way() || is_owed {
            return Some(for_events());
        }
        if self.admission.newest().0 > self.checkpointing.newest() {
            self.begin_checkpoint(now, crew);
        }
        self.enter(Stage::LastCheckpoint)
    }

    fn close_epoch(&mut self, now: Duration, crew: &mut dyn Crew) {
        let at_ends = self.is_read();
        let (epoch, clock_ms) = self.admission.close(now, self.run.clock.wall_ms());
        let mut input = self.intake.take_all();
        self.positions = self.intake.read().clone();
        self.newest_owner.clone_from(&self.run.settings.owner);
        let (owner, hash) = (self.newest_owner.clone(), self.run.plan_hash.clone());
        let live_for_ms = self.live_for_ms();
        let time = self
            .data_time
            .close(clock_ms, live_for_ms, at_ends, &mut input);
        let record = Record {
            time: time.times.clone(),
            positions: self.positions.clone(),
            started: std::mem::take(&mut self.new_partitions),
            incarnations: self.incarnations.clone(),
            record_bytes_max: self.run.limits.now().to_vec(),
            history: self.run.history.clone(),
            ..Record::new(Epoch(epoch), owner, hash, clock_ms)
        };
        let tick = data_time::tick(clock_ms, &time.times, false);
        let input = by_worker(input, time.standings(), self.run.settings.workers, &tick);
        self.admit(epoch, tick, input, record.encode(), crew);
    }

    /// Sends an epoch to the workers.
    fn admit(
        &mut self,
        epoch: u64,
        tick: Tick,
        input: Vec<WorkerInput>,
        journal: Vec<u8>,
        crew: &mut dyn Crew,
    ) {
        let offsets = self.source_offsets();
        let closed = (epoch, tick.clock_ms);
        self.admission
            .admitted(closed, self.positions.clone(), journal, offsets);
        crew.admit(epoch, tick, input);
    }

    fn progress(&mut self, worker: usize, before: u64, crew: &mut dyn Crew) {
        for complete in self.admission.progress(worker, before) {
            crew.commit(complete);
        }
        if self.stage != Stage::Replaying && self.admission.has_caught_up() {
            self.recovered();
        }
    }

    fn begin_checkpoint(&mut self, now: Duration, crew: &mut dyn Crew) {
        let (epoch, clock_ms) = self.admission.newest();
        let manifest = Manifest {
            version: tidemill_checkpoints::manifest::VERSION,
            job: self.run.plan.name.clone(),
            epoch: Epoch(epoch),
            owner: self.newest_owner.clone(),
            plan_hash: self.run.plan_hash.clone(),
            plan_text: self.run.plan.to_string(),
            workers: self.run.settings.workers,
            clock_ms,
            time: self.data_time.times().clone(),
            created_ms: self.run.clock.wall_ms(),
            positions: self.recorded_positions(),
            incarnations: self.incarnations.clone(),
            files: Vec::new(),
            state_bytes: 0,
        };
        self.checkpointing.begin(now, manifest);
        crew.freeze(epoch, self.data_time.times().oldest_ms);
    }

    /// Where the sources stand after the newest admitted epoch, as its record tells it: of a partition that was just added, no record does yet.
    fn recorded_positions(&self) -> Positions {
        let mut positions = self.positions.clone();
        for (source, new) in &self.new_partitions {
            if let Some(of_source) = positions.get_mut(source) {
                of_source.retain(|partition, _| !new.contains_key(partition));
            }
        }
        positions
    }

    fn write_checkpoint_if_ready(&mut self, crew: &mut dyn Crew) {
        if let Some(manifest) = self.checkpointing.take_ready(self.admission.committed()) {
            crew.write(manifest, self.run.settings.checkpoints_kept);
        }
    }

    fn sized(&mut self, worker: usize, disk_bytes: u64, cache_bytes: u64) {
        self.sizes[worker] = (disk_bytes, cache_bytes);
        let sum = |of: fn(&(u64, u64)) -> u64| self.sizes.iter().map(of).sum();
        let status = &self.run.status;
        status
            .state_bytes
            .store(sum(|size| size.0), Ordering::Relaxed);
        status
            .cache_bytes
            .store(sum(|size| size.1), Ordering::Relaxed);
    }

    fn source_offsets(&self) -> Vec<SourceOffset> {
        let sources = self.run.plan.sources.iter().zip(&self.run.status.sources);
        let offsets = sources.flat_map(|(source, status)| {
            let positions = self.positions.get(&source.name).into_iter().flatten();
            let places = status.places();
            positions.map(move |(&number, &next_offset)| SourceOffset {
                place: places.of(number),
                next_offset,
            })
        });
        offsets.collect()
    }

    /// Tells the status where the sources stand.
    fn update_lag(&self, positions: &Positions) {
        for (source, status) in self.run.plan.sources.iter().zip(&self.run.status.sources) {
            let of_source = positions.get(&source.name).into_iter().flatten();
            status.committed(of_source.map(|(&partition, &next)| (partition, next)));
        }
        let caught_up = self.run.status.is_caught_up();
        match (self.run.status.phase(), caught_up) {
            (Phase::Running, true) => self.run.status.set_phase(Phase::CaughtUp),
            (Phase::CaughtUp, false) => self.run.status.set_phase(Phase::Running),
            _ => {}
        }
    }

    /// Recovery is over: everything that had been committed before is done again.
    fn recovered(&self) {
        if self.run.status.phase() == Phase::Recovering {
            let ms = i64::try_from(self.run.clock.now().as_millis()).unwrap_or(i64::MAX);
            self.run.status.recovery_ms.store(ms, Ordering::Relaxed);
            self.run.status.set_phase(Phase::Running);
        }
    }

    /// True if the run is bounded and everything that was there at its start is committed.
    fn is_done(&self) -> bool {
        let is_settled = self.admission.newest().0 == 0 || !self.data_time.is_unsettled();
        self.is_read() && is_settled && self.admission.in_flight() == 0
    }

    /// True if the run is bounded and everything that was there at its start is in epochs.
    fn is_read(&self) -> bool {
        self.run.settings.until_caught_up
            && self.intake.records() == 0
            && self.intake.has_read(&self.run.ends)
    }
}

const fn for_events() -> Next {
    Next::Wait {
        wanted: Wanted::Events,
        at_most: LOOK_AGAIN,
    }
}

/// An epoch's input by the worker that decodes it: a partition is one worker's.
fn by_worker(
    input: Input,
    standings: impl Iterator<Item = (usize, u32, Standing)>,
    workers: usize,
    tick: &Tick,
) -> Vec<WorkerInput> {
    let mut by_worker: Vec<WorkerInput> = (0..workers).map(|_| Vec::new()).collect();
    let mut give = |source: usize, raw: RawBatch| {
        by_worker[(source + raw.records.partition as usize) % workers].push((source, raw));
    };
    for (source, partition, standing) in standings {
        let raw = RawBatch {
            records: RawRecords::of(partition),
            standing,
            ..RawBatch::default()
        };
        give(source, raw);
    }
    for (source, batches) in input {
        let records = batches.into_iter().map(|batch| batch.records);
        for records in records.filter(|records| !records.is_empty()) {
            let raw = RawBatch {
                records,
                clocks: Clocks {
                    wall_ms: tick.clock_ms,
                    steady_ms: tick.steady_ms,
                },
                standing: Standing::Read,
            };
            give(source, raw);
        }
    }
    by_worker
}
