//! `make bench-check`: see benches/README.md.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use tidemill_benches::budget::{self, Baseline, MORE_MAX_PERCENT};
use tidemill_benches::launch::Binaries;

/// Counts the instructions of each stage, and fails if one takes more than 10 % more than benches/baseline.json says.
#[derive(Debug, Parser)]
#[command(args_override_self = true)]
struct Arguments {
    /// Writes what is counted as the new baseline, and compares nothing.
    #[arg(long)]
    update: bool,
    /// The baseline; default: that of the clone.
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let path = arguments
        .baseline
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("baseline.json"));
    let shown = path.display();
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read '{shown}'"))?;
    let baseline: Baseline =
        serde_json::from_str(&text).with_context(|| format!("'{shown}' is no baseline"))?;
    let (rustc, target) = compiler()?;
    if !arguments.update {
        ensure!(
            target == baseline.target,
            "the baseline is of '{}', and this is '{target}': counts cannot be compared; \
             take one here before your change, with UPDATE_BASELINE=1",
            baseline.target
        );
        if rustc != baseline.rustc {
            println!(
                "note: the baseline was taken with rustc {}, this is {rustc}; a difference may be the compiler's\n",
                baseline.rustc
            );
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let measured = budget::count(&Binaries::built()?, &root, &baseline)?;
    if arguments.update {
        let new = Baseline {
            rustc,
            target,
            instructions_per_event: measured,
            ..baseline
        };
        std::fs::write(&path, serde_json::to_string_pretty(&new)? + "\n")?;
        println!("'{shown}' is written; read its diff before it is committed");
        return Ok(ExitCode::SUCCESS);
    }
    Ok(judge(&baseline, &measured))
}

fn judge(baseline: &Baseline, measured: &BTreeMap<String, f64>) -> ExitCode {
    let lines = budget::compare(&baseline.instructions_per_event, measured);
    println!(
        "{:<15} {:>12} {:>12} {:>10}",
        "instructions", "baseline", "per event", "more"
    );
    for line in &lines {
        println!("{line}");
    }
    if budget::is_kept(&lines) {
        println!("\nevery stage keeps to its budget");
        return ExitCode::SUCCESS;
    }
    eprintln!(
        "\na stage takes over {MORE_MAX_PERCENT} % more instructions than its budget, or has none; make it cheaper, or say in the commit why it \
         costs more and write the new baseline with 'UPDATE_BASELINE=1 make bench-check'"
    );
    ExitCode::FAILURE
}

/// Version and target of the compiler that builds this workspace.
fn compiler() -> Result<(String, String)> {
    let output = Command::new("rustc")
        .arg("-vV")
        .output()
        .context("cannot run 'rustc'")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let field = |name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name));
        value
            .map(|value| value.trim().to_owned())
            .with_context(|| format!("'rustc -vV' says no '{name}'"))
    };
    Ok((field("release:")?, field("host:")?))
}
