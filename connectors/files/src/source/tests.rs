//! Reading partition files: exact positions, tails, committed lengths.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tidemill_connectors_api::Source;
use tidemill_types::{ErrorKind, RawRecords};

use super::{CHUNK_BYTES_MIN, FilesSource, offset};
use crate::RECORD_BYTES_MAX;
use crate::options::SourceOptions;

fn source(folder: &Path) -> FilesSource {
    FilesSource::new(SourceOptions {
        path: folder.to_owned(),
        topic: "t".to_owned(),
    })
}

fn poll(source: &mut FilesSource) -> Vec<(i64, String)> {
    let mut batches = Vec::new();
    source.poll(Duration::ZERO, 1 << 20, &mut batches).unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    batches
        .iter()
        .flat_map(|batch| {
            batch
                .records
                .iter()
                .map(|of| (of.offset, text(of.value.unwrap())))
        })
        .collect()
}

fn append(folder: &Path, text: &str) {
    use std::io::Write;
    fs::create_dir_all(folder.join("t")).unwrap();
    let path = folder.join("t/0.jsonl");
    fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
}

#[test]
fn only_whole_lines_are_read_and_the_rest_once_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    append(folder.path(), "a\n\nbc");
    let mut source = source(folder.path());
    assert_eq!(source.open(&[(0, None)]).unwrap(), [(0, 0)]);
    assert_eq!(
        source.known_ends(),
        [(0, 5)],
        "what is not read yet is behind"
    );
    assert_eq!(poll(&mut source), [(0, "a".to_owned()), (2, String::new())]);
    assert_eq!(poll(&mut source), []);
    append(folder.path(), "d\ne");
    assert_eq!(poll(&mut source), [(3, "bcd".to_owned())]);
    append(folder.path(), "\n");
    assert_eq!(poll(&mut source), [(7, "e".to_owned())]);
}

