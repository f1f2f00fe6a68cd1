//! The status in Prometheus' text format.

use std::fmt::Write;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::status::{DeliveryStatus, Histogram, SourceStatus, Status, lag, resident_bytes};

/// All metrics of a job.
pub fn text(status: &Status) -> String {
    let mut out = Text(String::new());
    job(&mut out, status);
    sources(&mut out, status);
    contracts(&mut out, status);
    deliveries(&mut out, status);
    sinks(&mut out, status);
    busy(&mut out, status);
    let histograms = [
        (
            "commit_seconds",
            "Duration of commits.",
            &status.commit_seconds,
        ),
        (
            "checkpoint_seconds",
            "Duration of checkpoints.",
            &status.checkpoint_seconds,
        ),
        (
            "freshness_seconds",
            "From an event's ts to its commit.",
            &status.freshness_seconds,
        ),
    ];
    for (name, help, histogram) in histograms {
        out.histogram(name, help, histogram);
    }
    out.0
}

fn job(out: &mut Text, status: &Status) {
    let snapshot = status.snapshot();
    let load = |value: &std::sync::atomic::AtomicU64| value.load(Ordering::Relaxed);
    let gauges = [
        ("epoch", "Last committed epoch.", load(&status.epoch)),
        (
            "checkpoint_epoch",
            "Epoch of the newest checkpoint.",
            snapshot.checkpoint_epoch,
        ),
        ("state_bytes", "State on disk.", load(&status.state_bytes)),
        (
            "state_cache_bytes",
            "State in caches.",
            load(&status.cache_bytes),
        ),
        (
            "resident_memory_bytes",
            "Resident memory of the process.",
            resident_bytes(),
        ),
    ];
    for (name, help, value) in gauges {
        out.family(name, "gauge", help).value("", value);
    }
    if let Some(ms) = snapshot.recovery_ms {
        let seconds = Duration::from_millis(u64::try_from(ms).unwrap_or(0)).as_secs_f64();
        out.family("recovery_seconds", "gauge", "Duration of recovery.")
            .value("", seconds);
    }
    let counters = [
        (
            "stale_total",
            "Events that a newer one about the same key had overtaken.",
            status.stale.get(),
        ),
        (
            "late_total",
            "Rows in the late ledger, and rows for windows that are over.",
            status.late.get(),
        ),
        (
            "failed_rows_total",
            "Rows that an expression could not be computed for.",
            status.failed_rows.get(),
        ),
        (
            "untimed_rows_total",
            "Rows left out of windows because they have no time.",
            status.untimed.get(),
        ),
        (
            "backpressure_waits_total",
            "Times that admission waited for epochs in flight.",
            status.backpressure_waits.get(),
        ),
    ];
    for (name, help, value) in counters {
        out.family(name, "counter", help).value("", value);
    }
}

fn busy(out: &mut Text, status: &Status) {
    let mut family = out.family(
        "operator_busy_seconds_total",
        "counter",
        "Time that the workers spent in an operator of the dataflow.",
    );
    for (operator, time) in status.busy.by_operator() {
        let label = format!("operator=\"{}\"", escape(&operator));
        family.value(&label, time.as_secs_f64());
    }
}

/// Reads one count of a source.
type OfSource = fn(&SourceStatus) -> u64;

fn sources(out: &mut Text, status: &Status) {
    let counts: [(&str, &str, &str, OfSource); 6] = [
        ("records_read_total", "counter", "Records read.", |source| {
            source.records.get()
        }),
        ("bytes_read_total", "counter", "Bytes read.", |source| {
            source.bytes.get()
        }),
        (
            "ignored_total",
            "counter",
            "Records that change nothing, such as events of type read.",
            |source| source.ignored.get(),
        ),
        (
            "duplicates_total",
            "counter",
            "Events dropped by deduplication.",
            |source| source.duplicates.get(),
        ),
        (
            "dead_letters_total",
            "counter",
            "Undecodable records.",
            |source| source.dead_letters.get(),
        ),
        (
            "lag",
            "gauge",
            "What a source still holds: records, or bytes for files.",
            lag,
        ),
    ];
    for (name, kind, help, count) in counts {
        let mut family = out.family(name, kind, help);
        for source in &status.sources {
            family.value(&topic(&source.topic), count(source));
        }
    }
    let mut family = out.family(
        "lag_partition",
        "gauge",
        "What a partition still holds: records, or bytes for files.",
    );
    for source in &status.sources {
        let positions = source
            .positions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let places = source.places();
        for (number, committed, end) in positions {
            let place = places.of(number);
            let labels = format!("{},partition=\"{}\"", topic(&place.topic), place.partition);
            family.value(&labels, (end - committed).max(0));
        }
    }
}

