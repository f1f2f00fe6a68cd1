//! `make bench-studio`: see benches/README.md.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use tidemill_benches::launch::Binaries;
use tidemill_benches::report::{Circumstances, timed_news};
use tidemill_benches::studio;

/// The studio's finance job on a real Kafka: how fast it catches up, how fresh its outputs are, how soon it is back after a kill -9.
#[derive(Debug, Parser)]
#[command(args_override_self = true)]
struct Arguments {
    /// Events to catch up with.
    #[arg(long, value_name = "N", default_value_t = 2_300_000)]
    events: u64,
    /// Seed of the generator.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Payments a second while live.
    #[arg(long, value_name = "PER_SECOND", default_value_t = 5_000)]
    rate: u64,
    /// How long latency is measured.
    #[arg(long, value_name = "S", default_value_t = 60)]
    seconds: u64,
    /// How often the job is killed.
    #[arg(long, value_name = "N", default_value_t = 3)]
    kills: usize,
    /// Partitions that every topic has besides, and nothing is written to.
    #[arg(long, value_name = "N", default_value_t = 0)]
    idle_partitions: u32,
    /// Workers of the job.
    #[arg(long, value_name = "N", default_value_t = 2)]
    workers: usize,
    /// Seconds between checkpoints.
    #[arg(long, value_name = "S", default_value_t = 10)]
    checkpoint_seconds: u64,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let circumstances = Circumstances::now(&root);
    let settings = studio::Settings {
        events: arguments.events,
        seed: arguments.seed,
        rate: arguments.rate,
        live: Duration::from_secs(arguments.seconds),
        kills: arguments.kills,
        idle_partitions: arguments.idle_partitions,
        workers: arguments.workers,
        checkpoint_interval: Duration::from_secs(arguments.checkpoint_seconds),
        binaries: Binaries::built()?,
        root,
    };
    let figures = studio::run(&settings, timed_news())?;
    println!();
    for target in figures.targets() {
        println!("{target}");
    }
    println!();
    circumstances.print_line("studio", figures.to_json());
    if figures.is_correct() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!(
        "what was committed is not what the events give: {}",
        figures.verified
    );
    Ok(ExitCode::FAILURE)
}
