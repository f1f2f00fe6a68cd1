//! The wire format of Protobuf, read in place: tags, varints, fixed numbers and lengths, with the byte at which one is broken.
//!
//! Promises: no bytes make it panic, and it allocates only for what is broken. Source: the encoding guide of protobuf.dev; varints by prost.

use std::fmt::{Display, Formatter};

use prost::encoding::{WireType, decode_varint};

/// How deep groups may lie in each other, as in other implementations.
const GROUPS: usize = 100;

/// What is left of a message, within its record.
#[derive(Debug, Clone, Copy)]
pub struct Cursor<'a> {
    record: &'a [u8],
    at: usize,
    end: usize,
}

/// Where and how a record is broken.
#[derive(Debug)]
pub struct Broken {
    at: usize,
    what: String,
    /// The field at fault, after those that it lies in, from the innermost on.
    fields: Vec<String>,
}

type Result<T> = std::result::Result<T, Box<Broken>>;

impl Broken {
    /// The same, within a field.
    pub fn within(mut self: Box<Self>, field: &str) -> Box<Self> {
        self.fields.push(field.to_owned());
        self
    }
}

impl Display for Broken {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let Self { at, what, fields } = self;
        write!(f, "invalid Protobuf at byte {at}")?;
        if !fields.is_empty() {
            let names: Vec<_> = fields.iter().rev().map(String::as_str).collect();
            write!(f, ", field '{}'", names.join("."))?;
        }
        write!(f, ": {what}")
    }
}

impl<'a> Cursor<'a> {
    /// All of a record from a byte on.
    pub const fn new(record: &'a [u8], at: usize) -> Self {
        Self {
            record,
            at,
            end: record.len(),
        }
    }

    /// True at the end of the message.
    #[inline]
    pub const fn is_at_end(&self) -> bool {
        self.at == self.end
    }

    /// Where it is.
    pub const fn at(&self) -> usize {
        self.at
    }

    /// True if as much of the same record is left.
    pub const fn is_same(&self, other: &Self) -> bool {
        self.at == other.at && self.end == other.end
    }

    /// The bytes that are left.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        &self.record[self.at..self.end]
    }

    /// What is broken at a byte.
    #[cold]
    pub fn broken<T>(at: usize, what: impl Into<String>) -> Result<T> {
        Err(Box::new(Broken {
            at,
            what: what.into(),
            fields: Vec::new(),
        }))
    }

    /// A whole number of up to 64 bits.
    #[inline]
    pub fn varint(&mut self) -> Result<u64> {
        match self.rest() {
            &[byte, ..] if byte < 0x80 => {
                self.at += 1;
                Ok(u64::from(byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64> {
        let bytes = self.rest();
        let mut rest = bytes;
        match decode_varint(&mut rest) {
            Ok(value) => {
                self.at += bytes.len() - rest.len();
                Ok(value)
            }
            Err(_) if bytes.len() < 10 => {
                Self::broken(self.at, "the message ends within a number, or before it")
            }
            Err(_) => Self::broken(self.at, "a number of more than 64 bits"),
        }
    }

    /// The number of the next field and how its value is written.
    #[inline]
    pub fn tag(&mut self) -> Result<(u32, WireType)> {
        let start = self.at;
        let tag = self.varint()?;
        let Ok(tag) = u32::try_from(tag) else {
            return Self::broken(start, "a tag of more than 32 bits");
        };
        let number = tag >> 3;
        if number == 0 {
            return Self::broken(start, "a field of number 0");
        }
        let wire = match tag & 7 {
            0 => WireType::Varint,
            1 => WireType::SixtyFourBit,
            2 => WireType::LengthDelimited,
            3 => WireType::StartGroup,
            4 => WireType::EndGroup,
            5 => WireType::ThirtyTwoBit,
            other => {
                let what = format!("field {number} is of wire type {other}, which there is not");
                return Self::broken(start, what);
            }
        };
        Ok((number, wire))
    }

    /// As many bytes as an array has.
    #[inline]
    pub fn fixed<const N: usize>(&mut self) -> Result<[u8; N]> {
        match self.rest().first_chunk() {
            Some(bytes) => {
                self.at += N;
                Ok(*bytes)
            }
            None => {
                let left = self.end - self.at;
                Self::broken(self.at, format!("{N} bytes are expected, {left} are left"))
            }
        }
    }

    /// A length and the bytes that it counts, to be read on their own.
    #[inline]
    pub fn sized(&mut self) -> Result<Self> {
        let start = self.at;
        let length = self.varint()?;
        let left = self.end - self.at;
        match usize::try_from(length) {
            Ok(length) if length <= left => {
                let within = Self {
                    end: self.at + length,
                    ..*self
                };
                self.at += length;
                Ok(within)
            }
            _ => Self::broken(
                start,
                format!("its length is {length} bytes, and {left} are left"),
            ),
        }
    }

    /// Passes over the value of a field.
    #[inline]
    pub fn skip(&mut self, number: u32, wire: WireType) -> Result<()> {
        match wire {
            WireType::Varint => self.varint().map(drop),
            WireType::LengthDelimited => self.sized().map(drop),
            WireType::SixtyFourBit => self.fixed::<8>().map(drop),
            WireType::ThirtyTwoBit => self.fixed::<4>().map(drop),
            WireType::StartGroup => self.skip_group(number),
            WireType::EndGroup => Self::broken(self.at, "a group ends that did not begin"),
        }
    }

    /// Passes over a group and what lies in it.
    fn skip_group(&mut self, number: u32) -> Result<()> {
        let mut open = [0; GROUPS];
        open[0] = number;
        let mut depth = 1;
        while depth > 0 {
            if self.is_at_end() {
                return Self::broken(self.at, "the message ends within a group");
            }
            let start = self.at;
            match self.tag()? {
                (number, WireType::StartGroup) => {
                    if depth == GROUPS {
                        let what = format!("groups lie in each other more than {GROUPS} deep");
                        return Self::broken(start, what);
                    }
                    open[depth] = number;
                    depth += 1;
                }
                (number, WireType::EndGroup) => {
                    depth -= 1;
                    if open[depth] != number {
                        return Self::broken(start, "another group ends than the one that began");
                    }
                }
                (number, wire) => self.skip(number, wire)?,
            }
        }
        Ok(())
    }
}

/// Refuses a value that comes in another wire type than the schema's.
#[cold]
pub fn other_wire(at: usize, expected: WireType, found: WireType) -> Result<()> {
    let (expected, found) = (shown(expected), shown(found));
    let what = format!("expected {expected}, as the schema says, found {found}");
    Cursor::broken(at, what)
}

/// A wire type in words.
const fn shown(wire: WireType) -> &'static str {
    match wire {
        WireType::Varint => "a varint",
        WireType::SixtyFourBit => "eight bytes",
        WireType::LengthDelimited => "bytes with their length",
        WireType::StartGroup => "a group",
        WireType::EndGroup => "the end of a group",
        WireType::ThirtyTwoBit => "four bytes",
    }
}

/// A zigzag number, which is small for small negative ones, too.
#[inline]
pub const fn zigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}
