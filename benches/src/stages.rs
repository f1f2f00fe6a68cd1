//! What the operators of the studio's job cost per event: the job itself, files to files, by one worker and by several.
//!
//! The job runs as its users run it, in a process of its own; when it has caught up, its metrics say how long its workers were in each operator
//! of the dataflow. So what is measured is what the engine renders, with all projections, exchanges and caches, and the sum over the operators
//! is the time that the workers were at work.
//!
//! Does not measure what runs beside the workers: sources, commits, checkpoints and RocksDB's own threads (`bench-studio` has those).

use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::job::Job;
use crate::launch::{Binaries, FINANCE_JOB, Launch, Place};
use crate::report::rounded;

/// How long a job may take to catch up.
const CATCH_UP_WAIT_MAX: Duration = Duration::from_secs(600);
/// How long a job may take to answer.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(30);
/// The metric that is read.
const BUSY: &str = "tidemill_operator_busy_seconds_total{operator=\"";
/// Operators below this share of the whole are shown as one.
const SHOWN_SHARE: f64 = 0.005;

/// Settings of a run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Events in all.
    pub events: u64,
    /// Seed of the generator.
    pub seed: u64,
    /// How often everything is run; of each operator the fastest counts, since whatever disturbs only adds.
    pub repeats: usize,
    /// With how many workers, each a run of its own.
    pub workers: Vec<usize>,
    /// Root of the workspace.
    pub root: PathBuf,
    /// The binaries.
    pub binaries: Binaries,
}

/// What the operators cost, in nanoseconds per event of the whole mix: all workers' time by the clock.
#[derive(Debug, Clone, PartialEq)]
pub struct Costs(BTreeMap<String, f64>);

/// What a run has measured: by number of workers, in the order asked for.
#[derive(Debug)]
pub struct Figures(Vec<(usize, Costs)>);

/// Runs the job with each number of workers.
///
/// # Errors
/// If it fails, or does not catch up.
pub fn run(settings: &Settings) -> Result<Figures> {
    let work = tempfile::Builder::new()
        .prefix("tidemill-stages.")
        .tempdir()?;
    let mut figures = Vec::new();
    for &workers in &settings.workers {
        let mut best: Option<Costs> = None;
        for repeat in 0..settings.repeats.max(1) {
            let folder = work.path().join(format!("{workers}.{repeat}"));
            let costs = once(settings, workers, &folder)?;
            best = Some(match best {
                Some(best) => best.fastest(&costs),
                None => costs,
            });
            std::fs::remove_dir_all(&folder)?;
        }
        figures.extend(best.map(|best| (workers, best)));
    }
    Ok(Figures(figures))
}

fn once(settings: &Settings, workers: usize, folder: &Path) -> Result<Costs> {
    std::fs::create_dir(folder)?;
    let launch = Launch {
        binaries: settings.binaries.clone(),
        root: settings.root.clone(),
        job: PathBuf::from(FINANCE_JOB),
        work: folder.to_owned(),
        place: Place::Files(folder.join("data")),
        workers,
        checkpoint_interval: Duration::from_secs(10),
        state_memory_bytes: None,
    };
    launch.generate(settings.events, settings.seed)?;
    let job = launch.run(&["--metrics-port", "0", "--operator-times"])?;
    job.wait_for("caught up", CATCH_UP_WAIT_MAX, |status| {
        status.state == "caught_up" && status.records_in >= settings.events
    })?;
    let busy = busy(&metrics(&job)?)?;
    job.stop()?;
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts of a bench are far below 2^52"
    )]
    let per_event = |seconds: f64| seconds * 1e9 / settings.events as f64;
    let costs = busy.into_iter();
    Ok(Costs(
        costs
            .map(|(operator, seconds)| (operator, per_event(seconds)))
            .collect(),
    ))
}

/// The metrics of a job that was told to serve them.
fn metrics(job: &Job) -> Result<String> {
    let since = Instant::now();
    let address = loop {
        let words = job.last_words();
        let mut words = words.split_whitespace();
        let url = words.find_map(|word| word.strip_prefix("http://")?.strip_suffix("/metrics"));
        if let Some(address) = url {
            break address.to_owned();
        }
        ensure!(
            since.elapsed() < ANSWER_WAIT_MAX,
            "the job does not say where its metrics are"
        );
        std::thread::sleep(Duration::from_millis(50));
    };
    let mut stream = TcpStream::connect(&address)?;
    stream.set_read_timeout(Some(ANSWER_WAIT_MAX))?;
    write!(
        stream,
        "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(
        answer.starts_with("HTTP/1.1 200"),
        "the job answers: {answer}"
    );
    Ok(answer)
}

