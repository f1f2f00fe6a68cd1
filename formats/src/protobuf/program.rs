//! What is wanted of a message, compiled from its descriptor: one walk over a record puts the wanted values into their slots and skips the
//! rest.
//!
//! Promises: it goes no deeper than the paths that are wanted, and allocates nothing for a record that is not broken. Of a field that comes
//! twice the last value counts, a message that comes twice is one, and of a oneof only the last member is there: as the Protobuf guide says.
//!
//! Does not look at fields that nobody wants, but for how they end.

use prost::encoding::WireType;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use super::datum::Datum;
use super::field::{Names, Type};
use super::parts::Nested;
use super::path::{fields, inner_message};
use super::shape::Shape;
use super::types::{Of, Types};
use super::wire::{self, Broken, Cursor};
use crate::encoding::{Found, Object, Wanted};

/// How many field numbers are found by a table.
const TABLE: usize = 128;
/// No field.
const NONE: u16 = u16::MAX;

type Result<T> = std::result::Result<T, Box<Broken>>;

/// Reads the wanted values of one message type.
#[derive(Debug)]
pub struct Program {
    /// The outermost message is the first.
    messages: Vec<Message>,
    /// Those of values that have others in them.
    types: Types,
}

/// By message of a program, whether it came in the record that is read.
pub type HasCome = Vec<bool>;

/// A message at a path.
#[derive(Debug)]
struct Message {
    descriptor: MessageDescriptor,
    fields: Vec<Field>,
    /// By number, the place among the fields.
    table: Vec<u16>,
    /// The values of fields that are always there.
    defaults: Vec<Unwritten>,
    /// The slot that says that it is there.
    object: Option<usize>,
}

/// What a slot has where nothing of its field is written.
#[derive(Debug)]
struct Unwritten {
    slot: usize,
    of: Taken,
    names: Names,
}

/// What is taken of a field.
#[derive(Debug, Clone, Copy)]
enum Taken {
    Single(Type),
    /// A message as a whole, or all values of a repeated field or a map.
    Nested(Of),
}

#[derive(Debug)]
struct Field {
    number: u32,
    name: String,
    wire: WireType,
    /// Its slot, if it is wanted itself.
    value: Option<(usize, Taken)>,
    /// True if its values may come as one field.
    is_packable: bool,
    /// The names of its values, if it is an enum.
    names: Names,
    /// Its message, if something in it is wanted.
    within: Option<usize>,
    /// What is there no more if it is: the other members of its oneof.
    others: Forgotten,
}

/// What is forgotten together.
#[derive(Debug, Default)]
struct Forgotten {
    values: Vec<usize>,
    objects: Vec<usize>,
    messages: Vec<usize>,
}

impl Program {
    /// What is wanted of a message, by the names that its reader has for the fields. What the reader's message does not have is never found;
    /// what the writer's does not have, and what is not written, is what the reader's says.
    pub fn new(writer: &MessageDescriptor, reader: &MessageDescriptor, wanted: &Wanted) -> Self {
        let mut program = Self {
            messages: vec![Message::new(writer.clone())],
            types: Types::default(),
        };
        for (slot, path) in wanted.values().iter().enumerate() {
            if let Ok(fields) = fields(reader, path) {
                program.want_value(&fields, slot);
            }
        }
        for (slot, path) in wanted.objects().iter().enumerate() {
            if let Ok(fields) = fields(reader, path)
                && let Some(message) = program.message(&fields)
            {
                program.messages[message].object = Some(slot);
            }
        }
        for message in 0..program.messages.len() {
            program.forget_others(message);
        }
        program.messages.iter_mut().for_each(Message::index);
        program
    }

    fn want_value(&mut self, path: &[FieldDescriptor], slot: usize) {
        let Some((last, outer)) = path.split_last() else {
            return;
        };
        let Some(at) = self.message(outer) else {
            return;
        };
        let writer = self.messages[at].descriptor.clone();
        let Some(read) = self.taken(&writer, last, last) else {
            return;
        };
        if !last.supports_presence() {
            self.messages[at].defaults.push(Unwritten {
                slot,
                of: read,
                names: Names::of(last),
            });
        }
        if let Some(field) = writer.get_field(last.number())
            && let Some(written) = self.taken(&writer, &field, last)
        {
            let message = &mut self.messages[at];
            let place = message.place(&field);
            message.fields[place].value = Some((slot, written));
        }
    }

