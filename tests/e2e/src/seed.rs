//! Randomness that can be had again: every test that draws prints its seed first, and the command that repeats the draw.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// The draws of a test of the test program `program` of `package`: from `TIDEMILL_SEED`, else other ones in every run.
#[expect(
    clippy::disallowed_methods,
    reason = "a test has no caller to hand it a seed"
)]
pub fn draws(package: &str, program: &str) -> ChaCha8Rng {
    let given = std::env::var("TIDEMILL_SEED").ok();
    let seed = match &given {
        Some(text) => text.parse().expect("TIDEMILL_SEED is a number"),
        None => rand::random(),
    };
    let thread = std::thread::current();
    let test = thread.name().unwrap_or_default();
    println!(
        "again: TIDEMILL_SEED={seed} cargo test --release -p {package} --test {program} -- --exact {test}"
    );
    ChaCha8Rng::seed_from_u64(seed)
}
