//! The verifier must pass what a correct job writes, and notice each seeded fault.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hashbrown::HashMap;

use super::report::{Report, SinkReport};
use super::{VerifySettings, verify};
use crate::calendar::iso_time;
use crate::generator::{Generator, Settings, Unpaced};
use crate::oracle::{Books, Loader, Seen, Tables};
use crate::testing::{Inputs, Outputs, Record};
use crate::topic;

const NOW_MS: i64 = 1_800_000_000_000;

fn inputs() -> Inputs {
    let mut inputs = Inputs::default();
    let settings = Settings {
        events: 20_000,
        garbage: 0.01,
        threads: 2,
        ..Settings::default()
    };
    Generator::new(&settings)
        .expect("settings are valid")
        .run(&mut inputs, &mut Unpaced)
        .expect("memory takes everything");
    inputs
}

fn json(row: &impl serde::Serialize) -> Option<String> {
    Some(serde_json::to_string(row).expect("is a row"))
}

fn ledger_row(topic: crate::Topic, partition: u32, offset: i64, bytes: &[u8]) -> Option<String> {
    let (topic, bytes) = (topic.name(), BASE64_STANDARD.encode(bytes));
    Some(format!(
        r#"{{"topic":"{topic}","partition":{partition},"offset":{offset},"reason":"says why","bytes":"{bytes}"}}"#
    ))
}

/// What a correct job commits: payments that come behind 5 seconds go to the late ledger.
fn outputs(inputs: &Inputs) -> Outputs {
    let mut outputs = Outputs::default();
    let mut audit = Vec::new();
    let mut highest: HashMap<u32, i64> = HashMap::new();
    let mut on_payment = |seen: Seen<'_>| {
        let highest = highest.entry(seen.partition).or_insert(seen.ts);
        if seen.ts < *highest - 5_000 {
            outputs.push(
                topic::LATE,
                1,
                "",
                ledger_row(
                    crate::Topic::Payment,
                    seen.partition,
                    seen.offset,
                    seen.bytes,
                ),
            );
        } else {
            audit.push((seen.ts, seen.id, seen.uuid));
        }
        *highest = seen.ts.max(*highest);
    };
    let mut loader = Loader::new(inputs, NOW_MS);
    let tables = Tables {
        productions: loader.load(|_| ()).expect("memory can be read"),
        talents: loader.load(|_| ()).expect("memory can be read"),
        schedules: loader.load(|_| ()).expect("memory can be read"),
        budgets: loader.load(|_| ()).expect("memory can be read"),
        payments: loader.load(&mut on_payment).expect("memory can be read"),
        cash_flows: loader.load(|_| ()).expect("memory can be read"),
    };
    audit.sort_unstable();
    for (ts, id, uuid) in audit {
        let row = format!(
            r#"{{"uuid":"{}","payment_id":{id},"changed_at":"{}","status":"paid"}}"#,
            uuid::Uuid::from_u128(uuid),
            iso_time(ts)
        );
        outputs.push(topic::PAYMENT_AUDIT, 1, id, Some(row));
    }
    for ((topic, partition, offset), (_, bytes)) in &loader.dead_letters {
        outputs.push(
            topic::DEAD_LETTERS,
            1,
            "",
            ledger_row(*topic, *partition, *offset, bytes),
        );
    }
    push_upserts(&mut outputs, &Books::new(tables, loader.texts));
    outputs
}

fn push_upserts(outputs: &mut Outputs, books: &Books) {
    for id in books.production_ids() {
        outputs.push(topic::PRODUCTION, 1, id, Some("{}".to_owned()));
        outputs.push(topic::PRODUCTION, 2, id, json(&books.production(id)));
    }
    for id in books.payment_ids() {
        outputs.push(topic::PAYMENT_ENRICHED, 2, id, json(&books.payment(id)));
    }
    for key in books.spend_keys() {
        let columns = format!(
            r#"{{"region":{},"year":{}}}"#,
            serde_json::json!(key.0),
            serde_json::json!(key.1)
        );
        outputs.push(
            topic::SPEND_BY_REGION_YEAR,
            2,
            columns,
            json(&books.spend(&key)),
        );
    }
    // Events end on 2026-01-30; that day's windows are still open.
    for key in books
        .daily_keys()
        .filter(|key| iso_time(key.1).as_str() < "2026-01-30")
    {
        let columns = format!(
            r#"{{"production_id":{},"day":"{}"}}"#,
            serde_json::json!(key.0),
            iso_time(key.1)
        );
        outputs.push(topic::CASH_FLOW_DAILY, 2, columns, json(&books.daily(&key)));
    }
}

fn check(inputs: &Inputs, outputs: &Outputs) -> Report {
    verify(inputs, outputs, &VerifySettings::at(NOW_MS)).expect("memory can be read")
}

/// The report after one topic's records were tampered with.
fn check_with(topic: &'static str, fault: impl FnOnce(&mut Vec<Record>)) -> SinkReport {
    let inputs = inputs();
    let mut outputs = outputs(&inputs);
    fault(outputs.0.get_mut(topic).expect("was written"));
    let report = check(&inputs, &outputs);
    assert!(!report.is_correct(), "{report}");
    assert!(
        report
            .sinks
            .iter()
            .all(|sink| sink.topic == topic || sink.is_correct()),
        "only one sink is wrong: {report}"
    );
    report
        .sinks
        .into_iter()
        .find(|sink| sink.topic == topic)
        .expect("every sink is reported")
}

