//! Looking at checkpoints.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use tempfile::TempDir;
use tidemill_checkpoints::{CheckpointStore, DataTimes, Manifest, manifest};
use tidemill_types::Epoch;

use crate::{call, text};

/// Writes a checkpoint of one file.
fn checkpoint(root: &Path, epoch: u64) {
    let store = CheckpointStore::new(root.to_owned());
    let folder = store.begin(Epoch(epoch)).unwrap();
    let worker = CheckpointStore::worker_dir(&folder, 0);
    fs::create_dir_all(&worker).unwrap();
    fs::write(worker.join("state"), "0123456789").unwrap();
    let manifest = Manifest {
        version: manifest::VERSION,
        job: "finance".to_owned(),
        epoch: Epoch(epoch),
        owner: "a run".to_owned(),
        plan_hash: "abc".to_owned(),
        plan_text: String::new(),
        workers: 1,
        clock_ms: 1_767_225_600_000,
        time: DataTimes::default(),
        created_ms: 1_767_225_600_000,
        positions: BTreeMap::from([(
            "studio.payment".to_owned(),
            BTreeMap::from([(0, 1_234), (1, 5)]),
        )]),
        incarnations: BTreeMap::new(),
        files: Vec::new(),
        state_bytes: 0,
    };
    store.finish(manifest).unwrap();
}

#[test]
fn an_empty_folder_has_no_checkpoints() {
    let root = TempDir::new().unwrap();
    assert!(
        call(&["checkpoints", "list", "--state-dir", text(root.path())])
            .good()
            .starts_with("no checkpoints in ")
    );
    assert_eq!(
        call(&[
            "checkpoints",
            "list",
            "--json",
            "--state-dir",
            text(root.path())
        ])
        .good(),
        "[]\n"
    );
}

#[test]
fn a_list_has_damaged_ones_with_the_reason() {
    let root = TempDir::new().unwrap();
    checkpoint(root.path(), 40);
    checkpoint(root.path(), 1_100);
    let folder = CheckpointStore::new(root.path().to_owned()).path_of(Epoch(40));
    fs::write(folder.join("worker-0/state"), "0123").unwrap();
    let list = call(&["checkpoints", "list", "--state-dir", text(root.path())]).good();
    let lines: Vec<_> = list.lines().collect();
    assert!(
        lines[1].ends_with("40  damaged: 'worker-0/state' has 4 bytes instead of 10"),
        "{list}"
    );
    assert!(
        lines[2].contains("1,100  2026-01-01 00:00:00 UTC") && lines[2].ends_with("valid"),
        "{list}"
    );
}

#[test]
fn the_newest_is_shown_with_its_positions_and_files() {
    let root = TempDir::new().unwrap();
    checkpoint(root.path(), 40);
    checkpoint(root.path(), 1_100);
    let shown = call(&["checkpoints", "show", "--state-dir", text(root.path())]).good();
    for part in [
        "epoch 1,100 of job 'finance': valid",
        "0: 1,234  1: 5",
        "worker-0/state",
        "10 B",
    ] {
        assert!(shown.contains(part), "'{part}' is not in:\n{shown}");
    }
    let json = call(&[
        "checkpoints",
        "show",
        "40",
        "--json",
        "--state-dir",
        text(root.path()),
    ])
    .json();
    assert_eq!(
        (
            &json["epoch"],
            &json["valid"],
            &json["manifest"]["state_bytes"]
        ),
        (&40.into(), &true.into(), &10.into())
    );
}

#[test]
fn a_changed_byte_ends_with_four() {
    let root = TempDir::new().unwrap();
    checkpoint(root.path(), 40);
    let folder = CheckpointStore::new(root.path().to_owned()).path_of(Epoch(40));
    fs::write(folder.join("worker-0/state"), "0123456780").unwrap();
    let outcome = call(&[
        "checkpoints",
        "show",
        "40",
        "--state-dir",
        text(root.path()),
    ]);
    assert_eq!(outcome.code, Some(4));
    assert!(
        outcome.stderr.contains(
            "the checkpoint of epoch 40 is damaged: 'worker-0/state' does not match its checksum"
        ),
        "{}",
        outcome.stderr
    );
}

#[test]
fn a_folder_that_is_not_there_is_not_taken_for_an_empty_one() {
    let outcome = call(&["checkpoints", "list", "--state-dir", "/nowhere/at/all"]);
    assert_eq!(outcome.code, Some(2));
    assert!(
        outcome.stderr.contains(
            "'/nowhere/at/all' is no folder; name the --state-dir that the job runs with"
        ),
        "{}",
        outcome.stderr
    );
}
