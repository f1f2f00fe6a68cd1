//! The binary `tidemill`: the only place where jobs meet their connectors.
//!
//! A command is a file of its own; each has its options as a struct and an `execute`. What they share: [`job`] (from files to a plan),
//! [`config`] (the configuration file), [`parse`] (how values are spelled); what every binary shares is in [`tidemill_terminal`].

mod attempt;
mod checkpoints;
mod collect;
mod config;
mod contracts;
mod dead_letters;
mod job;
mod memory;
mod parse;
mod plan;
mod plugins;
mod registries;
mod run;
mod secrets;
mod signals;

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tidemill_terminal::{environment, exit};
use tidemill_types::ErrorKind;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EXAMPLES: &str = "\
Try it, without Kafka:
  export TIDEMILL_DATA=/tmp/studio
  tidemill-studio generate --events 300000 --seed 1 --into files --path $TIDEMILL_DATA
  tidemill run jobs/catalog/studio_finance.sql --profile local --state-dir /tmp/studio-state --until-caught-up
  tidemill-studio verify --from files --path $TIDEMILL_DATA

Exit codes:
  0  done, or stopped as asked          3  fenced: another process runs the job
  1  failed                             4  corrupt: what lies on disk cannot be trusted
  2  the command, the job or a setting is wrong

TIDEMILL_LOG sets what is logged to standard error: error, warn (the default), info, debug, or per module as in 'warn,tidemill_engine=debug'.";

/// Streaming ETL in SQL, exactly once, in one binary.
#[derive(Debug, Parser)]
#[command(name = "tidemill", version, after_help = EXAMPLES, arg_required_else_help = true)]
struct Tidemill {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Arguments),
    Try(attempt::Arguments),
    Plan(plan::Arguments),
    Checkpoints(checkpoints::Arguments),
    DeadLetters(dead_letters::Arguments),
    Contracts(contracts::Arguments),
    Collect(collect::Arguments),
}

fn main() -> ExitCode {
    let tidemill = Tidemill::parse();
    environment::start_logging();
    let outcome = match &tidemill.command {
        Command::Run(arguments) => arguments.execute(),
        Command::Try(arguments) => arguments.execute(),
        Command::Plan(arguments) => arguments.execute(),
        Command::Checkpoints(arguments) => arguments.execute(),
        Command::DeadLetters(arguments) => arguments.execute(),
        Command::Contracts(arguments) => arguments.execute(),
        Command::Collect(arguments) => arguments.execute(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::report(&error, kind_of),
    }
}

/// The kind of an error of a library that this binary uses.
fn kind_of(error: &(dyn Error + 'static)) -> Option<ErrorKind> {
    if let Some(error) = error.downcast_ref::<tidemill_engine::Error>() {
        return Some(error.kind());
    }
    if let Some(error) = error.downcast_ref::<tidemill_jobs::Error>() {
        return Some(error.kind());
    }
    if let Some(error) = error.downcast_ref::<tidemill_checkpoints::Error>() {
        return Some(error.kind());
    }
    if let Some(error) = error.downcast_ref::<tidemill_collect::Error>() {
        return Some(error.kind());
    }
    let error = error.downcast_ref::<tidemill_connectors_api::Error>();
    error.map(tidemill_connectors_api::Error::kind)
}
