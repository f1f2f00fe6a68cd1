//! Expressions over the limits of their arguments, planned from SQL and evaluated as the engine does, against integers
//! of 128 bits, a calendar, and themselves.
//!
//! Catches: a number that wraps, a date that is null or another because it was computed in nanoseconds, a panic, a row
//! at fault that its batch hides or that takes good rows with it, a fault that does not name its expression. Cannot
//! catch: a function of texts that gives another text than its definition says.

mod common;

mod exact {
    pub mod arithmetic;
    pub mod calendar;
    pub mod constants;
    pub mod every_function;
    pub mod kit;
    pub mod nested;
}
