//! What a run has measured: for people, as it comes, and as the line of JSON at the end. Targets stand beside the figures; nothing is left out
//! for falling short of one.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use super::live::Totals;
use crate::catch_up::CatchUp;
use crate::process::Usage;
use crate::report::{Latencies, Target, grouped, rounded};

/// Events a second while catching up.
const EVENTS_PER_S_MIN: f64 = 60_000.0;
/// Resident memory of the job.
const RESIDENT_MAX_BYTES: u64 = 2 << 30;
/// From produced to visible, 99 of 100.
const P99_MAX_MS: f64 = 250.0;
/// From the start of a process to its first new commit.
const RECOVERY_MAX: Duration = Duration::from_secs(3);
/// Kinds of threads in the profile of a recovery.
const RECOVERY_THREADS_SHOWN: usize = 5;

/// All of a run.
pub struct Figures {
    /// What the generator says.
    pub generated: Value,
    /// Phase 1.
    pub catch_up: CatchUp,
    /// Phase 2.
    pub freshness: Freshness,
    /// Phase 3, a kill each.
    pub recoveries: Vec<Recovery>,
    /// Most memory of the job in phases 2 and 3.
    pub live_resident_peak_bytes: u64,
    /// What became of the payments.
    pub totals: Totals,
    /// What `tidemill-studio verify` says.
    pub verified: Value,
}

/// How fresh outputs are under steady load.
pub struct Freshness {
    /// Payments a second.
    pub rate: u64,
    /// How long was measured.
    pub seconds: f64,
    /// From due to visible.
    pub latencies: Latencies,
    /// Payments that were not visible at the end.
    pub missing: u64,
    /// Epochs committed a second.
    pub epochs_per_s: f64,
    /// How long a commit takes: the middle one of those that the status lines tell of, in milliseconds.
    pub commit_ms: f64,
    /// Checkpoints taken meanwhile.
    pub checkpoints: usize,
    /// Processors that the job kept busy.
    pub job_cpus: f64,
    /// Processors that the broker kept busy.
    pub broker_cpus: f64,
}

/// How a job came back from a `kill -9`.
pub struct Recovery {
    /// From the start of the new process to its first new epoch being visible.
    pub start_to_commit: Duration,
    /// From the last epoch that was seen before to the first new one.
    pub outage: Duration,
    /// What the job says of its recovery, in milliseconds.
    pub recovery_ms: i64,
    /// Epochs between the checkpoint and the journal's end, done again.
    pub replayed_epochs: u64,
    /// What the new process had used soon after.
    pub usage: Usage,
}

impl Figures {
    /// True if everything that was committed is as it must be.
    #[must_use]
    pub fn is_correct(&self) -> bool {
        self.verified["verified"] == true && self.totals.missing == 0 && self.totals.repeated == 0
    }

    fn slowest_recovery(&self) -> Duration {
        let spans = self
            .recoveries
            .iter()
            .map(|recovery| recovery.start_to_commit);
        spans.max().unwrap_or_default()
    }

    fn resident_peak_bytes(&self) -> u64 {
        self.catch_up
            .usage
            .resident_peak_bytes
            .max(self.live_resident_peak_bytes)
    }

