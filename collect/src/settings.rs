//! What is collected, from where, into which topics, and how much of it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tidemill_connectors_api::Options;

/// How events are collected.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where is listened; port 0 is any free one.
    pub listen: SocketAddr,
    /// How Kafka is reached: as in the `WITH` of a sink.
    pub kafka: Options,
    /// By name: what is posted to `/events/NAME`.
    pub endpoints: BTreeMap<String, Endpoint>,
    /// Who may post to endpoints without tokens of their own, and read the metrics; none is everybody.
    pub tokens: Vec<Token>,
    /// A certificate, for TLS.
    pub tls: Option<Tls>,
    /// How much.
    pub limits: Limits,
}

/// Where events of one kind go.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// The topic.
    pub topic: String,
    /// What the record's key is.
    pub key: Key,
    /// Who may post here; none is whoever may in general.
    pub tokens: Vec<Token>,
}

/// What a record's key is taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// There is none.
    None,
    /// A member of the event, by the names on the way to it.
    Member(Vec<String>),
    /// A header of the request, by its name in lower case; all events of the request have it.
    Header(String),
}

/// Files in PEM.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The certificate, and those that lead to its authority.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// How much is taken.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Largest event. What the topic takes counts, too.
    pub event_bytes_max: usize,
    /// Events of one request.
    pub events_max: usize,
    /// Largest body of a request, also after it was unpacked.
    pub request_bytes_max: usize,
    /// Bodies of all requests that are not answered yet, together.
    pub in_flight_bytes_max: usize,
    /// Connections at a time.
    pub connections_max: usize,
    /// How long a client may take to send a request.
    pub request_wait_max: Duration,
    /// How long Kafka may take to acknowledge the events of a request.
    pub kafka_wait_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            event_bytes_max: 1 << 20,
            events_max: 10_000,
            request_bytes_max: 16 << 20,
            in_flight_bytes_max: 128 << 20,
            connections_max: 512,
            request_wait_max: Duration::from_secs(30),
            kafka_wait_max: Duration::from_secs(10),
        }
    }
}

/// A bearer token, of which only a digest is kept: comparing digests tells nothing of how much of a token was right.
#[derive(Clone, PartialEq, Eq)]
pub struct Token([u8; 32]);

impl Token {
    /// The token of this text.
    #[must_use]
    pub fn new(text: &[u8]) -> Self {
        Self(Sha256::digest(text).into())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::Token;

    #[test]
    fn a_token_is_not_shown() {
        let token = Token::new(b"hunter2");
        assert_eq!(format!("{token:?}"), "Token(…)");
        assert_ne!(token, Token::new(b"hunter3"));
    }
}
