//! The calls of librdkafka that its Rust binding doesn't offer: reading many messages at once, and producing to a topic handle.
//!
//! All `unsafe` of the crate is here. The wrappers keep librdkafka's rules: every message and queue is destroyed once, handles are
//! destroyed before their client, and borrowed bytes don't outlive the call that lends them.

pub mod admin;
mod headers;
mod token;

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ops::Deref;
use std::ptr::{self, NonNull};
use std::time::Duration;

use rdkafka::admin::AdminClient;
use rdkafka::bindings as ffi;
use rdkafka::bindings::{
    rd_kafka_message_t, rd_kafka_queue_t, rd_kafka_resp_err_t, rd_kafka_topic_t, rd_kafka_vtype_t,
};
use rdkafka::client::Client;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::types::RDKafkaType;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tidemill_types::raw::Headers;
use tidemill_types::{Epoch, TopicPartition};

use crate::context::Context;
use admin::{Answer, Answers, Question};
use headers::NativeHeaders;

pub use token::Keeper;

/// Name of the header that carries the epoch, 8 bytes big endian.
const EPOCH_HEADER: &CStr = c"tidemill-epoch";
/// Lets librdkafka's partitioner choose (`RD_KAFKA_PARTITION_UA`, which the binding lacks).
const PARTITION_BY_KEY: i32 = -1;
/// How many messages are taken from librdkafka in one call at most.
pub const FETCH_MESSAGES_MAX: usize = 10_000;

/// A consumer with an assignment, read in batches.
///
/// Not the binding's `BaseConsumer`: that one's drop leaves unread messages behind, which keep a broker thread alive that
/// `rd_kafka_destroy` then waits for without end. A plain client is closed by `rd_kafka_destroy`, which clears the queue.
pub struct Fetcher {
    // Before the client: a queue handle must go first.
    messages_queue: Queue,
    events_queue: Queue,
    answers: Answers,
    _keeper: Option<Keeper>,
    /// Room for the pointers of one batch; holds none between calls.
    room: Vec<*mut rd_kafka_message_t>,
    client: Client<Context>,
}

// SAFETY: the pointers in `room` are never kept between calls.
unsafe impl Send for Fetcher {}

impl Fetcher {
    /// A client for `config`, which must have a `group.id` (librdkafka assigns nothing without).
    pub fn new(config: &ClientConfig) -> KafkaResult<Self> {
        let native_config = config.create_native_config()?;
        // SAFETY: the configuration is alive; client errors become events rather than lines on stderr.
        unsafe { ffi::rd_kafka_conf_set_events(native_config.ptr(), ffi::RD_KAFKA_EVENT_ERROR) };
        let client = Client::new(
            config,
            native_config,
            RDKafkaType::RD_KAFKA_CONSUMER,
            Context::default(),
        )?;
        let keeper = Keeper::start(&client, config)?;
        // SAFETY: the client is alive; both calls return a new reference to a queue that `Queue` gives back.
        let (messages_queue, events_queue) = unsafe {
            (
                Queue::new(ffi::rd_kafka_queue_get_consumer(client.native_ptr())),
                Queue::new(ffi::rd_kafka_queue_get_main(client.native_ptr())),
            )
        };
        Ok(Self {
            messages_queue,
            events_queue,
            answers: Answers::new(&client),
            _keeper: keeper,
            room: vec![ptr::null_mut(); FETCH_MESSAGES_MAX],
            client,
        })
    }

    /// The client, for metadata and watermarks.
    pub const fn client(&self) -> &Client<Context> {
        &self.client
    }

    /// Asks the brokers, and waits for the answer.
    pub fn ask_now(&self, question: &Question<'_>, patience: Duration) -> Answer {
        let answers = Answers::new(&self.client);
        answers.ask(&self.client, question, patience);
        // The client answers for brokers that don't, just after the patience ends.
        answers.next(patience * 2).unwrap_or_else(|| {
            let code = RDKafkaErrorCode::OperationTimedOut;
            Answer::Failed(code, code.to_string())
        })
    }

    /// Asks the brokers without waiting; see [`Fetcher::answer`].
    pub fn ask(&self, question: &Question<'_>, patience: Duration) {
        self.answers.ask(&self.client, question, patience);
    }

