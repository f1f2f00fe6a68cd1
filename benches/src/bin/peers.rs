//! `make bench-peers`: see benches/peers/README.md.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use tidemill_benches::launch::Binaries;
use tidemill_benches::peers::{self, Kind};
use tidemill_benches::report::{Circumstances, timed_news};

/// The same job by Tidemill, Apache Flink and Kafka Streams, on one machine, one after the other.
#[derive(Debug, Parser)]
#[command(args_override_self = true)]
struct Arguments {
    /// What benches/peers/install.sh made, and whose path it prints.
    #[arg(long, value_name = "DIR")]
    peers: PathBuf,
    /// Only these systems.
    #[arg(long, value_name = "SYSTEM", value_delimiter = ',')]
    only: Vec<Kind>,
    /// Turns of each system; of each figure the median is shown.
    #[arg(long, value_name = "N", default_value_t = 3)]
    runs: usize,
    /// Events to catch up with.
    #[arg(long, value_name = "N", default_value_t = 834_561)]
    events: u64,
    /// Seed of the generator.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Loads at which latency is measured, in payments a second.
    #[arg(long, value_name = "PER_SECOND", value_delimiter = ',', default_values_t = [1_000, 5_000])]
    rates: Vec<u64>,
    /// How long at each.
    #[arg(long, value_name = "S", default_value_t = 30)]
    seconds: u64,
    /// How often each system is killed in a turn.
    #[arg(long, value_name = "N", default_value_t = 1)]
    kills: usize,
    /// Workers, slots or threads of each system.
    #[arg(long, value_name = "N", default_value_t = 2)]
    workers: usize,
    /// How long a turn may take.
    #[arg(long, value_name = "MINUTES", default_value_t = 20)]
    turn_minutes: u64,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()?;
    let circumstances = Circumstances::now(&root);
    let kinds = if arguments.only.is_empty() {
        Kind::ALL.to_vec()
    } else {
        arguments.only
    };
    let settings = peers::Settings {
        events: arguments.events,
        seed: arguments.seed,
        rates: arguments.rates,
        live: Duration::from_secs(arguments.seconds),
        kills: arguments.kills,
        runs: arguments.runs,
        turn_max: Duration::from_secs(arguments.turn_minutes * 60),
        workers: arguments.workers,
        kinds,
        root,
        binaries: Binaries::built()?,
        peers: arguments.peers,
    };
    let figures = peers::run(&settings, timed_news())?;
    println!("\n{figures}");
    circumstances.print_line("peers", figures.to_json());
    if figures.is_correct() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!(
        "what Tidemill committed is not what the events give: see 'verified' in the line above"
    );
    Ok(ExitCode::FAILURE)
}
