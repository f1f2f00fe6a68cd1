//! Values that have others in them, as the bytes of their messages: fields, items and entries are found when they are asked for.
//!
//! Promises: a message is looked at as often as a column reads something of it, and no deeper; nothing is allocated for one that is not broken,
//! but for the keys of maps that are no texts. What is not written is what the reader's field says of it, and of a oneof only the last member
//! is there.
//!
//! Stricter than the guide of Protobuf: a message that is read as a whole and comes in two parts is a fault, where others merge them.

use prost::encoding::WireType;
use smallvec::{SmallVec, smallvec};

use super::datum::Datum;
use super::field::{Names, Scalar};
use super::types::{Element, Member, MemberOf, MessageType, Of, Types};
use super::wire::{Broken, Cursor, other_wire};
use crate::encoding::{Found, Value};
use crate::fault::Fault;

/// A value with others in it, not looked into yet.
#[derive(Debug, Clone, Copy)]
pub struct Nested<'a> {
    /// The types.
    pub types: &'a Types,
    /// Its type.
    pub of: Of,
    /// The message; of a list or a map that which the field is in.
    pub within: Cursor<'a>,
}

/// Hands over what lies in a value.
type Each<'e, 'a> = &'e mut dyn FnMut(&str, Datum<'a>) -> Result<(), Fault>;

impl<'a> Nested<'a> {
    /// Puts it into its slot.
    ///
    /// # Errors
    /// If it, or the message that it is in, came before.
    pub fn put(self, slot: usize, found: &mut Found<Datum<'a>>) -> Result<(), Box<Broken>> {
        if let Some(Datum::Nested(before)) = found.values[slot] {
            let is_message = matches!(self.of, Of::Message(_));
            let is_default = !is_message && before.within.is_at_end();
            if is_message || !(is_default || before.within.is_same(&self.within)) {
                return two_parts(self.within.at());
            }
        }
        found.values[slot] = Some(Datum::Nested(self));
        Ok(())
    }

    /// Hands over the fields of a message, those that are always there with their defaults first, or the entries of a map.
    ///
    /// # Errors
    /// If it is neither, or its bytes are broken, or what `each` returns.
    pub fn members(self, each: Each<'_, 'a>) -> Result<(), Fault> {
        let types = self.types;
        match self.of {
            Of::Message(message) => self.fields(types.get(message), each),
            Of::Map { message, member } => {
                let member = &types.get(message).members[member];
                let MemberOf::Map { key, value } = &member.of else {
                    return Err(Fault::WrongType);
                };
                self.occurrences(member, |wire, cursor| {
                    expect(WireType::LengthDelimited, wire, cursor)?;
                    entry((types, *key, value), cursor.sized()?, each)
                })
            }
            Of::List { .. } => Err(Fault::WrongType),
        }
    }

