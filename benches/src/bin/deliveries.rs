//! `make bench-deliveries`: see benches/README.md.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use tidemill_benches::report::{Circumstances, grouped};
use tidemill_benches::{changes, deliveries};

/// How fast a delivery alone brings rows to a real PostgreSQL, new keys and changed ones, and a source alone takes a table and its changes from one.
#[derive(Debug, Parser)]
#[command(args_override_self = true)]
struct Arguments {
    /// Rows to deliver, and then to change; to read, and then their changes.
    #[arg(long, value_name = "N", default_value_t = 400_000)]
    rows: u64,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let circumstances = Circumstances::now(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    let mut figures = deliveries::run(arguments.rows)?;
    figures.extend(changes::run(arguments.rows)?);
    for figure in &figures {
        println!("{:<30} {:>10}", figure.name, grouped(figure.rows_per_s));
    }
    println!();
    let line = deliveries::to_json(&figures);
    let floors_met = line["floors_met"] == true;
    circumstances.print_line("deliveries", line);
    Ok(if floors_met {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
