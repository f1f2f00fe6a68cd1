//! The operators: each a plain struct that tests drive without timely, in a thin timely shell.
//!
//! Streams carry [`Packet`]s (batches of changes) at the epoch as timestamp. An operator sees an epoch as a set: the shell
//! ([`shell::epoch_operator`]) gathers an epoch's packets and hands them over when the frontier has passed it, so that nothing depends on
//! the order in which workers and channels deliver.
//!
//! **Restore.** The epoch of a restored checkpoint carries no input. A stateful operator that restores its state emits its durable image
//! in that epoch and ignores whatever arrives in it, because that is the image of an operator before it. Joins and reductions keep
//! nothing durable and are rebuilt from the images.
//!
//! Promises: no operator reads a clock, a file or the network; state is reached only through the `state` crate.
//! Does not promise an order within an epoch, except where an operator says so (resequence).

pub mod accumulators;
pub mod arrange;
pub mod batcher;
pub mod columns;
pub mod counter;
pub mod decode;
pub mod dedup;
pub mod epoch;
pub mod error;
pub mod gather;
pub mod group_rows;
pub mod guard;
pub mod image;
pub mod join;
pub mod keyed;
pub mod ledger;
pub mod lookup;
pub mod packet;
pub mod rank;
mod recompute;
pub mod reduce;
pub mod resequence;
pub mod route;
pub mod row_list;
pub mod shell;
pub mod sink;
pub mod stateless;
pub mod table;
pub mod tick;
pub mod trace;
pub mod uncomputed;
pub mod watermark;
pub mod window;

pub use counter::Counter;
pub use epoch::{EpochOperator, Output};
pub use error::Error;
pub use packet::{Changes, Packet, SourcePlace};
pub use shell::Failure;
pub use tick::{Tick, Ticks};
