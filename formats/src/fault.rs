//! Why a value is not of the wanted type.

use crate::decimal::ParseError;

/// What is wrong with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A value of another type.
    WrongType,
    /// Right type, and beyond its range.
    OutOfRange,
    /// Right type, and not exactly representable.
    Inexact,
    /// A text that is not of the type.
    Malformed,
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
