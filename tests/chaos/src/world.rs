//! Everything that a danger can do something to, and the watch over the jobs meanwhile.
//!
//! A job that ends by itself is started again a second later, as a supervisor would; what it said is noted. It may
//! end with "this may pass" (exit code 1) while a danger is on; every other end is a fault, and so is a job that does
//! not come back.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use crate::cluster::Cluster;
use crate::job::Job;
use crate::load::Load;
use crate::mirror::Mirror;
use crate::news::News;
use crate::process::Process;
use crate::proxy::Scissors;

/// How often the jobs are looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How long a job may take until it commits again after the end of a danger.
const COME_BACK_WAIT_MAX: Duration = Duration::from_secs(150);
/// Before a job is started again that has ended by itself.
const RESTART_PAUSE: Duration = Duration::from_secs(1);
/// After so many ends in a row without a commit between, a job cannot come back: with "this may pass", and refused.
const ENDS_MAX: u32 = 10;
const REFUSALS_MAX: u32 = 3;

/// Why a run ends before its time.
#[derive(Debug)]
pub struct Over(String);

impl std::fmt::Display for Over {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Over {}

/// What is kept of a job's ends.
#[derive(Debug, Default)]
struct Watch {
    /// When it is started again.
    restart_at: Option<Instant>,
    /// Ends since it last committed, and the epoch of then.
    ends: u32,
    epoch: u64,
}

/// The world of a run.
pub struct World {
    /// Where the tools find the brokers.
    pub bootstrap: String,
    /// The jobs.
    pub jobs: Vec<Job>,
    /// The brokers.
    pub cluster: Arc<Cluster>,
    /// What cuts commits.
    pub scissors: Arc<Scissors>,
    /// Inputs that retention took.
    pub mirror: Mirror,
    /// What publishes the input of the jobs, once it does.
    pub loads: Vec<Load>,
    /// Partitions that the load of the second job writes to.
    pub partitions: Arc<AtomicU32>,
    /// The draws of this run.
    pub random: Xoshiro256PlusPlus,
    /// What happens, as it happens.
    pub news: News,
    /// Folder of files that go with the run.
    pub folder: PathBuf,
    /// What must not have happened.
    pub faults: Vec<String>,
    /// How often a job ended with "this may pass", and was started again.
    pub restarts: u64,
    interrupted: Arc<AtomicBool>,
    watches: Vec<Watch>,
}

/// What a world is made of.
pub struct Parts {
    /// As in [`World`].
    pub jobs: Vec<Job>,
    /// As in [`World`].
    pub cluster: Cluster,
    /// As in [`World`].
    pub scissors: Arc<Scissors>,
    /// As in [`World`].
    pub news: News,
    /// As in [`World`].
    pub folder: PathBuf,
    /// Raised by a signal.
    pub interrupted: Arc<AtomicBool>,
}

impl World {
    /// A world in which nothing has happened yet.
    ///
    /// # Errors
    /// If the mirror has no folder.
    pub fn new(parts: Parts, seed: u64, partitions: u32) -> Result<Self> {
        let bootstrap = parts.cluster.bootstrap();
        Ok(Self {
            mirror: Mirror::new(bootstrap.clone(), parts.folder.join("mirror"))?,
            bootstrap,
            watches: parts.jobs.iter().map(|_| Watch::default()).collect(),
            jobs: parts.jobs,
            cluster: Arc::new(parts.cluster),
            scissors: parts.scissors,
            loads: Vec::new(),
            partitions: Arc::new(AtomicU32::new(partitions)),
            random: Xoshiro256PlusPlus::seed_from_u64(seed),
            news: parts.news,
            folder: parts.folder,
            faults: Vec::new(),
            restarts: 0,
            interrupted: parts.interrupted,
        })
    }

    /// Tells what happens.
    pub fn say(&mut self, text: impl AsRef<str>) {
        self.news.say(text.as_ref());
    }

    /// Something that must not have happened; the run goes on and fails at its end.
    pub fn fault(&mut self, text: impl Into<String>) {
        let text = text.into();
        self.news.say(&format!("FAULT: {text}"));
        self.faults.push(text);
    }

    /// One of the jobs.
    pub fn any_job(&mut self) -> usize {
        self.random.random_range(0..self.jobs.len())
    }

    /// True with a probability of `share` in `of`.
    pub fn chance(&mut self, share: u32, of: u32) -> bool {
        self.random.random_range(0..of) < share
    }

    /// Some time between two numbers of seconds.
    pub fn seconds(&mut self, from: f64, to: f64) -> Duration {
        Duration::from_secs_f64(self.random.random_range(from..to))
    }

