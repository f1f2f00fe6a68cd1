//! Appends records to topics for who has no job, and says when the brokers have them.
//!
//! Promises: what [`Appender::append`] answers well for is acknowledged by all in-sync replicas (`acks=all`, idempotent); records of one call
//! lie in their order within a partition; a call ends within the patience that it was given and some seconds; callers in several threads share
//! batches. A record that was not acknowledged in time is not sent afterwards, so nothing is written long after its caller was told.
//! Does not: write several records together or not at all, nor keep an order between calls that overlap; a caller that repeats a call may write
//! a record twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{
    BaseRecord, NoCustomPartitioner, Producer, ProducerContext, ThreadedProducer,
};
use tidemill_connectors_api::{Error, Options};
use tidemill_types::ErrorKind;

use crate::context::Context;
use crate::error::{advice, failed, kind_of};
use crate::limits;
use crate::native::{Fetcher, Keeper};
use crate::options::{AppenderOptions, invalid};
use crate::topics;

/// How long is waited for room in the local queue before it is tried again.
const ROOM_SLICE: Duration = Duration::from_millis(1);
/// How long librdkafka may take to tell that a record's time is over.
const TOLD_WITHIN: Duration = Duration::from_secs(5);

/// A record to append.
#[derive(Debug, Clone, Copy)]
pub struct AppendRecord<'a> {
    /// Key; records of one key go to one partition.
    pub key: Option<&'a [u8]>,
    /// Value.
    pub value: &'a [u8],
}

/// Records that were not appended, or not all of them.
#[derive(Debug)]
pub struct AppendError {
    /// How many of them are there for certain; others may be.
    pub acknowledged: usize,
    /// Why.
    pub error: Error,
}

/// Appends records to topics. May be used by any number of threads.
pub struct Appender {
    // Before the client.
    _keeper: Option<Keeper>,
    /// The largest record that each topic takes, key and value together.
    record_bytes_max: BTreeMap<String, usize>,
    patience: Duration,
    bootstrap: String,
    producer: ThreadedProducer<Reports>,
}

impl Appender {
    /// Connects to the brokers that the options name, as a sink's do, to append to these topics, which must be there.
    /// `patience` is how long the brokers may take.
    ///
    /// # Errors
    /// `Invalid` if an option or a topic is wrong, `Retry` if the brokers don't answer.
    pub fn connect(options: &Options, topics: &[&str], patience: Duration) -> Result<Self, Error> {
        let options = AppenderOptions::parse(options, patience)?;
        let bootstrap = options.bootstrap.clone();
        let action = format!("append to topics in kafka at '{bootstrap}'");
        let reader = Fetcher::new(&options.reader).map_err(|e| failed(&action, &e))?;
        // Asked for twice, a topic's limits would not be told at all.
        let topics: BTreeSet<&str> = topics.iter().copied().collect();
        let topics: Vec<&str> = topics.into_iter().collect();
        for topic in &topics {
            if topics::partitions(&reader, topic)?.is_none() {
                return Err(invalid(format!(
                    "topic '{topic}' does not exist in kafka at '{bootstrap}'; create it (kafka-topics.sh --bootstrap-server … --create \
                     --topic {topic})"
                )));
            }
        }
        let (limits, config) = limits::of_records(&options.admin, &options.producer, &topics)?;
        let topics = topics.into_iter().map(str::to_owned);
        let producer = producer(&config).map_err(|e| failed(&action, &e))?;
        let keeper = Keeper::start(producer.client(), &config);
        Ok(Self {
            _keeper: keeper.map_err(|e| failed(&action, &e))?,
            record_bytes_max: topics.zip(limits).collect(),
            patience,
            bootstrap,
            producer,
        })
    }

    /// The largest record that a topic takes, key and value together.
    #[must_use]
    pub fn record_bytes_max(&self, topic: &str) -> Option<usize> {
        self.record_bytes_max.get(topic).copied()
    }

    /// Why this can append nothing any more, if that is so.
    #[must_use]
    pub fn ended(&self) -> Option<String> {
        let error = self.producer.client().fatal_error();
        error.map(|(_, text)| text)
    }

