//! The first job: the finance of the studio, as it is shipped, under a live load of its generator, and held against
//! its oracle.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use tidemill_connectors_kafka::tools::{Bulk, TopicSpec, create_topics};
use tidemill_studio::epochs::{AtomicReport, check_atomic};
use tidemill_studio::generator::{Settings, WallClock};
use tidemill_studio::{Error, EventSink, Generator, Report, Topic, VerifySettings, topic};

use crate::mirror::Mirror;

/// Its place among the jobs.
pub const JOB: usize = 0;
/// Its name.
pub const NAME: &str = "studio_finance";
/// Its SQL, from the root of the workspace.
pub const SQL: &str = "jobs/catalog/studio_finance.sql";
/// Partitions that the generator fills.
pub const PARTITIONS: u32 = 4;
/// Its sources and their topics.
pub const SOURCES: [(&str, &str); 6] = [
    ("production_events", Topic::Production.name()),
    ("talent_events", Topic::Talent.name()),
    ("schedule_events", Topic::Schedule.name()),
    ("budget_events", Topic::Budget.name()),
    ("payment_events", Topic::Payment.name()),
    ("cash_flow_events", Topic::CashFlow.name()),
];
/// Topics that it writes, and whether each has one record per key and epoch.
pub const SINKS: [(&str, bool); 7] = [
    (topic::PRODUCTION, true),
    (topic::PAYMENT_ENRICHED, true),
    (topic::SPEND_BY_REGION_YEAR, true),
    (topic::CASH_FLOW_DAILY, true),
    (topic::PAYMENT_AUDIT, false),
    (topic::LATE, false),
    (topic::DEAD_LETTERS, false),
];

/// Makes the topics of events.
///
/// # Errors
/// Of the brokers.
pub fn create(bootstrap: &str) -> Result<()> {
    let specs = Topic::ALL.map(|topic| TopicSpec {
        name: topic.name(),
        partitions: PARTITIONS,
        settings: Vec::new(),
    });
    Ok(create_topics(bootstrap, &specs)?)
}

/// Publishes `rate` events a second for up to `seconds`; returns how many.
///
/// # Errors
/// Of the brokers.
pub fn publish(
    (bootstrap, seed): (&str, u64),
    rate: u64,
    seconds: u64,
    stop: &AtomicBool,
) -> Result<u64> {
    #[expect(clippy::cast_precision_loss, reason = "a small rate")]
    let settings = Settings {
        events: rate * seconds,
        seed,
        partitions: PARTITIONS,
        start_ms: WallClock::now_ms(),
        rate: Some(rate as f64),
        threads: 1,
        ..Settings::default()
    };
    let mut sink = Sink {
        bulk: Bulk::new(bootstrap)?,
        records: 0,
        stop,
    };
    let run = Generator::new(&settings)?.run(&mut sink, &mut WallClock);
    sink.bulk.flush()?;
    if !stop.load(Ordering::SeqCst) {
        run?;
    }
    Ok(sink.records)
}

/// Publishes without waiting for anything: a pause of the load is not the time to wait for brokers that are away.
struct Sink<'a> {
    bulk: Bulk,
    records: u64,
    stop: &'a AtomicBool,
}

impl EventSink for Sink<'_> {
    fn write(
        &mut self,
        topic: Topic,
        partition: u32,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), Error> {
        if self.stop.load(Ordering::SeqCst) {
            return Err(Error::port(topic.name(), "the load was ended"));
        }
        self.records += 1;
        let produced = self
            .bulk
            .produce(topic.name(), Some(partition), Some(key), Some(value));
        produced.map_err(|error| Error::port(topic.name(), error))
    }

    fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

/// Holds all rows against the oracle, and looks at the totals after each epoch.
///
/// # Errors
/// If the topics cannot be read.
pub fn verify(mirror: &Mirror) -> Result<(Report, AtomicReport)> {
    let settings = VerifySettings {
        partitions: PARTITIONS,
        // The load is not ahead of its clock by more.
        ahead_ms: 100,
        ..VerifySettings::at(WallClock::now_ms())
    };
    let rows = tidemill_studio::verify(mirror, mirror, &settings)?;
    Ok((rows, check_atomic(mirror)?))
}
