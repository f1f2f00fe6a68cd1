//! Input as it should not be: every record ends as a row or as a dead letter with its place, its reason and its bytes, and the job goes on;
//! every wrong job or folder is refused with what to do about it.
//!
//! Over files; the same decoder and operators stand behind Kafka, whose own troubles are in `flagship_kafka`.

#![expect(
    clippy::unwrap_used,
    reason = "what a test cannot go on without fails it"
)]

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tempfile::TempDir;
use tidemill_tests_e2e::files;
use tidemill_tests_e2e::jobs::FilesJob;
use tidemill_tests_e2e::process::{Live, Outcome};

const WITH: &str = "connector = 'files', path = '${TIDEMILL_DATA}'";
const MEGABYTE: usize = 1 << 20;
/// 2026-01-01, in milliseconds.
const NEW_YEAR: u64 = 1_767_225_600_000;

/// A job over payments with a column of each kind, in a folder of its own.
struct Payments {
    job: FilesJob,
    _scratch: TempDir,
}

impl Payments {
    fn new() -> Self {
        let scratch = TempDir::new().unwrap();
        let sql = scratch.path().join("payments.sql");
        let statements = format!(
            "CREATE SOURCE payment_events (
                 id BIGINT NOT NULL METADATA FROM 'id', amount DECIMAL(18, 2) NOT NULL, code INT, rate DOUBLE, urgent BOOLEAN, due_on DATE,
                 paid_at TIMESTAMP, note VARCHAR, ref UUID, ts TIMESTAMP METADATA FROM 'ts', uuid VARCHAR METADATA FROM 'uuid',
                 WATERMARK FOR ts AS ts - INTERVAL '5' SECOND
             ) WITH (envelope = 'crud', {WITH}, topic = 'payments', entity = 'payment');
             CREATE TABLE payment (PRIMARY KEY (id)) FROM payment_events DEDUPLICATE BY uuid WITHIN INTERVAL '1' DAY VERSION BY ts;
             CREATE STREAM payment_changes FROM payment_events DEDUPLICATE BY uuid WITHIN INTERVAL '1' DAY
                 RESEQUENCE BY ts PER id WITHIN INTERVAL '5' SECOND;
             CREATE SINK current WITH ({WITH}, topic = 'current', key = 'id') AS
                 SELECT id, amount, code, rate, urgent, due_on, paid_at, character_length(note) AS length, ref FROM payment;
             CREATE SINK trail WITH ({WITH}, topic = 'trail', key = 'id', envelope = 'plain') AS SELECT id, ts FROM payment_changes;
             CREATE SINK quotients WITH ({WITH}, topic = 'quotients', key = 'id') AS SELECT id, 100 / code AS quotient FROM payment;
             CREATE SINK dead WITH ({WITH}, topic = 'dead') AS SELECT * FROM tidemill_dead_letters;\n"
        );
        fs::write(&sql, statements).unwrap();
        let job = FilesJob::below(scratch.path(), &sql, "payments");
        Self {
            job,
            _scratch: scratch,
        }
    }

    /// Appends a record; returns its offset.
    fn feed(&self, partition: u32, record: &[u8]) -> i64 {
        let path = self.job.data.join(format!("payments/{partition}.jsonl"));
        let offset = fs::metadata(path).map_or(0, |file| file.len());
        files::append(
            &self.job.data,
            "payments",
            partition,
            &[record, b"\n"].concat(),
        );
        i64::try_from(offset).unwrap()
    }

    fn catch_up(&self) -> Outcome {
        Live::start(self.job.run(2, &["--until-caught-up"])).ends()
    }

    fn ids(&self) -> Vec<u64> {
        let rows = files::rows(&self.job.data, "current");
        rows.iter().map(|row| row["id"].as_u64().unwrap()).collect()
    }

    fn dead_letters(&self) -> Vec<DeadLetter> {
        let rows = files::rows(&self.job.data, "dead");
        let mut letters: Vec<DeadLetter> = rows.iter().map(DeadLetter::of).collect();
        letters.sort_unstable();
        letters
    }
}

