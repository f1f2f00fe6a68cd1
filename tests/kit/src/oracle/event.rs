//! One record as an event: `docs/formats` once more, by way of a whole JSON tree.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::Record;
use crate::codec;
use crate::random_job::job::{Envelope, Origin, Source, SourceColumn};
use crate::value::{Nested, Row, Type, Value, days_of, digits_of};

/// What an event does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Create,
    Update,
    Delete,
}

/// What becomes of a record.
#[derive(Debug)]
pub(super) enum Outcome {
    /// A change, with the source's columns.
    Event(Change, Row),
    /// Nothing changes.
    Nothing,
    /// It cannot be read.
    Dead,
}

/// What an envelope says.
struct Said {
    change: Change,
    /// What identifies the entity, the event and its time; null where it is not said.
    id: Json,
    uuid: Json,
    ts: Json,
    data: Map<String, Json>,
}

/// Reads a record.
pub(super) fn read(source: &Source, record: &Record) -> Outcome {
    decode(source, record).unwrap_or(Outcome::Dead)
}

/// True if a record says of a change.
#[must_use]
pub fn is_event(source: &Source, record: &Record) -> bool {
    matches!(read(source, record), Outcome::Event(..))
}

/// None for a record that cannot be read.
fn decode(source: &Source, record: &Record) -> Option<Outcome> {
    let value = match &record.value {
        Some(value) => codec::decode(source, value)?,
        None => Json::Null,
    };
    let has_key = source.columns.iter().any(|column| source.is_of_key(column));
    let key = Json::Object(if has_key { key_of(record)? } else { Map::new() });
    let said = match (source.envelope, &value) {
        (Envelope::Debezium, Json::Null) => return Some(Outcome::Nothing),
        (Envelope::Upsert, Json::Null) => upsert(&key, None),
        (Envelope::Upsert, Json::Object(state)) => upsert(&key, Some(state)),
        (Envelope::Crud, Json::Object(event)) => {
            let Some(said) = crud(source, event)? else {
                return Some(Outcome::Nothing);
            };
            said
        }
        (Envelope::Debezium, Json::Object(event)) => debezium(event)?,
        (Envelope::Plain, Json::Object(row)) => plain(row.clone(), Change::Create),
        (Envelope::CloudEvents, Json::Object(event)) => cloud_event(record, event)?,
        _ => return None,
    };
    let mut row = Row::new();
    for column in &source.columns {
        let header = header(record, &column.name);
        let json = match column.origin {
            Origin::Id => &said.id,
            Origin::Ts => &said.ts,
            Origin::Uuid => &said.uuid,
            Origin::Data => said.data.get(&column.name).unwrap_or(&Json::Null),
            Origin::Key => &key[&column.name],
            Origin::Written => &record.written_ms.map_or(Json::Null, Json::from),
            Origin::Header => &header.map_or(Json::Null, Json::from),
        };
        let may_lack = said.change == Change::Delete && !source.is_of_key(column);
        row.push(typed(column, json, may_lack)?);
    }
    if let Some(watermark) = source.watermark
        && let Value::Time(time) = row[watermark.column]
        && time > record.timestamp_ms + watermark.max_future_ms
    {
        return None;
    }
    Some(Outcome::Event(said.change, row))
}

/// An event of the studio; the inner none is a `read`.
fn crud(source: &Source, event: &Map<String, Json>) -> Option<Option<Said>> {
    let text = |name: &str| event.get(name).and_then(Json::as_str);
    let kind = text("type")?;
    if text("entity")? != source.entity {
        return None;
    }
    let uuid = text("uuid").filter(|uuid| !uuid.is_empty())?;
    let id = event.get("id")?;
    let is_scalar = id.is_number() || id.is_string();
    event.get("ts")?.as_i64().filter(|_| is_scalar)?;
    let data = match event.get("data") {
        None | Some(Json::Null) => None,
        Some(Json::Object(data)) => Some(data.clone()),
        Some(_) => return None,
    };
    let change = match kind {
        "create" => Change::Create,
        "update" => Change::Update,
        "delete" => Change::Delete,
        "read" => return Some(None),
        _ => return None,
    };
    if data.is_none() && change != Change::Delete {
        return None;
    }
    Some(Some(Said {
        change,
        id: id.clone(),
        uuid: Json::from(uuid),
        ts: event["ts"].clone(),
        data: data.unwrap_or_default(),
    }))
}

/// A change of a database, maybe with its schema.
fn debezium(event: &Map<String, Json>) -> Option<Said> {
    let event = match event.get("payload") {
        Some(payload) => payload.as_object()?,
        None => event,
    };
    let (change, state) = match event.get("op")?.as_str()? {
        "c" | "r" => (Change::Create, "after"),
        "u" => (Change::Update, "after"),
        "d" => (Change::Delete, "before"),
        _ => return None,
    };
    let said = plain(event.get(state)?.as_object()?.clone(), change);
    let ts = event.get("source")?.get("ts_ms")?.clone();
    Some(Said { ts, ..said })
}

