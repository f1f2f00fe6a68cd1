//! The engine: renders a job plan on timely, closes epochs, commits them, checkpoints state, and recovers.
//!
//! A run is made of parts ([`Opened`]) that only decide, or do one step when they are told to: the [`coordinator`], a [`reader`] per source,
//! what commits ([`committing`]), and the [`worker`]s, to whom the coordinator speaks through one port, the [`crew`]. [`run()`] gives each a
//! thread; whoever wants to choose every step, as a simulation does, drives the parts itself. Time comes from a [`Clock`].
//!
//! Promises P-ONCE, P-ATOMIC, P-REPLAY (see `docs/` and ARCHITECTURE.md). Does not promise to run more than one process per job.

mod assemble;
pub mod backfill;
mod busy;
pub mod clock;
pub mod committing;
mod confirming;
pub mod contracts;
pub mod coordinator;
pub mod crew;
mod data_time;
pub mod delivering;
mod error;
pub mod event;
mod expressions;
pub mod frozen;
mod letters;
mod limits;
mod metrics;
mod outgoing;
mod plugins;
pub mod reader;
mod recovery;
mod render;
mod replay;
mod run;
pub mod settings;
pub mod status;
mod threads;
pub mod worker;

pub use busy::Busy;
pub use clock::Clock;
pub use error::Error;
pub use event::Event;
pub use plugins::{LocalJournal, Plugins};
pub use run::{Opened, run};
pub use settings::Settings;
pub use status::{Phase, Snapshot, Status};
pub use threads::ask_in_thread;
