//! The power is cut at any moment: what was not synced is gone.
//!
//! Catches: a checkpoint that counts before all of it is on the disk, which then is missing when it is needed. In a test binary of its own,
//! since it takes the place of libc's `fsync` and `fdatasync` for everything that is linked into it, RocksDB included.

use std::ffi::c_int;
use std::fs::File;
use std::mem::ManuallyDrop;
use std::os::fd::FromRawFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use tidemill_tests_kit::random_job::draw;
use tidemill_tests_kit::sim::disk;
use tidemill_tests_kit::sim::scenario::Dangers;
use tidemill_tests_recovery::{random, seeds};

/// How often something was synced.
static SYNCS: AtomicU64 = AtomicU64::new(0);

fn note(fd: c_int) -> c_int {
    SYNCS.fetch_add(1, Ordering::Relaxed);
    // SAFETY: whoever syncs has the file open for as long as the call takes, and it is not closed here.
    let file = ManuallyDrop::new(unsafe { File::from_raw_fd(fd) });
    disk::synced(&file, &PathBuf::from(format!("/proc/self/fd/{fd}")));
    0
}

/// Instead of libc's. The simulation's disk is in memory, so that there is nothing else to do.
// SAFETY: it has the signature of the function whose place it takes, and does what that promises as far as the simulation can tell.
#[unsafe(no_mangle)]
pub extern "C" fn fsync(fd: c_int) -> c_int {
    note(fd)
}

/// Instead of libc's.
// SAFETY: as above.
#[unsafe(no_mangle)]
pub extern "C" fn fdatasync(fd: c_int) -> c_int {
    note(fd)
}

#[test]
fn a_checkpoint_that_counts_is_there_after_a_power_cut() {
    let dangers = Dangers {
        power_cut: 12,
        retention: 10,
        ..Dangers::NONE
    };
    seeds::each(
        "a_checkpoint_that_counts_is_there_after_a_power_cut",
        60,
        |seed| random::run(&draw(seed), dangers, seed).map(drop),
    );
    let syncs = SYNCS.load(Ordering::Relaxed);
    assert!(syncs > 100, "it does not learn of what is synced: {syncs}");
}
