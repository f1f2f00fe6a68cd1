//! The finance job of the studio on a real Kafka, in three phases on one broker:
//!
//! 1. **Catch up.** The events lie in the broker; the job reads all of them from nothing, with all its sinks exactly once.
//! 2. **Live.** The job goes on, with all that state; payments come at a steady rate; how long until each is visible?
//! 3. **Recovery.** Under the same load the job is killed with `kill -9` and started again at once; how long until the first new commit?
//!
//! At the end everything that was committed, kills included, is held against the studio's oracle.

mod figures;
pub(crate) mod live;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tidemill_connectors_kafka::tools::add_partitions;
use tidemill_studio::Topic;

use crate::broker::Broker;
use crate::catch_up::{self, checkpoints};
use crate::job::{self, Job, Line};
use crate::launch::{Binaries, FINANCE_JOB, Launch, Place};
use crate::process::{self, Usage};
use live::Live;

pub use figures::{Figures, Freshness, Recovery};

/// How long a job may take to recover.
const LIVE_WAIT_MAX: Duration = Duration::from_secs(300);
/// How long after a restart the first new commit may take.
const COMMIT_WAIT_MAX: Duration = Duration::from_secs(120);
/// After the start of the load, what is left out of the measurement.
const WARM_UP: Duration = Duration::from_secs(5);
/// How long what was produced may take to become visible, after the last that did.
const VISIBLE_WAIT_MAX: Duration = Duration::from_secs(60);
/// How long after it went live a job is killed, in turns: with checkpoints every 10 s, soon after one, between two, shortly before one.
const KILL_AFTER: [Duration; 3] = [
    Duration::from_secs(12),
    Duration::from_secs(15),
    Duration::from_secs(19),
];

/// Settings of a run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Events to catch up with.
    pub events: u64,
    /// Seed of the generator.
    pub seed: u64,
    /// Payments a second while live.
    pub rate: u64,
    /// How long latency is measured.
    pub live: Duration,
    /// How often the job is killed.
    pub kills: usize,
    /// Partitions that every topic has besides those that are written to.
    pub idle_partitions: u32,
    /// Workers of the job.
    pub workers: usize,
    /// Interval of checkpoints.
    pub checkpoint_interval: Duration,
    /// Root of the workspace.
    pub root: PathBuf,
    /// The binaries.
    pub binaries: Binaries,
}

/// Runs all phases and says what goes on meanwhile.
///
/// # Errors
/// If something does not run at all. A figure that falls short is none.
pub fn run(settings: &Settings, mut say: impl FnMut(&str)) -> Result<Figures> {
    // In this order: first goes the load, then the job, then the broker, then their files.
    let work = tempfile::Builder::new()
        .prefix("tidemill-bench.")
        .tempdir()?;
    let binaries = settings.binaries.copied_to(work.path())?;
    say("starting Kafka");
    let broker = Broker::start(&work.path().join("kafka"))?;
    let launch = Launch {
        binaries,
        root: settings.root.clone(),
        job: PathBuf::from(FINANCE_JOB),
        work: work.path().to_owned(),
        place: Place::Kafka(broker.bootstrap()),
        workers: settings.workers,
        checkpoint_interval: settings.checkpoint_interval,
        state_memory_bytes: None,
    };
    say(&format!("writing {} events", settings.events));
    let generated = launch.generate(settings.events, settings.seed)?;
    if settings.idle_partitions > 0 {
        let partitions = live::PARTITIONS + settings.idle_partitions;
        for topic in Topic::ALL {
            add_partitions(&broker.bootstrap(), topic.name(), partitions)?;
        }
    }

    say("1. catching up");
    let catch_up = catch_up::follow_with(
        &broker,
        launch.run(&["--until-caught-up"])?,
        settings.events,
    )?;
    say(&catch_up.to_string());

    say(&format!("2. live, at {} payments/s", settings.rate));
    let mut job = launch.run(&[])?;
    job.wait_for("live", LIVE_WAIT_MAX, job::Status::is_live)?;
    let mut live = Live::start(&broker.bootstrap(), settings.rate, live::FIRST_ID)?;
    let freshness = freshness(&mut live, &job, &broker, settings.live)?;
    say(&freshness.to_string());

    let mut recoveries = Vec::new();
    let mut resident_peak_bytes = job.usage().resident_peak_bytes;
    for (kill, after) in (1..=settings.kills).zip(KILL_AFTER.into_iter().cycle()) {
        say(&format!("3. kill -9, {kill} of {}", settings.kills));
        sleep_while(&mut live, after)?;
        let (restarted, recovery) = recover(&launch, job, &live)?;
        say(&recovery.to_string());
        recoveries.push(recovery);
        job = restarted;
        resident_peak_bytes = resident_peak_bytes.max(job.usage().resident_peak_bytes);
    }

    let totals = live.finish(VISIBLE_WAIT_MAX)?;
    resident_peak_bytes = resident_peak_bytes.max(job.usage().resident_peak_bytes);
    job.stop()?;
    say("comparing everything that was committed with the oracle");
    let verified = launch.verify()?;
    Ok(Figures {
        generated,
        catch_up,
        freshness,
        recoveries,
        live_resident_peak_bytes: resident_peak_bytes,
        totals,
        verified,
    })
}