    /// What is taken of a field of the writer's, or of the reader's itself.
    fn taken(
        &mut self,
        writer: &MessageDescriptor,
        field: &FieldDescriptor,
        read: &FieldDescriptor,
    ) -> Option<Taken> {
        match Shape::of(field).ok()? {
            Shape::Single(of) => Some(Taken::Single(of)),
            Shape::Message(_) | Shape::List(_) | Shape::Map(_) => {
                let of = self.types.of_field(writer, read.parent_message(), read);
                of.map(Taken::Nested)
            }
        }
    }

    /// The message at a path of the reader's; none if the writer does not have it.
    fn message(&mut self, path: &[FieldDescriptor]) -> Option<usize> {
        let mut at = 0;
        for field in path {
            let next = self.messages.len();
            let message = &mut self.messages[at];
            let field = message.descriptor.get_field(field.number())?;
            let inner = inner_message(&field).ok()?;
            let place = message.place(&field);
            at = *message.fields[place].within.get_or_insert(next);
            if at == next {
                self.messages.push(Message::new(inner));
            }
        }
        Some(at)
    }

    /// Finds, for each field of a oneof of which something is wanted, what is forgotten when it comes.
    fn forget_others(&mut self, message: usize) {
        let oneofs: Vec<_> = self.messages[message].descriptor.oneofs().collect();
        for oneof in oneofs.iter().filter(|oneof| !oneof.is_synthetic()) {
            let wanted = &self.messages[message].fields;
            if !oneof
                .fields()
                .any(|of| wanted.iter().any(|field| field.number == of.number()))
            {
                continue;
            }
            let members = oneof.fields();
            let places: Vec<_> = members
                .map(|of| self.messages[message].place(&of))
                .collect();
            for &place in &places {
                let mut others = Forgotten::default();
                for &other in places.iter().filter(|&&other| other != place) {
                    self.collect(&self.messages[message].fields[other], &mut others);
                }
                self.messages[message].fields[place].others = others;
            }
        }
    }

    /// Everything that a field has put somewhere.
    fn collect(&self, field: &Field, all: &mut Forgotten) {
        all.values.extend(field.value.map(|(slot, _)| slot));
        if let Some(within) = field.within {
            let message = &self.messages[within];
            all.messages.push(within);
            all.objects.extend(message.object);
            for field in &message.fields {
                self.collect(field, all);
            }
        }
    }

    /// Finds what is wanted in a message.
    ///
    /// # Errors
    /// Where the bytes are broken.
    #[inline]
    pub fn read<'a>(
        &'a self,
        cursor: Cursor<'a>,
        found: &mut Found<Datum<'a>>,
        has_come: &mut HasCome,
    ) -> Result<()> {
        has_come.clear();
        has_come.resize(self.messages.len(), false);
        self.read_message(0, cursor, found, has_come)
    }

    fn read_message<'a>(
        &'a self,
        at: usize,
        mut cursor: Cursor<'a>,
        found: &mut Found<Datum<'a>>,
        has_come: &mut [bool],
    ) -> Result<()> {
        let message = &self.messages[at];
        if !std::mem::replace(&mut has_come[at], true) {
            for default in &message.defaults {
                found.values[default.slot] = Some(default.value(&self.types));
            }
            if let Some(object) = message.object {
                found.objects[object] = Object::Is;
            }
        }
        let all = cursor;
        while !cursor.is_at_end() {
            let start = cursor.at();
            let (number, wire) = cursor.tag()?;
            let Some(field) = message.field(number) else {
                cursor
                    .skip(number, wire)
                    .map_err(|broken| message.in_field(broken, number))?;
                continue;
            };
            if !field.comes_as(wire) {
                field.other_wire(start, wire, &mut cursor)?;
                continue;
            }
            field.others.forget(found, has_come);
            let whole = cursor;
            let read = match field.value {
                Some((slot, Taken::Single(value))) => {
                    value.read(&mut cursor, &field.names, slot, found)
                }
                Some((slot, Taken::Nested(of))) => {
                    let types = &self.types;
                    let within = match of {
                        Of::Message(_) => cursor.sized(),
                        Of::List { .. } | Of::Map { .. } => cursor.skip(number, wire).map(|()| all),
                    };
                    within.and_then(|within| Nested { types, of, within }.put(slot, found))
                }
                None => cursor.skip(number, wire),
            };
            read.map_err(|broken| broken.within(&field.name))?;
            if let Some(within) = field.within {
                let mut whole = whole;
                let inner = whole.sized();
                inner
                    .and_then(|inner| self.read_message(within, inner, found, has_come))
                    .map_err(|broken| broken.within(&field.name))?;
            }
        }
        Ok(())
    }
}

