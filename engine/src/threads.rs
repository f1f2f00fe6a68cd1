//! A run in one process: a thread per worker and per source, one that commits, one per checkpoint, and this one, which coordinates.
//!
//! Every channel is bounded. A source's is the backpressure; those to the workers and to the committer have room for whatever the limit on
//! epochs in flight lets in, so the coordinator never waits for them, and so nobody who reports to it waits for ever.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use crossbeam_channel::{
    Receiver, RecvTimeoutError, Select, SendTimeoutError, Sender, bounded, unbounded,
};
use tidemill_checkpoints::{CheckpointStore, Manifest};
use tidemill_connectors_api::{Registry, SourceBatch};
use tidemill_operators::Tick;
use tidemill_types::Epoch;

use crate::committing::{Commits, CompleteEpoch, Step};
use crate::contracts::{Answer, Ask, look_up};
use crate::coordinator::{Coordinator, Next, Wanted};
use crate::crew::{Crew, WorkerInput};
use crate::delivering::{self, Deliveries};
use crate::event::{Command, Event};
use crate::reader::{Polled, Reader};
use crate::run::Opened;
use crate::worker::{Driver, Shared};
use crate::{Error, Phase, Settings};

/// How many polls' results of a source may wait.
const POLLS_WAITING: usize = 6;
/// How many reports may wait.
const EVENTS_WAITING: usize = 1_024;
/// Beside epochs a worker gets a request to freeze and one to end.
const COMMANDS_BESIDE_EPOCHS: usize = 2;
/// Beside epochs the commit thread is told what to trim.
const ORDERS_BESIDE_EPOCHS: usize = 8;
/// How long a worker without work sleeps, unless it is woken.
const PARK: Duration = Duration::from_millis(100);
/// How long a thread waits at most before it looks whether the run is over.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How long to wait before a source that is away is asked again.
const AWAY_WAIT: Duration = Duration::from_millis(200);

/// Why a run has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It was asked to, or has done all that it was started for.
    Done,
    /// A source has partitions that it does not read. All that it read is committed and checkpointed.
    Grown,
}

/// Runs what was opened until it is done.
pub fn run(opened: Opened, settings: &Settings, stop: &Arc<AtomicBool>) -> Result<End, Error> {
    let status = Arc::clone(&opened.shared.status);
    let over = Arc::new(AtomicBool::new(false));
    let grown = Arc::new(AtomicBool::new(false));
    let (reports, events) = bounded(EVENTS_WAITING);
    let shared = Arc::new(opened.shared);
    let (workers, guards) = spawn_workers(&shared, settings, &reports)?;
    let (mut batches, mut threads) = (Vec::new(), Vec::new());
    for reader in opened.readers {
        let flags = [Arc::clone(&over), Arc::clone(&grown)];
        let (receiver, thread) = spawn_reader(reader, flags, reports.clone())?;
        batches.push(receiver);
        threads.push(thread);
    }
    let mut bells = Vec::new();
    for deliveries in opened.deliveries {
        let (bell, thread) = spawn_delivery(deliveries, Arc::clone(&over), reports.clone())?;
        bells.push(bell);
        threads.push(thread);
    }
    let (committer, orders) = bounded(2 * settings.epochs_in_flight_max + ORDERS_BESIDE_EPOCHS);
    threads.push(spawn_committer(
        (opened.commits, bells),
        orders,
        [Arc::clone(stop), Arc::clone(&over)],
        reports.clone(),
    )?);
    let mut crew = Threads {
        workers,
        committer,
        shared,
        store: opened.store,
        reports,
        writer: None,
    };
    // A bounded run reads what was there when it began.
    let ends = [
        Some(stop.as_ref()),
        (!settings.until_caught_up).then_some(grown.as_ref()),
    ];
    let result = drive(opened.coordinator, &mut crew, &events, &batches, ends);
    status.set_phase(Phase::Stopping);
    over.store(true, Ordering::Relaxed);
    crew.workers
        .iter()
        .for_each(|worker| worker.tell(Command::Stop));
    threads.extend(crew.writer.take());
    // Whoever waits to report, or to hand over input, learns that nobody listens.
    drop((events, batches));
    for thread in threads {
        // A thread that panicked has reported it.
        let _ = thread.join();
    }
    // A worker that panicked has reported it; dropping the guards would panic here as well.
    drop(guards.join());
    drop(opened.state_dir);
    result?;
    let has_grown = grown.load(Ordering::Relaxed) && !settings.until_caught_up;
    Ok(if has_grown && !stop.load(Ordering::Relaxed) {
        End::Grown
    } else {
        End::Done
    })
}

