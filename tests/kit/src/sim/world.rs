//! One simulation: from a seed, a job lives through its dangers until all its input is committed.

mod input;

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidemill_checkpoints::CheckpointStore;
use tidemill_connectors_api::{Connector, seam};
use tidemill_engine::{Clock, Error, Settings};
use tidemill_jobs::plan::{Contents, JobPlan, SinkPlan};
use tidemill_types::{ErrorKind, TopicPartition};

use super::clock::SimClock;
use super::history::{self, Committed};
use super::kafka::{Kafka, SimCommitter, SimConnector};
use super::process::{self, Part, Process};
use super::registry::SimRegistry;
use super::scenario::{Dangers, Job};
use super::targets::{SimTargets, TargetFaults};
use super::topics::{named_topics, unread};
use super::{damage, disk, kafka};
use crate::planned;
use input::Feed;

/// Most workers of a process.
const WORKERS_MAX: usize = 3;
/// So many notes are told of a simulation that failed.
const NOTES_MAX: usize = 40;
/// After so many turns in which nothing is left to read and something to deliver, somebody starts the job again.
const RESTART_TURNS: usize = 10_000;
/// So many turns have to do for a job to read and commit all its input.
const SETTLE_TURNS_MAX: usize = 60_000;

/// How a simulation ended.
pub struct End {
    /// What was committed.
    pub history: Vec<Committed>,
    /// A digest of everything that happened: equal for equal seeds.
    pub trace: u64,
    /// It was refused in the end, as it had to be: a topic had been made again.
    pub is_refused: bool,
    /// What happened, for who wants to know why.
    pub notes: String,
    /// How often a process was started, and how often that was refused with reason.
    pub starts: usize,
    /// See above.
    pub refusals: usize,
    /// The brokers, with all that was ever written.
    pub kafka: Kafka,
}

/// A process and where it runs.
struct Machine {
    process: Process,
    state_dir: PathBuf,
    /// It is stopped, and continues at this turn.
    stopped_until: Option<usize>,
}

/// A simulation.
pub struct World<'a> {
    job: &'a Job,
    dangers: Dangers,
    rng: ChaCha8Rng,
    kafka: Kafka,
    targets: SimTargets,
    registry: SimRegistry,
    clock: SimClock,
    plan: Arc<JobPlan>,
    connectors: Vec<Arc<dyn Connector>>,
    /// Input that is to come, by topic and partition.
    input: Vec<Feed>,
    root: tempfile::TempDir,
    machines: Vec<Machine>,
    /// The state directory that the next process starts in.
    state_dir: PathBuf,
    /// The one in which the newest process started: it has the state, if none of the others has.
    home: PathBuf,
    dirs: usize,
    turn: usize,
    starts: usize,
    refusals: usize,
    /// A topic was made again.
    is_remade: bool,
    /// A process has refused to go on for that.
    is_refused: bool,
    trace: DefaultHasher,
    /// What happened, for who wants to know why.
    notes: Vec<String>,
}

impl<'a> World<'a> {
    /// A world with nothing in it yet.
    ///
    /// # Errors
    /// If the job cannot be planned.
    pub fn new(job: &'a Job, dangers: Dangers, seed: u64) -> Result<Self, String> {
        Self::with_registry(job, dangers, seed, SimRegistry::new(seed))
    }

    /// A world with a registry of schemas.
    ///
    /// # Errors
    /// If the job cannot be planned.
    pub fn with_registry(
        job: &'a Job,
        dangers: Dangers,
        seed: u64,
        registry: SimRegistry,
    ) -> Result<Self, String> {
        let known = [SimConnector::known(), SimTargets::known()];
        let plan = planned(&job.name, &job.sql, &known, &registry)?;
        let targets = SimTargets::new(seed);
        let kafka = Kafka::new(seed);
        kafka.lock().is_database = dangers.is_database;
        let named = named_topics(&plan);
        for (index, stage) in job.stages.iter().enumerate() {
            let topics = stage.iter();
            for topic in topics.filter(|topic| index == 0 || named.contains(&topic.name)) {
                let mut brokers = kafka.lock();
                brokers.make_topic_if_missing(&topic.name, topic.partitions.len());
            }
        }
        let clock = SimClock::default();
        kafka.lock().now_ms = clock.wall_ms();
        for history in &job.histories {
            kafka.lock().append_all(history);
        }
        let in_memory = Path::new("/dev/shm");
        let root = if in_memory.is_dir() {
            tempfile::tempdir_in(in_memory)
        } else {
            tempfile::tempdir()
        };
        let root = root.map_err(|error| error.to_string())?;
        Ok(Self {
            job,
            dangers,
            rng: ChaCha8Rng::seed_from_u64(seed),
            connectors: vec![
                Arc::new(SimConnector(kafka.clone())),
                Arc::new(targets.clone()),
            ],
            kafka,
            targets,
            registry,
            clock,
            plan: Arc::new(plan),
            input: Vec::new(),
            home: root.path().join("0"),
            state_dir: root.path().join("0"),
            root,
            machines: Vec::new(),
            dirs: 1,
            turn: 0,
            starts: 0,
            refusals: 0,
            is_remade: false,
            is_refused: false,
            trace: DefaultHasher::new(),
            notes: Vec::new(),
        })
    }

