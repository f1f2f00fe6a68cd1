//! A connection to one broker: requests and their answers, one at a time.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request};
use rdkafka::ClientConfig;

use super::{Failure, sasl, tls};
use crate::login;
use crate::topics::ANSWER_WAIT_MAX;

/// More bytes than any answer to these requests has.
const ANSWER_BYTES_MAX: usize = 16 << 20;

trait Stream: Read + Write {}

impl<T: Read + Write> Stream for T {}

/// A connection on which the broker knows who asks.
pub struct Connection {
    stream: Box<dyn Stream>,
    requests: i32,
}

impl Connection {
    /// Connects to a broker at `host:port` in the way that the settings of a client tell.
    pub fn open(address: &str, settings: &ClientConfig) -> Result<Self, Failure> {
        let protocol = login::protocol(settings);
        let (is_encrypted, logs_in) = match protocol.as_str() {
            "plaintext" => (false, false),
            "ssl" => (true, false),
            "sasl_plaintext" => (false, true),
            "sasl_ssl" => (true, true),
            _ => {
                return Err(Failure::Security(format!(
                    "security.protocol = '{protocol}'"
                )));
            }
        };
        let stream = connect(address)?;
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let mut connection = Self {
            stream: if is_encrypted {
                Box::new(tls::connect(stream, host, settings)?)
            } else {
                Box::new(stream)
            },
            requests: 0,
        };
        if logs_in {
            sasl::log_in(&mut connection, settings)?;
        }
        Ok(connection)
    }

    /// Asks, and waits for the answer.
    pub fn call<R: Request>(&mut self, request: &R, version: i16) -> Result<R::Response, Failure> {
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