/// Feeds the coordinator until the run is over: it has done what it was started for, or one of `ends` is raised.
fn drive(
    mut coordinator: Coordinator,
    crew: &mut Threads,
    events: &Receiver<Event>,
    batches: &[Receiver<Vec<SourceBatch>>],
    ends: [Option<&AtomicBool>; 2],
) -> Result<(), Error> {
    loop {
        let mut flags = ends.iter().flatten();
        let ends = flags.any(|flag| flag.load(Ordering::Relaxed));
        let next = coordinator.advance(ends, crew)?;
        let Next::Wait { wanted, at_most } = next else {
            return Ok(());
        };
        let sources = match wanted {
            Wanted::Events => 0..0,
            Wanted::AllSources => 0..batches.len(),
            Wanted::Source(source) => source..source + 1,
        };
        wait(events, &batches[sources.clone()], at_most);
        events
            .try_iter()
            .try_for_each(|event| coordinator.handle(event, crew))?;
        for source in sources {
            while coordinator.takes(wanted)
                && let Ok(polled) = batches[source].try_recv()
            {
                coordinator.take(source, polled);
            }
        }
    }
}

/// Waits until something can be taken. Which it is does not matter: everything that is there is taken.
fn wait(events: &Receiver<Event>, batches: &[Receiver<Vec<SourceBatch>>], at_most: Duration) {
    let mut select = Select::new();
    select.recv(events);
    batches.iter().for_each(|batches| {
        select.recv(batches);
    });
    // Time that passes is a reason to go on, too.
    let _ = select.ready_timeout(at_most);
}

/// To the commit thread.
enum Order {
    Commit(CompleteEpoch),
    Trim(Epoch),
}

/// A worker's thread.
struct WorkerThread {
    commands: Sender<Command>,
    thread: Thread,
}

impl WorkerThread {
    fn tell(&self, command: Command) {
        // There is room, see above; a worker that has gone has reported why.
        let _ = self.commands.try_send(command);
        self.thread.unpark();
    }
}

/// The crew as threads.
struct Threads {
    workers: Vec<WorkerThread>,
    committer: Sender<Order>,
    shared: Arc<Shared>,
    store: CheckpointStore,
    reports: Sender<Event>,
    /// Writes the newest checkpoint.
    writer: Option<JoinHandle<()>>,
}

impl Crew for Threads {
    fn admit(&mut self, epoch: u64, tick: Tick, input: Vec<WorkerInput>) {
        for (worker, batches) in self.workers.iter().zip(input) {
            worker.tell(Command::Epoch {
                epoch,
                tick,
                batches,
            });
        }
    }

    fn freeze(&mut self, epoch: u64, oldest_ms: i64) {
        for worker in &self.workers {
            worker.tell(Command::Freeze { epoch, oldest_ms });
        }
    }

    fn write(&mut self, manifest: Manifest, keep: usize) {
        let epoch = manifest.epoch.0;
        let (shared, store) = (Arc::clone(&self.shared), self.store.clone());
        let write = move |reports: &Sender<Event>| {
            let began = shared.clock.now();
            let event = match shared.frozen.write(&store, manifest, keep) {
                Ok(oldest) => Event::Checkpointed {
                    epoch,
                    seconds: shared.clock.now().saturating_sub(began).as_secs_f64(),
                    oldest: Box::new(oldest),
                },
                Err(error) => Event::CheckpointFailed { epoch, error },
            };
            // Nobody listens any more only if the run is over.
            let _ = reports.send(event);
            Ok(())
        };
        match spawn("checkpoint", self.reports.clone(), write) {
            Ok(thread) => self.writer = Some(thread),
            // This thread takes reports, so it must not wait for room; without room for one the checkpoint stays the last of the run.
            Err(error) => drop(
                self.reports
                    .try_send(Event::CheckpointFailed { epoch, error }),
            ),
        }
    }

    fn trim(&mut self, before: u64) {
        // Without room it is told after the next checkpoint.
        let _ = self.committer.try_send(Order::Trim(Epoch(before)));
    }

