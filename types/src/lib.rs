//! The words that every crate of Tidemill shares: epochs, event time, source positions, key groups, batches of changes, encoded rows,
//! dead letters and the kinds of errors.
//!
//! Promises: no I/O, no clock, no threads. Does not promise a stable layout in memory: only what [`row`] and [`key_group`] document
//! as stored on disk is frozen.

pub mod aggregate;
pub mod batch;
pub mod dead_letter;
pub mod epoch;
pub mod error;
pub mod format;
pub mod key_group;
pub mod options;
pub mod output;
pub mod place;
pub mod raw;
pub mod row;
pub mod sql_type;
pub mod system_columns;

pub use aggregate::AggregateFunction;
pub use batch::ChangeBatch;
pub use dead_letter::DeadLetter;
pub use epoch::Epoch;
pub use error::ErrorKind;
pub use key_group::{KEY_GROUPS, key_group};
pub use output::{OutputRecord, OutputRecords, Parcel};
pub use place::TopicPartition;
pub use raw::{RawRecord, RawRecords};
pub use row::{Row, RowCodec};
