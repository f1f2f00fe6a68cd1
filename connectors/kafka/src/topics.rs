//! What topics there are, and making those that a job needs.

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use rdkafka::bindings::rd_kafka_resp_err_t;
use rdkafka::client::Client;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;
use tidemill_connectors_api::Error;
use tidemill_types::ErrorKind;

use crate::context::Context;
use crate::error::{advice, failed, kind_of, refused};
use crate::native::admin::{Answer, End, Question};
use crate::native::{Fetcher, admin_client, wire_partition};

/// How long a broker may take to answer a question.
pub const ANSWER_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long is waited for the very first answer before is looked whether there will be none.
const FIRST_ANSWER_WAIT_MAX: Duration = Duration::from_secs(2);
/// How long the brokers may take until all of them know a new topic.
const CREATED_WAIT_MAX: Duration = Duration::from_secs(30);
/// How often is looked for a topic that isn't there yet.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Replication of a new topic: what the broker's `default.replication.factor` says.
const BROKERS_DEFAULT: i32 = -1;

/// A topic to be created.
#[derive(Debug, Clone)]
pub struct TopicSpec<'a> {
    /// Name.
    pub name: &'a str,
    /// Number of partitions.
    pub partitions: u32,
    /// Settings such as `cleanup.policy`.
    pub settings: Vec<(&'a str, &'a str)>,
}

/// The partitions of a topic; `None` if it doesn't exist.
///
/// The client must be a consumer's: a producer's question can create the topic.
pub fn partitions(reader: &Fetcher, topic: &str) -> Result<Option<Vec<u32>>, Error> {
    let action = || {
        let problem = reader.client().context().problem();
        format!("look up topic '{topic}'{problem}")
    };
    let metadata = metadata(reader, topic, action)?;
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
        return Ok(None);
    };
    match found.error() {
        None => {}
        Some(rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) => return Ok(None),
        Some(error) => return Err(failed(&action(), &KafkaError::MetadataFetch(error.into()))),
    }
    let mut partitions: Vec<u32> = found
        .partitions()
        .iter()
        .filter_map(|partition| u32::try_from(partition.id()).ok())
        .collect();
    partitions.sort_unstable();
    Ok(if partitions.is_empty() {
        None
    } else {
        Some(partitions)
    })
}

/// What the brokers tell of a topic. Where they and the client do not trust each other this is the first to hear of it, and does not wait
/// for as long as it would for brokers that are away.
fn metadata(reader: &Fetcher, topic: &str, action: impl Fn() -> String) -> Result<Metadata, Error> {
    let context = reader.client().context();
    let mut outcome = Err(KafkaError::MetadataFetch(
        RDKafkaErrorCode::OperationTimedOut,
    ));
    for patience in [FIRST_ANSWER_WAIT_MAX, ANSWER_WAIT_MAX] {
        outcome = reader.client().fetch_metadata(Some(topic), patience);
        if outcome.is_ok() {
            context.forget_refusal();
            break;
        }
        reader.drain_events();
        if let Some(refusal) = context.refusal() {
            return Err(refused(&action(), &refusal));
        }
    }
    outcome.map_err(|e| failed(&action(), &e))
}

/// The partitions of a topic that must exist, or come to exist within `wait`.
pub fn required_partitions(
    reader: &Fetcher,
    topic: &str,
    wait: Duration,
) -> Result<Vec<u32>, Error> {
    let since = Instant::now();
    loop {
        if let Some(partitions) = partitions(reader, topic)? {
            return Ok(partitions);
        }
        if since.elapsed() >= wait {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "topic '{topic}' does not exist; create it (kafka-topics.sh --bootstrap-server … --create --topic {topic}), or wait for it \
                     with the option topic.wait = '30 s'"
                ),
            ));
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// The lowest retained offset of a partition and the one after its last readable record.
pub fn watermarks(
    client: &Client<Context>,
    topic: &str,
    partition: u32,
) -> Result<(i64, i64), Error> {
    until_led(|| {
        client
            .fetch_watermarks(topic, wire_partition(partition), ANSWER_WAIT_MAX)
            .map_err(|e| {
                failed(
                    &format!(
                        "ask for the offsets of partition {partition} of topic '{topic}'{}",
                        client.context().problem()
                    ),
                    &e,
                )
            })
    })
}

/// Asks again for as long as a broker may take to answer: a partition may just be getting its first leader, or another one.
fn until_led<T>(mut ask: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
    let since = Instant::now();
    loop {
        match ask() {
            Err(error) if error.kind == ErrorKind::Retry && since.elapsed() < ANSWER_WAIT_MAX => {
                std::thread::sleep(LOOK_AGAIN)
            }
            outcome => return outcome,
        }
    }
}

