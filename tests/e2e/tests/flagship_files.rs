//! The shipped job over files, through crashes and damage: whatever happens to its processes and its state, every row is right in the end.
//!
//! What is right is computed by `tidemill-studio verify`, from the events alone and another way than the job's. Cannot catch what depends on
//! Kafka (transactions, fencing): see `flagship_kafka`.

#![expect(
    clippy::unwrap_used,
    reason = "what a test cannot go on without fails it"
)]

use std::fs;
use std::path::{Path, PathBuf};

use rand::RngExt;
use serde_json::Value;
use tempfile::TempDir;
use tidemill_tests_e2e::binaries::studio;
use tidemill_tests_e2e::files;
use tidemill_tests_e2e::jobs::{FilesJob, flagship, text};
use tidemill_tests_e2e::process::{Live, Outcome, call};
use tidemill_tests_e2e::seed::draws;

/// Many small epochs, and some checkpoints.
const HASTY: [&str; 8] = [
    "--profile",
    "local",
    "--epoch-interval",
    "10 ms",
    "--epoch-bytes",
    "64 KiB",
    "--checkpoint-interval",
    "300 ms",
];
const LOCAL: [&str; 2] = ["--profile", "local"];

/// The shipped job over generated events.
struct Studio {
    job: FilesJob,
    events: u64,
    _scratch: TempDir,
}

impl Studio {
    fn with_events(events: u64, seed: u64) -> Self {
        let scratch = TempDir::new().unwrap();
        let job = FilesJob::below(scratch.path(), &flagship(), "studio_finance");
        let (events_text, seed) = (events.to_string(), seed.to_string());
        let arguments = ["generate", "--into", "files", "--path"];
        let settings = [text(&job.data), "--events", &events_text, "--seed", &seed];
        call(studio(&[&arguments[..], &settings].concat())).good();
        Self {
            job,
            events,
            _scratch: scratch,
        }
    }

    fn start(&self, workers: usize, more: &[&str]) -> Live {
        Live::start(self.job.run(workers, more))
    }

    fn catch_up(&self, workers: usize, more: &[&str]) -> Outcome {
        self.start(workers, &[&["--until-caught-up"], more].concat())
            .ends()
    }

    /// Runs until `commits` more epochs are committed than before (or all that there is), then kills it.
    fn kill_after(&self, commits: u64, workers: usize, more: &[&str]) {
        let data = &self.job.data;
        let topics = files::names(data)
            .into_iter()
            .filter(|name| name.starts_with("studio."));
        let inputs = topics.flat_map(|topic| files::partitions(&data.join(topic)));
        let bytes: u64 = inputs.map(|(_, bytes)| bytes.len() as u64).sum();
        let epoch = files::committed_epoch(data) + commits;
        let mut live = self.start(workers, more);
        live.until("a commit", || {
            files::committed_epoch(data) >= epoch || files::committed_bytes(data) == bytes
        });
        live.kill();
    }

    /// Runs until there are `count` checkpoints, then kills it. Returns them, oldest first.
    fn kill_after_checkpoints(&self, count: usize) -> Vec<PathBuf> {
        let checkpoints = || files::checkpoints(&self.job.state);
        let mut live = self.start(
            2,
            &[&HASTY[..6], &["--checkpoint-interval", "30 ms"]].concat(),
        );
        live.until("checkpoints", || checkpoints().len() >= count);
        live.kill();
        checkpoints()
    }

    #[track_caller]
    fn assert_verified(&self) {
        let data = text(&self.job.data);
        let verify = ["verify", "--from", "files", "--json", "--path", data];
        let found = call(studio(&verify)).last();
        assert_eq!(found["verified"], true, "{found:#}");
        let inputs = found["inputs"].as_object().unwrap().values();
        let records: u64 = inputs
            .map(|counts| counts["records"].as_u64().unwrap())
            .sum();
        assert_eq!(records, self.events);
    }
}

