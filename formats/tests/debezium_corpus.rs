//! What Debezium really wrote, against what the databases themselves said: `tests/corpus/README.md`.
//!
//! Catches: a change that is lost, doubled, of another row or of another kind, and a value read as another one, in every way in which decimals
//! and times travel. Cannot catch: what the corpus leaves out because the connector itself loses it (dates before 1582, a null in a column
//! with a default, decimals as doubles); numerics without a scale (a unit test has those).

#![expect(
    clippy::unwrap_used,
    reason = "what a test cannot go on without fails it"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMillisecondType;
use arrow_array::{Array, RecordBatch};
use arrow_cast::display::array_value_to_string;
use arrow_schema::{DataType, TimeUnit};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use tidemill_formats::{Avro, Json, temporal};
use tidemill_types::RawRecords;
use tidemill_types::format::{
    Clocks, Column, ColumnOrigin, Decoded, Format, Options, Path as Member, SourceSpec,
};
use tidemill_types::system_columns::{Kept, OP, OP_DELETE};

const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Millisecond, None);
/// Before it a snapshot's days are not the database's.
const GREGORIAN: &str = "1582-10-15";

/// The columns that are read, and how the database's text of each becomes ours.
fn columns(database: &str) -> Vec<(&'static str, DataType)> {
    let mut columns = vec![
        ("id", DataType::Int64),
        ("budget_id", DataType::Int32),
        ("amount", DataType::Decimal128(18, 2)),
        ("fx", DataType::Decimal128(20, 10)),
        ("score", DataType::Float64),
        ("urgent", DataType::Boolean),
        ("currency", DataType::Utf8),
        ("payee", DataType::Utf8),
        ("note", DataType::Utf8),
        ("due_on", DataType::Date32),
        ("created", TIMESTAMP),
        ("changed", TIMESTAMP),
        ("seen", TIMESTAMP),
        ("at", TIMESTAMP),
        ("ref", DataType::FixedSizeBinary(16)),
        ("nothing", DataType::Utf8),
    ];
    if database == "postgres" {
        columns.push(("state", DataType::Utf8));
    }
    columns
}

/// What happened to a key: its row, or its end.
type Change = Option<BTreeMap<&'static str, Option<String>>>;
/// All changes of each key, in order.
type History = BTreeMap<String, Vec<Change>>;

struct Variant {
    name: &'static str,
    envelope: &'static str,
    options: &'static [(&'static str, &'static str)],
    /// Columns that the variant cannot carry.
    without: &'static [&'static str],
}

/// A null arrives as the column's default.
const DEFAULTS: &[&str] = &["urgent", "state"];
const ADAPTIVE: (&str, &str) = ("timestamps.seen", "microseconds");
const BASE64: (&str, &str) = ("decimals", "base64");

const VARIANTS: &[Variant] = &[
    Variant {
        name: "json-schemas",
        envelope: "debezium",
        options: &[],
        without: DEFAULTS,
    },
    Variant {
        name: "json-nulls",
        envelope: "debezium",
        options: &[ADAPTIVE, BASE64],
        without: &[],
    },
    Variant {
        name: "json",
        envelope: "debezium",
        options: &[ADAPTIVE, BASE64],
        without: DEFAULTS,
    },
    Variant {
        name: "json-decimal-string",
        envelope: "debezium",
        options: &[ADAPTIVE],
        without: DEFAULTS,
    },
    Variant {
        name: "json-decimal-double",
        envelope: "debezium",
        options: &[ADAPTIVE],
        without: &["urgent", "state", "amount", "fx"],
    },
    Variant {
        name: "json-time-connect",
        envelope: "debezium",
        options: &[BASE64],
        without: DEFAULTS,
    },
    Variant {
        name: "json-time-isostring",
        envelope: "debezium",
        options: &[BASE64],
        without: DEFAULTS,
    },
    Variant {
        name: "json-transactions",
        envelope: "debezium",
        options: &[ADAPTIVE, BASE64],
        without: DEFAULTS,
    },
    Variant {
        name: "json-flat",
        envelope: "upsert",
        options: &[ADAPTIVE, BASE64, ("dates", "days")],
        without: DEFAULTS,
    },
    Variant {
        name: "json-schemas-flat",
        envelope: "upsert",
        options: &[("connect.schema", "true")],
        without: DEFAULTS,
    },
    Variant {
        name: "avro",
        envelope: "debezium",
        options: &[("avro.framing", "confluent")],
        without: DEFAULTS,
    },
];

fn folder(database: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/corpus/debezium")
        .join(database)
}

