//! The status in Prometheus' text format.

use std::fmt::Write;
use std::sync::atomic::Ordering;

use crate::status::{Histogram, Status, lag, resident_bytes};

/// All metrics of a job.
pub fn text(status: &Status) -> String {
    let mut out = Text(String::new());
    let snapshot = status.snapshot();
    out.family("epoch", "gauge", "Last committed epoch.").value("", status.epoch.load(Ordering::Relaxed));
    out.family("checkpoint_epoch", "gauge", "Epoch of the newest checkpoint.").value("", snapshot.checkpoint_epoch);
    out.family("recovery_seconds", "gauge", "Duration of recovery.").value("", snapshot.recovery_ms.map_or(f64::NAN, |ms| ms as f64 / 1e3));
    out.per_source(status, "records_read_total", "counter", "Records read.", |source| source.records.get());
    out.per_source(status, "bytes_read_total", "counter", "Bytes read.", |source| source.bytes.get());
    out.per_source(status, "reads_total", "counter", "Events of type read, which change nothing.", |source| source.reads.get());
    out.per_source(status, "duplicates_total", "counter", "Events dropped by deduplication.", |source| source.duplicates.get());
    out.per_source(status, "dead_letters_total", "counter", "Undecodable records.", |source| source.dead_letters.get());
    out.per_source(status, "lag", "gauge", "What a source still holds: records, or bytes for files.", lag);
    let mut family = out.family("lag_partition", "gauge", "What a partition still holds: records, or bytes for files.");
    for source in &status.sources {
        let positions = source.positions.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        for (partition, committed, end) in positions {
            family.value(&format!("topic=\"{}\",partition=\"{partition}\"", escape(&source.topic)), (end - committed).max(0));
        }
    }
    let mut family = out.family("records_committed_total", "counter", "Records committed.");
    for sink in &status.sinks {
        family.value(&format!("topic=\"{}\"", escape(&sink.topic)), sink.records.get());
    }
    out.family("stale_total", "counter", "Events that a newer one about the same key had overtaken.").value("", status.stale.get());
    out.family("late_total", "counter", "Rows in the late ledger.").value("", snapshot.late);
    out.family("failed_rows_total", "counter", "Rows that an expression could not be computed for.").value("", status.failed_rows.get());
    out.family("backpressure_waits_total", "counter", "Times that admission waited for epochs in flight.").value("", status.backpressure_waits.get());
    out.family("state_bytes", "gauge", "State on disk.").value("", status.state_bytes.load(Ordering::Relaxed));
    out.family("state_cache_bytes", "gauge", "State in caches.").value("", status.cache_bytes.load(Ordering::Relaxed));
    out.family("resident_memory_bytes", "gauge", "Resident memory of the process.").value("", resident_bytes());
    out.histogram("commit_seconds", "Duration of commits.", &status.commit_seconds);
    out.histogram("checkpoint_seconds", "Duration of checkpoints.", &status.checkpoint_seconds);
    out.histogram("freshness_seconds", "From an event's ts to its commit.", &status.freshness_seconds);
    out.0
}

struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) -> Family<'_> {
        writeln!(self.0, "# HELP tidemill_{name} {help}\n# TYPE tidemill_{name} {kind}").expect("a string takes all");
        Family { out: &mut self.0, name: name.to_owned() }
    }

    fn per_source(&mut self, status: &Status, name: &str, kind: &str, help: &str, value: impl Fn(&crate::status::SourceStatus) -> u64) {
        let mut family = self.family(name, kind, help);
        for source in &status.sources {
            family.value(&format!("topic=\"{}\"", escape(&source.topic)), value(source));
        }
    }

    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        let (buckets, count, sum) = histogram.cumulative();
        let family = self.family(name, "histogram", help);
        for (bound, count) in buckets {
            writeln!(family.out, "tidemill_{name}_bucket{{le=\"{bound}\"}} {count}").expect("a string takes all");
        }
        writeln!(family.out, "tidemill_{name}_bucket{{le=\"+Inf\"}} {count}\ntidemill_{name}_sum {sum}\ntidemill_{name}_count {count}").expect("a string takes all");
    }
}

struct Family<'a> {
    out: &'a mut String,
    name: String,
}

impl Family<'_> {
    fn value(&mut self, labels: &str, value: impl std::fmt::Display) {
        let name = &self.name;
        let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        writeln!(self.out, "tidemill_{name}{labels} {value}").expect("a string takes all");
    }
}

fn escape(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
