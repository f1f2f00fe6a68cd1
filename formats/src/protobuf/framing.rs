//! What stands before a message in its record.
//!
//! Confluent's framing is a zero byte, the schema's id in four bytes, big-endian, and the path to the message within the schema's file: how
//! many steps, then each as the place among its siblings, all of them zigzag varints; the path to the first message is the one byte 0.
//! Source: "Wire format" in Confluent's documentation of its schema registry.

use prost_reflect::{FileDescriptor, MessageDescriptor};
use tidemill_types::format::{Error, Options, framed_schema};

use super::wire::{Cursor, zigzag};
use crate::part::Part;

/// The option that says what stands before a message: `none` or `confluent`.
pub const FRAMING: &str = "protobuf.framing";

/// The zero byte and the id.
const HEAD: usize = 5;

/// What stands before messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Nothing.
    None,
    /// Confluent's.
    Confluent,
}

/// Confluent's framing of one message.
#[derive(Debug)]
pub struct Confluent {
    message: MessageDescriptor,
    /// The path to it, as it is usually written.
    path: Vec<u8>,
}

impl Framing {
    /// What the options say, or else the usual one.
    ///
    /// # Errors
    /// If there is no such framing.
    pub fn of(part: Part, options: &Options, usual: Self) -> Result<Self, Error> {
        match part.option(options, FRAMING) {
            None => Ok(usual),
            Some("none") => Ok(Self::None),
            Some("confluent") => Ok(Self::Confluent),
            Some(other) => Err(part.wrong(FRAMING, other, "'none' or 'confluent'")),
        }
    }
}

/// The number of the schema that stands in front of a record.
///
/// # Errors
/// The reason, if there is none.
#[inline]
pub fn number(record: &[u8]) -> Result<u32, String> {
    framed_schema(record).ok_or_else(|| match record {
        &[first, _, _, _, _, ..] => {
            format!("not in Confluent's framing: expected the first byte to be 0, found {first}")
        }
        _ => format!(
            "not in Confluent's framing: expected five bytes before the message, found {}",
            record.len()
        ),
    })
}

impl Confluent {
    /// Of a message.
    pub fn new(message: &MessageDescriptor) -> Self {
        let mut places = Vec::new();
        let mut at = Some(message.clone());
        while let Some(message) = at {
            // The last number of a descriptor's path is its place among its siblings.
            places.extend(message.path().last().copied());
            at = message.parent_message();
        }
        places.reverse();
        let mut path = Vec::new();
        if places == [0] {
            path.push(0);
        } else {
            let length =
                i32::try_from(places.len()).expect("messages lie a few deep in each other");
            for number in std::iter::once(length).chain(places) {
                // Neither is negative, so that zigzag doubles them.
                prost::encoding::encode_varint(u64::from(number.unsigned_abs()) * 2, &mut path);
            }
        }
        Self {
            message: message.clone(),
            path,
        }
    }

    /// Appends what stands before a message that is written, with the number of its schema.
    pub fn write(&self, number: u32, out: &mut Vec<u8>) {
        out.push(0);
        out.extend_from_slice(&number.to_be_bytes());
        out.extend_from_slice(&self.path);
    }

    /// Where the message of a record begins, which has a number in front of it.
    ///
    /// # Errors
    /// The reason, if the framing is broken, or says that the record is another message.
    #[inline]
    pub fn message_start(&self, record: &[u8]) -> Result<usize, String> {
        let rest = record.get(HEAD..).unwrap_or_default();
        if rest.starts_with(&self.path) {
            return Ok(HEAD + self.path.len());
        }
        let mut cursor = Cursor::new(record, HEAD);
        let named = named(&self.message.parent_file(), &mut cursor)?;
        if named == self.message {
            return Ok(cursor.at());
        }
        Err(format!(
            "the record is the message '{}', expected '{}'",
            named.full_name(),
            self.message.full_name()
        ))
    }
}

/// The message that a path names.
fn named(file: &FileDescriptor, path: &mut Cursor<'_>) -> Result<MessageDescriptor, String> {
    let broken = |what: String| format!("not in Confluent's framing: {what}");
    let mut step = || {
        let number = path.varint().map_err(|error| broken(error.to_string()));
        number.map(zigzag)
    };
    let steps = step()?;
    if steps < 0 {
        return Err(broken(format!("the path to the message has {steps} steps")));
    }
    let mut message: Option<MessageDescriptor> = None;
    // A path without steps leads to the first message.
    for walked in 0..steps.max(1) {
        let place = if steps == 0 { 0 } else { step()? };
        let inner = usize::try_from(place)
            .ok()
            .and_then(|place| match &message {
                None => file.messages().nth(place),
                Some(outer) => outer.child_messages().nth(place),
            });
        // The entries of maps count as siblings, and are no messages to be sent.
        let Some(inner) = inner.filter(|inner| !inner.is_map_entry()) else {
            return Err(broken(format!(
                "the path to the message has {place} as step {}, where the schema has no such message",
                walked + 1
            )));
        };
        message = Some(inner);
    }
    message.ok_or_else(|| broken("the path to the message is empty".to_owned()))
}