    /// Topics of the job's sinks, and whether each is written as upserts.
    #[must_use]
    pub fn upserts(&self) -> BTreeMap<String, bool> {
        let topic = |sink: &SinkPlan| (sink.target.clone(), sink.contents == Contents::States);
        self.plan.sinks.iter().map(topic).collect()
    }

    /// Lives through it.
    ///
    /// # Errors
    /// What must never happen: a process that gives up, a history that cannot be, or no progress.
    pub fn run(mut self) -> Result<End, String> {
        self.live()
            .map_err(|failure| format!("{failure}\n{}", self.notes()))
    }

    /// The newest notes.
    fn notes(&self) -> String {
        self.notes[self.notes.len().saturating_sub(NOTES_MAX)..].join("\n")
    }

    fn live(&mut self) -> Result<End, String> {
        self.kafka.lock().faults = self.dangers.faults;
        self.targets.lock().faults = self.dangers.target_faults;
        for stage in &self.job.stages {
            self.feed_all(stage)?;
            self.settle()?;
        }
        let sinks: Vec<String> = self.upserts().into_keys().collect();
        let mut history = history::read(&self.kafka.lock(), &self.job.name, &sinks)?;
        self.read_targets(&mut history)?;
        self.check_transactions(&history)?;
        history::check_seams(&history)?;
        for committed in &history {
            committed.record.encode().hash(&mut self.trace);
            for (topic, writes) in &committed.writes {
                topic.hash(&mut self.trace);
                writes
                    .iter()
                    .for_each(|write| (&write.key, &write.value).hash(&mut self.trace));
            }
        }
        Ok(End {
            history,
            trace: self.trace.finish(),
            is_refused: self.is_refused,
            notes: self.notes(),
            starts: self.starts,
            refusals: self.refusals,
            kafka: self.kafka.clone(),
        })
    }

    /// Adds what was delivered to the epochs that it is of.
    fn read_targets(&self, history: &mut [Committed]) -> Result<(), String> {
        let targets = self.targets.lock();
        if let Some(wrong) = targets.wrong() {
            return Err(wrong.to_owned());
        }
        for sink in self.plan.sinks.iter().filter(|sink| sink.is_delivered) {
            targets.check_whole(&sink.target)?;
            history::add_parcels(history, &sink.target, targets.parcels(&sink.target))?;
        }
        Ok(())
    }

