//! Where a path leads to in a message: from field to field, and to what lies in lists and maps.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use super::shape::Shape;
use crate::encoding::ELEMENT;

/// Why a path leads nowhere.
#[derive(Debug)]
pub enum Refusal {
    /// A message on the way has no such field.
    Missing,
    /// The field at the path, or on the way, is something else.
    Is(String),
}

type Result<T> = std::result::Result<T, Refusal>;

/// A place in a message.
#[derive(Debug, Clone)]
pub enum Place {
    /// The message itself.
    Outermost(MessageDescriptor),
    /// A field: all of its values, if it is repeated or a map.
    Field(FieldDescriptor),
    /// One value of a repeated field.
    Item(FieldDescriptor),
}

impl Place {
    /// Where a path leads to from a message.
    ///
    /// # Errors
    /// Where it leads nowhere.
    pub fn at(message: &MessageDescriptor, path: &[String]) -> Result<Self> {
        let outermost = Ok(Self::Outermost(message.clone()));
        path.iter().fold(outermost, |place, name| place?.step(name))
    }

    /// The place that a step of a path leads to.
    fn step(&self, name: &str) -> Result<Self> {
        if name == ELEMENT {
            return self.element();
        }
        let field = self.message()?.get_field_by_name(name);
        field.map(Self::Field).ok_or(Refusal::Missing)
    }

    /// The place of the same values as a writer knows them, to whom a field is its number.
    ///
    /// # Errors
    /// Where it has none.
    pub fn in_writer(
        reader: &MessageDescriptor,
        writer: &MessageDescriptor,
        path: &[String],
    ) -> Result<Self> {
        let mut read = Self::Outermost(reader.clone());
        let mut written = Self::Outermost(writer.clone());
        for name in path {
            read = read.step(name)?;
            written = match &read {
                Self::Field(field) if name != ELEMENT => {
                    let same = written.message()?.get_field(field.number());
                    same.map(Self::Field).ok_or(Refusal::Missing)?
                }
                _ => written.element()?,
            };
        }
        Ok(written)
    }

    /// What the values there are to columns.
    ///
    /// # Errors
    /// What they are, if nothing is read of them.
    pub fn shape(&self) -> Result<Shape> {
        let shape = match self {
            Self::Outermost(message) => Ok(Shape::Message(message.clone())),
            Self::Field(field) => Shape::of(field),
            Self::Item(field) => Shape::of_one(field),
        };
        shape.map_err(|what| Refusal::Is(what.to_owned()))
    }

    /// One value of a repeated field or of a map.
    fn element(&self) -> Result<Self> {
        match self {
            Self::Field(field) => match field.kind() {
                Kind::Message(entry) if field.is_map() => {
                    Ok(Self::Field(entry.map_entry_value_field()))
                }
                _ if field.is_list() => Ok(Self::Item(field.clone())),
                _ => Err(is(field, "neither repeated nor a map")),
            },
            Self::Item(field) => Err(is(field, "one value")),
            Self::Outermost(_) => Err(Refusal::Missing),
        }
    }

    /// The one message that is there.
    fn message(&self) -> Result<MessageDescriptor> {
        match self {
            Self::Outermost(message) => Ok(message.clone()),
            Self::Field(field) => inner_message(field),
            Self::Item(field) => message_of(field),
        }
    }
}

/// The fields that a path leads through.
///
/// # Errors
/// If a message does not have one of them, or it is more than one message on the way.
pub fn fields(message: &MessageDescriptor, path: &[String]) -> Result<Vec<FieldDescriptor>> {
    let mut fields: Vec<FieldDescriptor> = Vec::with_capacity(path.len());
    for name in path {
        let inner = fields.last().map(inner_message).transpose()?;
        let message = inner.as_ref().unwrap_or(message);
        let field = message.get_field_by_name(name);
        fields.push(field.ok_or(Refusal::Missing)?);
    }
    Ok(fields)
}

/// The one message that a field is.
///
/// # Errors
/// If it is something else.
pub fn inner_message(field: &FieldDescriptor) -> Result<MessageDescriptor> {
    if field.is_map() {
        return Err(is(field, "a map"));
    }
    if field.is_list() {
        return Err(is(field, "repeated"));
    }
    message_of(field)
}

/// The message that a value of a field is.
fn message_of(field: &FieldDescriptor) -> Result<MessageDescriptor> {
    match field.kind() {
        Kind::Message(_) if field.is_group() => Err(is(field, "a group")),
        Kind::Message(inner) => Ok(inner),
        _ => Err(is(field, "no message")),
    }
}

fn is(field: &FieldDescriptor, what: &str) -> Refusal {
    Refusal::Is(format!("within '{}', which is {what}", field.name()))
}
