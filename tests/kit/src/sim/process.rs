//! A simulated process: the parts of a run, each of which takes a step when it is told to.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use tidemill_checkpoints::{CheckpointStore, StateDir};
use tidemill_connectors_api::{Connector, SourceBatch};
use tidemill_engine::committing::{Commits, Step};
use tidemill_engine::contracts::{InPlace, Registries};
use tidemill_engine::coordinator::{Coordinator, Next, Wanted};
use tidemill_engine::delivering::{self, Deliveries};
use tidemill_engine::reader::{Polled, Reader};
use tidemill_engine::worker::Shared;
use tidemill_engine::{
    Clock, Error, Event, LocalJournal, Opened, Phase, Plugins, Settings, Snapshot, Status,
};
use tidemill_jobs::plan::JobPlan;
use tidemill_types::Epoch;

use super::crew::{SimCrew, Workers};

/// How many polls' results of a source may wait.
const POLLS_WAITING: usize = 3;

/// A part of a process that can take a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// What decides.
    Coordinator,
    /// A source's reader.
    Reader(usize),
    /// A worker.
    Worker(usize),
    /// What commits.
    Commits,
    /// What writes checkpoints.
    Writer,
    /// What delivers to a sink.
    Delivery(usize),
}

/// What delivers to a sink, and when it tries again.
struct Deliverer {
    deliveries: Deliveries,
    at: Duration,
}

/// A reader, and what it read.
struct Intake {
    reader: Reader,
    polled: VecDeque<Vec<SourceBatch>>,
}

/// A process of a job.
pub struct Process {
    coordinator: Coordinator,
    readers: Vec<Intake>,
    commits: Commits,
    /// When the committer tries again.
    commits_at: Duration,
    deliverers: Vec<Deliverer>,
    crew: SimCrew,
    workers: Workers,
    shared: Arc<Shared>,
    store: CheckpointStore,
    events: Receiver<Event>,
    reports: Sender<Event>,
    clock: Arc<dyn Clock>,
    wanted: Wanted,
    is_done: bool,
    /// Held until the process ends.
    _state_dir: StateDir,
}

/// What a process needs to start.
pub struct Start<'a> {
    /// What it runs.
    pub plan: &'a Arc<JobPlan>,
    /// Its connectors.
    pub connectors: &'a [Arc<dyn Connector>],
    /// Its registries.
    pub registries: &'a dyn Registries,
    /// Its journal, if no sink has one.
    pub journal: LocalJournal<'a>,
    /// Settings.
    pub settings: Settings,
    /// Its machine's clocks.
    pub clock: Arc<dyn Clock>,
}

impl Process {
    /// Starts.
    ///
    /// # Errors
    /// Why it does not.
    pub fn start(start: Start<'_>) -> Result<Self, Error> {
        let status = Arc::new(Status::of(start.plan));
        let plan = Arc::clone(start.plan);
        let (settings, clock) = (&start.settings, &start.clock);
        let plugins = Plugins {
            connectors: start.connectors,
            formats: &tidemill_formats::all(),
            registries: start.registries,
            asker: InPlace::asker,
            journal: start.journal,
        };
        let opened = Opened::new(plan, plugins, settings, &status, clock)?;
        let (reports, events) = unbounded();
        let shared = Arc::new(opened.shared);
        let (workers, crew) = Workers::start(Arc::clone(&shared), settings.workers, &reports);
        let reader = |reader| Intake {
            reader,
            polled: VecDeque::new(),
        };
        let deliverer = |deliveries| Deliverer {
            deliveries,
            at: Duration::ZERO,
        };
        Ok(Self {
            coordinator: opened.coordinator,
            readers: opened.readers.into_iter().map(reader).collect(),
            commits: opened.commits,
            commits_at: Duration::ZERO,
            deliverers: opened.deliveries.into_iter().map(deliverer).collect(),
            crew,
            workers,
            shared,
            store: opened.store,
            events,
            reports,
            clock: start.clock,
            wanted: Wanted::Events,
            is_done: false,
            _state_dir: opened.state_dir,
        })
    }

    /// What it says of itself.
    #[must_use]
    pub fn status(&self) -> Snapshot {
        self.shared.status.snapshot()
    }