/// Replaces text in the last record that has it.
fn replace(records: &mut [Record], from: &str, to: &str) {
    let value = records
        .iter_mut()
        .rev()
        .filter_map(|record| record.2.as_mut());
    let mut found = value.filter(|value| String::from_utf8_lossy(value).contains(from));
    let value = found.next().expect("the text is there");
    *value = String::from_utf8_lossy(value)
        .replacen(from, to, 1)
        .into_bytes();
}

#[test]
fn a_correct_job_is_verified() {
    let inputs = inputs();
    let report = check(&inputs, &outputs(&inputs));
    assert!(report.is_correct(), "{report}");
    assert!(report.rows_equal() > 10_000, "{report}");
    assert_eq!(report.unexplained_late, 0, "{report}");
    assert_eq!(report.overruns.len(), 5, "{report}");
    assert!(
        report.to_string().ends_with("rows equal the oracle"),
        "{report}"
    );
    assert_eq!(report.dead_by_reason.values().sum::<u64>(), 200, "{report}");
    let daily = &report.sinks[3];
    assert!(daily.pending > 0 && daily.equal > 0, "{report}");
}

#[test]
fn a_missing_row_is_noticed() {
    let report = check_with(topic::PAYMENT_ENRICHED, |records| drop(records.pop()));
    assert_eq!((report.missing, report.extra, report.different), (1, 0, 0));
}

#[test]
fn a_tombstone_too_many_is_noticed() {
    let report = check_with(topic::PRODUCTION, |records| {
        let key = records[0].1.clone();
        records.push((3, key, None));
    });
    assert_eq!(report.missing, 1);
}

#[test]
fn a_row_too_many_is_noticed() {
    let report = check_with(topic::PAYMENT_ENRICHED, |records| {
        let (epoch, _, value) = records[0].clone();
        records.push((epoch, b"99999999".to_vec(), value));
    });
    assert_eq!((report.missing, report.extra, report.different), (0, 1, 0));
}

#[test]
fn a_wrong_cent_is_noticed() {
    let report = check_with(topic::PRODUCTION, |records| {
        replace(records, "\"budget_total\":\"", "\"budget_total\":\"1")
    });
    assert_eq!(report.different, 1);
    assert!(
        report.examples[0].contains("instead of"),
        "{:?}",
        report.examples
    );
}

#[test]
fn a_column_too_few_is_noticed() {
    let report = check_with(topic::SPEND_BY_REGION_YEAR, |records| {
        replace(records, "\"payments\":", "\"count\":")
    });
    assert_eq!(report.different, 1);
}

#[test]
fn a_duplicated_audit_row_is_noticed() {
    let report = check_with(topic::PAYMENT_AUDIT, |records| {
        records.push(records[records.len() - 1].clone())
    });
    assert_eq!((report.extra, report.disordered), (1, 0));
}

#[test]
fn audit_rows_in_the_wrong_order_are_noticed() {
    let report = check_with(topic::PAYMENT_AUDIT, |records| {
        let mut places: HashMap<Vec<u8>, usize> = HashMap::new();
        let pair = records.iter().enumerate().find_map(|(at, record)| {
            places
                .insert(record.1.clone(), at)
                .map(|before| (before, at))
        });
        let (before, after) = pair.expect("some payment changed twice");
        records.swap(before, after);
    });
    assert_eq!((report.disordered, report.extra, report.missing), (1, 0, 0));
}

#[test]
fn a_lost_audit_row_is_noticed_unless_the_watermark_may_hold_it_back() {
    let report = check_with(topic::PAYMENT_AUDIT, |records| drop(records.remove(0)));
    assert_eq!((report.missing, report.pending), (1, 0));
    let inputs = inputs();
    let mut outputs = outputs(&inputs);
    drop(
        outputs
            .0
            .get_mut(topic::PAYMENT_AUDIT)
            .expect("was written")
            .pop(),
    );
    let report = check(&inputs, &outputs);
    assert!(report.is_correct(), "{report}");
    let ended = VerifySettings {
        ended: true,
        ..VerifySettings::at(NOW_MS)
    };
    assert!(
        !verify(&inputs, &outputs, &ended)
            .expect("memory can be read")
            .is_correct()
    );
}

#[test]
fn a_window_that_closed_without_a_row_is_noticed() {
    let report = check_with(topic::CASH_FLOW_DAILY, |records| drop(records.pop()));
    assert_eq!(report.missing, 1);
}

#[test]
fn a_dead_letter_with_other_bytes_and_a_lost_one_are_noticed() {
    let report = check_with(topic::DEAD_LETTERS, |records| {
        replace(records, "\"bytes\":\"", "\"bytes\":\"AAAA")
    });
    assert_eq!(report.different, 1);
    let report = check_with(topic::DEAD_LETTERS, |records| drop(records.pop()));
    assert_eq!(report.missing, 1);
}

#[test]
fn a_late_row_that_is_in_the_audit_as_well_is_noticed() {
    let inputs = inputs();
    let mut outputs = outputs(&inputs);
    let bytes = &inputs.0[&("studio.payment".to_owned(), 0)][0];
    outputs.push(
        topic::LATE,
        1,
        "",
        ledger_row(crate::Topic::Payment, 0, 0, bytes),
    );
    let report = check(&inputs, &outputs);
    assert!(
        !report.is_correct() && report.unexplained_late == 1,
        "{report}"
    );
}