impl Unwritten {
    #[inline]
    fn value<'a>(&'a self, types: &'a Types) -> Datum<'a> {
        match self.of {
            Taken::Single(of) => of.default(&self.names),
            Taken::Nested(of) => Datum::Nested(Nested {
                types,
                of,
                within: Cursor::new(&[], 0),
            }),
        }
    }
}

impl Message {
    const fn new(descriptor: MessageDescriptor) -> Self {
        Self {
            descriptor,
            fields: Vec::new(),
            table: Vec::new(),
            defaults: Vec::new(),
            object: None,
        }
    }

    /// The place of a field.
    fn place(&mut self, field: &FieldDescriptor) -> usize {
        let number = field.number();
        let known = self.fields.iter().position(|known| known.number == number);
        known.unwrap_or_else(|| {
            self.fields.push(Field::new(field));
            self.fields.len() - 1
        })
    }

    /// Makes fields be found by number.
    fn index(&mut self) {
        self.fields.sort_unstable_by_key(|field| field.number);
        self.table = vec![NONE; TABLE];
        for (field, place) in self.fields.iter().zip(0..NONE) {
            if let Some(entry) = self.table.get_mut(field.number as usize) {
                *entry = place;
            }
        }
    }

    #[inline]
    fn field(&self, number: u32) -> Option<&Field> {
        match self.table.get(number as usize) {
            Some(&place) => self.fields.get(usize::from(place)),
            None => {
                let place = self
                    .fields
                    .binary_search_by_key(&number, |field| field.number);
                place.ok().map(|place| &self.fields[place])
            }
        }
    }

    /// A fault within a field that nobody wants.
    fn in_field(&self, broken: Box<Broken>, number: u32) -> Box<Broken> {
        match self.descriptor.get_field(number) {
            Some(field) => broken.within(field.name()),
            None => broken.within(&number.to_string()),
        }
    }
}

impl Field {
    fn new(field: &FieldDescriptor) -> Self {
        let wire = match field.kind() {
            Kind::Message(_) if field.is_group() => WireType::StartGroup,
            kind => kind.wire_type(),
        };
        Self {
            number: field.number(),
            name: field.name().to_owned(),
            wire,
            value: None,
            is_packable: field.is_list() && wire != WireType::LengthDelimited,
            names: Names::of(field),
            within: None,
            others: Forgotten::default(),
        }
    }

    #[inline]
    fn comes_as(&self, wire: WireType) -> bool {
        wire == self.wire || (self.is_packable && wire == WireType::LengthDelimited)
    }

    /// A field that does not come as the schema says: an unknown one, unless it is wanted.
    #[cold]
    fn other_wire(&self, start: usize, wire: WireType, cursor: &mut Cursor<'_>) -> Result<()> {
        if self.value.is_none() && self.within.is_none() {
            return cursor.skip(self.number, wire);
        }
        wire::other_wire(start, self.wire, wire).map_err(|broken| broken.within(&self.name))
    }
}

impl Forgotten {
    #[inline]
    fn forget<V>(&self, found: &mut Found<V>, has_come: &mut [bool]) {
        for &slot in &self.values {
            found.values[slot] = None;
        }
        for &slot in &self.objects {
            found.objects[slot] = Object::Absent;
        }
        for &message in &self.messages {
            has_come[message] = false;
        }
    }
}
