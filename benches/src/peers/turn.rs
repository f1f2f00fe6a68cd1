//! One system's turn: a fresh broker with the same events, catching up, latency at each rate, a kill, and what it all came to.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tidemill_connectors_kafka::tools::{TopicSpec, create_topics};
use tidemill_studio::generator::WallClock;

use super::Settings;
use super::cuts::{OUTPUTS, Watch};
use super::figures::{CatchUp, Freshness, Turn};
use super::outputs;
use super::system::{JOB, Kind, Place, System};
use super::usage::Usages;
use crate::broker::Broker;
use crate::launch::{self, Launch};
use crate::process;
use crate::studio::live::{FIRST_ID, Live};

/// Partitions of inputs and outputs.
const PARTITIONS: u32 = 4;
/// Nothing new in the outputs for so long, and hardly any processor time used: all is done.
const QUIET: Duration = Duration::from_secs(8);
/// Nothing new for so long: all is done, whatever the processes are busy with.
const QUIET_MAX: Duration = Duration::from_secs(30);
/// What counts as hardly any, in processors.
const IDLE_CPUS: f64 = 0.6;
/// After the start of a load, what is left out of the measurement; and after its end, what is waited for.
const WARM_UP: Duration = Duration::from_secs(5);
/// How long after the last payment that became visible the rest is given up.
const VISIBLE_WAIT_MAX: Duration = Duration::from_secs(60);
/// From the start of the load to the kill.
const KILL_AFTER: Duration = Duration::from_secs(12);
/// The load meanwhile.
const KILL_RATE: u64 = 1_000;
/// How long the first new commit may take.
const RECOVERY_MAX: Duration = Duration::from_secs(240);
/// Ids between two loads, more than either has.
const IDS_OF_A_LOAD: u64 = 10_000_000;
const LOOK_AGAIN: Duration = Duration::from_millis(40);

/// Takes a turn. What it got to is reported even if something failed on the way.
pub fn take(kind: Kind, settings: &Settings, say: &mut dyn FnMut(&str)) -> Turn {
    let mut turn = Turn::new(kind);
    if let Err(error) = run(&mut turn, settings, say) {
        say(&format!("{}: {error:#}", kind.name()));
        turn.failure = Some(format!("{error:#}"));
    }
    turn
}

fn run(turn: &mut Turn, settings: &Settings, say: &mut dyn FnMut(&str)) -> Result<()> {
    // In this order: first goes the load, then the system, then the broker, then their files.
    let work = tempfile::Builder::new()
        .prefix("tidemill-bench.")
        .tempdir()?;
    let broker = Broker::start(&work.path().join("kafka"))?;
    let bootstrap = broker.bootstrap();
    generate(settings, work.path(), &bootstrap)?;
    let spec = |name| TopicSpec {
        name,
        partitions: PARTITIONS,
        // Whatever time a system gives its records, they stay.
        settings: vec![("retention.ms", "-1")],
    };
    create_topics(&bootstrap, &OUTPUTS.map(spec))?;
    let folder = work.path().join("system");
    std::fs::create_dir(&folder)?;
    let place = Place {
        root: settings.root.clone(),
        binaries: settings.binaries.clone(),
        peers: settings.peers.clone(),
        work: folder,
        bootstrap: bootstrap.clone(),
        workers: settings.workers,
        deadline: Instant::now() + settings.turn_max,
    };
    let watch = Watch::start(&bootstrap)?;
    let mut stage = Stage {
        broker: broker.process()?,
        watch,
        system: turn.kind.start(&place)?,
        usages: Usages::default(),
        place,
        loads: 0,
    };
    let phases = stage.phases(turn, settings, say);
    stage.usages.sample(&stage.system.processes());
    turn.peak_bytes = stage.usages.peak_bytes();
    let Stage { watch, system, .. } = stage;
    let cuts = watch.finish()?;
    let stopped = system.stop();
    // Worth knowing even if a phase failed; why it did is worth more.
    turn.impossible = Some(outputs::impossible(&bootstrap, &cuts)?);
    let windows_wait = turn.kind == Kind::Tidemill;
    turn.verified = Some(outputs::verify(
        &bootstrap,
        WallClock::now_ms(),
        PARTITIONS,
        windows_wait,
    )?);
    phases.and(stopped)
}

fn generate(settings: &Settings, work: &Path, bootstrap: &str) -> Result<()> {
    let launch = Launch {
        binaries: settings.binaries.clone(),
        root: settings.root.clone(),
        job: JOB.into(),
        work: work.to_owned(),
        place: launch::Place::Kafka(bootstrap.to_owned()),
        workers: settings.workers,
        checkpoint_interval: Duration::ZERO,
        state_memory_bytes: None,
    };
    launch.generate(settings.events, settings.seed)?;
    Ok(())
}

/// A system on its broker.
struct Stage {
    place: Place,
    broker: u32,
    watch: Watch,
    system: Box<dyn System>,
    usages: Usages,
    /// How many loads there have been.
    loads: u64,
}