/// The id of a topic that exists: another one after it was deleted and made again (KIP-516). Empty if the brokers give none.
pub fn id(reader: &Fetcher, topic: &str) -> Result<String, Error> {
    let since = Instant::now();
    loop {
        let (code, text) = match reader.ask_now(&Question::Topic(topic), ANSWER_WAIT_MAX) {
            Answer::Topic { id, .. } => return Ok(id),
            Answer::Failed(code, text) => (code, text),
            other => (RDKafkaErrorCode::Unknown, format!("{other:?}")),
        };
        match code {
            RDKafkaErrorCode::UnsupportedFeature | RDKafkaErrorCode::UnsupportedVersion => {
                return Ok(String::new());
            }
            // A broker may hear of a new topic later than the one that told of its partitions.
            RDKafkaErrorCode::UnknownTopicOrPartition if since.elapsed() < ANSWER_WAIT_MAX => {
                std::thread::sleep(LOOK_AGAIN)
            }
            _ => {
                return Err(no_answer(
                    reader,
                    &format!("ask for the id of topic '{topic}'"),
                    code,
                    &text,
                ));
            }
        }
    }
}

/// An end of each of these partitions, asked for in one request, in their order.
pub fn offsets(
    reader: &Fetcher,
    topic: &str,
    partitions: &[u32],
    end: End,
) -> Result<Vec<(u32, i64)>, Error> {
    if partitions.is_empty() {
        return Ok(Vec::new());
    }
    until_led(|| offsets_once(reader, topic, partitions, end))
}

fn offsets_once(
    reader: &Fetcher,
    topic: &str,
    partitions: &[u32],
    end: End,
) -> Result<Vec<(u32, i64)>, Error> {
    let action = format!("ask for the offsets of topic '{topic}'");
    let question = Question::Offsets(topic, partitions, end);
    let mut found = match reader.ask_now(&question, ANSWER_WAIT_MAX) {
        Answer::Offsets(found) => found,
        Answer::Failed(code, text) => return Err(no_answer(reader, &action, code, &text)),
        other => {
            let text = format!("{other:?}");
            return Err(no_answer(reader, &action, RDKafkaErrorCode::Unknown, &text));
        }
    };
    found.sort_unstable_by_key(|&(partition, _)| partition);
    let offset = |&partition: &u32| {
        let at = found.binary_search_by_key(&partition, |&(partition, _)| partition);
        let of_partition = format!("{action}, partition {partition}");
        let missing = RDKafkaErrorCode::UnknownPartition;
        let answer = at.map_or(Err(missing), |at| found[at].1);
        let offset =
            answer.map_err(|code| no_answer(reader, &of_partition, code, &code.to_string()))?;
        Ok((partition, offset))
    };
    partitions.iter().map(offset).collect()
}

fn no_answer(reader: &Fetcher, action: &str, code: RDKafkaErrorCode, text: &str) -> Error {
    let kind = kind_of(code);
    let problem = reader.client().context().problem();
    Error::new(
        kind,
        format!("cannot {action}: {text}{problem}; {}", advice(kind)),
    )
}

/// Creates topics, and waits until the brokers know them. One that exists already is fine as it is.
pub fn create(
    admin: &ClientConfig,
    reader: &Fetcher,
    specs: &[TopicSpec<'_>],
) -> Result<(), Error> {
    if specs.is_empty() {
        return Ok(());
    }
    let names = specs
        .iter()
        .map(|spec| spec.name)
        .collect::<Vec<_>>()
        .join("', '");
    let action = format!("create topic '{names}'");
    let admin = admin_client(admin).map_err(|e| failed(&action, &e))?;
    let topics: Vec<NewTopic<'_>> = specs
        .iter()
        .map(|spec| NewTopic {
            name: spec.name,
            num_partitions: wire_partition(spec.partitions),
            replication: TopicReplication::Fixed(BROKERS_DEFAULT),
            config: spec.settings.clone(),
        })
        .collect();
    let options = AdminOptions::new()
        .operation_timeout(Some(ANSWER_WAIT_MAX))
        .request_timeout(Some(CREATED_WAIT_MAX));
    let results = pollster::block_on(admin.create_topics(&topics, &options))
        .map_err(|e| failed(&action, &e))?;
    for result in results {
        match result {
            Ok(name) => tracing::info!(topic = name, "created a topic"),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => {
                let kind = kind_of(code);
                return Err(Error::new(
                    kind,
                    format!("cannot create topic '{name}': {code}; {}", advice(kind)),
                ));
            }
        }
    }
    for spec in specs {
        required_partitions(reader, spec.name, CREATED_WAIT_MAX)?;
    }
    Ok(())
}
