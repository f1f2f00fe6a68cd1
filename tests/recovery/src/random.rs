//! Random jobs in a simulated world, against the oracle after every committed epoch.

use std::collections::BTreeMap;

use tidemill_checkpoints::Record as Journalled;
use tidemill_connectors_api::seam;
use tidemill_tests_kit::oracle::{
    Beside, EpochInput, Oracle, PartitionEpoch, Record, Written, difference,
};
use tidemill_tests_kit::planned;
use tidemill_tests_kit::random_job::job::HISTORY;
use tidemill_tests_kit::random_job::{Case, Connector, InputRecord};
use tidemill_tests_kit::sim::kafka::{Kafka, SimConnector};
use tidemill_tests_kit::sim::scenario::{Dangers, Fed, Job, Topic};
use tidemill_tests_kit::sim::targets::SimTargets;
use tidemill_tests_kit::sim::world::{End, World};
use tidemill_types::TopicPartition;
use tidemill_types::format::NoContracts;

const SIM: Connector<'_> = Connector {
    name: "sim",
    source_options: "watermark.idle-timeout = '200 ms'",
    sink_options: "",
    delivered: Some("simtarget"),
    histories: true,
};

/// A case as a job of a simulated world.
#[must_use]
pub fn job(case: &Case) -> Job {
    let sources = case.job.sources.iter().zip(&case.input);
    let (mut histories, mut topics) = (Vec::new(), Vec::new());
    for (source, input) in sources {
        let parts = input.partitions.iter().map(|records| {
            let past = if source.has_history {
                records.len() / 2
            } else {
                0
            };
            records.split_at(past)
        });
        let (past, live): (Vec<_>, Vec<_>) = parts.unzip();
        if source.has_history {
            histories.push(topic(format!("{HISTORY}{}", source.topic), &past));
        }
        topics.push(topic(source.topic.clone(), &live));
    }
    Job {
        name: "random".to_owned(),
        sql: case.job.sql(&SIM),
        histories,
        stages: vec![topics],
    }
}

fn topic(name: String, partitions: &[&[InputRecord]]) -> Topic {
    let fed = |record: &InputRecord| Fed {
        key: record.key.clone(),
        value: record.value.clone(),
        headers: record.headers.clone(),
    };
    let partitions = partitions.iter();
    Topic {
        name,
        partitions: partitions
            .map(|records| records.iter().map(fed).collect())
            .collect(),
    }
}

/// Lets a case live through dangers, and compares every committed epoch with the oracle's.
///
/// # Errors
/// What went wrong, with the job's statements.
pub fn run(case: &Case, dangers: Dangers, seed: u64) -> Result<End, String> {
    let job = job(case);
    let told = |failure: String| format!("{failure}\n{}", job.sql);
    let end = World::new(&job, dangers, seed)
        .and_then(World::run)
        .map_err(told)?;
    check(case, &end, dangers.wall_jump == 0)
        .map_err(|failure| told(format!("{failure}\n{}", end.notes)))?;
    Ok(end)
}

fn check(case: &Case, end: &End, is_wall_steady: bool) -> Result<(), String> {
    let mut oracle = Oracle::new(&case.job);
    let mut written = Written::new(&case.job, &nullable(case)?);
    let mut from = BTreeMap::new();
    for committed in &end.history {
        let epoch = committed.record.epoch;
        if is_wall_steady {
            check_idle(case, &end.kafka, &committed.record, &from)
                .map_err(|error| format!("epoch {epoch}: {error}"))?;
        }
        oracle.epoch(&input(case, &end.kafka, &committed.record, &mut from));
        for (topic, writes) in &committed.writes {
            for write in writes {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let headers = write.headers.iter();
                let beside = Beside {
                    headers: headers
                        .map(|(name, value)| (text(name), text(value)))
                        .collect(),
                    timestamp_ms: Some(write.timestamp_ms),
                };
                let record = (write.key.as_slice(), write.value.as_deref());
                let recorded = written.record(topic, record, beside);
                recorded.map_err(|error| format!("epoch {epoch}: {error}"))?;
            }
        }
        if let Some(wrong) = difference(&oracle.expected(), written.content()) {
            return Err(format!("epoch {epoch}: {wrong}"));
        }
    }
    Ok(())
}

