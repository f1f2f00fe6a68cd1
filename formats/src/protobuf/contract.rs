//! What a contract says: its message, and the columns that its rows have.

use arrow_schema::{DataType, TimeUnit};
use prost_reflect::{FieldDescriptor, FileDescriptor, MessageDescriptor};
use tidemill_types::format::{Column, ColumnOrigin, Contract, Error, Options, Path};
use tidemill_types::sql_type;

use super::field::{Scalar, Type};
use super::path::inner_message;
use super::schema::{self, DESCRIPTORS, MESSAGE};
use super::shape::Shape;
use crate::part::Part;
use crate::proto_text;

/// The message of a contract's records: the one that the options name, or else the first.
///
/// # Errors
/// `Invalid` if the contract is no schema of Protobuf, or does not have the message.
pub fn message(
    part: Part,
    contract: &Contract,
    options: &Options,
) -> Result<MessageDescriptor, Error> {
    refuse_descriptors(part, options)?;
    let file = file(contract)?;
    let name = part.option(options, MESSAGE);
    message_of(&file, name).ok_or_else(|| match name {
        Some(name) => schema::no_message(part, name, file.messages()),
        None => wrong(contract, "it has no message".to_owned()),
    })
}

/// A message that a file declares itself: that of a name, or else the first.
pub fn message_of(file: &FileDescriptor, name: Option<&str>) -> Option<MessageDescriptor> {
    match name {
        Some(name) => {
            let named = file.parent_pool().get_message_by_name(name);
            named.filter(|message| message.parent_file().name() == file.name())
        }
        None => file.messages().next(),
    }
}

/// A registry has the schemas: no option does.
///
/// # Errors
/// `Invalid` if one does.
pub fn refuse_descriptors(part: Part, options: &Options) -> Result<(), Error> {
    if part.option(options, DESCRIPTORS).is_none() {
        return Ok(());
    }
    let expected = "no such option beside a registry, which has the schemas";
    Err(part.wrong(DESCRIPTORS, "a descriptor set", expected))
}

/// The columns of a contract in an envelope: one for each field of its rows, nullable if it can be told that it is not there. Left out are
/// groups, messages that lie in themselves or have no field, and `confluent.type.Decimal`.
///
/// # Errors
/// `Invalid` as [`message`], or if the records do not carry what the envelope says.
pub fn columns(
    contract: &Contract,
    envelope: &str,
    options: &Options,
) -> Result<Vec<Column>, Error> {
    let message = message(Part::Value, contract, options)?;
    let within = |name: &str| inner_message(&message.get_field_by_name(name)?).ok();
    let row = match envelope {
        "plain" | "upsert" => Some(message.clone()),
        "debezium" => within("after"),
        "crud" => within("data"),
        _ => None,
    };
    let row = row.ok_or_else(|| {
        let reason = format!(
            "its message '{}' carries no row of the envelope '{envelope}'; name another envelope, another message by {MESSAGE}, or the columns",
            message.full_name()
        );
        wrong(contract, reason)
    })?;
    let columns = Types::columns(&row);
    if columns.is_empty() {
        let reason = format!(
            "its message '{}' has no field that a column could be read from; name the columns",
            row.full_name()
        );
        return Err(wrong(contract, reason));
    }
    Ok(columns)
}

/// The columns that a contract has of a key: the fields of its names.
///
/// # Errors
/// `Invalid` as [`message`].
pub fn key_columns(
    contract: &Contract,
    key: &[String],
    options: &Options,
) -> Result<Vec<Column>, Error> {
    let message = message(Part::Key, contract, options)?;
    let columns = Types::columns(&message).into_iter();
    let columns = columns.filter(|column| key.contains(&column.name));
    let columns = columns.map(|column| Column {
        origin: ColumnOrigin::Key(Path::member(&column.name)),
        ..column
    });
    Ok(columns.collect())
}

/// The schema of a contract.
///
/// # Errors
/// `Invalid` if it is none of Protobuf.
pub fn file(contract: &Contract) -> Result<FileDescriptor, Error> {
    proto_text::compile(&contract.schema)
        .map_err(|why| wrong(contract, format!("it is no Protobuf schema: {why}")))
}

fn wrong(contract: &Contract, reason: String) -> Error {
    Error::Contract {
        contract: contract.to_string(),
        reason,
    }
}

/// How many types the columns of a contract have at most, those within others counted: what would be more is left out.
const TYPES_MAX: usize = 10_000;

/// Finds the types that hold all values of fields.
struct Types {
    /// The messages that the type lies in: one that lies in itself has no end.
    within: Vec<String>,
    left: usize,
}

impl Types {
    /// The columns of a message, one for each field that has one.
    fn columns(message: &MessageDescriptor) -> Vec<Column> {
        let mut types = Self {
            within: vec![message.full_name().to_owned()],
            left: TYPES_MAX,
        };
        let columns = message.fields();
        columns.filter_map(|field| types.column(&field)).collect()
    }

    /// The column of a field; none if nothing is read of it, or the schema does not say enough of it.
    fn column(&mut self, field: &FieldDescriptor) -> Option<Column> {
        Some(Column {
            name: field.name().to_owned(),
            data_type: self.of(&Shape::of(field).ok()?)?,
            nullable: field.supports_presence() && !field.is_required(),
            origin: ColumnOrigin::Data(Path::member(field.name())),
        })
    }

    fn of(&mut self, shape: &Shape) -> Option<DataType> {
        self.left = self.left.checked_sub(1)?;
        match shape {
            Shape::Single(of) => column_type(*of),
            Shape::List(item) => self.of(item).map(sql_type::array),
            Shape::Map(value) => self.of(value).map(sql_type::map),
            Shape::Message(message) => self.structure(message),
        }
    }

    /// The fields of a message; none if it lies in itself, or has none.
    fn structure(&mut self, message: &MessageDescriptor) -> Option<DataType> {
        let name = message.full_name();
        if self.within.iter().any(|outer| outer == name) {
            return None;
        }
        self.within.push(name.to_owned());
        let fields = message.fields().filter_map(|field| {
            let data_type = self.of(&Shape::of(&field).ok()?)?;
            Some((field.name().to_owned(), data_type))
        });
        let fields: Vec<_> = fields.collect();
        self.within.pop();
        (!fields.is_empty()).then(|| sql_type::structure(fields))
    }
}

/// The type that holds all values of a type.
const fn column_type(of: Type) -> Option<DataType> {
    Some(match of {
        Type::Scalar(scalar) | Type::Wrapped(scalar) => match scalar {
            Scalar::Int32 | Scalar::Sint32 | Scalar::Sfixed32 => DataType::Int32,
            Scalar::Int64 | Scalar::Sint64 | Scalar::Sfixed64 => DataType::Int64,
            Scalar::Uint32 | Scalar::Fixed32 => DataType::Int64,
            Scalar::Uint64 | Scalar::Fixed64 => DataType::Decimal128(20, 0),
            Scalar::Float | Scalar::Double => DataType::Float64,
            Scalar::Bool => DataType::Boolean,
            Scalar::String | Scalar::Bytes | Scalar::Enum | Scalar::DecimalText => DataType::Utf8,
        },
        Type::Moment => DataType::Timestamp(TimeUnit::Millisecond, None),
        Type::Day => DataType::Date32,
        // How many digits are behind the point, each value says for itself.
        Type::Unscaled => return None,
    })
}
