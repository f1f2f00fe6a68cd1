//! The schema that a sink's records are written by, derived from its columns.
//!
//! Promises: the same columns and options give the same text, so that a registry knows it again.

use arrow_schema::{DataType, TimeUnit};
use serde::Serialize;
use tidemill_types::format::{Error, SinkSpec};
use tidemill_types::sql_type;

use crate::names::{NAMES, is_name};
use crate::part::Part;
use crate::written::Envelope;

/// The option with the name of the record.
pub const NAME: &str = "avro.name";
/// What the record is called without it.
const DEFAULT_NAME: &str = "row";
/// What the record of several key columns is called without it.
const DEFAULT_KEY_NAME: &str = "key";
/// The types that have a form in Avro.
const SUPPORTED: &str = "one of BOOLEAN, an integer, REAL, DOUBLE, DECIMAL(p, s) up to 38 digits of which none or some are behind the point, \
     VARCHAR, DATE, TIMESTAMP in milliseconds without time zone, UUID, BYTEA, or an ARRAY, STRUCT or MAP of them";

/// A type, as its JSON.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Type {
    Name(String),
    Logical(Logical),
    OrNull(&'static str, Box<Type>),
    Record(Record),
    Array(Array),
    Map(Map),
}

#[derive(Debug, Serialize)]
struct Logical {
    #[serde(rename = "type")]
    of: &'static str,
    #[serde(rename = "logicalType")]
    means: &'static str,
    #[serde(flatten)]
    digits: Option<Digits>,
}

#[derive(Debug, Serialize)]
struct Digits {
    precision: u8,
    scale: i8,
}

#[derive(Debug, Serialize)]
struct Record {
    #[serde(rename = "type")]
    of: &'static str,
    name: String,
    fields: Vec<Field>,
}

#[derive(Debug, Serialize)]
struct Array {
    #[serde(rename = "type")]
    of: &'static str,
    items: Box<Type>,
}

#[derive(Debug, Serialize)]
struct Map {
    #[serde(rename = "type")]
    of: &'static str,
    values: Box<Type>,
}

#[derive(Debug, Serialize)]
struct Field {
    name: String,
    #[serde(rename = "type")]
    of: Type,
    /// Null, for a field that may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<()>,
}

/// The schema of a sink's records, in JSON.
///
/// # Errors
/// `Invalid` if a column's type or name has no form in Avro, or there is no such envelope, or the name is none.
pub fn schema(spec: &SinkSpec<'_>) -> Result<String, Error> {
    let name = name(Part::Value, spec)?.unwrap_or(DEFAULT_NAME);
    let row = record_of(Part::Value.fields(spec)?.into_iter(), name)?;
    let schema = match Envelope::named(spec.envelope)? {
        Envelope::Plain | Envelope::Upsert => row,
        Envelope::Debezium => change_of(name, row),
    };
    Ok(shown(&schema))
}

/// The schema of a sink's keys: the type of the one column, or a record if there are several, or a name for it.
///
/// # Errors
/// As [`schema`].
pub fn key_schema(spec: &SinkSpec<'_>) -> Result<String, Error> {
    let fields = Part::Key.fields(spec)?;
    let name = name(Part::Key, spec)?;
    let schema = match (fields.as_slice(), name) {
        ([only], None) => {
            let kind = type_of(only.data_type(), only.name(), only.name())?;
            if is_union(only) { or_null(kind) } else { kind }
        }
        _ => record_of(fields.into_iter(), name.unwrap_or(DEFAULT_KEY_NAME))?,
    };
    Ok(shown(&schema))
}

/// The name that the options give the record.
fn name<'a>(part: Part, spec: &SinkSpec<'a>) -> Result<Option<&'a str>, Error> {
    match part.option(spec.options, NAME) {
        Some(name) if !name.split('.').all(is_name) => {
            let expected = format!("{NAMES}, or several with dots between them");
            Err(part.wrong(NAME, name, expected))
        }
        name => Ok(name),
    }
}

/// A record of columns.
fn record_of<'a>(
    columns: impl Iterator<Item = &'a arrow_schema::Field>,
    name: &str,
) -> Result<Type, Error> {
    let fields = columns.map(|field| field_of(field, field.name(), is_union(field), name));
    Ok(Type::Record(Record {
        of: "record",
        name: name.to_owned(),
        fields: fields.collect::<Result<_, _>>()?,
    }))
}

