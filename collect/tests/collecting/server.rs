//! A collector over the real broker of this test process, and a client that speaks HTTP byte by byte.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;
use tidemill_collect::settings::{Endpoint, Key, Limits, Settings};
use tidemill_collect::{Collector, Error};
use tidemill_connectors_api::Options;
use tidemill_connectors_kafka::tools::{TopicSpec, create_topics, read_topic};
use tidemill_tests_broker::{Broker, Setup};

/// Far beyond what a loaded machine needs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A broker with its own data and ports.
pub fn start_broker(name: &str) -> Broker {
    let data = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let data = data.join(format!("collect-{name}-{}", std::process::id()));
    Broker::start(&data, &Setup::default()).unwrap()
}

/// The broker that the tests of this process share; each has topics of its own.
pub fn shared() -> &'static Broker {
    static BROKER: OnceLock<Broker> = OnceLock::new();
    BROKER.get_or_init(|| start_broker("shared"))
}

/// Creates a topic.
pub fn create_topic(broker: &Broker, name: &str, partitions: u32, settings: &[(&str, &str)]) {
    let spec = TopicSpec {
        name,
        partitions,
        settings: settings.to_vec(),
    };
    create_topics(&broker.bootstrap(), &[spec]).unwrap();
}

/// Key and value of every record of a topic, by partition and offset.
pub fn records(broker: &Broker, topic: &str) -> BTreeMap<(u32, i64), (String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut records = BTreeMap::new();
    read_topic(&broker.bootstrap(), topic, true, |record| {
        let place = (record.partition, record.offset);
        records.insert(place, (text(record.key), text(record.value.unwrap())));
    })
    .unwrap();
    records
}

/// The values of a topic of one partition, in order.
pub fn values(broker: &Broker, topic: &str) -> Vec<String> {
    let records = records(broker, topic).into_values();
    records.map(|(_, value)| value).collect()
}

/// One endpoint, named as its topic.
pub fn settings(broker: &Broker, topic: &str, key: Key) -> Settings {
    let bootstrap = ("bootstrap.servers".to_owned(), broker.bootstrap());
    let endpoint = Endpoint {
        topic: topic.to_owned(),
        key,
        tokens: Vec::new(),
    };
    Settings {
        listen: "127.0.0.1:0".parse().unwrap(),
        kafka: Options::from([bootstrap]),
        endpoints: BTreeMap::from([(topic.to_owned(), endpoint)]),
        tokens: Vec::new(),
        tls: None,
        limits: Limits::default(),
    }
}

/// A collector that runs.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<(), Error>>,
}

impl Running {
    /// Starts one.
    pub fn start(settings: Settings) -> Self {
        let collector = Collector::open(settings).unwrap();
        let address = collector.address();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || collector.run(&stopped));
        Self {
            address,
            stop,
            thread,
        }
    }

    /// A new connection.
    pub fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// Posts JSON over a connection of its own.
    pub fn post(&self, topic: &str, body: &str) -> Told {
        self.connect().post(topic, body)
    }

    /// Tells it to stop.
    pub fn ask_to_stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    /// Stops it, and waits until it has ended.
    pub fn stop(self) {
        self.ask_to_stop();
        self.thread.join().unwrap().unwrap();
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The code of HTTP.
    pub status: u16,
    /// All of the head.
    pub head: String,
    /// The body.
    pub body: String,
}

impl Told {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }
}

/// A client.
pub struct Client {
    socket: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    /// A new connection.
    pub fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        Self {
            socket,
            buffer: Vec::new(),
        }
    }

    /// Sends bytes.
    pub fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    /// Sends bytes to who may be gone.
    pub fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.socket.write_all(bytes).is_ok()
    }

    /// Sends a request.
    pub fn request(&mut self, line: &str, headers: &str, body: &[u8]) {
        let length = body.len();
        let head =
            format!("{line} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n{headers}\r\n");
        self.send(&[head.as_bytes(), body].concat());
    }

    /// Posts JSON, and waits for the answer.
    pub fn post(&mut self, topic: &str, body: &str) -> Told {
        self.post_with(topic, "Content-Type: application/json\r\n", body.as_bytes())
    }

    /// Posts with headers, and waits for the answer.
    pub fn post_with(&mut self, topic: &str, headers: &str, body: &[u8]) -> Told {
        self.request(&format!("POST /events/{topic}"), headers, body);
        self.answer()
    }

    /// The next answer.
    #[track_caller]
    pub fn answer(&mut self) -> Told {
        self.try_answer().expect("an answer")
    }

    /// The next answer; nothing if the connection ends.
    pub fn try_answer(&mut self) -> Option<Told> {
        let end = loop {
            let end = self.buffer.windows(4).position(|four| four == b"\r\n\r\n");
            match end {
                Some(end) => break end + 4,
                None => self.read()?,
            }
        };
        let head = String::from_utf8(self.buffer[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length: "));
        let length: usize = length.map_or(0, |length| length.parse().unwrap());
        while self.buffer.len() < end + length {
            self.read()?;
        }
        let body = String::from_utf8(self.buffer[end..end + length].to_vec()).unwrap();
        self.buffer.drain(..end + length);
        Some(Told { status, head, body })
    }

    /// Posts an event to who may not listen, and says how that was answered.
    pub fn try_answer_to(&mut self, topic: &str) -> Option<u16> {
        let head = "HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
        if !self.try_send(format!("POST /events/{topic} {head}").as_bytes()) {
            return None;
        }
        self.try_answer().map(|told| told.status)
    }

    /// True if the other side has ended the connection.
    pub fn is_over(&mut self) -> bool {
        self.buffer.is_empty() && self.read().is_none()
    }

    fn read(&mut self) -> Option<()> {
        let mut bytes = [0; 8192];
        match self.socket.read(&mut bytes) {
            Ok(0) => None,
            Ok(count) => {
                self.buffer.extend_from_slice(&bytes[..count]);
                Some(())
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => None,
            Err(error) => panic!("no answer: {error}"),
        }
    }
}
