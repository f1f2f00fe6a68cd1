//! A filter and a projection from Kafka to Kafka, exactly once, on one broker: payments lie there, the job reads all of them from nothing.
//!
//! Afterwards every row that was committed is compared, byte for byte, with the one that its payment gives.

mod payments;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::broker::Broker;
use crate::catch_up::{self, CatchUp};
use crate::job::Job;
use crate::report::{Target, grouped};

pub use payments::{Found, Written};

/// Events a second.
const EVENTS_PER_S_MIN: f64 = 300_000.0;

/// Names of the two runs of the job, and of the topics that they write.
const WARM_UP: &str = "bench.warm_up";
const MEASURED: &str = "bench.payment_due";

/// Settings of a run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Payments.
    pub events: u64,
    /// Partitions of both topics.
    pub partitions: u32,
    /// Workers of the job.
    pub workers: usize,
    /// Root of the workspace.
    pub root: PathBuf,
    /// The `tidemill` binary.
    pub tidemill: PathBuf,
}

/// What a run has measured.
pub struct Figures {
    written: Written,
    /// With a broker that was just started.
    cold: CatchUp,
    catch_up: CatchUp,
    found: Found,
}

/// Runs the job and says what goes on meanwhile.
///
/// # Errors
/// If something does not run at all. Wrong output is none here: see [`Figures::is_correct`].
pub fn run(settings: &Settings, mut say: impl FnMut(&str)) -> Result<Figures> {
    // In this order: first goes the job, then the broker, then their files.
    let work = tempfile::Builder::new()
        .prefix("tidemill-bench.")
        .tempdir()?;
    // A copy, so that a build during the run does not change what is measured.
    let tidemill = work.path().join("tidemill");
    std::fs::copy(&settings.tidemill, &tidemill).context("cannot copy the 'tidemill' binary")?;
    say("starting Kafka");
    let broker = Broker::start(&work.path().join("kafka"))?;
    say(&format!("writing {} events", settings.events));
    let written = payments::write(
        &broker.bootstrap(),
        settings.events,
        settings.partitions,
        &[WARM_UP, MEASURED],
    )?;

    let start = |name: &str| {
        let mut command = Command::new(&tidemill);
        command
            .args(["run", "benches/stateless.sql", "--name", name])
            .args(["--json", "--until-caught-up"])
            .args(["--workers", &settings.workers.to_string()])
            .arg("--state-dir")
            .arg(work.path().join(name))
            .current_dir(&settings.root)
            .env("TIDEMILL_KAFKA", broker.bootstrap())
            .env("BENCH_OUTPUT", name)
            .stdin(Stdio::null());
        Job::start(command, work.path().join("job.log"))
    };
    // A broker that was just started spends half of its processor time on compiling itself.
    say("running the job into another topic, for the broker to warm up");
    let cold = catch_up::follow_with(&broker, start(WARM_UP)?, settings.events)?;
    say(&cold.to_string());
    say("running the job");
    let catch_up = catch_up::follow_with(&broker, start(MEASURED)?, settings.events)?;
    say(&catch_up.to_string());

    say("comparing every row that was committed with its payment");
    let found = payments::find(&broker.bootstrap(), MEASURED, settings.events)?;
    Ok(Figures {
        written,
        cold,
        catch_up,
        found,
    })
}

impl Figures {
    /// True if everything that was committed is as it must be.
    #[must_use]
    pub const fn is_correct(&self) -> bool {
        self.found.is(&self.written)
    }

    /// What is there, and what should be.
    #[must_use]
    pub const fn outcome(&self) -> (&Found, &Written) {
        (&self.found, &self.written)
    }

    /// The line's figures.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let Self {
            written,
            cold,
            catch_up,
            found,
        } = self;
        json!({
            "events": catch_up.events,
            "bytes": written.bytes,
            "events_per_s": catch_up.events_per_s().round(),
            "events_per_s_of_process": catch_up.per_s(catch_up.wall).round(),
            "events_per_s_of_cold_broker": cold.events_per_s().round(),
            "catch_up_ms": catch_up.took.as_millis(),
            "epochs": catch_up.epochs,
            "records_out": catch_up.records_out,
            "resident_peak_mib": catch_up.usage.resident_peak_bytes >> 20,
            "job_ns_per_event": catch_up.ns_per_event(catch_up.usage.cpu_s).round(),
            "broker_ns_per_event": catch_up.ns_per_event(catch_up.broker_cpu_s).round(),
            "job_threads_ns_per_event": catch_up.threads_to_json(),
            "rows_equal": found.rows - found.wrong,
            "rows_wrong": found.wrong,
            "rows_repeated": found.repeated,
            "rows_misplaced": found.misplaced,
            "verified": self.is_correct(),
        })
    }

    /// Each target and what was measured.
    #[must_use]
    pub fn targets(&self) -> Vec<Target> {
        let per_s = self.catch_up.events_per_s();
        vec![Target::new(
            "Kafka to Kafka, filter and projection, events/s",
            grouped(per_s),
            format!("≥ {}", grouped(EVENTS_PER_S_MIN)),
            per_s >= EVENTS_PER_S_MIN,
        )]
    }
}
