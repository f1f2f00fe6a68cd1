//! An allocator that counts, by thread: how much memory is held at once, and how much was ever asked for.
//!
//! Promises: exact counts of what the thread itself takes and gives back. Does not count what other threads do on its behalf.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static HELD: Cell<i64> = const { Cell::new(0) };
    static MOST: Cell<i64> = const { Cell::new(0) };
    static TAKEN: Cell<i64> = const { Cell::new(0) };
}

/// The system's allocator, with counts.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counting;

/// What was allocated meanwhile, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allocated {
    /// The most that was held at once, beyond what was held before.
    pub peak: i64,
    /// All that was taken, whether it was given back or not.
    pub total: i64,
}

/// Runs something, and says what it allocated; nothing, where [`Counting`] is not the allocator.
pub fn measured<T>(run: impl FnOnce() -> T) -> (T, Allocated) {
    let before = HELD.get();
    MOST.set(before);
    TAKEN.set(0);
    let done = run();
    let allocated = Allocated {
        peak: MOST.get() - before,
        total: TAKEN.get(),
    };
    (done, allocated)
}

fn count(bytes: usize, sign: i64) {
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX / 4);
    // A thread that ends has no counts any more, and nobody asks for them.
    let _ = HELD.try_with(|held| {
        held.set(held.get() + sign * bytes);
        let _ = MOST.try_with(|most| most.set(most.get().max(held.get())));
    });
    if sign > 0 {
        let _ = TAKEN.try_with(|taken| taken.set(taken.get() + bytes));
    }
}

// SAFETY: every call goes to the system's allocator as it came; counting allocates nothing and cannot unwind.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: as above; what was allocated here was allocated by the system's allocator.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, 1);
        count(layout.size(), -1);
        // SAFETY: as above.
        unsafe { System.realloc(place, layout, size) }
    }
}