fn records(database: &str, variant: &str) -> RawRecords {
    let path = folder(database).join(format!("{variant}.payment.jsonl"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    let bytes = |value: &Value| {
        value
            .as_str()
            .map(|text| BASE64_STANDARD.decode(text).unwrap())
    };
    let mut records = RawRecords::of(0);
    for line in text.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let (key, value) = (bytes(&record["key"]), bytes(&record["value"]));
        records.push(
            record["offset"].as_i64().unwrap(),
            key.as_deref(),
            value.as_deref(),
        );
        for header in record["headers"].as_array().unwrap() {
            let name = header[0].as_str().unwrap().as_bytes();
            records.push_header(name, bytes(&header[1]).as_deref());
        }
        records
            .timestamps
            .push(record["timestamp"].as_i64().unwrap());
    }
    records
}

/// The schema of the number that stands in front of the values.
fn avro_schema(database: &str, records: &RawRecords) -> String {
    let path = folder(database).join("avro-schemas.json");
    let schemas: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let value = records.iter().find_map(|record| record.value).unwrap();
    let number = u32::from_be_bytes(value[1..5].try_into().unwrap());
    schemas[number.to_string()].to_string()
}

fn decode(database: &str, variant: &Variant, columns: &[(&str, DataType)]) -> Decoded {
    let column = |(name, data_type): &(&str, DataType)| Column {
        name: (*name).to_owned(),
        data_type: data_type.clone(),
        nullable: true,
        origin: if variant.envelope == "upsert" && *name == "id" {
            ColumnOrigin::Key(Member::member("id"))
        } else {
            ColumnOrigin::Data(Member::member(*name))
        },
    };
    let columns: Vec<_> = columns.iter().map(column).collect();
    let options = variant.options.iter();
    let mut options: Options = options
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let records = records(database, variant.name);
    let mut format: &dyn Format = &Json;
    if variant.name == "avro" {
        format = &Avro;
        options.insert("avro.schema".to_owned(), avro_schema(database, &records));
    }
    let spec = SourceSpec {
        topic: "payment",
        envelope: variant.envelope,
        columns: &columns,
        kept: Kept::default(),
        time_limit: None,
        contracts: None,
        key_contracts: None,
        options: &options,
    };
    let mut decoder = format.decoder(&spec).unwrap();
    decoder.decode(&records, Clocks::default())
}

/// A value of ours as text; a time in milliseconds.
fn ours(rows: &RecordBatch, name: &str, row: usize) -> Option<String> {
    let column = rows.column_by_name(name).unwrap();
    if column.is_null(row) {
        return None;
    }
    let times = column.as_primitive_opt::<TimestampMillisecondType>();
    Some(match times {
        Some(times) => times.value(row).to_string(),
        None => array_value_to_string(column, row).unwrap(),
    })
}

/// A value of the database as we would say it.
fn theirs(text: &Value, data_type: &DataType) -> Option<String> {
    let text = text.as_str()?;
    Some(match data_type {
        DataType::Boolean => (text == "t" || text == "1").to_string(),
        DataType::Float64 => {
            let number: f64 = text.parse().unwrap();
            format!("{number:?}")
        }
        data_type if *data_type == TIMESTAMP => {
            let text = text.trim_end_matches("+00");
            temporal::parse_timestamp(text).unwrap().to_string()
        }
        DataType::FixedSizeBinary(16) => text.replace('-', ""),
        _ => text.to_owned(),
    })
}

/// Dates that the snapshot itself gets wrong are left out.
fn is_julian(name: &str, text: &Value) -> bool {
    ["due_on", "created", "changed", "seen", "at"].contains(&name)
        && text.as_str().is_some_and(|text| text < GREGORIAN)
}

/// What the database says, and how many records must be dead letters: where it emptied the table, and what the snapshot made impossible.
fn truth(
    database: &str,
    variant: &Variant,
    columns: &[(&'static str, DataType)],
) -> (History, usize) {
    // Flattened changes have no truncation.
    let is_enveloped = variant.envelope == "debezium";
    let text = std::fs::read_to_string(folder(database).join("truth.json")).unwrap();
    let truth: Value = serde_json::from_str(&text).unwrap();
    let (mut history, mut refused) = (History::new(), 0);
    let row = |row: &Value| -> Change {
        let cell = |(name, data_type): &(&'static str, DataType)| {
            let value = &row[*name];
            let value = if is_julian(name, value) {
                Some("julian".to_owned())
            } else {
                theirs(value, data_type)
            };
            (*name, value)
        };
        Some(columns.iter().map(cell).collect())
    };
    let id = |row: &Value| row["id"].as_str().map(str::to_owned);
    for snapshot in truth["snapshot"]["payment"].as_array().unwrap() {
        // The snapshot gives the first days of the year 1 as days of a year that SQL does not have.
        let is_impossible = |(name, _): &(&str, DataType)| {
            is_julian(name, &snapshot[*name]) && snapshot[*name].as_str() < Some("0001-01-03")
        };
        if columns.iter().any(is_impossible) {
            refused += 1;
            continue;
        }
        let changes = history.entry(id(snapshot).unwrap()).or_default();
        changes.push(row(snapshot));
    }
    let steps = truth["steps"].as_array().unwrap().iter();
    let committed = steps.filter(|step| step["committed"] == true);
    for statement in committed.flat_map(|step| step["statements"].as_array().unwrap()) {
        let Some(changes) = statement["changes"].as_array() else {
            let sql = statement["sql"].as_str().unwrap();
            let tables = sql.split([' ', ',']).collect::<Vec<_>>();
            refused += usize::from(is_enveloped && tables.contains(&"payment"));
            continue;
        };
        for change in changes.iter().filter(|of| of["table"] == "payment") {
            let (old, new) = (&change["old"], &change["new"]);
            if old == new && database == "mariadb" {
                continue;
            }
            if let Some(gone) = id(old).filter(|old| Some(old) != id(new).as_ref()) {
                history.entry(gone).or_default().push(None);
            }
            if let Some(id) = id(new) {
                history.entry(id).or_default().push(row(new));
            }
        }
    }
    (history, refused)
}

/// What we read; where the database's date is one that the snapshot gets wrong, so is ours.
fn read(rows: &RecordBatch, columns: &[(&'static str, DataType)], expected: &History) -> History {
    let ops = rows.column_by_name(OP).unwrap();
    let ops = ops.as_primitive::<arrow_array::types::UInt8Type>();
    let mut history = History::new();
    for row in 0..rows.num_rows() {
        let id = ours(rows, "id", row).unwrap();
        let changes = history.entry(id.clone()).or_default();
        let same = expected.get(&id).and_then(|of| of.get(changes.len()));
        if ops.value(row) == OP_DELETE {
            changes.push(None);
            continue;
        }
        let cell = |&(name, _): &(&'static str, DataType)| {
            let is_left_out = same
                .and_then(|change| change.as_ref())
                .is_some_and(|row| row.get(name) == Some(&Some("julian".to_owned())));
            let value = if is_left_out {
                Some("julian".to_owned())
            } else {
                ours(rows, name, row)
            };
            (name, value)
        };
        changes.push(Some(columns.iter().map(cell).collect()));
    }
    history
}

#[test]
fn every_change_is_read_as_the_database_says_it() {
    for database in ["postgres", "mariadb"] {
        for variant in VARIANTS {
            let columns = columns(database).into_iter();
            let columns: Vec<_> = columns
                .filter(|(name, _)| !variant.without.contains(name))
                .collect();
            let decoded = decode(database, variant, &columns);
            let (expected, refused) = truth(database, variant, &columns);
            let found = read(&decoded.rows, &columns, &expected);
            let what = format!("{database}, {}", variant.name);
            let reasons: Vec<_> = decoded.dead_letters.iter().map(|of| &of.reason).collect();
            for (id, expected) in &expected {
                let found = found.get(id);
                assert_eq!(found, Some(expected), "{what}: row {id}; {reasons:?}");
            }
            assert_eq!(found.len(), expected.len(), "{what}");
            assert_eq!(reasons.len(), refused, "{what}: {reasons:?}");
        }
    }
}

#[test]
fn a_large_text_that_the_log_does_not_have_is_never_read_as_the_placeholder() {
    let columns = [("id", DataType::Int64), ("big", DataType::Utf8)];
    let variant = &VARIANTS[0];
    let decoded = decode("postgres", variant, &columns);
    let is_left_out = |of: &&tidemill_types::DeadLetter| of.reason.contains("REPLICA IDENTITY");
    let left_out = decoded.dead_letters.iter().filter(is_left_out).count();
    assert!(left_out > 0, "{:?}", decoded.dead_letters);
    let texts = decoded
        .rows
        .column_by_name("big")
        .unwrap()
        .as_string::<i32>();
    assert!(texts.iter().flatten().all(|text| !text.starts_with("__")));
    // The database's log of MariaDB always has it.
    let decoded = decode("mariadb", variant, &columns);
    assert!(!decoded.dead_letters.iter().any(|of| is_left_out(&of)));
}
