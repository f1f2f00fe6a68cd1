//! `make bench-stages`: see benches/README.md.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Parser;
use tidemill_benches::report::Circumstances;
use tidemill_benches::stages;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The stages of the studio's job alone: nanoseconds per record of each.
#[derive(Debug, Parser)]
#[command(args_override_self = true)]
struct Arguments {
    /// Events in all.
    #[arg(long, value_name = "N", default_value_t = 300_000)]
    events: u64,
    /// Seed of the generator.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Events in an epoch: 6,000 are 100 ms at 60,000 a second.
    #[arg(long, value_name = "N", default_value_t = 6_000)]
    epoch_events: u64,
    /// How often everything is run; the fastest of each stage counts.
    #[arg(long, value_name = "N", default_value_t = 5)]
    repeats: usize,
    /// With how many workers; the first is what the line's figures begin with.
    #[arg(
        long,
        value_name = "N,..",
        value_delimiter = ',',
        default_value = "1,2"
    )]
    workers: Vec<usize>,
    /// Starts a Kafka, and measures the stages that talk to it too.
    #[arg(long)]
    kafka: bool,
    /// For `bench-check`: writes how many records each stage had, and in which order stages ended.
    #[arg(long, value_name = "FILE")]
    counted: Option<PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let circumstances = Circumstances::now(&root);
    let figures = stages::run(&stages::Settings {
        events: arguments.events,
        seed: arguments.seed,
        epoch_events: arguments.epoch_events,
        repeats: arguments.repeats,
        workers: arguments.workers,
        kafka: arguments.kafka,
        root,
    })?;
    if let Some(path) = arguments.counted {
        std::fs::write(path, serde_json::to_vec(&figures.counts())?)?;
    }
    print!("{figures}");
    circumstances.print_line("stages", figures.to_json());
    Ok(())
}
