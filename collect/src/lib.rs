//! Takes events over HTTP and puts them into topics of Kafka, for services that cannot speak Kafka.
//!
//! Promises: a request that is answered with 200 is in Kafka, acknowledged by all in-sync replicas, every event byte for byte as it was sent
//! and in the request's order within a partition; a request that is answered with 4xx has written nothing; what one client does (slow, huge,
//! garbage) costs a bounded amount of memory and time, and no other client's events; off this machine's own loopback it listens only with TLS and
//! tokens.
//! Does not: know what an event means beyond that it is a JSON object, keep events that Kafka does not take, or notice that a client repeats
//! itself: the job that reads the topic does (`DEDUPLICATE BY`).

mod answer;
mod body;
mod budget;
mod connection;
mod events;
mod head;
mod metrics;
mod server;
mod service;
pub mod settings;
mod stream;
mod tls;

use std::io;
use std::net::SocketAddr;

use tidemill_types::ErrorKind;

pub use server::Collector;

/// Why events cannot be collected.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened at.
    #[error("cannot listen at {address}: {source}; choose another address with --listen")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Whoever reaches the address could write, or read along.
    #[error(
        "listening at {address} would take events from whoever reaches it, {lacks}; give [tls] and tokens, or listen at 127.0.0.1 and put a TLS \
         proxy before it"
    )]
    Exposed {
        /// Which address.
        address: SocketAddr,
        /// What is missing.
        lacks: &'static str,
    },
    /// The certificate or the key cannot be used.
    #[error("cannot use '{path}' for TLS: {reason}; name a file in PEM")]
    Tls {
        /// Which file.
        path: String,
        /// Why.
        reason: String,
    },
    /// A setting is none.
    #[error("{0}")]
    Setting(String),
    /// The process cannot have what it needs.
    #[error("cannot start a thread: {0}; look at the limits of the process")]
    Thread(io::Error),
    /// Kafka cannot be reached, or not like this.
    #[error(transparent)]
    Kafka(#[from] tidemill_connectors_api::Error),
    /// The producer is at its end.
    #[error("nothing can be appended any more: {0}; start again")]
    Ended(String),
}

impl Error {
    /// What the caller must do.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Listen { .. } | Self::Exposed { .. } | Self::Tls { .. } | Self::Setting(_) => {
                ErrorKind::Invalid
            }
            Self::Thread(_) | Self::Ended(_) => ErrorKind::Retry,
            Self::Kafka(error) => error.kind,
        }
    }
}
