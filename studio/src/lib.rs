//! The world of a film studio's finance, for demos, tests and benches: a [`generator`] of its events, an [`oracle`] that says what the
//! shipped job must make of them, a [`verifier`] that compares committed outputs with the oracle row by row, and [`epochs`], which checks
//! that no commit ever showed an impossible total.
//!
//! Promises: the generator's bytes depend on its settings alone, at any number of threads. The oracle is a plain batch computation over
//! maps; it shares no code with formats, operators or the engine (of the workspace it uses only the error kinds).
//! Does not promise: to be a model of any other job than the studio's, or to open files and topics beyond the plain folders of
//! [`files`]; readers and sinks of other systems are handed in through [`EventSink`], [`InputReader`] and [`OutputReader`].

pub mod calendar;
pub mod epochs;
pub mod error;
pub mod files;
pub mod generator;
pub mod money;
pub mod oracle;
pub mod ports;
#[cfg(test)]
mod testing;
pub mod topic;
pub mod verifier;

pub use error::Error;
pub use files::{FilesInput, FilesSink};
pub use generator::{Generator, Settings, Summary};
pub use ports::{EventSink, InputReader, OutputReader};
pub use topic::Topic;
pub use verifier::{Report, VerifySettings, verify};
