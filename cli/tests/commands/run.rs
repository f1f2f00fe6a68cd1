//! A job over files, from its events to the verified outputs.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::{Outcome, call, flagship, studio, text, tidemill};

/// The flagship over a folder of events.
struct Studio {
    folder: TempDir,
}

impl Studio {
    fn generate(events: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let data = folder.path().join("data");
        let place = ["generate", "--into", "files", "--path", text(&data)];
        studio(&[&place[..], &["--events", events, "--seed", "3"]].concat()).good();
        Self { folder }
    }

    fn run(&self, more: &[&str]) -> Command {
        let (job, state) = (flagship(), self.folder.path().join("state"));
        let mut command = tidemill(
            &[
                &[
                    "run",
                    text(&job),
                    "--profile",
                    "local",
                    "--state-dir",
                    text(&state),
                ],
                more,
            ]
            .concat(),
        );
        command.env("TIDEMILL_DATA", self.folder.path().join("data"));
        command
    }

    fn verify(&self) -> Outcome {
        let data = self.folder.path().join("data");
        studio(&["verify", "--from", "files", "--json", "--path", text(&data)])
    }
}

#[test]
fn a_job_that_caught_up_is_verified() {
    let studio = Studio::generate("3000");
    let lines = Outcome::of(studio.run(&["--until-caught-up", "--json", "--workers", "2"])).good();
    let status: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let last = status.last().unwrap();
    assert_eq!(
        (&last["records_in"], &last["lag"]),
        (&3_000.into(), &0.into()),
        "{last}"
    );
    assert!(
        last["events_per_s"].is_u64() && last["recovery_ms"].is_i64(),
        "{last}"
    );
    let found = studio.verify().json();
    assert_eq!(
        (&found["verified"], &found["rows_wrong"]),
        (&true.into(), &0.into()),
        "{found:#}"
    );

    let state = studio.folder.path().join("state");
    let checkpoints = call(&["checkpoints", "list", "--json", "--state-dir", text(&state)]).json();
    assert_eq!(
        checkpoints.as_array().unwrap().last().unwrap()["valid"],
        true
    );
}

#[test]
fn outputs_that_miss_rows_end_with_one() {
    let studio = Studio::generate("1000");
    Outcome::of(studio.run(&["--until-caught-up", "--workers", "1"])).good();
    let more = studio.folder.path().join("data/studio.production/0.jsonl");
    let event = r#"{"uuid":"00000000-0000-4000-8000-000000000001","type":"create","ts":1767225600000,"entity":"production","id":999999,"data":{"title":"New"}}"#;
    writeln!(
        std::fs::OpenOptions::new().append(true).open(more).unwrap(),
        "{event}"
    )
    .unwrap();
    let outcome = studio.verify();
    assert_eq!(outcome.code, Some(1), "{outcome:#?}");
    let found: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(
        (
            &found["verified"],
            &found["sinks"]["finance.production"]["missing"]
        ),
        (&false.into(), &1.into()),
        "{found:#}"
    );
}

#[test]
fn a_live_job_serves_its_health_and_ends_well_when_asked() {
    let studio = Studio::generate("1000");
    let mut job = studio.run(&["--json", "--workers", "1", "--metrics-port", "0"]);
    let mut job = job
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut address = String::new();
    BufReader::new(job.stderr.take().unwrap())
        .read_line(&mut address)
        .unwrap();
    let address = address
        .trim()
        .strip_prefix("metrics: http://")
        .and_then(|rest| rest.strip_suffix("/metrics"))
        .unwrap();
    let mut lines = BufReader::new(job.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let caught_up = lines.find(|line| line.contains(r#""state":"caught_up""#));
    assert!(caught_up.is_some());

    assert!(get(address, "/healthz").starts_with("HTTP/1.1 200 OK"));
    assert!(get(address, "/metrics").contains("\ntidemill_records_read_total{"));

    assert!(
        Command::new("sh")
            .args(["-c", &format!("kill -TERM {}", job.id())])
            .status()
            .unwrap()
            .success()
    );
    let last = lines.last().unwrap();
    assert!(job.wait().unwrap().success());
    let last: Value = serde_json::from_str(&last).unwrap();
    assert_eq!(last["checkpoint_epoch"], last["epoch"], "{last}");
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