    /// Hands over the values of a repeated field.
    ///
    /// # Errors
    /// If it is none, or its bytes are broken, or what `each` returns.
    pub fn items(self, each: &mut dyn FnMut(Datum<'a>) -> Result<(), Fault>) -> Result<(), Fault> {
        let Of::List { message, member } = self.of else {
            return Err(Fault::WrongType);
        };
        let types = self.types;
        let member = &types.get(message).members[member];
        let MemberOf::List(item) = &member.of else {
            return Err(Fault::WrongType);
        };
        self.occurrences(member, |wire, cursor| {
            if wire == item.wire() || !item.is_packable() {
                expect(item.wire(), wire, cursor)?;
                return each(item.read(types, cursor)?);
            }
            expect(WireType::LengthDelimited, wire, cursor)?;
            let mut packed = cursor.sized()?;
            while !packed.is_at_end() {
                each(item.read(types, &mut packed)?)?;
            }
            Ok(())
        })
    }

    fn fields(self, message: &'a MessageType, each: Each<'_, 'a>) -> Result<(), Fault> {
        let Self { types, of, within } = self;
        let Of::Message(id) = of else {
            return Err(Fault::WrongType);
        };
        for (place, member) in message.members.iter().enumerate() {
            let (message, part_of) = (id, &member.of);
            let of = match part_of {
                MemberOf::List(_) => Of::List {
                    message,
                    member: place,
                },
                MemberOf::Map { .. } => Of::Map {
                    message,
                    member: place,
                },
                MemberOf::One { default, .. } => {
                    if let Some((of, names)) = default {
                        each(&member.name, of.default(names))?;
                    }
                    continue;
                }
            };
            each(&member.name, Datum::Nested(Self { types, of, within }))?;
        }
        let mut has_come: SmallVec<[bool; 16]> = smallvec![false; message.marks];
        let mut cursor = within;
        while !cursor.is_at_end() {
            let (number, wire) = cursor.tag()?;
            let member = message.place(number).map(|place| &message.members[place]);
            let Some((
                member,
                MemberOf::One {
                    written: Some(element),
                    mark,
                    ..
                },
            )) = member.map(|member| (member, &member.of))
            else {
                cursor.skip(number, wire)?;
                continue;
            };
            for &other in &member.others {
                let other = &message.members[other];
                if let MemberOf::One {
                    mark: Some(mark), ..
                } = other.of
                {
                    has_come[mark] = false;
                }
                each(&other.name, Datum::Null)?;
            }
            let start = cursor.at();
            if let Some(mark) = *mark
                && std::mem::replace(&mut has_come[mark], true)
            {
                two_parts(start).map_err(|broken| broken.within(&member.name))?;
            }
            let value = expect(element.wire(), wire, &cursor)
                .and_then(|()| element.read(types, &mut cursor));
            each(
                &member.name,
                value.map_err(|broken| broken.within(&member.name))?,
            )?;
        }
        Ok(())
    }

    /// Goes to each time that a field comes in the message that it is in.
    fn occurrences(
        self,
        member: &Member,
        mut each: impl FnMut(WireType, &mut Cursor<'a>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut cursor = self.within;
        while !cursor.is_at_end() {
            let (number, wire) = cursor.tag()?;
            if number == member.number {
                each(wire, &mut cursor)?;
            } else {
                cursor.skip(number, wire)?;
            }
        }
        Ok(())
    }
}

impl Element {
    /// The next one.
    fn read<'a>(
        &'a self,
        types: &'a Types,
        cursor: &mut Cursor<'a>,
    ) -> Result<Datum<'a>, Box<Broken>> {
        match self {
            Self::Single(of, names) => of.read_one(cursor, names),
            Self::Message(message) => Ok(Datum::Nested(Nested {
                types,
                of: Of::Message(*message),
                within: cursor.sized()?,
            })),
        }
    }

    /// What it is where nothing is written.
    fn default<'a>(&'a self, types: &'a Types) -> Datum<'a> {
        match self {
            Self::Single(of, names) => of.default(names),
            Self::Message(message) => Datum::Nested(Nested {
                types,
                of: Of::Message(*message),
                within: Cursor::new(&[], 0),
            }),
        }
    }
}

/// Hands over an entry of a map, whose key is a text.
fn entry<'a>(
    (types, key_type, of): (&'a Types, Scalar, &'a Element),
    mut entry: Cursor<'a>,
    each: Each<'_, 'a>,
) -> Result<(), Fault> {
    let no_names = Names::none();
    let mut key = key_type.default(no_names);
    let mut value = None;
    while !entry.is_at_end() {
        let start = entry.at();
        match entry.tag()? {
            (1, wire) if wire == key_type.wire() => key = key_type.read(&mut entry, no_names)?,
            (2, wire) if wire == of.wire() => {
                if value.is_some() && matches!(of, Element::Message(_)) {
                    two_parts(start)?;
                }
                value = Some(of.read(types, &mut entry)?);
            }
            (number, wire) => entry.skip(number, wire)?,
        }
    }
    each(&key.shown(), value.unwrap_or_else(|| of.default(types)))
}

/// Refuses a message of which a part came before.
#[cold]
fn two_parts(at: usize) -> Result<(), Box<Broken>> {
    Cursor::broken(at, "it comes in two parts, and is read as a whole")
}

/// Refuses a value that does not come as the schema says.
fn expect(expected: WireType, found: WireType, cursor: &Cursor<'_>) -> Result<(), Box<Broken>> {
    if found == expected {
        return Ok(());
    }
    other_wire(cursor.at(), expected, found)
}

impl From<Box<Broken>> for Fault {
    fn from(broken: Box<Broken>) -> Self {
        Self::Broken(broken.to_string())
    }
}
