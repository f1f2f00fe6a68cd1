//! Merging outputs, and what a run does when it does not know what became of a commit.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidemill_checkpoints::{Claim, DeadLetterFile, Record};
use tidemill_connectors_api::{Committer, EpochOutput, Error as PortError};
use tidemill_types::{Epoch, ErrorKind, OutputRecords};

use super::{Commits, CompleteEpoch, SinkOutput, Step};
use crate::outgoing::Outgoing;
use crate::{Clock, Error, Status};

fn records(values: &[&str]) -> OutputRecords {
    let mut records = OutputRecords::default();
    values
        .iter()
        .for_each(|value| records.push(b"key", Some(value.as_bytes())));
    records
}

fn values(records: &OutputRecords) -> Vec<&[u8]> {
    records.iter().filter_map(|record| record.value).collect()
}

#[test]
fn records_in_the_order_of_their_source_are_written_by_partition_whoever_was_first() {
    let mut output = SinkOutput::default();
    output.add(Some(2), records(&["c", "a"]));
    output.add(Some(0), records(&["d", "b"]));
    let merged = output.merge(true);
    assert_eq!(values(&merged), [b"d", b"b", b"c", b"a"]);
}

#[test]
fn records_without_keys_are_written_by_value_whoever_was_first() {
    let mut output = SinkOutput::default();
    output.add(None, records(&["b", "d"]));
    output.add(None, records(&["a", "c"]));
    let merged = output.merge(false);
    assert_eq!(values(&merged), [b"a", b"b", b"c", b"d"]);
}

/// Answers as it was told to, and writes down what was asked of it.
#[derive(Default)]
struct Scripted {
    /// What each commit does; those beyond go well.
    commits: VecDeque<ErrorKind>,
    /// What the journal holds at each look; the last one stays.
    journals: VecDeque<Vec<Vec<u8>>>,
    /// Whether the journal can be read at all.
    is_away: bool,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    fn ask(&self, what: String) {
        self.asked
            .lock()
            .expect("no test panics with it")
            .push(what);
    }
}

impl Committer for Scripted {
    fn read_journal(&mut self, _: Epoch) -> Result<Vec<Vec<u8>>, PortError> {
        self.ask("read".to_owned());
        if self.is_away {
            return Err(PortError::new(ErrorKind::Retry, "nobody answers"));
        }
        let now = self.journals.pop_front().unwrap_or_default();
        if self.journals.is_empty() {
            self.journals.push_back(now.clone());
        }
        Ok(now)
    }

    fn fence(&mut self) -> Result<(), PortError> {
        self.ask("fence".to_owned());
        Ok(())
    }

    fn claim(&mut self, _: Epoch, _: &[u8]) -> Result<(), PortError> {
        Ok(())
    }

    fn commit(&mut self, epochs: &[EpochOutput]) -> Result<(), PortError> {
        let sent: Vec<u64> = epochs.iter().map(|epoch| epoch.epoch.0).collect();
        self.ask(format!("commit {sent:?}"));
        match self.commits.pop_front() {
            Some(kind) => Err(PortError::new(kind, "scripted")),
            None => Ok(()),
        }
    }

    fn trim(&mut self, _: Epoch) -> Result<(), PortError> {
        Ok(())
    }

    fn record_bytes_max(&self, _: usize) -> Option<usize> {
        None
    }
}

fn group(epochs: std::ops::RangeInclusive<u64>) -> Vec<CompleteEpoch> {
    let complete = |epoch| CompleteEpoch {
        epoch,
        outputs: Vec::new(),
        dead_letters: Vec::new(),
        keyed: Arc::new(Vec::new()),
        journal: Vec::new(),
        source_offsets: Vec::new(),
        decoded: Vec::new(),
    };
    epochs.map(complete).collect()
}

fn record(owner: &str, epoch: u64) -> Vec<u8> {
    Record::new(Epoch(epoch), owner.to_owned(), String::new(), 0).encode()
}

fn claim(owner: &str) -> Vec<u8> {
    Claim::new(Epoch(0), owner.to_owned()).encode()
}

