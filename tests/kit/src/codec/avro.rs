//! Records of Avro, by apache-avro.

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as Avro;
use apache_avro::writer::datum::GenericDatumWriter;
use apache_avro::{Decimal, Schema};
use serde_json::{Map, Value as Json, json};

use super::shape::{Field, Shape};
use crate::value::{Type, Value, days_of, digits_of};

/// The schema of records of a shape, as JSON.
pub fn schema(shape: &Shape) -> String {
    schema_of(shape, &mut Vec::new()).to_string()
}

/// A schema; a record that was declared before is its name.
fn schema_of(shape: &Shape, declared: &mut Vec<&'static str>) -> Json {
    match shape {
        Shape::Record(name, _) if declared.contains(name) => json!(name),
        Shape::Record(name, fields) => {
            declared.push(name);
            let fields = fields.iter().map(|field| {
                let of = schema_of(&field.shape, declared);
                let of = if field.nullable {
                    json!(["null", of])
                } else {
                    of
                };
                json!({"name": field.name, "type": of})
            });
            let fields: Vec<_> = fields.collect();
            json!({"type": "record", "name": name, "fields": fields})
        }
        Shape::Of(Type::Bool) => json!("boolean"),
        Shape::Of(Type::Int) => json!("long"),
        Shape::Of(Type::Decimal(scale)) => {
            json!({"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": scale})
        }
        Shape::Of(Type::Text | Type::Uuid) => json!("string"),
        Shape::Of(Type::Date) => json!({"type": "int", "logicalType": "date"}),
        Shape::Of(Type::Time) => json!({"type": "long", "logicalType": "timestamp-millis"}),
        Shape::Of(Type::Double) => json!("double"),
        Shape::Of(Type::Bytes) => json!("bytes"),
    }
}

fn parsed(shape: &Shape) -> Schema {
    Schema::parse_str(&schema(shape)).expect("it is made by Avro's rules")
}

/// An event's bytes; none if a value has no form.
pub fn encode(shape: &Shape, event: &Json) -> Option<Vec<u8>> {
    bytes_of(&parsed(shape), encoded(shape, event)?)
}

fn bytes_of(schema: &Schema, value: Avro) -> Option<Vec<u8>> {
    let writer = GenericDatumWriter::builder(schema).build().ok()?;
    writer.write_value_to_vec(value).ok()
}

/// The event that bytes are, to the last of them.
pub fn decode(shape: &Shape, bytes: &[u8]) -> Option<Json> {
    let schema = parsed(shape);
    let reader = GenericDatumReader::builder(&schema).build().ok()?;
    let value = reader.read_value(&mut &*bytes).ok()?;
    // The library takes a union behind the last byte for null, and leaves bytes that are too many.
    let is_whole = bytes_of(&schema, value.clone()).as_deref() == Some(bytes);
    is_whole.then(|| decoded(shape, value)).flatten()
}

fn encoded(shape: &Shape, json: &Json) -> Option<Avro> {
    Some(match shape {
        Shape::Record(_, fields) => {
            let object = json.as_object()?;
            let field = |field: &Field| {
                let value = object.get(&field.name).unwrap_or(&Json::Null);
                let value = match (field.nullable, value) {
                    (true, Json::Null) => Avro::Union(0, Box::new(Avro::Null)),
                    (true, value) => Avro::Union(1, Box::new(encoded(&field.shape, value)?)),
                    (false, value) => encoded(&field.shape, value)?,
                };
                Some((field.name.clone(), value))
            };
            Avro::Record(fields.iter().map(field).collect::<Option<_>>()?)
        }
        Shape::Of(Type::Bool) => Avro::Boolean(json.as_bool()?),
        Shape::Of(Type::Int) => Avro::Long(json.as_i64()?),
        Shape::Of(Type::Time) => Avro::TimestampMillis(json.as_i64()?),
        Shape::Of(Type::Date) => Avro::Date(days_of(json.as_str()?)?),
        Shape::Of(Type::Text | Type::Uuid) => Avro::String(json.as_str()?.to_owned()),
        Shape::Of(Type::Decimal(scale)) => {
            let digits = digits_of(json.as_str()?, *scale)?;
            Avro::Decimal(Decimal::from(digits.to_be_bytes()))
        }
        Shape::Of(Type::Double | Type::Bytes) => return None,
    })
}

fn decoded(shape: &Shape, value: Avro) -> Option<Json> {
    Some(match (shape, value) {
        (shape, Avro::Union(_, inner)) => decoded(shape, *inner)?,
        (_, Avro::Null) => Json::Null,
        (Shape::Record(_, fields), Avro::Record(values)) => {
            let values = fields.iter().zip(values);
            let values =
                values.map(|(field, (name, value))| Some((name, decoded(&field.shape, value)?)));
            Json::Object(values.collect::<Option<Map<_, _>>>()?)
        }
        (_, Avro::Boolean(is)) => Json::from(is),
        (_, Avro::Long(number) | Avro::TimestampMillis(number)) => Json::from(number),
        (_, Avro::Double(number)) => Json::from(number),
        (_, Avro::String(text)) => Json::from(text),
        (_, Avro::Date(days)) => Value::Date(days).to_json(),
        (_, Avro::Bytes(bytes)) => Value::Bytes(bytes).to_json(),
        (Shape::Of(Type::Decimal(scale)), Avro::Decimal(digits)) => {
            let bytes = Vec::<u8>::try_from(digits).ok()?;
            Value::Decimal(number(&bytes)?, *scale).to_json()
        }
        _ => return None,
    })
}

/// A number from its bytes, big-endian in two's complement.
fn number(bytes: &[u8]) -> Option<i128> {
    let sign = bytes.first().map_or(0, |first| first >> 7);
    let start = if sign == 1 { -1 } else { 0 };
    (bytes.len() <= 16)
        .then(|| (bytes.iter()).fold(start, |all: i128, byte| all << 8 | i128::from(*byte)))
}
