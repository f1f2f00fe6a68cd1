//! A real Kafka for one run: with the whole of Java's compiler, its data in the run's folder. It ends with the run: when the value goes, or,
//! should this process be killed, by the script's own watch.

use std::path::Path;

use anyhow::{Context, Result};
use tidemill_tests_broker::Setup;

/// A running broker.
pub struct Broker(tidemill_tests_broker::Broker);

impl Broker {
    /// Starts a broker whose data lies in `data`; returns when it answers.
    ///
    /// # Errors
    /// If it does not start; the script's words are in the message.
    pub fn start(data: &Path) -> Result<Self> {
        let setup = Setup {
            variables: &[("KAFKA_C2", "1")],
            ..Setup::default()
        };
        Ok(Self(tidemill_tests_broker::Broker::start(data, &setup)?))
    }

    /// Where clients find it.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        self.0.bootstrap()
    }

    /// Its process.
    ///
    /// # Errors
    /// If it runs no more.
    pub fn process(&self) -> Result<u32> {
        self.0.process().context("the broker has ended")
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Err(error) = self.0.script("stop") {
            eprintln!("the broker could not be stopped: {error}");
        }
    }
}
