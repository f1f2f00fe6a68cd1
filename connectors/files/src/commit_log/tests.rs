//! The log's lines: written, torn, damaged, shortened.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use tidemill_types::{Epoch, ErrorKind};

use super::{CommitFollower, CommitLine, CommitLog, Lengths, TRIM_BYTES_MIN, read_entries};

fn line(epoch: u64) -> CommitLine {
    let lengths = Lengths::from([("t".to_owned(), BTreeMap::from([(0, epoch * 10)]))]);
    let journal = format!("{{\"epoch\":{epoch}}}");
    CommitLine::new(
        "job",
        Some((Epoch(epoch), Epoch(epoch))),
        [journal.as_bytes()].into_iter(),
        lengths,
    )
}

fn log_with(folder: &Path, epochs: std::ops::RangeInclusive<u64>) -> CommitLog {
    let mut log = CommitLog::open(folder).unwrap();
    for epoch in epochs {
        log.append(line(epoch)).unwrap();
    }
    log
}

/// A log that is long enough to be trimmed, and how many epochs it has. Written at once: nothing has to be durable here.
fn long_log(folder: &Path) -> (CommitLog, u64) {
    let epochs = 2 * TRIM_BYTES_MIN / line(1).encode().len() as u64 + 1;
    let lines: Vec<u8> = (1..=epochs)
        .flat_map(|epoch| line(epoch).encode())
        .collect();
    fs::write(CommitLog::path(folder), lines).unwrap();
    (CommitLog::open(folder).unwrap(), epochs)
}

#[test]
fn a_line_has_the_frozen_layout() {
    assert_eq!(
        String::from_utf8(line(7).encode()).unwrap(),
        "81389f1e {\"version\":1,\"job\":\"job\",\"epochs\":[7,7],\"journal\":[\"{\\\"epoch\\\":7}\"],\"lengths\":{\"t\":{\"0\":70}}}\n"
    );
}

#[test]
fn a_torn_last_line_counts_as_never_written_whatever_is_left_of_it() {
    let folder = tempfile::tempdir().unwrap();
    log_with(folder.path(), 1..=2);
    let path = CommitLog::path(folder.path());
    let whole = fs::read(&path).unwrap();
    let torn = line(3).encode();
    for left in 1..torn.len() {
        fs::write(&path, [&whole[..], &torn[..left]].concat()).unwrap();
        let log = CommitLog::open(folder.path()).unwrap();
        assert_eq!(log.last(), Some(&line(2)));
        assert_eq!(fs::read(&path).unwrap(), whole);
    }
    fs::write(&path, [&whole[..], &[0; 100], b"\n"].concat()).unwrap();
    assert_eq!(
        read_entries(folder.path(), "job", Epoch(0)).unwrap().len(),
        2
    );
}

#[test]
fn a_damaged_line_before_a_good_one_is_corrupt() {
    let folder = tempfile::tempdir().unwrap();
    log_with(folder.path(), 1..=3);
    let path = CommitLog::path(folder.path());
    let mut bytes = fs::read(&path).unwrap();
    bytes[line(1).encode().len() + 20] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert_eq!(
        CommitLog::open(folder.path()).unwrap_err().kind(),
        ErrorKind::Corrupt
    );
}

#[test]
fn only_lines_that_nobody_needs_are_dropped_and_followers_notice() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, epochs_max) = long_log(folder.path());
    let mut follower = CommitFollower::new(folder.path());
    follower.refresh().unwrap();
    let whole = read_entries(folder.path(), "job", Epoch(0)).unwrap();
    assert_eq!(whole.len() as u64, epochs_max, "nothing goes by itself");
    let needed = epochs_max - 10;
    log.trim(Epoch(needed)).unwrap();
    let kept = read_entries(folder.path(), "job", Epoch(0)).unwrap();
    assert_eq!(kept, whole[whole.len() - 11..]);
    log.append(line(epochs_max + 1)).unwrap();
    follower.refresh().unwrap();
    assert_eq!(follower.lengths()["t"][&0], (epochs_max + 1) * 10);
}

#[test]
fn the_newest_entry_stays_whatever_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, newest) = long_log(folder.path());
    log.trim(Epoch(999_999)).unwrap();
    let kept = read_entries(folder.path(), "job", Epoch(0)).unwrap();
    assert_eq!(kept, [format!("{{\"epoch\":{newest}}}").into_bytes()]);
    assert_eq!(
        read_entries(folder.path(), "job", Epoch(999_999)).unwrap(),
        kept
    );
}

#[test]
fn a_line_that_somebody_else_wrote_fences_the_writer() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = log_with(folder.path(), 1..=2);
    log_with(folder.path(), 3..=3);
    assert_eq!(log.append(line(3)).unwrap_err().kind(), ErrorKind::Fenced);
    fs::remove_file(CommitLog::path(folder.path())).unwrap();
    assert_eq!(log.append(line(3)).unwrap_err().kind(), ErrorKind::Fenced);
}

#[test]
fn a_journal_record_that_is_no_text_comes_back_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = CommitLog::open(folder.path()).unwrap();
    let records = [&b"\xff\x00\n"[..], b"", b"text \xc3\xa9"];
    log.append(CommitLine::new(
        "job",
        Some((Epoch(1), Epoch(3))),
        records.into_iter(),
        Lengths::new(),
    ))
    .unwrap();
    assert_eq!(
        read_entries(folder.path(), "job", Epoch(0)).unwrap(),
        records
    );
}
