//! What topics there are, and making those that a job needs.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use rdkafka::bindings::rd_kafka_resp_err_t;
use rdkafka::client::Client;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::{Metadata, MetadataTopic};
use tidemill_connectors_api::Error;
use tidemill_connectors_api::partition_map::FoundTopic;
use tidemill_types::{ErrorKind, TopicPartition};

use crate::context::Context;
use crate::error::{advice, failed, kind_of, refused};
use crate::native::admin::{Answer, End, Question, ToldTopic};
use crate::native::{Fetcher, admin_client, wire_partition};
use crate::options::invalid;
use crate::selection::Selection;

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
    let action = format!("look up topic '{topic}'");
    let metadata = metadata(reader, Some(topic), &action)?;
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
        return Ok(None);
    };
    match found.error() {
        None => {}
        Some(rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) => return Ok(None),
        Some(error) => {
            let problem = reader.client().context().problem();
            let error = KafkaError::MetadataFetch(error.into());
            return Err(failed(&format!("{action}{problem}"), &error));
        }
    }
    let partitions = numbers(found);
    Ok(Some(partitions).filter(|partitions| !partitions.is_empty()))
}

fn numbers(topic: &MetadataTopic) -> Vec<u32> {
    let partitions = topic.partitions().iter();
    let numbers = partitions.filter_map(|partition| u32::try_from(partition.id()).ok());
    let mut numbers: Vec<u32> = numbers.collect();
    numbers.sort_unstable();
    numbers
}

/// The names of all topics that are there.
pub fn names(reader: &Fetcher) -> Result<Vec<String>, Error> {
    let metadata = metadata(reader, None, "list topics")?;
    let topics = metadata.topics().iter();
    let there = topics.filter(|topic| topic.error().is_none() && !topic.partitions().is_empty());
    Ok(there.map(|topic| topic.name().to_owned()).collect())
}

/// The topics of a selection that are there now, by name; which of the named ones are not.
fn look_for(
    reader: &Fetcher,
    selection: &Selection,
) -> Result<(Vec<FoundTopic>, Vec<String>), Error> {
    let mut missing = Vec::new();
    let mut found = BTreeMap::new();
    match selection {
        Selection::Named(names) => {
            for name in names {
                match partitions(reader, name)? {
                    Some(partitions) => drop(found.insert(name.clone(), count(partitions.len()))),
                    None => missing.push(name.clone()),
                }
            }
        }
        Selection::Matching { .. } => {
            let metadata = metadata(reader, None, &format!("look for topics '{selection}'"))?;
            for topic in metadata.topics() {
                if selection.takes(topic.name()) && topic.error().is_none() {
                    found.insert(topic.name().to_owned(), count(numbers(topic).len()));
                }
            }
            found.retain(|_, partitions| *partitions > 0);
        }
    }
    let names: Vec<&str> = found.keys().map(String::as_str).collect();
    let ids = ids(reader, &names)?;
    let topics = found
        .iter()
        .zip(ids)
        .map(|((name, &partitions), id)| FoundTopic {
            name: name.clone(),
            id,
            partitions,
        });
    Ok((topics.collect(), missing))
}

fn count(partitions: usize) -> u32 {
    u32::try_from(partitions).expect("Kafka numbers partitions in 31 bits")
}

