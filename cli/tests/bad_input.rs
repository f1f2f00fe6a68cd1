//! Input as it should not be: every record ends as a row or as a dead letter with its place, its reason and its bytes, and the job goes on;
//! every wrong job or folder is refused with what to do about it.
//!
//! Over files; the same decoder and operators stand behind Kafka, whose own troubles are in `flagship_kafka`.

#[allow(dead_code, reason = "each test program uses a part of the kit")]
mod kit {
    pub mod files;
    pub mod jobs;
    pub mod process;
}

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kit::files;
use kit::jobs::FilesJob;
use kit::process::{Live, Outcome};
use serde_json::Value;
use tempfile::TempDir;

const WITH: &str = "connector = 'files', path = '${TIDEMILL_DATA}'";
const MEGABYTE: usize = 1 << 20;

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
             ) WITH ({WITH}, topic = 'payments', entity = 'payment');
             CREATE TABLE payment (PRIMARY KEY (id)) FROM payment_events DEDUPLICATE BY uuid WITHIN INTERVAL '1' DAY VERSION BY ts;
             CREATE STREAM payment_changes FROM payment_events DEDUPLICATE BY uuid WITHIN INTERVAL '1' DAY
                 RESEQUENCE BY ts PER id WITHIN INTERVAL '5' SECOND;
             CREATE SINK current WITH ({WITH}, topic = 'current', key = 'id') AS
                 SELECT id, amount, code, rate, urgent, due_on, paid_at, character_length(note) AS length, ref FROM payment;
             CREATE SINK trail WITH ({WITH}, topic = 'trail', key = 'id', mode = 'append') AS SELECT id, ts FROM payment_changes;
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

/// A good payment with some of its data replaced.
fn payment(id: u64, data: &str) -> Vec<u8> {
    let ts = 1_767_225_600_000 + id;
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

fn bad_records() -> Vec<(Vec<u8>, &'static str)> {
    let of = |text: &str| text.as_bytes().to_vec();
    let field = |data: &str| payment(1, &format!(r#""amount":"1.00",{data}"#));
    let amount = |value: &str| payment(1, &format!(r#""amount":{value}"#));
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
        (of("null"), "not a JSON object: found null"),
        (of("{}"), "the envelope has no 'uuid'"),
        (of("{} {}"), "invalid JSON at byte 3: trailing characters"),
        (
            payment(1, r#""amount":"1.00""#)[..40].to_vec(),
            "truncated JSON: it ends at byte 40 (EOF while parsing an object)",
        ),
        (envelope("uuid", ""), "the envelope has no 'uuid'"),
        (
            envelope("uuid", r#""""#),
            "envelope member 'uuid': expected a text that is not empty, found \"\"",
        ),
        (envelope("uuid", r#""\ud800""#), "?"),
        (envelope("type", ""), "the envelope has no 'type'"),
        (
            envelope("type", r#""upsert""#),
            "envelope member 'type': expected create, read, update or delete, found \"upsert\"",
        ),
        (envelope("ts", ""), "the envelope has no 'ts'"),
        (envelope("ts", r#""yesterday""#), "?"),
        (envelope("ts", "253402300800000"), "?"),
        (envelope("ts", "4102444800000"), "?"),
        (envelope("entity", ""), "the envelope has no 'entity'"),
        (
            envelope("entity", r#""refund""#),
            "envelope member 'entity': expected payment, found refund",
        ),
        (envelope("id", ""), "the envelope has no 'id'"),
        (envelope("id", "null"), "the envelope has no 'id'"),
        (envelope("id", r#""1""#), "?"),
        (envelope("id", "1.0"), "?"),
        (envelope("id", "9223372036854775808"), "?"),
        (
            envelope("data", ""),
            "create without 'data': no state in the event and no lookup is configured",
        ),
        (
            envelope("data", "[]"),
            "envelope member 'data': expected an object, found []",
        ),
        (
            envelope("data", "{}"),
            "field 'amount': expected DECIMAL(18, 2) NOT NULL, found nothing",
        ),
        (
            amount("null"),
            "field 'amount': expected DECIMAL(18, 2) NOT NULL, found null",
        ),
        (
            amount("true"),
            "field 'amount': expected DECIMAL(18, 2), found true",
        ),
        (amount(r#""12,50""#), "?"),
        (amount("0.001"), "?"),
        (amount("1e17"), "?"),
        (amount("1e1000000000"), "?"),
        (amount("1e-1000000000"), "?"),
        (field(r#""code":2147483648"#), "?"),
        (field(r#""code":"7""#), "?"),
        (field(r#""code":1.5"#), "?"),
        (field(r#""rate":"fast""#), "?"),
        (field(r#""rate":1e999"#), "?"),
        (field(r#""urgent":"yes""#), "?"),
        (field(r#""due_on":"2026-02-30""#), "?"),
        (field(r#""due_on":20260101"#), "?"),
        (field(r#""paid_at":"2026-01-01T25:00:00Z""#), "?"),
        (field(r#""note":7"#), "?"),
        (field(r#""ref":"0190f3a1""#), "?"),
    ]
}

#[test]
fn each_bad_record_is_a_dead_letter_with_its_place_reason_and_bytes() {
    let payments = Payments::new();
    let mut expected = Vec::new();
    payments.feed(0, &payment(100, r#""amount":"1.00""#));
    payments.feed(1, &payment(101, r#""amount":"1.00""#));
    for (i, (record, reason)) in bad_records().into_iter().enumerate() {
        let partition = u32::try_from(i % 2).unwrap();
        let offset = payments.feed(partition, &record);
        expected.push(DeadLetter {
            topic: "payments".to_owned(),
            partition: partition.into(),
            offset,
            reason: reason.to_owned(),
            bytes: record,
        });
    }
    payments.feed(0, &payment(102, r#""amount":"1.00""#));
    payments.feed(1, &payment(103, r#""amount":"1.00""#));
    expected.sort_unstable();

    let last = payments.catch_up().last();
    assert_eq!(last["dead_letters"], expected.len(), "{last}");
    assert_eq!(payments.ids(), [100, 101, 102, 103]);
    let found = payments.dead_letters();
    for (found, expected) in found.iter().zip(&expected) {
        let record = String::from_utf8_lossy(&expected.bytes);
        if found != expected {
            println!("{record}\n   {}", found.reason);
        }
    }
    assert_eq!(found.len(), expected.len());
    assert_eq!(found, expected);
}
