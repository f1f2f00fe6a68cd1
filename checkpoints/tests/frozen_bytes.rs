//! The bytes of the journal's records and of manifests, as version 2 writes and reads them.

use tidemill_checkpoints::{
    Claim, DataTimes, FileEntry, Incarnations, Journal, Manifest, Positions, Record,
};
use tidemill_types::{Epoch, ErrorKind};

const RECORD: &str = concat!(
    r#"{"version":2,"epoch":42,"owner":"run-a","plan_hash":"9f86d081","clock_ms":1752537600123,"#,
    r#""time":{"steady_ms":1752537500000,"oldest_ms":1752537400000,"newest_ms":1752537600100,"idle":{"payments":[2,10]}},"#,
    r#""positions":{"budgets":{"0":-1},"payments":{"0":17,"2":9007199254740993,"10":0}},"started":{"payments":{"10":0}},"#,
    r#""incarnations":{"budgets":"","payments":"lJFyXNoGTuuYXCGsR3VXug"}}"#
);

const RECORD_WITHOUT_NEW_PARTITIONS: &str = r#"{"version":2,"epoch":43,"owner":"run-a","plan_hash":"9f86d081","clock_ms":1752537600223,"time":{"steady_ms":0,"oldest_ms":0,"newest_ms":0,"idle":{}},"positions":{},"incarnations":{}}"#;

const CLAIM: &str = r#"{"version":2,"claims_after":42,"owner":"run-b"}"#;

const MANIFEST: &str = concat!(
    r#"{"version":2,"job":"finance","epoch":42,"owner":"run-a","plan_hash":"9f86d081","plan_text":"source payment\n  table payment","workers":2,"#,
    r#""clock_ms":1752537600123,"time":{"steady_ms":1752537500000,"oldest_ms":1752537400000,"newest_ms":1752537600100,"idle":{"payments":[2,10]}},"#,
    r#""created_ms":1752537600456,"positions":{"payments":{"0":17}},"incarnations":{"payments":"lJFyXNoGTuuYXCGsR3VXug"},"#,
    r#""files":[{"path":"worker-0/000012.sst","bytes":4096,"crc32":3735928559}],"state_bytes":4096}"#,
    "\naf36f57d\n"
);

fn times() -> DataTimes {
    DataTimes {
        steady_ms: 1_752_537_500_000,
        oldest_ms: 1_752_537_400_000,
        newest_ms: 1_752_537_600_100,
        idle: [("payments".to_owned(), vec![2, 10])].into(),
    }
}

fn incarnation() -> String {
    "lJFyXNoGTuuYXCGsR3VXug".to_owned()
}

fn record() -> Record {
    let positions = [
        (
            "payments",
            vec![(0, 17), (10, 0), (2, 9_007_199_254_740_993)],
        ),
        ("budgets", vec![(0, -1)]),
    ];
    let positions: Positions = positions
        .into_iter()
        .map(|(source, at)| (source.to_owned(), at.into_iter().collect()))
        .collect();
    Record {
        time: times(),
        positions,
        started: [("payments".to_owned(), [(10, 0)].into())].into(),
        incarnations: [
            ("payments".to_owned(), incarnation()),
            ("budgets".to_owned(), String::new()),
        ]
        .into(),
        ..Record::new(
            Epoch(42),
            "run-a".to_owned(),
            "9f86d081".to_owned(),
            1_752_537_600_123,
        )
    }
}

fn manifest() -> Manifest {
    Manifest {
        version: 2,
        job: "finance".to_owned(),
        epoch: Epoch(42),
        owner: "run-a".to_owned(),
        plan_hash: "9f86d081".to_owned(),
        plan_text: "source payment\n  table payment".to_owned(),
        workers: 2,
        clock_ms: 1_752_537_600_123,
        time: times(),
        created_ms: 1_752_537_600_456,
        positions: [("payments".to_owned(), [(0, 17)].into())].into(),
        incarnations: Incarnations::from([("payments".to_owned(), incarnation())]),
        files: vec![FileEntry {
            path: "worker-0/000012.sst".to_owned(),
            bytes: 4096,
            crc32: 0xdead_beef,
        }],
        state_bytes: 4096,
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("JSON is UTF-8")
}

#[test]
fn journal_entries_are_these_bytes() {
    let short = Record::new(
        Epoch(43),
        "run-a".to_owned(),
        "9f86d081".to_owned(),
        1_752_537_600_223,
    );
    let claim = Claim::new(Epoch(42), "run-b".to_owned());
    assert_eq!(text(record().encode()), RECORD);
    assert_eq!(text(short.encode()), RECORD_WITHOUT_NEW_PARTITIONS);
    assert_eq!(text(claim.encode()), CLAIM);

    let journal = Journal::decode(&[RECORD, RECORD_WITHOUT_NEW_PARTITIONS]).expect("readable");
    assert_eq!(journal.records, [record(), short]);
    assert_eq!(journal.owner.as_deref(), Some("run-a"));
    let claimed = Journal::decode(&[RECORD, CLAIM]).expect("readable");
    assert_eq!(claimed.owner.as_deref(), Some("run-b"));
    assert_eq!(
        (claimed.committed(), claimed.records.len()),
        (Epoch(42), 1),
        "a claim is no epoch"
    );
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
    let error = Journal::decode(&[RECORD, "{\"version\":2"]).expect_err("cut off");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(
        error.to_string().starts_with("journal record 1 "),
        "{error}"
    );

    let error = Journal::decode(&[RECORD.replace("\"version\":2", "\"version\":1")])
        .expect_err("from the past");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("version 1"), "{error}");
}
