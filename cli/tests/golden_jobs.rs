//! Small SQL jobs over files, each run in several ways against one expected output.
//!
//! A job is a folder of `tests/golden/jobs`: `job.sql`, `input/<topic>/<partition>.jsonl`, and `expected/<topic>.jsonl` per sink: the rows
//! that stand at the end (of an upsert), or all rows, by key and in their order per key (of an append). Where the moment matters there is
//! `later/` too: it is appended when all of `input/` is committed, in every way.
//!
//! What each way can catch: *straight* finds wrong results; *killed* what recovery loses, repeats or tears, at any instant; *restored* what a
//! checkpoint leaves out or another number of workers moves wrongly; *bytes* what depends on how work is shared. None can catch a result
//! that is wrong in all ways and in the expected output as well: who changes one reads it. `UPDATE_GOLDEN=1` writes it anew.

#![expect(
    clippy::unwrap_used,
    reason = "what a test cannot go on without fails it"
)]

#[allow(dead_code, reason = "each test program uses a part of the kit")]
mod kit {
    pub mod files;
    pub mod jobs;
    pub mod process;
    pub mod seed;
}

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use kit::files::{self, Record};
use kit::jobs::{FilesJob, text};
use kit::process::{Live, call, tidemill};
use kit::seed::draws;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use tempfile::TempDir;

/// Short enough for several epochs and checkpoints in the life of a process that is about to be killed.
const HASTY: [&str; 4] = ["--epoch-interval", "5 ms", "--checkpoint-interval", "20 ms"];

/// A job of the golden folder, in a folder of its own to run in.
struct Golden {
    folder: PathBuf,
    job: FilesJob,
    _scratch: TempDir,
}

/// A line of a partition, with its line feed.
#[derive(Clone)]
struct Line {
    topic: String,
    partition: u32,
    bytes: Vec<u8>,
}

impl Golden {
    fn new(name: &str) -> Self {
        let folder = golden().join(name);
        let scratch = TempDir::new().unwrap();
        let job = FilesJob::below(scratch.path(), &folder.join("job.sql"), name);
        Self {
            folder,
            job,
            _scratch: scratch,
        }
    }

