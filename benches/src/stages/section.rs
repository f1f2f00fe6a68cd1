//! The measured sections of a run: wall time and processor time of what runs inside, and nothing else.
//!
//! Callgrind can be told to count in here alone: it starts and stops counting where [`counted`] is entered and left, and writes down what it
//! has counted whenever [`ended`] is. So both are functions of their own in the binary, and
//! [`COUNTED`] and [`ENDED`] name them. (In full: of two patterns that begin alike, callgrind follows one.)

use std::fs::read_to_string;
use std::hint::black_box;
use std::iter::Sum;
use std::ops::AddAssign;
use std::time::{Duration, Instant};

/// Name of the function in which instructions count.
pub const COUNTED: &str = "tidemill_benches::stages::section::counted";
/// Name of the function that is called at the end of each operator of a stage.
pub const ENDED: &str = "tidemill_benches::stages::section::ended";

/// What measured sections took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Took {
    /// By the clock.
    pub wall: Duration,
    /// Processor time of the thread, exact to a tick of the scheduler, so only sums of many sections mean something.
    pub cpu: Duration,
}

impl Took {
    /// What threads took that ran side by side: the longest time, and all of their processor time.
    #[must_use]
    pub fn beside(self, other: Self) -> Self {
        Self {
            wall: self.wall.max(other.wall),
            cpu: self.cpu + other.cpu,
        }
    }
}

impl AddAssign for Took {
    fn add_assign(&mut self, other: Self) {
        self.wall += other.wall;
        self.cpu += other.cpu;
    }
}

impl Sum for Took {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), |mut sum, part| {
            sum += part;
            sum
        })
    }
}

/// Runs what is measured.
pub fn measured<R>(work: impl FnOnce() -> R) -> (R, Took) {
    let (mut work, mut result) = (Some(work), None);
    let cpu_before = thread_cpu();
    let started = Instant::now();
    counted(&mut || result = work.take().map(|work| work()));
    let wall = started.elapsed();
    let cpu = thread_cpu().saturating_sub(cpu_before);
    (
        result.expect("what is measured has run"),
        Took { wall, cpu },
    )
}

/// Not generic, so that it is one function; what comes last keeps the call from becoming a jump that never returns here.
#[inline(never)]
fn counted(work: &mut dyn FnMut()) {
    work();
    black_box(work);
}

/// What was measured since the last call belongs to one stage.
pub fn stage_ends(stage: &str) {
    // Callgrind looks out for functions only while it counts.
    counted(&mut || ended(stage));
}

#[inline(never)]
fn ended(stage: &str) {
    black_box(stage);
}

/// Processor time of this thread; zero where Linux does not tell.
fn thread_cpu() -> Duration {
    let text = read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let ns = text.split(' ').next().and_then(|ns| ns.parse().ok());
    Duration::from_nanos(ns.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;
    use std::time::Duration;

    use super::{Took, measured};

    #[test]
    fn a_section_gives_back_what_its_work_gives_and_takes_time() {
        let (sum, took) = measured(|| (0..1_000_000_u64).map(black_box).sum::<u64>());
        assert_eq!(sum, 499_999_500_000);
        assert!(took.wall > Duration::ZERO);
    }

    #[test]
    fn threads_side_by_side_take_as_long_as_the_slowest() {
        let took = |wall, cpu| Took {
            wall: Duration::from_millis(wall),
            cpu: Duration::from_millis(cpu),
        };
        assert_eq!(took(5, 4).beside(took(7, 1)), took(7, 5));
        assert_eq!(
            [took(5, 4), took(7, 1)].into_iter().sum::<Took>(),
            took(12, 5)
        );
    }
}