#[test]
fn three_kills_and_another_number_of_workers_leave_every_row_right() {
    let mut draws = draws(env!("CARGO_PKG_NAME"), "flagship_files");
    let studio = Studio::with_events(60_000, draws.random());
    for workers in [2, 2, 3] {
        studio.kill_after(draws.random_range(1..=6), workers, &HASTY);
    }
    let last = studio.catch_up(1, &HASTY).last();
    assert_eq!(last["lag"], 0, "{last}");
    assert_eq!(last["checkpoint_epoch"], last["epoch"], "{last}");
    studio.assert_verified();
}

#[test]
fn a_state_directory_that_is_lost_is_made_again_from_the_journal() {
    let mut draws = draws(env!("CARGO_PKG_NAME"), "flagship_files");
    let studio = Studio::with_events(20_000, draws.random());
    studio.kill_after(draws.random_range(1..=5), 2, &HASTY);
    fs::remove_dir_all(&studio.job.state).unwrap();
    let outcome = studio.catch_up(2, &HASTY);
    assert_eq!(restored_epoch(&outcome), 0);
    outcome.good();
    studio.assert_verified();
}

/// Damages the newest checkpoint, and checks that the one before is restored, that this is said, and that the outputs are right.
fn passes_over(damage: impl Fn(&Path)) {
    let studio = Studio::with_events(10_000, 7);
    let checkpoints = studio.kill_after_checkpoints(2);
    let [.., before, newest] = &checkpoints[..] else {
        panic!("{checkpoints:?}");
    };
    damage(newest);
    let outcome = studio.catch_up(2, &LOCAL);
    let epoch = epoch_of(newest);
    let said = format!("a checkpoint is passed over; using an older one epoch={epoch} reason=");
    assert!(outcome.stderr.contains(&said), "{}", outcome.stderr);
    assert_eq!(restored_epoch(&outcome), epoch_of(before));
    outcome.good();
    studio.assert_verified();
}

fn epoch_of(checkpoint: &Path) -> u64 {
    let name = checkpoint.file_name().unwrap().to_str().unwrap();
    name.parse().unwrap()
}

/// The checkpoint that a run began with.
fn restored_epoch(outcome: &Outcome) -> u64 {
    let lines = outcome.stdout.lines();
    let mut statuses = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
    let live = statuses.find(|status| status["state"] != "recovering");
    live.unwrap()["checkpoint_epoch"].as_u64().unwrap()
}

