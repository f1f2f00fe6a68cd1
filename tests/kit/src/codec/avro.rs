//! Records of Avro, by apache-avro.

use std::collections::BTreeMap;
use std::io::Read;

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as Avro;
use apache_avro::writer::datum::GenericDatumWriter;
use apache_avro::{Decimal, Schema};
use serde_json::{Map, Value as Json, json};

use super::shape::{Field, Shape};
use crate::value::{Type, Value, days_of, digits_of};

/// What was declared of a schema.
#[derive(Default)]
struct Declared {
    names: Vec<&'static str>,
    /// True if maps are arrays of their entries: on the wire they are, and the maps of the library have no order.
    are_maps_arrays: bool,
}

/// The schema of records of a shape, as JSON.
pub fn schema(shape: &Shape) -> String {
    schema_of(shape, &mut Declared::default()).to_string()
}

/// A schema; a record that was declared before is its name.
fn schema_of(shape: &Shape, declared: &mut Declared) -> Json {
    match shape {
        Shape::Record(name, _) if declared.names.contains(name) => json!(name),
        Shape::Record(name, fields) => {
            declared.names.push(name);
            let fields = fields.iter().map(|field| {
                let of = if field.nullable {
                    nullable(&field.shape, declared)
                } else {
                    schema_of(&field.shape, declared)
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
        Shape::Of(ty @ Type::Nested(_)) => schema_of(&Shape::of_type(*ty), declared),
        Shape::Array(of) => json!({"type": "array", "items": nullable(of, declared)}),
        Shape::Map(of) if declared.are_maps_arrays => {
            json!({"type": "array", "items": entry(of, declared)})
        }
        Shape::Map(of) => json!({"type": "map", "values": nullable(of, declared)}),
    }
}

/// An entry of a map.
fn entry(of: &Shape, declared: &mut Declared) -> Json {
    const NAME: &str = "Entry";
    if declared.names.contains(&NAME) {
        return json!(NAME);
    }
    declared.names.push(NAME);
    let value = nullable(of, declared);
    json!({"type": "record", "name": NAME, "fields": [{"name": "key", "type": "string"}, {"name": "value", "type": value}]})
}

fn nullable(shape: &Shape, declared: &mut Declared) -> Json {
    json!(["null", schema_of(shape, declared)])
}

fn parsed(shape: &Shape) -> Schema {
    let mut declared = Declared {
        are_maps_arrays: true,
        ..Declared::default()
    };
    let schema = schema_of(shape, &mut declared);
    Schema::parse(&schema).expect("it is made by Avro's rules")
}

/// An event's bytes; none if a value has no form.
pub fn encode(shape: &Shape, event: &Json) -> Option<Vec<u8>> {
    let schema = parsed(shape);
    let writer = GenericDatumWriter::builder(&schema).build().ok()?;
    writer.write_value_to_vec(encoded(shape, event)?).ok()
}

/// Bytes, and whether more were asked for: the library takes a union behind the last one for null.
struct Bytes<'a> {
    left: &'a [u8],
    is_short: bool,
}

impl Read for Bytes<'_> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        let read = self.left.read(to)?;
        self.is_short |= read == 0 && !to.is_empty();
        Ok(read)
    }
}

/// The event that bytes are, to the last of them.
pub fn decode(shape: &Shape, bytes: &[u8]) -> Option<Json> {
    let schema = parsed(shape);
    let reader = GenericDatumReader::builder(&schema).build().ok()?;
    let mut bytes = Bytes {
        left: bytes,
        is_short: false,
    };
    let value = reader.read_value(&mut bytes).ok()?;
    let is_whole = bytes.left.is_empty() && !bytes.is_short;
    is_whole.then(|| decoded(shape, value)).flatten()
}

fn encoded(shape: &Shape, json: &Json) -> Option<Avro> {
    Some(match shape {
        Shape::Record(_, fields) => {
            let object = json.as_object()?;
            let field = |field: &Field| {
                let value = object.get(&field.name).unwrap_or(&Json::Null);
                let value = if field.nullable {
                    encoded_nullable(&field.shape, value)?
                } else {
                    encoded(&field.shape, value)?
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
        Shape::Of(Type::Double | Type::Bytes | Type::Nested(_)) => return None,
        Shape::Array(of) => {
            let items = json.as_array()?.iter();
            Avro::Array(
                items
                    .map(|item| encoded_nullable(of, item))
                    .collect::<Option<_>>()?,
            )
        }
        Shape::Map(of) => {
            let entry = |(key, value): (&String, &Json)| {
                let key = Avro::String(key.clone());
                let value = encoded_nullable(of, value)?;
                Some(Avro::Record(vec![
                    ("key".to_owned(), key),
                    ("value".to_owned(), value),
                ]))
            };
            let entries = json.as_object()?.iter().map(entry);
            Avro::Array(entries.collect::<Option<_>>()?)
        }
    })
}

fn encoded_nullable(shape: &Shape, json: &Json) -> Option<Avro> {
    Some(match json {
        Json::Null => Avro::Union(0, Box::new(Avro::Null)),
        json => Avro::Union(1, Box::new(encoded(shape, json)?)),
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
        (Shape::Array(of), Avro::Array(items)) => {
            let items = items.into_iter().map(|item| decoded(of, item));
            Json::Array(items.collect::<Option<_>>()?)
        }
        (Shape::Map(of), Avro::Array(entries)) => {
            let entry = |entry| match entry {
                Avro::Record(fields) => match <[_; 2]>::try_from(fields).ok()? {
                    [(_, Avro::String(key)), (_, value)] => Some((key, decoded(of, value)?)),
                    _ => None,
                },
                _ => None,
            };
            let entries = entries.into_iter().map(entry);
            let entries = entries.collect::<Option<BTreeMap<_, _>>>()?;
            Json::Object(entries.into_iter().collect())
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
