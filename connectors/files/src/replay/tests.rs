//! Records that are put back, by a process that dies at every place where it can.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tidemill_connectors_api::replay::Place;
use tidemill_connectors_api::{Replay, ReplayRecord};
use tidemill_types::ErrorKind;

use super::{FilesReplay, encode, parse};
use crate::options::SourceOptions;

/// The log after one record of partition 0 at offset 4 was put back into a file of 9 bytes.
const LOG: &str = concat!(
    r#"22b10b75 {"version":1,"partition":0,"offsets":[4],"length":9,"lines":"eyJhIjoxfQo="}"#,
    "\n",
    r#"140f2166 {"version":1,"done":true}"#,
    "\n"
);

fn topic(contents: &str) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("t")).unwrap();
    let file = folder.path().join("t/0.jsonl");
    fs::write(&file, contents).unwrap();
    (folder, file)
}

fn replay(folder: &Path) -> FilesReplay {
    FilesReplay::new(SourceOptions {
        path: folder.to_owned(),
        topic: "t".to_owned(),
    })
}

fn record(offset: i64, value: &str) -> ReplayRecord {
    ReplayRecord {
        place: (0, offset),
        value: Some(value.as_bytes().to_vec()),
        ..ReplayRecord::default()
    }
}

fn put(folder: &Path, records: &[ReplayRecord]) -> Vec<Place> {
    replay(folder).put_back(records).unwrap()
}

#[test]
fn a_record_is_put_back_once_whoever_asks_again() {
    let (folder, file) = topic("bad\nbad\n\n");
    assert_eq!(put(folder.path(), &[record(4, r#"{"a":1}"#)]), [(0, 4)]);
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        "bad\nbad\n\n{\"a\":1}\n"
    );
    assert_eq!(
        fs::read_to_string(folder.path().join("t/_replayed")).unwrap(),
        LOG
    );
    assert_eq!(put(folder.path(), &[record(4, r#"{"a":1}"#)]), []);
    let both = [record(0, "x"), record(0, "x"), record(4, r#"{"a":1}"#)];
    assert_eq!(put(folder.path(), &both), [(0, 0)]);
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        "bad\nbad\n\n{\"a\":1}\nx\n"
    );
    let before = replay(folder.path()).put_before().unwrap();
    assert_eq!(before, [(0, 0), (0, 4)].into());
}

#[test]
fn what_a_dead_process_left_is_brought_to_its_end_once() {
    let lines = "one\ntwo\n";
    let records = [record(0, "one"), record(4, "two")];
    let (folder, _) = topic("bad\nbad\n");
    put(folder.path(), &records);
    let log = fs::read(folder.path().join("t/_replayed")).unwrap();
    let intent = log.iter().position(|&byte| byte == b'\n').unwrap() + 1;

    // Somebody else may have appended before it, or after it.
    for others in ["", "other\n"] {
        for appended in 0..=lines.len() {
            let is_whole = appended == lines.len();
            let (folder, file) = topic("bad\nbad\n");
            let after = if is_whole { others } else { "" };
            let found = format!("bad\nbad\n{others}{}{after}", &lines[..appended]);
            fs::write(&file, found).unwrap();
            fs::write(folder.path().join("t/_replayed"), &log[..intent]).unwrap();
            assert_eq!(
                replay(folder.path()).put_before().unwrap(),
                [].into(),
                "not certain"
            );
            assert_eq!(put(folder.path(), &records), [], "after {appended} bytes");
            let expected = format!("bad\nbad\n{others}{lines}{after}");
            assert_eq!(
                fs::read_to_string(&file).unwrap(),
                expected,
                "after {appended} bytes"
            );
        }
    }
}

#[test]
fn a_torn_line_of_the_log_was_never_written() {
    let (folder, file) = topic("bad\nbad\n\n");
    for length in 0..LOG.find('\n').unwrap() {
        fs::write(&file, "bad\nbad\n\n").unwrap();
        fs::write(folder.path().join("t/_replayed"), &LOG[..length]).unwrap();
        assert_eq!(put(folder.path(), &[record(4, r#"{"a":1}"#)]), [(0, 4)]);
        assert_eq!(
            fs::read_to_string(folder.path().join("t/_replayed")).unwrap(),
            LOG
        );
    }
}

#[test]
fn the_log_is_these_bytes() {
    let told = parse(Path::new("_replayed"), LOG.as_bytes()).unwrap();
    assert_eq!(
        (told.there, told.open, told.good),
        ([(0, 4)].into(), None, LOG.len())
    );
    let damaged = LOG.replacen("offsets", "offsetz", 1);
    let error = parse(Path::new("_replayed"), damaged.as_bytes()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Corrupt);
    let newer = super::Line::Done {
        version: 2,
        done: true,
    };
    let error = parse(Path::new("_replayed"), &encode(&newer)).unwrap_err();
    assert!(error.message.contains("another version"), "{error}");
}

#[test]
fn what_cannot_be_a_line_or_has_no_place_is_refused() {
    let (folder, file) = topic("bad\nhalf");
    let refused = |record: ReplayRecord| {
        let error = replay(folder.path()).put_back(&[record]).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid);
        error.message
    };
    assert!(refused(record(0, "a\nb")).contains("line feed"));
    assert!(
        refused(ReplayRecord {
            value: None,
            ..record(0, "")
        })
        .contains("no value")
    );
    assert!(refused(record(0, "x")).contains("has no line feed, or somebody is writing it"));
    assert!(
        refused(ReplayRecord {
            place: (7, 0),
            ..record(0, "x")
        })
        .contains("there is no file")
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), "bad\nhalf");
}

#[test]
fn two_replays_do_not_write_at_once() {
    let (folder, _) = topic("bad\n");
    let mut first = replay(folder.path());
    first.put_back(&[record(0, "x")]).unwrap();
    let error = replay(folder.path())
        .put_back(&[record(0, "x")])
        .unwrap_err();
    assert!(error.message.contains("another replay"), "{error}");
}
