//! The schema that a sink's messages are written by, derived from its columns: the text of a `.proto` file with one message, in which that of
//! each struct lies.
//!
//! Promises: a field keeps its number from version to version, by its name, and the number of one that is gone is never given to another; so
//! the same columns give the same text after themselves, and whoever has an older version reads what he knows of a newer one.

use std::collections::BTreeMap;
use std::ops::Range;

use arrow_schema::{DataType, Field, Fields, TimeUnit};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use tidemill_types::format::{Contract, Error, SchemaText, SinkSpec};
use tidemill_types::sql_type;

use super::contract;
use super::schema::MESSAGE;
use crate::names::{NAMES, is_name};
use crate::part::Part;
use crate::proto_text;

/// What the message is called unless the options say it.
const DEFAULT_NAME: &str = "Row";
/// The same of keys.
const DEFAULT_KEY_NAME: &str = "Key";
/// The types that have a form in Protobuf.
const SUPPORTED: &str = "one of BOOLEAN, an integer, REAL, DOUBLE, DECIMAL(p, s) up to 38 digits, VARCHAR, DATE, TIMESTAMP in milliseconds without \
     time zone, UUID, BYTEA; a STRUCT of them; or an ARRAY or a MAP of those, not of each other";
/// The numbers that Protobuf keeps for itself.
const RESERVED: Range<u32> = 19_000..20_000;
/// The type of a `TIMESTAMP`, and its file.
const TIMESTAMP: &str = "google.protobuf.Timestamp";
const TIMESTAMP_FILE: &str = "google/protobuf/timestamp.proto";

