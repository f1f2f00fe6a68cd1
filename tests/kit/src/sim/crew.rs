//! The crew of a simulated process: what it is told lies in queues until the simulation lets somebody work.
//!
//! Timely's workers must be built on a thread each, so each has one; but it takes one step when it is told to, and whoever told it waits for
//! the answer: no two ever run at the same time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use tidemill_checkpoints::Manifest;
use tidemill_engine::committing::CompleteEpoch;
use tidemill_engine::crew::{Crew, WorkerInput};
use tidemill_engine::event::Command;
use tidemill_engine::worker::{Driver, Shared};
use tidemill_engine::{Error, Event};
use tidemill_operators::Tick;
use timely::communication::WorkerGuards;

/// The crew.
pub struct SimCrew {
    commands: Vec<Sender<Command>>,
    /// Checkpoints to write, and how many to keep.
    pub writes: VecDeque<(Manifest, usize)>,
    /// What the committer may trim.
    pub trims: Option<u64>,
    /// Epochs for the committer.
    pub complete: VecDeque<CompleteEpoch>,
}

impl Crew for SimCrew {
    fn admit(&mut self, epoch: u64, tick: Tick, input: Vec<WorkerInput>) {
        for (commands, batches) in self.commands.iter().zip(input) {
            let command = Command::Epoch {
                epoch,
                tick,
                batches,
            };
            // A worker that failed has said so.
            let _ = commands.send(command);
        }
    }

    fn freeze(&mut self, epoch: u64, oldest_ms: i64) {
        for commands in &self.commands {
            // As above.
            let _ = commands.send(Command::Freeze { epoch, oldest_ms });
        }
    }

    fn write(&mut self, manifest: Manifest, keep: usize) {
        self.writes.push_back((manifest, keep));
    }

    fn trim(&mut self, before: u64) {
        self.trims = Some(before);
    }

    fn commit(&mut self, epoch: CompleteEpoch) {
        self.complete.push_back(epoch);
    }
}

/// A worker as the simulation sees it.
struct Seat {
    step: Sender<()>,
    done: Receiver<Result<(), Error>>,
}

/// The workers of a process.
pub struct Workers {
    seats: Vec<Seat>,
    /// Joined when dropped, after the seats are gone.
    guards: Option<WorkerGuards<()>>,
}

impl Workers {
    /// Starts workers; each opens its state at its first step. Returns the crew that speaks to them.
    ///
    /// # Panics
    /// If threads cannot be started.
    #[must_use]
    pub fn start(shared: Arc<Shared>, count: usize, events: &Sender<Event>) -> (Self, SimCrew) {
        let (commands, receivers): (Vec<_>, Vec<_>) = (0..count).map(|_| unbounded()).unzip();
        let (seats, benches): (Vec<_>, Vec<_>) = (0..count).map(|_| seat()).unzip();
        let places: Vec<_> = receivers.into_iter().zip(benches).map(Some).collect();
        let (places, events) = (Mutex::new(places), events.clone());
        let guards = timely::execute(timely::Config::process(count), move |worker| {
            let place =
                places.lock().unwrap_or_else(PoisonError::into_inner)[worker.index()].take();
            let (commands, (step, done)) = place.expect("each worker starts once");
            work(worker, &shared, &commands, &events, &step, &done);
        });
        let workers = Self {
            seats,
            guards: Some(guards.expect("threads can be started")),
        };
        let crew = SimCrew {
            commands,
            writes: VecDeque::new(),
            trims: None,
            complete: VecDeque::new(),
        };
        (workers, crew)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.seats.len()
    }

    /// True if there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.seats.is_empty()
    }

    /// Lets a worker take one step.
    ///
    /// # Errors
    /// Why the worker failed.
    pub fn step(&self, worker: usize) -> Result<(), Error> {
        let seat = &self.seats[worker];
        let gone = || Error::Panicked {
            thread: format!("worker {worker}"),
        };
        seat.step.send(()).map_err(|_| gone())?;
        seat.done.recv().map_err(|_| gone())?
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.seats.clear();
        if let Some(guards) = self.guards.take() {
            // A worker that panicked has printed it.
            drop(guards.join());
        }
    }
}

type Bench = (Receiver<()>, Sender<Result<(), Error>>);

fn seat() -> (Seat, Bench) {
    let (step, steps) = bounded(0);
    let (dones, done) = bounded(1);
    (Seat { step, done }, (steps, dones))
}

/// A worker's thread: a step each time it is told to, until nobody can tell it any more.
fn work(
    worker: &mut timely::worker::Worker,
    shared: &Shared,
    commands: &Receiver<Command>,
    events: &Sender<Event>,
    steps: &Receiver<()>,
    done: &Sender<Result<(), Error>>,
) {
    let mut driver = None;
    while steps.recv().is_ok() {
        let result = match &mut driver {
            None => Driver::new(worker, shared, commands.clone(), events.clone()).map(|opened| {
                driver = Some(opened);
            }),
            Some(driver) => driver.step(worker, std::time::Duration::ZERO).map(drop),
        };
        let failed = result.is_err();
        // Whoever asked is waiting.
        let _ = done.send(result);
        if failed {
            break;
        }
    }
    drop(driver);
    for dataflow in worker.installed_dataflows() {
        worker.drop_dataflow(dataflow);
    }
}
