//! The engine: renders a job plan on timely, closes epochs, commits them, checkpoints state, and recovers.
//!
//! One thread coordinates ([`coordinator`]): it gathers input into epochs, admits them to the workers while not too much is in flight, and
//! sees each through to its commit. A thread per source polls; a thread commits; a thread writes checkpoints; the workers are timely's.
//! All of them speak over bounded channels, and whoever fails says so to the coordinator, which ends the run.
//!
//! Promises P-ONCE, P-ATOMIC, P-REPLAY (see `docs/` and ARCHITECTURE.md). Does not promise to run more than one process per job.

mod assemble;
mod checkpointer;
mod clock;
mod committing;
mod coordinator;
mod data_time;
mod error;
mod event;
mod expressions;
mod metrics;
mod reader;
mod recovery;
mod render;
mod replay;
mod run;
pub mod settings;
pub mod status;
mod worker;

pub use error::Error;
pub use run::run;
pub use settings::Settings;
pub use status::{Phase, Snapshot, Status};
