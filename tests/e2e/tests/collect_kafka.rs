//! `tidemill collect` before a job: a client that gets no answer, or a bad one, sends its requests again, while the broker and the collector
//! are killed; a job with `DEDUPLICATE BY` makes of it what the client meant. Needs `scripts/setup.sh kafka`.

#![expect(
    clippy::unwrap_used,
    reason = "what a test cannot go on without fails it"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tidemill_tests_broker::ports::{Start, on_free_ports};
use tidemill_tests_e2e::binaries::tidemill;
use tidemill_tests_e2e::broker::Broker;
use tidemill_tests_e2e::files;
use tidemill_tests_e2e::jobs::{run, text};
use tidemill_tests_e2e::process::{Live, call};

const SQL: &str = "
CREATE SOURCE payment_events (id BIGINT NOT NULL, amount DECIMAL(18, 2) NOT NULL, uuid UUID NOT NULL)
WITH (connector = 'kafka', bootstrap.servers = '${TIDEMILL_KAFKA}', topic = 'payments', format = 'json', envelope = 'plain');
CREATE STREAM payments FROM payment_events DEDUPLICATE BY uuid WITHIN INTERVAL '1' DAY;
CREATE SINK paid WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'paid', key = 'id') AS
SELECT id, COUNT(*) AS payments, SUM(amount) AS amount FROM payments GROUP BY id;
";
const CONFIG: &str = "
tokens = ['${secret:collect}']
[kafka]
bootstrap.servers = '${TIDEMILL_KAFKA}'
[endpoint.payments]
topic = 'payments'
key = 'id'
[limits]
kafka-time = '2 s'
[secrets]
collect = { file = 'token' }
";
const REQUESTS: u64 = 60;
const EVENTS: u64 = 20;
/// After so long a request is never answered well. Far beyond what a loaded machine needs.
const PATIENCE: Duration = Duration::from_secs(120);

struct Shop {
    folder: TempDir,
    broker: Broker,
    address: SocketAddr,
}

impl Shop {
    fn new() -> Self {
        let broker = Broker::start("collect");
        broker.create_topic("payments", 3);
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("collect.toml"), CONFIG).unwrap();
        fs::write(folder.path().join("token"), "of-the-shop\n").unwrap();
        fs::write(folder.path().join("paid.sql"), SQL).unwrap();
        // A port that is free now; the collector says so if somebody takes it.
        let free = on_free_ports(1, |ports| Ok::<u16, Start<io::Error>>(ports[0]));
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], free.unwrap())),
            folder,
            broker,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, mut command: Command) -> Command {
        command.env("TIDEMILL_KAFKA", self.broker.bootstrap());
        command.env("TIDEMILL_DATA", self.path("data"));
        command
    }

    fn collect(&self) -> Live {
        let (config, listen) = (self.path("collect.toml"), self.address.to_string());
        let command = tidemill(&["collect", "--config", text(&config), "--listen", &listen]);
        let mut live = Live::start(self.command(command));
        live.until("its first answer", || {
            self.status("GET /healthz", "") == Some(200)
        });
        live
    }

    /// How a request is answered; nothing if it is not.
    fn status(&self, line: &str, body: &str) -> Option<u16> {
        let ask = || -> io::Result<String> {
            let mut socket = TcpStream::connect(self.address)?;
            socket.set_read_timeout(Some(PATIENCE))?;
            let length = body.len();
            let headers = "Authorization: Bearer of-the-shop\r\nContent-Type: application/x-ndjson\r\nConnection: close";
            write!(
                socket,
                "{line} HTTP/1.1\r\n{headers}\r\nContent-Length: {length}\r\n\r\n{body}"
            )?;
            let mut answer = String::new();
            socket.read_to_string(&mut answer)?;
            Ok(answer)
        };
        let answer = ask().ok()?;
        answer.split(' ').nth(1)?.parse().ok()
    }

    fn post(&self, request: u64) -> Option<u16> {
        self.status("POST /events/payments", &body(request))
    }

    /// Sends a request until it is answered well, as a client should.
    #[track_caller]
    fn post_until_good(&self, request: u64) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.post(request) {
                Some(200) => return,
                Some(503) | None => assert!(Instant::now() < deadline, "no good answer"),
                Some(status) => panic!("answered with {status}"),
            }
        }
    }
}

