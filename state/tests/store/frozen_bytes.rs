//! A snapshot folder as version 1 wrote it, checked in: it must open for as long as version 1 is read.
//!
//! `UPDATE_GOLDEN=1 cargo test -p tidemill-state frozen_bytes` writes it anew; do that only with a new version, into a new folder.

use std::path::{Path, PathBuf};

use crate::kit::{Job, Worker, settings, temporary_folder};

const ENTRIES: [(usize, &[u8], &[u8]); 4] = [
    (0, b"uuid-1", &[0, 0, 1, 0x99, 0, 0, 0, 0]),
    (0, b"", b"the empty key"),
    (1, &[1, 0x80, 0, 0, 0, 0, 0, 0, 7], b"a row"),
    (1, &[0xff; 300], &[]),
];

fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/store/snapshot-v1")
}

fn written() -> Job {
    let mut job = Job::new(1, settings(1 << 20));
    ENTRIES
        .iter()
        .for_each(|&(table, key, value)| job.put(table, key, value));
    job
}

#[test]
fn a_snapshot_of_version_1_still_opens() {
    let mut expected = written();
    #[expect(
        clippy::disallowed_methods,
        reason = "how a person asks for new golden files"
    )]
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    if update {
        let _ = std::fs::remove_dir_all(sample());
        expected
            .freeze()
            .remove(0)
            .write(&sample())
            .expect("the folder is writable");
    }
    for same_layout in [true, false] {
        let live = temporary_folder();
        let store = tidemill_state::Store::restore(
            live.path(),
            &[sample()],
            same_layout,
            &|_| true,
            &settings(0),
        );
        let mut worker =
            Worker::over(store.expect("state written by an older build can still be read"));
        assert_eq!(worker.entries(), expected.entries());
    }
    keys_on_disk_are_the_group_in_two_bytes_and_the_key();
}

fn keys_on_disk_are_the_group_in_two_bytes_and_the_key() {
    let files = std::fs::read_dir(sample())
        .expect("the sample")
        .map(|entry| entry.expect("an entry").path());
    let tables: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "sst"))
        .collect();
    assert_eq!(tables.len(), 2);
    let group = tidemill_types::key_group(b"uuid-1").to_be_bytes();
    let wanted = [&group, b"uuid-1".as_slice()].concat();
    let found = |path: &PathBuf| {
        std::fs::read(path)
            .expect("readable")
            .windows(wanted.len())
            .any(|window| window == wanted)
    };
    assert!(tables.iter().any(found));
}
