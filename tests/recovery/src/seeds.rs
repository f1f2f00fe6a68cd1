//! Which seeds a test runs, and how it tells of one that failed.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `test` with each seed; `SEED=n` in the environment runs that one alone, `SEEDS=n` so many.
///
/// # Panics
/// At the first seed that fails; prints the command that runs it again.
pub fn each(test_name: &str, count: u64, test: impl Fn(u64) -> Result<(), String>) {
    let seeds = match (number("SEED"), number("SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, Some(count)) => 0..count,
        (None, None) => 0..count,
    };
    for seed in seeds {
        let result = catch_unwind(AssertUnwindSafe(|| test(seed)));
        let failure = match result {
            Ok(Ok(())) => continue,
            Ok(Err(failure)) => failure,
            Err(_) => "it panicked, see above".to_owned(),
        };
        panic!(
            "seed {seed}: {failure}\nagain: SEED={seed} cargo test --release -p tidemill-tests-recovery {test_name}"
        );
    }
}

#[expect(clippy::disallowed_methods, reason = "a test has no caller to tell it")]
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
