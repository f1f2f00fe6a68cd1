//! What librdkafka does not offer of Kafka's protocol: asking a transaction's coordinator how the last transaction ended (KIP-664), and ending
//! one in partitions that get no record.
//!
//! Over a connection of its own, made and secured by the same options as librdkafka's. Encoding and decoding is `kafka-protocol`'s.

mod connection;
mod sasl;
mod scram;
mod tls;

use std::io;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, ApiVersionsRequest, DescribeTransactionsRequest, EndTxnRequest,
    FindCoordinatorRequest, ProducerId, TopicName, TransactionalId,
};
use kafka_protocol::protocol::{Request, StrBytes};
use openssl::error::ErrorStack;
use rdkafka::ClientConfig;

use crate::native::wire_partition;
use connection::Connection;

/// The kind of key of which a transaction's coordinator is found.
const TRANSACTION_KEY: i8 = 1;
/// Why a request failed.
#[derive(Debug)]
pub enum Failure {
    /// The connection.
    Io(io::Error),
    /// What came is no answer.
    Protocol(String),
    /// The broker says why.
    Refused(ResponseError),
    /// The connection would have to be one that this cannot make: the option and its value.
    Security(String),
    /// The broker does not know the client, or the client the broker.
    Login(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::Protocol(reason) => f.write_str(reason),
            Self::Refused(code) => write!(f, "{code}"),
            Self::Security(option) => {
                write!(
                    f,
                    "it takes a connection with {option}, which this cannot make"
                )
            }
            Self::Login(reason) => write!(f, "no connection that both sides trust: {reason}"),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<ErrorStack> for Failure {
    fn from(error: ErrorStack) -> Self {
        Self::Login(error.to_string())
    }
}

/// Where the transactional id of a job stands.
#[derive(Debug, Clone)]
pub struct Standing {
    /// Kafka's word for it: `Ongoing`, `PrepareCommit`, `CompleteAbort` and so on.
    pub state: String,
    producer_id: ProducerId,
    producer_epoch: i16,
}

/// A connection to the coordinator of a transactional id.
pub struct Coordinator {
    connection: Connection,
    transactional_id: TransactionalId,
}

impl Coordinator {
    /// Asks the brokers of a producer's settings for the coordinator of its transactional id, and connects to it.
    pub fn find(producer: &ClientConfig) -> Result<Self, Failure> {
        let setting = |name| producer.get(name).unwrap_or_default().to_owned();
        let transactional_id = StrBytes::from(setting("transactional.id"));
        let mut failure = Failure::Protocol("there is no broker to ask".to_owned());
        for broker in setting("bootstrap.servers").split(',') {
            match Self::ask_for(broker.trim(), &transactional_id, producer) {
                Ok(found) => return Ok(found),
                Err(other) => failure = other,
            }
        }
        Err(failure)
    }

    fn ask_for(
        broker: &str,
        transactional_id: &StrBytes,
        producer: &ClientConfig,
    ) -> Result<Self, Failure> {
        let mut asked = Connection::open(broker, producer)?;
        let request = FindCoordinatorRequest::default()
            .with_key(transactional_id.clone())
            .with_key_type(TRANSACTION_KEY);
        let found = asked.call(&request, 2)?;
        refused(found.error_code)?;
        let address = format!("{}:{}", &*found.host, found.port);
        Ok(Self {
            connection: Connection::open(&address, producer)?,
            transactional_id: TransactionalId(transactional_id.clone()),
        })
    }

    /// True if this broker can be asked to describe transactions: from Kafka 2.8 on. An older one would close the connection.
    pub fn can_describe(&mut self) -> Result<bool, Failure> {
        let answer = self.connection.call(&ApiVersionsRequest::default(), 0)?;
        refused(answer.error_code)?;
        let mut known = answer.api_keys.iter();
        Ok(known.any(|known| known.api_key == DescribeTransactionsRequest::KEY))
    }

    /// Where the transactional id stands.
    pub fn describe(&mut self) -> Result<Standing, Failure> {
        let request = DescribeTransactionsRequest::default()
            .with_transactional_ids(vec![self.transactional_id.clone()]);
        let answer = self.connection.call(&request, 0)?;
        let state = answer.transaction_states.into_iter().next();
        let state = state.ok_or_else(|| Failure::Protocol("the answer is empty".to_owned()))?;
        refused(state.error_code)?;
        Ok(Standing {
            state: state.transaction_state.to_string(),
            producer_id: state.producer_id,
            producer_epoch: state.producer_epoch,
        })
    }

    /// Adds partitions to the open transaction, beginning one.
    pub fn add(&mut self, of: &Standing, partitions: &[(String, Vec<u32>)]) -> Result<(), Failure> {
        let topics = partitions.iter().map(|(topic, partitions)| {
            AddPartitionsToTxnTopic::default()
                .with_name(TopicName(StrBytes::from(topic.clone())))
                .with_partitions(partitions.iter().map(|&p| wire_partition(p)).collect())
        });
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(self.transactional_id.clone())
            .with_v3_and_below_producer_id(of.producer_id)
            .with_v3_and_below_producer_epoch(of.producer_epoch)
            .with_v3_and_below_topics(topics.collect());
        let answer = self.connection.call(&request, 2)?;
        let topics = answer.results_by_topic_v3_and_below;
        let mut partitions = topics.iter().flat_map(|topic| &topic.results_by_partition);
        partitions.try_for_each(|partition| refused(partition.partition_error_code))
    }

    /// Ends the open transaction.
    pub fn end(&mut self, of: &Standing, commits: bool) -> Result<(), Failure> {
        let request = EndTxnRequest::default()
            .with_transactional_id(self.transactional_id.clone())
            .with_producer_id(of.producer_id)
            .with_producer_epoch(of.producer_epoch)
            .with_committed(commits);
        refused(self.connection.call(&request, 2)?.error_code)
    }
}

fn refused(code: i16) -> Result<(), Failure> {
    ResponseError::try_from_code(code).map_or(Ok(()), |code| Err(Failure::Refused(code)))
}
