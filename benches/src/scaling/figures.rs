//! What a run has measured: a table for people, and the line of JSON.

use std::fmt;

use serde_json::{Value, json};

use crate::catch_up::CatchUp;
use crate::process::Usage;
use crate::report::{grouped, rounded};

/// How many times faster two workers should be than one.
const SPEED_UP_MIN: f64 = 1.7;

/// All of a run.
#[derive(Debug, Default)]
pub struct Figures {
    /// A size each.
    pub sizes: Vec<Size>,
    /// Memory for keyed state, of all workers together.
    pub state_memory_bytes: u64,
}

/// What was measured with so many keys.
#[derive(Debug)]
pub struct Size {
    /// Entities that came into being: keys of the job's tables, of which some are deleted later.
    pub keys: u64,
    /// Events in all.
    pub events: u64,
    /// Their bytes.
    pub event_bytes: u64,
    /// A number of workers each.
    pub runs: Vec<Run>,
}

/// One job from nothing to the end of the events, and its start after that.
#[derive(Debug)]
pub struct Run {
    /// Workers.
    pub workers: usize,
    /// From nothing to the end of the events.
    pub catch_up: CatchUp,
    /// Bytes on disk at the end, of state and checkpoints.
    pub state_bytes: u64,
    /// Whether the outputs are what the oracle says; `None` if it was not asked.
    pub verified: Option<bool>,
    /// The start on the state that there is then.
    pub recovery: Recovery,
}

/// A start on state that is there.
#[derive(Debug)]
pub struct Recovery {
    /// What the job says, in milliseconds.
    pub ms: i64,
    /// What the process had used when it was live.
    pub usage: Usage,
}

impl Run {
    /// Processors that were busy: far fewer than workers mean that the machine had other things to do, or that the job waited for the disk.
    fn cpus(&self) -> f64 {
        self.catch_up.usage.cpu_s / self.catch_up.wall.as_secs_f64().max(1e-9)
    }

    fn events_per_s_of_process(&self) -> f64 {
        self.catch_up.per_s(self.catch_up.wall)
    }

    fn cpu_s_per_million_events(&self) -> f64 {
        self.catch_up.ns_per_event(self.catch_up.usage.cpu_s) / 1e3
    }
}

impl Size {
    /// Resident memory for a million keys, the process' own included.
    fn mib_per_million_keys(&self, run: &Run) -> f64 {
        mib(run.catch_up.usage.resident_peak_bytes) / float(self.keys) * 1e6
    }

    /// How many times faster the last number of workers is than the first.
    #[must_use]
    pub fn speed_up(&self) -> Option<f64> {
        let (first, last) = (self.runs.first()?, self.runs.last()?);
        (first.workers < last.workers)
            .then(|| last.catch_up.events_per_s() / first.catch_up.events_per_s())
    }

    /// One line of the table.
    #[must_use]
    pub fn line(&self, run: &Run) -> String {
        let verified = match run.verified {
            None => "not asked",
            Some(true) => "yes",
            Some(false) => "NO",
        };
        format!(
            "{:>11} {:>7} {:>10} {:>9} {:>5.2} {:>11.1} {:>9} {:>11} {:>9} {:>11} {:>9.1} {:>9} {verified:>9}",
            grouped(float(self.keys)),
            run.workers,
            grouped(run.catch_up.events_per_s()),
            grouped(run.events_per_s_of_process()),
            run.cpus(),
            run.cpu_s_per_million_events(),
            grouped(mib(run.catch_up.usage.resident_peak_bytes)),
            grouped(self.mib_per_million_keys(run)),
            grouped(mib(run.state_bytes)),
            run.recovery.ms,
            run.recovery.usage.cpu_s,
            grouped(mib(run.recovery.usage.resident_peak_bytes)),
        )
    }

    fn to_json(&self) -> Value {
        let run = |run: &Run| {
            json!({
                "workers": run.workers,
                "events_per_s": run.catch_up.events_per_s().round(),
                "events_per_s_of_process": run.events_per_s_of_process().round(),
                "cpus": rounded(run.cpus()),
                "cpu_s_per_million_events": rounded(run.cpu_s_per_million_events()),
                "resident_peak_mib": mib(run.catch_up.usage.resident_peak_bytes).round(),
                "resident_mib_per_million_keys": self.mib_per_million_keys(run).round(),
                "state_mib": mib(run.state_bytes).round(),
                "checkpoints": run.catch_up.checkpoints,
                "recovery_ms": run.recovery.ms,
                "recovery_cpu_s": rounded(run.recovery.usage.cpu_s),
                "recovery_resident_peak_mib": mib(run.recovery.usage.resident_peak_bytes).round(),
                "verified": run.verified,
            })
        };
        json!({
            "keys": self.keys,
            "events": self.events,
            "event_mib": mib(self.event_bytes).round(),
            "runs": self.runs.iter().map(run).collect::<Vec<_>>(),
            "speed_up": self.speed_up().map(rounded),
        })
    }
}

