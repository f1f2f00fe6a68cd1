//! What the processes of a system use together, those that have been killed included.

use std::collections::BTreeMap;

use crate::process::{cpu_s, resident_peak_bytes};

/// The last readings of a process.
#[derive(Debug, Default)]
struct Reading {
    cpu_s: f64,
    resident_peak_bytes: u64,
}

/// Readings by process.
#[derive(Debug, Default)]
pub struct Usages {
    by_process: BTreeMap<u32, Reading>,
    peak_bytes: u64,
}

impl Usages {
    /// Reads the processes that run now.
    pub fn sample(&mut self, processes: &[u32]) {
        let mut now = 0;
        for &process in processes {
            let reading = self.by_process.entry(process).or_default();
            reading.cpu_s = reading.cpu_s.max(cpu_s(process));
            reading.resident_peak_bytes =
                resident_peak_bytes(process).unwrap_or(reading.resident_peak_bytes);
            now += reading.resident_peak_bytes;
        }
        self.peak_bytes = self.peak_bytes.max(now);
    }

    /// Processor time of all.
    #[must_use]
    pub fn cpu_s(&self) -> f64 {
        self.by_process.values().map(|reading| reading.cpu_s).sum()
    }

    /// The most of what those that ran at the same time had resident, each at its own peak.
    #[must_use]
    pub const fn peak_bytes(&self) -> u64 {
        self.peak_bytes
    }
}
