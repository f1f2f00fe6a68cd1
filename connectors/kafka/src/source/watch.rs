//! What a source learns of its topic beside the records, without ever waiting for it: where partitions end, whether it is still the same
//! topic, and whether partitions were added.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tidemill_connectors_api::Error;
use tidemill_types::ErrorKind;

use crate::native::Fetcher;
use crate::native::admin::{Answer, End, Question};

/// How often the brokers are asked.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long they may take to answer; meanwhile they are asked nothing more.
const PATIENCE: Duration = Duration::from_secs(10);

/// The newest answers.
#[derive(Debug, Default)]
pub struct Watch {
    /// The id of the topic that is read.
    incarnation: String,
    /// The partitions that are read.
    partitions: Vec<u32>,
    /// How many there are, as far as is known.
    count: usize,
    /// Where partitions ended by answers that nobody has been told of.
    heard: BTreeMap<u32, i64>,
    asked_at: Option<Instant>,
    /// Answers that have not come yet.
    outstanding: usize,
}

impl Watch {
    /// Of a topic that was just opened.
    pub fn new(incarnation: String, ends: Vec<(u32, i64)>) -> Self {
        Self {
            incarnation,
            partitions: ends.iter().map(|&(partition, _)| partition).collect(),
            count: ends.len(),
            heard: ends.into_iter().collect(),
            asked_at: Some(Instant::now()),
            outstanding: 0,
        }
    }

    /// Where partitions ended, by what was heard since this was last called: brokers that are away must not go on saying what they said.
    pub fn ends(&mut self) -> Vec<(u32, i64)> {
        std::mem::take(&mut self.heard).into_iter().collect()
    }

    /// Takes the answers that have come, and asks again when it is time. Fails if the topic is another one by now.
    pub fn look(&mut self, topic: &str, fetcher: &Fetcher) -> Result<(), Error> {
        while let Some(answer) = fetcher.answer() {
            self.outstanding = self.outstanding.saturating_sub(1);
            match answer {
                Answer::Topic { id, partitions } => {
                    self.check(topic, &id)?;
                    self.count = self.count.max(partitions);
                }
                Answer::Offsets(ends) => {
                    let known = ends.into_iter();
                    self.heard
                        .extend(known.filter_map(|(partition, end)| Some((partition, end.ok()?))));
                }
                Answer::Failed(code, text) => {
                    tracing::debug!(topic, %code, text, "the brokers did not tell about a topic; they are asked again");
                }
                Answer::Deleted | Answer::GroupTold => {}
            }
        }
        let due = self.asked_at.is_none_or(|at| at.elapsed() >= INTERVAL);
        if due && self.outstanding == 0 {
            let ends = Question::Offsets(topic, &self.partitions, End::Newest);
            for question in [Question::Topic(topic), ends] {
                fetcher.ask(&question, PATIENCE);
                self.outstanding += 1;
            }
            self.asked_at = Some(Instant::now());
        }
        Ok(())
    }

    /// True once the brokers have told of more partitions than are read.
    pub const fn has_grown(&self) -> bool {
        self.count > self.partitions.len()
    }

    fn check(&self, topic: &str, now: &str) -> Result<(), Error> {
        let was = &self.incarnation;
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
