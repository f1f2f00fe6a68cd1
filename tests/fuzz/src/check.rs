//! One input through one target, held to what every decoder promises: it does not panic, it ends, and it allocates no more than a constant
//! times the size of what it was given.
//!
//! Promises: the same input gives the same verdict, but for the time. Does not stop what hangs: whoever runs it does.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::Target;
use crate::allocation::measured;

/// What an input of no bytes may hold: mostly what the target itself needs, such as a schema.
const PEAK_BASE: i64 = 4 << 20;
/// What each byte of an input may make be held. A record of one byte is a dead letter with a reason, and a place in each of some forty columns.
const PEAK_PER_BYTE: i64 = 4096;
/// All that may be allocated, at some time or other, for an input of no bytes.
const TOTAL_BASE: i64 = 64 << 20;
/// The same for each byte.
const TOTAL_PER_BYTE: i64 = 64 << 10;
/// How long an input may take, on a machine that does other things as well.
const TIME_MAX: Duration = Duration::from_secs(10);

/// What is wrong with a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// It panicked: a fault that it did not see coming, or a promise of its own that did not hold.
    Panicked(String),
    /// It held more memory than its input justifies.
    Held {
        /// So many bytes.
        peak: i64,
        /// Of so many.
        allowed: i64,
    },
    /// It allocated more, over all, than its input justifies.
    Churned {
        /// So many bytes.
        total: i64,
        /// Of so many.
        allowed: i64,
    },
    /// It took too long.
    Slow(Duration),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked(message) => write!(f, "panicked: {message}"),
            Self::Held { peak, allowed } => {
                write!(f, "held {peak} bytes, where {allowed} are allowed")
            }
            Self::Churned { total, allowed } => {
                write!(f, "allocated {total} bytes, where {allowed} are allowed")
            }
            Self::Slow(time) => write!(f, "took {time:?}"),
        }
    }
}

/// Runs a target on an input.
///
/// # Errors
/// What was found.
pub fn check(target: &Target, input: &[u8]) -> Result<(), Finding> {
    let start = Instant::now();
    let (ended, allocated) = measured(|| catch_unwind(AssertUnwindSafe(|| (target.run)(input))));
    let took = start.elapsed();
    if let Err(panic) = ended {
        let message = panic.downcast_ref::<String>().cloned();
        let message =
            message.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        return Err(Finding::Panicked(message.unwrap_or_default()));
    }
    let size = i64::try_from(input.len()).unwrap_or(i64::MAX >> 20);
    let allowed = PEAK_BASE + PEAK_PER_BYTE * size;
    if allocated.peak > allowed {
        return Err(Finding::Held {
            peak: allocated.peak,
            allowed,
        });
    }
    let allowed = TOTAL_BASE + TOTAL_PER_BYTE * size;
    if allocated.total > allowed {
        return Err(Finding::Churned {
            total: allocated.total,
            allowed,
        });
    }
    if took > TIME_MAX {
        return Err(Finding::Slow(took));
    }
    Ok(())
}