impl Stage {
    fn phases(
        &mut self,
        turn: &mut Turn,
        settings: &Settings,
        say: &mut dyn FnMut(&str),
    ) -> Result<()> {
        let name = turn.kind.name();
        let caught_up = self.catch_up(settings.events)?;
        say(&format!("{name}: {caught_up}"));
        turn.catch_up = Some(caught_up);
        for &rate in &settings.rates {
            let freshness = self.freshness(rate, settings.live)?;
            say(&format!("{name}: {freshness}"));
            turn.freshness.push(freshness);
        }
        for _ in 0..settings.kills {
            let recovery = self.recover()?;
            say(&format!(
                "{name}: kill -9 to first new commit {:.2} s",
                recovery.as_secs_f64()
            ));
            turn.recoveries.push(recovery);
        }
        self.wait_until_quiet().map(drop)
    }

    fn catch_up(&mut self, events: u64) -> Result<CatchUp> {
        let broker_before_s = process::cpu_s(self.broker);
        let first_record = self.system.first_record()?;
        let end = self.wait_until_quiet()?;
        Ok(CatchUp {
            events,
            took: end.at.saturating_duration_since(first_record),
            cpu_s: end.cpu_s,
            broker_cpu_s: end.broker_cpu_s - broker_before_s,
        })
    }

    /// Waits until the outputs change no more; returns when they did last, and what had been used by then.
    fn wait_until_quiet(&mut self) -> Result<End> {
        let mut end: Option<End> = None;
        let (mut window, mut used) = (Instant::now(), f64::INFINITY);
        let mut window_cpu_s = self.cpu_s();
        loop {
            self.look()?;
            if window.elapsed() >= QUIET / 2 {
                used = (self.cpu_s() - window_cpu_s) / window.elapsed().as_secs_f64();
                (window, window_cpu_s) = (Instant::now(), self.cpu_s());
            }
            let changed = self.watch.changed();
            match (&end, changed) {
                (Some(known), Some(at)) if known.at == at => {}
                (_, Some(at)) => {
                    end = Some(End {
                        at,
                        cpu_s: self.cpu_s(),
                        broker_cpu_s: process::cpu_s(self.broker),
                    });
                }
                (_, None) => {}
            }
            if let Some(at) = changed
                && (at.elapsed() >= QUIET_MAX || (at.elapsed() >= QUIET && used < IDLE_CPUS))
            {
                return end.context("it was noted when it changed");
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    fn freshness(&mut self, rate: u64, span: Duration) -> Result<Freshness> {
        let mut live = self.load(rate)?;
        self.sleep(&mut live, WARM_UP)?;
        let (from, cpu_before_s, since) = (live.mark(), self.cpu_s(), Instant::now());
        self.sleep(&mut live, span)?;
        let (to, seconds) = (live.mark(), since.elapsed().as_secs_f64());
        let cpus = (self.cpu_s() - cpu_before_s) / seconds;
        // What was due last may take a moment.
        self.sleep(&mut live, WARM_UP)?;
        let late = live.latencies(from..to).1;
        let rate = live.rate();
        live.wait(VISIBLE_WAIT_MAX)?;
        let (latencies, missing) = live.latencies(from..to);
        let repeated = live.finish(Duration::ZERO)?.repeated;
        Ok(Freshness {
            rate,
            latencies,
            late,
            missing,
            repeated,
            cpus,
        })
    }

    /// From the kill to when the first payment that was due after it was visible.
    fn recover(&mut self) -> Result<Duration> {
        let mut live = self.load(KILL_RATE)?;
        self.sleep(&mut live, KILL_AFTER)?;
        let killed = self.system.kill_and_restart()?;
        // Marks count what is due: a tick later all that counts was produced after the kill.
        let mark = live.mark();
        let visible = loop {
            if let Some(at) = live.first_visible_from(mark) {
                break at;
            }
            ensure!(
                killed.elapsed() < RECOVERY_MAX,
                "nothing new was committed within {RECOVERY_MAX:?} of a kill"
            );
            self.sleep(&mut live, LOOK_AGAIN)?;
        };
        live.finish(VISIBLE_WAIT_MAX)?;
        Ok(visible.saturating_duration_since(killed))
    }

    fn load(&mut self, rate: u64) -> Result<Live> {
        let first_id = FIRST_ID + self.loads * IDS_OF_A_LOAD;
        self.loads += 1;
        Live::start(&self.place.bootstrap, rate, first_id)
    }

    /// Sleeps, and looks after system and load meanwhile.
    fn sleep(&mut self, live: &mut Live, span: Duration) -> Result<()> {
        let since = Instant::now();
        while since.elapsed() < span {
            live.check()?;
            self.look()?;
            let rest = span.saturating_sub(since.elapsed());
            std::thread::sleep(rest.min(Duration::from_millis(200)));
        }
        Ok(())
    }

    fn look(&mut self) -> Result<()> {
        ensure!(
            Instant::now() < self.place.deadline,
            "the turn takes longer than it may; allow more with --turn-minutes"
        );
        self.system.check()?;
        self.watch.check()?;
        self.usages.sample(&self.system.processes());
        Ok(())
    }

    fn cpu_s(&self) -> f64 {
        self.usages.cpu_s()
    }
}

/// When the outputs changed last.
struct End {
    at: Instant,
    cpu_s: f64,
    broker_cpu_s: f64,
}
