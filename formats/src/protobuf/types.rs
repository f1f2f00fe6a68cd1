//! The types of values that have others in them: messages, and what their fields are, each as a reader knows it and a writer writes it.
//!
//! Promises: a field is known by its number, whatever a writer calls it; messages may lie in themselves.

use std::collections::HashMap;

use prost::encoding::WireType;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, OneofDescriptor};

use super::field::{Names, Scalar, Type};
use super::shape::Shape;

/// The message types that values lie in, each as a reader knows it and a writer writes it.
#[derive(Debug, Default)]
pub struct Types {
    messages: Vec<MessageType>,
    /// By the names of the writer's and the reader's message.
    known: HashMap<(String, String), usize>,
}

/// The fields of a message.
#[derive(Debug, Default)]
pub struct MessageType {
    /// In the order of their numbers.
    pub members: Vec<Member>,
    /// How many of them may not come twice.
    pub marks: usize,
}

/// A field of a message type.
#[derive(Debug)]
pub struct Member {
    /// Its number.
    pub number: u32,
    /// What the reader calls it.
    pub name: String,
    /// What it is.
    pub of: MemberOf,
    /// What is there no more if it is: the other members of its oneof.
    pub others: Vec<usize>,
}

/// What a field of a message is.
#[derive(Debug)]
pub enum MemberOf {
    One {
        /// What it is where nothing is written, if it is always there.
        default: Option<(Type, Names)>,
        /// None if the writer does not have it.
        written: Option<Element>,
        /// Marks it among those that may not come twice.
        mark: Option<usize>,
    },
    List(Element),
    Map {
        key: Scalar,
        value: Element,
    },
}

/// One value.
#[derive(Debug)]
pub enum Element {
    Single(Type, Names),
    Message(usize),
}

/// Which type a value with others in it is of: a message, or a field of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    Message(usize),
    List { message: usize, member: usize },
    Map { message: usize, member: usize },
}

impl Types {
    /// A message type.
    pub fn get(&self, message: usize) -> &MessageType {
        &self.messages[message]
    }

    /// The type of a field's values that have others in them; none of a field that has single ones.
    pub fn of_field(
        &mut self,
        writer: &MessageDescriptor,
        reader: &MessageDescriptor,
        field: &FieldDescriptor,
    ) -> Option<Of> {
        let shape = Shape::of(field).ok()?;
        if let Shape::Message(read) = &shape {
            let written = match writer.get_field(field.number()).map(|of| Shape::of(&of)) {
                Some(Ok(Shape::Message(written))) => written,
                _ => read.clone(),
            };
            return Some(Of::Message(self.message(&written, read)));
        }
        let message = self.message(writer, reader);
        let member = self.messages[message].place(field.number())?;
        match shape {
            Shape::List(_) => Some(Of::List { message, member }),
            Shape::Map(_) => Some(Of::Map { message, member }),
            Shape::Single(_) | Shape::Message(_) => None,
        }
    }

    /// The type of a message, with all that lie in it.
    fn message(&mut self, writer: &MessageDescriptor, reader: &MessageDescriptor) -> usize {
        let mut pending = Vec::new();
        let id = self.number(writer, reader, &mut pending);
        while let Some((id, writer, reader)) = pending.pop() {
            let mut of = MessageType::default();
            for field in reader.fields() {
                let member = self.member(&writer, &field, &mut of.marks, &mut pending);
                of.members.extend(member);
            }
            of.members.sort_unstable_by_key(|member| member.number);
            for oneof in writer.oneofs().filter(|oneof| !oneof.is_synthetic()) {
                of.forget_others(&oneof);
            }
            self.messages[id] = of;
        }
        id
    }

    /// The number of a message type; one that is new is pending.
    fn number(
        &mut self,
        writer: &MessageDescriptor,
        reader: &MessageDescriptor,
        pending: &mut Vec<(usize, MessageDescriptor, MessageDescriptor)>,
    ) -> usize {
        let names = (writer.full_name().to_owned(), reader.full_name().to_owned());
        let next = self.messages.len();
        let id = *self.known.entry(names).or_insert(next);
        if id == next {
            self.messages.push(MessageType::default());
            pending.push((id, writer.clone(), reader.clone()));
        }
        id
    }

    /// A field of the reader's; none of which nothing is read.
    fn member(
        &mut self,
        writer: &MessageDescriptor,
        field: &FieldDescriptor,
        marks: &mut usize,
        pending: &mut Vec<(usize, MessageDescriptor, MessageDescriptor)>,
    ) -> Option<Member> {
        let read = Shape::of(field).ok()?;
        let written = writer.get_field(field.number());
        // A writer's field of another shape is one that the reader does not know.
        let written = written.filter(|written| {
            Shape::of(written)
                .is_ok_and(|of| std::mem::discriminant(&of) == std::mem::discriminant(&read))
        });
        let mut element = |written: &FieldDescriptor, read: &FieldDescriptor| match (
            Shape::of_one(written).ok()?,
            Shape::of_one(read).ok()?,
        ) {
            (Shape::Message(written), Shape::Message(read)) => {
                Some(Element::Message(self.number(&written, &read, pending)))
            }
            (Shape::Single(single), _) => Some(Element::Single(single, Names::of(written))),
            _ => None,
        };
        let of = match &read {
            Shape::List(_) => MemberOf::List(element(written.as_ref().unwrap_or(field), field)?),
            Shape::Map(_) => {
                let entry = |of: &FieldDescriptor| match of.kind() {
                    Kind::Message(entry) => Some(entry),
                    _ => None,
                };
                let (of, read) = (entry(written.as_ref().unwrap_or(field))?, entry(field)?);
                MemberOf::Map {
                    key: Scalar::of(&of.map_entry_key_field().kind())?,
                    value: element(&of.map_entry_value_field(), &read.map_entry_value_field())?,
                }
            }
            Shape::Single(_) | Shape::Message(_) => {
                let written = written.and_then(|written| element(&written, field));
                let is_message = match &written {
                    Some(Element::Single(of, _)) => !matches!(of, Type::Scalar(_)),
                    Some(Element::Message(_)) => true,
                    None => false,
                };
                let mark = is_message.then_some(*marks);
                *marks += usize::from(is_message);
                MemberOf::One {
                    default: match read {
                        Shape::Single(of) if !field.supports_presence() => {
                            Some((of, Names::of(field)))
                        }
                        _ => None,
                    },
                    written,
                    mark,
                }
            }
        };
        Some(Member {
            number: field.number(),
            name: field.name().to_owned(),
            of,
            others: Vec::new(),
        })
    }
}

impl MessageType {
    /// The place of a field.
    pub fn place(&self, number: u32) -> Option<usize> {
        let place = self
            .members
            .binary_search_by_key(&number, |member| member.number);
        place.ok()
    }

    fn forget_others(&mut self, oneof: &OneofDescriptor) {
        let members: Vec<_> = oneof
            .fields()
            .filter_map(|field| self.place(field.number()))
            .collect();
        for &member in &members {
            let others = members.iter().copied().filter(|&other| other != member);
            self.members[member].others = others.collect();
        }
    }
}

impl Element {
    /// How it is written.
    pub const fn wire(&self) -> WireType {
        match self {
            Self::Single(of, _) => of.wire(),
            Self::Message(_) => WireType::LengthDelimited,
        }
    }

    /// True if many of them may come as one field.
    pub fn is_packable(&self) -> bool {
        self.wire() != WireType::LengthDelimited
    }
}
