//! Random jobs on the real engine, over files, without crashes: after every committed epoch the sinks hold what the
//! oracle says.
//!
//! The input is fed in parts; between two parts the job is stopped in order and goes on with another number of workers.
//! Which records an epoch read, and with which clock, its journal record says. *Catches* wrong results of any stage
//! behind any other, and what an orderly restart loses. *Cannot catch* what a crash does.

#![expect(
    clippy::unwrap_used,
    reason = "what a test cannot go on without fails it"
)]

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use tempfile::TempDir;
use tidemill_connectors_api::Connector as Port;
use tidemill_connectors_files::{Files, read_committed};
use tidemill_engine::{Plugins, Settings, Status, ask_in_thread};
use tidemill_tests_kit::oracle::{
    Beside, EpochInput, Oracle, PartitionEpoch, Record, Written, difference,
};
use tidemill_tests_kit::planned;
use tidemill_tests_kit::random_job::{Case, Connector, InputRecord, Job, Shapes, draw_of};
use tidemill_tests_kit::sim::registry::SimRegistry;
use tidemill_types::format::NoContracts;

/// How many jobs are run.
const SEEDS: u64 = 30;
/// In how many parts the input comes.
const PARTS: usize = 3;

#[test]
fn every_epoch_of_random_jobs_is_what_the_oracle_says() {
    let wrong: Vec<String> = seeds()
        .filter_map(|seed| {
            let wrong = run(seed).err()?;
            Some(format!(
                "again: TIDEMILL_SEED={seed} cargo test --release -p tidemill-tests-kit --test on_files\n{wrong}"
            ))
        })
        .collect();
    assert!(
        wrong.is_empty(),
        "{} wrong\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test has no caller to hand it a seed"
)]
fn seeds() -> std::ops::Range<u64> {
    match std::env::var("TIDEMILL_SEED") {
        Ok(text) => {
            let (first, last) = text.split_once("..").unwrap_or((&text, ""));
            let first = first
                .parse()
                .expect("TIDEMILL_SEED is a number, or a range of them");
            first..last.parse().unwrap_or(first + 1)
        }
        Err(_) => 0..SEEDS,
    }
}

/// Runs the job of a seed; what is wrong with it.
fn run(seed: u64) -> Result<(), String> {
    // A line of a file is a value in JSON, without key and headers.
    let shapes = Shapes {
        keyed_records: false,
        encodings: false,
        ..Shapes::default()
    };
    let case = draw_of(seed, shapes);
    let folder = TempDir::new().unwrap();
    let (data, state) = (folder.path().join("data"), folder.path().join("state"));
    let path = format!("path = '{}'", data.display());
    let sql = case.job.sql(&Connector {
        name: "files",
        source_options: &path,
        sink_options: &path,
        delivered: None,
        histories: false,
    });
    let mut draws = ChaCha8Rng::seed_from_u64(seed);
    let mut workers = draws.random_range(1..=2);
    for part in parts(&case, &mut draws) {
        feed(&case.job, &part, &data);
        catch_up(&sql, workers, &state).map_err(|error| format!("{error}\n{sql}"))?;
        workers = 3 - workers;
    }
    check(&case, &data).map_err(|error| format!("{error}\n{sql}"))
}

/// Per source and partition the records of a part.
type Part = Vec<Vec<Vec<Vec<u8>>>>;

/// The input, cut at drawn places.
fn parts(case: &Case, draws: &mut ChaCha8Rng) -> Vec<Part> {
    let mut parts: Vec<Part> = vec![Vec::new(); PARTS];
    for source in &case.input {
        parts.iter_mut().for_each(|part| part.push(Vec::new()));
        for records in &source.partitions {
            let mut cuts: Vec<usize> = (1..PARTS)
                .map(|_| draws.random_range(0..=records.len()))
                .collect();
            cuts.push(records.len());
            cuts.sort_unstable();
            let mut from = 0;
            for (part, &to) in parts.iter_mut().zip(&cuts) {
                let lines = records[from..to].iter().map(InputRecord::line);
                part.last_mut().unwrap().push(lines.collect());
                from = to;
            }
        }
    }
    parts
}

fn feed(job: &Job, part: &Part, data: &Path) {
    for (source, partitions) in job.sources.iter().zip(part) {
        let folder = data.join(&source.topic);
        fs::create_dir_all(&folder).unwrap();
        for (partition, records) in partitions.iter().enumerate() {
            let file = folder.join(format!("{partition}.jsonl"));
            let mut file = OpenOptions::new()
                .create(true)
                .append(true)
                .open(file)
                .unwrap();
            for record in records {
                file.write_all(record).unwrap();
                file.write_all(b"\n").unwrap();
            }
        }
    }
}

