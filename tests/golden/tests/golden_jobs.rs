//! Small SQL jobs over files, each run in several ways against one expected output.
//!
//! What a job is, is in the crate's `lib.rs`; what is `later/` comes when all of `input/` is committed, in every way.
//!
//! What each way can catch: *straight* finds wrong results; *killed* what recovery loses, repeats or tears, at any instant; *restored* what a
//! checkpoint leaves out or another number of workers moves wrongly; *bytes* what depends on how work is shared. None can catch a result
//! that is wrong in all ways and in the expected output as well: who changes one reads it. `UPDATE_GOLDEN=1` writes it anew.

#![expect(
    clippy::unwrap_used,
    reason = "what a test cannot go on without fails it"
)]

use std::collections::BTreeMap;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use tidemill_tests_e2e::binaries::tidemill;
use tidemill_tests_e2e::files;
use tidemill_tests_e2e::jobs::{FilesJob, text};
use tidemill_tests_e2e::process::{Live, call};
use tidemill_tests_e2e::seed::draws;
use tidemill_tests_golden::{Golden, cut, folder, shuffle};

/// Short enough for several epochs and checkpoints in the life of a process that is about to be killed.
const HASTY: [&str; 4] = ["--epoch-interval", "5 ms", "--checkpoint-interval", "20 ms"];

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
    let mut draws = draws(env!("CARGO_PKG_NAME"), "golden_jobs");
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
    let mut draws = draws(env!("CARGO_PKG_NAME"), "golden_jobs");
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

/// What `--epoch-bytes` counts for a record beside its bytes.
const RECORD_BYTES: usize = 40;

/// P-REPLAY: a stage is one epoch, which is closed when all of it is read; then nothing is left that could differ but the workers.
fn bytes(name: &str) {
    let [one, three] = [1, 3].map(|workers| {
        let golden = Golden::new(name);
        for stage in golden.stages() {
            golden.feed(&stage);
            let bytes = stage.iter().map(|line| line.bytes.len() - 1 + RECORD_BYTES);
            let bytes: usize = bytes.sum();
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
    nested_values
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
    assert_eq!(files::names(&folder()), JOBS);
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