    /// An answer to what was asked with [`Fetcher::ask`], if one has come.
    pub fn answer(&self) -> Option<Answer> {
        self.answers.next(Duration::ZERO)
    }

    /// Reads from exactly these positions from now on.
    pub fn assign(&self, positions: &[(TopicPartition, i64)]) -> KafkaResult<()> {
        let list = list_of(positions)?;
        // SAFETY: client and list are alive; the list is copied.
        match unsafe { ffi::rd_kafka_assign(self.client.native_ptr(), list.ptr()) } {
            rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
            code => Err(KafkaError::Global(code.into())),
        }
    }

    /// Holds partitions back, or lets them go on where they stopped. What was fetched of them ahead is fetched again.
    pub fn pause(&self, partitions: &[(TopicPartition, i64)], pauses: bool) -> KafkaResult<()> {
        let list = list_of(partitions)?;
        let client = self.client.native_ptr();
        // SAFETY: client and list are alive; the list is copied, and its elements get their outcome.
        let code = unsafe {
            if pauses {
                ffi::rd_kafka_pause_partitions(client, list.ptr())
            } else {
                ffi::rd_kafka_resume_partitions(client, list.ptr())
            }
        };
        match code {
            rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
            code => Err(KafkaError::Global(code.into())),
        }
    }

    /// Lets partitions go on at these positions.
    pub fn seek(&self, positions: &[(TopicPartition, i64)], patience: Duration) -> KafkaResult<()> {
        let list = list_of(positions)?;
        let wait_ms = i32::try_from(patience.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: client and list are alive; the list's elements get their outcome, and the error, which may be none, is given back once.
        let code = unsafe {
            let error =
                ffi::rd_kafka_seek_partitions(self.client.native_ptr(), list.ptr(), wait_ms);
            let code = ffi::rd_kafka_error_code(error);
            ffi::rd_kafka_error_destroy(error);
            code
        };
        if code != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(KafkaError::Seek(RDKafkaErrorCode::from(code).to_string()));
        }
        list.elements().iter().try_for_each(|moved| moved.error())
    }

    /// Waits up to `max_wait` for one message, or (if that is zero) takes the messages that are there. Returns how many there were.
    ///
    /// librdkafka's call waits until the whole array is full, so waiting for more than one would delay the first.
    pub fn fetch(
        &mut self,
        max_wait: Duration,
        max_messages: usize,
        mut on_message: impl FnMut(&FetchedMessage<'_>),
    ) -> usize {
        let wait_ms = c_int::try_from(max_wait.as_millis()).unwrap_or(c_int::MAX);
        let size = if wait_ms == 0 {
            max_messages.clamp(1, FETCH_MESSAGES_MAX)
        } else {
            1
        };
        // SAFETY: the queue is alive and `room` has place for `size` pointers.
        let count = unsafe {
            ffi::rd_kafka_consume_batch_queue(
                self.messages_queue.0.as_ptr(),
                wait_ms,
                self.room.as_mut_ptr(),
                size,
            )
        };
        let batch = MessageBatch(&self.room[..usize::try_from(count).unwrap_or(0)]);
        for &message in batch.0 {
            // SAFETY: librdkafka filled these slots with valid messages, which live until `batch` is dropped.
            on_message(&FetchedMessage(unsafe { &*message }));
        }
        batch.0.len()
    }

    /// Passes log lines and client errors that came up to the context.
    pub fn drain_events(&self) {
        // Bounded, as a client in trouble may produce them as fast as they are read.
        for _ in 0..100 {
            // SAFETY: the queue is alive; the event, if there is one, is destroyed below.
            let event = unsafe { ffi::rd_kafka_queue_poll(self.events_queue.0.as_ptr(), 0) };
            if event.is_null() {
                return;
            }
            let context = self.client.context();
            // SAFETY: the event is valid until destroyed, and its strings as long; each accessor is called for its own type of event only.
            unsafe {
                match ffi::rd_kafka_event_type(event) {
                    ffi::RD_KAFKA_EVENT_LOG => {
                        let (mut facility, mut line, mut level) = (ptr::null(), ptr::null(), 0);
                        if ffi::rd_kafka_event_log(
                            event,
                            &raw mut facility,
                            &raw mut line,
                            &raw mut level,
                        ) == 0
                        {
                            context.on_log(level, &text(facility), &text(line));
                        }
                    }
                    ffi::RD_KAFKA_EVENT_ERROR => {
                        let code = ffi::rd_kafka_event_error(event).into();
                        context.on_error(code, &text(ffi::rd_kafka_event_error_string(event)));
                    }
                    _ => {}
                }
                ffi::rd_kafka_event_destroy(event);
            }
        }
    }
}

fn list_of(positions: &[(TopicPartition, i64)]) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(positions.len());
    for (place, position) in positions {
        let partition = wire_partition(place.partition);
        list.add_partition_offset(&place.topic, partition, Offset::Offset(*position))?;
    }
    Ok(list)
}

