//! What the allocator does with freed memory.
//!
//! Recovery builds every arrangement anew and frees as much as it keeps. Giving that back to the system at once, only to ask for it again, costs
//! half of the time that recovery takes; so until the job has recovered, the process keeps what it frees.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tidemill_engine::{Phase, Status};

/// `mi_option_purge_delay` (mimalloc.h), which the binding does not name.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
/// Freed memory is kept.
const NEVER: std::ffi::c_long = -1;
/// Freed memory goes back after so many milliseconds.
const DEFAULT_MS: std::ffi::c_long = 1_000;
/// How often the phase is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Keeps freed memory until the job has recovered, or is over.
pub fn keep_while_recovering(status: &Status, over: &AtomicBool) {
    set_purge_delay(NEVER);
    while status.phase() == Phase::Recovering && !over.load(Ordering::Relaxed) {
        std::thread::sleep(LOOK);
    }
    set_purge_delay(DEFAULT_MS);
}

fn set_purge_delay(value: std::ffi::c_long) {
    // SAFETY: sets an integer that mimalloc reads atomically; the option exists in the versions that the binding builds.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, value) }
}
