//! Snapshots: what they hold, what they cost, and what happens when writing one goes wrong.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use crate::kit::{Job, TABLES, Worker, settings, temporary_folder};
use tidemill_state::{Error, Settings, Store};
use tidemill_types::ErrorKind;

const ROOMY: usize = 16 << 20;

fn key(number: u32) -> [u8; 8] {
    (u64::from(number) << 7).to_be_bytes()
}

fn filled(workers: usize, keys: u32) -> Job {
    let mut job = Job::new(workers, settings(ROOMY));
    (0..keys).for_each(|number| job.put(0, &key(number), &number.to_le_bytes()));
    job
}

fn get(job: &mut Job, key: &[u8]) -> Option<Vec<u8>> {
    let (group, table) = job.table(0, key);
    table.get(group, key).expect("state can be read")
}

fn inode(path: &Path) -> u64 {
    std::fs::metadata(path).expect("the file exists").ino()
}

fn sst_files(folder: &Path) -> BTreeMap<String, u64> {
    let files = std::fs::read_dir(folder)
        .expect("a snapshot folder")
        .map(|entry| entry.expect("an entry").path());
    let tables = files.filter(|path| path.extension().is_some_and(|extension| extension == "sst"));
    tables
        .map(|path| {
            (
                path.file_name()
                    .expect("a name")
                    .to_string_lossy()
                    .into_owned(),
                inode(&path),
            )
        })
        .collect()
}

#[test]
fn restore_at_two_of_three_workers_keeps_every_key_once() {
    let mut job = filled(3, 10_000);
    let before = job.entries();
    assert_eq!(before.len(), 10_000);
    let folders = job.checkpoint();
    job.restore(&folders, 2);
    assert!(
        job.workers
            .iter_mut()
            .all(|worker| worker.entries().len() > 4000),
        "the keys are spread"
    );
    assert_eq!(job.entries(), before);
    let folders = job.checkpoint();
    job.restore(&folders, 3);
    assert_eq!(job.entries(), before);
}

#[test]
fn a_snapshot_holds_nothing_from_after_its_freeze_even_when_memory_runs_out_meanwhile() {
    let mut job = Job::new(1, settings(20_000));
    (0..100).for_each(|number| job.put(0, &key(number), b"old"));
    let before = job.entries();
    let frozen = job.freeze();
    (0..2000).for_each(|number| job.put(0, &key(number), b"new"));
    assert!(
        job.workers[0].store.cache_bytes() <= 20_000,
        "memory stays bounded while a snapshot waits"
    );
    assert!(matches!(
        job.workers[0].store.freeze(),
        Err(Error::SnapshotOutstanding)
    ));
    let after = job.entries();
    let folders = job.write(frozen);
    job.restore(&folders, 1);
    assert_eq!(job.entries(), before);
    assert_eq!(after.len(), 2000);
}

#[test]
fn a_snapshot_is_written_while_the_worker_goes_on() {
    let mut job = Job::new(1, settings(200_000));
    for round in 0..6_u32 {
        (0..3000).for_each(|number| job.put(0, &key(number), &round.to_le_bytes()));
        let before = job.entries();
        let frozen = job.freeze().remove(0);
        let folder = job.root.path().join(format!("snapshot-{round}"));
        let (target, (started, wait_started)) = (folder.clone(), mpsc::channel());
        let writer = std::thread::spawn(move || {
            started.send(()).expect("the worker listens");
            frozen.write(&target).expect("the folder is writable")
        });
        wait_started.recv().expect("the thread runs");
        for number in 0..3000 {
            job.put(0, &key(number), b"changed meanwhile");
            if number % 3 == 0 {
                job.delete(0, &key(number));
            }
        }
        let during = job.entries();
        writer.join().expect("no panic");
        assert_eq!(job.entries(), during);
        let restored = Store::restore(
            &job.root.path().join("restored"),
            &[folder],
            true,
            &|_| true,
            &settings(ROOMY),
        );
        assert_eq!(
            Worker::over(restored.expect("the snapshot is whole")).entries(),
            before
        );
    }
}

