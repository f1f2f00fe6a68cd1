//! What a job writes through the connector, read back through it, across crashes.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed, also in its helpers"
)]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use tidemill_connectors_api::{
    Committer, Connector, EpochOutput, Error, Options, OutputRecords, SinkSpec, SourceSpec,
};
use tidemill_connectors_files::{Files, read_committed};
use tidemill_types::raw::write_header;
use tidemill_types::{Epoch, ErrorKind};

fn sink(folder: &Path, name: &str, partitions: u32) -> SinkSpec {
    let options = Options::from([
        ("connector".to_owned(), "files".to_owned()),
        ("path".to_owned(), folder.display().to_string()),
        ("topic".to_owned(), name.to_owned()),
        ("partitions".to_owned(), partitions.to_string()),
    ]);
    SinkSpec {
        name: format!("{name}_sink"),
        options,
        compacted: true,
    }
}

fn source_options(folder: &Path, topic: &str) -> Options {
    let mut options = sink(folder, topic, 1).options;
    options.remove("partitions");
    options
}

fn owner(job: &str, sinks: &[SinkSpec]) -> Result<Box<dyn Committer>, Error> {
    let mut committer = Files.committer(job, sinks)?;
    committer.fence()?;
    Ok(committer)
}

/// An epoch that writes keys 0 to 9 to every sink, and deletes key 10.
fn epoch(number: u64, sinks: usize) -> EpochOutput {
    let mut records = OutputRecords::default();
    for key in 0..10 {
        records.push(
            key.to_string().as_bytes(),
            Some(format!("{{\"key\":{key},\"epoch\":{number}}}").as_bytes()),
        );
    }
    records.push(b"10", None);
    records.push(b"", Some(b"[]"));
    let journal = format!("{{\"epoch\":{number}}}").into_bytes();
    EpochOutput {
        epoch: Epoch(number),
        sinks: vec![records; sinks],
        journal,
        source_offsets: Vec::new(),
    }
}

type Record = (u32, u64, String, Option<String>);

fn records(folder: &Path, topic: &str) -> Vec<Record> {
    let mut records = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    read_committed(folder, topic, |record| {
        records.push((
            record.partition,
            record.epoch.0,
            text(record.key),
            record.value.map(text),
        ));
    })
    .unwrap();
    records
}

fn epochs_of(folder: &Path, topic: &str) -> Vec<u64> {
    let mut epochs: Vec<u64> = records(folder, topic)
        .iter()
        .map(|record| record.1)
        .collect();
    epochs.sort_unstable();
    epochs.dedup();
    epochs
}

#[test]
fn what_is_committed_is_read_back_with_its_epochs_tombstones_and_journal() {
    let folder = tempfile::tempdir().unwrap();
    let sinks = [sink(folder.path(), "a", 3), sink(folder.path(), "b", 1)];
    let mut committer = owner("job", &sinks).unwrap();
    assert_eq!(
        committer.read_journal(Epoch(0)).unwrap(),
        Vec::<Vec<u8>>::new()
    );
    committer.commit(&[epoch(1, 2), epoch(2, 2)]).unwrap();
    committer.commit(&[epoch(3, 2)]).unwrap();
    let journal: Vec<_> = (1..=3).map(|number| epoch(number, 2).journal).collect();
    assert_eq!(committer.read_journal(Epoch(0)).unwrap(), journal);
    drop(committer);
    assert_eq!(
        owner("job", &sinks)
            .unwrap()
            .read_journal(Epoch(0))
            .unwrap(),
        journal
    );

    let a = records(folder.path(), "a");
    assert_eq!(a.len(), 36);
    assert_eq!(a.iter().map(|record| record.0).max(), Some(2));
    let of_key = |key: &str| {
        a.iter()
            .filter(|record| record.2 == key)
            .map(|r| (r.1, r.3.as_deref()))
            .collect::<Vec<_>>()
    };
    assert_eq!(of_key("10"), [(1, None), (2, None), (3, None)]);
    assert_eq!(
        of_key(""),
        [(1, Some("[]")), (2, Some("[]")), (3, Some("[]"))]
    );
    assert_eq!(of_key("4")[2], (3, Some("{\"key\":4,\"epoch\":3}")));
    assert_eq!(records(folder.path(), "b").len(), 36);
}

