//! An idempotent or transactional producer that queues without allocating and waits without oversleeping.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, Producer};
use tidemill_connectors_api::Error;
use tidemill_types::ErrorKind;

use crate::context::{Context, DeliveryFailure, key_text};
use crate::native::{self, Keeper, ProducedRecord, TopicHandle};

/// How long is waited for deliveries before failures are looked for.
const DELIVERY_SLICE: Duration = Duration::from_millis(20);
/// How long is waited for room in the local queue before it is tried again.
const ROOM_SLICE: Duration = Duration::from_millis(1);

/// How many of the client's events are looked at for trouble.
const EVENTS_MAX: usize = 50;

/// Why a record was not written.
#[derive(Debug)]
pub enum SendError {
    /// The brokers, or the client itself, refused it.
    Refused(DeliveryFailure),
    /// The producer can write nothing any more, for instance because it was replaced.
    Ended(RDKafkaErrorCode, String),
    /// It was not acknowledged in time.
    TimedOut,
}

/// Index of a topic that a producer writes to.
#[derive(Debug, Clone, Copy)]
pub struct TopicId(usize);

/// A producer and its topics.
pub struct TopicProducer {
    // Before the client: handles must go first.
    _keeper: Option<Keeper>,
    topics: Vec<(String, TopicHandle)>,
    ids: BTreeMap<String, TopicId>,
    client: BaseProducer<Context>,
}

impl TopicProducer {
    /// A producer with these settings.
    pub fn new(config: &ClientConfig) -> KafkaResult<Self> {
        let client: BaseProducer<Context> = config.create_with_context(Context::default())?;
        Ok(Self {
            _keeper: Keeper::start(client.client(), config)?,
            topics: Vec::new(),
            ids: BTreeMap::new(),
            client,
        })
    }

    /// The client, for transactions.
    pub const fn client(&self) -> &BaseProducer<Context> {
        &self.client
    }

    /// True if the client told of a lost connection, or of other trouble with the brokers, since this was last asked.
    pub fn take_trouble(&self) -> bool {
        // One event each; what is beyond comes up next time.
        for _ in 0..EVENTS_MAX {
            self.client.poll(Duration::ZERO);
        }
        self.client.client().context().take_trouble()
    }

    /// The id of a topic.
    pub fn topic(&mut self, name: &str) -> Result<TopicId, Error> {
        if let Some(&id) = self.ids.get(name) {
            return Ok(id);
        }
        let handle = TopicHandle::new(&self.client, name).ok_or_else(|| {
            Error::new(
                ErrorKind::Invalid,
                format!("'{name}' is no topic name; use letters, digits, '.', '_' and '-'"),
            )
        })?;
        let id = TopicId(self.topics.len());
        self.topics.push((name.to_owned(), handle));
        self.ids.insert(name.to_owned(), id);
        Ok(id)
    }

    /// Queues a record, waiting for room until `deadline`.
    pub fn send(
        &self,
        topic: TopicId,
        record: &ProducedRecord<'_>,
        deadline: Instant,
    ) -> Result<(), SendError> {
        let (name, handle) = &self.topics[topic.0];
        loop {
            match native::produce(&self.client, handle, record) {
                Ok(()) => return Ok(()),
                Err(RDKafkaErrorCode::QueueFull) if Instant::now() < deadline => {
                    self.client.poll(ROOM_SLICE);
                    self.check()?;
                }
                Err(RDKafkaErrorCode::QueueFull) => return Err(SendError::TimedOut),
                Err(code) => {
                    // What a broker refused a moment ago may be why the client takes nothing more.
                    self.check()?;
                    let key = key_text(record.key.unwrap_or_default());
                    return Err(SendError::Refused(DeliveryFailure {
                        topic: name.clone(),
                        key,
                        code,
                    }));
                }
            }
        }
    }

    /// Waits until every queued record is acknowledged.
    pub fn wait_delivered(&self, deadline: Instant) -> Result<(), SendError> {
        loop {
            let done = native::flush(&self.client, DELIVERY_SLICE);
            self.client.poll(Duration::ZERO);
            self.check()?;
            // A failure that was just reported counts as queued until it is polled, so `done` is looked at last.
            if done {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(SendError::TimedOut);
            }
        }
    }

    /// The first refused record, or else why the producer as a whole is at its end.
    fn check(&self) -> Result<(), SendError> {
        if let Some(failure) = self.client.context().take_failure() {
            return Err(SendError::Refused(failure));
        }
        match self.client.client().fatal_error() {
            Some((code, text)) => Err(SendError::Ended(code, text)),
            None => Ok(()),
        }
    }
}