/// The topics of a selection, which must be there or come to be within `wait`: every named one, or any that fits. By name.
pub fn selected(
    reader: &Fetcher,
    selection: &Selection,
    wait: Duration,
) -> Result<Vec<FoundTopic>, Error> {
    let since = Instant::now();
    loop {
        let (found, missing) = look_for(reader, selection)?;
        if missing.is_empty() && !found.is_empty() {
            return Ok(found);
        }
        if since.elapsed() >= wait {
            return Err(match missing.first() {
                Some(name) => no_topic(name),
                None => invalid(format!(
                    "no topic fits topic.pattern = '{selection}'; the whole name has to. Mend it, create a topic, or wait for one with the \
                     option topic.wait = '30 s'"
                )),
            });
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

fn no_topic(name: &str) -> Error {
    invalid(format!(
        "topic '{name}' does not exist; create it (kafka-topics.sh --bootstrap-server … --create --topic {name}), or wait for it with the \
         option topic.wait = '30 s'"
    ))
}

/// What the brokers tell of a topic, or of all. Where they and the client do not trust each other this is the first to hear of it, and does not wait
/// for as long as it would for brokers that are away.
fn metadata(reader: &Fetcher, topic: Option<&str>, action: &str) -> Result<Metadata, Error> {
    let context = reader.client().context();
    let mut outcome = Err(KafkaError::MetadataFetch(
        RDKafkaErrorCode::OperationTimedOut,
    ));
    for patience in [FIRST_ANSWER_WAIT_MAX, ANSWER_WAIT_MAX] {
        outcome = reader.client().fetch_metadata(topic, patience);
        if outcome.is_ok() {
            context.forget_refusal();
            break;
        }
        reader.drain_events();
        if let Some(refusal) = context.refusal() {
            return Err(refused(action, &refusal));
        }
    }
    outcome.map_err(|e| failed(&format!("{action}{}", context.problem()), &e))
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
            return Err(no_topic(topic));
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
    until_known(|| {
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

/// Asks again for as long as a broker may take to answer: a partition may just be getting its first leader, or another one, and a broker may hear
/// of a new topic later than the one that told of its partitions.
fn until_known<T>(mut ask: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
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
    Ok(ids(reader, &[topic])?.remove(0))
}

/// The ids of topics that exist, in their order.
fn ids(reader: &Fetcher, topics: &[&str]) -> Result<Vec<String>, Error> {
    if topics.is_empty() {
        return Ok(Vec::new());
    }
    let asked = until_known(|| {
        let told = match reader.ask_now(&Question::Topics(topics), ANSWER_WAIT_MAX) {
            Answer::Topics(told) => told.into_iter().collect(),
            Answer::Failed(
                RDKafkaErrorCode::UnsupportedFeature | RDKafkaErrorCode::UnsupportedVersion,
                _,
            ) => return Ok(Ok(vec![String::new(); topics.len()])),
            // No answer at all is final.
            Answer::Failed(code, text) => {
                let action = format!("ask for the id of topic '{}'", topics.join("', '"));
                return Ok(Err(no_answer(reader, &action, code, &text)));
            }
            _ => BTreeMap::new(),
        };
        ids_of(reader, topics, &told).map(Ok)
    });
    asked?
}

fn ids_of(
    reader: &Fetcher,
    topics: &[&str],
    told: &BTreeMap<String, Result<ToldTopic, RDKafkaErrorCode>>,
) -> Result<Vec<String>, Error> {
    let id = |topic: &&str| match told.get(*topic) {
        Some(Ok(told)) => Ok(told.id.clone()),
        failed => {
            let code = failed.and_then(|told| told.as_ref().err().copied());
            let code = code.unwrap_or(RDKafkaErrorCode::UnknownTopicOrPartition);
            let action = format!("ask for the id of topic '{topic}'");
            Err(no_answer(reader, &action, code, &code.to_string()))
        }
    };
    topics.iter().map(id).collect()
}

/// An end of each of these partitions, asked for in one request, in their order.
pub fn offsets(
    reader: &Fetcher,
    partitions: &[TopicPartition],
    end: End,
) -> Result<Vec<i64>, Error> {
    if partitions.is_empty() {
        return Ok(Vec::new());
    }
    until_known(|| offsets_once(reader, partitions, end))
}

fn offsets_once(
    reader: &Fetcher,
    partitions: &[TopicPartition],
    end: End,
) -> Result<Vec<i64>, Error> {
    let action = |place: &TopicPartition| {
        let TopicPartition { topic, partition } = place;
        format!("ask for the offsets of topic '{topic}', partition {partition}")
    };
    let question = Question::Offsets(partitions, end);
    let found: BTreeMap<_, _> = match reader.ask_now(&question, ANSWER_WAIT_MAX) {
        Answer::Offsets(found) => found.into_iter().collect(),
        Answer::Failed(code, text) => {
            return Err(no_answer(reader, &action(&partitions[0]), code, &text));
        }
        _ => BTreeMap::new(),
    };
    let offset = |place: &TopicPartition| {
        let missing = Err(RDKafkaErrorCode::UnknownPartition);
        let answer = found.get(place).copied().unwrap_or(missing);
        answer.map_err(|code| no_answer(reader, &action(place), code, &code.to_string()))
    };
    partitions.iter().map(offset).collect()
}

/// The partitions of one topic.
pub fn places(topic: &str, partitions: &[u32]) -> Vec<TopicPartition> {
    let partitions = partitions.iter();
    partitions
        .map(|&partition| TopicPartition::new(topic, partition))
        .collect()
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