    fn commit(&mut self, epoch: CompleteEpoch) {
        // There is room, see above; a commit thread that has gone has reported why.
        let _ = self.committer.try_send(Order::Commit(epoch));
    }
}

/// Starts a thread that reports its error, or that it panicked.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the place where threads are started"
)]
fn spawn(
    name: &str,
    reports: Sender<Event>,
    body: impl FnOnce(&Sender<Event>) -> Result<(), Error> + Send + 'static,
) -> Result<JoinHandle<()>, Error> {
    let thread = format!("thread '{name}'");
    let started = std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            let report = PanicReport { thread, reports };
            if let Err(error) = body(&report.reports) {
                // Nobody listens any more only if the run is over.
                let _ = report.reports.send(Event::Failed(error));
            }
        });
    started.map_err(|error| Error::Spawn(error.to_string()))
}

/// Asks a registry in a thread of its own, which ends after its last answer once nobody asks any more.
///
/// # Panics
/// If there is no room for a thread.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the place where threads are started"
)]
#[must_use]
pub fn ask_in_thread(registry: Arc<dyn Registry>) -> Box<dyn Ask> {
    let (questions, asked) = unbounded();
    let (answered, answers) = unbounded();
    std::thread::Builder::new()
        .name("registry".to_owned())
        .spawn(move || {
            for id in asked {
                // Nobody listens any more only if the run is over.
                let _ = answered.send((id, look_up(registry.as_ref(), id)));
            }
        })
        .expect("there is room for a thread beside those of the workers");
    Box::new(InThread { questions, answers })
}

/// The questions are no more than the schemas that a poll's records name first, one a partition.
struct InThread {
    questions: Sender<u32>,
    answers: Receiver<(u32, Answer)>,
}

impl Ask for InThread {
    fn ask(&mut self, id: u32) {
        // The thread listens as long as this is there.
        let _ = self.questions.send(id);
    }

    fn answers(&mut self) -> Vec<(u32, Answer)> {
        self.answers.try_iter().collect()
    }
}

fn spawn_reader(
    mut reader: Reader,
    [over, grown]: [Arc<AtomicBool>; 2],
    reports: Sender<Event>,
) -> Result<(Receiver<Vec<SourceBatch>>, JoinHandle<()>), Error> {
    let (sender, receiver) = bounded(POLLS_WAITING);
    let name = format!("source {}", reader.topic());
    let body = move |_: &Sender<Event>| {
        while !over.load(Ordering::Relaxed) {
            let mut batches = match reader.poll(LOOK_AGAIN)? {
                Polled::Batches(batches) => batches,
                Polled::Away => {
                    pause(AWAY_WAIT);
                    continue;
                }
            };
            if reader.has_grown() {
                grown.store(true, Ordering::Relaxed);
            }
            while !batches.is_empty() {
                match sender.send_timeout(batches, LOOK_AGAIN) {
                    Ok(()) => break,
                    Err(SendTimeoutError::Timeout(_)) if over.load(Ordering::Relaxed) => {
                        return Ok(());
                    }
                    Err(SendTimeoutError::Timeout(back)) => batches = back,
                    Err(SendTimeoutError::Disconnected(_)) => return Ok(()),
                }
            }
        }
        Ok(())
    };
    Ok((receiver, spawn(&name, reports, body)?))
}

/// The commit thread ends when the run is over, or after it reported a failure; a commit whose outcome is unknown is then left to the next
/// owner, who asks the journal.
fn spawn_committer(
    (mut commits, bells): (Commits, Vec<Sender<()>>),
    orders: Receiver<Order>,
    [stop, over]: [Arc<AtomicBool>; 2],
    reports: Sender<Event>,
) -> Result<JoinHandle<()>, Error> {
    let body = move |reports: &Sender<Event>| {
        let take = |commits: &mut Commits, order| match order {
            Order::Commit(epoch) => commits.add(epoch),
            Order::Trim(before) => commits.trim(before),
        };
        while !over.load(Ordering::Relaxed) {
            orders
                .try_iter()
                .for_each(|order| take(&mut commits, order));
            match commits.step(stop.load(Ordering::Relaxed))? {
                Step::Idle => match orders.recv_timeout(LOOK_AGAIN) {
                    Ok(order) => take(&mut commits, order),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return Ok(()),
                },
                Step::Committed(epoch) => {
                    for bell in &bells {
                        // One that rings already is heard.
                        let _ = bell.try_send(());
                    }
                    // Nobody listens any more only if the run is over.
                    let _ = reports.send(Event::Committed { epoch });
                }
                Step::Again(wait) => pause(wait),
            }
        }
        Ok(())
    };
    spawn("commit", reports, body)
}