fn shown(schema: &Type) -> String {
    serde_json::to_string(schema).expect("a schema is texts and small numbers")
}

/// The row as it was and as it is.
fn change_of(name: &str, row: Type) -> Type {
    let state = |name: &str, of: Type| field(name, or_null(of), true);
    Type::Record(Record {
        of: "record",
        name: format!("{name}_change"),
        fields: vec![
            state("before", row),
            state("after", Type::Name(name.to_owned())),
            field("op", Type::Name("string".to_owned()), false),
            field("ts_ms", Type::Name("long".to_owned()), false),
        ],
    })
}

fn field(name: &str, of: Type, is_nullable: bool) -> Field {
    Field {
        name: name.to_owned(),
        of,
        default: is_nullable.then_some(()),
    }
}

/// The field of a column, or of a struct in it, in a record of that full name.
fn field_of(
    of: &arrow_schema::Field,
    column: &str,
    is_nullable: bool,
    record: &str,
) -> Result<Field, Error> {
    if !is_name(of.name()) {
        return Err(Error::ColumnName {
            column: of.name().clone(),
            format: "avro",
            expected: NAMES,
        });
    }
    // A name with dots is in a namespace: that of the record that it lies in, so that no two are alike.
    let full = format!("{record}.{}", of.name());
    let kind = type_of(of.data_type(), column, &full)?;
    let kind = if is_nullable { or_null(kind) } else { kind };
    Ok(field(of.name(), kind, is_nullable))
}

fn or_null(of: Type) -> Type {
    Type::OrNull("null", Box::new(of))
}

/// The type of a column's values, or of those in them, of which any may be null; `full` is the name that a record has.
fn type_of(data_type: &DataType, column: &str, full: &str) -> Result<Type, Error> {
    let inner = |of: &DataType| type_of(of, column, full).map(|of| Box::new(or_null(of)));
    let scalar = match data_type {
        DataType::Struct(fields) => {
            let fields = fields.iter().map(|of| field_of(of, column, true, full));
            return Ok(Type::Record(Record {
                of: "record",
                name: full.to_owned(),
                fields: fields.collect::<Result<_, _>>()?,
            }));
        }
        DataType::List(element) => {
            return Ok(Type::Array(Array {
                of: "array",
                items: inner(element.data_type())?,
            }));
        }
        other => match sql_type::map_value(other) {
            Some(value) => {
                return Ok(Type::Map(Map {
                    of: "map",
                    values: inner(value)?,
                }));
            }
            None => scalar(other),
        },
    };
    scalar.ok_or_else(|| Error::UnsupportedType {
        column: column.to_owned(),
        data_type: data_type.clone(),
        format: "avro",
        supported: SUPPORTED,
    })
}

/// True if the number of a type stands before the column's values: of null, which is 0, or of its own.
pub fn is_union(column: &arrow_schema::Field) -> bool {
    column.is_nullable() && *column.data_type() != DataType::Null
}

fn scalar(data_type: &DataType) -> Option<Type> {
    let logical = |of, means| {
        Type::Logical(Logical {
            of,
            means,
            digits: None,
        })
    };
    let decimal = |precision, scale| {
        Type::Logical(Logical {
            of: "bytes",
            means: "decimal",
            digits: Some(Digits { precision, scale }),
        })
    };
    let name = match data_type {
        DataType::Null => "null",
        DataType::Boolean => "boolean",
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 => {
            "int"
        }
        DataType::Int64 | DataType::UInt32 => "long",
        // Half of its numbers are beyond Avro's own.
        DataType::UInt64 => return Some(decimal(20, 0)),
        DataType::Float32 => "float",
        DataType::Float64 => "double",
        &DataType::Decimal128(precision, scale) => {
            let is_of_avro = u8::try_from(scale).is_ok_and(|scale| scale <= precision);
            return is_of_avro.then(|| decimal(precision, scale));
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "string",
        DataType::Date32 => return Some(logical("int", "date")),
        DataType::Timestamp(TimeUnit::Millisecond, None) => {
            return Some(logical("long", "timestamp-millis"));
        }
        DataType::FixedSizeBinary(16) => return Some(logical("string", "uuid")),
        DataType::Binary => "bytes",
        _ => return None,
    };
    Some(Type::Name(name.to_owned()))
}
