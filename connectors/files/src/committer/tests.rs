//! Commits of epochs into files: whole, interrupted, undone.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use tidemill_connectors_api::{Committer, EpochOutput, Options, OutputRecords, SinkSpec};
use tidemill_types::{Epoch, ErrorKind};

use super::{FilesCommitter, partition_of};
use crate::disk::io_error;
use crate::options::CommitterOptions;
use crate::read_committed;

fn committer(folder: &Path) -> FilesCommitter {
    let options = Options::from([
        ("path".to_owned(), folder.display().to_string()),
        ("topic".to_owned(), "out".to_owned()),
    ]);
    let sinks = [SinkSpec {
        name: "out".to_owned(),
        options,
        compacted: true,
    }];
    FilesCommitter::new("job", CommitterOptions::parse(&sinks).unwrap())
        .with_lock_wait(Duration::ZERO)
}

fn epoch(number: u64) -> EpochOutput {
    let mut records = OutputRecords::default();
    records.push(b"1", Some(format!("{{\"n\":{number}}}").as_bytes()));
    EpochOutput {
        epoch: Epoch(number),
        sinks: vec![records],
        journal: format!("{number}").into_bytes(),
        source_offsets: Vec::new(),
    }
}

#[test]
fn a_second_owner_is_fenced_until_the_first_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = committer(folder.path());
    first.fence().unwrap();
    first.fence().unwrap();
    let error = committer(folder.path()).fence().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced);
    assert!(
        error
            .message
            .contains(&format!("pid {}", std::process::id())),
        "{error}"
    );
    drop(first);
    committer(folder.path()).fence().unwrap();
}

#[test]
fn after_a_failed_write_the_fence_undoes_the_commit_and_it_can_be_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut committer = committer(folder.path());
    committer.fence().unwrap();
    committer.commit(&[epoch(1)]).unwrap();
    // A handle that cannot write stands for a full disk.
    let path = folder.path().join("out/0.jsonl");
    committer.output.as_mut().unwrap().files[0].file = File::open(&path).unwrap();
    assert_eq!(
        committer.commit(&[epoch(2)]).unwrap_err().kind(),
        ErrorKind::Retry
    );
    assert_eq!(
        committer.commit(&[epoch(2)]).unwrap_err().kind(),
        ErrorKind::Retry
    );
    committer.fence().unwrap();
    assert_eq!(committer.read_journal(Epoch(0)).unwrap(), [b"1"]);
    committer.commit(&[epoch(2)]).unwrap();
    assert_eq!(committer.read_journal(Epoch(0)).unwrap(), [b"1", b"2"]);
    assert_eq!(
        fs::read_to_string(path).unwrap(),
        "{\"epoch\":1,\"key\":1,\"value\":{\"n\":1}}\n{\"epoch\":2,\"key\":1,\"value\":{\"n\":2}}\n"
    );
}

#[test]
fn a_full_disk_is_worth_another_try() {
    let error = io_error(
        "write to",
        Path::new("x"),
        &std::io::Error::from(std::io::ErrorKind::StorageFull),
    );
    assert_eq!(error.kind(), ErrorKind::Retry);
}

#[test]
fn a_key_always_goes_to_the_same_partition() {
    assert_eq!(
        [&b"1"[..], b"2", b"\"x\"", b""].map(|key| partition_of(key, 4)),
        [3, 1, 2, 0]
    );
}

#[test]
fn a_record_of_any_format_is_a_line_of_json() {
    let folder = tempfile::tempdir().unwrap();
    let mut committer = committer(folder.path());
    committer.fence().unwrap();
    let records: [(&[u8], Option<&[u8]>); 6] = [
        (b"1", Some(br#"{"n": 1}"#)),
        (b"a,b", Some(b"7,\"two\nlines\"")),
        (b"", Some(b"")),
        (b"\xff\x00", Some(b"\x00\x00\x00\x00\x07\xfe")),
        (b"\"k\"", None),
        (b"[1", Some(b"{\"n\":\n1}")),
    ];
    let mut epoch = epoch(1);
    for (key, value) in records {
        epoch.sinks[0].push(key, value);
    }
    committer.commit(&[epoch]).unwrap();
    let mut found = Vec::new();
    read_committed(folder.path(), "out", |record| {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        found.push((text(record.key), record.value.map(text)));
    })
    .unwrap();
    found.sort();
    let value = |text: &str| Some(text.to_owned());
    let mut expected = [
        ("1".to_owned(), value("{\"n\":1}")),
        ("1".to_owned(), value("{\"n\": 1}")),
        ("\"a,b\"".to_owned(), value(r#""7,\"two\nlines\"""#)),
        (String::new(), value("\"\"")),
        (
            r#"{"base64":"/wA="}"#.to_owned(),
            value(r#"{"base64":"AAAAAAf+"}"#),
        ),
        ("\"k\"".to_owned(), None),
        ("\"[1\"".to_owned(), value(r#""{\"n\":\n1}""#)),
    ];
    expected.sort();
    assert_eq!(found, expected);
}
