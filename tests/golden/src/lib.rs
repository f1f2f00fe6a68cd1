//! A golden job: a folder of `jobs` with its SQL, its input and what must come out, run by the real binary in a folder of its own.
//!
//! `job.sql`, `input/<topic>/<partition>.jsonl`, and `expected/<topic>.jsonl` per sink: the rows that stand at the end (of an upsert), or all
//! rows, by key and in their order per key (of an append). Where the moment matters there is `later/` too: it is appended when all of
//! `input/` is committed. Does not say in which ways a job is run: that is `tests/golden_jobs.rs`, and, simulated, `tests/recovery`.

#![expect(
    clippy::unwrap_used,
    reason = "what a test cannot go on without fails it"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;
use tidemill_tests_e2e::binaries::tidemill;
use tidemill_tests_e2e::files::{self, Record};
use tidemill_tests_e2e::jobs::{FilesJob, text};
use tidemill_tests_e2e::process::Live;

/// A job of the golden folder, in a folder of its own to run in.
pub struct Golden {
    folder: PathBuf,
    /// The job.
    pub job: FilesJob,
    _scratch: TempDir,
}

/// A line of a partition, with its line feed.
#[derive(Clone)]
pub struct Line {
    /// Its topic.
    pub topic: String,
    /// Its partition.
    pub partition: u32,
    /// All of it.
    pub bytes: Vec<u8>,
}

impl Golden {
    /// The job of this name, with nothing read yet.
    pub fn new(name: &str) -> Self {
        let folder = folder().join(name);
        let scratch = TempDir::new().unwrap();
        let job = FilesJob::below(scratch.path(), &folder.join("job.sql"), name);
        Self {
            folder,
            job,
            _scratch: scratch,
        }
    }

    /// The lines of each stage, partition by partition. Makes the partitions, so that those without a line exist.
    pub fn stages(&self) -> Vec<Vec<Line>> {
        let stages = ["input", "later"].map(|stage| self.folder.join(stage));
        let present = stages.into_iter().filter(|stage| stage.exists());
        present.map(|stage| self.lines(&stage)).collect()
    }

    fn lines(&self, stage: &Path) -> Vec<Line> {
        let mut lines = Vec::new();
        for topic in files::names(stage) {
            for (partition, bytes) in files::partitions(&stage.join(&topic)) {
                files::append(&self.job.data, &topic, partition, b"");
                lines.extend(
                    bytes
                        .split_inclusive(|&byte| byte == b'\n')
                        .map(|line| Line {
                            topic: topic.clone(),
                            partition,
                            bytes: line.to_vec(),
                        }),
                );
            }
        }
        lines
    }

    /// Appends lines to their partitions.
    pub fn feed(&self, lines: &[Line]) {
        for line in lines {
            files::append(&self.job.data, &line.topic, line.partition, &line.bytes);
        }
    }

    /// Runs the job to the end of its input.
    pub fn catch_up(&self, workers: usize, more: &[&str]) {
        let command = self
            .job
            .run(workers, &[&["--until-caught-up"], more].concat());
        Live::start(command).ends().good();
    }

    /// Per topic, what stands there at the end.
    pub fn outputs(&self) -> BTreeMap<String, Vec<String>> {
        let mut plan = tidemill(&["plan", text(&self.job.sql), "--json"]);
        plan.env("TIDEMILL_DATA", &self.job.data);
        let plan = Live::start(plan).ends().last();
        let sinks = plan["sinks"].as_array().unwrap().iter();
        sinks
            .map(|sink| {
                let topic = sink["topic"].as_str().unwrap();
                let records = files::records(&self.job.data, topic);
                let rows = if sink["envelope"] == "upsert" {
                    standing(records)
                } else {
                    appended(records)
                };
                (topic.to_owned(), rows)
            })
            .collect()
    }