/// A client for what only the administration of a cluster can.
pub fn admin_client(config: &ClientConfig) -> KafkaResult<Admin> {
    let client: AdminClient<Context> = config.create_with_context(Context::default())?;
    Ok(Admin {
        _keeper: Keeper::start(client.inner(), config)?,
        client,
    })
}

/// A client with its token.
pub struct Admin {
    // Before the client.
    _keeper: Option<Keeper>,
    client: AdminClient<Context>,
}

impl Deref for Admin {
    type Target = AdminClient<Context>;

    fn deref(&self) -> &Self::Target {
        &self.client
    }
}

/// A partition number as Kafka's protocol has it.
pub fn wire_partition(partition: u32) -> i32 {
    i32::try_from(partition).expect("partitions come from Kafka, which numbers them in 31 bits")
}

/// # Safety
/// `string` must be null or a C string that lives as long as the call.
unsafe fn text(string: *const c_char) -> String {
    if string.is_null() {
        return String::new();
    }
    // SAFETY: not null, and valid as the caller promises.
    unsafe { CStr::from_ptr(string) }
        .to_string_lossy()
        .trim()
        .to_owned()
}

/// A reference to a queue.
struct Queue(NonNull<rd_kafka_queue_t>);

// SAFETY: librdkafka's queues may be used from any thread.
unsafe impl Send for Queue {}

impl Queue {
    fn new(queue: *mut rd_kafka_queue_t) -> Self {
        Self(NonNull::new(queue).expect("librdkafka gives every consumer its queues"))
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: this is the one reference that `new` took over.
        unsafe { ffi::rd_kafka_queue_destroy(self.0.as_ptr()) };
    }
}

/// Messages that are destroyed when this goes.
struct MessageBatch<'a>(&'a [*mut rd_kafka_message_t]);

impl Drop for MessageBatch<'_> {
    fn drop(&mut self) {
        for &message in self.0 {
            // SAFETY: librdkafka handed the message over to us, and nobody refers to it after this.
            unsafe { ffi::rd_kafka_message_destroy(message) };
        }
    }
}

/// A record, or something that happened in its place.
pub struct FetchedMessage<'a>(&'a rd_kafka_message_t);

/// A topic of messages: two of one assignment are of one topic if they have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicMark(usize);

impl<'a> FetchedMessage<'a> {
    /// Its topic, to be compared; none if it is about the client as a whole.
    pub fn topic_mark(&self) -> Option<TopicMark> {
        (!self.0.rkt.is_null()).then(|| TopicMark(self.0.rkt.addr()))
    }

    /// Its topic's name; empty if it is about the client as a whole.
    pub fn topic(&self) -> String {
        if self.0.rkt.is_null() {
            return String::new();
        }
        // SAFETY: the message is valid, and holds a reference to its topic, whose name lives as long.
        unsafe { text(ffi::rd_kafka_topic_name(self.0.rkt)) }
    }

    /// Partition that it is about.
    pub fn partition(&self) -> u32 {
        u32::try_from(self.0.partition).expect("an assigned partition has a number")
    }

    /// The record's offset, or the position that something happened at.
    pub const fn offset(&self) -> i64 {
        self.0.offset
    }

