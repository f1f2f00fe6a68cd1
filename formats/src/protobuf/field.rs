//! The value of one field: how it is read from the wire, and what it is if it is not there.

use prost::encoding::WireType;
use prost_reflect::{FieldDescriptor, Kind as Declared, MessageDescriptor};

use super::datum::{Datum, Kind};
use super::wire::{Cursor, zigzag};
use crate::encoding::Found;

type Result<T> = std::result::Result<T, Box<super::wire::Broken>>;

/// The names of an enum by number; none of another type.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names(Vec<(i32, String)>);

impl Names {
    /// Those of the type of a field.
    pub fn of(field: &FieldDescriptor) -> Self {
        let mut names: Vec<(i32, String)> = Vec::new();
        if let Declared::Enum(of) = field.kind() {
            // Of several names for one number the first counts.
            for value in of.values() {
                if !names.iter().any(|(number, _)| *number == value.number()) {
                    names.push((value.number(), value.name().to_owned()));
                }
            }
        }
        names.sort_unstable_by_key(|(number, _)| *number);
        Self(names)
    }

    /// Those of no enum.
    pub const fn none() -> &'static Self {
        const { &Self(Vec::new()) }
    }

    /// A value of the enum.
    fn value(&self, number: i32) -> Datum<'_> {
        let place = self.0.binary_search_by_key(&number, |(number, _)| *number);
        let name = place.ok().map(|place| self.0[place].1.as_str());
        Datum::Enum(number, name)
    }
}

/// A type that is one value on the wire.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scalar {
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Float,
    Double,
    Bool,
    String,
    Bytes,
    Enum,
    /// A decimal as text, which is zero if it is empty.
    DecimalText,
}

/// A type that makes one value of a column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Type {
    Scalar(Scalar),
    /// A message whose field 1 is the value: `google.protobuf.Int64Value` and its like, `google.type.Decimal`.
    Wrapped(Scalar),
    /// `google.protobuf.Timestamp`.
    Moment,
    /// `google.type.Date`.
    Day,
    /// `confluent.type.Decimal`, as Kafka Connect writes its decimals.
    Unscaled,
}

impl Type {
    /// The type of a message that is one value; none of any other.
    pub fn of_message(message: &MessageDescriptor) -> Option<Self> {
        Some(match message.full_name() {
            "google.protobuf.Timestamp" => Self::Moment,
            "google.type.Date" => Self::Day,
            "google.type.Decimal" => Self::Wrapped(Scalar::DecimalText),
            "confluent.type.Decimal" => Self::Unscaled,
            "google.protobuf.DoubleValue" => Self::Wrapped(Scalar::Double),
            "google.protobuf.FloatValue" => Self::Wrapped(Scalar::Float),
            "google.protobuf.Int64Value" => Self::Wrapped(Scalar::Int64),
            "google.protobuf.UInt64Value" => Self::Wrapped(Scalar::Uint64),
            "google.protobuf.Int32Value" => Self::Wrapped(Scalar::Int32),
            "google.protobuf.UInt32Value" => Self::Wrapped(Scalar::Uint32),
            "google.protobuf.BoolValue" => Self::Wrapped(Scalar::Bool),
            "google.protobuf.StringValue" => Self::Wrapped(Scalar::String),
            "google.protobuf.BytesValue" => Self::Wrapped(Scalar::Bytes),
            _ => return None,
        })
    }

    /// The columns that it goes to.
    pub const fn kind(self) -> Kind {
        match self {
            Self::Scalar(scalar) | Self::Wrapped(scalar) => scalar.kind(),
            Self::Moment => Kind::Moment,
            Self::Day => Kind::Day,
            Self::Unscaled => Kind::Decimal,
        }
    }

    /// How it is written.
    pub const fn wire(self) -> WireType {
        match self {
            Self::Scalar(scalar) => scalar.wire(),
            Self::Wrapped(_) | Self::Moment | Self::Day | Self::Unscaled => {
                WireType::LengthDelimited
            }
        }
    }

