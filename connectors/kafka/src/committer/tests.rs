//! What a failed transaction means, by how long it took.

use std::time::Duration;

use tidemill_connectors_api::{Error, Options, SinkSpec};
use tidemill_types::ErrorKind;

use super::{EXPIRED_MAX, KafkaCommitter};
use crate::options::CommitterOptions;

const BEGAN: &str = "commit epochs 7 to 7";

fn committer(timeout_ms: &str) -> KafkaCommitter {
    let options = Options::from([
        ("bootstrap.servers".to_owned(), "nowhere:9092".to_owned()),
        ("topic".to_owned(), "out".to_owned()),
        ("transaction.timeout.ms".to_owned(), timeout_ms.to_owned()),
    ]);
    let sink = SinkSpec {
        name: "out".to_owned(),
        options,
        compacted: true,
    };
    KafkaCommitter::new(CommitterOptions::parse("job", &[sink]).unwrap())
}

fn after(committer: &mut KafkaCommitter, kind: ErrorKind, took_ms: u64, epochs: usize) -> Error {
    let error = Error::new(kind, "what the client said");
    committer.outcome(error, Duration::from_millis(took_ms), epochs, BEGAN)
}

#[test]
fn an_owner_is_replaced_if_it_is_fenced_in_time_and_in_doubt_if_its_transaction_expired() {
    let mut committer = committer("1000");
    let fenced = after(&mut committer, ErrorKind::Fenced, 999, 1);
    assert_eq!(fenced.kind, ErrorKind::Fenced);
    assert!(
        fenced
            .message
            .contains("a newer process of the job took over")
    );
    let expired = after(&mut committer, ErrorKind::Fenced, 1000, 1);
    assert_eq!(expired.kind, ErrorKind::Retry, "{expired}");
    assert!(
        expired
            .message
            .contains("'transaction.timeout.ms' (1000 ms)"),
        "{expired}"
    );
}

#[test]
fn an_epoch_that_alone_takes_too_long_again_and_again_is_named() {
    let mut committer = committer("1000");
    for _ in 0..10 {
        let together = after(&mut committer, ErrorKind::Retry, 5000, 2);
        assert_eq!(
            together.kind,
            ErrorKind::Retry,
            "several may be sent one by one"
        );
    }
    for _ in 1..EXPIRED_MAX {
        assert_eq!(
            after(&mut committer, ErrorKind::Retry, 5000, 1).kind,
            ErrorKind::Retry
        );
    }
    let named = after(&mut committer, ErrorKind::Retry, 5000, 1);
    assert_eq!(named.kind, ErrorKind::Invalid);
    for part in [
        "epochs 7 to 7",
        "3 times in a row",
        "set that option",
        "--epoch-bytes",
    ] {
        assert!(named.message.contains(part), "{named}");
    }
}

#[test]
fn what_fails_quickly_is_no_expired_transaction() {
    let mut committer = committer("1000");
    for _ in 0..10 {
        assert_eq!(
            after(&mut committer, ErrorKind::Retry, 10, 1).message,
            "what the client said"
        );
    }
    assert_eq!(
        after(&mut committer, ErrorKind::Invalid, 5000, 1).kind,
        ErrorKind::Invalid
    );
}
