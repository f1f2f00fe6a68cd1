//! `make bench-formats`: see benches/README.md.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use tidemill_benches::formats;
use tidemill_benches::report::{Circumstances, grouped};

/// What decoding a record of each format costs in one thread, beside the format's library.
#[derive(Debug, Parser)]
#[command(args_override_self = true)]
struct Arguments {}

fn main() -> Result<ExitCode> {
    Arguments::parse();
    let circumstances = Circumstances::now(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    let figures = formats::run()?;
    println!(
        "{:<28} {:>14} {:>8} {:>14} {:>8}",
        "format", "records/s", "ns", "the library's", "bytes"
    );
    for figure in &figures {
        println!(
            "{:<28} {:>14} {:>8} {:>14} {:>8}",
            figure.name,
            grouped(figure.records_per_s),
            grouped(1e9 / figure.records_per_s),
            grouped(figure.reference_per_s),
            grouped(figure.bytes)
        );
    }
    println!();
    let line = formats::to_json(&figures);
    let floors_met = line["floors_met"] == true;
    circumstances.print_line("formats", line);
    Ok(if floors_met {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
