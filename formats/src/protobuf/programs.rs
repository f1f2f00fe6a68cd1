//! How messages of the schemas of a registry are read, compared with the contract.
//!
//! Fields are known by their numbers: one that a writer calls otherwise is the same. A field that a writer did not have yet is what it is where
//! it is not written: the default of the contract's, or null. One that a newer writer has no more, or with values of another kind, makes a dead
//! letter of each of its records.
//!
//! Source: the guide of Protobuf, "Updating A Message Type"; stricter in what was removed, which would silently be zero.

use prost_reflect::MessageDescriptor;
use tidemill_types::format::WriterSchema;

use super::contract;
use super::framing::Confluent;
use super::path::{Place, Refusal};
use super::program::Program;
use super::shape::Shape;
use crate::encoding::{Wanted, path_shown};
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
        let field = path_shown(path);
        let Ok(expected) = Place::at(message, path) else {
            return Ok(());
        };
        let place = (column, field.as_str());
        match Place::in_writer(message, written, path) {
            Err(Refusal::Missing) => refuse_removed(contract, writer, called, place),
            found => {
                let expected = shown(expected.shape());
                let found = shown(found.and_then(|found| found.shape()));
                if found == expected {
                    return Ok(());
                }
                Err(other_type(contract, called, place, (&found, &expected)))
            }
        }
    }
}

/// The kind of a field's values, in words.
fn shown(of: Result<Shape, Refusal>) -> String {
    match of {
        // By whatever name: what is read of it is compared by itself.
        Ok(Shape::Message(_)) => "a message".to_owned(),
        Ok(of) => of.shown(),
        Err(Refusal::Is(what)) => what,
        Err(Refusal::Missing) => "nothing".to_owned(),
    }
}
