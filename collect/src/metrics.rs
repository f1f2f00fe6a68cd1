//! What is counted, in Prometheus' text format.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::answer::Outcome;

/// Upper bounds of the histogram's buckets, in microseconds and as they are written.
const BOUNDS: [(u64, &str); 10] = [
    (2_000, "0.002"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (25_000, "0.025"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (250_000, "0.25"),
    (1_000_000, "1"),
    (5_000_000, "5"),
    (15_000_000, "15"),
];
/// Stands for what is no endpoint.
const NO_ENDPOINT: &str = "";

/// All counts.
pub struct Metrics {
    by_endpoint: BTreeMap<String, Counts>,
    buckets: [AtomicU64; BOUNDS.len()],
    count: AtomicU64,
    sum_us: AtomicU64,
}

#[derive(Default)]
struct Counts {
    requests: [AtomicU64; Outcome::ALL.len()],
    events: AtomicU64,
    bytes: AtomicU64,
}

impl Metrics {
    /// For endpoints of these names.
    pub fn new<'a>(endpoints: impl Iterator<Item = &'a String>) -> Self {
        let names = endpoints.cloned().chain([NO_ENDPOINT.to_owned()]);
        Self {
            by_endpoint: names.map(|name| (name, Counts::default())).collect(),
            buckets: Default::default(),
            count: AtomicU64::new(0),
            sum_us: AtomicU64::new(0),
        }
    }

    /// A request was answered.
    pub fn on_answer(&self, endpoint: Option<&str>, outcome: Outcome) {
        if let Some(counts) = self.of(endpoint) {
            counts.requests[outcome as usize].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Events of a request are in Kafka, so long after its head was read.
    pub fn on_written(&self, endpoint: &str, events: usize, bytes: usize, took: Duration) {
        if let Some(counts) = self.of(Some(endpoint)) {
            counts.events.fetch_add(events as u64, Ordering::Relaxed);
            counts.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        }
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        for ((bound, _), bucket) in BOUNDS.iter().zip(&self.buckets) {
            if us <= *bound {
                bucket.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.sum_us.fetch_add(us, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    fn of(&self, endpoint: Option<&str>) -> Option<&Counts> {
        self.by_endpoint.get(endpoint.unwrap_or(NO_ENDPOINT))
    }

    /// All of it, with what is held now.
    pub fn text(&self, connections: usize, in_flight_bytes: usize) -> String {
        let mut out = String::new();
        let mut line = |line: std::fmt::Arguments<'_>| {
            out.write_fmt(line).expect("a string takes all");
            out.push('\n');
        };
        let family = |name: &str, kind: &str, help: &str| {
            format!("# HELP tidemill_collect_{name} {help}\n# TYPE tidemill_collect_{name} {kind}")
        };
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let help = "Requests that were answered, by endpoint and outcome.";
        line(format_args!(
            "{}",
            family("requests_total", "counter", help)
        ));
        for (name, counts) in &self.by_endpoint {
            for (outcome, count) in Outcome::ALL.iter().zip(&counts.requests) {
                line(format_args!(
                    "tidemill_collect_requests_total{{endpoint=\"{name}\",outcome=\"{}\"}} {}",
                    outcome.name(),
                    load(count)
                ));
            }
        }
        let endpoints = || (self.by_endpoint.iter()).filter(|(name, _)| *name != NO_ENDPOINT);
        let help = "Events that are in Kafka.";
        line(format_args!("{}", family("events_total", "counter", help)));
        for (name, counts) in endpoints() {
            let count = load(&counts.events);
            line(format_args!(
                "tidemill_collect_events_total{{endpoint=\"{name}\"}} {count}"
            ));
        }
        let help = "Their bytes, without keys.";
        line(format_args!("{}", family("bytes_total", "counter", help)));
        for (name, counts) in endpoints() {
            let count = load(&counts.bytes);
            line(format_args!(
                "tidemill_collect_bytes_total{{endpoint=\"{name}\"}} {count}"
            ));
        }
        let help = "Connections that are open.";
        line(format_args!("{}", family("connections", "gauge", help)));
        line(format_args!("tidemill_collect_connections {connections}"));
        let help = "Bytes of requests that are not answered yet.";
        line(format_args!("{}", family("in_flight_bytes", "gauge", help)));
        line(format_args!(
            "tidemill_collect_in_flight_bytes {in_flight_bytes}"
        ));
        let help = "From the head of a request until its events are in Kafka.";
        line(format_args!("{}", family("seconds", "histogram", help)));
        for ((_, bound), bucket) in BOUNDS.iter().zip(&self.buckets) {
            let count = load(bucket);
            line(format_args!(
                "tidemill_collect_seconds_bucket{{le=\"{bound}\"}} {count}"
            ));
        }
        let (count, sum) = (load(&self.count), Duration::from_micros(load(&self.sum_us)));
        line(format_args!(
            "tidemill_collect_seconds_bucket{{le=\"+Inf\"}} {count}"
        ));
        line(format_args!(
            "tidemill_collect_seconds_sum {}",
            sum.as_secs_f64()
        ));
        line(format_args!("tidemill_collect_seconds_count {count}"));
        out
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Metrics;
    use crate::answer::Outcome;

    #[test]
    fn what_happened_is_counted_by_endpoint_and_outcome() {
        let metrics = Metrics::new(["a".to_owned(), "b".to_owned()].iter());
        metrics.on_written("a", 3, 70, Duration::from_millis(4));
        metrics.on_answer(Some("a"), Outcome::Ok);
        metrics.on_answer(None, Outcome::NotFound);
        let text = metrics.text(2, 99);
        for line in [
            "tidemill_collect_requests_total{endpoint=\"a\",outcome=\"ok\"} 1",
            "tidemill_collect_requests_total{endpoint=\"\",outcome=\"not_found\"} 1",
            "tidemill_collect_events_total{endpoint=\"a\"} 3",
            "tidemill_collect_events_total{endpoint=\"b\"} 0",
            "tidemill_collect_bytes_total{endpoint=\"a\"} 70",
            "tidemill_collect_connections 2",
            "tidemill_collect_in_flight_bytes 99",
            "tidemill_collect_seconds_bucket{le=\"0.002\"} 0",
            "tidemill_collect_seconds_bucket{le=\"0.005\"} 1",
            "tidemill_collect_seconds_bucket{le=\"+Inf\"} 1",
            "tidemill_collect_seconds_sum 0.004",
        ] {
            assert!(
                text.lines().any(|of| of == line),
                "'{line}' is not in\n{text}"
            );
        }
    }
}