    /// True while it does not know what became of its last commit.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        self.commits.is_in_doubt()
    }

    /// True once it has ended by itself.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.is_done
    }

    /// The parts of which a step may be of use.
    #[must_use]
    pub fn parts(&self) -> Vec<Part> {
        let mut parts = vec![Part::Coordinator];
        let readers = self.readers.iter().enumerate();
        parts.extend(
            readers
                .filter(|(_, intake)| intake.polled.len() < POLLS_WAITING)
                .map(|(index, _)| Part::Reader(index)),
        );
        parts.extend((0..self.workers.len()).map(Part::Worker));
        parts.push(Part::Commits);
        if !self.crew.writes.is_empty() {
            parts.push(Part::Writer);
        }
        parts.extend((0..self.deliverers.len()).map(Part::Delivery));
        parts
    }

    /// Lets a part take a step.
    ///
    /// # Errors
    /// Why the process ends.
    pub fn step(&mut self, part: Part, stop: bool) -> Result<(), Error> {
        match part {
            Part::Coordinator => self.coordinate(stop),
            Part::Reader(index) => {
                if let Polled::Batches(batches) = self.readers[index].reader.poll(Duration::ZERO)?
                    && !batches.is_empty()
                {
                    self.readers[index].polled.push_back(batches);
                }
                Ok(())
            }
            Part::Worker(worker) => self.workers.step(worker),
            Part::Commits => self.commit(stop),
            Part::Writer => {
                self.write();
                Ok(())
            }
            Part::Delivery(index) => self.deliver(index),
        }
    }

    fn coordinate(&mut self, stop: bool) -> Result<(), Error> {
        while let Ok(event) = self.events.try_recv() {
            self.coordinator.handle(event, &mut self.crew)?;
        }
        let wanted = self.wanted;
        for (index, intake) in self.readers.iter_mut().enumerate() {
            let is_wanted = wanted == Wanted::AllSources || wanted == Wanted::Source(index);
            while is_wanted
                && self.coordinator.takes(wanted)
                && let Some(polled) = intake.polled.pop_front()
            {
                self.coordinator.take(index, polled);
            }
        }
        // Then it begins again, and reads what was added.
        let has_grown = self.readers.iter().any(|intake| intake.reader.has_grown());
        match self
            .coordinator
            .advance(stop || has_grown, &mut self.crew)?
        {
            Next::Wait { wanted, .. } => self.wanted = wanted,
            Next::Done => self.is_done = true,
        }
        Ok(())
    }

    fn commit(&mut self, stop: bool) -> Result<(), Error> {
        self.crew
            .complete
            .drain(..)
            .for_each(|epoch| self.commits.add(epoch));
        if let Some(before) = self.crew.trims.take() {
            self.commits.trim(Epoch(before));
        }
        if self.clock.now() < self.commits_at {
            return Ok(());
        }
        match self.commits.step(stop)? {
            Step::Idle => {}
            Step::Committed(epoch) => self.report(Event::Committed { epoch }),
            Step::Again(wait) => self.commits_at = self.clock.now() + wait,
        }
        Ok(())
    }

    fn deliver(&mut self, index: usize) -> Result<(), Error> {
        let deliverer = &mut self.deliverers[index];
        if self.clock.now() >= deliverer.at
            && let delivering::Step::Again(wait) = deliverer.deliveries.step()?
        {
            deliverer.at = self.clock.now() + wait;
        }
        Ok(())
    }

    /// True if all that it committed, and all that was committed before it, is where it is delivered.
    #[must_use]
    pub fn has_delivered(&self) -> bool {
        let is_done = |deliverer: &Deliverer| deliverer.deliveries.is_done();
        let is_live = self.shared.status.phase() == Phase::CaughtUp;
        self.deliverers.is_empty() || is_live && self.deliverers.iter().all(is_done)
    }

    fn write(&mut self) {
        let Some((manifest, keep)) = self.crew.writes.pop_front() else {
            return;
        };
        let epoch = manifest.epoch.0;
        let event = match self.shared.frozen.write(&self.store, manifest, keep) {
            Ok(oldest) => Event::Checkpointed {
                epoch,
                seconds: 0.0,
                oldest: Box::new(oldest),
            },
            Err(error) => Event::CheckpointFailed { epoch, error },
        };
        self.report(event);
    }

    /// The next checkpoint is not written, for want of room.
    pub fn fail_to_write(&mut self) {
        if let Some((manifest, keep)) = self.crew.writes.pop_front() {
            let epoch = manifest.epoch.0;
            let nowhere = CheckpointStore::new("/proc/no-room".into());
            let written = self.shared.frozen.write(&nowhere, manifest, keep);
            let error = written.expect_err("nothing can be written there");
            self.report(Event::CheckpointFailed { epoch, error });
        }
    }

    fn report(&self, event: Event) {
        self.reports
            .send(event)
            .expect("the process holds the other end");
    }
}

/// Settings of a simulated process.
#[must_use]
pub fn settings(state_dir: &Path, workers: usize) -> Settings {
    Settings {
        workers,
        state_dir: state_dir.to_owned(),
        epoch_interval_ms: 20,
        checkpoint_interval_ms: 300,
        checkpoints_kept: 2,
        state_memory_bytes: 4 << 20,
        idle_epoch_ms: 50,
        replay_ahead_bytes_max: 200,
        ..Settings::default()
    }
}
