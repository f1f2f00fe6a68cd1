//! The examples of `docs/formats`: the records of each page, read by the source of the page, become the rows and dead letters that it shows.
//!
//! Catches a page that says what is not so, and an envelope or an encoding without a page.

mod common;

use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use arrow_cast::display::array_value_to_string;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tidemill_jobs::Profile;
use tidemill_types::RawRecords;
use tidemill_types::format::{Clocks, Decoded};
use tidemill_types::system_columns::OP;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/formats")
}

/// An example: a source, its records, and what they become.
struct Example {
    page: String,
    /// What the files hold that the source names: the page's first block of JSON.
    file: Option<String>,
    source: String,
    records: String,
    rows: String,
}

fn examples() -> Vec<Example> {
    let mut examples = Vec::new();
    for entry in std::fs::read_dir(folder()).expect("the pages are there") {
        let path = entry.expect("readable").path();
        let page = path
            .file_name()
            .expect("a file")
            .to_string_lossy()
            .into_owned();
        let text = std::fs::read_to_string(&path).expect("readable");
        let blocks: Vec<_> = text.split("```").skip(1).step_by(2).collect();
        let block = |text: &str, kind: &str| {
            let body = text.strip_prefix(kind)?.strip_prefix('\n')?;
            Some(body.to_owned())
        };
        let file = blocks.iter().find_map(|text| block(text, "json"));
        for [source, records, rows] in blocks.array_windows() {
            let blocks = (
                block(source, "sql"),
                block(records, "records"),
                block(rows, "rows"),
            );
            if let (Some(source), Some(records), Some(rows)) = blocks {
                examples.push(Example {
                    page: page.clone(),
                    file: file.clone(),
                    source,
                    records,
                    rows,
                });
            }
        }
    }
    examples
}

/// What is no text, and so on no page: the descriptor set of the corpus.
fn descriptors(name: &str) -> Vec<u8> {
    let corpus = folder().join("../../formats/tests/corpus/protobuf");
    std::fs::read(corpus.join(name)).expect("a file of the corpus")
}

/// The bytes of a text; of `hex: 0a ff` those that it names.
fn bytes(text: &str) -> Vec<u8> {
    let Some(hex) = text.strip_prefix("hex:") else {
        return text.as_bytes().to_vec();
    };
    let byte = |digits: &str| u8::from_str_radix(digits, 16).expect("two digits a byte");
    hex.split_whitespace().map(byte).collect()
}

/// A line is `KEY => VALUE [NAME: HEADER]…`; the key and the headers may be missing, `null` is nothing, `hex:` stands before bytes.
fn push(records: &mut RawRecords, offset: i64, line: &str) {
    let (key, rest) = match line.split_once(" => ") {
        Some((key, rest)) => (Some(key), rest),
        None => (None, line),
    };
    let mut parts = rest.split(" [");
    let value = parts.next().filter(|value| *value != "null");
    let (key, value) = (key.map(bytes), value.map(bytes));
    records.push(offset, key.as_deref(), value.as_deref());
    for header in parts {
        let header = header
            .strip_suffix(']')
            .and_then(|header| header.split_once(": "));
        let (name, value) = header.expect("a header is [NAME: VALUE]");
        records.push_header(name.as_bytes(), Some(value.as_bytes()));
    }
}

fn decode(example: &Example) -> Decoded {
    let name = example
        .source
        .split_whitespace()
        .nth(2)
        .expect("CREATE SOURCE name");
    let sql = format!(
        "{};\nCREATE STREAM every_event FROM {name};\nCREATE SINK o WITH (connector = 'files', topic = 'o') AS SELECT * FROM every_event;",
        example.source
    );
    let environment = |name: &str| match name.split_once(':')? {
        ("file", _) => example.file.clone(),
        ("base64", name) => Some(STANDARD.encode(descriptors(name))),
        _ => None,
    };
    let plan = common::plan("job", &sql, &Profile::default(), &environment);
    let plan = plan.unwrap_or_else(|error| panic!("{}: {error}\n{sql}", example.page));
    let source = &plan.sources[0];
    let formats = tidemill_formats::all();
    let format = formats.named(&source.format.name).expect("planned");
    let mut decoder = format.decoder(&source.spec(None)).expect("planned");
    let mut records = RawRecords::of(0);
    for (offset, line) in (0..).zip(example.records.lines()) {
        push(&mut records, offset, line);
    }
    decoder.decode(&records, Clocks::default())
}

fn shown(rows: &RecordBatch) -> Vec<String> {
    let schema = rows.schema();
    let cell = |name: &str, row: usize| {
        let column = rows.column_by_name(name).expect("a column");
        let text = array_value_to_string(column, row).expect("can be shown");
        match name {
            _ if column.is_null(row) => "null".to_owned(),
            OP => ["create", "update", "delete"][usize::from(text.as_bytes()[0] - b'0')].to_owned(),
            _ => text,
        }
    };
    let declared = schema.fields().iter().map(|field| field.name().as_str());
    let names: Vec<_> = std::iter::once(OP)
        .chain(declared.filter(|name| !name.starts_with("__")))
        .collect();
    let line = |row| {
        let cells = names.iter().map(|name| cell(name, row));
        cells.collect::<Vec<_>>().join(" ")
    };
    (0..rows.num_rows()).map(line).collect()
}

#[test]
fn the_records_of_every_page_become_what_it_shows() {
    for example in examples() {
        let decoded = decode(&example);
        let mut lines = shown(&decoded.rows);
        let letters = decoded.dead_letters.iter();
        lines.extend(letters.map(|letter| format!("dead letter: {}", letter.reason)));
        assert_eq!(
            lines.join("\n"),
            example.rows.trim_end(),
            "{}:\n{}",
            example.page,
            example.source
        );
    }
}

#[test]
fn every_encoding_and_every_envelope_has_a_page_with_an_example() {
    let pages: Vec<String> = examples().into_iter().map(|example| example.page).collect();
    for format in tidemill_formats::all().iter() {
        let page = folder().join(format!("{}.md", format.name()));
        assert!(page.exists(), "{} has no page", format.name());
        for envelope in format.read_envelopes() {
            let page = format!("{}.md", envelope.name);
            assert!(pages.contains(&page), "no example in {page}");
        }
    }
}