/// A row of the dead letters.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct DeadLetter {
    topic: String,
    partition: u64,
    offset: i64,
    reason: String,
    bytes: Vec<u8>,
}

impl DeadLetter {
    fn of(row: &Value) -> Self {
        let text = |member: &str| row[member].as_str().unwrap().to_owned();
        Self {
            topic: text("topic"),
            partition: row["partition"].as_u64().unwrap(),
            offset: row["offset"].as_i64().unwrap(),
            reason: text("reason"),
            bytes: STANDARD.decode(text("bytes")).unwrap(),
        }
    }
}

/// A good payment.
fn good(id: u64) -> Vec<u8> {
    payment(id, r#""amount":"1.00""#)
}

/// A payment with some data.
fn payment(id: u64, data: &str) -> Vec<u8> {
    let ts = NEW_YEAR + id;
    let text = format!(
        r#"{{"uuid":"u{id}","type":"create","ts":{ts},"entity":"payment","id":{id},"data":{{{data}}}}}"#
    );
    text.into_bytes()
}

/// A good payment with a member of its envelope replaced.
fn envelope(member: &str, value: &str) -> Vec<u8> {
    let good = [
        ("uuid", r#""u""#),
        ("type", r#""create""#),
        ("ts", "1767225600000"),
        ("entity", r#""payment""#),
        ("id", "1"),
        ("data", r#"{"amount":"1.00"}"#),
    ];
    let members: Vec<String> = good
        .iter()
        .map(|&(name, usual)| (name, if name == member { value } else { usual }))
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("\"{name}\":{value}"))
        .collect();
    format!("{{{}}}", members.join(",")).into_bytes()
}

/// Records that are no JSON objects.
fn no_objects() -> Vec<(Vec<u8>, &'static str)> {
    let of = |text: &str| text.as_bytes().to_vec();
    vec![
        (of(""), "empty record: expected a JSON object"),
        (
            of("   "),
            "truncated JSON: it ends at byte 3 (EOF while parsing a value)",
        ),
        (of("\0\0\0"), "invalid JSON at byte 0: expected value"),
        (vec![0xff, 0xfe, 0x00], "invalid UTF-8 at byte 0"),
        (
            b"{\"uuid\":\"\xe2\x82\"}".to_vec(),
            "invalid UTF-8 at byte 9",
        ),
        (of("\u{feff}{}"), "invalid JSON at byte 0: expected value"),
        (of("lorem ipsum"), "invalid JSON at byte 0: expected value"),
        (of("[1, 2]"), "not a JSON object: found [1, 2]"),
        (
            of("null"),
            "empty record: it has no value, and its envelope no such deletes (envelope = 'upsert' has)",
        ),
        (of("{} {}"), "invalid JSON at byte 3: trailing characters"),
        (
            payment(1, "")[..40].to_vec(),
            "truncated JSON: it ends at byte 40 (EOF while parsing an object)",
        ),
    ]
}

/// Records, and why each cannot be used.
fn bad_records() -> Vec<(Vec<u8>, String)> {
    let times = "milliseconds since 1970 or an ISO 8601 string, of the years 1 to 9999";
    let id = |found: &str, why: &str| {
        let reason = format!("field 'id': expected BIGINT, found {found}{why}");
        (envelope("id", found), reason)
    };
    let member = |member: &str, expected: &str, found: &str| {
        let reason = format!("envelope member '{member}': expected {expected}, found {found}");
        (envelope(member, found), reason)
    };
    let missing = ["uuid", "type", "ts", "entity", "id"];
    let missing = missing.map(|member| {
        (
            envelope(member, ""),
            format!("the envelope has no '{member}'"),
        )
    });
    let envelopes = [
        member("uuid", "a string that is not empty", r#""""#),
        member("type", "create, read, update or delete", r#""upsert""#),
        member("ts", times, r#""yesterday""#),
        member("ts", times, "253402300800000"),
        (
            envelope("entity", r#""refund""#),
            "envelope member 'entity': expected payment, found refund".to_owned(),
        ),
        (
            envelope("id", "null"),
            "the envelope has no 'id'".to_owned(),
        ),
        member("id", "a number or a string", "[1]"),
        id(r#""1""#, ""),
        id("9223372036854775808", " (out of range)"),
        (
            envelope("data", ""),
            "create without 'data': no state in the event and no lookup is configured".to_owned(),
        ),
        (
            envelope("data", "[]"),
            "envelope member 'data': expected an object, found an array".to_owned(),
        ),
    ];
    let owned = no_objects()
        .into_iter()
        .map(|(record, reason)| (record, reason.to_owned()));
    owned
        .into_iter()
        .chain(missing)
        .chain(envelopes)
        .chain(bad_fields())
        .collect()
}

/// Records of which one field cannot be used.
fn bad_fields() -> impl Iterator<Item = (Vec<u8>, String)> {
    let fields = [
        ("amount", "null", "DECIMAL(18, 2) NOT NULL", ""),
        ("amount", "true", "DECIMAL(18, 2)", ""),
        (
            "amount",
            r#""12,50""#,
            "DECIMAL(18, 2)",
            " (not in its text form)",
        ),
        (
            "amount",
            "0.001",
            "DECIMAL(18, 2)",
            " (more fractional digits than the scale)",
        ),
        ("amount", "1e17", "DECIMAL(18, 2)", " (out of range)"),
        (
            "amount",
            "1e1000000000",
            "DECIMAL(18, 2)",
            " (out of range)",
        ),
        (
            "amount",
            "1e-1000000000",
            "DECIMAL(18, 2)",
            " (more fractional digits than the scale)",
        ),
        ("code", "2147483648", "INT", " (out of range)"),
        ("code", r#""7""#, "INT", ""),
        ("code", "1.5", "INT", ""),
        ("rate", r#""fast""#, "DOUBLE", ""),
        ("rate", "1e999", "DOUBLE", " (out of range)"),
        ("urgent", r#""yes""#, "BOOLEAN", ""),
        (
            "due_on",
            r#""2026-02-30""#,
            "DATE",
            " (not in its text form)",
        ),
        ("due_on", "20260101", "DATE", ""),
        (
            "paid_at",
            r#""2026-01-01T25:00:00Z""#,
            "TIMESTAMP",
            " (not in its text form)",
        ),
        ("note", "7", "VARCHAR", ""),
        ("note", r#""\ud800""#, "VARCHAR", " (not in its text form)"),
        ("ref", r#""0190f3a1""#, "UUID", " (not in its text form)"),
    ];
    fields.into_iter().map(|(field, value, expected, why)| {
        let record = payment(1, &format!(r#""amount":"1.00","{field}":{value}"#));
        (
            record,
            format!("field '{field}': expected {expected}, found {value}{why}"),
        )
    })
}

#[test]
fn each_bad_record_is_a_dead_letter_with_its_place_reason_and_bytes() {
    let payments = Payments::new();
    let mut expected = Vec::new();
    payments.feed(0, &good(100));
    payments.feed(1, &good(101));
    for (i, (record, reason)) in bad_records().into_iter().enumerate() {
        let partition = u32::try_from(i % 2).unwrap();
        let offset = payments.feed(partition, &record);
        expected.push(DeadLetter {
            topic: "payments".to_owned(),
            partition: partition.into(),
            offset,
            reason,
            bytes: record,
        });
    }
    payments.feed(0, &good(102));
    payments.feed(1, &good(103));
    expected.sort_unstable();

    let last = payments.catch_up().last();
    assert_eq!(last["dead_letters"], expected.len(), "{last}");
    assert_eq!(payments.ids(), [100, 101, 102, 103]);
    let found = payments.dead_letters();
    for (found, expected) in found.iter().zip(&expected) {
        let record = String::from_utf8_lossy(&expected.bytes);
        assert_eq!(found, expected, "{record}");
    }
    assert_eq!(found.len(), expected.len());
}

#[test]
fn a_time_far_in_the_future_does_not_drag_the_watermark() {
    let payments = Payments::new();
    let at = |id: u64, ts: u64| {
        let record = String::from_utf8(good(id)).unwrap();
        record
            .replace(&(NEW_YEAR + id).to_string(), &ts.to_string())
            .into_bytes()
    };
    files::append(&payments.job.data, "payments", 1, b"");
    payments.feed(0, &at(1, NEW_YEAR));
    payments.feed(0, &at(2, NEW_YEAR * 3));
    payments.catch_up().good();
    payments.feed(0, &at(3, NEW_YEAR + 1));
    payments.feed(1, &at(4, NEW_YEAR + 60_000));
    payments.feed(0, &at(5, NEW_YEAR + 60_000));
    let last = payments.catch_up().last();
    assert_eq!(last["late"], 0, "{last}");
    let trail = files::rows(&payments.job.data, "trail");
    let ids: Vec<_> = trail
        .iter()
        .map(|row| row["id"].as_u64().unwrap())
        .collect();
    assert_eq!(ids, [1, 3]);
    let [dead] = &payments.dead_letters()[..] else {
        panic!("one dead letter");
    };
    assert!(
        dead.reason
            .contains("ms ahead of its record's time, at most 300000 ms are allowed"),
        "{dead:?}"
    );
}

#[test]
fn lines_of_ten_megabytes_are_a_row_or_a_dead_letter() {
    let payments = Payments::new();
    let note = "é".repeat(5 * MEGABYTE);
    payments.feed(
        0,
        &payment(1, &format!(r#""amount":"1.00","note":"{note}""#)),
    );
    let garbage = "x".repeat(10 * MEGABYTE);
    let offset = payments.feed(0, garbage.as_bytes());
    payments.feed(0, &good(2));
    // What no column uses is not looked at, however deep it is.
    let deep = "[".repeat(MEGABYTE) + &"]".repeat(MEGABYTE);
    payments.feed(
        0,
        &payment(3, &format!(r#""amount":"1.00","unknown":{deep}"#)),
    );
    payments.feed(0, &good(4));
    payments.catch_up().good();

    let current = files::rows(&payments.job.data, "current");
    assert_eq!(current[0]["length"], 5 * MEGABYTE);
    assert_eq!(payments.ids()[..2], [1, 2]);
    assert!(payments.ids().contains(&4));
    let dead = payments.dead_letters();
    assert_eq!(dead[0].offset, offset);
    assert!(dead[0].bytes == garbage.as_bytes());
}

#[test]
fn a_line_is_read_when_it_is_whole() {
    let payments = Payments::new();
    payments.feed(0, &good(1));
    let record = good(2);
    let (half, rest) = record.split_at(record.len() / 2);
    files::append(&payments.job.data, "payments", 0, half);
    payments.catch_up().good();
    assert_eq!(payments.ids(), [1]);
    payments.feed(0, rest);
    payments.catch_up().good();
    assert_eq!(payments.ids(), [1, 2]);
    assert_eq!(payments.dead_letters(), []);
}

#[test]
fn a_row_that_cannot_be_computed_is_a_dead_letter_of_its_stage() {
    let payments = Payments::new();
    payments.feed(0, &payment(1, r#""amount":"1.00","code":0"#));
    payments.feed(0, &payment(2, r#""amount":"1.00","code":7"#));
    let last = payments.catch_up().last();
    assert_eq!(last["dead_letters"], 1, "{last}");
    let [dead] = &payments.dead_letters()[..] else {
        panic!("one dead letter");
    };
    assert_eq!((&*dead.topic, dead.offset), ("quotients/project-1", -1));
    let reason = "'100 / CAST(code AS BIGINT)' at 12:143 cannot be computed: divide by zero error";
    assert_eq!(dead.reason, reason);
    assert!(
        String::from_utf8_lossy(&dead.bytes).contains("code = 0"),
        "{dead:?}"
    );

    // The row that comes in its place is written; nothing has to be taken back.
    let record = String::from_utf8(payment(3, r#""amount":"1.00","code":50"#)).unwrap();
    payments.feed(0, record.replace("\"id\":3", "\"id\":1").as_bytes());
    payments.catch_up().good();
    let quotients = files::records(&payments.job.data, "quotients");
    let row = |id: &str, value: &str| (id.to_owned(), Some(value.to_owned()));
    assert_eq!(
        quotients,
        [
            row("2", r#"{"id":2,"quotient":14}"#),
            row("1", r#"{"id":1,"quotient":2}"#)
        ]
    );
}

#[test]
fn a_topic_without_files_is_refused() {
    let payments = Payments::new();
    let wanted = format!(
        "topic 'payments' has no partition file; create '{}' (JSON lines)",
        payments.job.data.join("payments/0.jsonl").display()
    );
    for _ in ["there is no folder", "the folder is empty"] {
        let said = payments.catch_up().failed_with(2);
        assert!(said.contains(&wanted), "{said}");
        fs::create_dir_all(payments.job.data.join("payments")).unwrap();
    }
    // An empty file is a partition without records.
    files::append(&payments.job.data, "payments", 0, b"");
    assert_eq!(payments.catch_up().last()["records_in"], 0);
}

#[test]
fn input_that_was_shortened_is_not_trusted() {
    let payments = Payments::new();
    payments.feed(0, &good(1));
    payments.feed(0, &good(2));
    payments.catch_up().good();
    let path = payments.job.data.join("payments/0.jsonl");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let said = payments.catch_up().failed_with(2);
    assert!(said.contains("was deleted and made again"), "{said}");
    fs::write(&path, &bytes).unwrap();
    payments.feed(0, &good(3));
    payments.catch_up().good();
    assert_eq!(payments.ids(), [1, 2, 3]);
}

/// What is said about the job with a part of its SQL replaced, with `SQL` for its file and `HERE` for the line and column of `place` in what
/// came in. It must be refused before anything is written.
fn refusal(from: &str, to: &str, place: &str) -> String {
    let payments = Payments::new();
    payments.feed(0, &good(1));
    let (job, sql) = (
        &payments.job,
        fs::read_to_string(&payments.job.sql).unwrap(),
    );
    let start = sql
        .find(from)
        .unwrap_or_else(|| panic!("'{from}' is not in the SQL"));
    let before = &sql[..start + to.find(place).unwrap()];
    let column = before.len() - before.rfind('\n').unwrap();
    let here = format!("{}:{column}", before.lines().count());
    fs::write(&job.sql, sql.replacen(from, to, 1)).unwrap();
    let said = payments.catch_up().failed_with(2);
    assert!(!job.state.join("identity.json").exists() && !job.data.join("current").exists());
    said.replace(&job.sql.display().to_string(), "SQL")
        .replace(&here, "HERE")
}

#[test]
fn wrong_sql_is_refused_with_its_line_and_column() {
    let wrong = [
        ("CREATE TABLE payment", "CREATE TABEL payment", "TABEL"),
        (
            "character_length(note)",
            "character_lenght(note)",
            "character_lenght",
        ),
        ("100 / code AS", "100 / kode AS", "kode"),
        ("100 / code AS", "random() AS", "random"),
    ];
    for (from, to, place) in wrong {
        let said = refusal(from, to, place);
        assert!(
            said.starts_with("error: SQL:HERE: ") && said.contains(place),
            "{said}"
        );
    }
}

#[test]
fn options_that_nobody_knows_are_refused() {
    let said = refusal(
        "topic = 'current'",
        "topic = 'current', tpoic = 'x'",
        "tpoic",
    );
    assert!(said.contains("'tpoic'"), "{said}");
    let said = refusal("connector = 'files'", "connector = 'fiels'", "fiels");
    assert!(
        said.contains("'fiels'") && said.contains("'files'"),
        "{said}"
    );
}