/// Payments of one request, which are the same whenever it is sent.
fn payments(request: u64) -> impl Iterator<Item = (u64, u64, u64)> {
    (request * EVENTS..(request + 1) * EVENTS).map(|number| (number, number % 13, number % 1_000))
}

fn body(request: u64) -> String {
    let lines = payments(request).map(|(number, id, cents)| {
        format!(
            "{{\"id\":{id},\"amount\":\"{}.{:02}\",\"uuid\":\"00000000-0000-4000-8000-{number:012}\"}}\n",
            cents / 100,
            cents % 100
        )
    });
    lines.collect()
}

/// By id how many payments, and cents.
fn expected() -> BTreeMap<u64, (u64, u64)> {
    let mut paid: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    for (_, id, cents) in (0..REQUESTS).flat_map(payments) {
        let (count, sum) = paid.entry(id).or_default();
        *count += 1;
        *sum += cents;
    }
    paid
}

/// The same as the job wrote it.
fn written(data: &Path) -> BTreeMap<u64, (u64, u64)> {
    let mut rows = BTreeMap::new();
    for (_, value) in files::records(data, "paid") {
        let row: Value = serde_json::from_str(&value.expect("no payment goes")).unwrap();
        let amount = row["amount"].as_str().unwrap().replace('.', "");
        let count = row["payments"].as_u64().unwrap();
        rows.insert(
            row["id"].as_u64().unwrap(),
            (count, amount.parse().unwrap()),
        );
    }
    rows
}

#[test]
fn a_client_that_repeats_itself_through_crashes_is_counted_once() {
    let shop = Shop::new();
    let mut live = shop.collect();
    for request in 0..REQUESTS {
        match request {
            10 => {
                live.kill();
                assert_eq!(shop.post(request), None);
                live = shop.collect();
            }
            20 => {
                shop.broker.script("kill");
                assert_eq!(shop.post(request), Some(503));
                shop.broker.script("start");
            }
            _ => {}
        }
        shop.post_until_good(request);
        if request % 3 == 0 {
            // It never saw the answer.
            shop.post_until_good(request);
        }
    }
    let lines = shop.broker.committed("payments");
    assert!(lines.len() as u64 >= REQUESTS * EVENTS * 4 / 3);
    assert_eq!(live.stop().code, Some(0));
    assert!(TcpListener::bind(shop.address).is_ok(), "it still listens");

    let job = run(
        &shop.path("paid.sql"),
        "paid",
        &shop.path("state"),
        2,
        &["--until-caught-up"],
    );
    let status = call(shop.command(job)).last();
    assert_eq!(status["dead_letters"], 0, "{status}");
    assert_eq!(written(&shop.path("data")), expected());
}

#[test]
fn what_is_wrong_with_the_configuration_ends_it_with_two() {
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("collect.toml");
    let said = |text: &str, more: &[&str]| {
        fs::write(&config, text).unwrap();
        let command = [&["collect", "--config", config.to_str().unwrap()], more].concat();
        call(tidemill(&command)).failed_with(2)
    };
    let file = "[kafka]\nbootstrap.servers = '127.0.0.1:1'\n[endpoint.a]\ntopic = 'a'\n";
    let exposed = said(file, &["--listen", "0.0.0.0:0"]);
    assert!(exposed.contains("put a TLS proxy before it"), "{exposed}");
    let misspelt = said(&format!("{file}kee = 'id'\n"), &[]);
    assert!(misspelt.contains("kee"), "{misspelt}");
    let unknown = said(&format!("{file}\n[kafka]\nacks = 0"), &[]);
    assert!(unknown.contains("kafka"), "{unknown}");
    let secret = said(&format!("{file}tokens = ['${{secret:none}}']\n"), &[]);
    assert!(secret.contains("TIDEMILL_SECRET_NONE"), "{secret}");
}
