//! `make chaos`: two jobs under load on three brokers, everything that can happen to them, then every row verified:
//! docs/operate/chaos.md.

mod cluster;
mod dangers;
mod disks;
mod every_stage;
mod job;
mod load;
mod mirror;
mod news;
mod once;
mod process;
mod proxy;
mod report;
mod run;
mod studio;
mod topics;
mod verdict;
mod world;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use clap::Parser;

/// Two jobs under load on three brokers, and everything that can happen to them; then every row is verified.
#[derive(Debug, Parser)]
#[command(args_override_self = true)]
struct Arguments {
    /// How long dangers come.
    #[arg(long, value_name = "S", default_value_t = 600)]
    seconds: u64,
    /// What happens when, and the events; default: another one in every run. It is printed.
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
    /// Only these dangers, by name.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    only: Vec<String>,
    /// Events a second for the studio's job; half as many for the other.
    #[arg(long, value_name = "PER_SECOND", default_value_t = 1_000)]
    rate: u64,
    /// The `tidemill` binary; default: the one built beside this one.
    #[arg(long, value_name = "FILE")]
    tidemill: Option<PathBuf>,
    /// Folder where the logs are kept; default: one in the folder for temporary files, removed after a good run.
    #[arg(long, value_name = "DIR")]
    logs: Option<PathBuf>,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()?;
    // Of the start: the run may outlast it.
    let commit = commit(&root);
    let seed = arguments
        .seed
        .unwrap_or_else(|| rand::random::<u32>().into());
    let dangers: Vec<_> = dangers::ALL
        .into_iter()
        .filter(|danger| {
            arguments.only.is_empty() || arguments.only.iter().any(|name| name == danger.name)
        })
        .collect();
    for name in &arguments.only {
        ensure!(
            dangers.iter().any(|danger| danger.name == name),
            "there is no danger '{name}'; there are: {}",
            dangers::ALL.map(|danger| danger.name).join(", ")
        );
    }
    let tidemill = match arguments.tidemill {
        Some(tidemill) => tidemill
            .canonicalize()
            .with_context(|| format!("there is no binary '{}'", tidemill.display()))?,
        None => std::env::current_exe()?.with_file_name("tidemill"),
    };
    ensure!(
        tidemill.is_file(),
        "'{}' is not built; run 'make build'",
        tidemill.display()
    );
    let keeps_logs = arguments.logs.is_some();
    let logs = match arguments.logs {
        Some(logs) => logs,
        None => std::env::temp_dir().join(format!("tidemill-chaos-logs.{}", std::process::id())),
    };
    std::fs::create_dir_all(&logs)?;
    println!(
        "again: CHAOS_SEED={seed} CHAOS_SECONDS={} make chaos",
        arguments.seconds
    );
    let settings = run::Settings {
        seconds: arguments.seconds,
        seed,
        dangers,
        rate: arguments.rate,
        tidemill,
        root,
        logs: logs.canonicalize()?,
    };
    let findings = run::run(&settings)?;
    findings.print();
    let is_good = findings.floors_met();
    if is_good && !keeps_logs {
        std::fs::remove_dir_all(&logs)?;
    } else {
        println!("logs: {}", logs.display());
    }
    println!("{}", findings.to_json(&commit, seed));
    Ok(if is_good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The commit that is checked out, with `-dirty` if files differ from it; `unknown` outside of a clone.
fn commit(root: &Path) -> String {
    let described = Command::new("git")
        .args(["describe", "--always", "--dirty", "--abbrev=12"])
        .current_dir(root)
        .output();
    let described = described.ok().filter(|output| output.status.success());
    described.map_or_else(
        || "unknown".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}