#[test]
fn a_failed_write_loses_nothing_and_the_next_snapshot_has_it_all() {
    let mut job = filled(1, 500);
    let frozen = job.freeze().remove(0);
    job.put(0, &key(7), b"newer");
    job.delete(0, &key(8));
    let error = frozen
        .write(&job.root.path().join("no").join("such"))
        .expect_err("the parent does not exist");
    assert!(
        error.to_string().contains("cannot take a snapshot of"),
        "{error}"
    );
    let before = job.entries();
    assert_eq!(before.len(), 499);
    let folders = job.checkpoint();
    job.restore(&folders, 1);
    assert_eq!(job.entries(), before);
}

#[test]
fn a_writer_that_panics_loses_nothing() {
    let mut job = filled(1, 500);
    let frozen = job.freeze().remove(0);
    let writer = std::thread::spawn(move || {
        let _held = frozen;
        std::panic::resume_unwind(Box::new("the thread dies"));
    });
    assert!(writer.join().is_err());
    let before = job.entries();
    let folders = job.checkpoint();
    job.restore(&folders, 1);
    assert_eq!(job.entries(), before);
}

#[test]
fn a_hot_key_costs_one_write_per_snapshot_and_a_key_that_came_and_went_costs_none() {
    let mut job = Job::new(1, settings(ROOMY));
    (0..100_000_u32).for_each(|n| job.put(0, b"hot", &n.to_le_bytes()));
    for number in 0..1000 {
        job.put(1, &key(number), b"passing");
        job.delete(1, &key(number));
    }
    assert_eq!(job.workers[0].tables[1].len_hint(), 0);
    let folders = job.checkpoint();
    assert_eq!(
        sst_files(&folders[0]).len(),
        1,
        "the table whose keys all went has no file"
    );
    assert!(job.workers[0].store.size_bytes() < 4096);
}

/// A restored job whose first table is not all in memory: what is deleted there may be on disk, unless it is known to be new.
fn restored() -> Job {
    let mut job = filled(1, 2000);
    let folders = job.checkpoint();
    job.restore(&folders, 1);
    job
}

#[test]
fn an_inserted_key_that_goes_before_a_snapshot_leaves_nothing_on_disk() {
    let passing = |number: u32| key(1_000_000 + number);
    let mut job = restored();
    let before = sst_files(&job.checkpoint()[0]);
    for number in 0..1000 {
        job.insert(0, &passing(number), b"passing");
        job.delete(0, &passing(number));
    }
    assert_eq!(sst_files(&job.checkpoint()[0]), before);
    // One that was put is not known to be new, and its deletion is written.
    job.put(0, &passing(0), b"passing");
    job.delete(0, &passing(0));
    assert_ne!(sst_files(&job.checkpoint()[0]), before);
}

#[test]
fn an_inserted_key_that_goes_after_a_snapshot_is_gone_after_the_next() {
    let inserted = |number: u32| key(1_000_000 + number);
    let mut job = restored();
    let before = job.entries();
    (0..1000).for_each(|number| job.insert(0, &inserted(number), b"inserted"));
    let frozen = job.freeze();
    // Some while the snapshot is being written, the others behind it.
    (0..500).for_each(|number| job.delete(0, &inserted(number)));
    let folders = job.write(frozen);
    (500..1000).for_each(|number| job.delete(0, &inserted(number)));
    assert_eq!(job.entries(), before);
    let next = job.checkpoint();
    job.restore(&next, 1);
    assert_eq!(job.entries(), before, "the next one has none of them");
    job.restore(&folders, 1);
    let count = before.len() + 1000;
    assert_eq!(job.entries().len(), count, "the first one has them all");
}

#[test]
fn an_inserted_key_that_memory_had_no_room_for_can_be_deleted() {
    let mut job = Job::new(1, settings(20_000));
    (0..2000).for_each(|number| job.insert(0, &key(number), b"inserted"));
    (0..2000).for_each(|number| job.delete(0, &key(number)));
    assert!(job.entries().is_empty());
    let folders = job.checkpoint();
    job.restore(&folders, 1);
    assert!(job.entries().is_empty());
}

#[test]
fn what_did_not_change_is_linked_and_not_written_again() {
    let mut job = filled(1, 2000);
    let first = sst_files(&job.checkpoint()[0]);
    job.put(0, b"one more", b"");
    let second = sst_files(&job.checkpoint()[0]);
    assert!(second.len() > first.len());
    assert!(
        first
            .iter()
            .all(|(name, inode)| second.get(name) == Some(inode))
    );
}

