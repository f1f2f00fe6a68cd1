//! The example of `docs/formats/avro.md`, without a planner: its records by its schema become the rows and dead letters that it shows.

use arrow_schema::DataType;
use tidemill_types::sql_type::array;

use super::super::kit::{data, reasons, required, shown};
use super::source;

/// The first block of a kind.
fn block(kind: &str) -> &'static str {
    let page = include_str!("../../../../docs/formats/avro.md");
    let mut blocks = page.split("```").skip(1).step_by(2);
    let block = blocks.find_map(|block| block.strip_prefix(kind));
    block.unwrap().trim()
}

#[test]
fn the_records_of_the_page_become_what_it_shows() {
    let columns = vec![
        required(data("id", DataType::Int64)),
        data("note", DataType::Utf8),
        data("total", DataType::Decimal128(10, 2)),
        data("due_on", DataType::Date32),
        data("tags", array(DataType::Utf8)),
    ];
    let byte = |digits: &str| u8::from_str_radix(digits, 16).unwrap();
    let record = |line: &str| -> Vec<u8> {
        let hex = line.strip_prefix("hex:").unwrap();
        hex.split_whitespace().map(byte).collect()
    };
    let records: Vec<_> = block("records").lines().map(record).collect();
    let records: Vec<_> = records.iter().map(Vec::as_slice).collect();
    let decoded = source(block("json"), columns).decode(&records);
    let mut lines = shown(&decoded.rows);
    let letters = reasons(&decoded).into_iter();
    lines.extend(letters.map(|reason| format!("dead letter: {reason}")));
    assert_eq!(lines.join("\n"), block("rows"));
}