#[test]
fn headers_and_times_stand_in_the_lines_of_their_records() {
    let folder = tempfile::tempdir().unwrap();
    let mut committer = owner("job", &[sink(folder.path(), "a", 1)]).unwrap();
    let mut records = OutputRecords::default();
    records.push(b"1", Some(b"{}"));
    records.push_metadata(Some(1_767_225_600_123), |arena| {
        for (name, value) in [("trace", "a \"quote\""), ("tenant", "")] {
            write_header(arena, name.as_bytes(), |arena| {
                arena.extend_from_slice(value.as_bytes());
                true
            });
        }
    });
    records.push(b"2", None);
    let output = EpochOutput {
        sinks: vec![records],
        ..epoch(1, 0)
    };
    committer.commit(&[output]).unwrap();
    let lines = fs::read_to_string(folder.path().join("a/0.jsonl")).unwrap();
    let expected = [
        r#"{"epoch":1,"key":1,"value":{},"headers":{"trace":"a \"quote\"","tenant":""},"timestamp":1767225600123}"#,
        r#"{"epoch":1,"key":2,"value":null}"#,
    ];
    assert_eq!(lines.lines().collect::<Vec<_>>(), expected);

    let mut found = Vec::new();
    read_committed(folder.path(), "a", |record| {
        found.push((record.headers.get("trace").cloned(), record.timestamp_ms));
    })
    .unwrap();
    let trace = Some("a \"quote\"".to_owned());
    assert_eq!(found, [(trace, Some(1_767_225_600_123)), (None, None)]);
}

#[test]
fn data_without_its_commit_line_is_invisible_and_cut_off_by_the_next_owner() {
    let folder = tempfile::tempdir().unwrap();
    let sinks = [sink(folder.path(), "a", 1), sink(folder.path(), "b", 1)];
    owner("job", &sinks)
        .unwrap()
        .commit(&[epoch(1, 2)])
        .unwrap();
    let path = folder.path().join("b/0.jsonl");
    let before = fs::read(&path).unwrap();
    let mut source = Files
        .source(&SourceSpec::new(
            "reader",
            "b",
            &source_options(folder.path(), "b"),
        ))
        .unwrap();
    source.open(&[(0, None)]).unwrap();

    // A crash after the data was written, with the commit line torn.
    fs::OpenOptions::new()
        .append(true)
        .open(&path)
        .unwrap()
        .write_all(b"{\"epoch\":2,\"key\":1,\"value\":1}\n{\"ep")
        .unwrap();
    let log_path = folder.path().join("_committed");
    fs::OpenOptions::new()
        .append(true)
        .open(&log_path)
        .unwrap()
        .write_all(b"12345678 {\"version\":1,\"jo")
        .unwrap();
    assert_eq!(epochs_of(folder.path(), "b"), [1]);
    assert_eq!(source.end_offsets().unwrap(), [(0, before.len() as i64)]);
    let mut batches = Vec::new();
    source.poll(Duration::ZERO, 1 << 20, &mut batches).unwrap();
    assert_eq!(
        batches
            .iter()
            .map(|batch| batch.records.len())
            .sum::<usize>(),
        12
    );

    let mut committer = owner("job", &sinks).unwrap();
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(
        committer.read_journal(Epoch(0)).unwrap(),
        [epoch(1, 2).journal]
    );
    committer.commit(&[epoch(2, 2)]).unwrap();
    assert_eq!(epochs_of(folder.path(), "b"), [1, 2]);
    batches.clear();
    source.poll(Duration::ZERO, 1 << 20, &mut batches).unwrap();
    assert_eq!(batches[0].records.offsets[0], before.len() as i64);
    let first = batches[0].records.get(0).value.unwrap();
    assert!(first.starts_with(b"{\"epoch\":2,"));
}

#[test]
fn committed_bytes_that_are_gone_are_corrupt() {
    let folder = tempfile::tempdir().unwrap();
    let sinks = [sink(folder.path(), "a", 1)];
    owner("job", &sinks)
        .unwrap()
        .commit(&[epoch(1, 1)])
        .unwrap();
    fs::OpenOptions::new()
        .write(true)
        .open(folder.path().join("a/0.jsonl"))
        .unwrap()
        .set_len(5)
        .unwrap();
    assert_eq!(
        owner("job", &sinks).err().unwrap().kind(),
        ErrorKind::Corrupt
    );
    assert_eq!(
        read_committed(folder.path(), "a", |_| {})
            .unwrap_err()
            .kind(),
        ErrorKind::Corrupt
    );
}