    /// What happened; `None` is a record, [`RDKafkaErrorCode::PartitionEOF`] the end of the partition.
    pub fn error(&self) -> Option<RDKafkaErrorCode> {
        (self.0.err != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| self.0.err.into())
    }

    /// The text of what happened.
    pub fn error_text(&self) -> String {
        // SAFETY: the message is valid, and the string lives as long as it.
        unsafe { text(ffi::rd_kafka_message_errstr(self.0)) }
    }

    /// When the record was written, in milliseconds since 1970; -1 if it does not say.
    pub fn timestamp_ms(&self) -> i64 {
        let mut kind = ffi::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is valid; the kind is written to and not read.
        unsafe { ffi::rd_kafka_message_timestamp(self.0, &raw mut kind) }
    }

    /// The record's value; `None` is a tombstone.
    pub const fn value(&self) -> Option<&'a [u8]> {
        // SAFETY: librdkafka gives pointer and length of memory that belongs to the message.
        unsafe { bytes(self.0.payload, self.0.len) }
    }

    /// The record's key.
    pub const fn key(&self) -> Option<&'a [u8]> {
        // SAFETY: as for the value.
        unsafe { bytes(self.0.key, self.0.key_len) }
    }

    /// Its headers, in order, each as its name and its value.
    pub fn each_header(&self, mut on_header: impl FnMut(&[u8], Option<&[u8]>)) {
        let mut headers = ptr::null_mut();
        // SAFETY: the message is valid; headers, names and values belong to it, and are read before it goes.
        unsafe {
            if ffi::rd_kafka_message_headers(self.0, &raw mut headers)
                != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
            {
                return;
            }
            for place in 0.. {
                let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
                if ffi::rd_kafka_header_get_all(
                    headers,
                    place,
                    &raw mut name,
                    &raw mut value,
                    &raw mut size,
                ) != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
                {
                    return;
                }
                on_header(
                    CStr::from_ptr(name).to_bytes(),
                    bytes(value.cast_mut(), size),
                );
            }
        }
    }

    /// The epoch that wrote it, if its header says so.
    pub fn epoch(&self) -> Option<Epoch> {
        let mut headers = ptr::null_mut();
        let mut value = ptr::null();
        let mut size = 0;
        // SAFETY: the message is valid; headers and value belong to it, and are read before it goes.
        let value = unsafe {
            if ffi::rd_kafka_message_headers(self.0, &raw mut headers)
                != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
                || ffi::rd_kafka_header_get_last(
                    headers,
                    EPOCH_HEADER.as_ptr(),
                    &raw mut value,
                    &raw mut size,
                ) != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
            {
                return None;
            }
            bytes(value.cast_mut(), size)?
        };
        Some(Epoch(u64::from_be_bytes(value.try_into().ok()?)))
    }
}

/// # Safety
/// `start` must be null, or point to `length` bytes that live for `'a`.
const unsafe fn bytes<'a>(start: *mut c_void, length: usize) -> Option<&'a [u8]> {
    if start.is_null() {
        return None;
    }
    // SAFETY: not null, and valid as the caller promises.
    Some(unsafe { std::slice::from_raw_parts(start.cast::<u8>(), length) })
}

/// A topic of a producer. Must go before its client: keep it in the same struct, above it.
pub struct TopicHandle(NonNull<rd_kafka_topic_t>);

// SAFETY: topic handles may be used from any thread.
unsafe impl Send for TopicHandle {}

impl TopicHandle {
    /// A handle for `topic`; `None` if the name is none.
    pub fn new(producer: &BaseProducer<Context>, topic: &str) -> Option<Self> {
        let name = CString::new(topic).ok()?;
        // SAFETY: the client is alive, the name a C string; no configuration of its own.
        NonNull::new(unsafe {
            ffi::rd_kafka_topic_new(
                producer.client().native_ptr(),
                name.as_ptr(),
                ptr::null_mut(),
            )
        })
        .map(Self)
    }
}

impl Drop for TopicHandle {
    fn drop(&mut self) {
        // SAFETY: this is the one reference that `new` took.
        unsafe { ffi::rd_kafka_topic_destroy(self.0.as_ptr()) };
    }
}

