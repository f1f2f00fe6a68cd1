//! What librdkafka tells besides results: log lines, client errors, failed deliveries.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{NoCustomPartitioner, ProducerContext};

/// How much of a key is kept for a message.
const KEY_BYTES_MAX: usize = 200;

/// A record that the brokers refused.
#[derive(Debug, Clone)]
pub struct DeliveryFailure {
    /// Topic that it was meant for.
    pub topic: String,
    /// The beginning of its key.
    pub key: String,
    /// Why.
    pub code: RDKafkaErrorCode,
}

/// A broker does not know the client, or the client the broker.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// [`RDKafkaErrorCode::Authentication`] or [`RDKafkaErrorCode::SSL`].
    pub code: RDKafkaErrorCode,
    /// librdkafka's words, in which no secret stands.
    pub reason: String,
}

/// The context of every client: passes log lines on, and remembers the last trouble.
#[derive(Debug, Default)]
pub struct Context {
    problem: Mutex<Option<String>>,
    is_troubled: AtomicBool,
    refusal: Mutex<Option<Refusal>>,
    failure: Mutex<Option<DeliveryFailure>>,
}

impl Context {
    /// A log line of librdkafka.
    pub fn on_log(&self, level: i32, facility: &str, line: &str) {
        // Syslog levels: 3 is an error, 4 a warning, 5 a notice. A lost connection is an "error" there but heals by itself.
        match level {
            ..=4 => tracing::warn!(target: "librdkafka", facility, "{line}"),
            5 => tracing::info!(target: "librdkafka", facility, "{line}"),
            _ => tracing::debug!(target: "librdkafka", facility, "{line}"),
        }
    }

    /// An error of the whole client, such as all brokers being down.
    pub fn on_error(&self, code: RDKafkaErrorCode, reason: &str) {
        // With TLS 1.3 a broker says only after the handshake that it wants another certificate: librdkafka takes that for a lost connection.
        let is_alert = reason.contains("SSL alert number");
        let code = if is_alert {
            RDKafkaErrorCode::SSL
        } else {
            code
        };
        if matches!(
            code,
            RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SSL
        ) {
            let reason = reason.to_owned();
            *lock(&self.refusal) = Some(Refusal { code, reason });
        }
        tracing::warn!(target: "librdkafka", "{reason}");
        *lock(&self.problem) = Some(reason.to_owned());
        self.is_troubled.store(true, Ordering::Relaxed);
    }

    /// True if there was a client error since this was last asked.
    pub fn take_trouble(&self) -> bool {
        self.is_troubled.swap(false, Ordering::Relaxed)
    }

    /// That a broker and the client do not trust each other, if that was the last that was heard of it.
    pub fn refusal(&self) -> Option<Refusal> {
        lock(&self.refusal).clone()
    }

    /// There is a broker that answers.
    pub fn forget_refusal(&self) {
        *lock(&self.refusal) = None;
    }

    /// The last client error, as a part of a message.
    pub fn problem(&self) -> String {
        lock(&self.problem)
            .as_ref()
            .map_or_else(String::new, |problem| format!(" ({problem})"))
    }

    /// The first refused record since this was last asked.
    pub fn take_failure(&self) -> Option<DeliveryFailure> {
        lock(&self.failure).take()
    }

    fn on_delivery_failure(&self, error: &KafkaError, topic: &str, key: Option<&[u8]>) {
        let code = error
            .rdkafka_error_code()
            .unwrap_or(RDKafkaErrorCode::Unknown);
        // What is purged failed for a reason that is told elsewhere: by the transaction, or by the record that was refused first.
        if matches!(
            code,
            RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight
        ) {
            return;
        }
        let key = key.unwrap_or_default();
        lock(&self.failure).get_or_insert_with(|| DeliveryFailure {
            topic: topic.to_owned(),
            key: key_text(key),
            code,
        });
    }
}

/// A key for a message.
pub fn key_text(key: &[u8]) -> String {
    String::from_utf8_lossy(&key[..key.len().min(KEY_BYTES_MAX)]).into_owned()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is inside is replaced whole, so a panic elsewhere cannot have left it half-written.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.on_log(level as i32, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        let code = code.unwrap_or(RDKafkaErrorCode::Unknown);
        self.on_error(code, &format!("{error}: {reason}"));
    }
}

impl AsRef<Self> for Context {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl ConsumerContext for Context {}

impl ProducerContext<NoCustomPartitioner> for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, message)) = result {
            self.on_delivery_failure(error, message.topic(), message.key());
        }
    }
}