/// The schema of a sink's messages, to follow the newest version of its subject.
///
/// # Errors
/// `Invalid` if a column's type or name has no form in Protobuf, the message's name is none, or the newest version is no schema of Protobuf.
pub fn schema(part: Part, spec: &SinkSpec<'_>, newest: Option<&Contract>) -> Result<String, Error> {
    contract::refuse_descriptors(part, spec.options)?;
    let usual = match part {
        Part::Value => DEFAULT_NAME,
        Part::Key => DEFAULT_KEY_NAME,
    };
    let name = part.option(spec.options, MESSAGE).unwrap_or(usual);
    let wrong = |expected: String| part.wrong(MESSAGE, name, expected);
    if !name.split('.').all(is_name) {
        return Err(wrong(format!("{NAMES}, or several with dots between them")));
    }
    let newest = newest.map(contract::file).transpose()?;
    let newest = newest.and_then(|file| contract::message_of(&file, Some(name)));
    let (package, message) = match name.rsplit_once('.') {
        Some((package, message)) => (Some(package), message),
        None => (None, name),
    };
    let mut block = Block::default();
    block.message(message, &part.fields(spec)?, newest.as_ref())?;
    let text = file(package, &block.text);
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

/// The text of a file with one message.
fn file(package: Option<&str>, message: &str) -> String {
    let mut text = "syntax = \"proto3\";\n".to_owned();
    if let Some(package) = package {
        text.push_str(&format!("package {package};\n"));
    }
    if message.contains(TIMESTAMP) {
        text.push_str(&format!("import \"{TIMESTAMP_FILE}\";\n"));
    }
    text + message
}

/// Messages in each other, line by line.
#[derive(Debug, Default)]
struct Block {
    text: String,
    depth: usize,
}

impl Block {
    fn line(&mut self, line: &str) {
        let indent = 2 * self.depth;
        self.text.push_str(&format!("{:indent$}{line}\n", ""));
    }

    /// A message with a field for each column, to follow what the newest version has.
    fn message(
        &mut self,
        name: &str,
        columns: &[&Field],
        newest: Option<&MessageDescriptor>,
    ) -> Result<(), Error> {
        self.line(&format!("message {name} {{"));
        self.depth += 1;
        let mut numbers = newest.map_or_else(Numbers::default, Numbers::of);
        let mut fields = BTreeMap::new();
        let mut messages = Vec::new();
        for column in columns {
            if !is_name(column.name()) {
                return Err(Error::ColumnName {
                    column: column.name().clone(),
                    format: "protobuf",
                    expected: NAMES,
                });
            }
            let mut called = || message_name(column.name(), columns, &mut messages);
            let (of, inner) = field_type(column, &mut called)?;
            if let Some((name, fields)) = inner {
                let field = newest.and_then(|of| of.get_field_by_name(column.name()));
                let newest = field.as_ref().and_then(value_message);
                let fields: Vec<_> = fields.iter().map(|field| &**field).collect();
                self.message(&name, &fields, newest.as_ref())?;
            }
            fields.insert(
                numbers.take(column.name()),
                format!("{of} {}", column.name()),
            );
        }
        let gone = numbers.gone();
        if !gone.is_empty() {
            let ranges: Vec<_> = gone.into_iter().map(range).collect();
            self.line(&format!("reserved {};", ranges.join(", ")));
        }
        for (number, declared) in fields {
            self.line(&format!("{declared} = {number};"));
        }
        self.depth -= 1;
        self.line("}");
        Ok(())
    }
}

fn range(range: Range<u32>) -> String {
    let (first, last) = (range.start, range.end - 1);
    if first == last {
        first.to_string()
    } else {
        format!("{first} to {last}")
    }
}

/// The name of the message of a struct: its column's in upper camel case, and another one than its neighbours have.
fn message_name(column: &str, columns: &[&Field], taken: &mut Vec<String>) -> String {
    let words = column.split('_').map(|word| {
        let mut chars = word.chars();
        let first = chars.next().into_iter().flat_map(char::to_uppercase);
        first.chain(chars).collect::<String>()
    });
    let mut name: String = words.collect();
    if !is_name(&name) {
        name = format!("_{name}");
    }
    while taken.contains(&name) || columns.iter().any(|column| *column.name() == name) {
        name.push('_');
    }
    taken.push(name.clone());
    name
}

/// The message that the values of a field are.
fn value_message(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    match field.kind() {
        Kind::Message(entry) if field.is_map() => value_message(&entry.map_entry_value_field()),
        Kind::Message(message) => Some(message),
        _ => None,
    }
}

/// The type of a field in words, and if its values are a message of its own that one's name and fields.
type FieldType<'c> = (String, Option<(String, &'c Fields)>);

/// The type of a column's field.
fn field_type<'c>(
    column: &'c Field,
    called: &mut dyn FnMut() -> String,
) -> Result<FieldType<'c>, Error> {
    let mut value_type = |of: &'c DataType| match of {
        DataType::Struct(fields) if !fields.is_empty() => {
            let name = called();
            Some((name.clone(), Some((name, fields))))
        }
        of => type_of(of).map(|name| (name.to_owned(), None)),
    };
    let of = match column.data_type() {
        DataType::List(element) => {
            let item = value_type(element.data_type());
            item.map(|(of, inner)| (format!("repeated {of}"), inner))
        }
        of => match sql_type::map_value(of) {
            Some(value) => {
                let value = value_type(value);
                value.map(|(of, inner)| (format!("map<string, {of}>"), inner))
            }
            None => value_type(of).map(|(of, inner)| {
                // A message is there or not in any case.
                let is_message = inner.is_some() || of == TIMESTAMP;
                let is_optional = column.is_nullable() && !is_message;
                let optional = if is_optional { "optional " } else { "" };
                (format!("{optional}{of}"), inner)
            }),
        },
    };
    of.ok_or_else(|| Error::UnsupportedType {
        column: column.name().clone(),
        data_type: column.data_type().clone(),
        format: "protobuf",
        supported: SUPPORTED,
    })
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
        DataType::Timestamp(TimeUnit::Millisecond, None) => TIMESTAMP,
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
