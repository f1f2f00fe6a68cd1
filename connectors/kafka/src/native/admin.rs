//! Questions to the brokers that the binding doesn't offer: which topic it is, where partitions begin and end (all in one request), the
//! deletion of a partition's oldest records, and where a consumer group stands. Asked over any client; the answer is taken from a queue, at
//! once or later.

use std::ffi::CString;
use std::time::Duration;

use rdkafka::bindings as ffi;
use rdkafka::bindings::{
    rd_kafka_AdminOptions_t, rd_kafka_IsolationLevel_t, rd_kafka_admin_op_t, rd_kafka_event_t,
    rd_kafka_resp_err_t,
};
use rdkafka::client::Client;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use tidemill_types::TopicPartition;

use super::{Queue, text, wire_partition};
use crate::context::Context;

/// What Kafka says of topics that are older than topic ids (KIP-516).
const NO_TOPIC_ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// An end of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The oldest retained record.
    Oldest,
    /// After the newest record that `read_committed` readers see: before the first of a transaction that has no end yet.
    Newest,
    /// After the newest record of all.
    Written,
    /// The first record that is not older than a time in milliseconds since 1970 UTC; -1 where there is none.
    Since(i64),
}

/// A question, or a wish.
#[derive(Debug, Clone, Copy)]
pub enum Question<'a> {
    /// Which topics these are, and how many partitions they have.
    Topics(&'a [&'a str]),
    /// An end of each of these partitions.
    Offsets(&'a [TopicPartition], End),
    /// That records before an offset are deleted.
    DeleteBefore(&'a str, u32, i64),
    /// That a consumer group without members stands at these offsets.
    GroupOffsets(&'a str, &'a TopicPartitionList),
}

/// A topic, as the brokers tell of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToldTopic {
    /// Its id, as base64; empty if they give none.
    pub id: String,
    /// How many partitions it has.
    pub partitions: u32,
}

/// What came back.
#[derive(Debug)]
pub enum Answer {
    /// Topics by name; or why one is not known.
    Topics(Vec<(String, Result<ToldTopic, RDKafkaErrorCode>)>),
    /// By partition; or why it is not known.
    Offsets(Vec<(TopicPartition, Result<i64, RDKafkaErrorCode>)>),
    /// The records are deleted.
    Deleted,
    /// The group was told; of topics that the cluster does not have it knows nothing.
    GroupTold,
    /// There is no answer.
    Failed(RDKafkaErrorCode, String),
}

/// Where answers arrive. Must go before its client.
pub struct Answers(Queue);

impl Answers {
    /// A place for answers to what is asked over `client`.
    pub fn new(client: &Client<Context>) -> Self {
        // SAFETY: the client is alive; the new queue is given back by `Queue`.
        Self(Queue::new(unsafe {
            ffi::rd_kafka_queue_new(client.native_ptr())
        }))
    }

    /// Asks, giving the brokers `patience` to answer. Does not wait.
    pub fn ask(&self, client: &Client<Context>, question: &Question<'_>, patience: Duration) {
        let operation = match question {
            Question::Topics(_) => rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
            Question::Offsets(..) => rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS,
            Question::DeleteBefore(..) => rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DELETERECORDS,
            Question::GroupOffsets(..) => {
                rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_ALTERCONSUMERGROUPOFFSETS
            }
        };
        let options = AdminOptions::new(client, operation, patience);
        match *question {
            Question::Topics(topics) => self.ask_topics(client, topics, &options),
            Question::Offsets(partitions, end) => {
                let at = match end {
                    End::Oldest => Offset::Beginning,
                    End::Newest | End::Written => Offset::End,
                    // This question has a time in its place.
                    End::Since(time_ms) => Offset::Offset(time_ms),
                };
                if end != End::Written {
                    options.read_committed();
                }
                let list = list_of(
                    partitions
                        .iter()
                        .map(|place| (&*place.topic, place.partition, at)),
                );
                // SAFETY: client, list, options and queue are alive; the list is copied.
                unsafe {
                    ffi::rd_kafka_ListOffsets(
                        client.native_ptr(),
                        list.ptr(),
                        options.0,
                        self.0.0.as_ptr(),
                    );
                }
            }
            Question::DeleteBefore(topic, partition, offset) => {
                let list = list_of([(topic, partition, Offset::Offset(offset))].into_iter());
                // SAFETY: as above; the request is a copy of the list, and destroyed once, after the call that copies it again.
                unsafe {
                    let mut request = ffi::rd_kafka_DeleteRecords_new(list.ptr());
                    ffi::rd_kafka_DeleteRecords(
                        client.native_ptr(),
                        &raw mut request,
                        1,
                        options.0,
                        self.0.0.as_ptr(),
                    );
                    ffi::rd_kafka_DeleteRecords_destroy(request);
                }
            }
            Question::GroupOffsets(group, offsets) => {
                let group = CString::new(group).expect("a group's name was checked to be one");
                // SAFETY: as above; the request copies name and list.
                unsafe {
                    let mut request =
                        ffi::rd_kafka_AlterConsumerGroupOffsets_new(group.as_ptr(), offsets.ptr());
                    ffi::rd_kafka_AlterConsumerGroupOffsets(
                        client.native_ptr(),
                        &raw mut request,
                        1,
                        options.0,
                        self.0.0.as_ptr(),
                    );
                    ffi::rd_kafka_AlterConsumerGroupOffsets_destroy(request);
                }
            }
        }
    }

