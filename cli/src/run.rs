//! `tidemill run`: runs a job, and shows how it goes.

mod display;
mod endpoint;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use clap::Args;
use tidemill_engine::{Plugins, Settings, Status, ask_in_thread};
use tidemill_terminal::Failure;

use crate::config::EngineTable;
use crate::job::JobArguments;
use crate::memory;
use crate::parse;
use crate::plugins;
use crate::registries::{self, OwnRegistries};
use crate::signals::stop_on_signals;
use display::Display;
use endpoint::Endpoint;

const EXAMPLES: &str = "\
Examples:
  tidemill run JOB.sql --state-dir /var/lib/tidemill/finance
  tidemill run JOB.sql --state-dir DIR --profile local --until-caught-up     # a batch: ends when all is read and committed
  tidemill run JOB.sql --state-dir DIR --metrics-port 9464                   # http://127.0.0.1:9464/metrics and /healthz

To stop it: Ctrl-C or SIGTERM. It commits what is in flight, takes a checkpoint and ends with 0; a second signal ends it at once.
To go on after a stop, a crash or a kill -9: the same command again. Nothing is lost and nothing is written twice.

The configuration may set these options too (an option wins):
  [engine]
  workers = 4
  state-dir = '/var/lib/tidemill/finance'
  state-memory = '384 MiB'
  epoch-interval = '100 ms'
  epoch-bytes = '2.5 MiB'
  checkpoint-interval = '30 s'
  checkpoints-kept = 3
  outbox-size = '1 GiB'
  metrics-port = 9464
  operator-times = true";

/// Run a job until it is stopped.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(flatten)]
    job: JobArguments,
    /// Worker threads; default: one per processor. May differ from the last run.
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// Where keyed state and checkpoints lie; one folder per job, kept between runs. Default: tidemill-state/NAME.
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Memory for keyed state, of all workers together; default: 384 MiB.
    #[arg(long, value_name = "SIZE", value_parser = parse::bytes)]
    state_memory: Option<usize>,
    /// End with 0 when everything is committed that the sources held at the start.
    #[arg(long)]
    until_caught_up: bool,
    /// How long an epoch gathers input, which is the interval of commits; default: 100 ms. Half as long while nothing waits to be committed.
    #[arg(long, value_name = "TIME", value_parser = parse::milliseconds)]
    epoch_interval: Option<u64>,
    /// An epoch with so much input is closed at once; default: 2.5 MiB. Smaller is fresher while catching up, larger is faster.
    #[arg(long, value_name = "SIZE", value_parser = parse::bytes)]
    epoch_bytes: Option<usize>,
    /// Time between two checkpoints; default: 30 s.
    #[arg(long, value_name = "TIME", value_parser = parse::milliseconds)]
    checkpoint_interval: Option<u64>,
    /// Serve /metrics and /healthz on 127.0.0.1 at this port; 0 picks a free one. The address is printed.
    #[arg(long, value_name = "PORT")]
    metrics_port: Option<u16>,
    /// Tell in /metrics how long each operator works. Costs some 3 % of the processor.
    #[arg(long)]
    operator_times: bool,
    /// Write the status as JSON to standard output, an object a line, at least every 200 ms.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// Runs the job in this thread, and shows its status in another.
    pub fn execute(&self) -> anyhow::Result<()> {
        let mut job = self.job.load(self.state_dir.as_deref())?;
        let settings = self.settings(&job.config.engine, &job.state_dir)?;
        registries::register(&mut job.plan, &job.state_dir)?;
        let stop = stop_on_signals()?;
        let status = Arc::new(Status::of(&job.plan));
        let port = self.metrics_port.or(job.config.engine.metrics_port);
        let endpoint = port.map(|port| Endpoint::open(port, &status)).transpose()?;
        let started = Instant::now();
        let (ended, end) = mpsc::channel();
        let over = AtomicBool::new(false);
        let outcome = std::thread::scope(|scope| {
            let mut display = Display::new(self.json);
            let shown = Arc::clone(&status);
            scope.spawn(move || display.follow(&shown, &end));
            scope.spawn(|| memory::keep_while_recovering(&status, &over));
            let (connectors, formats) = (plugins::connectors(), plugins::formats());
            let plugins = Plugins {
                connectors: &connectors,
                formats: &formats,
                registries: &OwnRegistries,
                asker: ask_in_thread,
                journal: &plugins::journal,
            };
            let outcome = tidemill_engine::run(job.plan, plugins, &settings, &status, &stop);
            over.store(true, Ordering::Relaxed);
            drop(ended);
            outcome
        });
        if let Some(endpoint) = endpoint {
            endpoint.close();
        }
        outcome?;
        if !self.json {
            display::say_goodbye(
                &status.snapshot(),
                started.elapsed(),
                stop.load(Ordering::SeqCst),
            );
        }
        Ok(())
    }

    /// An option wins over the configuration, and that over the default.
    fn settings(&self, table: &EngineTable, state_dir: &Path) -> anyhow::Result<Settings> {
        let default = Settings::default();
        let workers = self.workers.or(table.workers).unwrap_or(default.workers);
        if workers == 0 {
            return Err(Failure::invalid(
                "a job needs at least one worker; set --workers to 1 or more",
            )
            .into());
        }
        let epoch_interval = choose(
            self.epoch_interval,
            "epoch-interval",
            &table.epoch_interval,
            parse::milliseconds,
        )?;
        let checkpoint_interval = choose(
            self.checkpoint_interval,
            "checkpoint-interval",
            &table.checkpoint_interval,
            parse::milliseconds,
        )?;
        let epoch_bytes = choose(
            self.epoch_bytes,
            "epoch-bytes",
            &table.epoch_bytes,
            parse::bytes,
        )?;
        let state_memory = choose(
            self.state_memory,
            "state-memory",
            &table.state_memory,
            parse::bytes,
        )?;
        let outbox = choose(None, "outbox-size", &table.outbox_size, parse::bytes)?;
        Ok(Settings {
            outbox_bytes_max: outbox.map_or(default.outbox_bytes_max, |bytes| bytes as u64),
            owner: uuid::Uuid::new_v4().to_string(),
            workers,
            state_dir: state_dir.to_owned(),
            state_memory_bytes: state_memory.unwrap_or(default.state_memory_bytes),
            until_caught_up: self.until_caught_up,
            epoch_interval_ms: epoch_interval.unwrap_or(default.epoch_interval_ms),
            epoch_bytes_max: epoch_bytes.unwrap_or(default.epoch_bytes_max),
            checkpoint_interval_ms: checkpoint_interval.unwrap_or(default.checkpoint_interval_ms),
            checkpoints_kept: table.checkpoints_kept.unwrap_or(default.checkpoints_kept),
            operator_times: self.operator_times || table.operator_times,
            ..default
        })
    }
}

/// The option, else what `[engine]` says under its name.
fn choose<T>(
    option: Option<T>,
    name: &str,
    set: &Option<String>,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<T>, Failure> {
    let wrong =
        |wrong| Failure::invalid(format!("'{name}' in the configuration's [engine]: {wrong}"));
    match (option, set) {
        (None, Some(text)) => parse(text).map(Some).map_err(wrong),
        (option, _) => Ok(option),
    }
}
