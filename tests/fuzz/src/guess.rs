//! What `tidemill try` takes a topic for: a proposal, which must then be a source that reads the sample.

use tidemill_formats::guess;

use crate::input;
use crate::seeds;

/// Guesses from a sample.
pub fn sample(input: &[u8]) {
    let (parts, rest) = input::variant(input);
    let records = input::records(rest);
    let middle = records.len() / 2;
    let sample = if parts % 2 == 0 {
        vec![records]
    } else {
        vec![records.part(0..middle), records.part(middle..records.len())]
    };
    let first = guess::guess(&sample);
    assert_eq!(
        first,
        guess::guess(&sample),
        "the same sample gives the same proposal"
    );
    let _ = guess::key_names(&sample);
    let Ok(proposal) = first else { return };
    for (i, column) in proposal.columns.iter().enumerate() {
        let is_named = proposal.columns[..i]
            .iter()
            .any(|other| other.name == column.name);
        assert!(!is_named, "two columns '{}'", column.name);
    }
}

/// Samples of every kind.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut inputs = seeds::of_files(
        2,
        &[
            "debezium/postgres/json.ledger.jsonl",
            "debezium/postgres/json-flat.ledger.jsonl",
            "cloudevents/structured.jsonl",
            "cloudevents/binary.jsonl",
            "csv/rows.jsonl",
            "avro/confluent.jsonl",
        ],
    );
    inputs.extend(seeds::texts(
        2,
        &[
            r#"{"uuid": "0190f3a1-7b2c-7def-8123-456789abcdef", "type": "update", "ts": 1767225600123, "entity": "payment", "id": 42, "data": {"amount": "12.50", "a": {"b": {"c": {"d": 1}}}}}"#,
            r#"{"id": 1, "created_at": 1767225600123, "Rate": 1e-9, "order": null}"#,
            "21.5",
        ],
    ));
    inputs
}
