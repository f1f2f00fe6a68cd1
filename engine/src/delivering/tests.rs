//! What becomes of a target that fails, refuses, or has lost what it had.

use std::collections::VecDeque;
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use tidemill_checkpoints::{DeadLetterFile, Outbox};
use tidemill_connectors_api::{Delivery, Error as PortError, Rejected};
use tidemill_types::{Epoch, ErrorKind, Parcel};

use super::{Deliveries, OfRun, Step};
use crate::{Error, Status};

/// Answers as it was told to: each `open`, `bring` and `settle` takes the next answer; those beyond go well.
#[derive(Default)]
struct Scripted {
    opens: VecDeque<Result<u64, ErrorKind>>,
    brings: VecDeque<ErrorKind>,
    settles: VecDeque<ErrorKind>,
    rejects: Vec<Rejected>,
}

impl Delivery for Scripted {
    fn open(&mut self, _: &str) -> Result<Epoch, PortError> {
        let answer = self.opens.pop_front().unwrap_or(Ok(0));
        answer
            .map(Epoch)
            .map_err(|kind| PortError::new(kind, "scripted"))
    }

    fn bring(&mut self, _: &[Parcel]) -> Result<Vec<Rejected>, PortError> {
        match self.brings.pop_front() {
            Some(kind) => Err(PortError::new(kind, "scripted")),
            None => Ok(self.rejects.clone()),
        }
    }

    fn settle(&mut self) -> Result<(), PortError> {
        match self.settles.pop_front() {
            Some(kind) => Err(PortError::new(kind, "scripted")),
            None => Ok(()),
        }
    }
}

/// Deliveries of a sink that has parcels of these epochs, and had others through that of a checkpoint.
fn deliveries(folder: &TempDir, target: Scripted, checkpoint: u64, epochs: &[u64]) -> Deliveries {
    let folder = folder.path();
    let kept = folder.join("kept");
    fs::create_dir_all(&kept).unwrap();
    fs::write(kept.join("gone"), checkpoint.to_string()).unwrap();
    let kept = Some((&*kept, Epoch(checkpoint)));
    let outbox = Outbox::restore(&folder.join("outbox"), kept, 1 << 20);
    let outbox = Arc::new(outbox.unwrap());
    for &epoch in epochs {
        let mut parcel = Parcel {
            epoch: Epoch(epoch),
            ..Parcel::default()
        };
        parcel.records.push(b"k", Some(b"v"));
        outbox.put(&parcel).unwrap();
    }
    let mut status = Status::new("job", Vec::new(), vec!["target".to_owned()]);
    status.sinks[0].delivery.sink = Some("films".to_owned());
    let run = OfRun {
        plan_hash: "plan".to_owned(),
        history: "history".to_owned(),
        status: Arc::new(status),
        dead_letters: Arc::new(Mutex::new(DeadLetterFile::new(folder))),
    };
    Deliveries::new(run, 0, Box::new(target), outbox)
}

fn kind(stepped: Result<Step, Error>) -> ErrorKind {
    stepped.expect_err("it cannot go on").kind()
}

#[test]
fn a_target_that_is_away_is_tried_again_after_a_growing_pause() {
    let folder = TempDir::new().unwrap();
    let target = Scripted {
        opens: [Err(ErrorKind::Retry), Err(ErrorKind::Retry), Ok(0)].into(),
        brings: [ErrorKind::Retry].into(),
        ..Scripted::default()
    };
    let mut deliveries = deliveries(&folder, target, 0, &[1]);
    let ms = |ms| Step::Again(Duration::from_millis(ms));
    for expected in [ms(100), ms(200), ms(400), Step::Delivered, Step::Idle] {
        assert_eq!(deliveries.step().unwrap(), expected);
    }
    assert!(deliveries.is_done());
}

#[test]
fn what_is_wrong_from_the_beginning_ends_the_run_and_what_goes_wrong_later_does_not() {
    let folder = TempDir::new().unwrap();
    let at_once = Scripted {
        opens: [Err(ErrorKind::Invalid)].into(),
        ..Scripted::default()
    };
    let mut wrong = deliveries(&folder, at_once, 0, &[1]);
    assert_eq!(kind(wrong.step()), ErrorKind::Invalid);
    let later = Scripted {
        brings: [ErrorKind::Invalid, ErrorKind::Fenced].into(),
        ..Scripted::default()
    };
    let mut replaced = deliveries(&folder, later, 0, &[1]);
    assert!(matches!(replaced.step().unwrap(), Step::Again(_)));
    assert_eq!(kind(replaced.step()), ErrorKind::Fenced);
}

#[test]
fn what_the_target_has_is_not_delivered_again() {
    let folder = TempDir::new().unwrap();
    let target = Scripted {
        opens: [Ok(2)].into(),
        ..Scripted::default()
    };
    let mut deliveries = deliveries(&folder, target, 0, &[1, 2]);
    assert_eq!(deliveries.step().unwrap(), Step::Idle);
    assert!(deliveries.is_done());
}

#[test]
fn a_target_that_lost_what_nobody_has_any_more_is_refused() {
    let folder = TempDir::new().unwrap();
    let mut deliveries = deliveries(&folder, Scripted::default(), 7, &[8]);
    let refused = deliveries.step().unwrap_err();
    assert!(refused.to_string().contains("through epoch 0"), "{refused}");
    assert_eq!(refused.kind(), ErrorKind::Invalid);
}

/// The answer to a settle got lost, and the target has it: then it says so, and nothing is brought again.
#[test]
fn what_is_rejected_is_kept_beside_the_state_once_before_it_counts() {
    let folder = TempDir::new().unwrap();
    let target = Scripted {
        opens: [Ok(0), Ok(0), Ok(1)].into(),
        settles: [ErrorKind::Retry, ErrorKind::Retry].into(),
        rejects: vec![Rejected {
            epoch: Epoch(1),
            record: 0,
            reason: "too long".to_owned(),
        }],
        ..Scripted::default()
    };
    let mut deliveries = deliveries(&folder, target, 0, &[1]);
    for _ in 0..2 {
        assert!(matches!(deliveries.step().unwrap(), Step::Again(_)));
    }
    assert_eq!(deliveries.step().unwrap(), Step::Idle);
    let mut kept = Vec::new();
    let letters = DeadLetterFile::new(folder.path());
    letters.read(|letter| kept.push(letter)).unwrap();
    assert_eq!(kept.len(), 1);
    let letter = &kept[0].letter;
    assert!(letter.reason.ends_with("too long"), "{}", letter.reason);
    assert_eq!(letter.source, "films");
    assert_eq!(letter.bytes.as_deref(), Some(&b"v"[..]));
}
