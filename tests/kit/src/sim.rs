//! A simulated world: a job's parts, the real ones, driven one step at a time by a seed, between simulated brokers and clocks. Its disk is
//! a real folder.
//!
//! Promises: one seed gives one course of events. Does not promise to find what needs two threads to run at the same instant.

pub mod clock;
pub mod crew;
mod damage;
pub mod disk;
pub mod history;
pub mod kafka;
pub mod process;
pub mod registry;
pub mod scenario;
pub mod targets;
mod topics;
pub mod world;