impl Figures {
    /// True if no output differs from what the oracle says.
    #[must_use]
    pub fn is_correct(&self) -> bool {
        let mut runs = self.sizes.iter().flat_map(|size| &size.runs);
        runs.all(|run| run.verified != Some(false))
    }

    /// The line's figures; `events_per_s` is that of the largest size.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let largest = self
            .sizes
            .last()
            .and_then(|size| Some((size, size.runs.last()?)));
        json!({
            "events_per_s": largest.map(|(_, run)| run.catch_up.events_per_s().round()),
            "speed_up": largest.and_then(|(size, _)| size.speed_up()).map(rounded),
            "speed_up_min": SPEED_UP_MIN,
            "state_memory_mib": mib(self.state_memory_bytes).round(),
            "sizes": self.sizes.iter().map(Size::to_json).collect::<Vec<_>>(),
        })
    }

    /// Over the columns of [`Size::line`].
    #[must_use]
    pub fn heading() -> String {
        format!(
            "{:>11} {:>7} {:>10} {:>9} {:>5} {:>11} {:>9} {:>11} {:>9} {:>11} {:>9} {:>9} {:>9}",
            "keys",
            "workers",
            "events/s",
            "in all/s",
            "cpus",
            "cpu s/M ev.",
            "peak MiB",
            "MiB/M keys",
            "disk MiB",
            "recovery ms",
            "its cpu s",
            "its MiB",
            "verified"
        )
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", Self::heading())?;
        for size in &self.sizes {
            for run in &size.runs {
                writeln!(f, "{}", size.line(run))?;
            }
        }
        for size in &self.sizes {
            if let Some(speed_up) = size.speed_up() {
                let keys = grouped(float(size.keys));
                let met = if speed_up >= SPEED_UP_MIN {
                    "met"
                } else {
                    "not met"
                };
                writeln!(
                    f,
                    "{keys} keys: {speed_up:.2} times faster with more workers (target with two: {SPEED_UP_MIN}, {met})"
                )?;
            }
        }
        Ok(())
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of a bench are far below 2^52"
)]
const fn float(count: u64) -> f64 {
    count as f64
}

const fn mib(bytes: u64) -> f64 {
    float(bytes) / 1_048_576.0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Figures, Recovery, Run, Size};
    use crate::catch_up::CatchUp;
    use crate::process::Usage;

    fn run(workers: usize, seconds: u64, verified: Option<bool>) -> Run {
        let catch_up = CatchUp {
            events: 1_000_000,
            took: Duration::from_secs(seconds),
            wall: Duration::from_secs(seconds + 1),
            epochs: 1,
            checkpoints: 1,
            records_out: 1,
            usage: Usage {
                cpu_s: 2.0,
                resident_peak_bytes: 100 << 20,
                ..Usage::default()
            },
            broker_cpu_s: 0.0,
        };
        Run {
            workers,
            catch_up,
            state_bytes: 1 << 20,
            verified,
            recovery: Recovery {
                ms: 7,
                usage: Usage::default(),
            },
        }
    }

    fn figures(runs: Vec<Run>) -> Figures {
        Figures {
            sizes: vec![Size {
                keys: 500_000,
                events: 1_000_000,
                event_bytes: 1,
                runs,
            }],
            state_memory_bytes: 64 << 20,
        }
    }

    #[test]
    fn costs_are_per_million_events_and_keys() {
        let figures = figures(vec![run(1, 20, None), run(2, 10, Some(true))]);
        let size = &figures.sizes[0];
        assert_eq!(size.runs[0].cpu_s_per_million_events(), 2.0);
        assert_eq!(size.mib_per_million_keys(&size.runs[0]), 200.0);
        assert_eq!(size.speed_up(), Some(2.0));
        assert_eq!(figures.to_json()["events_per_s"], 100_000.0);
    }

    #[test]
    fn one_wrong_output_is_enough_and_one_run_has_nothing_to_be_faster_than() {
        assert!(figures(vec![run(1, 20, None)]).is_correct());
        assert!(!figures(vec![run(1, 20, Some(true)), run(2, 9, Some(false))]).is_correct());
        assert_eq!(figures(vec![run(2, 20, None)]).sizes[0].speed_up(), None);
    }
}