    /// The line's figures.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let Self {
            catch_up,
            freshness,
            totals,
            ..
        } = self;
        let recoveries = self.recoveries.iter().map(|recovery| {
            json!({
                "start_to_commit_ms": recovery.start_to_commit.as_millis(),
                "outage_ms": recovery.outage.as_millis(),
                "recovery_ms": recovery.recovery_ms,
                "replayed_epochs": recovery.replayed_epochs,
                "job_cpu_ms": (recovery.usage.cpu_s * 1e3).round(),
            })
        });
        let mut live = freshness.latencies.to_json();
        live["events_per_s"] = freshness.rate.into();
        live["seconds"] = rounded(freshness.seconds).into();
        live["epochs_per_s"] = rounded(freshness.epochs_per_s).into();
        live["commit_ms"] = rounded(freshness.commit_ms).into();
        live["missing"] = freshness.missing.into();
        live["checkpoints"] = freshness.checkpoints.into();
        live["job_processors"] = rounded(freshness.job_cpus).into();
        live["broker_processors"] = rounded(freshness.broker_cpus).into();
        json!({
            "events": catch_up.events,
            "bytes": self.generated["bytes"],
            "events_per_s": catch_up.events_per_s().round(),
            "events_per_s_of_process": catch_up.per_s(catch_up.wall).round(),
            "catch_up_ms": catch_up.took.as_millis(),
            "epochs": catch_up.epochs,
            "checkpoints": catch_up.checkpoints,
            "records_out": catch_up.records_out,
            "resident_peak_mib": self.resident_peak_bytes() >> 20,
            "job_ns_per_event": catch_up.ns_per_event(catch_up.usage.cpu_s).round(),
            "broker_ns_per_event": catch_up.ns_per_event(catch_up.broker_cpu_s).round(),
            "job_threads_ns_per_event": catch_up.threads_to_json(),
            "live": live,
            "recoveries": recoveries.collect::<Vec<_>>(),
            "recovery_max_ms": self.slowest_recovery().as_millis(),
            "payments": { "produced": totals.produced, "missing": totals.missing, "repeated": totals.repeated },
            "rows_equal": self.verified["rows_equal"],
            "rows_wrong": self.verified["rows_wrong"],
            "verified": self.is_correct(),
        })
    }

    /// Each target and what was measured.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "figures to be read")]
    pub fn targets(&self) -> Vec<Target> {
        let per_s = self.catch_up.events_per_s();
        let (resident, p99_ms, recovery) = (
            self.resident_peak_bytes(),
            self.freshness.latencies.quantile_ms(990),
            self.slowest_recovery(),
        );
        let mib = |bytes: u64| grouped((bytes >> 20) as f64);
        let mut targets = vec![
            Target::new(
                "catching up, events/s",
                grouped(per_s),
                format!("≥ {}", grouped(EVENTS_PER_S_MIN)),
                per_s >= EVENTS_PER_S_MIN,
            ),
            Target::new(
                "resident memory of the job, MiB",
                mib(resident),
                format!("≤ {}", mib(RESIDENT_MAX_BYTES)),
                resident <= RESIDENT_MAX_BYTES,
            ),
            Target::new(
                "produced to visible, p99, ms",
                format!("{p99_ms:.1}"),
                format!("≤ {P99_MAX_MS}"),
                p99_ms <= P99_MAX_MS && self.freshness.missing == 0,
            ),
        ];
        if !self.recoveries.is_empty() {
            let is_met = recovery <= RECOVERY_MAX;
            targets.push(Target::new(
                "kill -9: start to first new commit, worst, s",
                format!("{:.2}", recovery.as_secs_f64()),
                format!("≤ {}", RECOVERY_MAX.as_secs()),
                is_met,
            ));
        }
        targets
    }
}

impl fmt::Display for Freshness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |per_mille| self.latencies.quantile_ms(per_mille);
        writeln!(
            f,
            "   produced to visible: p50 {:.1} ms, p90 {:.1}, p99 {:.1}, p99.9 {:.1}, max {:.1}",
            ms(500),
            ms(900),
            ms(990),
            ms(999),
            ms(1000)
        )?;
        writeln!(
            f,
            "   {} payments in {:.0} s, {} not visible; {} checkpoints meanwhile; {:.1} epochs/s, a commit takes {:.1} ms",
            self.latencies.count(),
            self.seconds,
            self.missing,
            self.checkpoints,
            self.epochs_per_s,
            self.commit_ms
        )?;
        write!(
            f,
            "   processors busy: job {:.2}, broker {:.2}",
            self.job_cpus, self.broker_cpus
        )
    }
}

impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "   first new commit {:.2} s after the start ({} epochs done again, recovery {} ms); nothing new was visible for {:.2} s",
            self.start_to_commit.as_secs_f64(),
            self.replayed_epochs,
            self.recovery_ms,
            self.outage.as_secs_f64()
        )?;
        write!(
            f,
            "   processor time until then: {:.2} s;",
            self.usage.cpu_s
        )?;
        for (name, seconds) in self
            .usage
            .by_thread()
            .into_iter()
            .take(RECOVERY_THREADS_SHOWN)
        {
            write!(f, " {name} {seconds:.2},")?;
        }
        Ok(())
    }
}