    /// Appends records to a topic, and waits until the brokers have all of them. Answers with the last offset per partition.
    ///
    /// # Errors
    /// If not all of them were acknowledged; some may have been written then.
    pub fn append(
        &self,
        topic: &str,
        records: &[AppendRecord<'_>],
    ) -> Result<BTreeMap<u32, i64>, AppendError> {
        let deadline = Instant::now() + self.patience;
        let call = Arc::new(Call::default());
        let mut refused = None;
        for record in records {
            call.lock().open += 1;
            if let Err(error) = self.send(topic, *record, &call, deadline) {
                call.lock().open -= 1;
                refused = Some(error);
                break;
            }
        }
        let state = call.wait(deadline + TOLD_WITHIN);
        let code = refused.or(state.failure);
        if code.is_none() && state.acknowledged == records.len() {
            return Ok(state.ends.clone());
        }
        let acknowledged = state.acknowledged;
        drop(state);
        Err(AppendError {
            acknowledged,
            error: self.not_appended(topic, code),
        })
    }

    fn send(
        &self,
        topic: &str,
        record: AppendRecord<'_>,
        call: &Arc<Call>,
        deadline: Instant,
    ) -> Result<(), RDKafkaErrorCode> {
        const FULL: KafkaError = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
        let mut queued: BaseRecord<'_, [u8], [u8], Arc<Call>> =
            BaseRecord::with_opaque_to(topic, Arc::clone(call)).payload(record.value);
        queued.key = record.key;
        loop {
            match self.producer.send(queued) {
                Ok(()) => return Ok(()),
                Err((error, back)) if error == FULL && Instant::now() < deadline => {
                    thread::sleep(ROOM_SLICE);
                    queued = back;
                }
                Err((error, _)) => {
                    let code = error.rdkafka_error_code();
                    return Err(code.unwrap_or(RDKafkaErrorCode::Unknown));
                }
            }
        }
    }

    fn not_appended(&self, topic: &str, code: Option<RDKafkaErrorCode>) -> Error {
        let (kind, why) = match code {
            Some(code) => (kind_of(code), code.to_string()),
            None => {
                let why = "the brokers did not acknowledge the records in time";
                (ErrorKind::Retry, why.to_owned())
            }
        };
        let problem = self.producer.client().context().inner.problem();
        let message = format!(
            "cannot append to topic '{topic}' in kafka at '{}': {why}{problem}; {}",
            self.bootstrap,
            advice(kind)
        );
        Error::new(kind, message)
    }
}

fn producer(config: &ClientConfig) -> Result<ThreadedProducer<Reports>, KafkaError> {
    config.create_with_context(Reports::default())
}

/// One call of [`Appender::append`]: what the brokers said of its records.
#[derive(Default)]
struct Call {
    state: Mutex<CallState>,
    done: Condvar,
}

#[derive(Default)]
struct CallState {
    /// Records that nothing is known of.
    open: usize,
    acknowledged: usize,
    /// Per partition the last offset.
    ends: BTreeMap<u32, i64>,
    failure: Option<RDKafkaErrorCode>,
}

impl Call {
    fn lock(&self) -> MutexGuard<'_, CallState> {
        // Each change is one that counts for itself, so a panic elsewhere cannot have left it half-done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, deadline: Instant) -> MutexGuard<'_, CallState> {
        let left = deadline.saturating_duration_since(Instant::now());
        let waited = self
            .done
            .wait_timeout_while(self.lock(), left, |state| state.open > 0);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn on_report(&self, result: Result<(u32, i64), RDKafkaErrorCode>) {
        let mut state = self.lock();
        state.open -= 1;
        match result {
            Ok((partition, offset)) => {
                state.acknowledged += 1;
                let end = state.ends.entry(partition).or_insert(offset);
                *end = offset.max(*end);
            }
            Err(code) => drop(state.failure.get_or_insert(code)),
        }
        if state.open == 0 {
            self.done.notify_one();
        }
    }
}

/// Passes what the brokers say of a record on to the call that it belongs to.
#[derive(Default)]
struct Reports {
    inner: Context,
}

impl AsRef<Context> for Reports {
    fn as_ref(&self) -> &Context {
        &self.inner
    }
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.inner.log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.inner.error(error, reason);
    }
}

impl ProducerContext<NoCustomPartitioner> for Reports {
    type DeliveryOpaque = Arc<Call>;

    fn delivery(&self, result: &DeliveryResult<'_>, call: Arc<Call>) {
        call.on_report(match result {
            Ok(message) => {
                let partition = u32::try_from(message.partition());
                Ok((
                    partition.expect("a record that was written has a partition"),
                    message.offset(),
                ))
            }
            Err((error, _)) => Err(error
                .rdkafka_error_code()
                .unwrap_or(RDKafkaErrorCode::Unknown)),
        });
    }
}
