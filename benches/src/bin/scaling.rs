//! `make bench-scaling`: see benches/README.md.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clap::Parser;
use tidemill_benches::launch::Binaries;
use tidemill_benches::report::Circumstances;
use tidemill_benches::scaling::{self, Figures};

const DEFAULT_KEYS: [u64; 3] = [10_000, 100_000, 1_000_000];
const FULL_KEYS: u64 = 10_000_000;
const MIB: u64 = 1 << 20;

/// The studio's finance job by size of its state and number of workers, files to files: speed, processor time, memory, disk, recovery.
#[derive(Debug, Parser)]
#[command(args_override_self = true)]
struct Arguments {
    /// About how many keys the state has; default: 10000,100000,1000000.
    #[arg(long, value_name = "N,..", value_delimiter = ',')]
    keys: Vec<u64>,
    /// Ten million keys too: a quarter of an hour, 20 GB of disk and 16 GB of memory.
    #[arg(long)]
    full: bool,
    /// With how many workers.
    #[arg(
        long,
        value_name = "N,..",
        value_delimiter = ',',
        default_value = "1,2"
    )]
    workers: Vec<usize>,
    /// Seed of the generator.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Memory for keyed state, in MiB: small, so that the larger sizes live on disk.
    #[arg(long, value_name = "MIB", default_value_t = 64)]
    state_memory_mib: u64,
    /// Up to how many keys outputs are compared with the oracle.
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    verified_keys_max: u64,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let circumstances = Circumstances::now(&root);
    let mut keys = arguments.keys;
    if keys.is_empty() {
        keys.extend(DEFAULT_KEYS);
    }
    if arguments.full {
        keys.push(FULL_KEYS);
    }
    let settings = scaling::Settings {
        keys,
        workers: arguments.workers,
        seed: arguments.seed,
        state_memory_bytes: arguments.state_memory_mib * MIB,
        verified_keys_max: arguments.verified_keys_max,
        binaries: Binaries::built()?,
        root,
    };
    let started = Instant::now();
    println!("{:>10}{}", "", Figures::heading());
    let figures = scaling::run(&settings, |news| {
        println!("[{:5.1} s] {news}", started.elapsed().as_secs_f64());
    })?;
    println!("\n{figures}");
    circumstances.print_line("scaling", figures.to_json());
    if figures.is_correct() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("what was committed is not what the events give; see 'tidemill-studio verify'");
    Ok(ExitCode::FAILURE)
}
