//! Events over HTTP into a real Kafka: what is answered is there, what is refused is not, whatever clients and brokers do. Needs
//! `scripts/setup.sh kafka`.

#![expect(
    clippy::unwrap_used,
    reason = "what a test cannot go on without fails it"
)]

mod bounds;
mod crashes;
mod requests;
mod secured;
mod server;
