//! What is done to topics that no job does: partitions are added, records are deleted.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tidemill_connectors_kafka::tools::end_offsets;

/// How long the brokers may take.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(60);

/// Gives a topic more partitions; returns when the brokers tell of them.
///
/// # Errors
/// If the brokers refuse or do not answer.
pub fn add_partitions(bootstrap: &str, topic: &str, count: u32) -> Result<()> {
    let wanted = NewPartitions::new(topic, count as usize);
    let results = pollster::block_on(admin(bootstrap)?.create_partitions(&[wanted], &options()))?;
    for result in results {
        if let Err((topic, code)) = result {
            bail!("topic '{topic}' cannot have {count} partitions: {code}");
        }
    }
    let since = Instant::now();
    while end_offsets(bootstrap, topic)?.len() < count as usize {
        ensure!(
            since.elapsed() < ANSWER_WAIT_MAX,
            "the brokers do not know the new partition of '{topic}'"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Deletes what a partition holds before an offset.
///
/// # Errors
/// If the brokers refuse or do not answer.
pub fn delete_records(bootstrap: &str, topic: &str, before: &[(i32, i64)]) -> Result<()> {
    let mut offsets = TopicPartitionList::new();
    for &(partition, offset) in before {
        offsets.add_partition_offset(topic, partition, Offset::Offset(offset))?;
    }
    let results = pollster::block_on(admin(bootstrap)?.delete_records(&offsets, &options()))?;
    for element in results.elements() {
        element
            .error()
            .with_context(|| format!("records of '{topic}' cannot be deleted"))?;
    }
    Ok(())
}

fn admin(bootstrap: &str) -> Result<AdminClient<DefaultClientContext>> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    config.create().context("no client for the brokers")
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(ANSWER_WAIT_MAX))
        .operation_timeout(Some(ANSWER_WAIT_MAX))
}