    fn ask_topics(&self, client: &Client<Context>, topics: &[&str], options: &AdminOptions) {
        let names = topics.iter();
        let names =
            names.map(|name| CString::new(*name).expect("a topic's name was checked to be one"));
        let names: Vec<_> = names.collect();
        let mut pointers: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
        // SAFETY: client, names, options and queue are alive; the collection copies the names, and is destroyed once.
        unsafe {
            let topics =
                ffi::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
            ffi::rd_kafka_DescribeTopics(client.native_ptr(), topics, options.0, self.0.0.as_ptr());
            ffi::rd_kafka_TopicCollection_destroy(topics);
        }
    }

    /// Waits up to `max_wait` for the next answer.
    pub fn next(&self, max_wait: Duration) -> Option<Answer> {
        let wait_ms = i32::try_from(max_wait.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the queue is alive; the event, if there is one, is read and destroyed once.
        unsafe {
            let event = ffi::rd_kafka_queue_poll(self.0.0.as_ptr(), wait_ms);
            if event.is_null() {
                return None;
            }
            let answer = answer_of(event);
            ffi::rd_kafka_event_destroy(event);
            Some(answer)
        }
    }
}

fn list_of<'a>(positions: impl Iterator<Item = (&'a str, u32, Offset)>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (topic, partition, at) in positions {
        list.add_partition_offset(topic, wire_partition(partition), at)
            .expect("every offset that is asked for can be told to librdkafka");
    }
    list
}

/// # Safety
/// `event` must be a valid event; it is not destroyed.
unsafe fn answer_of(event: *mut rd_kafka_event_t) -> Answer {
    // SAFETY: the event is valid, each accessor is called for its own type of event only, and what it returns is read before the event goes.
    unsafe {
        let code = ffi::rd_kafka_event_error(event);
        if code != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Answer::Failed(code.into(), text(ffi::rd_kafka_event_error_string(event)));
        }
        match ffi::rd_kafka_event_type(event) {
            ffi::RD_KAFKA_EVENT_DESCRIBETOPICS_RESULT => topics_of(event),
            ffi::RD_KAFKA_EVENT_LISTOFFSETS_RESULT => offsets_of(event),
            ffi::RD_KAFKA_EVENT_ALTERCONSUMERGROUPOFFSETS_RESULT => Answer::GroupTold,
            _ => deleted_of(event),
        }
    }
}

/// # Safety
/// `event` must be a valid result of DescribeTopics.
unsafe fn topics_of(event: *mut rd_kafka_event_t) -> Answer {
    // SAFETY: as the caller promises; the array has `count` valid pointers.
    unsafe {
        let mut count = 0;
        let result = ffi::rd_kafka_event_DescribeTopics_result(event);
        let topics = ffi::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        Answer::Topics(
            (0..count)
                .map(|index| topic_of(*topics.add(index)))
                .collect(),
        )
    }
}