    /// What it is where nothing of it is written.
    pub fn default(self, names: &Names) -> Datum<'_> {
        match self {
            Self::Scalar(scalar) | Self::Wrapped(scalar) => scalar.default(names),
            Self::Moment => Datum::Moment {
                seconds: 0,
                nanos: 0,
            },
            Self::Day => Datum::Day {
                year: 0,
                month: 0,
                day: 0,
            },
            Self::Unscaled => Datum::Unscaled {
                bytes: &[0],
                scale: 0,
            },
        }
    }

    /// Reads it into a slot; a message that comes twice is one, of which the later parts count.
    #[inline]
    pub fn read<'a>(
        self,
        cursor: &mut Cursor<'a>,
        names: &'a Names,
        slot: usize,
        found: &mut Found<Datum<'a>>,
    ) -> Result<()> {
        let value = match self {
            Self::Scalar(scalar) => scalar.read(cursor, names)?,
            parts => {
                let so_far = found.values[slot].unwrap_or_else(|| self.default(names));
                parts.read_parts(cursor.sized()?, names, so_far)?
            }
        };
        found.values[slot] = Some(value);
        Ok(())
    }

    /// Reads one that does not go on in another place.
    pub fn read_one<'a>(self, cursor: &mut Cursor<'a>, names: &'a Names) -> Result<Datum<'a>> {
        match self {
            Self::Scalar(scalar) => scalar.read(cursor, names),
            parts => parts.read_parts(cursor.sized()?, names, self.default(names)),
        }
    }

    fn read_parts<'a>(
        self,
        mut cursor: Cursor<'a>,
        names: &'a Names,
        mut value: Datum<'a>,
    ) -> Result<Datum<'a>> {
        while !cursor.is_at_end() {
            let (number, wire) = cursor.tag()?;
            match (self, number, wire, &mut value) {
                (Self::Wrapped(scalar), 1, wire, value) if wire == scalar.wire() => {
                    *value = scalar.read(&mut cursor, names)?;
                }
                (Self::Moment, 1, WireType::Varint, Datum::Moment { seconds, .. }) => {
                    *seconds = cursor.varint()?.cast_signed();
                }
                (Self::Moment, 2, WireType::Varint, Datum::Moment { nanos: part, .. })
                | (Self::Day, 1, WireType::Varint, Datum::Day { year: part, .. })
                | (Self::Day, 2, WireType::Varint, Datum::Day { month: part, .. })
                | (Self::Day, 3, WireType::Varint, Datum::Day { day: part, .. })
                | (Self::Unscaled, 3, WireType::Varint, Datum::Unscaled { scale: part, .. }) => {
                    *part = low(cursor.varint()?);
                }
                (Self::Unscaled, 1, WireType::LengthDelimited, Datum::Unscaled { bytes, .. }) => {
                    *bytes = cursor.sized()?.rest();
                }
                _ => cursor.skip(number, wire)?,
            }
        }
        Ok(value)
    }
}

impl Scalar {
    /// The type of a field that is no message.
    pub fn of(kind: &Declared) -> Option<Self> {
        Some(match kind {
            Declared::Double => Self::Double,
            Declared::Float => Self::Float,
            Declared::Int32 => Self::Int32,
            Declared::Int64 => Self::Int64,
            Declared::Uint32 => Self::Uint32,
            Declared::Uint64 => Self::Uint64,
            Declared::Sint32 => Self::Sint32,
            Declared::Sint64 => Self::Sint64,
            Declared::Fixed32 => Self::Fixed32,
            Declared::Fixed64 => Self::Fixed64,
            Declared::Sfixed32 => Self::Sfixed32,
            Declared::Sfixed64 => Self::Sfixed64,
            Declared::Bool => Self::Bool,
            Declared::String => Self::String,
            Declared::Bytes => Self::Bytes,
            Declared::Enum(_) => Self::Enum,
            Declared::Message(_) => return None,
        })
    }

