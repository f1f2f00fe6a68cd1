//! The job that is shipped, the finance of a film studio, as a job of a simulated world, and its oracle.

use std::collections::BTreeMap;

use tidemill_studio::epochs::check_atomic;
use tidemill_studio::generator::{Settings, Unpaced};
use tidemill_studio::ports::{OnInput, OnOutput};
use tidemill_studio::{
    Error, EventSink, Generator, InputReader, OutputReader, VerifySettings, verify,
};
use tidemill_tests_kit::sim::clock::BEGIN_MS;
use tidemill_tests_kit::sim::kafka::{Kafka, Record};
use tidemill_tests_kit::sim::scenario::{Fed, Job, Topic};

const SQL: &str = include_str!("../../../jobs/catalog/studio_finance.sql");
const KAFKA: &str = "connector = 'kafka', bootstrap.servers = '${TIDEMILL_KAFKA:-127.0.0.1:9092}'";
const PARTITIONS: u32 = 4;
/// How long before the simulation the first event is, in milliseconds: all lie before it.
const BEFORE_MS: i64 = 31 * 86_400_000;

/// The job, with some events.
///
/// # Errors
/// If no events can be made.
pub fn job(seed: u64, events: u64) -> Result<Job, String> {
    let settings = Settings {
        events,
        seed,
        partitions: PARTITIONS,
        start_ms: BEGIN_MS - BEFORE_MS,
        threads: 1,
        ..Settings::default()
    };
    let mut topics = Topics::default();
    let generator = Generator::new(&settings).map_err(|error| error.to_string())?;
    let made = generator.run(&mut topics, &mut Unpaced);
    made.map_err(|error| error.to_string())?;
    let topics = topics.0.into_iter();
    Ok(Job {
        name: "studio_finance".to_owned(),
        sql: SQL.replace(KAFKA, "connector = 'sim'"),
        histories: Vec::new(),
        stages: vec![
            topics
                .map(|(name, partitions)| Topic { name, partitions })
                .collect(),
        ],
    })
}

/// Records by topic and partition.
struct Topics(BTreeMap<String, Vec<Vec<Fed>>>);

impl Default for Topics {
    fn default() -> Self {
        let empty = || vec![Vec::new(); PARTITIONS as usize];
        let topics = tidemill_studio::Topic::ALL.into_iter();
        Self(
            topics
                .map(|topic| (topic.name().to_owned(), empty()))
                .collect(),
        )
    }
}

impl EventSink for Topics {
    fn write(
        &mut self,
        topic: tidemill_studio::Topic,
        partition: u32,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), Error> {
        if let Some(partitions) = self.0.get_mut(topic.name()) {
            partitions[partition as usize].push(Fed {
                key: Some(key.to_vec()),
                value: Some(value.to_vec()),
                ..Fed::default()
            });
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

/// Holds every row against the oracle, and looks at the totals after each epoch.
///
/// # Errors
/// What is wrong.
pub fn check(kafka: &Kafka) -> Result<(), String> {
    let logs = Logs(kafka);
    let settings = VerifySettings {
        partitions: PARTITIONS,
        ..VerifySettings::at(BEGIN_MS)
    };
    let report = verify(&logs, &logs, &settings).map_err(|error| error.to_string())?;
    if !report.is_correct() {
        return Err(format!("it is not what the oracle says:\n{report}"));
    }
    let atomic = check_atomic(&logs).map_err(|error| error.to_string())?;
    if !atomic.is_correct() {
        return Err(format!("totals that cannot be:\n{atomic}"));
    }
    Ok(())
}

/// What was ever committed to the simulated topics.
struct Logs<'a>(&'a Kafka);

impl Logs<'_> {
    /// Each record of a topic, with its partition and offset.
    fn each(&self, topic: &str, mut on_record: impl FnMut(u32, i64, &Record)) {
        let brokers = self.0.lock();
        for (number, partition) in (0..).zip(0..brokers.partitions(topic)) {
            for (offset, record) in brokers.ever_committed(topic, partition) {
                on_record(number, offset, record);
            }
        }
    }
}

impl InputReader for Logs<'_> {
    fn read(&self, topic: &str, on_record: &mut OnInput<'_>) -> Result<(), Error> {
        self.each(topic, |partition, offset, record| {
            on_record(
                partition,
                offset,
                record.value.as_deref().unwrap_or_default(),
            );
        });
        Ok(())
    }
}

impl OutputReader for Logs<'_> {
    fn read(&self, topic: &str, on_record: &mut OnOutput<'_>) -> Result<(), Error> {
        self.each(topic, |partition, offset, record| {
            let (key, epoch) = (
                record.key.as_deref().unwrap_or_default(),
                record.epoch.unwrap_or(0),
            );
            on_record(partition, offset, epoch, key, record.value.as_deref());
        });
        Ok(())
    }
}
