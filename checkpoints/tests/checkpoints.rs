//! Checkpoints on disk: written whole, told apart from damaged ones, thinned out.

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use tidemill_checkpoints::{
    CheckpointStore, DataTimes, Incarnations, Manifest, Positions, Record, StateDir,
};
use tidemill_types::{Epoch, ErrorKind};

fn manifest(epoch: u64) -> Manifest {
    Manifest {
        version: 2,
        job: "finance".to_owned(),
        epoch: Epoch(epoch),
        owner: "run-a".to_owned(),
        plan_hash: "plan-a".to_owned(),
        plan_text: "a plan".to_owned(),
        workers: 2,
        clock_ms: 0,
        time: DataTimes::default(),
        created_ms: 0,
        positions: Positions::new(),
        incarnations: Incarnations::new(),
        files: Vec::new(),
        state_bytes: 0,
    }
}

/// A store with a checkpoint of each epoch: a file that is linked from one to the next, and one that is new each time.
fn store(epochs: &[u64]) -> (TempDir, CheckpointStore) {
    let root = tempfile::tempdir().expect("a temporary folder");
    let store = CheckpointStore::new(root.path().to_owned());
    fs::write(root.path().join("000001.sst"), "immutable").expect("writable");
    for &epoch in epochs {
        let finished = write(root.path(), &store, epoch);
        assert_eq!(finished.files.len(), 4);
    }
    (root, store)
}

fn write(root: &Path, store: &CheckpointStore, epoch: u64) -> Manifest {
    let partial = store.begin(Epoch(epoch)).expect("writable");
    for worker in 0..2 {
        let folder = CheckpointStore::worker_dir(&partial, worker);
        fs::create_dir(&folder).expect("writable");
        fs::hard_link(root.join("000001.sst"), folder.join("000001.sst")).expect("the same device");
        fs::write(
            folder.join("MANIFEST"),
            format!("epoch {epoch} of worker {worker}"),
        )
        .expect("writable");
    }
    store.finish(manifest(epoch)).expect("writable")
}

fn newest(store: &CheckpointStore, max_epoch: u64) -> (Option<u64>, Vec<(u64, String)>) {
    let (found, rejected) = store.newest_valid(Epoch(max_epoch)).expect("readable");
    (
        found.map(|manifest| manifest.epoch.0),
        rejected
            .into_iter()
            .map(|rejected| (rejected.epoch.0, rejected.reason))
            .collect(),
    )
}

#[test]
fn a_finished_checkpoint_is_found_with_its_files() {
    let (_root, store) = store(&[30, 60]);
    let (found, rejected) = store.newest_valid(Epoch(99)).expect("readable");
    let found = found.expect("there is one");
    assert_eq!((found.epoch, found.state_bytes), (Epoch(60), 2 * (9 + 20)));
    assert!(rejected.is_empty());
    let paths: Vec<_> = found.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "worker-0/000001.sst",
            "worker-0/MANIFEST",
            "worker-1/000001.sst",
            "worker-1/MANIFEST"
        ]
    );
    assert!(
        store
            .worker_dirs(&found)
            .iter()
            .all(|folder| folder.join("MANIFEST").exists())
    );
}

#[test]
fn a_checkpoint_newer_than_the_last_commit_is_passed_over() {
    let (_root, store) = store(&[30, 60]);
    assert_eq!(
        newest(&store, 59),
        (
            Some(30),
            vec![(
                60,
                "it is newer than the last committed epoch 59".to_owned()
            )]
        )
    );
    assert_eq!(newest(&store, 29).0, None);
}

