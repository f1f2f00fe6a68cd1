//! The coordinator: closes epochs, admits them while not too much is in flight, sees them committed, and asks for checkpoints.
//!
//! It is one loop over one queue of events. It decides; threads do.

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
    sizes: (u64, u64),
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
    closed_at: Instant,
    input_at: Instant,
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
}

impl<'a> Coordinator<'a> {
    /// A coordinator for a started run.
    #[expect(clippy::too_many_arguments, reason = "the parts of a run, put together once")]
    pub fn new(
        plan: &'a JobPlan,
        plan_hash: String,
        settings: &'a Settings,
        status: &'a Arc<Status>,
        store: CheckpointStore,
        start: Start,
        ends: Vec<Vec<(u32, i64)>>,
        channels: Channels,
        started: Instant,
    ) -> Self {
        let keyed = plan.sinks.iter().map(|sink| !sink.key.is_empty()).collect();
        let checkpoint_epoch = start.checkpoint.as_ref().map_or(0, |manifest| manifest.epoch.0);
        status.checkpoint_epoch.store(checkpoint_epoch, Ordering::Relaxed);
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
            in_flight: InFlight::new(settings.workers, keyed),
            committing: VecDeque::new(),
            admitted_positions: VecDeque::new(),
            newest: checkpoint_epoch,
            clock_ms: start.checkpoint.as_ref().map_or(0, |manifest| manifest.clock_ms),
            closed_at: Instant::now(),
            input_at: Instant::now(),
            suppress_through: start.committed.0,
            committed_epoch: start.committed.0,
            replay: start.replay,
            restored: start.checkpoint,
            checkpoint: None,
            checkpoint_epoch,
            checkpoint_at: Instant::now(),
            ends,
        }
    }

    /// The whole run.
    ///
    /// # Errors
    /// Whatever a thread could not go on with.
    pub fn run(&mut self, stop: &AtomicBool) -> Result<(), Error> {
        if let Some(manifest) = self.restored.take() {
            let tick = Tick { clock_ms: manifest.clock_ms, restored: true, watermark: None };
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
            self.wait(if full { Wanted::Events } else { Wanted::AllSources })?;
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

    /// Replays one epoch; false if the run is to stop.
    fn replay(&mut self, record: &Record, stop: &AtomicBool) -> Result<bool, Error> {
        let mut waited = Instant::now();
        loop {
            let missing = self.missing(record);
            let Some((source, partition, offset)) = missing else { break };
            if stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            let before = self.read_positions.clone();
            self.wait(Wanted::Source(source))?;
            if self.read_positions != before {
                waited = Instant::now();
            } else if waited.elapsed() > REPLAY_PATIENCE {
                let source_name = self.plan.sources[source].name.clone();
                return Err(Error::ReplayShort { epoch: record.epoch, source_name, partition, offset });
            }
        }
        while self.epochs_in_flight() >= self.settings.epochs_in_flight_max {
            self.wait(Wanted::Events)?;
        }
        let mut input = BTreeMap::new();
        for (source, plan) in self.plan.sources.iter().enumerate() {
            for (&partition, &end) in record.positions.get(&plan.name).into_iter().flatten() {
                let batches = self.waiting[source].take_until(partition, end);
                self.waiting_bytes -= batches.iter().map(|batch| batch.arena.len()).sum::<usize>();
                self.waiting_records -= batches.iter().map(SourceBatch::len).sum::<usize>();
                input.entry(source).or_insert_with(Vec::new).extend(batches);
            }
        }
        self.positions = record.positions.clone();
        self.clock_ms = record.clock_ms;
        self.admit(record.epoch.0, Tick { clock_ms: record.clock_ms, restored: false, watermark: None }, input, Vec::new());
        Ok(true)
    }

    /// A partition that has not sent all of an epoch yet.
    fn missing(&self, record: &Record) -> Option<(usize, u32, i64)> {
        let ends = self.plan.sources.iter().enumerate().flat_map(|(source, plan)| {
            record.positions.get(&plan.name).into_iter().flatten().map(move |(&partition, &end)| (source, &plan.name, partition, end))
        });
        let mut missing = ends.filter(|&(source, name, partition, end)| {
            let before = self.positions.get(name).and_then(|positions| positions.get(&partition)).copied();
            before != Some(end) && !self.waiting[source].reaches(partition, end)
        });
        missing.next().map(|(source, _, partition, end)| (source, partition, end))
    }

    fn went_live(&mut self) {
        if self.in_flight.len() == 0 {
            self.recovered();
        }
        self.closed_at = Instant::now();
        self.input_at = Instant::now();
    }

    fn recovered(&self) {
        if self.status.phase() == Phase::Recovering {
            self.status.recovery_ms.store(i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX), Ordering::Relaxed);
            self.status.set_phase(Phase::Running);
        }
    }

    fn epochs_in_flight(&self) -> usize {
        self.in_flight.len() + self.committing.len()
    }

    /// Waits for what is wanted, or until the epoch is due; then takes what is there.
    fn wait(&mut self, wanted: Wanted) -> Result<(), Error> {
        let sources = match wanted {
            Wanted::Events => 0..0,
            Wanted::AllSources => 0..self.channels.batches.len(),
            Wanted::Source(source) => source..source + 1,
        };
        let mut select = Select::new();
        select.recv(&self.channels.events);
        self.channels.batches[sources.clone()].iter().for_each(|batches| {
            select.recv(batches);
        });
        let interval = Duration::from_millis(self.settings.epoch_interval_ms);
        let due = interval.saturating_sub(self.closed_at.elapsed());
        let timeout = if self.waiting_records > 0 && !due.is_zero() { due } else { LOOK_AGAIN };
        // Which one is ready does not matter: everything that is there is taken.
        if select.ready_timeout(timeout).is_err() {
            return Ok(());
        }
        while let Ok(event) = self.channels.events.try_recv() {
            self.handle(event)?;
        }
        // Replay takes what it misses, whatever else waits: the journal says how far it has to read.
        let bytes_max = if matches!(wanted, Wanted::Source(_)) { usize::MAX } else { self.settings.epoch_bytes_max };
        self.gather(sources, bytes_max);
        Ok(())
    }

    fn gather(&mut self, sources: std::ops::Range<usize>, bytes_max: usize) {
        for source in sources {
            while self.waiting_bytes < bytes_max
                && let Ok(batches) = self.channels.batches[source].try_recv()
            {
                let (status, plan) = (&self.status.sources[source], &self.plan.sources[source]);
                for batch in batches {
                    status.records.add(batch.len() as u64);
                    status.bytes.add(batch.arena.len() as u64);
                    self.waiting_records += batch.len();
                    self.waiting_bytes += batch.arena.len();
                    self.read_positions.entry(plan.name.clone()).or_default().insert(batch.partition, batch.next_offset);
                    self.waiting[source].push(batch);
                }
            }
        }
    }

    fn is_epoch_due(&self) -> bool {
        let since_closed = self.closed_at.elapsed();
        if self.waiting_records > 0 {
            return since_closed >= Duration::from_millis(self.settings.epoch_interval_ms) || self.waiting_bytes >= self.settings.epoch_bytes_max;
        }
        // Time alone changes something only until the last partition counts as idle.
        let idle_ms = self.plan.sources.iter().filter_map(|source| source.watermark.as_ref()).map(|watermark| watermark.idle_timeout_ms).max();
        let idle = idle_ms.map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0) + 2 * self.settings.idle_epoch_ms));
        idle.is_some_and(|idle| self.newest > 0 && self.input_at.elapsed() < idle && since_closed >= Duration::from_millis(self.settings.idle_epoch_ms))
    }

    fn close_epoch(&mut self) {
        if self.waiting_records > 0 {
            self.input_at = Instant::now();
        }
        self.clock_ms = self.clock_ms.max(clock::now_ms());
        let input: BTreeMap<usize, Vec<SourceBatch>> = self.waiting.iter_mut().map(Waiting::take_all).enumerate().collect();
        (self.waiting_bytes, self.waiting_records) = (0, 0);
        self.positions = self.read_positions.clone();
        let epoch = self.newest + 1;
        let record = Record::new(Epoch(epoch), self.plan_hash.clone(), self.clock_ms, self.positions.clone());
        self.admit(epoch, Tick { clock_ms: self.clock_ms, restored: false, watermark: None }, input, record.encode());
        self.closed_at = Instant::now();
    }

    /// Sends an epoch to the workers.
    fn admit(&mut self, epoch: u64, tick: Tick, input: BTreeMap<usize, Vec<SourceBatch>>, journal: Vec<u8>) {
        let workers = self.settings.workers;
        let mut per_worker: Vec<Vec<(usize, RawBatch)>> = (0..workers).map(|_| Vec::new()).collect();
        for (source, batches) in input {
            for batch in batches.into_iter().filter(|batch| !batch.is_empty()) {
                let SourceBatch { partition, offsets, bounds, arena, .. } = batch;
                per_worker[(source + partition as usize) % workers].push((source, RawBatch { partition, offsets, bounds, arena, clock_ms: tick.clock_ms }));
            }
        }
        self.newest = epoch;
        self.in_flight.admitted(epoch, journal, self.source_offsets());
        self.admitted_positions.push_back((epoch, self.positions.clone()));
        for (worker, batches) in per_worker.into_iter().enumerate() {
            self.command(worker, Command::Epoch { epoch, tick, batches });
        }
    }

    fn command(&self, worker: usize, command: Command) {
        // A worker that has gone has reported why.
        let _ = self.channels.commands[worker].send(command);
        self.channels.workers[worker].unpark();
    }

    fn source_offsets(&self) -> Vec<SourceOffset> {
        let of = |(source, status): (&tidemill_jobs::plan::SourcePlan, &crate::status::SourceStatus)| {
            let positions = self.positions.get(&source.name).cloned().unwrap_or_default();
            let topic = status.topic.clone();
            positions.into_iter().map(move |(partition, next_offset)| SourceOffset { topic: topic.clone(), partition, next_offset })
        };
        self.plan.sources.iter().zip(&self.status.sources).flat_map(of).collect()
    }

    fn handle(&mut self, event: Event) -> Result<(), Error> {
        match event {
            Event::Output { epoch, sink, records } => self.in_flight.output(epoch, sink, records),
            Event::Decoded { epoch, time_ms, rows } => self.in_flight.decoded(epoch, time_ms, rows),
            Event::Progress { worker, before } => self.progress(worker, before),
            Event::Frozen { worker, epoch, frozen, size } => self.frozen(worker, epoch, frozen, size)?,
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
            let positions = self.admitted_positions.pop_front().map_or_else(Positions::new, |(_, positions)| positions);
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
        if self.replay.is_empty() && before > self.suppress_through && self.in_flight.finished() > self.suppress_through {
            self.recovered();
        }
    }

    fn committed(&mut self, epoch: u64) -> Result<(), Error> {
        self.committed_epoch = epoch;
        while self.committing.front().is_some_and(|&(committing, _)| committing <= epoch) {
            if let Some((_, positions)) = self.committing.pop_front() {
                self.update_lag(&positions);
            }
        }
        self.write_checkpoint_if_ready()
    }

    /// Tells the status where the sources stand.
    fn update_lag(&self, positions: &Positions) {
        for (source, status) in self.plan.sources.iter().zip(&self.status.sources) {
            let mut known = status.positions.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            for (&partition, &next) in positions.get(&source.name).into_iter().flatten() {
                match known.iter_mut().find(|known| known.0 == partition) {
                    Some(known) => (known.1, known.2) = (next, known.2.max(next)),
                    None => known.push((partition, next, next)),
                }
            }
        }
        let caught_up = self.status.sources.iter().all(|source| crate::status::lag(source) == 0);
        match (self.status.phase(), caught_up) {
            (Phase::Running, true) => self.status.set_phase(Phase::CaughtUp),
            (Phase::CaughtUp, false) => self.status.set_phase(Phase::Running),
            _ => {}
        }
    }

    /// True if the run is bounded and everything that was there at its start is committed.
    fn is_done(&self) -> bool {
        if !self.settings.until_caught_up || self.waiting_records > 0 || self.epochs_in_flight() > 0 {
            return false;
        }
        self.plan.sources.iter().zip(&self.ends).all(|(source, ends)| {
            let read = self.read_positions.get(&source.name);
            ends.iter().all(|&(partition, end)| read.and_then(|read| read.get(&partition)).copied().unwrap_or(0) >= end)
        })
    }

    fn checkpoint_if_due(&mut self) {
        let due = self.checkpoint_at.elapsed() >= Duration::from_millis(self.settings.checkpoint_interval_ms);
        if due && self.checkpoint.is_none() && self.newest > self.checkpoint_epoch.max(self.suppress_through) {
            self.begin_checkpoint();
        }
    }

    fn begin_checkpoint(&mut self) {
        self.checkpoint_at = Instant::now();
        let manifest = Manifest {
            version: tidemill_checkpoints::manifest::VERSION,
            job: self.plan.name.clone(),
            epoch: Epoch(self.newest),
            plan_hash: self.plan_hash.clone(),
            plan_text: self.plan.to_string(),
            workers: self.settings.workers,
            clock_ms: self.clock_ms,
            created_ms: clock::now_ms(),
            positions: self.positions.clone(),
            files: Vec::new(),
            state_bytes: 0,
        };
        self.checkpoint = Some(Checkpoint { manifest, started: Instant::now(), frozen: BTreeMap::new(), sizes: (0, 0) });
        for worker in 0..self.settings.workers {
            self.command(worker, Command::Freeze { epoch: self.newest });
        }
    }

    fn frozen(&mut self, worker: usize, epoch: u64, frozen: Frozen, size: (u64, u64)) -> Result<(), Error> {
        let Some(checkpoint) = self.checkpoint.as_mut().filter(|checkpoint| checkpoint.manifest.epoch.0 == epoch) else { return Ok(()) };
        checkpoint.frozen.insert(worker, frozen);
        checkpoint.sizes = (checkpoint.sizes.0 + size.0, checkpoint.sizes.1 + size.1);
        self.status.state_bytes.store(checkpoint.sizes.0, Ordering::Relaxed);
        self.status.cache_bytes.store(checkpoint.sizes.1, Ordering::Relaxed);
        self.write_checkpoint_if_ready()
    }

    /// Writes the checkpoint once every worker's state is frozen and its epoch is committed: a checkpoint of an epoch that never was
    /// would be state that no journal tells of.
    fn write_checkpoint_if_ready(&mut self) -> Result<(), Error> {
        let (workers, committed) = (self.settings.workers, self.committed_epoch);
        let ready = |checkpoint: &&mut Checkpoint| checkpoint.frozen.len() == workers && checkpoint.manifest.epoch.0 <= committed;
        if let Some(checkpoint) = self.checkpoint.as_mut().filter(ready) {
            let frozen = FrozenCheckpoint {
                manifest: checkpoint.manifest.clone(),
                frozen: std::mem::take(&mut checkpoint.frozen).into_values().collect(),
                started: checkpoint.started,
                keep: self.settings.checkpoints_kept,
            };
            checkpointer::spawn(self.store.clone(), frozen, self.channels.events_in.clone())?;
        }
        Ok(())
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
