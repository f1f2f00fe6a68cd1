//! What a sample of a topic is taken for.

use tidemill_formats::guess::{Proposal, guess};
use tidemill_types::RawRecords;

fn sample(values: &[&str]) -> RawRecords {
    let mut records = RawRecords::of(0);
    for (offset, value) in (0..).zip(values) {
        records.push(offset, None, Some(value.as_bytes()));
    }
    records
}

fn columns(proposal: &Proposal) -> Vec<String> {
    let columns = proposal.columns.iter();
    columns
        .map(|column| {
            let text = format!("{} {} {}", column.name, column.sql_type, column.from);
            text.trim_end().to_owned()
        })
        .collect()
}

#[test]
fn objects_have_the_narrowest_columns_that_take_them() {
    let values = [
        r#"{"id": 1, "total": 9.5, "Rate": 1e-9, "paid": true, "at": "2026-01-31T12:00:00Z", "on": "2026-01-31", "created_at": 1767225600123,
            "ref": "0190f3a1-7b2c-7def-8123-456789abcdef", "price": "12.50", "mixed": 1, "order": "a", "to": {"city": "Rome", "id": 2}, "tags": ["a"], "none": null,
            "lines": [{"sku": "a", "n": 1}, {"n": 2.5, "Of": []}], "a": {"b": {"c": {"d": 1}}}, "odd": [1, [2]]}"#,
        r#"{"id": 2, "total": 12.345, "Rate": 2, "paid": false, "at": "2026-01-31", "on": "2026-01-31", "mixed": "x"}"#,
        r#"{"id": 3, "to": null, "tags": null, "lines": [], "a": {"b": {"c": {"e": true}}}}"#,
        "no object",
    ];
    let proposal = guess(&[sample(&values)]).unwrap();
    assert_eq!((proposal.format, proposal.envelope), ("json", "plain"));
    assert_eq!(
        columns(&proposal),
        [
            "\"Rate\" DOUBLE",
            "c STRUCT<d BIGINT, e BOOLEAN> FROM 'a.b.c'",
            "at TIMESTAMP",
            "created_at TIMESTAMP",
            "id BIGINT",
            "lines ARRAY<STRUCT<n DECIMAL(18, 1), sku VARCHAR, \"Of\" ARRAY<VARCHAR>>>",
            "mixed VARCHAR",
            "none VARCHAR",
            "on DATE",
            "\"order\" VARCHAR",
            "paid BOOLEAN",
            "price DECIMAL(18, 2)",
            "ref UUID",
            "tags ARRAY<VARCHAR>",
            "city VARCHAR FROM 'to.city'",
            "to_id BIGINT FROM 'to.id'",
            "total DECIMAL(18, 3)",
        ]
    );
    assert_eq!(
        proposal.notes,
        [
            "1 of 4 records are no JSON objects: they will be dead letters",
            "left out, since no one type takes what was seen of them: odd"
        ]
    );
}

#[test]
fn an_envelope_is_told_by_its_members() {
    let of = |values: &[&str]| guess(&[sample(values)]).unwrap();
    let crud = of(&[
        r#"{"uuid": "u", "type": "create", "ts": 1, "entity": "e", "id": "x", "data": {"n": 1}}"#,
    ]);
    assert_eq!(crud.envelope, "crud");
    assert_eq!(
        columns(&crud),
        [
            "id VARCHAR NOT NULL METADATA FROM 'id'",
            "uuid VARCHAR NOT NULL METADATA FROM 'uuid'",
            "ts TIMESTAMP NOT NULL METADATA FROM 'ts'",
            "n BIGINT"
        ]
    );
    let debezium = of(&[
        r#"{"schema": {}, "payload": {"before": null, "after": {"id": 1}, "op": "c", "ts_ms": 1}}"#,
    ]);
    assert_eq!(debezium.envelope, "debezium");
    assert_eq!(
        columns(&debezium),
        ["id BIGINT", "changed_at TIMESTAMP METADATA FROM 'ts'"]
    );
    let event = of(&[
        r#"{"specversion": "1.0", "id": "e", "source": "/s", "type": "t", "data": {"n": 1}}"#,
    ]);
    assert_eq!(event.envelope, "cloudevents");
}

#[test]
fn tombstones_tell_of_states_by_key() {
    let mut records = RawRecords::of(0);
    records.push(0, Some(b"a-1"), Some(br#"{"name": "Ada"}"#));
    records.push(1, Some(b"a-1"), None);
    let proposal = guess(&[records]).unwrap();
    assert_eq!(proposal.envelope, "upsert");
    assert_eq!(columns(&proposal), ["id VARCHAR", "name VARCHAR"]);
    let options: Vec<_> = proposal.options.into_iter().collect();
    let option = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(options, [option("key", "id"), option("key.format", "raw")]);
}

#[test]
fn lines_are_csv_and_other_texts_are_themselves() {
    let proposal = guess(&[sample(&["1;\"a;b\";2026-01-31", "2;c;"])]).unwrap();
    assert_eq!(proposal.format, "csv");
    assert_eq!(proposal.options["csv.delimiter"], ";");
    assert_eq!(
        columns(&proposal),
        ["field_1 BIGINT", "field_2 VARCHAR", "field_3 DATE"]
    );
    let proposal = guess(&[sample(&["21.5", "warm"])]).unwrap();
    assert_eq!((proposal.format, proposal.envelope), ("raw", "plain"));
}

#[test]
fn what_needs_a_schema_is_said() {
    let error = |values: &[&str]| guess(&[sample(values)]).unwrap_err();
    assert_eq!(error(&[]), "there are no records to look at");
    assert!(error(&["\0\0\0\0\x07abc"]).contains("format = 'avro'"));
}
