//! The beat of the dataflow: one tick per epoch and worker.

use serde::{Deserialize, Serialize};
use timely::dataflow::Stream;

/// A stream of ticks, one per epoch on every worker.
pub type Ticks<'scope> = Stream<'scope, u64, Vec<Tick>>;

/// What an operator is told about an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tick {
    /// The epoch's one reading of the wall clock, in milliseconds since 1970.
    pub clock_ms: i64,
    /// True for the epoch of the checkpoint that the job was restored from: emit the durable image, ignore the input.
    pub restored: bool,
    /// On the ticks that leave a watermark operator: the source's watermark after this epoch, once there is one, in milliseconds since 1970.
    pub watermark: Option<i64>,
}
