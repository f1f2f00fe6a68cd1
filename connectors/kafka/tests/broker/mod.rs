//! A real broker of this test process, started by `scripts/kafka.sh`, which also ends it when this process is gone.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tidemill_connectors_kafka::tools::{TopicSpec, create_topics};

/// A broker with its own data and ports.
pub struct Broker {
    /// Its folder; the file `broker.pid` there has the process id.
    pub data: PathBuf,
    ports: [u16; 2],
}

impl Broker {
    /// Starts a broker.
    pub fn start(name: &str) -> Self {
        let data =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let broker = Self {
            data,
            ports: listeners
                .each_ref()
                .map(|listener| listener.local_addr().unwrap().port()),
        };
        drop(listeners);
        broker.script("start");
        broker
    }

    /// Runs `scripts/kafka.sh` for this broker.
    pub fn script(&self, command: &str) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/kafka.sh");
        let output = Command::new(script)
            .arg(command)
            .env("KAFKA_DATA", &self.data)
            .env("KAFKA_PORT", self.ports[0].to_string())
            .env("KAFKA_CONTROLLER_PORT", self.ports[1].to_string())
            .env("KAFKA_OWNER", std::process::id().to_string())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Where clients find it.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.ports[0])
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

/// The broker that the tests of this process share; each has topics and a job of its own.
pub fn shared() -> &'static Broker {
    static BROKER: OnceLock<Broker> = OnceLock::new();
    BROKER.get_or_init(|| Broker::start("kafka-connector"))
}
