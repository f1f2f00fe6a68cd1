//! The stages that talk to Kafka, with the job's own connector and a real broker: reading a job's sources, writing a sink, committing.
//!
//! Most of their work is done by the client's threads, so processor time is that of the whole process, exact to 10 ms. The broker's own is
//! not in it; by the clock, what the broker takes is.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tidemill_connectors_api::{Connector, EpochOutput, Options, SinkSpec, SourceBatch, SourceSpec};
use tidemill_connectors_kafka::Kafka;
use tidemill_connectors_kafka::tools::{Bulk, TopicSpec, create_topics};
use tidemill_types::{Epoch, OutputRecords};

use super::cost::{Cost, Costs};
use super::inputs::Inputs;
use super::section::Took;
use crate::broker::Broker;
use crate::process;

const JOB: &str = "bench-stages";
const SINK_TOPIC: &str = "bench.sink";
/// About what a journal record of the job has.
const JOURNAL_BYTES: usize = 512;
/// How a job polls its sources.
const POLL_WAIT: Duration = Duration::from_millis(100);
const POLL_BYTES: usize = 1 << 20;
/// A source that brings nothing for so long is stuck.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Writes all events into the broker, untimed.
///
/// # Errors
/// If the broker does not take them.
pub fn fill(inputs: &Inputs, broker: &Broker) -> Result<()> {
    let bootstrap = broker.bootstrap();
    let topic = |source: usize| inputs.plan.sources[source].options["topic"].as_str();
    let specs: Vec<_> = (0..inputs.plan.sources.len())
        .map(|source| TopicSpec {
            name: topic(source),
            partitions: u32::try_from(inputs.partitions.len()).expect("a bench has few partitions"),
            settings: Vec::new(),
        })
        .collect();
    create_topics(&bootstrap, &specs)?;
    let mut bulk = Bulk::new(&bootstrap)?;
    for (source, raw) in inputs.epochs.iter().flatten() {
        for record in raw.records.iter() {
            let partition = Some(raw.records.partition);
            bulk.produce(topic(*source), partition, record.key, record.value)?;
        }
    }
    Ok(bulk.flush()?)
}

/// Runs every stage once.
///
/// # Errors
/// If the broker does not do as asked.
pub fn run(inputs: &Inputs, broker: &Broker, written: &[OutputRecords]) -> Result<Costs> {
    let mut costs = Costs {
        events: inputs.events,
        ..Costs::default()
    };
    for source in 0..inputs.plan.sources.len() {
        costs.add("consume", consume(inputs, broker, source)?);
    }
    costs.add("produce", commit(broker, written, true)?);
    costs.add("commit", commit(broker, written, false)?);
    Ok(costs)
}

/// Reads a source of the job from its beginning to its end.
fn consume(inputs: &Inputs, broker: &Broker, source: usize) -> Result<Cost> {
    let plan = &inputs.plan.sources[source];
    let options = options(broker, &plan.options["topic"]);
    let mut reader = Kafka.source(&SourceSpec {
        job: JOB,
        name: &plan.name,
        options: &options,
        headers: false,
    })?;
    let ends = reader.end_offsets()?;
    let total: u64 = ends.iter().map(|&(_, end)| end.unsigned_abs()).sum();
    let positions: Vec<_> = ends
        .iter()
        .map(|&(partition, _)| (partition, None))
        .collect();
    let mut cost = Cost::default();
    let mut batches: Vec<SourceBatch> = Vec::new();
    let (done, took) = of_process(|| {
        reader.open(&positions)?;
        let mut last_arrival = Instant::now();
        while cost.records < total {
            reader.poll(POLL_WAIT, POLL_BYTES, &mut batches)?;
            for batch in batches.drain(..) {
                last_arrival = Instant::now();
                cost.records += batch.records.len() as u64;
                cost.bytes_in += batch.records.bytes() as u64;
            }
            ensure!(
                last_arrival.elapsed() < SILENCE_MAX,
                "the broker brings nothing more after {} of {total} records",
                cost.records
            );
        }
        Ok(())
    });
    done?;
    Ok(Cost {
        output: cost.records,
        bytes_out: cost.bytes_in,
        took,
        ..cost
    })
}

/// A transaction for each epoch: with the sink's records, or with the journal's record alone, which is what a commit itself costs.
fn commit(broker: &Broker, written: &[OutputRecords], with_records: bool) -> Result<Cost> {
    let sink = SinkSpec {
        name: "sink".to_owned(),
        options: options(broker, SINK_TOPIC),
        compacted: true,
    };
    let mut committer = Kafka.committer(JOB, &[sink])?;
    committer.fence()?;
    let mut cost = Cost::default();
    for (epoch, records) in (1..).zip(written) {
        let records = if with_records {
            records.clone()
        } else {
            OutputRecords::default()
        };
        let bytes = (records.arena.len() + JOURNAL_BYTES) as u64;
        cost.bytes_in += bytes;
        cost.bytes_out += bytes;
        cost.records += if with_records {
            records.len() as u64
        } else {
            1
        };
        let output = EpochOutput {
            epoch: Epoch(epoch),
            sinks: vec![records],
            journal: vec![0; JOURNAL_BYTES],
            source_offsets: Vec::new(),
        };
        let (done, took) = of_process(|| committer.commit(&[output]));
        done?;
        cost.took += took;
    }
    Ok(Cost {
        output: cost.records,
        ..cost
    })
}

fn options(broker: &Broker, topic: &str) -> Options {
    [
        ("connector", "kafka".to_owned()),
        ("bootstrap.servers", broker.bootstrap()),
        ("topic", topic.to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

/// Runs what is measured, with the processor time of all threads.
fn of_process<R>(work: impl FnOnce() -> R) -> (R, Took) {
    let process = std::process::id();
    let cpu_before_s = process::cpu_s(process);
    let started = Instant::now();
    let result = work();
    let wall = started.elapsed();
    let cpu_s = (process::cpu_s(process) - cpu_before_s).max(0.0);
    let cpu = Duration::from_secs_f64(cpu_s);
    (result, Took { wall, cpu })
}
