//! What every bench ends with: its figures, the commit and the machine as one line of JSON; and how numbers are shown to people.

use std::fmt;
use std::fs::read_to_string;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use serde_json::{Map, Value, json};

/// Latencies in microseconds, of which shares are asked for.
#[derive(Debug, Default, Clone)]
pub struct Latencies {
    sorted_us: Vec<u32>,
}

impl Latencies {
    /// Takes latencies in any order.
    #[must_use]
    pub fn new(mut us: Vec<u32>) -> Self {
        us.sort_unstable();
        Self { sorted_us: us }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.sorted_us.len()
    }

    /// The least latency that `per_mille` of all do not pass (nearest rank), in milliseconds; 0 if there is none.
    #[must_use]
    pub fn quantile_ms(&self, per_mille: usize) -> f64 {
        let rank = (self.sorted_us.len() * per_mille).div_ceil(1000).max(1);
        self.sorted_us
            .get(rank - 1)
            .map_or(0.0, |&us| f64::from(us) / 1e3)
    }

    /// The usual ones, for the line of JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "count": self.count(),
            "p50_ms": rounded(self.quantile_ms(500)),
            "p90_ms": rounded(self.quantile_ms(900)),
            "p99_ms": rounded(self.quantile_ms(990)),
            "p999_ms": rounded(self.quantile_ms(999)),
            "max_ms": rounded(self.quantile_ms(1000)),
        })
    }
}

/// A figure beside its target.
pub struct Target {
    figure: &'static str,
    measured: String,
    target: String,
    is_met: bool,
}

impl Target {
    /// A figure, what it is as text, what it should be, and whether that is so.
    #[must_use]
    pub const fn new(figure: &'static str, measured: String, target: String, is_met: bool) -> Self {
        Self {
            figure,
            measured,
            target,
            is_met,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.is_met { "met" } else { "not met" };
        write!(
            f,
            "{:<46} {:>12}   {:<10} {verdict}",
            self.figure, self.measured, self.target
        )
    }
}

/// To two digits behind the point.
#[must_use]
pub fn rounded(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

/// A number with its thousands apart.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts and rates are positive and small"
)]
pub fn grouped(number: f64) -> String {
    let digits = (number.round() as u64).to_string();
    let mut shown = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// What a run was measured with, as of its start.
pub struct Circumstances {
    commit: String,
    load: String,
}

impl Circumstances {
    /// To be called before anything is built up: the run itself is load, and may outlast a commit.
    #[must_use]
    pub fn now(root: &Path) -> Self {
        Self {
            commit: commit(root),
            load: load(),
        }
    }

    /// Writes the one line: the bench's name, its figures, then the circumstances.
    pub fn print_line(self, bench: &str, figures: Value) {
        let mut line = Map::new();
        line.insert("bench".to_owned(), bench.into());
        if let Value::Object(figures) = figures {
            line.extend(figures);
        }
        line.insert("commit".to_owned(), self.commit.into());
        line.insert("machine".to_owned(), machine(&self.load));
        println!("{}", Value::Object(line));
    }
}

/// Prints news line by line, each with the time since this call.
pub fn timed_news() -> impl FnMut(&str) {
    let started = Instant::now();
    move |news| {
        for line in news.lines() {
            println!("[{:5.1} s] {line}", started.elapsed().as_secs_f64());
        }
    }
}

/// The commit that is checked out, with `-dirty` if files differ from it; `unknown` outside of a clone.
fn commit(root: &Path) -> String {
    let described = Command::new("git")
        .args(["describe", "--always", "--dirty", "--abbrev=12"])
        .current_dir(root)
        .output();
    let described = described.ok().filter(|output| output.status.success());
    described.map_or_else(
        || "unknown".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

/// Load averages over 1, 5 and 15 minutes; empty where the system does not tell.
fn load() -> String {
    let text = read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

fn machine(load_before: &str) -> Value {
    let value_of = |file: &str, name: &str| {
        let text = read_to_string(file).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split(':').nth(1))
            .map_or_else(String::new, |value| value.trim().to_owned())
    };
    let memory_kib: u64 = value_of("/proc/meminfo", "MemTotal")
        .split(' ')
        .next()
        .and_then(|kib| kib.parse().ok())
        .unwrap_or(0);
    json!({
        "processor": value_of("/proc/cpuinfo", "model name"),
        "processors": std::thread::available_parallelism().map_or(0, usize::from),
        "memory_gib": memory_kib >> 20,
        "load_before": load_before,
    })
}

#[cfg(test)]
mod tests {
    use super::{Latencies, grouped};

    #[test]
    fn a_quantile_is_a_latency_that_was_measured() {
        let latencies = Latencies::new((1..=1000).rev().map(|ms| ms * 1000).collect());
        assert_eq!(latencies.quantile_ms(500), 500.0);
        assert_eq!(latencies.quantile_ms(990), 990.0);
        assert_eq!(latencies.quantile_ms(1000), 1000.0);
        assert_eq!(Latencies::new(vec![7_000]).quantile_ms(990), 7.0);
        assert_eq!(Latencies::default().quantile_ms(990), 0.0);
    }

    #[test]
    fn numbers_are_shown_in_groups_of_three_digits() {
        assert_eq!(grouped(0.4), "0");
        assert_eq!(grouped(999.0), "999");
        assert_eq!(grouped(1_000.0), "1,000");
        assert_eq!(grouped(2_300_000.0), "2,300,000");
    }
}