#[test]
fn a_checkpoint_of_an_epoch_that_was_cut_otherwise_is_passed_over_and_can_be_discarded() {
    let (_root, store) = store(&[30, 60]);
    let of_owner = |owner: &str, epoch, clock_ms| {
        let (owner, plan) = (owner.to_owned(), "plan-a".to_owned());
        Record::new(Epoch(epoch), owner, plan, clock_ms)
    };
    let record = |epoch, clock_ms| of_owner("run-a", epoch, clock_ms);
    let epoch_of = |journal: &[Record]| {
        store
            .newest_committed(journal)
            .expect("readable")
            .0
            .map(|manifest| manifest.epoch.0)
    };
    assert_eq!(
        epoch_of(&[record(30, 0), record(60, 0), record(61, 5)]),
        Some(60)
    );
    assert_eq!(
        epoch_of(&[record(61, 5)]),
        Some(60),
        "the record may be gone"
    );
    assert_eq!(
        epoch_of(&[record(30, 0), of_owner("run-b", 60, 0)]),
        Some(30),
        "another run committed the epoch of that number"
    );

    let (found, rejected) = store
        .newest_committed(&[record(30, 0), record(60, 7)])
        .expect("readable");
    assert_eq!(found.map(|manifest| manifest.epoch.0), Some(30));
    assert!(
        rejected.len() == 1
            && rejected[0].uncommitted
            && rejected[0].reason.contains("not of the epoch"),
        "{rejected:?}"
    );
    store.discard(Epoch(60)).expect("removable");
    assert_eq!(newest(&store, 99), (Some(30), Vec::new()));
    store.begin(Epoch(60)).expect("the number is free again");
}

#[test]
fn an_unfinished_checkpoint_is_never_seen() {
    let (_root, store) = store(&[30]);
    let partial = store.begin(Epoch(60)).expect("writable");
    fs::write(partial.join("left"), "half").expect("writable");
    assert_eq!(newest(&store, 99), (Some(30), Vec::new()));
    let again = store.begin(Epoch(60)).expect("writable");
    assert_eq!(
        fs::read_dir(again).expect("exists").count(),
        0,
        "what a crash left is gone"
    );
    store.abandon(Epoch(60)).expect("removable");
    assert_eq!(
        store
            .begin(Epoch(30))
            .expect_err("an epoch is checkpointed once")
            .kind(),
        ErrorKind::Bug
    );
}