#[test]
fn going_on_after_a_restore_leaves_the_checkpoint_as_it_was() {
    let mut job = filled(1, 2000);
    let before = job.entries();
    let folders = job.checkpoint();
    job.restore(&folders, 1);
    for round in 0..6_u32 {
        (0..2000).for_each(|number| job.put(0, &key(number), &round.to_be_bytes()));
        job.checkpoint();
    }
    job.restore(&folders, 1);
    assert_eq!(job.entries(), before);
}

#[test]
fn a_restored_table_that_is_empty_needs_no_reads_and_one_that_is_not_finds_its_keys() {
    let mut job = filled(1, 2000);
    let folders = job.checkpoint();
    job.restore(&folders, 1);
    assert_eq!(job.workers[0].tables[1].len_hint(), 0);
    assert_eq!(
        get(&mut job, &key(1999)),
        Some(1999_u32.to_le_bytes().to_vec())
    );
    assert_eq!(get(&mut job, b"absent"), None);
    assert!(
        job.workers[0].store.cache_bytes() > 0,
        "what was read stays in memory"
    );
    assert_eq!(job.entries().len(), 2000);
}

#[test]
fn state_larger_than_memory_goes_to_disk_and_comes_back() {
    let limit = 256 << 10;
    let mut job = Job::new(1, settings(limit));
    for number in 0..50_000_u32 {
        job.put(0, &key(number), &number.to_le_bytes());
        assert!(job.workers[0].store.cache_bytes() <= limit);
    }
    let expected = (0..50_000_u32)
        .all(|number| get(&mut job, &key(number)) == Some(number.to_le_bytes().to_vec()));
    assert!(expected, "every key is found");
    assert_eq!(job.entries().len(), 50_000);
    assert!(job.workers[0].store.cache_bytes() <= limit);
}

#[test]
fn two_tables_of_one_name_are_refused() {
    let root = temporary_folder();
    let store = Store::open(root.path(), &Settings::default()).expect("opens");
    store.table("payment/dedup").expect("the first");
    let error = store.table("payment/dedup").expect_err("the second");
    assert_eq!(error.kind(), ErrorKind::Bug);
    assert!(error.to_string().contains("'payment/dedup'"));
}

#[test]
fn opening_wipes_what_an_earlier_process_left() {
    let root = temporary_folder();
    let mut first = Worker::open(root.path(), &settings(0));
    first.tables[0].put(0, b"key", b"value").expect("written");
    drop(first);
    let mut second = Worker::open(root.path(), &settings(0));
    assert!(second.entries().is_empty());
}

#[test]
fn a_folder_that_cannot_be_made_is_the_users_to_mend() {
    let root = temporary_folder();
    let file = root.path().join("file");
    std::fs::write(&file, "").expect("a file");
    let error =
        Store::open(&file.join("state"), &Settings::default()).expect_err("a file is no folder");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let message = error.to_string();
    assert!(
        message.contains("file/state") && message.contains("set another state directory"),
        "{message}"
    );
}

#[test]
fn a_damaged_or_foreign_snapshot_is_refused_with_the_reason() {
    let mut job = filled(1, 2000);
    let folder = job.checkpoint().remove(0);
    let restore = |folder: &PathBuf| {
        let target = job.root.path().join("target");
        let store = Store::restore(
            &target,
            std::slice::from_ref(folder),
            false,
            &|_| true,
            &settings(ROOMY),
        );
        store
            .and_then(|store| store.table(TABLES[0])?.scan(|_, _, _| Ok::<_, Error>(())))
            .expect_err("must not go unnoticed")
    };

    let table = sst_files(&folder).pop_first().expect("there is a file").0;
    let path = folder.join(table);
    let mut bytes = std::fs::read(&path).expect("readable");
    bytes[200] ^= 1;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("ours");
    std::fs::write(&path, &bytes).expect("writable");
    assert_eq!(restore(&folder).kind(), ErrorKind::Corrupt);

    std::fs::remove_file(&path).expect("removable");
    assert_eq!(restore(&folder).kind(), ErrorKind::Corrupt);

    std::fs::write(folder.join("FORMAT"), "tidemill-state 9\n").expect("writable");
    let error = restore(&folder);
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("'tidemill-state 9'"), "{error}");

    std::fs::remove_file(folder.join("FORMAT")).expect("removable");
    assert_eq!(restore(&folder).kind(), ErrorKind::Corrupt);
}
