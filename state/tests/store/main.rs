//! The store from outside: against a plain map, through snapshots and restores, and from bytes written by older builds.

mod frozen_bytes;
mod kit;
mod oracle;
mod snapshots;