#[test]
fn a_run_that_ends_where_the_file_ends_reads_a_whole_last_line_without_a_line_feed() {
    let folder = tempfile::tempdir().unwrap();
    append(folder.path(), "a\n{}");
    let mut bounded = source(folder.path());
    bounded.open(&[(0, None)]).unwrap();
    assert_eq!(bounded.end_offsets().unwrap(), [(0, 5)]);
    assert_eq!(poll(&mut bounded), [(0, "a".to_owned())]);
    assert_eq!(poll(&mut bounded), [(2, "{}".to_owned())]);
    assert_eq!(poll(&mut bounded), []);

    // The next run goes on behind the line feed that comes later; a line that was not whole is refused.
    let mut next = source(folder.path());
    assert_eq!(next.open(&[(0, Some(5))]).unwrap(), [(0, 5)]);
    assert_eq!(poll(&mut next), []);
    append(folder.path(), "\nd\n");
    assert_eq!(poll(&mut next), [(5, "d".to_owned())]);
    assert_eq!(poll(&mut bounded), [(5, "d".to_owned())]);
    fs::write(folder.path().join("t/0.jsonl"), "a\n{} {}\n").unwrap();
    let error = source(folder.path()).open(&[(0, Some(5))]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
}

#[test]
fn a_last_line_that_is_not_whole_is_not_read_but_behind() {
    let folder = tempfile::tempdir().unwrap();
    for torn in ["{\"a\":1", "12", "{\"a\":\"}", "{}{"] {
        append(folder.path(), "a\n");
        let whole = fs::metadata(folder.path().join("t/0.jsonl")).unwrap().len();
        append(folder.path(), torn);
        let mut bounded = source(folder.path());
        bounded.open(&[(0, Some(offset(whole)))]).unwrap();
        assert_eq!(bounded.end_offsets().unwrap(), [(0, offset(whole))]);
        let length = offset(whole + torn.len() as u64);
        assert_eq!(bounded.known_ends(), [(0, length)]);
        assert_eq!(poll(&mut bounded), []);
        append(folder.path(), "\n");
        assert_eq!(poll(&mut bounded), [(offset(whole), torn.to_owned())]);
    }
}

#[test]
fn a_last_line_that_grows_while_it_is_read_waits_for_its_line_feed() {
    let folder = tempfile::tempdir().unwrap();
    append(folder.path(), "a\n[1]");
    let mut bounded = source(folder.path());
    bounded.open(&[(0, None)]).unwrap();
    bounded.end_offsets().unwrap();
    append(folder.path(), " ");
    assert_eq!(poll(&mut bounded), [(0, "a".to_owned())]);
    assert_eq!(poll(&mut bounded), []);
    append(folder.path(), "\n");
    assert_eq!(poll(&mut bounded), [(2, "[1] ".to_owned())]);
}

#[test]
fn a_file_that_begins_otherwise_is_another_one() {
    let folder = tempfile::tempdir().unwrap();
    append(folder.path(), "a\nb\n");
    let mut source = source(folder.path());
    let before = source.describe("").unwrap().incarnation;
    append(folder.path(), &"c\n".repeat(5000));
    assert!(source.describe(&before).unwrap().goes_on);
    let long = source.describe("").unwrap().incarnation;
    assert!(source.describe(&long).unwrap().goes_on);
    fs::write(folder.path().join("t/0.jsonl"), "a\nx\n").unwrap();
    assert!(!source.describe(&before).unwrap().goes_on);
    fs::write(folder.path().join("t/0.jsonl"), "a\nb\n").unwrap();
    assert!(source.describe(&before).unwrap().goes_on);
    assert!(!source.describe(&long).unwrap().goes_on, "it is shorter");
}

#[test]
fn a_source_opened_at_an_offset_yields_that_record_first() {
    let folder = tempfile::tempdir().unwrap();
    append(folder.path(), "a\nbc\nd\n");
    let mut source = source(folder.path());
    source.open(&[(0, Some(2))]).unwrap();
    assert_eq!(
        poll(&mut source),
        [(2, "bc".to_owned()), (5, "d".to_owned())]
    );
    source.open(&[(0, Some(7))]).unwrap();
    assert_eq!(poll(&mut source), []);
    assert_eq!(
        source.open(&[(0, Some(3))]).unwrap_err().kind(),
        ErrorKind::Invalid
    );
    assert_eq!(
        source.open(&[(0, Some(8))]).unwrap_err().kind(),
        ErrorKind::Corrupt
    );
}

#[test]
fn a_poll_of_lines_without_bytes_brings_no_more_than_fit_into_memory() {
    let folder = tempfile::tempdir().unwrap();
    let lines = 100_000;
    append(folder.path(), &"\n".repeat(lines));
    let mut source = source(folder.path());
    source.open(&[(0, None)]).unwrap();
    let mut offsets = Vec::new();
    while offsets.len() < lines {
        let mut batches = Vec::new();
        source
            .poll(Duration::ZERO, CHUNK_BYTES_MIN, &mut batches)
            .unwrap();
        for batch in batches {
            assert!(batch.records.held_bytes() < CHUNK_BYTES_MIN + RawRecords::RECORD_BYTES);
            offsets.extend_from_slice(&batch.records.offsets);
        }
    }
    assert!(
        offsets.iter().copied().eq(0..100_000),
        "each once, in order"
    );
}

#[test]
fn a_line_longer_than_a_chunk_is_read_whole() {
    let folder = tempfile::tempdir().unwrap();
    let long = "x".repeat(9 << 20);
    append(folder.path(), &format!("a\n{}", &long[..5 << 20]));
    let mut source = source(folder.path());
    source.open(&[(0, None)]).unwrap();
    assert_eq!(poll(&mut source).len(), 1);
    append(folder.path(), &format!("{}\nz\n", &long[5 << 20..]));
    let records: Vec<_> = poll(&mut source)
        .into_iter()
        .chain(poll(&mut source))
        .collect();
    assert_eq!(records.len(), 2);
    assert!(records[0].1 == long && records[1].1 == "z");
}

#[test]
fn a_line_above_the_limit_is_refused_not_cut() {
    let folder = tempfile::tempdir().unwrap();
    append(folder.path(), "");
    let file = fs::OpenOptions::new()
        .write(true)
        .open(folder.path().join("t/0.jsonl"))
        .unwrap();
    file.set_len(RECORD_BYTES_MAX as u64 + 2).unwrap();
    let mut source = source(folder.path());
    source.open(&[(0, None)]).unwrap();
    let error = source
        .poll(Duration::ZERO, 1 << 20, &mut Vec::new())
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[test]
fn a_file_that_shrinks_or_is_replaced_is_corrupt() {
    let folder = tempfile::tempdir().unwrap();
    append(folder.path(), "a\nb\n");
    let mut source = source(folder.path());
    source.open(&[(0, None)]).unwrap();
    assert_eq!(poll(&mut source).len(), 2);
    let path = folder.path().join("t/0.jsonl");
    fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(2)
        .unwrap();
    assert_eq!(
        source
            .poll(Duration::ZERO, 1, &mut Vec::new())
            .unwrap_err()
            .kind(),
        ErrorKind::Corrupt
    );
    fs::write(folder.path().join("new"), "a\nb\nc\n").unwrap();
    fs::rename(folder.path().join("new"), &path).unwrap();
    assert_eq!(
        source
            .poll(Duration::ZERO, 1, &mut Vec::new())
            .unwrap_err()
            .kind(),
        ErrorKind::Corrupt
    );
}

#[test]
fn partitions_are_the_numbered_files_in_order_and_take_turns() {
    let folder = tempfile::tempdir().unwrap();
    let topic = folder.path().join("t");
    let mut source = source(folder.path());
    let error = source.partitions().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.message.contains("t/0.jsonl"), "{error}");
    fs::create_dir(&topic).unwrap();
    let line = format!("{}\n", "x".repeat(999));
    for name in ["10.jsonl", "0.jsonl", "2.jsonl", "02.jsonl", "notes.txt"] {
        fs::write(topic.join(name), line.repeat(200)).unwrap();
    }
    assert_eq!(source.partitions().unwrap(), [0, 2, 10]);
    source.open(&[(0, None), (2, None), (10, None)]).unwrap();
    let mut order = Vec::new();
    for _ in 0..6 {
        let mut batches = Vec::new();
        source.poll(Duration::ZERO, 1, &mut batches).unwrap();
        assert_eq!(batches.len(), 1);
        order.push(batches[0].partition());
    }
    assert_eq!(order, [0, 2, 10, 0, 2, 10]);
}
