//! What is compared: each system as a few processes that can be started, watched, killed and stopped.

mod flink;
mod streams;
mod tidemill;

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tidemill_studio::generator::WallClock;

use crate::job::last_lines;
use crate::launch::Binaries;

/// The job as Tidemill runs it, from the root of the workspace.
pub const JOB: &str = "benches/peers/studio_peers.sql";
/// How often something outside is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How long a process may take to end after it was asked to.
const END_WAIT_MAX: Duration = Duration::from_secs(60);

/// Which systems there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// This workspace's binary.
    Tidemill,
    /// Apache Flink SQL, state in RocksDB.
    FlinkRocksdb,
    /// Apache Flink SQL, state on the heap.
    FlinkHeap,
    /// Kafka Streams, stores in RocksDB.
    KafkaStreams,
}

impl Kind {
    /// All of them, in the order in which they have their turns.
    pub const ALL: [Self; 4] = [
        Self::Tidemill,
        Self::FlinkRocksdb,
        Self::FlinkHeap,
        Self::KafkaStreams,
    ];

    /// As it stands in tables and options.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tidemill => "tidemill",
            Self::FlinkRocksdb => "flink-rocksdb",
            Self::FlinkHeap => "flink-heap",
            Self::KafkaStreams => "kafka-streams",
        }
    }

    /// Starts the job on empty outputs and no state; returns once its processes run.
    ///
    /// # Errors
    /// If it does not start before the deadline.
    pub fn start(self, place: &Place) -> Result<Box<dyn System>> {
        Ok(match self {
            Self::Tidemill => Box::new(tidemill::Tidemill::start(place)?),
            Self::FlinkRocksdb => Box::new(flink::Flink::start(place, "rocksdb")?),
            Self::FlinkHeap => Box::new(flink::Flink::start(place, "hashmap")?),
            Self::KafkaStreams => Box::new(streams::Streams::start(place)?),
        })
    }
}

/// Where a system runs.
#[derive(Debug, Clone)]
pub struct Place {
    /// Root of the workspace.
    pub root: PathBuf,
    /// The binaries.
    pub binaries: Binaries,
    /// What `benches/peers/install.sh` made.
    pub peers: PathBuf,
    /// Folder of this turn: logs, state, checkpoints.
    pub work: PathBuf,
    /// The broker.
    pub bootstrap: String,
    /// Workers, slots or threads.
    pub workers: usize,
    /// When the turn must be over.
    pub deadline: Instant,
}

impl Place {
    /// A command of `benches/peers` with what all of them want to know.
    fn script(&self, name: &str) -> Command {
        let mut command = Command::new(self.root.join("benches/peers").join(name));
        command
            .env("PEERS", &self.peers)
            .env("WORK", &self.work)
            .env("BOOTSTRAP", &self.bootstrap)
            .env("WORKERS", self.workers.to_string());
        command
    }

    /// Asks `look` again and again until it has an answer.
    fn wait_for<T>(&self, what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
        loop {
            if let Some(found) = look()? {
                return Ok(found);
            }
            ensure!(
                Instant::now() < self.deadline,
                "the turn was over before {what}; allow more with --turn-minutes"
            );
            std::thread::sleep(LOOK_AGAIN);
        }
    }
}

/// A system at work.
pub trait System {
    /// When it read its first record: waits until it has.
    ///
    /// # Errors
    /// If it fails before.
    fn first_record(&mut self) -> Result<Instant>;

    /// Fails if a process has ended by itself.
    ///
    /// # Errors
    /// With its last words.
    fn check(&mut self) -> Result<()>;

    /// Its processes.
    fn processes(&self) -> Vec<u32>;

    /// `kill -9` of the processes that hold state and work on records, and the same again at once. Returns when they were killed.
    ///
    /// # Errors
    /// If one cannot be started again.
    fn kill_and_restart(&mut self) -> Result<Instant>;

    /// Asks it to end, and waits until it has.
    ///
    /// # Errors
    /// If it does not.
    fn stop(self: Box<Self>) -> Result<()>;
}

/// A process with its log; it is killed if the value goes.
struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a command; what it says is added to `NAME.log` in the folder.
    fn start(name: &'static str, mut command: Command, folder: &Path) -> Result<Self> {
        let log = folder.join(name).with_extension("log");
        let output = OpenOptions::new().create(true).append(true).open(&log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot run '{}'", command.get_program().display()))?;
        Ok(Self { name, child, log })
    }

    fn id(&self) -> u32 {
        self.child.id()
    }

    fn last_words(&self) -> String {
        last_lines(&self.log, 30)
    }

    /// Fails if it has ended.
    fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!(
                "the {} has ended ({status}); its last words:\n{}",
                self.name,
                self.last_words()
            ),
        }
    }

    fn kill(&mut self) -> Result<()> {
        self.check()?;
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// `SIGTERM`; what does not end is killed.
    fn stop(mut self) -> Result<()> {
        let id = self.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status()?;
        let since = Instant::now();
        while self.child.try_wait()?.is_none() {
            ensure!(
                since.elapsed() < END_WAIT_MAX,
                "the {} does not stop",
                self.name
            );
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended; then there is nothing to kill.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A wall clock's time, in milliseconds since 1970, on the clock that measures.
fn instant_of(ms: i64) -> Result<Instant> {
    let age = u64::try_from(WallClock::now_ms() - ms).unwrap_or(0);
    Instant::now()
        .checked_sub(Duration::from_millis(age))
        .context("a process says that it has read before this machine was started")
}

/// Empties a log, so that what is found in it is new.
fn truncate(log: &Path) -> Result<()> {
    File::create(log)?;
    Ok(())
}