/// Puts other bytes in a file's place; links of older checkpoints to the old bytes stay.
fn replace(path: &Path, bytes: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_checkpoint_with_a_flipped_bit_is_passed_over() {
    passes_over(|checkpoint| {
        let worker = checkpoint.join("worker-0");
        let table = files::names(&worker)
            .into_iter()
            .find(|name| name.ends_with(".sst"));
        let path = worker.join(table.unwrap());
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        replace(&path, &bytes);
    });
}

#[test]
fn a_checkpoint_with_a_torn_manifest_is_passed_over() {
    passes_over(|checkpoint| {
        let path = checkpoint.join("manifest.json");
        let bytes = fs::read(&path).unwrap();
        replace(&path, &bytes[..bytes.len() / 2]);
    });
}

#[test]
fn a_checkpoint_without_one_of_its_files_is_passed_over() {
    passes_over(|checkpoint| fs::remove_file(checkpoint.join("worker-1/CURRENT")).unwrap());
}

#[test]
fn without_any_good_checkpoint_the_whole_journal_is_replayed() {
    let studio = Studio::with_events(10_000, 8);
    let checkpoints = studio.kill_after_checkpoints(2);
    for checkpoint in &checkpoints {
        replace(&checkpoint.join("manifest.json"), b"");
    }
    let outcome = studio.catch_up(2, &LOCAL);
    for checkpoint in &checkpoints {
        let said = format!("using an older one epoch={} ", epoch_of(checkpoint));
        assert!(outcome.stderr.contains(&said), "{}", outcome.stderr);
    }
    assert_eq!(restored_epoch(&outcome), 0);
    outcome.good();
    studio.assert_verified();
}

/// A job that is quickly planned and run; `column` changes its plan.
fn small(folder: &Path, name: &str, column: &str) -> FilesJob {
    let sql = folder.join(format!("{name}.sql"));
    let with = "connector = 'files', path = '${TIDEMILL_DATA}'";
    let statements = format!(
        "CREATE SOURCE events (id BIGINT NOT NULL METADATA FROM 'id', {column} BIGINT) WITH (envelope = 'crud', {with}, topic = 'numbers');\n\
         CREATE TABLE number (PRIMARY KEY (id)) FROM events;\n\
         CREATE SINK numbers WITH ({with}, topic = '{name}.numbers', key = 'id') AS SELECT * FROM number;\n"
    );
    fs::write(&sql, statements).unwrap();
    FilesJob::below(folder, &sql, name)
}

fn feed(job: &FilesJob, id: u64) {
    let event = format!(
        "{{\"uuid\":\"u{id}\",\"type\":\"create\",\"ts\":0,\"entity\":\"number\",\"id\":{id},\"data\":{{\"n\":{id}}}}}\n"
    );
    files::append(&job.data, "numbers", 0, event.as_bytes());
}

fn catch_up(job: &FilesJob) -> Outcome {
    Live::start(job.run(1, &["--until-caught-up"])).ends()
}

#[test]
fn the_state_of_another_job_is_refused() {
    let scratch = TempDir::new().unwrap();
    let job = small(scratch.path(), "first", "n");
    feed(&job, 1);
    catch_up(&job).good();
    let said = catch_up(&small(scratch.path(), "second", "n")).failed_with(2);
    let wanted = format!(
        "state directory '{}' belongs to job 'first', not to 'second'; give each job a state directory of its own",
        job.state.display()
    );
    assert!(said.contains(&wanted), "{said}");
}

#[test]
fn the_state_of_another_plan_is_refused() {
    let scratch = TempDir::new().unwrap();
    let job = small(scratch.path(), "numbers", "n");
    feed(&job, 1);
    catch_up(&job).good();
    let changed = small(scratch.path(), "numbers", "m");
    let said = catch_up(&changed).failed_with(2);
    assert!(
        said.contains("was written by plan '") && said.contains("the SQL or its settings changed"),
        "{said}"
    );

    // Nor does it help to hide the state: the journal knows the plan, too.
    fs::remove_dir_all(&job.state).unwrap();
    let said = catch_up(&changed).failed_with(2);
    assert!(
        said.contains("epoch 1 was committed by plan '") && said.contains("restore the old SQL"),
        "{said}"
    );
    // Who was refused has left nothing that is in the way of the right one.
    catch_up(&small(scratch.path(), "numbers", "n")).good();
}

#[test]
fn a_file_in_the_place_of_the_state_directory_is_refused() {
    let scratch = TempDir::new().unwrap();
    let job = small(scratch.path(), "numbers", "n");
    feed(&job, 1);
    fs::write(&job.state, "").unwrap();
    let said = catch_up(&job).failed_with(2);
    assert!(
        said.contains(text(&job.state)) && said.contains("set another state directory"),
        "{said}"
    );
    assert!(!job.data.join("_committed").exists());
}

#[test]
fn a_second_process_on_the_same_state_is_refused_and_the_first_goes_on() {
    let scratch = TempDir::new().unwrap();
    let job = small(scratch.path(), "numbers", "n");
    feed(&job, 1);
    let mut first = Live::start(job.run(1, &[]));
    first.until("a commit", || files::committed_epoch(&job.data) == 1);
    let said = catch_up(&job).failed_with(2);
    let wanted = format!(
        "state directory '{}' is in use by process {}: the job is already running",
        job.state.display(),
        first.id()
    );
    assert!(said.contains(&wanted), "{said}");

    feed(&job, 2);
    first.until("another commit", || files::committed_epoch(&job.data) == 2);
    first.stop().good();
    assert_eq!(files::records(&job.data, "numbers.numbers").len(), 2);
}