/// A clock on which every look takes a second.
#[derive(Default)]
struct Ticking(AtomicU64);

impl Clock for Ticking {
    fn now(&self) -> Duration {
        Duration::from_secs(self.0.fetch_add(1, Ordering::Relaxed))
    }

    fn wall_ms(&self) -> i64 {
        0
    }
}

/// What a commit of four epochs came to, and what was asked of the committer meanwhile.
fn outcome(committer: Scripted, stop: bool) -> (Result<(), Error>, Vec<String>) {
    let asked = Arc::clone(&committer.asked);
    let status = Arc::new(Status::new("job", Vec::new(), Vec::new()));
    let clock: Arc<dyn Clock> = Arc::new(Ticking::default());
    let mut commits = Commits::new(
        Box::new(committer),
        ("mine".to_owned(), Epoch(0)),
        status,
        clock,
        Arc::new(Outgoing::default()),
        Arc::new(Mutex::new(DeadLetterFile::new("none".as_ref()))),
    );
    group(1..=4)
        .into_iter()
        .for_each(|epoch| commits.add(epoch));
    let outcome = loop {
        match commits.step(stop) {
            Ok(Step::Again(_)) => {}
            Ok(Step::Committed(epoch)) => {
                assert_eq!(epoch, 4);
                break Ok(());
            }
            Ok(Step::Idle) => panic!("it forgot what it was to commit"),
            Err(error) => break Err(error),
        }
    };
    let asked = asked.lock().expect("no test panics with it").clone();
    (outcome, asked)
}

#[test]
fn a_run_that_was_replaced_exits_and_fences_nobody_whatever_epochs_the_journal_has() {
    let committer = Scripted {
        commits: [ErrorKind::Retry].into(),
        journals: [(1..=9).map(|epoch| record("another", epoch)).collect()].into(),
        ..Scripted::default()
    };
    let (outcome, asked) = outcome(committer, false);
    assert_eq!(outcome.expect_err("replaced").kind(), ErrorKind::Fenced);
    assert_eq!(asked, ["commit [1, 2, 3, 4]", "read"]);
}

#[test]
fn a_run_that_is_replaced_between_its_two_looks_exits_too() {
    let committer = Scripted {
        commits: [ErrorKind::Retry].into(),
        journals: [vec![claim("mine")], vec![claim("mine"), claim("another")]].into(),
        ..Scripted::default()
    };
    let (outcome, asked) = outcome(committer, false);
    assert_eq!(outcome.expect_err("replaced").kind(), ErrorKind::Fenced);
    assert_eq!(asked, ["commit [1, 2, 3, 4]", "read", "fence", "read"]);
}

#[test]
fn what_does_not_stand_is_sent_again_in_smaller_groups() {
    let own = vec![claim("mine"), record("mine", 1)];
    let committer = Scripted {
        commits: [ErrorKind::Retry, ErrorKind::Retry].into(),
        journals: [own.clone(), own].into(),
        ..Scripted::default()
    };
    let (outcome, asked) = outcome(committer, false);
    outcome.expect("it goes well in the end");
    let commits = asked.iter().filter(|asked| asked.starts_with("commit"));
    let commits: Vec<&String> = commits.collect();
    assert_eq!(
        commits,
        [
            "commit [1, 2, 3, 4]",
            "commit [2, 3]",
            "commit [2]",
            "commit [3]",
            "commit [4]"
        ]
    );
}

#[test]
fn a_doubt_is_given_up_when_the_run_is_to_end_and_nobody_answers_for_long() {
    let committer = Scripted {
        commits: [ErrorKind::Retry].into(),
        is_away: true,
        ..Scripted::default()
    };
    let (outcome, asked) = outcome(committer, true);
    assert_eq!(
        outcome.expect_err("nobody answers").kind(),
        ErrorKind::Retry
    );
    assert_eq!(asked[0], "commit [1, 2, 3, 4]");
    assert!(asked.len() > 2 && asked[1..].iter().all(|asked| asked == "read"));
}
