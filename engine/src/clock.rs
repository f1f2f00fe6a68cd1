//! The clocks of a run: one that only goes forward, for intervals and patience, and the wall clock, whose reading goes into epochs.
//!
//! The engine reads no other clock, so that whoever drives a run step by step can bring its own.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What a run reads time from.
pub trait Clock: Send + Sync {
    /// Time since some moment before the run; never goes back.
    fn now(&self) -> Duration;

    /// The wall clock, in milliseconds since 1970; it may jump either way.
    fn wall_ms(&self) -> i64;
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl Default for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that others are to use"
    )]
    fn default() -> Self {
        Self {
            started: Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the reading that epochs record; replay uses the recorded one"
    )]
    fn wall_ms(&self) -> i64 {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }
}
