//! Records of sinks: what a reader finds in them, as the JSON that a sink of JSON writes.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Map, Value as Json};

use super::shape::{Field, Shape};
use super::{avro, csv, protobuf};
use crate::random_job::job::{Encoding, Relation, Sink, Written};
use crate::value::{Type, Value, canonical};

/// How a sink's records are read.
#[derive(Debug, Clone)]
pub struct SinkCodec {
    encoding: Encoding,
    written: Written,
    /// A row.
    row: Shape,
    /// A record: a row, or a change of one.
    record: Shape,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// That this is the row.
    Row(String),
    /// What the row was and is.
    Change {
        /// None if it was not there.
        before: Option<String>,
        /// None if it is there no more.
        after: Option<String>,
    },
}

impl SinkCodec {
    /// Of a sink of a relation. The schema of Avro is the product's: which columns may be null, its plan says.
    #[must_use]
    pub fn new(sink: &Sink, relation: &Relation, planned: &[bool]) -> Self {
        let columns = relation.columns.iter().enumerate();
        let columns = columns.filter(|(index, _)| sink.is_of_value(*index));
        let fields = columns.map(|(index, column)| Field {
            nullable: match sink.encoding {
                Encoding::Avro => planned.get(index).copied().unwrap_or(true),
                _ => column.nullable,
            },
            ..Field::new(&column.name, Shape::of_type(column.ty))
        });
        let name = match (sink.encoding, sink.written) {
            (Encoding::Protobuf, _) => "Row",
            _ => "row",
        };
        let row = Shape::Record(name, fields.collect());
        let record = match sink.written {
            Written::Plain | Written::Upsert => row.clone(),
            Written::Debezium => change(&row),
        };
        Self {
            encoding: sink.encoding,
            written: sink.written,
            row,
            record,
        }
    }

    /// The format, as SQL: its name, and the options that it needs.
    #[must_use]
    pub fn options(&self) -> String {
        match self.encoding {
            Encoding::Json => "format = 'json'".to_owned(),
            Encoding::Csv => "format = 'csv'".to_owned(),
            Encoding::Avro => "format = 'avro'".to_owned(),
            Encoding::Protobuf => protobuf::options(&self.record),
            Encoding::Raw => "format = 'raw'".to_owned(),
        }
    }

    /// What a record says.
    ///
    /// # Errors
    /// If it is none of the sink's.
    pub fn read(&self, bytes: &[u8]) -> Result<Said, String> {
        let whole = match self.encoding {
            Encoding::Json if self.written != Written::Debezium => {
                let row = canonical(bytes);
                return row.map(Said::Row).map_err(|error| error.to_string());
            }
            Encoding::Json => return changed(bytes),
            Encoding::Csv => csv::decode(&self.as_texts(), bytes),
            Encoding::Avro => avro::decode(&self.record, bytes),
            Encoding::Protobuf => protobuf::decode(&self.record, bytes),
            Encoding::Raw => csv::decode_bare(&self.as_texts(), bytes),
        };
        self.said(whole)
            .ok_or_else(|| format!("no record of the sink: {}", bytes.escape_ascii()))
    }

    fn said(&self, whole: Option<Json>) -> Option<Said> {
        let whole = whole?;
        if self.written != Written::Debezium {
            return self.row_text(&whole).map(Said::Row);
        }
        let state = |name: &str| match whole.get(name)? {
            Json::Null => Some(None),
            state => self.row_text(state).map(Some),
        };
        let (before, after) = (state("before")?, state("after")?);
        whole.get("ts_ms")?.as_i64()?;
        let op = op(&before, &after)?;
        (whole.get("op")?.as_str()? == op).then_some(Said::Change { before, after })
    }

    /// A row in the oracle's form: times as texts.
    fn row_text(&self, row: &Json) -> Option<String> {
        let row = row.as_object()?;
        let names = self.row.names();
        if row.len() != names.len() {
            return None;
        }
        let members = self.row.fields().iter().map(|field| {
            let value = row.get(&field.name)?;
            let value = match (&field.shape, value.as_i64()) {
                (Shape::Of(Type::Time), Some(ms)) => Value::Time(ms).to_json(),
                _ => value.clone(),
            };
            Some((field.name.clone(), value))
        });
        let members = members.collect::<Option<Map<_, _>>>()?;
        canonical(Json::Object(members).to_string().as_bytes()).ok()
    }

    /// The row, with times that are texts.
    fn as_texts(&self) -> Shape {
        let fields = self.row.fields().iter().map(|field| Field {
            shape: match field.shape {
                Shape::Of(Type::Time) => Shape::Of(Type::Text),
                ref shape => shape.clone(),
            },
            ..field.clone()
        });
        Shape::Record("row", fields.collect())
    }
}

/// A change in JSON, whose numbers are read exactly.
fn changed(bytes: &[u8]) -> Result<Said, String> {
    let members: BTreeMap<String, &RawValue> =
        serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let text = |name: &str| members.get(name).map(|of| of.get()).unwrap_or_default();
    let state = |name: &str| match text(name) {
        "null" => Ok(None),
        state => canonical(state.as_bytes())
            .map(Some)
            .map_err(|error| format!("'{name}': {error}")),
    };
    let (before, after) = (state("before")?, state("after")?);
    if op(&before, &after).is_none_or(|op| text("op") != format!("\"{op}\"")) {
        return Err(format!("no change: {}", bytes.escape_ascii()));
    }
    Ok(Said::Change { before, after })
}

/// What Debezium calls a change.
const fn op(before: &Option<String>, after: &Option<String>) -> Option<&'static str> {
    match (before, after) {
        (None, Some(_)) => Some("c"),
        (Some(_), Some(_)) => Some("u"),
        (Some(_), None) => Some("d"),
        (None, None) => None,
    }
}

/// A change of a row, as Avro's sinks declare it.
fn change(row: &Shape) -> Shape {
    let not_null = |name: &str, ty| Field {
        nullable: false,
        ..Field::new(name, Shape::Of(ty))
    };
    Shape::Record(
        "row_change",
        vec![
            Field::new("before", row.clone()),
            Field::new("after", row.clone()),
            not_null("op", Type::Text),
            not_null("ts_ms", Type::Int),
        ],
    )
}
