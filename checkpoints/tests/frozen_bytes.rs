//! The bytes of the journal's records and of manifests, as version 2 writes and reads them.

use tidemill_checkpoints::journal::decode_all;
use tidemill_checkpoints::{DataTimes, FileEntry, Manifest, Positions, Record};
use tidemill_types::{Epoch, ErrorKind};

const RECORD: &str = r#"{"version":2,"epoch":42,"plan_hash":"9f86d081","clock_ms":1752537600123,"time":{"steady_ms":1752537500000,"oldest_ms":1752537400000,"newest_ms":1752537600100,"idle":{"studio.payment":[2,10]}},"positions":{"studio.budget":{"0":-1},"studio.payment":{"0":17,"2":9007199254740993,"10":0}}}"#;

const MANIFEST: &str = concat!(
    r#"{"version":2,"job":"finance","epoch":42,"plan_hash":"9f86d081","plan_text":"source payment\n  table payment","workers":2,"#,
    r#""clock_ms":1752537600123,"time":{"steady_ms":1752537500000,"oldest_ms":1752537400000,"newest_ms":1752537600100,"idle":{"studio.payment":[2,10]}},"#,
    r#""created_ms":1752537600456,"positions":{"studio.payment":{"0":17}},"#,
    r#""files":[{"path":"worker-0/000012.sst","bytes":4096,"crc32":3735928559}],"state_bytes":4096}"#,
    "\na26beb73\n"
);

fn times() -> DataTimes {
    DataTimes {
        steady_ms: 1_752_537_500_000,
        oldest_ms: 1_752_537_400_000,
        newest_ms: 1_752_537_600_100,
        idle: [("studio.payment".to_owned(), vec![2, 10])].into(),
    }
}

fn record() -> Record {
    let positions = [
        (
            "studio.payment",
            vec![(0, 17), (10, 0), (2, 9_007_199_254_740_993)],
        ),
        ("studio.budget", vec![(0, -1)]),
    ];
    let positions: Positions = positions
        .into_iter()
        .map(|(topic, at)| (topic.to_owned(), at.into_iter().collect()))
        .collect();
    Record::new(
        Epoch(42),
        "9f86d081".to_owned(),
        1_752_537_600_123,
        times(),
        positions,
    )
}

fn manifest() -> Manifest {
    Manifest {
        version: 2,
        job: "finance".to_owned(),
        epoch: Epoch(42),
        plan_hash: "9f86d081".to_owned(),
        plan_text: "source payment\n  table payment".to_owned(),
        workers: 2,
        clock_ms: 1_752_537_600_123,
        time: times(),
        created_ms: 1_752_537_600_456,
        positions: [("studio.payment".to_owned(), [(0, 17)].into())].into(),
        files: vec![FileEntry {
            path: "worker-0/000012.sst".to_owned(),
            bytes: 4096,
            crc32: 0xdead_beef,
        }],
        state_bytes: 4096,
    }
}

#[test]
fn a_journal_record_is_these_bytes() {
    assert_eq!(
        String::from_utf8(record().encode()).expect("JSON is UTF-8"),
        RECORD
    );
    assert_eq!(decode_all(&[RECORD]).expect("readable"), [record()]);
}

#[test]
fn a_manifest_is_these_bytes() {
    assert_eq!(
        String::from_utf8(manifest().encode()).expect("JSON is UTF-8"),
        MANIFEST
    );
    assert_eq!(Manifest::decode(MANIFEST.as_bytes()), Ok(manifest()));
}

#[test]
fn a_manifest_with_any_bit_changed_or_any_byte_missing_is_none() {
    for i in 0..MANIFEST.len() {
        let mut changed = MANIFEST.as_bytes().to_vec();
        changed[i] ^= 1;
        assert!(Manifest::decode(&changed).is_err(), "byte {i} changed");
        assert!(
            Manifest::decode(&MANIFEST.as_bytes()[..i]).is_err(),
            "cut off at byte {i}"
        );
    }
}

#[test]
fn a_record_that_cannot_be_read_is_named_by_its_place() {
    let error = decode_all(&[RECORD, "{\"version\":2"]).expect_err("cut off");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(
        error.to_string().starts_with("journal record 1 "),
        "{error}"
    );

    let error = decode_all(&[RECORD.replace("\"version\":2", "\"version\":3")])
        .expect_err("from the future");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("version 3"), "{error}");
}
