//! The schema of a source or a sink: the message that the options name, in the descriptor set that they carry.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost::Message;
use prost_reflect::prost_types::{FileDescriptorProto, FileDescriptorSet};
use prost_reflect::{DescriptorPool, MessageDescriptor};
use tidemill_types::format::{Error, Options};

use crate::part::Part;

/// The option with the descriptor set in base64, as `protoc --include_imports --descriptor_set_out` makes it.
pub const DESCRIPTORS: &str = "protobuf.descriptors";
/// The option that names the message.
pub const MESSAGE: &str = "protobuf.message";

/// How much of a value an error shows.
const EXCERPT_CHARS: usize = 40;
/// How many messages an error names.
const NAMED_MESSAGES: usize = 20;

/// The message that the options name.
///
/// # Errors
/// If an option is missing, the descriptors are none, or no message has the name.
pub fn message(part: Part, options: &Options) -> Result<MessageDescriptor, Error> {
    let text = part.option(options, DESCRIPTORS).unwrap_or_default();
    let wrong = |why: &str| {
        let expected = format!(
            "what 'protoc --include_imports --descriptor_set_out=FILE' makes, in base64{why}"
        );
        part.wrong(DESCRIPTORS, excerpt(text), expected)
    };
    let bytes = STANDARD.decode(text.trim_ascii()).map_err(|_| wrong(""))?;
    if bytes.is_empty() {
        return Err(wrong(""));
    }
    check_syntax(&bytes).map_err(|why| wrong(&format!(" ({why})")))?;
    let pool =
        DescriptorPool::decode(bytes.as_slice()).map_err(|error| wrong(&format!(" ({error})")))?;
    let name = part.option(options, MESSAGE).unwrap_or_default();
    let found = pool.get_message_by_name(name);
    found.ok_or_else(|| no_message(part, name, pool.all_messages()))
}

/// Says that no message has the name that the options say, and which ones there are.
pub fn no_message(
    part: Part,
    name: &str,
    messages: impl Iterator<Item = MessageDescriptor>,
) -> Error {
    let messages = messages.filter(|of| !of.is_map_entry());
    let mut names: Vec<_> = messages.map(|of| of.full_name().to_owned()).collect();
    if names.len() > NAMED_MESSAGES {
        names.truncate(NAMED_MESSAGES);
        names.push("…".to_owned());
    }
    let expected = format!("the name of a message: {}", names.join(", "));
    part.wrong(MESSAGE, name, expected)
}

/// Refuses files of another syntax than the library knows, such as editions: it panics over them.
fn check_syntax(descriptors: &[u8]) -> Result<(), String> {
    let set = FileDescriptorSet::decode(descriptors).map_err(|error| error.to_string())?;
    let is_unknown = |file: &&FileDescriptorProto| {
        !matches!(file.syntax.as_deref(), None | Some("proto2" | "proto3"))
    };
    match set.file.iter().find(is_unknown) {
        None => Ok(()),
        Some(file) => Err(format!(
            "the file '{}' is of syntax '{}', which is not read; write it in proto2 or proto3",
            file.name(),
            excerpt(file.syntax())
        )),
    }
}

fn excerpt(text: &str) -> String {
    match text.char_indices().nth(EXCERPT_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
