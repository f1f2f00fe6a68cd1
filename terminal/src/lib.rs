//! What a binary and its caller say to each other, the same for every binary of the workspace: what a failure means ([`exit`]), what the
//! environment sets ([`environment`]), numbers and colours for people ([`show`]).
//!
//! Promises: that one kind of failure has one exit code, whichever binary it ends. Does not promise anything to libraries: they return
//! errors and take settings, and none of them uses this crate. Does not know the libraries either: a binary says which errors it can meet.

pub mod environment;
pub mod exit;
pub mod show;

pub use exit::Failure;