/// The members of the record's key; one that is a bare value is the id.
fn key_of(record: &Record) -> Option<Map<String, Json>> {
    let key: Json = serde_json::from_slice(record.key.as_deref()?).ok()?;
    Some(match key {
        Json::Object(key) => key,
        bare => Map::from_iter([("id".to_owned(), bare)]),
    })
}

/// A header's text.
fn header<'a>(record: &'a Record, name: &str) -> Option<&'a str> {
    let (_, value) = record
        .headers
        .iter()
        .rfind(|(of, _)| of == name.as_bytes())?;
    std::str::from_utf8(value).ok()
}

/// The state of the record's key; without one a delete.
fn upsert(key: &Json, state: Option<&Map<String, Json>>) -> Said {
    let change = match state {
        Some(_) => Change::Create,
        None => Change::Delete,
    };
    let said = plain(state.cloned().unwrap_or_default(), change);
    let id = key["id"].clone();
    Said { id, ..said }
}

/// A state that says all itself.
fn plain(data: Map<String, Json>, change: Change) -> Said {
    let member = |name: &str| data.get(name).cloned().unwrap_or(Json::Null);
    Said {
        change,
        id: member("id"),
        uuid: member("uuid"),
        ts: member("ts"),
        data,
    }
}

/// An event of the CNCF's specification, whose attributes may be headers.
fn cloud_event(record: &Record, event: &Map<String, Json>) -> Option<Said> {
    let is_binary = header(record, "ce_specversion").is_some();
    let text = |name: &str| {
        if is_binary {
            header(record, &format!("ce_{name}"))
        } else {
            event.get(name).and_then(Json::as_str)
        }
    };
    for name in ["specversion", "source", "type"] {
        text(name)?;
    }
    let uuid = Json::from(text("id")?);
    let ts = chrono::DateTime::parse_from_rfc3339(text("time")?).ok()?;
    let data = if is_binary {
        event.clone()
    } else {
        event.get("data")?.as_object()?.clone()
    };
    Some(Said {
        uuid,
        ts: Json::from(ts.timestamp_millis()),
        ..plain(data, Change::Create)
    })
}

/// The value of a column; none if it is of another type, or must not be null.
fn typed(column: &SourceColumn, json: &Json, may_lack: bool) -> Option<Value> {
    if json.is_null() {
        return (column.nullable || may_lack).then_some(Value::Null);
    }
    match column.ty {
        Type::Nested(of) => Some(Value::Nested(nested(of, json)?.to_string())),
        ty => scalar(ty, json),
    }
}

/// A value with others in it as a sink writes it: with all that its type has, the entries of a map by their keys.
fn nested(of: Nested, json: &Json) -> Option<Json> {
    let item = |ty, json: &Json| match json {
        Json::Null => Some(Json::Null),
        json => scalar(ty, json).map(|value| value.to_json()),
    };
    Some(match of {
        Nested::Struct => {
            let fields = json.as_object()?;
            let field = |name: &str, ty| {
                let value = fields.get(name).unwrap_or(&Json::Null);
                Some((name.to_owned(), item(ty, value)?))
            };
            Json::Object(Map::from_iter([
                field("n", Type::Int)?,
                field("label", Type::Text)?,
            ]))
        }
        Nested::Array => {
            let items = json.as_array()?.iter();
            let items = items.map(|json| item(Type::Decimal(2), json));
            Json::Array(items.collect::<Option<_>>()?)
        }
        Nested::Map => {
            let entries: BTreeMap<&String, &Json> = json.as_object()?.iter().collect();
            let entries = entries.into_iter();
            let entries = entries.map(|(key, json)| Some((key.clone(), item(Type::Int, json)?)));
            Json::Object(entries.collect::<Option<_>>()?)
        }
    })
}

/// A value that has no others in it.
fn scalar(ty: Type, json: &Json) -> Option<Value> {
    match ty {
        Type::Bool => json.as_bool().map(Value::Bool),
        Type::Int => json.as_i64().map(Value::Int),
        Type::Decimal(scale) => {
            digits_of(json.as_str()?, scale).map(|digits| Value::Decimal(digits, scale))
        }
        Type::Text | Type::Uuid => json.as_str().map(|text| Value::Text(text.to_owned())),
        Type::Date => days_of(json.as_str()?).map(Value::Date),
        Type::Time => json.as_i64().map(Value::Time),
        Type::Double | Type::Bytes | Type::Nested(_) => None,
    }
}
