//! Lines of fields, against the csv crate; and records that are one text.

use arrow_array::cast::AsArray;
use arrow_schema::DataType;
use proptest::prelude::*;

use super::kit::{Spec, TIMESTAMP, UUID, data, reasons, shown};

fn lines(columns: &str) -> Spec {
    let texts = columns.split(", ").map(|name| data(name, DataType::Utf8));
    let spec = Spec::new("plain", texts.collect()).in_format("csv");
    spec.with("csv.columns", columns)
}

#[test]
fn fields_have_the_types_of_their_columns() {
    let columns = vec![
        data("paid", DataType::Boolean),
        data("n", DataType::Int32),
        data("rate", DataType::Float64),
        data("amount", DataType::Decimal128(10, 2)),
        data("day", DataType::Date32),
        data("at", TIMESTAMP),
        data("id", UUID),
    ];
    let spec = Spec::new("plain", columns)
        .in_format("csv")
        .with("csv.delimiter", ";")
        .with("csv.columns", "id, paid, n, rate, amount, day, at");
    let id = "0190f3a1-7b2c-7def-8123-456789abcdef";
    let good = format!("{id};true;-7;1e3;\"12.5\";2026-01-31;2026-01-31 12:00:00\r\n");
    let bad = ";yes;;;;;\n";
    let decoded = spec.decode(&[good.as_bytes(), bad.as_bytes()]);
    assert_eq!(
        shown(&decoded.rows),
        [format!(
            "create true -7 1000.0 12.50 2026-01-31 2026-01-31T12:00:00 {}",
            id.replace('-', "")
        )]
    );
    assert_eq!(
        reasons(&decoded),
        ["field 'paid': expected BOOLEAN, found yes (not in its text form)"]
    );
}

#[test]
fn what_csv_cannot_be_read_by_is_refused() {
    let error = |spec: Spec| spec.decoder().err().unwrap().to_string();
    let unnamed = Spec::new("plain", vec![data("a", DataType::Utf8)]).in_format("csv");
    assert_eq!(
        error(unnamed.clone()),
        "option 'csv.columns' is ''; expected the names of all fields of a line, in order, 'a' among them"
    );
    assert_eq!(
        error(unnamed.with("csv.columns", "a").with("csv.delimiter", "\"")),
        "option 'csv.delimiter' is '\"'; expected one character of ASCII such as ';', or '\\t'"
    );
    let two = vec![data("a", DataType::Utf8), data("b", DataType::Utf8)];
    assert!(error(Spec::new("plain", two).in_format("raw")).contains("there are 2"));
}

#[test]
fn a_raw_record_is_its_text_whatever_it_looks_like() {
    let spec = Spec::new("plain", vec![data("line", DataType::Utf8)]).in_format("raw");
    let decoded = spec.decode(&[b"{\"a\": 1}", b"", b"null", b"\xff"]);
    let texts: Vec<_> = decoded.rows.column(0).as_string::<i32>().iter().collect();
    assert_eq!(texts, [Some("{\"a\": 1}"), Some(""), Some("null")]);
    assert_eq!(reasons(&decoded), ["invalid UTF-8 at byte 0"]);
}

/// What the csv crate writes, and the texts.
fn written(fields: &[String]) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new()
        .quote_style(csv::QuoteStyle::Always)
        .from_writer(Vec::new());
    writer.write_record(fields).unwrap();
    writer.into_inner().unwrap()
}

proptest! {
    #[test]
    fn lines_of_the_csv_crate_are_read_as_they_were_written(
        fields in prop::collection::vec("[a-z\",;\\r\\n ]{0,8}", 3..4),
    ) {
        let line = written(&fields);
        let decoded = lines("a, b, c").decode(&[&line]);
        prop_assert_eq!(reasons(&decoded), [""; 0]);
        for (i, field) in fields.iter().enumerate() {
            prop_assert_eq!(decoded.rows.column(i).as_string::<i32>().value(0), field);
        }
    }

    #[test]
    fn a_line_that_the_csv_crate_reads_otherwise_is_refused(line in "[ab\",]{0,12}") {
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .from_reader(line.as_bytes());
        let read = reader.records().next();
        let decoded = lines("a, b").decode(&[line.as_bytes()]);
        if decoded.rows.num_rows() == 1 {
            let record = read.unwrap().unwrap();
            prop_assert_eq!(record.len(), 2);
            for (i, field) in record.iter().enumerate() {
                let column = decoded.rows.column(i);
                let text = if column.is_null(0) { "" } else { column.as_string::<i32>().value(0) };
                prop_assert_eq!(text, field);
            }
        }
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        lines("a, b").decode(&[&bytes]);
        Spec::new("plain", vec![data("n", DataType::Int64)]).in_format("raw").decode(&[&bytes]);
    }
}
