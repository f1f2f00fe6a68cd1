//! The example of `docs/formats/protobuf.md`. Catches a page that says what is not so; its SQL is not looked at, and its columns stand here.

use arrow_schema::DataType;

use super::source;
use crate::kit::{TIMESTAMP, at, data, reasons, required, shown};

const PAGE: &str = include_str!("../../../../docs/formats/protobuf.md");

/// The lines of the page's block of a kind.
fn block(kind: &str) -> Vec<&'static str> {
    let start = format!("```{kind}\n");
    let (_, rest) = PAGE.split_once(&start).unwrap();
    rest.split_once("```").unwrap().0.lines().collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let byte = |i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(byte).collect()
}

#[test]
fn the_records_of_the_page_become_what_it_shows() {
    let columns = vec![
        required(data("id", DataType::Int64)),
        data("payee", DataType::Utf8),
        data("state", DataType::Utf8),
        at("label", "first.label", DataType::Utf8),
        data("amount", DataType::Decimal128(18, 2)),
        data("seen", TIMESTAMP),
    ];
    let records: Vec<_> = block("hex").into_iter().map(bytes).collect();
    let records: Vec<_> = records.iter().map(Vec::as_slice).collect();
    let decoded = source(1, "corpus.Payment", columns).decode(&records);
    let mut lines = shown(&decoded.rows);
    let letters = reasons(&decoded).into_iter();
    lines.extend(letters.map(|reason| format!("dead letter: {reason}")));
    assert_eq!(lines, block("rows"));
}