    /// No epoch ends within a transaction of a database.
    fn check_transactions(&self, history: &[Committed]) -> Result<(), String> {
        let brokers = self.kafka.lock();
        for record in history.iter().map(|committed| &committed.record) {
            for (source, positions) in record.positions.iter().filter(|_| brokers.is_database) {
                for (&number, &position) in positions {
                    let Some(place) = seam::place(&record.incarnations[source], number) else {
                        continue;
                    };
                    if brokers.is_within(&place.topic, place.partition as usize, position) {
                        let epoch = record.epoch;
                        return Err(format!(
                            "epoch {epoch} cuts a transaction of {place:?} at {position}"
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    fn note(&mut self, what: impl std::fmt::Display) {
        self.notes.push(format!("turn {}: {what}", self.turn));
    }

    /// Everything that was written is read and committed, while nothing happens.
    fn settle(&mut self) -> Result<(), String> {
        let dangers = std::mem::replace(&mut self.dangers, Dangers::NONE);
        self.kafka.lock().faults = kafka::Faults::NONE;
        self.targets.lock().faults = TargetFaults::NONE;
        let mut turns = 0;
        while !self.is_refused && (self.is_remade || !self.is_settled()) {
            self.turn()?;
            turns += 1;
            if turns % RESTART_TURNS == 0 && self.unread().is_none() {
                // Who runs may have been replaced and not know it, and who replaced it is gone: what that one committed, the next one delivers.
                self.crash();
            }
            if turns > SETTLE_TURNS_MAX {
                let machines = self.machines.iter();
                let says: Vec<_> = machines.map(|machine| machine.process.status()).collect();
                return Err(format!(
                    "it is stuck: {}; {says:?}",
                    self.unread().unwrap_or_default()
                ));
            }
        }
        self.dangers = dangers;
        self.kafka.lock().faults = dangers.faults;
        self.targets.lock().faults = dangers.target_faults;
        Ok(())
    }

    /// True if the journal says that everything was read.
    fn is_settled(&self) -> bool {
        // The newest process: one before that goes on has nothing to say.
        let newest = self.machines.last();
        let has_delivered = newest.is_some_and(|machine| machine.process.has_delivered());
        self.turn.is_multiple_of(50)
            && self.unread().is_none()
            && (self.is_all_committed() || has_delivered)
    }

    fn is_all_committed(&self) -> bool {
        self.plan.sinks.iter().all(|sink| !sink.is_delivered)
    }

    fn unread(&self) -> Option<String> {
        unread(&self.job.name, &self.plan, &self.kafka.lock())
    }

    /// Something happens.
    fn turn(&mut self) -> Result<(), String> {
        self.turn += 1;
        let is_stopped = |machine: &Machine| machine.stopped_until.is_some();
        let is_held = |machine: &Machine| machine.state_dir == self.state_dir;
        if self.machines.iter().all(is_stopped) && !self.machines.iter().any(is_held) {
            return self.start();
        }
        let happens = self.rng.random_range(0..1_000u32);
        let mut until = 0;
        let mut is = |per_mille: u32| {
            until += per_mille;
            happens < until
        };
        let dangers = self.dangers;
        if is(dangers.crash) {
            self.crash();
        } else if is(dangers.damage) {
            self.crash();
            self.note("its disk is damaged");
            damage::damage(&self.state_dir, &mut self.rng);
        } else if is(dangers.power_cut) {
            self.crash();
            self.note("its machine loses power");
            disk::cut_power(&self.state_dir, &mut self.rng);
        } else if is(dangers.move_away) {
            self.crash();
            self.move_away();
        } else if is(dangers.zombie) {
            self.stop_one();
        } else if is(dangers.wall_jump) {
            let by_ms = self.rng.random_range(-7_200_000..7_200_000);
            self.clock.set_wall(by_ms);
        } else if is(dangers.retention) {
            self.retain();
        } else if is(dangers.expire) {
            self.expire();
        } else if is(dangers.backlog) {
            self.backlog();
        } else if is(dangers.grow) {
            self.grow();
        } else if is(dangers.remake) {
            self.remake();
        } else if is(40) {
            self.kafka.lock().deliver_delayed();
        } else if is(120) {
            let ms = self.rng.random_range(1..40);
            self.clock.pass(ms);
        } else if is(40) {
            self.feed();
        } else {
            return self.step();
        }
        Ok(())
    }

    fn start(&mut self) -> Result<(), String> {
        self.starts += 1;
        let workers = self.rng.random_range(1..=WORKERS_MAX);
        let started = Process::start(process::Start {
            plan: &self.plan,
            connectors: &self.connectors,
            registries: &self.registry,
            journal: &|job, _| Box::new(SimCommitter::new(self.kafka.clone(), job, Vec::new())),
            settings: Settings {
                owner: format!("run-{}", self.starts),
                ..process::settings(&self.state_dir, workers)
            },
            clock: Arc::new(self.clock.clone()),
        });
        ("start", workers, started.is_ok()).hash(&mut self.trace);
        let (run, dir) = (
            self.starts,
            self.state_dir.file_name().unwrap_or_default().to_owned(),
        );
        let how = started
            .as_ref()
            .err()
            .map_or("it starts".to_owned(), ToString::to_string);
        self.note(format_args!(
            "run-{run} with {workers} workers in {dir:?}: {how}"
        ));
        match started {
            Ok(process) => {
                self.home.clone_from(&self.state_dir);
                self.machines.push(Machine {
                    process,
                    state_dir: self.state_dir.clone(),
                    stopped_until: None,
                });
                Ok(())
            }
            Err(error) if is_named(&error) && self.state_dir != self.home => {
                self.refusals += 1;
                self.state_dir.clone_from(&self.home);
                Ok(())
            }
            Err(error) => self.ended(&error),
        }
    }

    /// A process ended; whether it may.
    fn ended(&mut self, error: &Error) -> Result<(), String> {
        match error.kind() {
            ErrorKind::Retry | ErrorKind::Fenced => Ok(()),
            ErrorKind::Invalid if self.is_remade && error.to_string().contains("made again") => {
                self.is_refused = true;
                Ok(())
            }
            kind => Err(format!("a process gave up ({kind:?}): {error}")),
        }
    }

    /// A part of a process takes a step.
    fn step(&mut self) -> Result<(), String> {
        let turn = self.turn;
        for machine in &mut self.machines {
            machine.stopped_until = machine.stopped_until.filter(|&until| turn < until);
        }
        let running: Vec<usize> = (0..self.machines.len())
            .filter(|&i| self.machines[i].stopped_until.is_none())
            .collect();
        let Some(&at) = running.choose(&mut self.rng) else {
            return Ok(());
        };
        let process = &mut self.machines[at].process;
        let parts = process.parts();
        let part = *parts.choose(&mut self.rng).expect("a process has parts");
        let fails =
            part == Part::Writer && self.rng.random_range(0..1_000) < self.dangers.disk_full * 30;
        let result = if fails {
            process.fail_to_write();
            Ok(())
        } else {
            process.step(part, false)
        };
        (at, format!("{part:?}"), result.is_ok()).hash(&mut self.trace);
        if let Err(error) = result {
            let dir = self.machines.remove(at).state_dir;
            self.note(format_args!(
                "the one in {:?} ends: {error}",
                dir.file_name()
            ));
            // One that was replaced reads on until it learns of it, perhaps what is not retained for it.
            if is_named(&error) && dir != self.home {
                return Ok(());
            }
            return self.ended(&error);
        }
        if self.machines[at].process.is_done() {
            let dir = self.machines.remove(at).state_dir;
            self.note(format_args!(
                "the one in {:?} ends, to begin again with new partitions",
                dir.file_name()
            ));
            return Ok(());
        }
        // The worst moment to be stopped.
        if part == Part::Commits
            && self.machines[at].process.is_in_doubt()
            && self.rng.random_range(0..1_000) < self.dangers.zombie * 40
        {
            self.stop_one();
        }
        // Whoever waits for an answer waits with all that it is made of.
        let delay_ms = self.kafka.lock().take_delay_ms();
        self.clock.pass(delay_ms);
        Ok(())
    }

    /// The process that runs is killed.
    fn crash(&mut self) {
        if let Some(at) = self
            .machines
            .iter()
            .position(|machine| machine.stopped_until.is_none())
        {
            self.state_dir = self.machines.remove(at).state_dir;
            let note = format!("the one in {:?} is killed", self.state_dir.file_name());
            self.note(note);
        }
    }

    /// The next process starts on another machine.
    fn move_away(&mut self) {
        self.dirs += 1;
        let to = self.root.path().join(self.dirs.to_string());
        if self.rng.random_bool(0.7) {
            // A copy that somebody made in time.
            damage::copy_folder(&self.state_dir, &to);
        }
        self.state_dir = to;
    }

    /// The process that runs is stopped for a while; the next one starts elsewhere.
    fn stop_one(&mut self) {
        if self.machines.len() > 1 {
            return;
        }
        let turns = self.rng.random_range(50..1_500);
        let until = self.turn + turns;
        if let Some(machine) = self.machines.first_mut() {
            machine.stopped_until = Some(until);
            self.state_dir.clone_from(&machine.state_dir);
            let dir = self.state_dir.file_name().unwrap_or_default().to_owned();
            self.note(format_args!(
                "the one in {dir:?} is stopped until turn {until}"
            ));
            self.move_away();
        }
    }

    /// Deletes of all input what the oldest checkpoint of the newest process's does not need.
    fn retain(&mut self) {
        let checkpoints = CheckpointStore::new(self.home.clone())
            .list()
            .unwrap_or_default();
        let oldest = checkpoints
            .into_iter()
            .find_map(|checkpoint| checkpoint.manifest.ok());
        let mut brokers = self.kafka.lock();
        let Some(oldest) = oldest else {
            return;
        };
        for (source, positions) in oldest.positions {
            let place = |number| seam::place(&oldest.incarnations[&source], number);
            for (number, offset) in positions {
                if let Some(TopicPartition { topic, partition }) = place(number) {
                    brokers.retain_from(&topic, partition as usize, offset);
                }
            }
        }
    }

    fn expire(&mut self) {
        let mut brokers = self.kafka.lock();
        for id in brokers.transactional_ids() {
            brokers.expire(&id);
        }
    }
}

/// True for a refusal that has its reason, of a process that has not the newest state: what it needs may be gone.
fn is_named(error: &Error) -> bool {
    let reason = error.to_string();
    let lacks = [
        "the journal has no record of epoch",
        "is retained from offset",
    ];
    error.kind() == ErrorKind::Invalid && lacks.iter().any(|lack| reason.contains(lack))
}

/// Removes what a simulation left.
impl Drop for World<'_> {
    fn drop(&mut self) {
        self.machines.clear();
        // Best effort: it lies in a temporary folder.
        let _ = fs::remove_dir_all(self.root.path());
    }
}
