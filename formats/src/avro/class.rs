//! What fields of a schema have in common over writers: the class of their values, whether they may be null, and what stands for a field that
//! is not there.

use std::fmt;

use serde_json::Value;

use super::schema::{Counts, Field, Scalar, Schema, Type, TypeId};
use super::value::AvroValue;
use crate::encoding::ELEMENT;

/// The values that are read alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    Boolean,
    Int,
    Long,
    Floating,
    Bytes,
    Decimal {
        precision: u8,
        scale: i8,
    },
    /// A decimal that says itself how many digits are behind the point.
    VariableDecimal,
    Text,
    Enum,
    Date,
    Time,
    Uuid,
    Array,
    Map,
    Record,
}

impl Class {
    /// True if whoever expects the other class reads these values as what they are.
    pub const fn is_read_as(self, expected: Self) -> bool {
        match (self, expected) {
            (Self::Boolean, Self::Boolean)
            | (Self::Int | Self::Long, Self::Int | Self::Long | Self::Floating)
            | (Self::Floating, Self::Floating)
            | (Self::Bytes, Self::Bytes)
            | (
                Self::Decimal { .. } | Self::VariableDecimal,
                Self::Decimal { .. } | Self::VariableDecimal,
            )
            | (Self::Text | Self::Enum | Self::Uuid, Self::Text | Self::Enum | Self::Uuid)
            | (Self::Date, Self::Date)
            | (Self::Time, Self::Time)
            | (Self::Array, Self::Array)
            | (Self::Map, Self::Map)
            | (Self::Record, Self::Record) => true,
            (
                Self::Boolean
                | Self::Int
                | Self::Long
                | Self::Floating
                | Self::Bytes
                | Self::Decimal { .. }
                | Self::VariableDecimal
                | Self::Text
                | Self::Enum
                | Self::Uuid
                | Self::Date
                | Self::Time
                | Self::Array
                | Self::Map
                | Self::Record,
                _,
            ) => false,
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Boolean => "a boolean",
            Self::Int => "an int",
            Self::Long => "a long",
            Self::Floating => "a floating-point number",
            Self::Bytes => "bytes",
            Self::Decimal { precision, scale } => {
                return write!(
                    f,
                    "a decimal of {precision} digits, {scale} behind the point"
                );
            }
            Self::VariableDecimal => "a decimal",
            Self::Text => "a string",
            Self::Enum => "an enum",
            Self::Date => "a date",
            Self::Time => "a timestamp",
            Self::Uuid => "a UUID",
            Self::Array => "an array",
            Self::Map => "a map",
            Self::Record => "a record",
        })
    }
}

/// What stands for a field that a writer did not have.
#[derive(Debug, Clone, PartialEq)]
pub enum Preset {
    Null,
    Boolean(bool),
    Number(i64, Counts),
    Double(f64),
    Text(String),
}

impl Preset {
    /// As a value of a record.
    pub fn value(&self) -> AvroValue<'_> {
        match self {
            Self::Null => AvroValue::Null,
            Self::Boolean(value) => AvroValue::Boolean(*value),
            Self::Number(value, counts) => AvroValue::Number(*value, *counts),
            Self::Double(value) => AvroValue::Double(*value),
            Self::Text(value) => AvroValue::Text(value),
        }
    }
}

impl Schema {
    /// The fields of a record, also of one that may be null.
    pub fn record(&self, id: TypeId) -> Option<&[Field]> {
        match self.get(id) {
            Type::Record(fields) => Some(fields),
            Type::Union(branches) => branches.iter().find_map(|&branch| self.record(branch)),
            Type::Scalar(_) | Type::Enum(_) | Type::Array(_) | Type::Map(_) => None,
        }
    }

    /// The type of a field of a record, or of what lies in an array or a map.
    pub fn member(&self, id: TypeId, name: &str) -> Option<TypeId> {
        match self.get(id) {
            Type::Array(of) | Type::Map(of) => (name == ELEMENT).then_some(*of),
            Type::Union(branches) if name == ELEMENT => {
                let mut branches = branches.iter();
                branches.find_map(|&branch| self.member(branch, name))
            }
            _ => self.field(id, name).map(|field| field.kind),
        }
    }

