//! Every operator against a slow oracle: the same definition, computed in the plainest way from the whole history.
//!
//! One binary for all of them, because linking the state store is what costs time.

#[path = "../common/mod.rs"]
mod common;

mod beyond;
mod dedup;
mod guard;
mod image;
mod joins;
mod key_order;
mod reductions;
mod resequence;
mod sink;
mod stars;
mod table;
mod watermark;
mod window;
