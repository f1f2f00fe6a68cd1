//! A clock that stands still until it is moved.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use tidemill_engine::Clock;

/// The wall clock at the beginning of a simulation: 2026-06-01T00:00:00Z, in milliseconds since 1970.
pub const BEGIN_MS: i64 = 1_780_272_000_000;

/// A handle to a machine's clocks.
#[derive(Debug, Clone)]
pub struct SimClock(Arc<Times>);

#[derive(Debug)]
struct Times {
    now_ms: AtomicU64,
    /// What the wall clock is ahead of the other.
    offset_ms: AtomicI64,
}

impl Default for SimClock {
    fn default() -> Self {
        Self(Arc::new(Times {
            now_ms: AtomicU64::new(0),
            offset_ms: AtomicI64::new(BEGIN_MS),
        }))
    }
}

impl SimClock {
    /// Time passes.
    pub fn pass(&self, ms: u64) {
        self.0.now_ms.fetch_add(ms, Ordering::Relaxed);
    }

    /// Somebody sets the wall clock, forward or back.
    pub fn set_wall(&self, by_ms: i64) {
        self.0.offset_ms.fetch_add(by_ms, Ordering::Relaxed);
    }

    /// As [`Clock::now`], in milliseconds.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.0.now_ms.load(Ordering::Relaxed)
    }
}

impl Clock for SimClock {
    fn now(&self) -> Duration {
        Duration::from_millis(self.now_ms())
    }

    fn wall_ms(&self) -> i64 {
        let now_ms = i64::try_from(self.now_ms()).unwrap_or(i64::MAX);
        now_ms + self.0.offset_ms.load(Ordering::Relaxed)
    }
}
