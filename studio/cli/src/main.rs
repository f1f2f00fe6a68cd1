//! The binary `tidemill-studio`: puts the studio's events where a job reads them, and holds what the job committed there against the oracle.
//!
//! It hands readers and writers of real systems to the studio, which knows none. Does not run jobs: that is `tidemill`, which in turn knows
//! no studio.

mod files;
mod generate;
mod kafka;
mod verify;

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tidemill_terminal::{environment, exit};
use tidemill_types::ErrorKind;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EXAMPLES: &str = "\
Examples:
  tidemill-studio generate --events 300000 --seed 1 --into files --path /tmp/studio
  tidemill-studio verify --from files --path /tmp/studio      # once jobs/catalog/studio_finance.sql has caught up

Exit codes:
  0  done, and every row is right
  1  failed, or not every row is right
  2  the command or a setting is wrong

TIDEMILL_LOG sets what is logged to standard error: error, warn (the default), info, debug.";

/// A film studio to try Tidemill on: its events, and what the finance job must make of them.
#[derive(Debug, Parser)]
#[command(name = "tidemill-studio", version, after_help = EXAMPLES, arg_required_else_help = true)]
struct Studio {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Generate(Box<generate::Arguments>),
    Verify(verify::Arguments),
}

fn main() -> ExitCode {
    let studio = Studio::parse();
    environment::start_logging();
    let outcome = match &studio.command {
        Command::Generate(arguments) => arguments.execute(),
        Command::Verify(arguments) => arguments.execute(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::report(&error, kind_of),
    }
}

/// The kind of an error of a library that this binary uses.
fn kind_of(error: &(dyn Error + 'static)) -> Option<ErrorKind> {
    if let Some(error) = error.downcast_ref::<tidemill_studio::Error>() {
        return Some(error.kind());
    }
    let error = error.downcast_ref::<tidemill_connectors_api::Error>();
    error.map(tidemill_connectors_api::Error::kind)
}
