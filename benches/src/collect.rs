//! What `tidemill collect` takes over HTTP on a machine that it shares with its clients and a real Kafka: requests of many events over several
//! connections, each client sending the next one when it has its answer.
//!
//! Afterwards the topic must have each event once, byte for byte.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tidemill_connectors_kafka::tools::{TopicSpec, create_topics, read_topic};

use crate::broker::Broker;
use crate::process::Usage;
use crate::report::{Latencies, Target, grouped, rounded};

/// Events a second.
const EVENTS_PER_S_MIN: f64 = 30_000.0;
const EVENT_BYTES: usize = 250;
const TOPIC: &str = "events";
const PARTITIONS: u32 = 4;

/// Settings of a run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Events.
    pub events: u64,
    /// Events of a request.
    pub batch: u64,
    /// Connections.
    pub connections: u64,
    /// The `tidemill` binary.
    pub tidemill: PathBuf,
}

/// What a run has measured.
#[derive(Debug)]
pub struct Figures {
    events: u64,
    took: Duration,
    latencies: Latencies,
    collect: Usage,
    broker_cpu_s: f64,
}

/// A collector, which ends with this.
struct Collector {
    child: Child,
    address: SocketAddr,
}

impl Drop for Collector {
    fn drop(&mut self) {
        // It may be gone already, which is what is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Collects events and says what goes on meanwhile.
///
/// # Errors
/// If something does not run, or the topic does not have each event once.
pub fn run(settings: &Settings, mut say: impl FnMut(&str)) -> Result<Figures> {
    ensure!(
        settings.batch > 0 && settings.connections > 0,
        "nothing is sent"
    );
    // In this order: first goes the collector, then the broker, then their files.
    let work = tempfile::Builder::new()
        .prefix("tidemill-bench.")
        .tempdir()?;
    say("starting Kafka");
    let broker = Broker::start(&work.path().join("kafka"))?;
    let spec = TopicSpec {
        name: TOPIC,
        partitions: PARTITIONS,
        settings: Vec::new(),
    };
    create_topics(&broker.bootstrap(), &[spec])?;
    let config = work.path().join("collect.toml");
    let bootstrap = broker.bootstrap();
    std::fs::write(
        &config,
        format!(
            "[kafka]\nbootstrap.servers = '{bootstrap}'\n[endpoint.events]\ntopic = '{TOPIC}'\nkey = 'id'\n"
        ),
    )?;
    let mut command = Command::new(&settings.tidemill);
    command.arg("collect").arg("--config").arg(&config);
    let collector = start(command.args(["--listen", "127.0.0.1:0"]))?;
    // Java compiles what it does most.
    say("warming up");
    let warm_up = settings.events / 5;
    send(settings, collector.address, 0..warm_up)?;
    let mut collect = Usage::default();
    collect.sample(collector.child.id());
    let (before, broker_before) = (collect.cpu_s, crate::process::cpu_s(broker.process()?));
    say(&format!("sending {} events", settings.events));
    let since = Instant::now();
    let latencies = send(
        settings,
        collector.address,
        warm_up..warm_up + settings.events,
    )?;
    let took = since.elapsed();
    collect.sample(collector.child.id());
    collect.cpu_s -= before;
    let broker_cpu_s = crate::process::cpu_s(broker.process()?) - broker_before;
    say("looking at the topic");
    check(&bootstrap, warm_up + settings.events)?;
    Ok(Figures {
        events: settings.events,
        took,
        latencies,
        collect,
        broker_cpu_s,
    })
}

fn start(command: &mut Command) -> Result<Collector> {
    let mut child = command.stderr(Stdio::piped()).spawn()?;
    let errors = child.stderr.take().context("it was piped")?;
    let mut lines = BufReader::new(errors).lines();
    let address = loop {
        let line = lines.next().context("the collector has ended")??;
        let Some(rest) = line.strip_prefix("metrics: http://") else {
            continue;
        };
        break rest.trim_end_matches("/metrics").parse()?;
    };
    // What else it says is for people.
    thread::spawn(move || {
        lines
            .map_while(Result::ok)
            .for_each(|line| eprintln!("{line}"))
    });
    Ok(Collector { child, address })
}

/// Sends events of these numbers, and says how long each request took.
fn send(
    settings: &Settings,
    address: SocketAddr,
    events: std::ops::Range<u64>,
) -> Result<Latencies> {
    let next = AtomicU64::new(events.start);
    let client = || -> Result<Vec<u32>> {
        let mut socket = BufReader::new(TcpStream::connect(address)?);
        socket.get_ref().set_nodelay(true)?;
        let mut took = Vec::new();
        loop {
            let first = next.fetch_add(settings.batch, Ordering::Relaxed);
            if first >= events.end {
                return Ok(took);
            }
            let request = request(first..(first + settings.batch).min(events.end));
            let since = Instant::now();
            socket.get_mut().write_all(&request)?;
            answer(&mut socket)?;
            took.push(u32::try_from(since.elapsed().as_micros())?);
        }
    };
    let all = thread::scope(|scope| {
        let clients: Vec<_> = (0..settings.connections)
            .map(|_| scope.spawn(client))
            .collect();
        let ended = clients
            .into_iter()
            .map(|client| client.join().expect("a client does not panic"));
        ended.collect::<Result<Vec<_>>>()
    })?;
    Ok(Latencies::new(all.concat()))
}

fn request(events: std::ops::Range<u64>) -> Vec<u8> {
    let mut body = String::new();
    for number in events {
        body.push_str(&event(number));
        body.push('\n');
    }
    let head =
        "POST /events/events HTTP/1.1\r\nHost: bench\r\nContent-Type: application/x-ndjson\r\n";
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn event(number: u64) -> String {
    let id = number.wrapping_mul(2_654_435_761) % 100_000;
    let start = format!(
        r#"{{"uuid":"00000000-0000-4000-8000-{number:012}","id":{id},"amount":"{}.{:02}","currency":"EUR","status":"planned","note":""#,
        id % 900,
        number % 100
    );
    let rest = EVENT_BYTES - start.len() - 2;
    format!("{start}{}\"}}", "n".repeat(rest))
}

fn answer(socket: &mut BufReader<TcpStream>) -> Result<()> {
    let (mut line, mut length) = (String::new(), 0);
    socket.read_line(&mut line)?;
    let is_good = line.starts_with("HTTP/1.1 200 ");
    let status = line.trim().to_owned();
    loop {
        line.clear();
        socket.read_line(&mut line)?;
        if let Some(value) = line.strip_prefix("Content-Length: ") {
            length = value.trim().parse()?;
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    socket.read_exact(&mut body)?;
    if !is_good {
        bail!(
            "answered with '{status}': {}",
            String::from_utf8_lossy(&body)
        );
    }
    Ok(())
}

/// The topic has each event once, as it was sent.
fn check(bootstrap: &str, events: u64) -> Result<()> {
    let mut found = BTreeSet::new();
    let mut wrong = None;
    read_topic(bootstrap, TOPIC, true, |record| {
        let value = record.value.unwrap_or_default();
        let number = std::str::from_utf8(value)
            .ok()
            .and_then(|text| text.get(33..45)?.parse::<u64>().ok());
        let is_right = number.is_some_and(|number| {
            event(number).as_bytes() == value && number < events && found.insert(number)
        });
        if !is_right {
            wrong = Some(String::from_utf8_lossy(value).into_owned());
        }
    })?;
    ensure!(
        wrong.is_none(),
        "the topic has what was not sent, or twice: {wrong:?}"
    );
    let count = found.len() as u64;
    ensure!(count == events, "the topic has {count} of {events} events");
    Ok(())
}

impl Figures {
    #[expect(clippy::cast_precision_loss, reason = "some millions of events")]
    fn per_s(&self) -> f64 {
        self.events as f64 / self.took.as_secs_f64()
    }

    #[expect(clippy::cast_precision_loss, reason = "some millions of events")]
    fn us_per_event(&self, cpu_s: f64) -> f64 {
        cpu_s * 1e6 / self.events as f64
    }

    /// Each figure that has a target.
    #[must_use]
    pub fn targets(&self) -> Vec<Target> {
        let per_s = self.per_s();
        vec![Target::new(
            "events a second",
            grouped(per_s),
            format!("≥ {}", grouped(EVENTS_PER_S_MIN)),
            per_s >= EVENTS_PER_S_MIN,
        )]
    }

    /// All figures.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "events": self.events,
            "event_bytes": EVENT_BYTES,
            "events_per_s": self.per_s().round(),
            "request": self.latencies.to_json(),
            "collect_us_per_event": rounded(self.us_per_event(self.collect.cpu_s)),
            "broker_us_per_event": rounded(self.us_per_event(self.broker_cpu_s)),
            "collect_resident_peak_mib": self.collect.resident_peak_bytes >> 20,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{EVENT_BYTES, event};

    #[test]
    fn events_have_their_size_and_their_number() {
        for number in [0, 17, 5_999_999] {
            let event = event(number);
            assert_eq!(event.len(), EVENT_BYTES);
            assert_eq!(event[33..45].parse(), Ok(number));
            serde_json::from_str::<serde_json::Value>(&event).unwrap();
        }
    }
}
