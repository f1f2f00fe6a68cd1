//! What raw records look like: a format, an envelope and columns to begin with, from a sample of a topic.
//!
//! Promises: what is proposed reads the sample, but for records that are no records of the topic's kind; the same sample gives the same proposal.
//! Does not promise that it is right: a sample does not show what comes next year, and a person reads the proposal before it is used.

mod columns;
mod shape;

use tidemill_types::RawRecords;
use tidemill_types::format::Options;

use columns::Columns;
pub use columns::ProposedColumn;
use shape::{Shape, Shapes};

/// What a sample looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// The format's name.
    pub format: &'static str,
    /// The envelope's name.
    pub envelope: &'static str,
    /// Options of format and envelope, and the planner's `key`.
    pub options: Options,
    /// The columns.
    pub columns: Vec<ProposedColumn>,
    /// What a person should know before using it.
    pub notes: Vec<String>,
}

/// What a sample of a topic looks like; none if nothing of it is known: no records, or bytes in a format that needs a schema, which the
/// error says.
///
/// # Errors
/// Why nothing can be proposed.
pub fn guess(records: &[RawRecords]) -> Result<Proposal, String> {
    let shapes = Shapes::of(records);
    if shapes.records == 0 {
        return Err("there are no records to look at".to_owned());
    }
    if shapes.framed * 2 > shapes.records {
        return Err(
            "the records begin with a zero byte and an id, as Confluent's serializers write: give the schema, with format = 'avro' or \
             'protobuf'"
                .to_owned(),
        );
    }
    match shapes.usual() {
        Shape::Json => Ok(json(records, &shapes)),
        Shape::Lines(delimiter) => Ok(csv(records, delimiter)),
        Shape::Text => Ok(raw(&shapes)),
        Shape::Bytes => Err(
            "the records are no text: give the schema, with format = 'avro' or 'protobuf'"
                .to_owned(),
        ),
    }
}

/// The names of the columns that the records' keys have.
#[must_use]
pub fn key_names(records: &[RawRecords]) -> Vec<String> {
    let columns = shape::key_columns(records).into_iter();
    columns.map(|(name, _)| name).collect()
}

fn json(records: &[RawRecords], shapes: &Shapes) -> Proposal {
    let envelope = shapes.envelope();
    let mut columns = Columns::default();
    let mut options = Options::new();
    let mut notes = Vec::new();
    for record in records.iter().flat_map(RawRecords::iter) {
        if let Some(state) = shape::state(&record, envelope) {
            columns.add(&state);
        }
    }
    let mut proposed = columns.propose();
    match envelope {
        "upsert" => {
            let key = shape::key_columns(records);
            for (name, column) in key.iter().rev() {
                proposed.retain(|proposed| proposed.name != *name);
                proposed.insert(0, column.clone());
            }
            let names: Vec<_> = key.iter().map(|(name, _)| name.as_str()).collect();
            options.insert("key".to_owned(), names.join(", "));
            if shape::has_plain_keys(records) {
                options.insert("key.format".to_owned(), "raw".to_owned());
            }
            notes.push(
                "some records have no value: with envelope = 'upsert' they delete their key"
                    .to_owned(),
            );
        }
        "crud" => {
            proposed.retain(|column| column.name != "id");
            proposed.splice(0..0, columns::of_crud(records));
        }
        "debezium" => {
            proposed.push(ProposedColumn::metadata("changed_at", "TIMESTAMP", "ts"));
            if !shapes.has_schema {
                notes.push("without the schema in the records, numbers of dates and times, and decimals in base64, look like any others: see docs/formats/debezium.md".to_owned());
            }
        }
        "cloudevents" => {
            proposed.splice(
                0..0,
                [
                    ProposedColumn::metadata("event_id", "VARCHAR", "id"),
                    ProposedColumn::metadata("event_type", "VARCHAR", "type"),
                    ProposedColumn::metadata("happened_at", "TIMESTAMP", "time"),
                ],
            );
        }
        _ => {}
    }
    let others = shapes.records - shapes.json;
    if others > 0 {
        notes.push(format!(
            "{others} of {} records are no JSON objects: they will be dead letters",
            shapes.records
        ));
    }
    notes.extend(columns.notes());
    Proposal {
        format: "json",
        envelope,
        options,
        columns: proposed,
        notes,
    }
}

fn csv(records: &[RawRecords], delimiter: u8) -> Proposal {
    let mut columns = Columns::default();
    let mut fields = 0;
    let values = records.iter().flat_map(RawRecords::iter);
    for line in values.filter_map(|record| std::str::from_utf8(record.value?).ok()) {
        let row = shape::fields(line.trim_end(), delimiter);
        fields = fields.max(row.len());
        columns.add_texts(&row);
    }
    let names: Vec<String> = (1..=fields).map(|field| format!("field_{field}")).collect();
    let mut options = Options::from([("csv.columns".to_owned(), names.join(", "))]);
    if delimiter != b',' {
        let delimiter = if delimiter == b'\t' {
            "\\t".to_owned()
        } else {
            char::from(delimiter).to_string()
        };
        options.insert("csv.delimiter".to_owned(), delimiter);
    }
    Proposal {
        format: "csv",
        envelope: "plain",
        options,
        columns: columns.propose(),
        notes: vec!["give the fields names: in csv.columns, and in the columns".to_owned()],
    }
}

fn raw(shapes: &Shapes) -> Proposal {
    let is_keyed = shapes.tombstones > 0;
    let mut options = Options::new();
    let mut columns = vec![ProposedColumn::member("value", "VARCHAR")];
    if is_keyed {
        options.insert("key".to_owned(), "id".to_owned());
        options.insert("key.format".to_owned(), "raw".to_owned());
        columns.insert(0, ProposedColumn::member("id", "VARCHAR"));
    }
    Proposal {
        format: "raw",
        envelope: if is_keyed { "upsert" } else { "plain" },
        options,
        columns,
        notes: Vec::new(),
    }
}