    const fn kind(self) -> Kind {
        match self {
            Self::Float | Self::Double => Kind::Float,
            Self::Bool => Kind::Boolean,
            Self::String => Kind::Text,
            Self::Bytes => Kind::Bytes,
            Self::Enum => Kind::Enum,
            Self::DecimalText => Kind::Text,
            Self::Int32
            | Self::Int64
            | Self::Uint32
            | Self::Uint64
            | Self::Sint32
            | Self::Sint64
            | Self::Fixed32
            | Self::Fixed64
            | Self::Sfixed32
            | Self::Sfixed64 => Kind::Integer,
        }
    }

    /// How it is written.
    pub const fn wire(self) -> WireType {
        match self {
            Self::Int32
            | Self::Int64
            | Self::Uint32
            | Self::Uint64
            | Self::Sint32
            | Self::Sint64
            | Self::Bool
            | Self::Enum => WireType::Varint,
            Self::Fixed64 | Self::Sfixed64 | Self::Double => WireType::SixtyFourBit,
            Self::Fixed32 | Self::Sfixed32 | Self::Float => WireType::ThirtyTwoBit,
            Self::String | Self::Bytes | Self::DecimalText => WireType::LengthDelimited,
        }
    }

    /// What it is where it is not written.
    pub fn default(self, names: &Names) -> Datum<'_> {
        match self {
            Self::Float | Self::Double => Datum::Float(0.0),
            Self::Bool => Datum::Boolean(false),
            Self::String => Datum::Text(""),
            Self::DecimalText => Datum::Text("0"),
            Self::Bytes => Datum::Bytes(&[]),
            Self::Enum => names.value(0),
            _ => Datum::Integer(0),
        }
    }

    /// Reads one.
    ///
    /// # Errors
    /// Where its bytes are broken.
    #[inline]
    pub fn read<'a>(self, cursor: &mut Cursor<'a>, names: &'a Names) -> Result<Datum<'a>> {
        Ok(match self {
            Self::Int64 => Datum::Integer(cursor.varint()?.cast_signed()),
            Self::Int32 => Datum::Integer(i64::from(low(cursor.varint()?))),
            Self::Uint32 => Datum::Integer(i64::from(low(cursor.varint()?).cast_unsigned())),
            Self::Uint64 => unsigned(cursor.varint()?),
            Self::Sint32 => {
                let low = u64::from(low(cursor.varint()?).cast_unsigned());
                Datum::Integer(zigzag(low))
            }
            Self::Sint64 => Datum::Integer(zigzag(cursor.varint()?)),
            Self::Fixed32 => Datum::Integer(i64::from(u32::from_le_bytes(cursor.fixed()?))),
            Self::Fixed64 => unsigned(u64::from_le_bytes(cursor.fixed()?)),
            Self::Sfixed32 => Datum::Integer(i64::from(i32::from_le_bytes(cursor.fixed()?))),
            Self::Sfixed64 => Datum::Integer(i64::from_le_bytes(cursor.fixed()?)),
            Self::Float => Datum::Float(f64::from(f32::from_le_bytes(cursor.fixed()?))),
            Self::Double => Datum::Float(f64::from_le_bytes(cursor.fixed()?)),
            Self::Bool => Datum::Boolean(cursor.varint()? != 0),
            Self::String => Datum::Text(text(cursor)?),
            Self::DecimalText => match text(cursor)? {
                "" => self.default(names),
                text => Datum::Text(text),
            },
            Self::Bytes => Datum::Bytes(cursor.sized()?.rest()),
            Self::Enum => names.value(low(cursor.varint()?)),
        })
    }
}

/// The lower 32 bits, which are what a number of 32 bits has.
#[expect(clippy::cast_possible_truncation, reason = "the format says so")]
const fn low(value: u64) -> i32 {
    (value as u32).cast_signed()
}

#[inline]
fn unsigned(value: u64) -> Datum<'static> {
    i64::try_from(value).map_or(Datum::Unsigned(value), Datum::Integer)
}

#[inline]
fn text<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str> {
    let bytes = cursor.sized()?;
    std::str::from_utf8(bytes.rest())
        .or_else(|error| Cursor::broken(bytes.at() + error.valid_up_to(), "invalid UTF-8"))
}