#[test]
fn a_folder_with_somebody_elses_data_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/0.jsonl");
    fs::create_dir(folder.path().join("a")).unwrap();
    fs::write(&path, "{\"mine\":true}\n").unwrap();
    let sinks = [sink(folder.path(), "a", 1)];
    assert_eq!(
        owner("job", &sinks).err().unwrap().kind(),
        ErrorKind::Invalid
    );
    assert_eq!(fs::read(&path).unwrap(), b"{\"mine\":true}\n");

    let other = [sink(folder.path(), "b", 1)];
    owner("job", &other)
        .unwrap()
        .commit(&[epoch(1, 1)])
        .unwrap();
    let error = owner("another", &other).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.message.contains("belongs to job 'job'"), "{error}");
}

#[test]
fn a_sink_that_is_added_later_starts_empty_and_the_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let one = [sink(folder.path(), "a", 1)];
    owner("job", &one).unwrap().commit(&[epoch(1, 1)]).unwrap();
    let two = [sink(folder.path(), "b", 2), sink(folder.path(), "a", 1)];
    owner("job", &two).unwrap().commit(&[epoch(2, 2)]).unwrap();
    assert_eq!(epochs_of(folder.path(), "a"), [1, 2]);
    assert_eq!(epochs_of(folder.path(), "b"), [2]);
    let only_b = [sink(folder.path(), "b", 2)];
    owner("job", &only_b)
        .unwrap()
        .commit(&[epoch(3, 1)])
        .unwrap();
    assert_eq!(epochs_of(folder.path(), "a"), [1, 2]);
    assert_eq!(epochs_of(folder.path(), "b"), [2, 3]);
}

#[test]
fn a_committed_topic_has_its_partitions_also_for_a_source() {
    let folder = tempfile::tempdir().unwrap();
    let sinks = [sink(folder.path(), "a", 2)];
    owner("job", &sinks)
        .unwrap()
        .commit(&[epoch(1, 1)])
        .unwrap();
    let mut options = source_options(folder.path(), "a");
    options.insert("watermark.idle-timeout".to_owned(), "1 s".to_owned());
    let mut source = Files
        .source(&SourceSpec::new("reader", "a", &options))
        .unwrap();
    assert_eq!(source.topic(), "a");
    assert_eq!(source.describe("").unwrap().partitions, [0, 1]);
}

#[test]
fn wrong_options_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let message = |sinks: &[SinkSpec]| {
        let error = Files.committer("job", sinks).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        error.message
    };
    let elsewhere = sink(Path::new("/elsewhere"), "b", 1);
    assert!(
        message(&[sink(folder.path(), "a", 1), elsewhere])
            .contains("give all of them the same 'path'")
    );
    assert!(message(&[sink(folder.path(), "../a", 1)]).contains("no folder name"));
    assert!(message(&[sink(folder.path(), "a", 0)]).contains("1 to 1024"));
    let mut pathless = sink(folder.path(), "a", 1);
    pathless.options.remove("path");
    assert!(message(&[pathless]).contains("lacks the option 'path'"));
}

#[test]
fn a_record_whose_header_is_no_text_is_refused_with_sink_and_key() {
    let folder = tempfile::tempdir().unwrap();
    let mut committer = owner("job", &[sink(folder.path(), "a", 1)]).unwrap();
    let mut output = epoch(1, 1);
    output.sinks[0].push(b"77", Some(b"{}"));
    output.sinks[0].push_metadata(None, |arena| {
        write_header(arena, b"trace", |arena| {
            arena.push(0xff);
            true
        });
    });
    let error = committer.commit(&[output]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(
        error.message.contains("'a_sink'") && error.message.contains("'77'"),
        "{error}"
    );
    committer.fence().unwrap();
    committer.commit(&[epoch(1, 1)]).unwrap();
    assert_eq!(epochs_of(folder.path(), "a"), [1]);
}
