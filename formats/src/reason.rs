//! The reasons of dead letters: in lower case, with the field at fault, what was expected, and a short excerpt of what was found.

use std::fmt::Display;

use serde_json::error::Category;

use crate::fault::Fault;

/// How much of a value a reason shows.
const EXCERPT_CHARS: usize = 60;

/// The start of a text, on one line.
pub fn excerpt(text: &str) -> String {
    let mut short: String = text
        .chars()
        .take(EXCERPT_CHARS)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if short.len() < text.len() {
        // The mark takes the place of the last character, so that the limit holds.
        short.pop();
        short.push('…');
    }
    short
}

/// A record without value where the envelope has no use for it.
pub fn no_value() -> String {
    "empty record: it has no value, and its envelope no such deletes (envelope = 'upsert' has)"
        .into()
}

/// A value of no bytes.
pub fn empty() -> String {
    "empty record: expected a JSON object".into()
}

/// A record without the key that its envelope needs.
pub fn no_key() -> String {
    "the record has no key, which the columns of the option 'key' are read from".into()
}

/// The same, of what is in a record's key.
pub fn of_key(reason: impl Display) -> String {
    format!("key: {reason}")
}

/// A value that the producer does not know.
pub fn unavailable(field: &str) -> String {
    format!(
        "field '{field}': the database left its value out, which the update did not change; set REPLICA IDENTITY FULL for the table, or do \
         not read the column"
    )
}

/// What deletes all rows at once.
pub fn truncated() -> String {
    "the table was truncated (op 't'): delete its rows by events, or load it again".into()
}

/// What has the cells that were written, and not the row.
pub fn cells() -> String {
    "an event of Debezium's connector for Cassandra: it has the cells that were written and not the row; read it with envelope = 'plain'"
        .into()
}

/// A header that must be there.
pub fn missing_header(name: &str) -> String {
    format!("the record has no header '{name}'")
}

/// A header with a value that it cannot have.
pub fn wrong_header(name: &str, expected: &str, found: &str) -> String {
    format!(
        "header '{name}': expected {expected}, found {}",
        excerpt(found)
    )
}

pub fn not_utf8(position: usize) -> String {
    format!("invalid UTF-8 at byte {position}")
}

/// The record is not one JSON object.
pub fn not_json(text: &str, error: &serde_json::Error) -> String {
    let message = error.to_string();
    // The library appends ` at line … column …`; a record is better searched by byte.
    let cause = message
        .rsplit_once(" at line ")
        .map_or(message.as_str(), |(cause, _)| cause);
    match error.classify() {
        Category::Data => format!("not a JSON object: found {}", excerpt(text.trim_start())),
        Category::Eof => format!("truncated JSON: it ends at byte {} ({cause})", text.len()),
        Category::Syntax | Category::Io => {
            format!("invalid JSON at byte {}: {cause}", byte_of(text, error))
        }
    }
}

/// Line and column, which count from 1, as a position that counts from 0.
fn byte_of(text: &str, error: &serde_json::Error) -> usize {
    let line: usize = text
        .split_inclusive('\n')
        .take(error.line().saturating_sub(1))
        .map(str::len)
        .sum();
    line + error.column().saturating_sub(1)
}

pub fn missing_member(name: &str) -> String {
    format!("the envelope has no '{name}'")
}

pub fn wrong_member(name: &str, expected: &str, found: &str) -> String {
    format!(
        "envelope member '{name}': expected {expected}, found {}",
        excerpt(found)
    )
}

/// A create or an update without its state.
pub fn no_state(kind: &str, data: &str) -> String {
    format!("{kind} without '{data}': no state in the event and no lookup is configured")
}

/// A field's value is not of the column's type.
pub fn wrong_value(field: &str, sql_type: &str, found: &str, fault: &Fault) -> String {
    let why = match fault {
        Fault::WrongType => "",
        Fault::OutOfRange => " (out of range)",
        Fault::Inexact => " (more fractional digits than the scale)",
        Fault::Malformed => " (not in its text form)",
        Fault::Broken(why) => return format!("field '{field}': {why}"),
        Fault::Within(inner) => {
            let field = format!("{field}{}", inner.path);
            return wrong_value(&field, &inner.expected, &inner.found, &inner.fault);
        }
    };
    format!(
        "field '{field}': expected {sql_type}, found {}{why}",
        excerpt(found)
    )
}

/// A field that may not be null has no value.
pub fn missing_value(field: &str, sql_type: &str, is_null: bool) -> String {
    format!(
        "field '{field}': expected {sql_type} NOT NULL, found {}",
        if is_null { "null" } else { "nothing" }
    )
}

pub fn too_far_ahead(field: &str, time_ms: i64, now_ms: i64, max_future_ms: i64) -> String {
    let ahead_ms = time_ms.saturating_sub(now_ms);
    format!(
        "field '{field}': {time_ms} is {ahead_ms} ms ahead of its record's time, at most {max_future_ms} ms are allowed (watermark.max-future)"
    )
}