/// # Safety
/// `topic` must be a valid description.
unsafe fn topic_of(
    topic: *const ffi::rd_kafka_TopicDescription_t,
) -> (String, Result<ToldTopic, RDKafkaErrorCode>) {
    // SAFETY: as the caller promises; what is borrowed of the description is copied here.
    unsafe {
        let name = text(ffi::rd_kafka_TopicDescription_name(topic));
        let code = ffi::rd_kafka_error_code(ffi::rd_kafka_TopicDescription_error(topic));
        if code != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return (name, Err(code.into()));
        }
        let id = ffi::rd_kafka_TopicDescription_topic_id(topic);
        let id = if id.is_null() {
            String::new()
        } else {
            text(ffi::rd_kafka_Uuid_base64str(id))
        };
        let mut partitions = 0;
        ffi::rd_kafka_TopicDescription_partitions(topic, &raw mut partitions);
        let told = ToldTopic {
            id: if id == NO_TOPIC_ID { String::new() } else { id },
            partitions: u32::try_from(partitions).expect("Kafka numbers partitions in 31 bits"),
        };
        (name, Ok(told))
    }
}

/// # Safety
/// `event` must be a valid result of ListOffsets.
unsafe fn offsets_of(event: *mut rd_kafka_event_t) -> Answer {
    // SAFETY: as the caller promises; the array has `count` valid pointers.
    unsafe {
        let mut count = 0;
        let result = ffi::rd_kafka_event_ListOffsets_result(event);
        let infos = ffi::rd_kafka_ListOffsets_result_infos(result, &raw mut count);
        let offset = |index| {
            let place = &*ffi::rd_kafka_ListOffsetsResultInfo_topic_partition(*infos.add(index));
            let partition =
                u32::try_from(place.partition).expect("what was asked for has a number");
            let asked = TopicPartition::new(&text(place.topic), partition);
            (asked, offset_or_error(place))
        };
        Answer::Offsets((0..count).map(offset).collect())
    }
}

/// # Safety
/// `event` must be a valid result of DeleteRecords.
unsafe fn deleted_of(event: *mut rd_kafka_event_t) -> Answer {
    // SAFETY: as the caller promises; the list has `cnt` elements.
    unsafe {
        let result = ffi::rd_kafka_event_DeleteRecords_result(event);
        let list = &*ffi::rd_kafka_DeleteRecords_result_offsets(result);
        let count = usize::try_from(list.cnt).unwrap_or(0);
        for index in 0..count {
            if let Err(code) = offset_or_error(&*list.elems.add(index)) {
                return Answer::Failed(code, code.to_string());
            }
        }
        Answer::Deleted
    }
}

/// What librdkafka has in the place of an offset that no broker told (`RD_KAFKA_OFFSET_INVALID`), without an error where the broker is away.
const OFFSET_UNTOLD: i64 = -1001;

fn offset_or_error(place: &ffi::rd_kafka_topic_partition_t) -> Result<i64, RDKafkaErrorCode> {
    match place.err {
        rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR if place.offset == OFFSET_UNTOLD => {
            Err(RDKafkaErrorCode::BrokerTransportFailure)
        }
        rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(place.offset),
        code => Err(code.into()),
    }
}

/// Options of one question.
struct AdminOptions(*mut rd_kafka_AdminOptions_t);

impl AdminOptions {
    fn new(client: &Client<Context>, operation: rd_kafka_admin_op_t, patience: Duration) -> Self {
        let patience_ms = i32::try_from(patience.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the client is alive; an error is destroyed, and means that the default stays.
        unsafe {
            let options = ffi::rd_kafka_AdminOptions_new(client.native_ptr(), operation);
            let mut reason = [0; 128];
            ffi::rd_kafka_AdminOptions_set_request_timeout(
                options,
                patience_ms,
                reason.as_mut_ptr(),
                reason.len(),
            );
            Self(options)
        }
    }

    fn read_committed(&self) {
        // SAFETY: the options are alive; the error is null, or destroyed here.
        unsafe {
            let error = ffi::rd_kafka_AdminOptions_set_isolation_level(
                self.0,
                rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED,
            );
            if !error.is_null() {
                ffi::rd_kafka_error_destroy(error);
            }
        }
    }
}

impl Drop for AdminOptions {
    fn drop(&mut self) {
        // SAFETY: made by `new`, destroyed once.
        unsafe { ffi::rd_kafka_AdminOptions_destroy(self.0) };
    }
}
