//! `make bench-collect`: see benches/README.md.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use tidemill_benches::collect;
use tidemill_benches::launch::tidemill_binary;
use tidemill_benches::report::{Circumstances, timed_news};

/// How many events `tidemill collect` takes over HTTP, with its clients and a real Kafka on the same machine.
#[derive(Debug, Parser)]
#[command(args_override_self = true)]
struct Arguments {
    /// Events to send, after a fifth of it to warm up.
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    events: u64,
    /// Events of a request.
    #[arg(long, value_name = "N", default_value_t = 100)]
    batch: u64,
    /// Connections, each with one request at a time.
    #[arg(long, value_name = "N", default_value_t = 16)]
    connections: u64,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let circumstances = Circumstances::now(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    let settings = collect::Settings {
        events: arguments.events,
        batch: arguments.batch,
        connections: arguments.connections,
        tidemill: tidemill_binary()?,
    };
    let figures = collect::run(&settings, timed_news())?;
    println!();
    for target in figures.targets() {
        println!("{target}");
    }
    println!();
    circumstances.print_line("collect", figures.to_json());
    Ok(ExitCode::SUCCESS)
}
