//! What librdkafka does not offer of Kafka's protocol: asking a transaction's coordinator how the last transaction ended (KIP-664), and ending
//! one in partitions that get no record.
//!
//! Over a plain connection of its own; see [`Coordinator::find`] for what that cannot do. Encoding and decoding is `kafka-protocol`'s.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, ApiVersionsRequest, DescribeTransactionsRequest, EndTxnRequest,
    FindCoordinatorRequest, ProducerId, RequestHeader, ResponseHeader, TopicName, TransactionalId,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use rdkafka::ClientConfig;

use crate::native::wire_partition;
use crate::topics::ANSWER_WAIT_MAX;

/// The kind of key of which a transaction's coordinator is found.
const TRANSACTION_KEY: i8 = 1;
/// More bytes than any answer to these requests has.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// Why a request failed.
#[derive(Debug)]
pub enum Failure {
    /// The connection.
    Io(io::Error),
    /// What came is no answer.
    Protocol(String),
    /// The broker says why.
    Refused(ResponseError),
    /// The connection would have to be one that this cannot make.
    Security(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::Protocol(reason) => f.write_str(reason),
            Self::Refused(code) => write!(f, "{code}"),
            Self::Security(protocol) => {
                write!(
                    f,
                    "it takes a connection with security.protocol = '{protocol}', which this cannot make"
                )
            }
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
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
    stream: TcpStream,
    transactional_id: TransactionalId,
    requests: i32,
}

impl Coordinator {
    /// Asks the brokers of a producer's settings for the coordinator of its transactional id, and connects to it.
    ///
    /// Without TLS and SASL: with another `security.protocol` this fails.
    pub fn find(producer: &ClientConfig) -> Result<Self, Failure> {
        if let Some(protocol) = producer.get("security.protocol")
            && !protocol.eq_ignore_ascii_case("plaintext")
        {
            return Err(Failure::Security(protocol.to_owned()));
        }
        let setting = |name| producer.get(name).unwrap_or_default().to_owned();
        let transactional_id = StrBytes::from(setting("transactional.id"));
        let mut failure = Failure::Protocol("there is no broker to ask".to_owned());
        for broker in setting("bootstrap.servers").split(',') {
            match Self::ask_for(broker.trim(), &transactional_id) {
                Ok(found) => return Ok(found),
                Err(other) => failure = other,
            }
        }
        Err(failure)
    }

    fn ask_for(broker: &str, transactional_id: &StrBytes) -> Result<Self, Failure> {
        let mut asked = Self {
            stream: connect(broker)?,
            transactional_id: TransactionalId(transactional_id.clone()),
            requests: 0,
        };
        let request = FindCoordinatorRequest::default()
            .with_key(transactional_id.clone())
            .with_key_type(TRANSACTION_KEY);
        let found = asked.call(&request, 2)?;
        refused(found.error_code)?;
        asked.stream = connect(&format!("{}:{}", &*found.host, found.port))?;
        Ok(asked)
    }

    /// True if this broker can be asked to describe transactions: from Kafka 2.8 on. An older one would close the connection.
    pub fn can_describe(&mut self) -> Result<bool, Failure> {
        let answer = self.call(&ApiVersionsRequest::default(), 0)?;
        refused(answer.error_code)?;
        let mut known = answer.api_keys.iter();
        Ok(known.any(|known| known.api_key == DescribeTransactionsRequest::KEY))
    }

    /// Where the transactional id stands.
    pub fn describe(&mut self) -> Result<Standing, Failure> {
        let request = DescribeTransactionsRequest::default()
            .with_transactional_ids(vec![self.transactional_id.clone()]);
        let answer = self.call(&request, 0)?;
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
        let answer = self.call(&request, 2)?;
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
        refused(self.call(&request, 2)?.error_code)
    }

    fn call<R: Request>(&mut self, request: &R, version: i16) -> Result<R::Response, Failure> {
        self.requests += 1;
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.requests);
        let mut sent = BytesMut::new();
        // The length, which is known later.
        sent.put_i32(0);
        encode(&header, R::header_version(version), &mut sent)?;
        encode(request, version, &mut sent)?;
        let length = i32::try_from(sent.len() - size_of::<i32>()).expect("requests are small");
        sent[..size_of::<i32>()].copy_from_slice(&length.to_be_bytes());
        self.stream.write_all(&sent)?;

        let mut length = [0; size_of::<i32>()];
        self.stream.read_exact(&mut length)?;
        let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > ANSWER_BYTES_MAX {
            let reason = format!("an answer of {length} bytes is none of Kafka's");
            return Err(Failure::Protocol(reason));
        }
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer)?;
        let mut answer = Bytes::from(answer);
        let header_version = R::Response::header_version(version);
        let header: ResponseHeader = decode(&mut answer, header_version)?;
        if header.correlation_id != self.requests {
            let reason = "the answer is one to another request".to_owned();
            return Err(Failure::Protocol(reason));
        }
        decode(&mut answer, version)
    }
}

fn connect(address: &str) -> Result<TcpStream, Failure> {
    let mut failure = io::Error::new(
        io::ErrorKind::NotFound,
        format!("'{address}' has no address"),
    );
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, ANSWER_WAIT_MAX) {
            Ok(stream) => {
                stream.set_read_timeout(Some(ANSWER_WAIT_MAX))?;
                stream.set_write_timeout(Some(ANSWER_WAIT_MAX))?;
                return Ok(stream);
            }
            Err(error) => failure = error,
        }
    }
    Err(failure.into())
}

fn encode(what: &impl Encodable, version: i16, to: &mut BytesMut) -> Result<(), Failure> {
    what.encode(to, version)
        .map_err(|error| Failure::Protocol(error.to_string()))
}

fn decode<T: Decodable>(from: &mut Bytes, version: i16) -> Result<T, Failure> {
    T::decode(from, version).map_err(|error| Failure::Protocol(error.to_string()))
}

fn refused(code: i16) -> Result<(), Failure> {
    ResponseError::try_from_code(code).map_or(Ok(()), |code| Err(Failure::Refused(code)))
}
