//! Why a value is not of the wanted type.

use arrow_schema::DataType;
use tidemill_types::sql_type;

use crate::decimal::ParseError;
use crate::reason;

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A value of another type.
    WrongType,
    /// Right type, and beyond its range.
    OutOfRange,
    /// Right type, and not exactly representable.
    Inexact,
    /// A text that is not of the type.
    Malformed,
    /// Bytes that are not of the encoding, and why.
    Broken(String),
    /// Something is wrong with a value that lies in it.
    Within(Box<Inner>),
}

/// What is wrong with a value that lies in another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inner {
    /// The way to it: `.name` into a struct or a map, `[1]` into an array, whose first element is 1 as in SQL.
    pub path: String,
    /// What it should be, in SQL's words.
    pub expected: String,
    /// The start of what it is.
    pub found: String,
    /// What is wrong with it.
    pub fault: Fault,
}

impl Fault {
    /// The fault of a value as one of the value that it lies in, a step away.
    #[cold]
    pub fn within(self, step: &str, data_type: &DataType, found: &str) -> Self {
        Self::Within(match self {
            Self::Within(mut inner) => {
                inner.path.insert_str(0, step);
                inner
            }
            fault => Box::new(Inner {
                path: step.to_owned(),
                expected: sql_type::name(data_type),
                found: reason::excerpt(found),
                fault,
            }),
        })
    }
}

impl From<ParseError> for Fault {
    fn from(error: ParseError) -> Self {
        match error {
            ParseError::Malformed => Self::Malformed,
            ParseError::Inexact => Self::Inexact,
            ParseError::Overflow => Self::OutOfRange,
        }
    }
}
