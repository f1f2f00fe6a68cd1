//! How messages of the schemas of a registry are read, compared with the contract.
//!
//! Fields are known by their numbers: one that a writer calls otherwise is the same. A field that a writer did not have yet is what it is where
//! it is not written: the default of the contract's, or null. One that a newer writer has no more, or with values of another kind, makes a dead
//! letter of each of its records.
//!
//! Source: the guide of Protobuf, "Updating A Message Type"; stricter in what was removed, which would silently be zero.

use prost_reflect::{FieldDescriptor, MessageDescriptor};
use tidemill_types::format::WriterSchema;

use super::contract;
use super::field::Type;
use super::framing::Confluent;
use super::program::{Program, Refusal, fields, inner_message};
use crate::encoding::Wanted;
use crate::programs::{Registered, other_type, refuse_removed};
use crate::proto_text;

/// How records of one schema are read.
#[derive(Debug)]
pub struct Reader {
    /// What stands before the message; none if nothing does.
    pub frame: Option<Confluent>,
    /// What is wanted of the message.
    pub program: Program,
}

impl Reader {
    /// Of records of one message that are not framed.
    pub fn bare(message: &MessageDescriptor, wanted: &Wanted) -> Self {
        Self {
            frame: None,
            program: Program::new(message, message, wanted),
        }
    }

    /// Of records of a message that are framed, as a reader knows them.
    pub fn framed(writer: &MessageDescriptor, reader: &MessageDescriptor, wanted: &Wanted) -> Self {
        Self {
            frame: Some(Confluent::new(writer)),
            program: Program::new(writer, reader, wanted),
        }
    }
}

/// The schemas of a registry, and the name of the message that is read of them.
#[derive(Debug)]
pub struct Named {
    /// The schemas.
    pub registered: Registered<MessageDescriptor>,
    /// The name, if the options say one.
    pub name: Option<String>,
}

impl Named {
    /// How the records of a number are read.
    ///
    /// # Errors
    /// Why they are not.
    pub fn reader(&self, number: u32) -> Result<Reader, String> {
        let registered = &self.registered;
        let writer = registered.writer(number)?;
        let called = registered.called(number, &writer);
        let file = proto_text::compile(&writer.schema)
            .map_err(|why| format!("{called} is no Protobuf schema: {why}"))?;
        let planned = registered.contract.as_ref().map(|(_, message)| message);
        let name = planned.map(MessageDescriptor::full_name);
        let name = name.or(self.name.as_deref());
        let written = contract::message_of(&file, name).ok_or_else(|| match name {
            Some(name) => format!("{called} has no message '{name}', which the job reads"),
            None => format!("{called} has no message"),
        })?;
        for (column, path) in registered.used() {
            self.compare(column, path, &written, &writer, &called)?;
        }
        let reader = planned.unwrap_or(&written);
        Ok(Reader::framed(&written, reader, &registered.wanted))
    }

    /// Refuses a field that the writer has no more, or with values of another kind.
    fn compare(
        &self,
        column: &str,
        path: &[String],
        written: &MessageDescriptor,
        writer: &WriterSchema,
        called: &str,
    ) -> Result<(), String> {
        let Some((contract, message)) = &self.registered.contract else {
            // By no contract: what is not there has no value.
            return Ok(());
        };
        let field = path.join(".");
        let Ok(expected) = fields(message, path) else {
            return Ok(());
        };
        let place = (column, field.as_str());
        match found(written, &expected) {
            Err(Refusal::Missing) => refuse_removed(contract, writer, called, place),
            found => {
                let expected = shown(expected.last().map_or(Err(Refusal::Missing), single));
                let found = shown(found);
                if found == expected {
                    return Ok(());
                }
                Err(other_type(contract, called, place, (&found, &expected)))
            }
        }
    }
}

/// The type of the field that a path of the contract leads to, by its numbers.
fn found(written: &MessageDescriptor, path: &[FieldDescriptor]) -> Result<Type, Refusal> {
    let mut found: Option<FieldDescriptor> = None;
    for step in path {
        let inner = found.as_ref().map(inner_message).transpose()?;
        let message = inner.as_ref().unwrap_or(written);
        found = Some(message.get_field(step.number()).ok_or(Refusal::Missing)?);
    }
    found.as_ref().map_or(Err(Refusal::Missing), single)
}

fn single(field: &FieldDescriptor) -> Result<Type, Refusal> {
    Type::of(field).map_err(Refusal::Is)
}

/// The kind of a field's values, in words.
fn shown(of: Result<Type, Refusal>) -> String {
    match of {
        Ok(of) => of.kind().shown().to_owned(),
        Err(Refusal::Is(what)) => what,
        Err(Refusal::Missing) => "nothing".to_owned(),
    }
}