/// Does harm to a folder of a checkpoint; the reason must contain the words.
type Harm = (&'static str, fn(&Path));

#[test]
fn a_damaged_checkpoint_falls_back_to_the_one_before_and_says_so() {
    let harms: [Harm; 6] = [
        ("'worker-1/MANIFEST' does not match its checksum", |path| {
            let file = path.join("worker-1/MANIFEST");
            let mut bytes = fs::read(&file).expect("readable");
            bytes[3] ^= 0x10;
            fs::write(file, bytes).expect("writable");
        }),
        ("'worker-0/MANIFEST' has 3 bytes instead of 20", |path| {
            fs::write(path.join("worker-0/MANIFEST"), "epo").expect("writable")
        }),
        ("'worker-0/000001.sst' cannot be read", |path| {
            fs::remove_file(path.join("worker-0/000001.sst")).expect("removable")
        }),
        ("the manifest is cut off", |path| {
            fs::write(path.join("manifest.json"), "{\"version\":2").expect("writable")
        }),
        ("the manifest does not match its checksum", |path| {
            let text = fs::read_to_string(path.join("manifest.json")).expect("readable");
            fs::write(
                path.join("manifest.json"),
                text.replace("\"workers\":2", "\"workers\":3"),
            )
            .expect("writable");
        }),
        ("'manifest.json' cannot be read", |path| {
            fs::remove_file(path.join("manifest.json")).expect("removable")
        }),
    ];
    for (words, harm) in harms {
        let (_root, store) = store(&[30, 60]);
        harm(&store.path_of(Epoch(60)));
        let (found, rejected) = newest(&store, 99);
        assert_eq!(found, Some(30), "{words}");
        assert!(
            rejected.len() == 1 && rejected[0].0 == 60 && rejected[0].1.contains(words),
            "{words}: {rejected:?}"
        );
    }
}

#[test]
fn a_list_shows_broken_ones_with_the_reason() {
    let (_root, store) = store(&[30, 60]);
    fs::remove_file(store.path_of(Epoch(30)).join("worker-0/MANIFEST")).expect("removable");
    let list = store.list().expect("readable");
    assert_eq!(
        list.iter()
            .map(|summary| summary.epoch.0)
            .collect::<Vec<_>>(),
        [30, 60]
    );
    assert!(
        list[0]
            .manifest
            .as_ref()
            .is_err_and(|reason| reason.contains("'worker-0/MANIFEST'"))
    );
    assert!(list[1].manifest.is_ok());
}

#[test]
fn only_a_file_that_is_the_same_file_keeps_its_checksum() {
    let (root, store) = store(&[30]);
    // Same name and size, other content: as after a restore, when file numbers begin again.
    fs::remove_file(root.path().join("000001.sst")).expect("removable");
    fs::write(root.path().join("000001.sst"), "something").expect("writable");
    write(root.path(), &store, 60);
    assert_eq!(newest(&store, 99), (Some(60), Vec::new()));
}

#[test]
fn retaining_keeps_the_newest_good_ones() {
    let (_root, store) = store(&[10, 20, 30, 40]);
    store.begin(Epoch(35)).expect("writable");
    fs::remove_file(store.path_of(Epoch(40)).join("manifest.json")).expect("removable");
    let oldest = || store.oldest().expect("readable").map(|oldest| oldest.epoch);
    assert_eq!(oldest(), Some(Epoch(10)));
    assert_eq!(store.retain(2).expect("removable"), [Epoch(10)]);
    assert_eq!(oldest(), Some(Epoch(20)));
    assert_eq!(newest(&store, 99).0, Some(30));
    assert_eq!(store.list().expect("readable").len(), 3);
    assert_eq!(
        store.retain(0).expect("removable"),
        [Epoch(20)],
        "at least one is kept"
    );
    assert_eq!(
        fs::read_dir(store.path_of(Epoch(30)).parent().expect("has one"))
            .expect("exists")
            .count(),
        2,
        "no partial folder is left"
    );
}

#[test]
fn a_state_directory_is_one_jobs_one_plans_and_one_processs() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let dir = root.path().join("state");
    let held = StateDir::lock(&dir, "finance", "plan-a").expect("new");
    assert_eq!(held.live_dir(), dir.join("live"));

    let busy = StateDir::lock(&dir, "finance", "plan-a").expect_err("held");
    assert_eq!(busy.kind(), ErrorKind::Invalid);
    assert!(
        busy.to_string()
            .contains(&format!("in use by process {}", std::process::id())),
        "{busy}"
    );
    drop(held);

    // Who was refused for another reason has not taken it.
    let held = StateDir::lock(&dir, "finance", "plan-b").expect("nobody's yet");
    drop(held);
    let held = StateDir::lock(&dir, "finance", "plan-a").expect("nobody's yet");
    held.claim().expect("writable");
    drop(held);

    let other_job = StateDir::lock(&dir, "payroll", "plan-a")
        .expect_err("another job's")
        .to_string();
    assert!(
        other_job.contains("belongs to job 'finance', not to 'payroll'"),
        "{other_job}"
    );
    let other_plan = StateDir::lock(&dir, "finance", "plan-b")
        .expect_err("another plan's")
        .to_string();
    assert!(
        other_plan.contains("'plan-a'") && other_plan.contains("empty state directory"),
        "{other_plan}"
    );
    let held = StateDir::lock(&dir, "finance", "plan-a").expect("free again");
    held.claim().expect("claimed before");
}

#[test]
fn a_state_directory_that_cannot_be_made_is_the_users_to_mend() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let file = root.path().join("file");
    fs::write(&file, "").expect("writable");
    let error =
        StateDir::lock(&file.join("state"), "finance", "plan-a").expect_err("a file is no folder");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(
        error.to_string().contains("file/state")
            && error.to_string().contains("set another state directory"),
        "{error}"
    );
}
