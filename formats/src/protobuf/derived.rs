//! The schema that a sink's messages are written by, derived from its columns: the text of a `.proto` file with one message.
//!
//! Promises: a field keeps its number from version to version, by its name, and the number of one that is gone is never given to another; so
//! the same columns give the same text after themselves, and whoever has an older version reads what he knows of a newer one.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;

use arrow_schema::{DataType, Field, TimeUnit};
use prost_reflect::MessageDescriptor;
use tidemill_types::format::{Contract, Error, SchemaText, SinkSpec};

use super::contract;
use super::schema::MESSAGE;
use crate::names::{NAMES, is_name};
use crate::proto_text;

/// What the message is called unless the options say it.
const DEFAULT_NAME: &str = "Row";
/// The types that have a form in Protobuf.
const SUPPORTED: &str = "one of BOOLEAN, an integer, REAL, DOUBLE, DECIMAL(p, s) up to 38 digits, VARCHAR, DATE, TIMESTAMP in milliseconds without \
     time zone, UUID, BYTEA";
/// The numbers that Protobuf keeps for itself.
const RESERVED: Range<u32> = 19_000..20_000;
/// The file of `google.protobuf.Timestamp`.
const TIMESTAMP_FILE: &str = "google/protobuf/timestamp.proto";

/// The schema of a sink's messages, to follow the newest version of its subject.
///
/// # Errors
/// `Invalid` if a column's type or name has no form in Protobuf, the message's name is none, or the newest version is no schema of Protobuf.
pub fn schema(spec: &SinkSpec<'_>, newest: Option<&Contract>) -> Result<String, Error> {
    contract::refuse_descriptors(spec.options)?;
    let name = spec
        .options
        .get(MESSAGE)
        .map_or(DEFAULT_NAME, String::as_str);
    let wrong = |expected: String| Error::OptionValue {
        option: MESSAGE.to_owned(),
        value: name.to_owned(),
        expected,
    };
    if !name.split('.').all(is_name) {
        return Err(wrong(format!("{NAMES}, or several with dots between them")));
    }
    let mut numbers = Numbers::default();
    if let Some(newest) = newest {
        let file = contract::file(newest)?;
        numbers = contract::message_of(&file, Some(name))
            .map_or_else(Numbers::default, |message| Numbers::of(&message));
    }
    let mut fields = BTreeMap::new();
    for column in spec.schema.fields() {
        let declared = declaration(column)?;
        fields.insert(numbers.take(column.name()), declared);
    }
    let text = text(name, &numbers, &fields);
    let schema = SchemaText {
        text,
        references: Vec::new(),
    };
    proto_text::compile(&schema).map_err(|why| {
        wrong(format!(
            "a name that goes with those of the columns ({why})"
        ))
    })?;
    Ok(schema.text)
}

/// The numbers of fields: those that are taken, and those that were.
#[derive(Debug, Default)]
struct Numbers {
    /// By name, those of the newest version that no column has yet.
    known: BTreeMap<String, u32>,
    /// Those that fields had which are gone.
    gone: Vec<Range<u32>>,
    /// Above all that were ever given.
    next: u32,
}

impl Numbers {
    fn of(message: &MessageDescriptor) -> Self {
        let known: BTreeMap<_, _> = message
            .fields()
            .map(|field| (field.name().to_owned(), field.number()))
            .collect();
        let gone: Vec<_> = message.reserved_ranges().collect();
        let ends = gone.iter().map(|range| range.end);
        let next = ends.chain(known.values().map(|number| number + 1)).max();
        Self {
            known,
            gone,
            next: next.unwrap_or(1),
        }
    }

    /// The number of a column.
    fn take(&mut self, name: &str) -> u32 {
        if let Some(number) = self.known.remove(name) {
            return number;
        }
        let mut number = self.next.max(1);
        if RESERVED.contains(&number) {
            number = RESERVED.end;
        }
        self.next = number + 1;
        number
    }

    /// The numbers that no field has any more, in order.
    fn gone(&self) -> Vec<Range<u32>> {
        let known = self.known.values().map(|&number| number..number + 1);
        let mut gone: Vec<_> = self.gone.iter().cloned().chain(known).collect();
        gone.sort_by_key(|range| range.start);
        gone
    }
}

/// The text of the file.
fn text(name: &str, numbers: &Numbers, fields: &BTreeMap<u32, String>) -> String {
    let (package, message) = match name.rsplit_once('.') {
        Some((package, message)) => (Some(package), message),
        None => (None, name),
    };
    let mut text = "syntax = \"proto3\";\n".to_owned();
    let mut line = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    if let Some(package) = package {
        line(format!("package {package};"));
    }
    if fields
        .values()
        .any(|of| of.starts_with("google.protobuf.Timestamp"))
    {
        line(format!("import \"{TIMESTAMP_FILE}\";"));
    }
    line(format!("message {message} {{"));
    let gone = numbers.gone();
    if !gone.is_empty() {
        let mut reserved = String::new();
        for range in gone {
            let (first, last) = (range.start, range.end - 1);
            let comma = if reserved.is_empty() { "" } else { ", " };
            // Writing to a string cannot fail.
            let _ = match last {
                last if last == first => write!(reserved, "{comma}{first}"),
                last => write!(reserved, "{comma}{first} to {last}"),
            };
        }
        line(format!("  reserved {reserved};"));
    }
    for (number, declared) in fields {
        line(format!("  {declared} = {number};"));
    }
    line("}".to_owned());
    text
}

/// A column's field, without its number.
fn declaration(column: &Field) -> Result<String, Error> {
    let name = column.name();
    if !is_name(name) {
        return Err(Error::ColumnName {
            column: name.clone(),
            format: "protobuf",
            expected: NAMES,
        });
    }
    let of = type_of(column.data_type()).ok_or_else(|| Error::UnsupportedType {
        column: name.clone(),
        data_type: column.data_type().clone(),
        format: "protobuf",
        supported: SUPPORTED,
    })?;
    // A message is there or not in any case.
    let is_optional = column.is_nullable() && !of.contains('.');
    let optional = if is_optional { "optional " } else { "" };
    Ok(format!("{optional}{of} {name}"))
}

const fn type_of(column: &DataType) -> Option<&'static str> {
    Some(match column {
        DataType::Boolean => "bool",
        DataType::Int8 | DataType::Int16 | DataType::Int32 => "int32",
        DataType::Int64 => "int64",
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => "uint32",
        DataType::UInt64 => "uint64",
        DataType::Float32 => "float",
        DataType::Float64 => "double",
        DataType::Timestamp(TimeUnit::Millisecond, None) => "google.protobuf.Timestamp",
        // As texts: what else there is for them lies in files that not every registry has.
        DataType::Decimal128(..)
        | DataType::Date32
        | DataType::FixedSizeBinary(16)
        | DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View => "string",
        DataType::Binary => "bytes",
        _ => return None,
    })
}
