//! `make bench-stages`: see benches/README.md.

use std::path::Path;

use anyhow::Result;
use clap::Parser;
use tidemill_benches::launch::Binaries;
use tidemill_benches::report::Circumstances;
use tidemill_benches::stages;

/// The operators of the studio's job: nanoseconds per event of each.
#[derive(Debug, Parser)]
#[command(args_override_self = true)]
struct Arguments {
    /// Events in all.
    #[arg(long, value_name = "N", default_value_t = 500_000)]
    events: u64,
    /// Seed of the generator.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// How often everything is run; the fastest of each operator counts.
    #[arg(long, value_name = "N", default_value_t = 3)]
    repeats: usize,
    /// With how many workers.
    #[arg(
        long,
        value_name = "N,..",
        value_delimiter = ',',
        default_value = "1,2"
    )]
    workers: Vec<usize>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let circumstances = Circumstances::now(&root);
    let figures = stages::run(&stages::Settings {
        events: arguments.events,
        seed: arguments.seed,
        repeats: arguments.repeats,
        workers: arguments.workers,
        binaries: Binaries::built()?,
        root,
    })?;
    print!("{figures}");
    circumstances.print_line("stages", figures.to_json());
    Ok(())
}
