//! What tests of the whole are made of: the real binaries as processes ([`process`], [`jobs`]), what they read and write ([`files`],
//! [`broker`]), and draws that can be had again ([`seed`]).
//!
//! *Promises* that a binary which is tested is as new as its sources. *Does not promise* to build it: `cargo test --workspace` does.

#![expect(
    clippy::unwrap_used,
    reason = "what a test cannot go on without fails it"
)]

pub mod binaries;
pub mod broker;
pub mod files;
pub mod jobs;
pub mod process;
pub mod registry;
pub mod seed;
