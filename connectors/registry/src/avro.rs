//! Avro schemas, parsed as far as it takes to tell two of them apart: types, names, aliases, defaults, logical types. Documentation and other
//! attributes are not looked at.
//!
//! Source: "Schema Declaration" and "Schema Resolution" of the specification of Apache Avro 1.12.

mod diff;
mod parse;
mod resolution;

use std::fmt::Write;

use serde_json::Value;
use tidemill_connectors_api::Error;

use crate::Whole;

pub use diff::diff;
pub use resolution::unreadable;

/// How deep two schemas are compared, through named types as well.
const DEPTH_MAX: usize = 128;
/// How many pairs of types are compared.
const STEPS_MAX: usize = 1_000_000;
/// What is said of what lies beyond those.
const BEYOND: &str = "lies too deep to be compared; make the schema flatter";

/// A schema with the types that it names.
#[derive(Debug, Clone)]
pub struct AvroSchema {
    root: Type,
    /// What [`Type::Named`] counts into.
    named: Vec<Named>,
}

impl AvroSchema {
    /// Reads a schema, after those that it refers to.
    ///
    /// # Errors
    /// `Invalid` if it is none.
    pub fn parse(whole: &Whole) -> Result<Self, Error> {
        parse::schema(whole)
    }

    fn get(&self, named: usize) -> &Named {
        &self.named[named]
    }

    /// A type in words.
    fn shown(&self, of: &Type) -> String {
        let mut text = String::new();
        self.show(of, &mut text);
        text
    }

    fn show(&self, of: &Type, text: &mut String) {
        match of {
            Type::Primitive(primitive, logical) => {
                text.push_str(primitive.name());
                if let Some(logical) = logical {
                    // A String takes whatever is written.
                    let _ = write!(text, " ({logical})");
                }
            }
            Type::Array(items) => {
                text.push_str("array of ");
                self.show(items, text);
            }
            Type::Map(values) => {
                text.push_str("map of ");
                self.show(values, text);
            }
            Type::Union(branches) => {
                for (at, branch) in branches.iter().enumerate() {
                    text.push_str(if at == 0 { "" } else { " or " });
                    self.show(branch, text);
                }
            }
            Type::Named(named) => {
                let named = self.get(*named);
                let _ = write!(text, "{} '{}'", named.body.kind(), named.name);
                if let Some(logical) = &named.logical {
                    let _ = write!(text, " ({logical})");
                }
            }
        }
    }
}

/// A type.
#[derive(Debug, Clone)]
enum Type {
    /// With its logical type in words, such as `decimal(10, 2)`.
    Primitive(Primitive, Option<String>),
    Array(Box<Type>),
    Map(Box<Type>),
    Union(Vec<Type>),
    /// The place of a type in the schema's list: so a type may hold itself.
    Named(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Primitive {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
}

impl Primitive {
    const ALL: [Self; 8] = [
        Self::Null,
        Self::Boolean,
        Self::Int,
        Self::Long,
        Self::Float,
        Self::Double,
        Self::Bytes,
        Self::String,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "boolean",
            Self::Int => "int",
            Self::Long => "long",
            Self::Float => "float",
            Self::Double => "double",
            Self::Bytes => "bytes",
            Self::String => "string",
        }
    }
}

/// A type with a name.
#[derive(Debug, Clone)]
struct Named {
    /// With its namespace.
    name: String,
    aliases: Vec<String>,
    logical: Option<String>,
    body: Body,
}

impl Named {
    /// The name without its namespace.
    fn short_name(&self) -> &str {
        self.name.rsplit('.').next().unwrap_or(&self.name)
    }
}

#[derive(Debug, Clone)]
enum Body {
    Record(Vec<Field>),
    Enum {
        symbols: Vec<String>,
        default: Option<String>,
    },
    Fixed(u64),
}

impl Body {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Record(_) => "record",
            Self::Enum { .. } => "enum",
            Self::Fixed(_) => "fixed",
        }
    }
}

#[derive(Debug, Clone)]
struct Field {
    name: String,
    aliases: Vec<String>,
    of: Type,
    default: Option<Value>,
}

/// The path of what lies within a path.
fn within(path: &str, step: &str) -> String {
    if path.is_empty() {
        step.to_owned()
    } else {
        format!("{path}.{step}")
    }
}

/// The types of a union without null, and whether null was among them. Any other type is the only one of its union.
fn branches(of: &Type) -> (Vec<&Type>, bool) {
    let all: Vec<&Type> = match of {
        Type::Union(branches) => branches.iter().collect(),
        other => vec![other],
    };
    let count = all.len();
    let some: Vec<&Type> = all.into_iter().filter(|of| !is_null(of)).collect();
    let has_null = some.len() < count;
    (some, has_null)
}

const fn is_null(of: &Type) -> bool {
    matches!(of, Type::Primitive(Primitive::Null, _))
}