/// Reads one count of a sink that is delivered.
type OfDelivery = fn(&DeliveryStatus) -> u64;

fn deliveries(out: &mut Text, status: &Status) {
    let counts: [(&str, &str, &str, OfDelivery); 4] = [
        (
            "delivered_epoch",
            "gauge",
            "The newest epoch that the target of a sink has for certain.",
            |of| of.epoch.load(Ordering::Relaxed),
        ),
        (
            "outbox_bytes",
            "gauge",
            "What is committed for a sink and not delivered yet.",
            |of| of.outbox_bytes.load(Ordering::Relaxed),
        ),
        (
            "delivery_failures_total",
            "counter",
            "Deliveries that failed, each of which is tried again.",
            |of| of.failures.get(),
        ),
        (
            "delivery_rejected_total",
            "counter",
            "Records that the target of a sink does not take.",
            |of| of.rejected.get(),
        ),
    ];
    for (name, kind, help, count) in counts {
        let mut family = out.family(name, kind, help);
        for delivery in status.sinks.iter().map(|sink| &sink.delivery) {
            if let Some(sink) = &delivery.sink {
                family.value(&format!("sink=\"{}\"", escape(sink)), count(delivery));
            }
        }
    }
}

fn contracts(out: &mut Text, status: &Status) {
    let mut family = out.family(
        "records_awaiting_schema",
        "gauge",
        "Records that wait until the registry has said what their schema is.",
    );
    for source in &status.sources {
        let awaiting = source.awaiting_schema.load(Ordering::Relaxed);
        family.value(&topic(&source.topic), awaiting);
    }
    let mut family = out.family(
        "contract_dead_letters_total",
        "counter",
        "Undecodable records by the version of the subject that they were written by.",
    );
    for source in &status.sources {
        for ((subject, version), count) in source.by_contract.counts() {
            let (subject, version) = (escape(&subject), escape(&version));
            let contract = format!("subject=\"{subject}\",version=\"{version}\"");
            family.value(&format!("{},{contract}", topic(&source.topic)), count);
        }
    }
}

fn sinks(out: &mut Text, status: &Status) {
    let mut family = out.family("records_committed_total", "counter", "Records committed.");
    for sink in &status.sinks {
        family.value(&topic(&sink.topic), sink.records.get());
    }
    let mut family = out.family(
        "key_conflicts_total",
        "counter",
        "Rows that are not written because another one with their key is.",
    );
    for sink in &status.sinks {
        family.value(&topic(&sink.topic), sink.conflicts.get());
    }
}

fn topic(name: &str) -> String {
    format!("topic=\"{}\"", escape(name))
}

struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) -> Family<'_> {
        writeln!(
            self.0,
            "# HELP tidemill_{name} {help}\n# TYPE tidemill_{name} {kind}"
        )
        .expect("a string takes all");
        Family {
            out: &mut self.0,
            name: name.to_owned(),
        }
    }

    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        let (buckets, count, sum) = histogram.cumulative();
        let family = self.family(name, "histogram", help);
        for (bound, count) in buckets {
            writeln!(
                family.out,
                "tidemill_{name}_bucket{{le=\"{bound}\"}} {count}"
            )
            .expect("a string takes all");
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
        let labels = if labels.is_empty() {
            String::new()
        } else {
            format!("{{{labels}}}")
        };
        writeln!(self.out, "tidemill_{name}{labels} {value}").expect("a string takes all");
    }
}

fn escape(label: &str) -> String {
    label
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use tidemill_types::TopicPartition;

    use super::text;
    use crate::Status;

    #[test]
    fn the_lag_of_a_partition_has_its_own_topic_and_number() {
        let status = Status::new("job", vec!["orders, returns".to_owned()], Vec::new());
        let source = &status.sources[0];
        source.set_places([(1, TopicPartition::new("returns", 0))]);
        source.ends(&[(1, 7)]);
        let text = text(&status);
        for line in [
            "tidemill_lag{topic=\"orders, returns\"} 7",
            "tidemill_lag_partition{topic=\"returns\",partition=\"0\"} 7",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}