/// Seconds by operator.
fn busy(metrics: &str) -> Result<BTreeMap<String, f64>> {
    let lines = metrics.lines().filter_map(|line| line.strip_prefix(BUSY));
    let of = |line: &str| -> Result<(String, f64)> {
        let (operator, seconds) = line.rsplit_once("\"} ").context("a metric has a value")?;
        Ok((operator.to_owned(), seconds.trim().parse()?))
    };
    let busy: BTreeMap<_, _> = lines.map(of).collect::<Result<_>>()?;
    ensure!(!busy.is_empty(), "the metrics have no '{BUSY}'");
    Ok(busy)
}

impl Costs {
    /// Of each operator the faster of two runs.
    fn fastest(mut self, other: &Self) -> Self {
        for (operator, cost) in &other.0 {
            let best = self.0.entry(operator.clone()).or_insert(*cost);
            *best = best.min(*cost);
        }
        self
    }

    fn total(&self) -> f64 {
        self.0.values().sum()
    }

    /// From the dearest to the cheapest.
    fn sorted(&self) -> Vec<(&str, f64)> {
        let mut sorted: Vec<_> = self
            .0
            .iter()
            .map(|(of, cost)| (of.as_str(), *cost))
            .collect();
        sorted.sort_by(|left, right| right.1.total_cmp(&left.1));
        sorted
    }

    fn to_json(&self) -> Value {
        let operators = self.0.iter();
        let operators: BTreeMap<_, _> = operators
            .map(|(operator, cost)| (operator, rounded(*cost)))
            .collect();
        json!({ "ns_per_event": rounded(self.total()), "ns_per_event_by_operator": operators })
    }
}

impl Figures {
    /// The line's figures: those of the first number of workers, then those of the others.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let of =
            |(workers, costs): &(usize, Costs)| (format!("workers_{workers}"), costs.to_json());
        Value::Object(self.0.iter().map(of).collect())
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (workers, costs) in &self.0 {
            let (s, total) = (if *workers == 1 { "" } else { "s" }, costs.total());
            writeln!(
                f,
                "{workers} worker{s}\n{:>9} {:>7}  operator",
                "ns/event", "share"
            )?;
            let mut line = |name: &str, cost: f64| {
                writeln!(f, "{cost:>9.0} {:>6.1}%  {name}", cost * 100.0 / total)
            };
            let sorted = costs.sorted();
            let (shown, others) =
                sorted.split_at(sorted.partition_point(|(_, cost)| *cost >= SHOWN_SHARE * total));
            for (operator, cost) in shown {
                line(operator, *cost)?;
            }
            let rest = others.iter().map(|(_, cost)| cost).sum();
            line(&format!("{} others", others.len()), rest)?;
            line("all", total)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Costs, busy};

    const METRICS: &str = "HTTP/1.1 200 OK\r\n\r\n# HELP tidemill_operator_busy_seconds_total x\n\
         tidemill_operator_busy_seconds_total{operator=\"decode a\"} 0.5\n\
         tidemill_operator_busy_seconds_total{operator=\"a/dedup\"} 0.25\ntidemill_epoch 7\n";

    #[test]
    fn the_time_of_each_operator_is_read() {
        let busy = busy(METRICS).unwrap();
        let busy: Vec<_> = busy.iter().map(|(of, time)| (of.as_str(), *time)).collect();
        assert_eq!(busy, [("a/dedup", 0.25), ("decode a", 0.5)]);
        assert!(super::busy("tidemill_epoch 7\n").is_err());
    }

    #[test]
    fn of_each_operator_the_fastest_run_counts() {
        let costs = |of: [(&str, f64); 2]| Costs(of.map(|(of, ns)| (of.to_owned(), ns)).into());
        let best = costs([("a", 5.0), ("b", 2.0)]).fastest(&costs([("a", 3.0), ("b", 9.0)]));
        assert_eq!(best, costs([("a", 3.0), ("b", 2.0)]));
    }
}
