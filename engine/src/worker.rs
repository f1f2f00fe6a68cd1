//! A worker: feeds epochs into its dataflow, reports progress, and freezes its state when asked.
//!
//! It never waits for another worker but by stepping, and looks for the command to end at each step: a worker that failed keeps none of
//! the others.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TryRecvError};
use tidemill_jobs::plan::JobPlan;
use tidemill_operators::Failure;
use tidemill_state::Store;
use tidemill_types::format::{Formats, Schemas};
use timely::worker::Worker;

use crate::event::{Command, Event};
use crate::frozen::FrozenStates;
use crate::limits::Limits;
use crate::recovery::RestoreFrom;
use crate::render::{Context, Rendered, render};
use crate::{Clock, Error, Status, busy};

/// How often a worker reports the size of its state.
const SIZE_INTERVAL: Duration = Duration::from_secs(1);

/// What all workers of a run need.
pub struct Shared {
    /// The plan.
    pub plan: Arc<JobPlan>,
    /// The formats that there are.
    pub formats: Formats,
    /// The schemas that the records of each source with a registry name.
    pub schemas: Vec<Option<Arc<dyn Schemas>>>,
    /// Partitions of each source.
    pub partitions: Vec<Vec<u32>>,
    /// What state starts from.
    pub restore: RestoreFrom,
    /// Whether the time of each operator is told.
    pub operator_times: bool,
    /// Outputs up to this epoch are not emitted again.
    pub suppress_through: u64,
    /// State is as of the end of this epoch; 0 for none.
    pub restored_epoch: u64,
    /// How large records may be.
    pub limits: Arc<Limits>,
    /// Counts.
    pub status: Arc<Status>,
    /// The clocks.
    pub clock: Arc<dyn Clock>,
    /// Where workers leave what they froze.
    pub frozen: FrozenStates,
}

/// A worker's dataflow and state.
pub struct Driver<'a> {
    rendered: Rendered,
    store: Store,
    failure: Failure,
    shared: &'a Shared,
    commands: Receiver<Command>,
    events: Sender<Event>,
    /// Commands that wait until the state is frozen.
    waiting: VecDeque<Command>,
    /// The epoch at whose end the state is to be frozen, and the data's clock before it.
    freezing: Option<(u64, i64)>,
    /// The first epoch that was not reported as finished.
    before: u64,
    /// When the size of the state was reported.
    sized_at: Option<Duration>,
}

impl<'a> Driver<'a> {
    /// Opens the worker's state and renders the plan.
    ///
    /// # Errors
    /// If the state cannot be opened, or the plan cannot be rendered.
    pub fn new(
        worker: &mut Worker,
        shared: &'a Shared,
        commands: Receiver<Command>,
        events: Sender<Event>,
    ) -> Result<Self, Error> {
        let failure = Failure::default();
        let store = shared.restore.open(worker.index(), worker.peers())?;
        if shared.operator_times {
            busy::account(worker, &shared.status);
        }
        let rendered = worker.dataflow(|scope| {
            render(
                scope,
                &Context {
                    plan: &shared.plan,
                    formats: &shared.formats,
                    schemas: &shared.schemas,
                    partitions: &shared.partitions,
                    store: &store,
                    suppress_through: shared.suppress_through,
                    restored_epoch: shared.restored_epoch,
                    limits: &shared.limits,
                    status: &shared.status,
                    events: &events,
                    failure: &failure,
                },
            )
        })?;
        Ok(Self {
            rendered,
            store,
            failure,
            shared,
            commands,
            events,
            waiting: VecDeque::new(),
            freezing: None,
            before: 0,
            sized_at: None,
        })
    }

    /// Takes what it was told, and works; without work it sleeps for up to `park` unless it is woken. False once it is to end.
    ///
    /// # Errors
    /// If an operator failed, or the state cannot be frozen.
    pub fn step(&mut self, worker: &mut Worker, park: Duration) -> Result<bool, Error> {
        loop {
            match self.commands.try_recv() {
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return Ok(false),
                Ok(command) => self.waiting.push_back(command),
                Err(TryRecvError::Empty) => break,
            }
        }
        // While the state is to be frozen no further epoch is let in: it must be as of exactly the end of one.
        while self.freezing.is_none() {
            match self.waiting.pop_front() {
                Some(Command::Epoch {
                    epoch,
                    tick,
                    batches,
                }) => self.admit(epoch, tick, batches),
                Some(Command::Freeze { epoch, oldest_ms }) => {
                    self.freezing = Some((epoch, oldest_ms));
                }
                Some(Command::Stop) | None => break,
            }
        }
        self.work(worker, park)?;
        match self.freezing {
            Some((epoch, oldest_ms)) if !self.rendered.probe.less_equal(&epoch) => {
                self.freeze(worker.index(), epoch, oldest_ms)?;
                self.freezing = None;
            }
            _ => {}
        }
        Ok(true)
    }

    fn admit(
        &mut self,
        epoch: u64,
        tick: tidemill_operators::Tick,
        batches: Vec<(usize, tidemill_operators::decode::RawBatch)>,
    ) {
        self.advance_to(epoch);
        self.rendered.ticks.send(tick);
        for (source, batch) in batches {
            self.rendered.sources[source].send(batch);
        }
        self.advance_to(epoch + 1);
    }

    fn advance_to(&mut self, epoch: u64) {
        self.rendered.ticks.advance_to(epoch);
        for source in &mut self.rendered.sources {
            source.advance_to(epoch);
        }
    }

    fn work(&mut self, worker: &mut Worker, park: Duration) -> Result<(), Error> {
        worker.step_or_park(Some(park));
        if let Some(error) = self.failure.take() {
            return Err(error.into());
        }
        self.report_size(worker.index());
        let before = self
            .rendered
            .probe
            .with_frontier(|frontier| frontier.first().copied().unwrap_or(u64::MAX));
        if before > self.before {
            self.before = before;
            // Nobody listens any more only if the run is over.
            let _ = self.events.send(Event::Progress {
                worker: worker.index(),
                before,
            });
        }
        Ok(())
    }

    /// Tells, now and then, how large the state is.
    fn report_size(&mut self, worker: usize) {
        let now = self.shared.clock.now();
        if self
            .sized_at
            .is_some_and(|at| now.saturating_sub(at) < SIZE_INTERVAL)
        {
            return;
        }
        self.sized_at = Some(now);
        let (disk_bytes, cache_bytes) = (self.store.size_bytes(), self.store.cache_bytes() as u64);
        // Nobody listens any more only if the run is over.
        let _ = self.events.send(Event::Size {
            worker,
            disk_bytes,
            cache_bytes,
        });
    }

    /// Everything that changes state happens when an operator sees an epoch complete. While this worker holds its input back, no other
    /// can get further than it, so state is as of exactly the end of the epoch once the probe has passed it.
    fn freeze(&mut self, worker: usize, epoch: u64, oldest_ms: i64) -> Result<(), Error> {
        let frozen = self.store.freeze()?;
        self.shared.frozen.put(worker, frozen);
        // Whoever restores this snapshot, or goes on from here, finds the data's clock to be at least this.
        self.store.forget_expired_before(oldest_ms);
        // Nobody listens any more only if the run is over.
        let _ = self.events.send(Event::Frozen { worker, epoch });
        Ok(())
    }
}