    fn field(&self, id: TypeId, name: &str) -> Option<&Field> {
        self.record(id)?.iter().find(|field| field.name == name)
    }

    /// True if values of the type may be null.
    pub fn is_nullable(&self, id: TypeId) -> bool {
        match self.get(id) {
            Type::Scalar(scalar) => *scalar == Scalar::Null,
            Type::Union(branches) => branches.iter().any(|&branch| self.is_nullable(branch)),
            Type::Enum(_) | Type::Array(_) | Type::Map(_) | Type::Record(_) => false,
        }
    }

    /// The classes of the values at a path, without null; none if nothing lies there.
    pub fn classes(&self, path: &[String]) -> Vec<Class> {
        let mut at = Some(self.root());
        for name in path {
            at = at.and_then(|id| self.member(id, name));
        }
        at.map_or_else(Vec::new, |id| self.classes_of(id))
    }

    /// The classes of a type's values, without null.
    pub fn classes_of(&self, id: TypeId) -> Vec<Class> {
        match self.get(id) {
            Type::Scalar(scalar) => class(*scalar).into_iter().collect(),
            Type::Enum(_) => vec![Class::Enum],
            Type::Array(_) => vec![Class::Array],
            Type::Map(_) => vec![Class::Map],
            Type::Record(_) => vec![Class::Record],
            Type::Union(branches) => {
                let branches = branches.iter();
                branches.flat_map(|&of| self.classes_of(of)).collect()
            }
        }
    }

    /// The default of the field at a path, or of a record that it lies in if that is null; none if there is none, or it is more than one value.
    pub fn preset(&self, path: &[String]) -> Option<Preset> {
        let mut at = self.root();
        for (depth, name) in path.iter().enumerate() {
            if name == ELEMENT {
                at = self.member(at, name)?;
                continue;
            }
            let field = self.field(at, name)?;
            let is_last = depth + 1 == path.len();
            match &field.default {
                Some(Value::Null) => return Some(Preset::Null),
                Some(default) if is_last => return self.preset_of(field.kind, default),
                _ => at = field.kind,
            }
        }
        None
    }

    /// A default in the JSON of a schema: of a union it is a value of the first type.
    fn preset_of(&self, id: TypeId, default: &Value) -> Option<Preset> {
        match (self.get(id), default) {
            (Type::Union(branches), _) => self.preset_of(*branches.first()?, default),
            (Type::Scalar(Scalar::Boolean), Value::Bool(value)) => Some(Preset::Boolean(*value)),
            (Type::Scalar(Scalar::Int(counts) | Scalar::Long(counts)), Value::Number(number)) => {
                Some(Preset::Number(number.as_i64()?, *counts))
            }
            (Type::Scalar(Scalar::Float | Scalar::Double), Value::Number(number)) => {
                Some(Preset::Double(number.as_f64()?))
            }
            (Type::Scalar(Scalar::Text) | Type::Enum(_), Value::String(text)) => {
                Some(Preset::Text(text.clone()))
            }
            _ => None,
        }
    }
}

const fn class(scalar: Scalar) -> Option<Class> {
    Some(match scalar {
        Scalar::Null => return None,
        Scalar::Boolean => Class::Boolean,
        Scalar::Int(Counts::Things) => Class::Int,
        Scalar::Long(Counts::Things) => Class::Long,
        Scalar::Int(Counts::Days) | Scalar::Long(Counts::Days) => Class::Date,
        Scalar::Int(Counts::Time(_)) | Scalar::Long(Counts::Time(_)) => Class::Time,
        Scalar::Float | Scalar::Double => Class::Floating,
        Scalar::Bytes | Scalar::Fixed(_) => Class::Bytes,
        Scalar::Decimal(digits) | Scalar::FixedDecimal(_, digits) => Class::Decimal {
            precision: digits.precision,
            scale: digits.scale,
        },
        Scalar::VariableDecimal => Class::VariableDecimal,
        Scalar::Text => Class::Text,
        Scalar::Uuid => Class::Uuid,
    })
}