/// Runs the job until all is read and committed.
fn catch_up(sql: &str, workers: usize, state: &Path) -> Result<(), String> {
    let plan = planned("random", sql, &[Files.options()], &NoContracts)?;
    let status = Arc::new(Status::of(&plan));
    let settings = Settings {
        workers,
        state_dir: state.to_owned(),
        epoch_interval_ms: 2,
        until_caught_up: true,
        ..Settings::default()
    };
    let connectors: [Arc<dyn Port>; 1] = [Arc::new(Files)];
    let stop = Arc::new(AtomicBool::new(false));
    let formats = tidemill_formats::all();
    let plugins = Plugins {
        connectors: &connectors,
        formats: &formats,
        registries: &SimRegistry::new(0),
        asker: ask_in_thread,
        journal: &tidemill_connectors_files::journal,
    };
    tidemill_engine::run(plan, plugins, &settings, &status, &stop)
        .map_err(|error| error.to_string())
}

/// A record of a sink: topic, key, value unless it is a tombstone, and what stands beside them.
type Output<'a> = (&'a str, Vec<u8>, Option<Vec<u8>>, Beside);

/// Compares every committed epoch with the oracle's.
fn check(case: &Case, data: &Path) -> Result<(), String> {
    let job = &case.job;
    let mut outputs: BTreeMap<u64, Vec<Output<'_>>> = BTreeMap::new();
    for sink in &job.sinks {
        read_committed(data, &sink.topic, |record| {
            let beside = Beside {
                headers: record.headers,
                timestamp_ms: record.timestamp_ms,
            };
            let (key, value) = (record.key.to_vec(), record.value.map(<[u8]>::to_vec));
            let output = (sink.topic.as_str(), key, value, beside);
            outputs.entry(record.epoch.0).or_default().push(output);
        })
        .map_err(|error| error.to_string())?;
    }
    let mut oracle = Oracle::new(job);
    let mut written = Written::new(job, &BTreeMap::new());
    let mut from = BTreeMap::new();
    for record in journal(data) {
        let epoch = record["epoch"].as_u64().unwrap();
        oracle.epoch(&input(job, data, &record, &mut from));
        if let Some(row) = oracle.key_twice() {
            return Err(format!(
                "epoch {epoch}: a key that tells nothing apart: {row}"
            ));
        }
        for (topic, key, value, beside) in outputs.remove(&epoch).unwrap_or_default() {
            written
                .record(topic, (&key, value.as_deref()), beside)
                .map_err(|error| format!("epoch {epoch}: {error}"))?;
        }
        if let Some(wrong) = difference(&oracle.expected(), written.content()) {
            return Err(format!("epoch {epoch}: {wrong}"));
        }
    }
    match outputs.into_keys().next() {
        Some(epoch) => Err(format!(
            "epoch {epoch} was written and is not in the journal"
        )),
        None => Ok(()),
    }
}

/// The journal records of all commits.
fn journal(data: &Path) -> Vec<Value> {
    let log = fs::read_to_string(data.join("_committed")).unwrap();
    let mut records = Vec::new();
    for line in log.lines() {
        let (_, commit) = line.split_once(' ').unwrap();
        let commit: Value = serde_json::from_str(commit).unwrap();
        let texts = commit["journal"].as_array().unwrap().iter();
        records.extend(texts.map(|text| serde_json::from_str(text.as_str().unwrap()).unwrap()));
    }
    // A claim stands for no epoch.
    records.retain(|record: &Value| record["epoch"].is_u64());
    records
}

/// What an epoch read, by its journal record.
fn input(
    job: &Job,
    data: &Path,
    record: &Value,
    from: &mut BTreeMap<(usize, u32), usize>,
) -> EpochInput {
    let sources = job.sources.iter().enumerate().map(|(index, source)| {
        let partitions = (0..source.partitions).map(|partition| {
            let place = partition.to_string();
            let position = &record["positions"][&source.name][&place];
            let from = from.entry((index, partition)).or_default();
            let to = position
                .as_u64()
                .map_or(*from, |to| usize::try_from(to).unwrap());
            let file = data.join(&source.topic).join(format!("{partition}.jsonl"));
            let bytes = fs::read(file).unwrap();
            let mut offset = *from;
            let mut records = Vec::new();
            for line in bytes[*from..to].split_inclusive(|&byte| byte == b'\n') {
                records.push(Record {
                    offset: i64::try_from(offset).unwrap(),
                    timestamp_ms: record["clock_ms"].as_i64().unwrap(),
                    written_ms: None,
                    key: None,
                    value: Some(line.strip_suffix(b"\n").unwrap_or(line).to_vec()),
                    headers: Vec::new(),
                });
                offset += line.len();
            }
            *from = to;
            let idle = record["time"]["idle"][&source.name].as_array();
            let idle = idle.is_some_and(|idle| idle.contains(&Value::from(partition)));
            PartitionEpoch {
                records,
                idle,
                place: None,
            }
        });
        partitions.collect()
    });
    EpochInput {
        clock_ms: record["clock_ms"].as_i64().unwrap(),
        sources: sources.collect(),
    }
}
