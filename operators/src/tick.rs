//! The beat of the dataflow: one tick per epoch and worker.

use serde::{Deserialize, Serialize};
use timely::dataflow::Stream;

/// A stream of ticks, one per epoch on every worker.
pub type Ticks<'scope> = Stream<'scope, u64, Vec<Tick>>;

/// What an operator is told about an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tick {
    /// The epoch's one reading of the wall clock, in milliseconds since 1970.
    pub clock_ms: i64,
    /// The steady clock, which stands still while the job is down: the time of a record whose own is not known, in milliseconds since 1970.
    pub steady_ms: i64,
    /// The data's clock before the epoch: no partition is behind it. What was bound to an earlier time is forgotten.
    pub oldest_ms: i64,
    /// The time of the newest record so far, in milliseconds since 1970.
    pub newest_ms: i64,
    /// True for the epoch of the checkpoint that the job was restored from: emit the durable image, ignore the input.
    pub restored: bool,
    /// On the ticks that leave a watermark operator: the source's watermark after this epoch, once there is one, in milliseconds since 1970.
    pub watermark: Option<i64>,
}
