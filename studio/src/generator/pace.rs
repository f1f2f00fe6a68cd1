//! How fast events are handed out.

use std::thread::sleep;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Holds events back until they are due.
pub trait Pace {
    /// Milliseconds until the time `due_ms` (since 1970), if that lies ahead.
    fn ahead_ms(&mut self, due_ms: i64) -> Option<u64>;

    /// Waits so long.
    fn wait(&mut self, ms: u64);
}

/// As fast as possible.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unpaced;

impl Pace for Unpaced {
    fn ahead_ms(&mut self, _due_ms: i64) -> Option<u64> {
        None
    }

    fn wait(&mut self, _ms: u64) {}
}

/// By the machine's clock: an event is handed out when its time has come.
#[derive(Debug, Clone, Copy, Default)]
pub struct WallClock;

impl WallClock {
    /// Now, in milliseconds since 1970: where a live run starts.
    #[must_use]
    pub fn now_ms() -> i64 {
        #[expect(
            clippy::disallowed_methods,
            reason = "a live run follows the machine's clock; no job depends on it"
        )]
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
    }
}

impl Pace for WallClock {
    fn ahead_ms(&mut self, due_ms: i64) -> Option<u64> {
        u64::try_from(due_ms - Self::now_ms())
            .ok()
            .filter(|ms| *ms > 0)
    }

    fn wait(&mut self, ms: u64) {
        sleep(Duration::from_millis(ms));
    }
}