/// By topic, which columns of its sink may be null.
fn nullable(case: &Case) -> Result<BTreeMap<String, Vec<bool>>, String> {
    let sql = case.job.sql(&SIM);
    let plan = planned(
        "random",
        &sql,
        &[SimConnector::known(), SimTargets::known()],
        &NoContracts,
    )?;
    let sinks = plan.sinks.iter().map(|sink| {
        let fields = plan.nodes[sink.input].schema.fields().iter();
        let nullable = fields.map(|field| field.is_nullable());
        (sink.target.clone(), nullable.collect())
    });
    Ok(sinks.collect())
}

/// What waits in a partition that an epoch calls idle was written after all that the epochs before have of its source.
fn check_idle(
    case: &Case,
    kafka: &Kafka,
    record: &Journalled,
    from: &BTreeMap<(usize, u32), i64>,
) -> Result<(), String> {
    let brokers = kafka.lock();
    for (index, source) in case.job.sources.iter().enumerate() {
        let read = from.range((index, 0)..(index + 1, 0));
        let place = |number| place(record, &source.name, number);
        let newest = read.filter_map(|(&(_, number), &from)| {
            let TopicPartition { topic, partition } = place(number)?;
            let all = brokers.ever_committed(&topic, partition as usize);
            let read = all.iter().rev().find(|(offset, _)| *offset < from);
            read.map(|(_, record)| record.timestamp_ms)
        });
        let newest = newest.max().unwrap_or(i64::MIN);
        for &number in record.time.idle.get(&source.name).into_iter().flatten() {
            let from = from.get(&(index, number)).copied().unwrap_or(0);
            let Some(TopicPartition { topic, partition }) = place(number) else {
                continue;
            };
            let all = brokers.ever_committed(&topic, partition as usize);
            let waits = all.into_iter().find(|(offset, _)| *offset >= from);
            if let Some((offset, waits)) = waits
                && waits.timestamp_ms < newest
            {
                let before = newest - waits.timestamp_ms;
                return Err(format!(
                    "partition {partition} of '{topic}' is called idle, and offset {offset} waits there, written {before} ms before what was read"
                ));
            }
        }
    }
    Ok(())
}

/// The place of a number of a source's partition.
fn place(record: &Journalled, source: &str, number: u32) -> Option<TopicPartition> {
    seam::place(record.incarnations.get(source)?, number)
}

/// What an epoch read, by its journal record.
fn input(
    case: &Case,
    kafka: &Kafka,
    record: &Journalled,
    from: &mut BTreeMap<(usize, u32), i64>,
) -> EpochInput {
    let (brokers, clock_ms) = (kafka.lock(), record.clock_ms);
    let sources = case.job.sources.iter().enumerate().map(|(index, source)| {
        let positions = record.positions.get(&source.name);
        // A partition that was added is there from the epoch on that knows of it.
        let positions = positions.into_iter().flatten();
        let partitions = positions.map(|(&number, &to)| {
            let from = from.entry((index, number)).or_default();
            let place = place(record, &source.name, number);
            let place = place.expect("the incarnation tells of all that has a position");
            let all = brokers
                .ever_committed(&place.topic, place.partition as usize)
                .into_iter();
            let read = all.filter(|(offset, _)| (*from..to).contains(offset));
            // A record counts as written neither after its epoch's clock nor before the one that stands in front of it.
            let mut written_ms = 0;
            let records = read.map(|(offset, record)| {
                written_ms = record.timestamp_ms.min(clock_ms).max(written_ms);
                Record {
                    offset,
                    timestamp_ms: written_ms,
                    written_ms: Some(record.timestamp_ms),
                    key: record.key.clone(),
                    value: record.value.clone(),
                    headers: record.headers.clone(),
                }
            });
            let records = records.collect();
            *from = to;
            let idle = record.time.idle.get(&source.name);
            PartitionEpoch {
                records,
                idle: idle.is_some_and(|idle| idle.contains(&number)),
                place: Some(place),
            }
        });
        partitions.collect()
    });
    EpochInput {
        clock_ms: record.clock_ms,
        sources: sources.collect(),
    }
}