/// A record to produce.
#[derive(Debug, Clone, Copy)]
pub struct ProducedRecord<'a> {
    /// Without one: by hash of the key.
    pub partition: Option<u32>,
    /// Key.
    pub key: Option<&'a [u8]>,
    /// Value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Goes into the header.
    pub epoch: Option<Epoch>,
    /// Further headers.
    pub headers: Headers<'a>,
    /// Its time, in milliseconds since 1970; none is that of writing.
    pub timestamp_ms: Option<i64>,
}

/// Queues a record, whose bytes are copied.
pub fn produce(
    producer: &BaseProducer<Context>,
    topic: &TopicHandle,
    record: &ProducedRecord<'_>,
) -> Result<(), RDKafkaErrorCode> {
    const NONE: (*const c_void, usize) = (ptr::null(), 0);
    let pointer = |bytes: &[u8]| (bytes.as_ptr().cast::<c_void>(), bytes.len());
    let (key, key_len) = record.key.map_or(NONE, pointer);
    let (value, value_len) = record.value.map_or(NONE, pointer);
    let partition = record.partition.map_or(PARTITION_BY_KEY, wire_partition);
    let client = producer.client().native_ptr();
    // Zero is now.
    let timestamp_ms = record.timestamp_ms.unwrap_or(0);
    let headers = NativeHeaders::of(record)?;
    // SAFETY: a call in librdkafka's own list of tags and values, each value of the type that its tag asks for; with the copy flag
    // the bytes are only read during the call. It owns the headers if it took the record, and else they stay ours.
    let code = unsafe {
        match &headers {
            Some(headers) => ffi::rd_kafka_producev(
                client,
                rd_kafka_vtype_t::RD_KAFKA_VTYPE_RKT,
                topic.0.as_ptr(),
                rd_kafka_vtype_t::RD_KAFKA_VTYPE_PARTITION,
                partition,
                rd_kafka_vtype_t::RD_KAFKA_VTYPE_MSGFLAGS,
                ffi::RD_KAFKA_MSG_F_COPY,
                rd_kafka_vtype_t::RD_KAFKA_VTYPE_VALUE,
                value,
                value_len,
                rd_kafka_vtype_t::RD_KAFKA_VTYPE_KEY,
                key,
                key_len,
                rd_kafka_vtype_t::RD_KAFKA_VTYPE_TIMESTAMP,
                timestamp_ms,
                rd_kafka_vtype_t::RD_KAFKA_VTYPE_HEADERS,
                headers.as_ptr(),
                rd_kafka_vtype_t::RD_KAFKA_VTYPE_END,
            ),
            None => ffi::rd_kafka_producev(
                client,
                rd_kafka_vtype_t::RD_KAFKA_VTYPE_RKT,
                topic.0.as_ptr(),
                rd_kafka_vtype_t::RD_KAFKA_VTYPE_PARTITION,
                partition,
                rd_kafka_vtype_t::RD_KAFKA_VTYPE_MSGFLAGS,
                ffi::RD_KAFKA_MSG_F_COPY,
                rd_kafka_vtype_t::RD_KAFKA_VTYPE_VALUE,
                value,
                value_len,
                rd_kafka_vtype_t::RD_KAFKA_VTYPE_KEY,
                key,
                key_len,
                rd_kafka_vtype_t::RD_KAFKA_VTYPE_TIMESTAMP,
                timestamp_ms,
                rd_kafka_vtype_t::RD_KAFKA_VTYPE_END,
            ),
        }
    };
    match code {
        rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => {
            std::mem::forget(headers);
            Ok(())
        }
        code => Err(code.into()),
    }
}

/// Sends what is queued without lingering, and waits up to `max_wait` until every record is acknowledged or failed.
/// True if none is left. Unlike the binding's `flush`, which looks every 100 ms, this returns as soon as that is so.
pub fn flush(producer: &BaseProducer<Context>, max_wait: Duration) -> bool {
    let wait_ms = c_int::try_from(max_wait.as_millis()).unwrap_or(c_int::MAX);
    // SAFETY: the client is alive.
    let code = unsafe { ffi::rd_kafka_flush(producer.client().native_ptr(), wait_ms) };
    code == rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
}