    /// Per topic, what must stand there at the end.
    pub fn expected(&self) -> BTreeMap<String, Vec<String>> {
        let folder = self.folder.join("expected");
        let topic = |name: String| name.strip_suffix(".jsonl").map(str::to_owned);
        let topics = files::names(&folder).into_iter().filter_map(topic);
        topics
            .map(|topic| {
                let rows = fs::read_to_string(folder.join(format!("{topic}.jsonl"))).unwrap();
                (topic, rows.lines().map(str::to_owned).collect())
            })
            .collect()
    }

    /// Makes outputs the expected ones.
    pub fn update(&self, outputs: &BTreeMap<String, Vec<String>>) {
        let folder = self.folder.join("expected");
        // It may not be there yet.
        drop(fs::remove_dir_all(&folder));
        fs::create_dir(&folder).unwrap();
        for (topic, rows) in outputs {
            let rows: String = rows.iter().map(|row| format!("{row}\n")).collect();
            fs::write(folder.join(format!("{topic}.jsonl")), rows).unwrap();
        }
    }

    /// Holds the outputs against the expected ones; `way` says how the job was run.
    pub fn assert_expected(&self, way: &str) {
        let (outputs, expected) = (self.outputs(), self.expected());
        for (topic, rows) in &outputs {
            let wanted = expected.get(topic).map(|rows| rows.join("\n"));
            let found = rows.join("\n");
            assert!(
                wanted.as_ref() == Some(&found),
                "topic '{topic}' of '{}', {way}\nexpected:\n{}\nfound:\n{found}",
                self.folder.display(),
                wanted.as_deref().unwrap_or("no such file")
            );
        }
        assert!(
            outputs.keys().eq(expected.keys()),
            "topics {:?} are written, {:?} expected",
            outputs.keys(),
            expected.keys()
        );
    }
}

/// The folder of the jobs.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs")
}

/// The rows of an upsert that stand: the last value of each key, unless a tombstone took it away. Sorted.
fn standing(records: Vec<Record>) -> Vec<String> {
    let rows: BTreeMap<String, Option<String>> = records.into_iter().collect();
    let mut rows: Vec<String> = rows.into_values().flatten().collect();
    rows.sort_unstable();
    rows
}

/// The rows of an append: by key, and in their order where the key is the same; without keys by value.
fn appended(mut records: Vec<Record>) -> Vec<String> {
    if records.iter().all(|(key, _)| key.is_empty()) {
        records.sort_unstable();
    } else {
        records.sort_by(|a, b| a.0.cmp(&b.0));
    }
    let row = |(_, value): Record| value.expect("a row that is appended has a value");
    records.into_iter().map(row).collect()
}

/// Lines of all partitions in a drawn order that keeps that of each partition.
pub fn shuffle(lines: &[Line], draws: &mut ChaCha8Rng) -> Vec<Line> {
    let mut partitions: BTreeMap<(&str, u32), Vec<&Line>> = BTreeMap::new();
    for line in lines.iter().rev() {
        let partition = partitions.entry((&line.topic, line.partition)).or_default();
        partition.push(line);
    }
    let mut queues: Vec<Vec<&Line>> = partitions.into_values().collect();
    let mut shuffled = Vec::new();
    while !queues.is_empty() {
        let drawn = draws.random_range(0..queues.len());
        match queues[drawn].pop() {
            Some(line) => shuffled.push(line.clone()),
            None => drop(queues.swap_remove(drawn)),
        }
    }
    shuffled
}

/// Cuts lines into `parts` parts of at least one line, as far as there are so many. A part may end with the first half of the line that
/// the next one begins with.
pub fn cut(lines: &[Line], parts: usize, draws: &mut ChaCha8Rng) -> Vec<Vec<Line>> {
    let mut rest = lines.to_vec();
    let mut cut = Vec::new();
    for more in (1..parts).rev() {
        if rest.len() <= more {
            break;
        }
        let mut after = rest.split_off(draws.random_range(1..=rest.len() - more));
        let half = draws.random_range(0..after[0].bytes.len());
        let torn = after[0].bytes.drain(..half).collect();
        rest.push(Line {
            bytes: torn,
            ..after[0].clone()
        });
        cut.push(std::mem::replace(&mut rest, after));
    }
    cut.push(rest);
    cut
}