    /// The lines of each stage, partition by partition. Makes the partitions, so that those without a line exist.
    fn stages(&self) -> Vec<Vec<Line>> {
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

    fn feed(&self, lines: &[Line]) {
        for line in lines {
            files::append(&self.job.data, &line.topic, line.partition, &line.bytes);
        }
    }

    fn catch_up(&self, workers: usize, more: &[&str]) {
        let command = self
            .job
            .run(workers, &[&["--until-caught-up"], more].concat());
        Live::start(command).ends().good();
    }

    /// Per topic, what stands there at the end.
    fn outputs(&self) -> BTreeMap<String, Vec<String>> {
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

    fn expected(&self) -> BTreeMap<String, Vec<String>> {
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

    fn update(&self, outputs: &BTreeMap<String, Vec<String>>) {
        let folder = self.folder.join("expected");
        // It may not be there yet.
        drop(fs::remove_dir_all(&folder));
        fs::create_dir(&folder).unwrap();
        for (topic, rows) in outputs {
            let rows: String = rows.iter().map(|row| format!("{row}\n")).collect();
            fs::write(folder.join(format!("{topic}.jsonl")), rows).unwrap();
        }
    }

    fn assert_expected(&self, way: &str) {
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

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/jobs")
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
fn shuffle(lines: &[Line], draws: &mut ChaCha8Rng) -> Vec<Line> {
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
fn cut(lines: &[Line], parts: usize, draws: &mut ChaCha8Rng) -> Vec<Vec<Line>> {
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

/// Runs the job and kills it at a drawn moment. There is at least one line that it has not read.
fn run_and_kill(job: &FilesJob, draws: &mut ChaCha8Rng) {
    let committed = files::committed_epoch(&job.data);
    let (folder, known) = (
        job.state.join("checkpoints"),
        files::checkpoints(&job.state),
    );
    let partial = files::names(&folder);
    let mut live = Live::start(job.run(draws.random_range(1..=3), &HASTY));
    match draws.random_range(0..5) {
        0 => drop(live.wait_for("its first status", |_| true)),
        1 => drop(live.wait_for("the end of recovery", |status| {
            status["state"] != "recovering"
        })),
        2 => live.until("a commit", || files::committed_epoch(&job.data) > committed),
        3 => live.until("the beginning of a checkpoint", || {
            files::names(&folder) != partial
        }),
        _ => live.until("a checkpoint", || files::checkpoints(&job.state) != known),
    }
    live.kill();
}

/// All of a stage at once, one worker, to the end.
fn straight(name: &str) {
    let golden = Golden::new(name);
    for stage in golden.stages() {
        golden.feed(&stage);
        golden.catch_up(1, &[]);
    }
    if updates() {
        golden.update(&golden.outputs());
    }
    golden.assert_expected("straight");
}

#[expect(clippy::disallowed_methods, reason = "a test has no caller to tell it")]
fn updates() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some()
}

/// Each stage in parts, with a process that is killed after each, at a drawn number of workers.
fn killed(name: &str) {
    let mut draws = draws("golden_jobs");
    let golden = Golden::new(name);
    for stage in golden.stages() {
        for part in cut(&shuffle(&stage, &mut draws), 3, &mut draws) {
            golden.feed(&part);
            run_and_kill(&golden.job, &mut draws);
        }
        golden.catch_up(draws.random_range(1..=3), &HASTY);
    }
    golden.assert_expected("killed and restarted");
}

/// The first part with one worker, that is asked to stop after its first commit; the rest with three.
fn restored(name: &str) {
    let mut draws = draws("golden_jobs");
    let golden = Golden::new(name);
    let job = &golden.job;
    for stage in golden.stages() {
        let before = files::committed_epoch(&job.data);
        let mut parts = cut(&shuffle(&stage, &mut draws), 2, &mut draws).into_iter();
        golden.feed(&parts.next().unwrap());
        let mut live = Live::start(job.run(1, &HASTY));
        live.until("a commit", || files::committed_epoch(&job.data) > before);
        let last = live.stop().last();
        assert_eq!(
            (&last["checkpoint_epoch"], &last["state"]),
            (&last["epoch"], &Value::from("stopping")),
            "{last}"
        );
        parts.for_each(|part| golden.feed(&part));
        golden.catch_up(3, &[]);
    }
    golden.assert_expected("restored at three workers");
}

/// P-REPLAY: a stage is one epoch, which is closed when all of it is read; then nothing is left that could differ but the workers.
fn bytes(name: &str) {
    let [one, three] = [1, 3].map(|workers| {
        let golden = Golden::new(name);
        for stage in golden.stages() {
            golden.feed(&stage);
            let bytes: usize = stage.iter().map(|line| line.bytes.len() - 1).sum();
            let size = format!("{bytes} B");
            golden.catch_up(
                workers,
                &["--epoch-interval", "1 hour", "--epoch-bytes", &size],
            );
        }
        let topics = golden.expected().into_keys();
        let bytes = topics.map(|topic| {
            let partitions = files::partitions(&golden.job.data.join(&topic));
            (topic, partitions)
        });
        bytes.collect::<BTreeMap<_, _>>()
    });
    assert!(!one.is_empty());
    for (topic, partitions) in &one {
        for (of_one, of_three) in partitions.iter().zip(&three[topic]) {
            let text = |(partition, bytes): &(u32, Vec<u8>)| {
                format!("partition {partition}\n{}", String::from_utf8_lossy(bytes))
            };
            assert_eq!(text(of_one), text(of_three), "topic '{topic}'");
        }
    }
    assert_eq!(one, three);
}

macro_rules! golden_jobs {
    ($($name:ident)*) => {
        const JOBS: &[&str] = &[$(stringify!($name)),*];
        $(mod $name {
            #[test]
            fn straight_gives_the_expected_rows() {
                super::straight(stringify!($name));
            }

            #[test]
            fn killed_and_restarted_gives_the_expected_rows() {
                super::killed(stringify!($name));
            }

            #[test]
            fn restored_at_three_workers_gives_the_expected_rows() {
                super::restored(stringify!($name));
            }

            #[test]
            fn one_worker_and_three_write_the_same_bytes() {
                super::bytes(stringify!($name));
            }
        })*
    };
}

golden_jobs! {
    aggregates
    dates_beyond_nanoseconds
    deletes_and_tombstones
    distinct_and_unions
    duplicates_and_dead_letters
    exact_decimals
    filter_and_expressions
    global_aggregates
    incomplete_events
    inner_joins
    join_into_window
    july_june_july
    outer_joins
    overflow_is_an_error
    resequenced_audit
    shared_keys
    star_joins
    streams_into_state
    windows_over_a_stream
    windows_over_a_table
}

#[test]
fn every_folder_is_a_job_that_is_tested() {
    assert_eq!(files::names(&golden()), JOBS);
}

#[test]
fn a_job_without_any_record_ends_and_writes_nothing() {
    let golden = Golden::new("global_aggregates");
    drop(golden.stages());
    golden.catch_up(2, &[]);
    assert!(golden.outputs().values().all(Vec::is_empty));
    let state = text(&golden.job.state).to_owned();
    let list = call(tidemill(&[
        "checkpoints",
        "list",
        "--json",
        "--state-dir",
        &state,
    ]));
    assert_eq!(list.good(), "[]\n");
}
