//! What Linux tells about a process: its memory and its processor time, in all and by thread. Read from `/proc`, without disturbing it.

use std::collections::BTreeMap;
use std::fs::{read_dir, read_to_string};

/// Ticks a second in `/proc/*/stat`: a constant of Linux's interface to programs.
const TICKS_PER_S: f64 = 100.0;

/// What a process has used so far; keeps the last readings when it is gone.
#[derive(Debug, Default, Clone)]
pub struct Usage {
    /// Most resident memory at any time.
    pub resident_peak_bytes: u64,
    /// Processor time.
    pub cpu_s: f64,
    /// By its id, name and processor time of every thread that was ever seen.
    pub threads: BTreeMap<u32, (String, f64)>,
}

impl Usage {
    /// Reads the process again.
    pub fn sample(&mut self, process: u32) {
        if let Some(bytes) = resident_peak_bytes(process) {
            self.resident_peak_bytes = self.resident_peak_bytes.max(bytes);
        }
        self.cpu_s = self.cpu_s.max(cpu_s(process));
        let folder = format!("/proc/{process}/task");
        for entry in read_dir(folder).into_iter().flatten().flatten() {
            let stat = read_to_string(entry.path().join("stat")).unwrap_or_default();
            let thread = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok());
            if let (Some(thread), Some(reading)) = (thread, parse_stat(&stat)) {
                self.threads.insert(thread, reading);
            }
        }
    }

    /// Processor time by thread, those that differ in a number put together, the busiest first.
    #[must_use]
    pub fn by_thread(&self) -> Vec<(String, f64)> {
        let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
        for (name, seconds) in self.threads.values() {
            let kind = name.trim_end_matches(|c: char| c.is_ascii_digit() || "-:#/ ".contains(c));
            *sums.entry(kind).or_default() += seconds;
        }
        let mut sums: Vec<_> = sums
            .into_iter()
            .map(|(name, s)| (name.to_owned(), s))
            .collect();
        sums.sort_by(|a, b| b.1.total_cmp(&a.1));
        sums
    }
}

/// Processor time of a process, user and system, in seconds; 0 if it is gone.
#[must_use]
pub fn cpu_s(process: u32) -> f64 {
    let stat = read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    parse_stat(&stat).map_or(0.0, |(_, seconds)| seconds)
}

/// Most resident memory of a process at any time; `None` if it is gone.
#[must_use]
pub fn resident_peak_bytes(process: u32) -> Option<u64> {
    let status = read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

/// Name, and user and system time in seconds: `proc(5)`, fields 2, 14 and 15. The name stands in parentheses, and may hold some itself.
fn parse_stat(stat: &str) -> Option<(String, f64)> {
    let (before, after) = stat.rsplit_once(')')?;
    let (_, name) = before.split_once('(')?;
    let mut ticks = after.split_whitespace().skip(11);
    let (user, system): (f64, f64) = (ticks.next()?.parse().ok()?, ticks.next()?.parse().ok()?);
    Some((name.to_owned(), (user + system) / TICKS_PER_S))
}

#[cfg(test)]
mod tests {
    use super::{Usage, parse_stat};

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat =
            "7 (rdk:(main) 1) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 9 0 100 1000 200";
        assert_eq!(parse_stat(stat), Some(("rdk:(main) 1".to_owned(), 3.0)));
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn threads_that_differ_in_a_number_are_one_kind() {
        let threads = [
            ("timely:work-0", 2.0),
            ("timely:work-1", 3.0),
            ("commit", 1.0),
        ];
        let threads = (1..)
            .zip(threads.map(|(name, s)| (name.to_owned(), s)))
            .collect();
        let usage = Usage {
            threads,
            ..Usage::default()
        };
        assert_eq!(
            usage.by_thread(),
            [("timely:work".to_owned(), 5.0), ("commit".to_owned(), 1.0)]
        );
    }

    #[test]
    fn this_process_uses_memory() {
        let mut usage = Usage::default();
        usage.sample(std::process::id());
        assert!(usage.resident_peak_bytes > 0);
    }
}
