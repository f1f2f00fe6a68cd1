//! One record as an event: `docs/formats/crud.md` once more, by way of a whole JSON tree.

use serde_json::{Map, Value as Json};

use crate::random_job::job::{Origin, Source, SourceColumn};
use crate::value::{Row, Type, Value, days_of, digits_of};

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
    /// A `read`.
    Nothing,
    /// It cannot be read.
    Dead,
}

/// Reads a record.
pub(super) fn read(source: &Source, bytes: &[u8], written_ms: i64) -> Outcome {
    decode(source, bytes, written_ms).unwrap_or(Outcome::Dead)
}

/// None for a record that cannot be read.
fn decode(source: &Source, bytes: &[u8], written_ms: i64) -> Option<Outcome> {
    let Ok(Json::Object(envelope)) = serde_json::from_slice::<Json>(bytes) else {
        return None;
    };
    let text = |name: &str| envelope.get(name).and_then(Json::as_str);
    let kind = text("type")?;
    if text("entity")? != source.entity {
        return None;
    }
    let uuid = text("uuid").filter(|uuid| !uuid.is_empty())?;
    let id = envelope.get("id")?.as_i64()?;
    let ts = envelope.get("ts")?.as_i64()?;
    let data = match envelope.get("data") {
        None | Some(Json::Null) => None,
        Some(Json::Object(data)) => Some(data),
        Some(_) => return None,
    };
    let change = match kind {
        "create" => Change::Create,
        "update" => Change::Update,
        "delete" => Change::Delete,
        "read" => return Some(Outcome::Nothing),
        _ => return None,
    };
    if data.is_none() && change != Change::Delete {
        return None;
    }
    let mut row = Row::new();
    for column in &source.columns {
        row.push(match column.origin {
            Origin::Id => Value::Int(id),
            Origin::Ts => Value::Time(ts),
            Origin::Uuid => Value::Text(uuid.to_owned()),
            Origin::Data => member(column, data, change)?,
        });
    }
    if let Some(watermark) = source.watermark
        && let Value::Time(time) = row[watermark.column]
        && time > written_ms + watermark.max_future_ms
    {
        return None;
    }
    Some(Outcome::Event(change, row))
}

/// The value of a member of the state; none if it has none of its type.
fn member(
    column: &SourceColumn,
    data: Option<&Map<String, Json>>,
    change: Change,
) -> Option<Value> {
    match data.and_then(|data| data.get(&column.name)) {
        None | Some(Json::Null) => {
            (column.nullable || change == Change::Delete).then_some(Value::Null)
        }
        Some(json) => of_type(column.ty, json),
    }
}

fn of_type(ty: Type, json: &Json) -> Option<Value> {
    match ty {
        Type::Bool => json.as_bool().map(Value::Bool),
        Type::Int => json.as_i64().map(Value::Int),
        Type::Decimal(scale) => {
            digits_of(json.as_str()?, scale).map(|digits| Value::Decimal(digits, scale))
        }
        Type::Text | Type::Uuid => json.as_str().map(|text| Value::Text(text.to_owned())),
        Type::Date => days_of(json.as_str()?).map(Value::Date),
        Type::Time => json.as_i64().map(Value::Time),
        Type::Double => None,
        Type::Bytes => None,
    }
}
