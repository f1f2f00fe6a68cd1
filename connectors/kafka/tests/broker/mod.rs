//! The real broker of this test process, which is ended when it is gone.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tidemill_connectors_kafka::tools::{TopicSpec, create_topics};
use tidemill_tests_broker::Setup;

/// A broker with its own data and ports.
pub struct Broker(tidemill_tests_broker::Broker);

impl Broker {
    /// Starts a broker.
    pub fn start(name: &str) -> Self {
        Self(tidemill_tests_broker::Broker::start(&data(name), &Setup::default()).unwrap())
    }

    /// Creates a topic.
    pub fn create_topic(&self, name: &str, partitions: u32, settings: &[(&str, &str)]) {
        create_topics(
            &self.bootstrap(),
            &[TopicSpec {
                name,
                partitions,
                settings: settings.to_vec(),
            }],
        )
        .unwrap();
    }
}

impl Deref for Broker {
    type Target = tidemill_tests_broker::Broker;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()))
}

/// The broker that the tests of this process share; each has topics and a job of its own.
pub fn shared() -> &'static Broker {
    static BROKER: OnceLock<Broker> = OnceLock::new();
    BROKER.get_or_init(|| Broker::start("kafka-connector"))
}
