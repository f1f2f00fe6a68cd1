//! Which seeds a test runs, and how it tells of one that failed.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// So many seeds may fail before a test gives up; `FAILURES` in the environment wins.
const FAILURES_MAX: u64 = 8;

/// Runs `test` with each seed; `SEED=n` in the environment runs that one alone, `SEEDS=n` so many. How many it ran.
///
/// # Panics
/// If seeds fail; prints for each the command that runs it again.
pub fn each(test_name: &str, count: u64, mut test: impl FnMut(u64) -> Result<(), String>) -> u64 {
    let seeds = match (number("SEED"), number("SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, Some(count)) => 0..count,
        (None, None) => 0..count,
    };
    let mut failures = Vec::new();
    for seed in seeds.clone() {
        let failure = match catch_unwind(AssertUnwindSafe(|| test(seed))) {
            Ok(Ok(())) => continue,
            Ok(Err(failure)) => failure,
            Err(_) => "it panicked, see above".to_owned(),
        };
        failures.push(format!(
            "seed {seed}: {failure}\nagain: make sim SEED={seed} TEST={test_name}"
        ));
        if failures.len() as u64 >= number("FAILURES").unwrap_or(FAILURES_MAX) {
            break;
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    seeds.end - seeds.start
}

#[expect(clippy::disallowed_methods, reason = "a test has no caller to tell it")]
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
