//! How large a record may be: asked once, before the first commit.

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminOptions, ResourceSpecifier};
use tidemill_connectors_api::Error;

use crate::error::failed;
use crate::native::admin_client;
use crate::options::CommitterOptions;
use crate::topics::ANSWER_WAIT_MAX;

/// What a batch with one record has beside key and value, at most: the batch's head (61 bytes), the record's lengths, and the epoch's header.
const FRAME_BYTES: usize = 128;
/// What a producer gathers at most, unless its options say otherwise.
const BATCH_BYTES: usize = 1_000_000;

/// The limits of the topics that a job writes to.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// Per sink, for key and value together.
    pub record_bytes_max: Vec<Option<usize>>,
    /// A batch above this is refused by one of the topics, whatever is in it.
    batch_bytes_max: usize,
}

impl Limits {
    /// Asks for the limits of the topics of all sinks and of the journal. What the brokers don't tell (it takes a right of its own) is not limited
    /// but by the client.
    pub fn ask(options: &CommitterOptions) -> Result<Self, Error> {
        let of_topics = of_topics(&options.admin, &options.topics())?;
        Ok(Self::of(client_max(&options.producer), &of_topics))
    }

    fn of(client: usize, topics: &[Option<usize>]) -> Self {
        let record = |topic: &Option<usize>| {
            let limit = topic.map_or(client, |topic| topic.min(client));
            Some(limit.saturating_sub(FRAME_BYTES))
        };
        let sinks = &topics[..topics.len().saturating_sub(1)];
        let batch = topics.iter().flatten().copied();
        Self {
            record_bytes_max: sinks.iter().map(record).collect(),
            batch_bytes_max: batch.min().unwrap_or(usize::MAX),
        }
    }

    /// The producer's settings, with batches that every topic takes.
    pub fn apply(&self, producer: &ClientConfig) -> ClientConfig {
        let mut config = producer.clone();
        let set = producer.get("batch.size").and_then(|set| set.parse().ok());
        let batch = set.unwrap_or(BATCH_BYTES).min(self.batch_bytes_max);
        config.set("batch.size", batch.to_string());
        config
    }
}

/// The largest batch that each of these topics takes, where the brokers tell.
fn of_topics(admin: &ClientConfig, names: &[&str]) -> Result<Vec<Option<usize>>, Error> {
    let action = "ask for the limits of topics";
    let client = admin_client(admin).map_err(|e| failed(action, &e))?;
    let topics: Vec<_> = names
        .iter()
        .map(|name| ResourceSpecifier::Topic(name))
        .collect();
    let patience = AdminOptions::new().request_timeout(Some(ANSWER_WAIT_MAX));
    let answers = pollster::block_on(client.describe_configs(&topics, &patience))
        .map_err(|e| failed(action, &e))?;
    let mut of_topics = Vec::with_capacity(names.len());
    for (name, answer) in names.iter().zip(answers) {
        let value = match &answer {
            Ok(config) => config
                .get("max.message.bytes")
                .and_then(|entry| entry.value.as_ref()),
            Err(code) => {
                tracing::info!(topic = name, %code, "the largest record that the topic takes is not known");
                None
            }
        };
        of_topics.push(value.and_then(|value| value.parse::<usize>().ok()));
    }
    Ok(of_topics)
}

/// The largest record, key and value together, that a producer with these settings can write to each of these topics; and the settings, with
/// batches that every topic takes.
pub fn of_records(
    admin: &ClientConfig,
    producer: &ClientConfig,
    names: &[&str],
) -> Result<(Vec<usize>, ClientConfig), Error> {
    let client = client_max(producer);
    let of_topics = of_topics(admin, names)?;
    let limits = Limits {
        record_bytes_max: Vec::new(),
        batch_bytes_max: of_topics
            .iter()
            .flatten()
            .copied()
            .min()
            .unwrap_or(usize::MAX),
    };
    let record = |topic: &Option<usize>| {
        let limit = topic.map_or(client, |topic| topic.min(client));
        limit.saturating_sub(FRAME_BYTES)
    };
    let records = of_topics.iter().map(record).collect();
    Ok((records, limits.apply(producer)))
}

/// The largest record that the client takes.
fn client_max(producer: &ClientConfig) -> usize {
    let set = producer.get("message.max.bytes");
    set.and_then(|set| set.parse().ok()).unwrap_or(BATCH_BYTES)
}

#[cfg(test)]
mod tests {
    use rdkafka::ClientConfig;

    use super::Limits;

    #[test]
    fn the_narrowest_limit_counts_for_a_record_and_for_all_batches() {
        let limits = Limits::of(10_000, &[Some(5_000), None, Some(20_000), Some(7_000)]);
        assert_eq!(
            limits.record_bytes_max,
            [Some(4_872), Some(9_872), Some(9_872)],
            "the journal is no sink"
        );
        let mut producer = ClientConfig::new();
        assert_eq!(limits.apply(&producer).get("batch.size"), Some("5000"));
        producer.set("batch.size", "3000");
        assert_eq!(limits.apply(&producer).get("batch.size"), Some("3000"));
    }
}
