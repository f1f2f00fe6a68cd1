//! What the values of a field are to columns: single ones, or structs, lists and maps of others.

use arrow_schema::DataType;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use tidemill_types::format::Error;
use tidemill_types::sql_type;

use super::field::{Scalar, Type};
use crate::encoding::{ELEMENT, path_shown};

/// How the values of a field lie in each other.
#[derive(Debug, Clone)]
pub enum Shape {
    /// One value, which may be a message on the wire.
    Single(Type),
    /// A message, whose fields are values.
    Message(MessageDescriptor),
    /// The values of a repeated field.
    List(Box<Self>),
    /// Values with keys.
    Map(Box<Self>),
}

/// The column that a shape is compared with, for what is said if it does not fit.
#[derive(Debug, Clone, Copy)]
pub struct Of<'a> {
    /// Its name.
    pub column: &'a str,
    /// The schema that the shape is from, in words.
    pub schema: &'a str,
    /// True if the records come from a database, whose booleans may be numbers.
    pub is_of_database: bool,
}

impl Shape {
    /// The shape of a field.
    ///
    /// # Errors
    /// What it is, if nothing is read of it.
    pub fn of(field: &FieldDescriptor) -> Result<Self, &'static str> {
        match field.kind() {
            Kind::Message(entry) if field.is_map() => {
                let value = Self::of(&entry.map_entry_value_field())?;
                Ok(Self::Map(Box::new(value)))
            }
            _ if field.is_list() => Ok(Self::List(Box::new(Self::of_one(field)?))),
            _ => Self::of_one(field),
        }
    }

    /// The shape of one value of a field.
    ///
    /// # Errors
    /// As of [`Shape::of`].
    pub fn of_one(field: &FieldDescriptor) -> Result<Self, &'static str> {
        match field.kind() {
            Kind::Message(_) if field.is_group() => Err("a group"),
            Kind::Message(message) => Ok(match Type::of_message(&message) {
                Some(single) => Self::Single(single),
                None => Self::Message(message),
            }),
            kind => match Scalar::of(&kind) {
                Some(scalar) => Ok(Self::Single(Type::Scalar(scalar))),
                None => Err("no scalar"),
            },
        }
    }

    /// Refuses a column that does not hold all values of the shape, or has others in it than its fields.
    ///
    /// # Errors
    /// What does not fit at which path.
    pub fn check(&self, data_type: &DataType, path: &[String], of: Of<'_>) -> Result<(), Error> {
        let below = |name: &str| [path, &[name.to_owned()]].concat();
        match (self, data_type) {
            (Self::Single(single), _) if single.kind().fits(data_type, of.is_of_database) => Ok(()),
            (Self::List(item), DataType::List(element)) => {
                item.check(element.data_type(), &below(ELEMENT), of)
            }
            (Self::Map(value), DataType::Map(..)) => match sql_type::map_value(data_type) {
                Some(held) => value.check(held, &below(ELEMENT), of),
                None => Err(self.misfit(path, of)),
            },
            (Self::Message(message), DataType::Struct(fields)) => {
                for field in fields {
                    let path = below(field.name());
                    let named = message.get_field_by_name(field.name());
                    let named = named.ok_or_else(|| missing(&path, of))?;
                    let shape =
                        Self::of(&named).map_err(|what| misfit(what, "no field", &path, of))?;
                    shape.check(field.data_type(), &path, of)?;
                }
                Ok(())
            }
            _ => Err(self.misfit(path, of)),
        }
    }

    fn misfit(&self, path: &[String], of: Of<'_>) -> Error {
        misfit(&self.shown(), self.columns(), path, of)
    }

    /// It, in words.
    pub fn shown(&self) -> String {
        match self {
            Self::Single(of) => of.kind().shown().to_owned(),
            Self::Message(message) => format!("the message '{}'", message.full_name()),
            Self::List(_) => "repeated".to_owned(),
            Self::Map(_) => "a map".to_owned(),
        }
    }

    /// The columns that it fits, in words.
    const fn columns(&self) -> &'static str {
        match self {
            Self::Single(of) => of.kind().columns(),
            Self::Message(_) => "a STRUCT of its fields, or a column by the path to one of them",
            Self::List(_) => "an ARRAY",
            Self::Map(_) => "a MAP",
        }
    }
}

/// Says that a field is something that a column cannot be.
pub fn misfit(found: &str, expected: &'static str, path: &[String], of: Of<'_>) -> Error {
    Error::FieldType {
        column: of.column.to_owned(),
        field: path_shown(path),
        found: found.to_owned(),
        expected,
    }
}

/// Says that there is no such field.
pub fn missing(path: &[String], of: Of<'_>) -> Error {
    Error::NoField {
        column: of.column.to_owned(),
        field: path_shown(path),
        schema: of.schema.to_owned(),
    }
}