/// The thread of a sink that is delivered, and what wakes it when there is something for it. It ends when the run is over; what is in the
/// outbox then is delivered by the next one.
fn spawn_delivery(
    mut deliveries: Deliveries,
    over: Arc<AtomicBool>,
    reports: Sender<Event>,
) -> Result<(Sender<()>, JoinHandle<()>), Error> {
    let (bell, rings) = bounded(1);
    let name = format!("deliver {}", deliveries.sink());
    let body = move |_: &Sender<Event>| {
        let is_over = || over.load(Ordering::Relaxed);
        while !is_over() {
            match deliveries.step()? {
                delivering::Step::Delivered => {}
                delivering::Step::Idle => match rings.recv_timeout(LOOK_AGAIN) {
                    Ok(()) | Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => pause(LOOK_AGAIN),
                },
                delivering::Step::Again(wait) => {
                    let mut left = wait;
                    while !left.is_zero() && !is_over() {
                        pause(left.min(LOOK_AGAIN));
                        left = left.saturating_sub(LOOK_AGAIN);
                    }
                }
            }
        }
        Ok(())
    };
    Ok((bell, spawn(&name, reports, body)?))
}

/// Sleeps.
#[expect(
    clippy::disallowed_methods,
    reason = "a thread of its own may sleep; what it waits for is asked again after"
)]
pub fn pause(wait: Duration) {
    std::thread::sleep(wait);
}

/// The workers' threads, as timely keeps them.
type Guards = timely::communication::WorkerGuards<()>;

fn spawn_workers(
    shared: &Arc<Shared>,
    settings: &Settings,
    reports: &Sender<Event>,
) -> Result<(Vec<WorkerThread>, Guards), Error> {
    let room = settings.epochs_in_flight_max + COMMANDS_BESIDE_EPOCHS;
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..settings.workers)
        .map(|_| bounded::<Command>(room))
        .unzip();
    let receivers: Mutex<Vec<_>> = Mutex::new(receivers.into_iter().map(Some).collect());
    let (shared, reports) = (Arc::clone(shared), reports.clone());
    let config = timely::Config::process(settings.workers);
    let guards = timely::execute(config, move |worker| {
        let receiver =
            receivers.lock().unwrap_or_else(PoisonError::into_inner)[worker.index()].take();
        let receiver = receiver.expect("each worker starts once");
        run_worker(worker, &shared, receiver, &reports);
    });
    let guards = guards.map_err(Error::Spawn)?;
    let threads = guards.guards().iter().map(|guard| guard.thread().clone());
    let workers = senders
        .into_iter()
        .zip(threads)
        .map(|(commands, thread)| WorkerThread { commands, thread })
        .collect();
    Ok((workers, guards))
}

/// Runs a worker until it is stopped or fails.
fn run_worker(
    worker: &mut timely::worker::Worker,
    shared: &Shared,
    commands: Receiver<Command>,
    reports: &Sender<Event>,
) {
    let _report = PanicReport {
        thread: format!("worker {}", worker.index()),
        reports: reports.clone(),
    };
    let mut driven = Driver::new(worker, shared, commands, reports.clone());
    let end = loop {
        match driven.as_mut().map(|driver| driver.step(worker, PARK)) {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => break Ok(()),
            Ok(Err(error)) => break Err(error),
            Err(_) => break Ok(()),
        }
    };
    if let Err(error) = driven.map(drop).and(end) {
        // Nobody listens any more only if the run is over.
        let _ = reports.send(Event::Failed(error));
    }
    for dataflow in worker.installed_dataflows() {
        worker.drop_dataflow(dataflow);
    }
}

/// Reports a panic of the thread that owns it.
struct PanicReport {
    thread: String,
    reports: Sender<Event>,
}

impl Drop for PanicReport {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Nobody listens any more only if the run is over.
            let _ = self.reports.send(Event::Failed(Error::Panicked {
                thread: std::mem::take(&mut self.thread),
            }));
        }
    }
}
