//! A run from its start to its verdict.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rand::seq::SliceRandom;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::cluster::{Cluster, NODES};
use crate::dangers::{Danger, Impossible};
use crate::disks::Disks;
use crate::job::{Job, Launch};
use crate::load::Load;
use crate::news::News;
use crate::proxy::{Proxy, Scissors};
use crate::report::{Findings, Tally};
use crate::world::{Over, Parts, World};
use crate::{every_stage, once, studio};

/// How long a job may take to stop, and to catch up.
const STOP_WAIT_MAX: Duration = Duration::from_secs(120);
const CATCH_UP_WAIT_MAX: Duration = Duration::from_secs(400);
/// How often it may end meanwhile with "this may pass".
const CATCH_UPS_MAX: usize = 3;
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Settings of a run.
pub struct Settings {
    /// How long dangers come.
    pub seconds: u64,
    /// Of everything that is drawn.
    pub seed: u64,
    /// What may happen.
    pub dangers: Vec<Danger>,
    /// Events a second for the studio's job.
    pub rate: u64,
    /// The binary.
    pub tidemill: PathBuf,
    /// Root of the workspace.
    pub root: PathBuf,
    /// Where logs go.
    pub logs: PathBuf,
}

/// Builds the world, lets the dangers come, and verifies.
///
/// # Errors
/// If there is no world to be built. What goes wrong in it is a finding.
pub fn run(settings: &Settings) -> Result<Findings> {
    // In this order: first go the jobs and the brokers, then their disks, then the folder.
    let folder = tempfile::Builder::new()
        .prefix("tidemill-chaos.")
        .tempdir()?;
    let mut disks = Disks::default();
    let mut world = build(settings, folder.path().to_owned(), &mut disks)?;
    world.loads = loads(&world, settings);
    let mut dangers = BTreeMap::new();
    if let Err(error) = live(&mut world, settings, &mut dangers) {
        world.fault(format!("the run ends early: {error:#}"));
    }
    let mut findings = Findings {
        dangers,
        ..Findings::default()
    };
    world.say("the load ends");
    for load in std::mem::take(&mut world.loads) {
        match load.end() {
            Ok(records) => findings.records += records,
            Err(error) => world.fault(format!("a load failed: {error:#}")),
        }
    }
    match finish(&mut world) {
        Ok(()) => verify(&mut world, &mut findings),
        Err(error) => world.fault(format!("nothing can be verified: {error:#}")),
    }
    world.cluster.keep_logs(&settings.logs);
    findings.restarts = world.restarts;
    findings.faults = std::mem::take(&mut world.faults);
    Ok(findings)
}

fn build(settings: &Settings, folder: PathBuf, disks: &mut Disks) -> Result<World> {
    let mut news = News::new(&settings.logs)?;
    // A copy, so that a build during the run does not change what is tested.
    let tidemill = folder.join("tidemill");
    fs::copy(&settings.tidemill, &tidemill).context("cannot copy the 'tidemill' binary")?;
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))?;
    }
    news.say("three brokers start");
    let proxies: Vec<_> = (0..NODES).map(|_| Proxy::bind()).collect::<Result<_>>()?;
    let advertised = [proxies[0].port(), proxies[1].port(), proxies[2].port()];
    let cluster = Cluster::start(&folder.join("kafka"), advertised)?;
    let scissors = Arc::new(Scissors::default());
    for (node, proxy) in proxies.into_iter().enumerate() {
        proxy.forward(cluster.client_port(node), &scissors);
    }
    studio::create(&cluster.bootstrap())?;
    every_stage::create(&cluster.bootstrap())?;
    let launch = Launch {
        tidemill,
        root: settings.root.clone(),
        bootstrap: advertised.map(|port| format!("127.0.0.1:{port}")).join(","),
        logs: settings.logs.clone(),
    };
    // An event takes some 70 bytes of state; checkpoints are kept, and a second process may have a copy of it all.
    let disk_bytes = (512 << 20) + settings.rate * settings.seconds * 512;
    let mut disk = |name: &str| disks.add(folder.join(name), disk_bytes);
    let jobs = vec![
        Job::new(
            (studio::NAME, studio::SQL),
            &studio::SOURCES,
            disk(studio::NAME)?,
            &launch,
        ),
        Job::new(
            (every_stage::NAME, every_stage::SQL),
            &every_stage::SOURCES,
            disk(every_stage::NAME)?,
            &launch,
        ),
    ];
    let parts = Parts {
        jobs,
        cluster,
        scissors,
        news,
        folder,
        interrupted,
    };
    World::new(parts, settings.seed, every_stage::PARTITIONS)
}

