//! A worker thread: feeds epochs into its dataflow, reports progress, and freezes its state when asked.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TryRecvError};
use tidemill_jobs::plan::JobPlan;
use tidemill_operators::Failure;
use tidemill_state::Store;
use timely::worker::Worker;

use crate::event::{Command, Event, PanicReport};
use crate::recovery::RestoreFrom;
use crate::render::{Context, Rendered, render};
use crate::{Error, Status};

/// How long a worker without work sleeps, unless it is woken.
const PARK: Duration = Duration::from_millis(100);

/// How often a worker reports the size of its state.
const SIZE_INTERVAL: Duration = Duration::from_secs(1);

/// What all workers of a run need.
pub struct Shared {
    /// The plan.
    pub plan: JobPlan,
    /// Partitions of each source.
    pub partitions: Vec<Vec<u32>>,
    /// What state starts from.
    pub restore: RestoreFrom,
    /// Epoch of the checkpoint that state starts from; 0 for none.
    pub restored_epoch: u64,
    /// Outputs up to this epoch are not emitted again.
    pub suppress_through: u64,
    /// Counts.
    pub status: Arc<Status>,
    /// To the coordinator.
    pub events: Sender<Event>,
}

/// Runs a worker until it is stopped or fails.
pub fn run(worker: &mut Worker, shared: &Shared, commands: &Receiver<Command>) {
    let _report = PanicReport {
        thread: format!("worker {}", worker.index()),
        events: shared.events.clone(),
    };
    if let Err(error) = drive(worker, shared, commands) {
        // Nobody listens any more only if the run is over.
        let _ = shared.events.send(Event::Failed(error));
    }
    for dataflow in worker.installed_dataflows() {
        worker.drop_dataflow(dataflow);
    }
}

fn drive(worker: &mut Worker, shared: &Shared, commands: &Receiver<Command>) -> Result<(), Error> {
    let failure = Failure::default();
    let store = shared.restore.open(worker.index(), worker.peers())?;
    let rendered = worker.dataflow(|scope| {
        render(
            scope,
            &Context {
                plan: &shared.plan,
                partitions: &shared.partitions,
                store: &store,
                restored_epoch: shared.restored_epoch,
                suppress_through: shared.suppress_through,
                status: &shared.status,
                events: &shared.events,
                failure: &failure,
            },
        )
    })?;
    let mut driver = Driver {
        rendered,
        store,
        failure,
        shared,
        before: 0,
        sized_at: None,
    };
    loop {
        loop {
            match commands.try_recv() {
                Ok(Command::Epoch {
                    epoch,
                    tick,
                    batches,
                }) => driver.admit(epoch, tick, batches),
                Ok(Command::Freeze { epoch, clock_ms }) => {
                    driver.freeze(worker, epoch, clock_ms)?
                }
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return Ok(()),
                Err(TryRecvError::Empty) => break,
            }
        }
        driver.step(worker)?;
    }
}

struct Driver<'a> {
    rendered: Rendered,
    store: Store,
    failure: Failure,
    shared: &'a Shared,
    /// The first epoch that was not reported as finished.
    before: u64,
    /// When the size of the state was reported.
    sized_at: Option<Instant>,
}

impl Driver<'_> {
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

    fn step(&mut self, worker: &mut Worker) -> Result<(), Error> {
        worker.step_or_park(Some(PARK));
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
            let _ = self.shared.events.send(Event::Progress {
                worker: worker.index(),
                before,
            });
        }
        Ok(())
    }

    /// Tells, now and then, how large the state is.
    fn report_size(&mut self, worker: usize) {
        if self.sized_at.is_some_and(|at| at.elapsed() < SIZE_INTERVAL) {
            return;
        }
        self.sized_at = Some(Instant::now());
        let (disk_bytes, cache_bytes) = (self.store.size_bytes(), self.store.cache_bytes() as u64);
        // Nobody listens any more only if the run is over.
        let _ = self.shared.events.send(Event::Size {
            worker,
            disk_bytes,
            cache_bytes,
        });
    }

    /// Everything that changes state happens when an operator sees an epoch complete. While this worker holds its input back, no other
    /// can get further than it, so state is as of exactly the end of the epoch once the probe has passed it.
    fn freeze(&mut self, worker: &mut Worker, epoch: u64, clock_ms: i64) -> Result<(), Error> {
        while self.rendered.probe.less_equal(&epoch) {
            self.step(worker)?;
        }
        let frozen = self.store.freeze()?;
        // Whoever restores this snapshot, or goes on from here, has a clock of at least this.
        self.store.forget_expired_before(clock_ms);
        // Nobody listens any more only if the run is over.
        let _ = self.shared.events.send(Event::Frozen {
            worker: worker.index(),
            epoch,
            frozen,
        });
        Ok(())
    }
}