/// Epochs a second between the first line and the last.
#[expect(clippy::cast_precision_loss, reason = "a rate to be read")]
fn epochs_per_s(lines: &[Line]) -> f64 {
    let (Some(first), Some(last)) = (lines.first(), lines.last()) else {
        return 0.0;
    };
    let span = last.at.saturating_duration_since(first.at);
    (last.status.epoch - first.status.epoch) as f64 / span.as_secs_f64().max(1e-3)
}

/// The middle one of the commits that the lines tell of.
fn median_commit_ms(lines: &[Line]) -> f64 {
    let mut durations: Vec<f64> = lines.iter().map(|line| line.status.commit_ms).collect();
    durations.sort_by(f64::total_cmp);
    durations.get(durations.len() / 2).copied().unwrap_or(0.0)
}

/// Latencies over a span of steady load.
fn freshness(live: &mut Live, job: &Job, broker: &Broker, span: Duration) -> Result<Freshness> {
    sleep_while(live, WARM_UP)?;
    drop(job.lines_so_far());
    let (from, before) = (
        live.mark(),
        (job.usage(), process::cpu_s(broker.process()?)),
    );
    let started = Instant::now();
    sleep_while(live, span)?;
    let (to, seconds) = (live.mark(), started.elapsed().as_secs_f64());
    let used = |after: &Usage, before: &Usage| (after.cpu_s - before.cpu_s) / seconds;
    let lines = job.lines_so_far();
    let broker_cpus = (process::cpu_s(broker.process()?) - before.1) / seconds;
    // What was due last may take a moment.
    sleep_while(live, WARM_UP)?;
    let (latencies, missing) = live.latencies(from..to);
    Ok(Freshness {
        rate: live.rate(),
        seconds,
        latencies,
        missing,
        epochs_per_s: epochs_per_s(&lines),
        commit_ms: median_commit_ms(&lines),
        checkpoints: checkpoints(&lines),
        job_cpus: used(&job.usage(), &before.0),
        broker_cpus,
    })
}

/// Kills the job, starts it again at once, and waits for its first new commit.
fn recover(launch: &Launch, job: Job, live: &Live) -> Result<(Job, Recovery)> {
    let killed = Instant::now();
    job.kill()?;
    let job = launch.run(&[])?;
    // The first line that knows the journal's last epoch: the job commits nothing before it has written that line.
    let known = job.wait_for("past its journal", LIVE_WAIT_MAX, |status| status.epoch > 0)?;
    let committed = known.status.epoch;
    let checkpoint = known.status.checkpoint_epoch;
    let since = Instant::now();
    let (first, last_before) = loop {
        match live.around(committed) {
            (Some(first), last) => break (first, last),
            (None, _) => {
                ensure!(
                    since.elapsed() < COMMIT_WAIT_MAX,
                    "nothing was committed within {COMMIT_WAIT_MAX:?} of a restart"
                );
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    };
    let live_line = job.wait_for("live", LIVE_WAIT_MAX, job::Status::is_live)?;
    let recovery = Recovery {
        start_to_commit: first.at.saturating_duration_since(job.started),
        outage: first
            .at
            .saturating_duration_since(last_before.map_or(killed, |last| last.at)),
        recovery_ms: live_line.status.recovery_ms.unwrap_or(-1),
        replayed_epochs: committed.saturating_sub(checkpoint),
        usage: job.usage(),
    };
    Ok((job, recovery))
}

/// Sleeps, and looks after the load meanwhile.
fn sleep_while(live: &mut Live, span: Duration) -> Result<()> {
    let since = Instant::now();
    while since.elapsed() < span {
        live.check()?;
        let rest = span.saturating_sub(since.elapsed());
        std::thread::sleep(rest.min(Duration::from_millis(200)));
    }
    Ok(())
}