fn loads(world: &World, settings: &Settings) -> Vec<Load> {
    // As long as a run can take; they are ended before.
    let seconds = settings.seconds + 3600;
    let (seed, rate) = (settings.seed, settings.rate);
    let bootstrap = world.bootstrap.clone();
    let of_studio =
        Load::start(move |stop| studio::publish((&bootstrap, seed), rate, seconds, stop));
    let (bootstrap, partitions) = (world.bootstrap.clone(), Arc::clone(&world.partitions));
    let of_stages = Load::start(move |stop| {
        every_stage::publish(&bootstrap, (seed, rate.div_ceil(2)), &partitions, stop)
    });
    vec![of_studio, of_stages]
}

/// Starts the jobs, and lets one danger after the other come until the time is over: each once before one comes
/// again.
fn live(
    world: &mut World,
    settings: &Settings,
    tallies: &mut BTreeMap<&'static str, Tally>,
) -> Result<()> {
    for job in &mut world.jobs {
        job.start(&[])?;
    }
    world.await_commits()?;
    let until = Instant::now() + Duration::from_secs(settings.seconds);
    let mut deck: Vec<usize> = Vec::new();
    while Instant::now() < until && !settings.dangers.is_empty() {
        if deck.is_empty() {
            deck = (0..settings.dangers.len()).collect();
            deck.shuffle(&mut world.random);
        }
        let Some(danger) = deck.pop().map(|at| &settings.dangers[at]) else {
            break;
        };
        let calm = world.seconds(1.0, 8.0);
        world.wait(calm)?;
        world.say(format!("--- {}", danger.name));
        let tally = tallies.entry(danger.name).or_default();
        match (danger.strike)(world) {
            Ok(()) => tally.times += 1,
            Err(error) if error.is::<Over>() => return Err(error),
            Err(error) => {
                tally.not_done += 1;
                world.say(format!("could not be done: {error:#}"));
                if error.is::<Impossible>() {
                    continue;
                }
            }
        }
        let took = world.await_commits()?;
        tally.come_back_max = tally.come_back_max.max(took);
    }
    Ok(())
}

/// Stops the jobs, lets them catch up with everything, and end.
fn finish(world: &mut World) -> Result<()> {
    for number in 0..world.jobs.len() {
        let name = world.jobs[number].name;
        world.say(format!("{name} is stopped"));
        // Before its first status it does not listen to signals.
        let since = Instant::now();
        while world.jobs[number].status().state.is_empty() && since.elapsed() < STOP_WAIT_MAX {
            world.go_on()?;
            std::thread::sleep(LOOK_AGAIN);
        }
        if let Some(process) = &world.jobs[number].process {
            // One that has ended is started all the same.
            drop(process.signal("TERM"));
        }
        await_end(world, number, "stop", STOP_WAIT_MAX)?;
    }
    for number in 0..world.jobs.len() {
        let name = world.jobs[number].name;
        let mut ended = false;
        for _ in 0..CATCH_UPS_MAX {
            world.say(format!("{name} catches up with all that was published"));
            world.jobs[number].start(&["--until-caught-up"])?;
            ended = await_end(world, number, "catch up", CATCH_UP_WAIT_MAX)?;
            if ended {
                break;
            }
        }
        if !ended {
            world.fault(format!("{name} does not catch up"));
        }
    }
    Ok(())
}

/// Waits for a job that is about to end; true if there is no point in starting it again.
fn await_end(world: &mut World, number: usize, what: &str, wait_max: Duration) -> Result<bool> {
    let since = Instant::now();
    let name = world.jobs[number].name;
    while since.elapsed() < wait_max {
        if let Some(end) = world.jobs[number].end()? {
            if end.may_pass() {
                world.restarts += 1;
                world.say(format!("{name} {end}"));
            } else if end.code != Some(0) {
                world.fault(format!("{name} did not {what}: it {end}"));
            }
            return Ok(!end.may_pass());
        }
        world.go_on()?;
        std::thread::sleep(LOOK_AGAIN);
    }
    world.fault(format!(
        "{name} did not {what} within {wait_max:?}: it is killed"
    ));
    world.jobs[number].kill()?;
    Ok(true)
}

/// What cannot be read is a finding as well.
fn verify(world: &mut World, findings: &mut Findings) {
    world.say("every row is held against what the events give");
    match studio::verify(&world.mirror) {
        Ok(studio) => findings.studio = Some(studio),
        Err(error) => world.fault(format!("the studio cannot be verified: {error:#}")),
    }
    match every_stage::check(&world.mirror) {
        Ok(stages) => findings.stages = stages,
        Err(error) => world.fault(format!("the second job cannot be verified: {error:#}")),
    }
    for (topic, has_keys) in studio::SINKS.iter().chain(&every_stage::SINKS) {
        match once::check(&world.mirror, topic, *has_keys) {
            Ok(verdict) => findings.once.push(verdict),
            Err(error) => world.fault(format!("'{topic}' cannot be read: {error:#}")),
        }
    }
}
