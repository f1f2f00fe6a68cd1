//! Whether a reader's messages read all that a writer's are.

use std::collections::HashSet;

use prost_reflect::{Cardinality, FieldDescriptor, Kind, MessageDescriptor};
use tidemill_connectors_api::registry::Difference;

use super::{DEPTH_MAX, ProtobufSchema, shown};

/// What of the writer the reader cannot read, each with the message and field that it is about.
pub fn unreadable(reader: &ProtobufSchema, writer: &ProtobufSchema) -> Vec<Difference> {
    let mut check = Check {
        under_way: HashSet::new(),
        found: Vec::new(),
        depth: 0,
    };
    for written in writer.messages() {
        match reader.message(written.full_name()) {
            Some(read) => check.message(&read, &written, written.full_name()),
            None => check.found.push(Difference::new(
                written.full_name(),
                "is a message that is written, and that the reader does not have",
            )),
        }
    }
    check.found
}

struct Check {
    /// Pairs of messages that are looked at already, by their names: a message may hold itself.
    under_way: HashSet<(String, String)>,
    found: Vec<Difference>,
    depth: usize,
}

impl Check {
    fn message(&mut self, reader: &MessageDescriptor, writer: &MessageDescriptor, path: &str) {
        let pair = (reader.full_name().to_owned(), writer.full_name().to_owned());
        if !self.under_way.insert(pair) {
            return;
        }
        if self.depth == DEPTH_MAX {
            let what = "lies too deep to be compared; make the schema flatter";
            self.found.push(Difference::new(path, what));
            return;
        }
        self.depth += 1;
        for written in writer.fields() {
            if let Some(read) = reader.get_field(written.number()) {
                self.field(&read, &written, &format!("{path}.{}", written.name()));
            }
        }
        for read in reader.fields() {
            let is_required = read.cardinality() == Cardinality::Required;
            let written = writer.get_field(read.number());
            let is_written = written.is_some_and(|of| of.cardinality() == Cardinality::Required);
            if is_required && !is_written {
                let what = "is required by the reader and need not be written; make it optional";
                let path = format!("{path}.{}", read.name());
                self.found.push(Difference::new(path, what));
            }
        }
        self.depth -= 1;
    }

    fn field(&mut self, reader: &FieldDescriptor, writer: &FieldDescriptor, path: &str) {
        let is_list = |field: &FieldDescriptor| field.cardinality() == Cardinality::Repeated;
        if is_list(reader) != is_list(writer) {
            return self.mismatch(reader, writer, path);
        }
        match (reader.kind(), writer.kind()) {
            (Kind::Message(read), Kind::Message(written)) if is_same_group(reader, writer) => {
                self.message(&read, &written, path);
            }
            (read, written) if wire(&read) != wire(&written) => {
                self.mismatch(reader, writer, path);
            }
            _ => self.choice(reader, writer, path),
        }
    }

    /// Fields that the writer may set together must not exclude each other for the reader, who keeps the last one alone.
    fn choice(&mut self, reader: &FieldDescriptor, writer: &FieldDescriptor, path: &str) {
        let Some(read) = reader.containing_oneof().filter(|of| !of.is_synthetic()) else {
            return;
        };
        let written = writer.containing_oneof().filter(|of| !of.is_synthetic());
        for other in read.fields().filter(|other| other != reader) {
            let Some(written_other) = writer.parent_message().get_field(other.number()) else {
                continue;
            };
            let excluded = written.as_ref().is_some_and(|of| {
                let mut fields = of.fields();
                fields.any(|field| field == written_other)
            });
            if !excluded {
                let what = format!(
                    "is written beside '{}', and the reader has one or the other in its oneof '{}'",
                    other.name(),
                    read.name()
                );
                self.found.push(Difference::new(path, what));
                return;
            }
        }
    }

    fn mismatch(&mut self, reader: &FieldDescriptor, writer: &FieldDescriptor, path: &str) {
        let what = format!(
            "(number {}) is written as {} and read as {}",
            writer.number(),
            shown(writer),
            shown(reader)
        );
        self.found.push(Difference::new(path, what));
    }
}

/// Groups of proto2 are delimited otherwise than messages.
fn is_same_group(reader: &FieldDescriptor, writer: &FieldDescriptor) -> bool {
    reader.is_group() == writer.is_group()
}

/// The kinds that read each other have the same word.
const fn wire(kind: &Kind) -> &'static str {
    match kind {
        Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 | Kind::Bool | Kind::Enum(_) => {
            "integer"
        }
        Kind::Sint32 | Kind::Sint64 => "zigzag",
        Kind::Fixed32 | Kind::Sfixed32 => "4 bytes",
        Kind::Fixed64 | Kind::Sfixed64 => "8 bytes",
        Kind::Float => "float",
        Kind::Double => "double",
        Kind::String | Kind::Bytes => "bytes",
        Kind::Message(_) => "message",
    }
}
