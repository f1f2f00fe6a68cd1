//! `make bench-stateless`: see benches/README.md.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use tidemill_benches::launch::tidemill_binary;
use tidemill_benches::report::{Circumstances, timed_news};
use tidemill_benches::stateless;

/// A filter and a projection from Kafka to Kafka, exactly once: events a second, and what they cost.
#[derive(Debug, Parser)]
#[command(args_override_self = true)]
struct Arguments {
    /// Events to read.
    #[arg(long, value_name = "N", default_value_t = 3_000_000)]
    events: u64,
    /// Partitions of both topics.
    #[arg(long, value_name = "N", default_value_t = 4)]
    partitions: u32,
    /// Workers of the job.
    #[arg(long, value_name = "N", default_value_t = 2)]
    workers: usize,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let circumstances = Circumstances::now(&root);
    let settings = stateless::Settings {
        events: arguments.events,
        partitions: arguments.partitions,
        workers: arguments.workers,
        tidemill: tidemill_binary()?,
        root,
    };
    let figures = stateless::run(&settings, timed_news())?;
    println!();
    for target in figures.targets() {
        println!("{target}");
    }
    println!();
    circumstances.print_line("stateless", figures.to_json());
    if figures.is_correct() {
        return Ok(ExitCode::SUCCESS);
    }
    let (found, written) = figures.outcome();
    eprintln!("what was committed is not what the events give: {found:?} of {written:?}");
    Ok(ExitCode::FAILURE)
}
