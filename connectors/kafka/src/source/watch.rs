//! What a source learns of its topics beside the records, without ever waiting for it: where partitions end, whether they are still the same
//! topics, and whether partitions or topics were added.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode;
use tidemill_connectors_api::{Error, PartitionMap};
use tidemill_types::{ErrorKind, TopicPartition};

use super::finder::Finder;
use crate::native::Fetcher;
use crate::native::admin::{Answer, End, Question, ToldTopic};

/// How often the brokers are asked.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long they may take to answer; meanwhile they are asked nothing more.
const PATIENCE: Duration = Duration::from_secs(10);
/// For how long they must say without exception that a topic is not there, until that is believed.
const GONE_AFTER: Duration = Duration::from_secs(15);

/// The newest answers.
#[derive(Debug, Default)]
pub struct Watch {
    /// The topics that are read, by name with their ids.
    topics: BTreeMap<String, String>,
    /// The partitions that are read, with their numbers in the source.
    places: Vec<TopicPartition>,
    numbers: BTreeMap<TopicPartition, u32>,
    /// How many partitions a topic has, as far as is known.
    counts: BTreeMap<String, u32>,
    /// Since when nobody knows a topic.
    gone: BTreeMap<String, Instant>,
    /// Looks for topics, where new ones are read as well.
    finder: Option<Finder>,
    has_new_topic: bool,
    /// Where partitions ended by answers that nobody has been told of, by number.
    heard: BTreeMap<u32, i64>,
    asked_at: Option<Instant>,
    /// Answers that have not come yet.
    outstanding: usize,
}

impl Watch {
    /// Of partitions that were just opened, with their numbers and ends.
    pub fn new(
        map: &PartitionMap,
        opened: &[(u32, TopicPartition, i64)],
        finder: Option<Finder>,
    ) -> Self {
        let ids = map.topics().into_iter();
        let of_number = opened
            .iter()
            .map(|(number, place, _)| (place.clone(), *number));
        Self {
            topics: ids
                .map(|(name, id)| (name.to_string(), id.to_owned()))
                .collect(),
            places: opened.iter().map(|(_, place, _)| place.clone()).collect(),
            numbers: of_number.collect(),
            finder,
            heard: opened
                .iter()
                .map(|(number, _, end)| (*number, *end))
                .collect(),
            asked_at: Some(Instant::now()),
            ..Self::default()
        }
    }

    /// Where partitions ended, by what was heard since this was last called: brokers that are away must not go on saying what they said.
    pub fn ends(&mut self) -> Vec<(u32, i64)> {
        std::mem::take(&mut self.heard).into_iter().collect()
    }

    /// Takes the answers that have come, and asks again when it is time. Fails if a topic is another one by now, or is gone.
    pub fn look(&mut self, fetcher: &Fetcher) -> Result<(), Error> {
        while let Some(answer) = fetcher.answer() {
            self.outstanding = self.outstanding.saturating_sub(1);
            match answer {
                Answer::Topics(told) => {
                    for (topic, told) in told {
                        self.told(topic, told)?;
                    }
                }
                Answer::Offsets(ends) => {
                    for (place, end) in ends {
                        if let (Some(&number), Ok(end)) = (self.numbers.get(&place), end) {
                            self.heard.insert(number, end);
                        }
                    }
                }
                Answer::Failed(code, text) => {
                    tracing::debug!(%code, text, "the brokers did not tell about topics; they are asked again");
                }
                Answer::Deleted | Answer::GroupTold => {}
            }
        }
        if let Some(topic) = self.finder.as_ref().and_then(Finder::found) {
            tracing::info!(topic, "there is a new topic");
            self.has_new_topic = true;
        }
        let due = self.asked_at.is_none_or(|at| at.elapsed() >= INTERVAL);
        if due && self.outstanding == 0 {
            let topics: Vec<&str> = self.topics.keys().map(String::as_str).collect();
            let ends = Question::Offsets(&self.places, End::Newest);
            for question in [Question::Topics(&topics), ends] {
                fetcher.ask(&question, PATIENCE);
                self.outstanding += 1;
            }
            self.asked_at = Some(Instant::now());
        }
        Ok(())
    }

    /// True once the brokers have told of more partitions than are read, or of another topic.
    pub fn has_grown(&self) -> bool {
        let count: u32 = self.counts.values().sum();
        self.has_new_topic || count as usize > self.places.len()
    }

    fn told(
        &mut self,
        topic: String,
        told: Result<ToldTopic, RDKafkaErrorCode>,
    ) -> Result<(), Error> {
        match told {
            Ok(told) => {
                self.gone.remove(&topic);
                self.check(&topic, &told.id)?;
                let count = self.counts.entry(topic).or_default();
                *count = told.partitions.max(*count);
                Ok(())
            }
            Err(RDKafkaErrorCode::UnknownTopicOrPartition) => {
                let since = self.gone.entry(topic.clone()).or_insert_with(Instant::now);
                if since.elapsed() < GONE_AFTER {
                    return Ok(());
                }
                Err(gone(&topic))
            }
            Err(code) => {
                tracing::debug!(topic, %code, "the brokers did not tell about a topic; they are asked again");
                Ok(())
            }
        }
    }

    fn check(&self, topic: &str, now: &str) -> Result<(), Error> {
        let was = self.topics.get(topic).map_or("", String::as_str);
        if was.is_empty() || now.is_empty() || was == now {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Invalid,
            format!(
                "topic '{topic}' was deleted and made again while it was read (it was '{was}' and is '{now}'): the offsets that the job stands \
                 at mean other records now; give the job a new name and an empty state directory to begin with the new topic"
            ),
        ))
    }
}

/// A topic that the job has read does not exist any more.
pub fn gone(topic: &str) -> Error {
    Error::new(
        ErrorKind::Invalid,
        format!(
            "topic '{topic}', of which the job has read, does not exist any more: what the job had not read of it is lost, and a new topic of \
             the name would be another one; give the job a new name and an empty state directory to begin with the topics that there are"
        ),
    )
}