    /// Lets time pass, and looks after the jobs meanwhile.
    ///
    /// # Errors
    /// [`Over`] if a job cannot come back, or the run was interrupted.
    pub fn wait(&mut self, time: Duration) -> Result<()> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.look_after(None)?;
            std::thread::sleep(LOOK_AGAIN.min(until.saturating_duration_since(Instant::now())));
        }
        Ok(())
    }

    /// Looks after all jobs but the one that a danger has in its hands: what has ended is started again.
    ///
    /// # Errors
    /// As [`World::wait`].
    pub fn look_after(&mut self, except: Option<usize>) -> Result<()> {
        self.go_on()?;
        if self.loads.iter().any(Load::has_ended) {
            bail!(Over("a load has ended by itself".to_owned()));
        }
        for number in (0..self.jobs.len()).filter(|&number| Some(number) != except) {
            self.look_after_one(number)?;
        }
        Ok(())
    }

    fn look_after_one(&mut self, number: usize) -> Result<()> {
        let (job, watch) = (&mut self.jobs[number], &mut self.watches[number]);
        if let Some(at) = watch.restart_at {
            if Instant::now() >= at {
                watch.restart_at = None;
                job.start(&[])?;
            }
            return Ok(());
        }
        let status = job.status();
        if status.is_live() && status.epoch > watch.epoch {
            (watch.epoch, watch.ends) = (status.epoch, 0);
        }
        let Some(end) = job.end()? else { return Ok(()) };
        watch.restart_at = Some(Instant::now() + RESTART_PAUSE);
        watch.ends += 1;
        let (name, ends) = (job.name, watch.ends);
        let ends_max = if end.may_pass() {
            self.restarts += 1;
            self.say(format!("{name} {end}"));
            ENDS_MAX
        } else {
            self.fault(format!("{name} {end}"));
            REFUSALS_MAX
        };
        if ends >= ends_max {
            bail!(Over(format!(
                "'{name}' cannot come back: it has ended {ends} times since it last committed"
            )));
        }
        Ok(())
    }

    /// Fails once a signal has asked for the end of the run.
    ///
    /// # Errors
    /// [`Over`].
    pub fn go_on(&self) -> Result<()> {
        if self.interrupted.load(Ordering::SeqCst) {
            bail!(Over("interrupted".to_owned()));
        }
        Ok(())
    }

    /// `kill -9` of a job and the same command again, maybe with another number of workers.
    ///
    /// # Errors
    /// If there is no process to be had.
    pub fn kill_and_start(&mut self, number: usize) -> Result<()> {
        self.kill(number)?;
        self.start(number)
    }

    /// `kill -9` of a job; it stays away.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn kill(&mut self, number: usize) -> Result<()> {
        let (name, status) = (self.jobs[number].name, self.jobs[number].status());
        self.jobs[number].kill()?;
        let (epoch, checkpoint) = (status.epoch, status.checkpoint_epoch);
        self.say(format!(
            "kill -9 {name}, at epoch {epoch}, checkpoint {checkpoint}"
        ));
        Ok(())
    }

    /// Starts a job that was killed, maybe with another number of workers.
    ///
    /// # Errors
    /// If there is no process to be had.
    pub fn start(&mut self, number: usize) -> Result<()> {
        self.watches[number].restart_at = None;
        if self.chance(1, 2) {
            self.jobs[number].workers = self.random.random_range(1..=3);
        }
        let (name, workers) = (self.jobs[number].name, self.jobs[number].workers);
        self.say(format!("{name} starts with {workers} workers"));
        self.jobs[number].start(&[])
    }

    /// Waits until every job has committed something new; returns how long that took.
    ///
    /// # Errors
    /// As [`World::wait`]; one that is stuck is a fault, and is killed and started again.
    pub fn await_commits(&mut self) -> Result<Duration> {
        let since = Instant::now();
        // A process that has just started knows of no epoch yet.
        let known = |(number, watch): (usize, &Watch)| {
            (number, watch.epoch.max(self.jobs[number].status().epoch))
        };
        let mut waiting: Vec<_> = self.watches.iter().enumerate().map(known).collect();
        while !waiting.is_empty() {
            self.look_after(None)?;
            std::thread::sleep(LOOK_AGAIN);
            waiting.retain(|&(number, epoch)| {
                let status = self.jobs[number].status();
                !(status.is_live() && status.epoch > epoch)
            });
            if since.elapsed() > COME_BACK_WAIT_MAX {
                let (number, epoch) = waiting.remove(0);
                let (name, status) = (self.jobs[number].name, self.jobs[number].status());
                let threads = self.jobs[number].process.as_ref().map(Process::threads);
                self.fault(format!(
                    "{name} is stuck: nothing committed beyond epoch {epoch} for {COME_BACK_WAIT_MAX:?}; \
                     it says it is '{}', has read {} records and leaves {}; its threads: {}",
                    status.state,
                    status.records_in,
                    status.lag,
                    threads.unwrap_or_default()
                ));
                self.kill_and_start(number)?;
                return Ok(since.elapsed());
            }
        }
        let took = since.elapsed();
        self.say(format!(
            "all jobs commit again, after {:.1} s",
            took.as_secs_f64()
        ));
        Ok(took)
    }
}
