//! A job that reads what lies there and ends when all of it is committed: how fast, and what that cost.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value};

use crate::broker::Broker;
use crate::job::{Job, Line};
use crate::process::{self, Usage};
use crate::report::grouped;

/// A job that says nothing for so long is stuck; a checkpoint of millions of keys takes a while.
const SILENCE_MAX: Duration = Duration::from_secs(600);
/// Kinds of threads in the profile.
const THREADS_SHOWN: usize = 12;

/// How a job caught up.
#[derive(Debug)]
pub struct CatchUp {
    /// Events read.
    pub events: u64,
    /// From the first record read to the last commit.
    pub took: Duration,
    /// From the start of the process to its end, the last checkpoint included.
    pub wall: Duration,
    /// Epochs committed.
    pub epochs: u64,
    /// Checkpoints taken.
    pub checkpoints: usize,
    /// Records written by all sinks.
    pub records_out: u64,
    /// What the process used.
    pub usage: Usage,
    /// Processor time that the broker used meanwhile; 0 if there is none.
    pub broker_cpu_s: f64,
}

/// Follows a job that was just started with `--until-caught-up` to its end, and the broker that it reads from.
///
/// # Errors
/// If the job fails, or has not read `events` records.
pub fn follow_with(broker: &Broker, job: Job, events: u64) -> Result<CatchUp> {
    let before_s = process::cpu_s(broker.process()?);
    let catch_up = follow(job, events)?;
    Ok(CatchUp {
        broker_cpu_s: process::cpu_s(broker.process()?) - before_s,
        ..catch_up
    })
}

/// Follows a job that was just started with `--until-caught-up` to its end.
///
/// # Errors
/// If the job fails, or has not read `events` records.
pub fn follow(mut job: Job, events: u64) -> Result<CatchUp> {
    let mut lines = Vec::new();
    while let Some(line) = job.next_line(SILENCE_MAX)? {
        lines.push(line);
    }
    job.ended()?;
    let wall = job.started.elapsed();
    let (first_read, last_commit) = bounds(&lines, job.started)?;
    let last = &lines.last().context("the job wrote no status")?.status;
    ensure!(
        last.records_in == events,
        "the job read {} of {events} events",
        last.records_in
    );
    Ok(CatchUp {
        events,
        took: last_commit - first_read,
        wall,
        epochs: last.epoch,
        checkpoints: checkpoints(&lines),
        records_out: last.records_out,
        usage: job.usage(),
        broker_cpu_s: 0.0,
    })
}

/// When the first record was read, and when the last commit was made, both to the disadvantage of the job: the last line without a record,
/// and the first line with the last epoch.
fn bounds(lines: &[Line], started: Instant) -> Result<(Instant, Instant)> {
    let epoch = lines
        .last()
        .context("the job wrote no status")?
        .status
        .epoch;
    let idle = lines.iter().take_while(|line| line.status.records_in == 0);
    let committed = lines.iter().find(|line| line.status.epoch == epoch);
    Ok((
        idle.last().map_or(started, |line| line.at),
        committed.context("the last line has the last epoch")?.at,
    ))
}

/// How many checkpoints were finished between the first and the last line.
#[must_use]
pub fn checkpoints(lines: &[Line]) -> usize {
    let mut epochs: Vec<u64> = lines
        .iter()
        .map(|line| line.status.checkpoint_epoch)
        .collect();
    epochs.dedup();
    epochs.len().saturating_sub(1)
}

impl CatchUp {
    /// Events a second from the first record read to the last commit.
    #[must_use]
    pub fn events_per_s(&self) -> f64 {
        self.per_s(self.took)
    }

    /// Events a second over a span.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a rate to be read")]
    pub fn per_s(&self, span: Duration) -> f64 {
        self.events as f64 / span.as_secs_f64().max(1e-9)
    }

    /// Seconds of processor time as nanoseconds per event.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a cost to be read")]
    pub fn ns_per_event(&self, seconds: f64) -> f64 {
        seconds * 1e9 / self.events as f64
    }

    /// Processor time by kind of thread, in nanoseconds per event, the busiest first.
    #[must_use]
    pub fn threads_to_json(&self) -> Value {
        let threads = self.usage.by_thread().into_iter().take(THREADS_SHOWN);
        let threads: Map<_, _> = threads
            .map(|(name, s)| (name, self.ns_per_event(s).round().into()))
            .collect();
        Value::Object(threads)
    }
}

impl fmt::Display for CatchUp {
    #[expect(clippy::cast_precision_loss, reason = "figures to be read")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (events_per_s, seconds) = (grouped(self.events_per_s()), self.took.as_secs_f64());
        writeln!(
            f,
            "   {events_per_s} events/s: {} events in {seconds:.1} s, {:.1} s from start to end of the process",
            grouped(self.events as f64),
            self.wall.as_secs_f64()
        )?;
        writeln!(
            f,
            "   {} epochs committed, {} checkpoints, {} records written",
            grouped(self.epochs as f64),
            self.checkpoints,
            grouped(self.records_out as f64)
        )?;
        writeln!(
            f,
            "   job: {} MiB resident at most",
            grouped((self.usage.resident_peak_bytes >> 20) as f64)
        )?;
        writeln!(
            f,
            "   processor time, in ns per event: job {}, broker {}",
            grouped(self.ns_per_event(self.usage.cpu_s)),
            grouped(self.ns_per_event(self.broker_cpu_s))
        )?;
        write!(f, "   the job's, by thread:")?;
        for (name, seconds) in self
            .usage
            .by_thread()
            .into_iter()
            .take(THREADS_SHOWN)
            .filter(|(_, seconds)| *seconds > 0.0)
        {
            write!(f, " {name} {},", grouped(self.ns_per_event(seconds)))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{bounds, checkpoints};
    use crate::job::{Line, Status};

    fn lines(started: Instant, readings: &[(u64, u64, u64, u64)]) -> Vec<Line> {
        let line = |&(ms, records_in, epoch, checkpoint_epoch): &(u64, u64, u64, u64)| Line {
            at: started + Duration::from_millis(ms),
            status: Status {
                state: "running".to_owned(),
                epoch,
                records_in,
                records_out: 0,
                commit_ms: 0.0,
                checkpoint_epoch,
                recovery_ms: None,
            },
        };
        readings.iter().map(line).collect()
    }

    #[test]
    fn time_runs_from_the_last_line_without_a_record_to_the_first_with_the_last_epoch() {
        let started = Instant::now();
        let lines = lines(
            started,
            &[
                (20, 0, 0, 0),
                (200, 0, 0, 0),
                (400, 50, 1, 0),
                (600, 90, 3, 2),
                (800, 90, 3, 3),
            ],
        );
        let (first, last) = bounds(&lines, started).unwrap();
        assert_eq!(first, started + Duration::from_millis(200));
        assert_eq!(last, started + Duration::from_millis(600));
        assert_eq!(checkpoints(&lines), 2);
    }

    #[test]
    fn a_job_that_reads_at_once_is_timed_from_its_start() {
        let started = Instant::now();
        let lines = lines(started, &[(20, 7, 0, 0), (40, 9, 1, 0)]);
        assert_eq!(bounds(&lines, started).unwrap().0, started);
    }
}
