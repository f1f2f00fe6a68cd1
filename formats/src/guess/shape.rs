//! What kind of records a sample has: the encoding that most of them are, and the envelope that their members tell.

use serde_json::{Map, Value as Json};
use tidemill_types::{RawRecord, RawRecords};

use super::columns::ProposedColumn;

/// What a record looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A JSON object.
    Json,
    /// Fields with this between them.
    Lines(u8),
    /// Text.
    Text,
    /// No text.
    Bytes,
}

/// How many records of a sample are what.
#[derive(Debug, Default)]
pub struct Shapes {
    /// All with a value.
    pub records: usize,
    /// Without a value.
    pub tombstones: usize,
    /// JSON objects.
    pub json: usize,
    /// Beginning with a zero byte and an id.
    pub framed: usize,
    /// With their schema.
    pub has_schema: bool,
    text: usize,
    /// Lines by delimiter.
    lines: Vec<(u8, usize)>,
    crud: usize,
    debezium: usize,
    cloudevents: usize,
}

const DELIMITERS: [u8; 4] = *b",;\t|";
/// How long the frame is that Confluent's serializers put before a value: a zero byte, and the schema's id.
const FRAME_BYTES: usize = 5;

impl Shapes {
    /// Looks at every record.
    pub fn of(records: &[RawRecords]) -> Self {
        let mut shapes = Self {
            lines: DELIMITERS.map(|delimiter| (delimiter, 0)).into(),
            ..Self::default()
        };
        for record in records.iter().flat_map(RawRecords::iter) {
            shapes.add(&record);
        }
        shapes
    }

    fn add(&mut self, record: &RawRecord<'_>) {
        let Some(value) = record.value.filter(|value| value.trim_ascii() != b"null") else {
            self.tombstones += 1;
            return;
        };
        self.records += 1;
        self.framed += usize::from(value.len() > FRAME_BYTES && value[0] == 0);
        if let Ok(Json::Object(object)) = serde_json::from_slice(value) {
            self.json += 1;
            self.add_object(record, object);
        } else if let Ok(text) = std::str::from_utf8(value) {
            self.text += 1;
            for (delimiter, lines) in &mut self.lines {
                *lines += usize::from(fields(text.trim_end(), *delimiter).len() > 1);
            }
        }
    }

    fn add_object(&mut self, record: &RawRecord<'_>, object: Map<String, Json>) {
        let has = |names: &[&str]| names.iter().all(|name| object.contains_key(*name));
        self.has_schema |= has(&["schema", "payload"]);
        let is_event = has(&["specversion", "id", "source", "type"])
            || record.headers.get(b"ce_specversion").is_some();
        self.cloudevents += usize::from(is_event);
        self.crud += usize::from(has(&["uuid", "type", "ts", "entity", "id"]));
        let change = payload(object);
        let is_change = change.contains_key("op")
            && (change.contains_key("before") || change.contains_key("after"));
        self.debezium += usize::from(is_change);
    }

    /// What most records are.
    pub fn usual(&self) -> Shape {
        let (delimiter, lines) = self
            .lines
            .iter()
            .copied()
            .max_by_key(|&(_, lines)| lines)
            .unwrap_or_default();
        if self.json * 2 >= self.records {
            Shape::Json
        } else if lines * 10 >= self.records * 9 {
            Shape::Lines(delimiter)
        } else if self.text * 2 >= self.records {
            Shape::Text
        } else {
            Shape::Bytes
        }
    }

    /// The envelope that most objects tell.
    pub fn envelope(&self) -> &'static str {
        let most = |count: usize| count * 2 > self.json;
        if most(self.debezium) {
            "debezium"
        } else if most(self.crud) {
            "crud"
        } else if most(self.cloudevents) {
            "cloudevents"
        } else if self.tombstones > 0 {
            "upsert"
        } else {
            "plain"
        }
    }
}

/// What Connect's wrapper holds, or the object itself.
fn payload(mut object: Map<String, Json>) -> Map<String, Json> {
    match object.remove("payload") {
        Some(Json::Object(payload)) if object.contains_key("schema") => payload,
        Some(other) => {
            object.insert("payload".to_owned(), other);
            object
        }
        None => object,
    }
}

/// The state in a record of an envelope.
pub fn state(record: &RawRecord<'_>, envelope: &str) -> Option<Map<String, Json>> {
    let Ok(Json::Object(object)) = serde_json::from_slice(record.value?) else {
        return None;
    };
    let within = |mut object: Map<String, Json>, name: &str| match object.remove(name) {
        Some(Json::Object(state)) => Some(state),
        _ => None,
    };
    match envelope {
        "crud" => within(object, "data"),
        "debezium" => within(payload(object), "after"),
        "cloudevents" if record.headers.get(b"ce_specversion").is_none() => within(object, "data"),
        _ => Some(object),
    }
}

/// The fields of a line; quotes hold what is between them together.
pub fn fields(line: &str, delimiter: u8) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut is_quoted = false;
    for c in line.chars() {
        match c {
            '"' => is_quoted = !is_quoted,
            c if c == char::from(delimiter) && !is_quoted => fields.push(String::new()),
            c => {
                if let Some(field) = fields.last_mut() {
                    field.push(c);
                }
            }
        }
    }
    fields
}

fn keys(records: &[RawRecords]) -> impl Iterator<Item = &[u8]> {
    let all = records.iter().flat_map(RawRecords::iter);
    all.filter_map(|record| record.key)
}

/// True if keys are texts that JSON does not know.
pub fn has_plain_keys(records: &[RawRecords]) -> bool {
    keys(records).any(|key| serde_json::from_slice::<Json>(key).is_err())
}

/// The columns of the records' keys, by name.
pub fn key_columns(records: &[RawRecords]) -> Vec<(String, ProposedColumn)> {
    let first = keys(records).next().unwrap_or_default();
    let of = |name: &str, value: &Json| {
        let sql_type = if value.is_i64() { "BIGINT" } else { "VARCHAR" };
        (name.to_owned(), ProposedColumn::member(name, sql_type))
    };
    match serde_json::from_slice(first) {
        Ok(Json::Object(key)) => {
            let members = payload(key);
            members
                .iter()
                .map(|(name, value)| of(name, value))
                .collect()
        }
        Ok(bare) if !has_plain_keys(records) => vec![of("id", &bare)],
        _ => vec![of("id", &Json::Null)],
    }
}
