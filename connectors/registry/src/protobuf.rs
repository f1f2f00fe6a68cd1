//! Protobuf schemas: `.proto` texts, compiled with what they import.
//!
//! Two messages are compared by the numbers of their fields, as their bytes are. What may change is what the guide of Protobuf says under
//! "Updating A Message Type": an unknown number is skipped, and the integers read each other, as do texts and bytes. Stricter than the guide
//! in one thing: a field that is repeated and one that is not don't read each other, since values would be lost.

mod diff;
mod reading;

use prost_reflect::{Cardinality, FieldDescriptor, FileDescriptor, Kind, MessageDescriptor};
use tidemill_connectors_api::Error;
use tidemill_formats::proto_text;
use tidemill_types::format::SchemaText;

use crate::{Whole, invalid};

pub use diff::diff;
pub use reading::unreadable;

/// How deep messages are compared.
const DEPTH_MAX: usize = 128;

/// A compiled `.proto` file.
#[derive(Debug, Clone)]
pub struct ProtobufSchema {
    file: FileDescriptor,
}

impl ProtobufSchema {
    /// Compiles a text with what it imports: what its references name, and the files that come with Protobuf itself.
    ///
    /// # Errors
    /// `Invalid` if it does not compile.
    pub fn compile(whole: &Whole) -> Result<Self, Error> {
        let references = whole.references.iter();
        let schema = SchemaText {
            text: whole.schema.text.clone(),
            references: references
                .map(|named| (named.name.clone(), named.schema.text.clone()))
                .collect(),
        };
        let file = proto_text::compile(&schema)
            .map_err(|why| invalid(format!("the text is no Protobuf schema: {why}")))?;
        Ok(Self { file })
    }

    /// True if both declare the same, comments and layout aside.
    pub fn is_same(&self, other: &Self) -> bool {
        self.file.file_descriptor_proto() == other.file.file_descriptor_proto()
    }

    /// Its messages, those within others after them.
    fn messages(&self) -> Vec<MessageDescriptor> {
        let mut found = Vec::new();
        let mut left: Vec<MessageDescriptor> = self.file.messages().collect();
        left.reverse();
        while let Some(message) = left.pop() {
            let inner: Vec<_> = message.child_messages().collect();
            left.extend(inner.into_iter().rev());
            if !message.is_map_entry() {
                found.push(message);
            }
        }
        found
    }

    fn message(&self, full_name: &str) -> Option<MessageDescriptor> {
        self.file.parent_pool().get_message_by_name(full_name)
    }
}

/// A field's type in words.
fn shown(field: &FieldDescriptor) -> String {
    let kind = match field.kind() {
        Kind::Message(message) if message.is_map_entry() => {
            let (key, value) = (
                message.map_entry_key_field(),
                message.map_entry_value_field(),
            );
            return format!("a map of {} to {}", shown(&key), shown(&value));
        }
        Kind::Message(message) => format!("message '{}'", message.full_name()),
        Kind::Enum(of) => format!("enum '{}'", of.full_name()),
        scalar => format!("{scalar:?}").to_lowercase(),
    };
    match field.cardinality() {
        Cardinality::Optional => kind,
        Cardinality::Required => format!("required {kind}"),
        Cardinality::Repeated => format!("repeated {kind}"),
    }
}
