//! A record that could not be used, with all that a person needs to find and repair it, and a program to put it back.
//!
//! Promises: key, value and headers are the source's bytes, a null told from nothing; as JSON ([serde]) a letter has the members of the rows of
//! `tidemill_dead_letters`, so that what lies in the state directory and what a sink wrote read the same.

mod json;

use std::fmt;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};

pub use json::{headers_text, parse_headers};

/// A record or a row that could not be used: where it comes from, why it was refused, and what it was.
///
/// ```
/// use tidemill_types::DeadLetter;
/// let line = r#"{"plan":"9f86d081","stage":"decode","source":"orders","topic":"shop.orders","partition":1,"offset":7,"reason":"invalid JSON at byte 0",
///                "timestamp":null,"key":"NDI=","headers":null,"bytes":null,"truncated":false}"#;
/// let letter: DeadLetter = serde_json::from_str(line)?;
/// assert_eq!((letter.key.as_deref(), letter.bytes), (Some(&b"42"[..]), None));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Hash of the job's plan that refused it.
    pub plan: String,
    /// Who refused it.
    pub stage: Stage,
    /// Name of the source that read it; of a later stage the table, stream, view or sink.
    pub source: String,
    /// Topic (or folder) that the record was read from; of a row that has none, the stage's name.
    pub topic: String,
    /// Partition of the topic.
    pub partition: u32,
    /// Offset in the partition; −1 of a row that has no place any more.
    pub offset: i64,
    /// Why it was refused, in lower case, with the field at fault.
    pub reason: String,
    /// When the record was written, in milliseconds since 1970; none where that is not known.
    #[serde(rename = "timestamp")]
    pub timestamp_ms: Option<i64>,
    /// The record's key.
    #[serde(with = "json::bytes")]
    pub key: Option<Vec<u8>>,
    /// The record's headers, in order.
    #[serde(with = "json::headers")]
    pub headers: Vec<Header>,
    /// The record's value as read, none if it had none; of a row the row in words.
    #[serde(with = "json::bytes")]
    pub bytes: Option<Vec<u8>>,
    /// True if only the beginning is here.
    pub truncated: bool,
}

/// A header of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Option<Vec<u8>>,
}

/// Who refused a record or a row.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The decoder of a source: nothing of the record reached the job by that source.
    #[default]
    Decode,
    /// A table that cannot apply the event; other tables and streams of the source may have.
    Table,
    /// A resequencer that it came too late for; other tables and streams of the source may have it.
    Late,
    /// An expression that has no value over a row.
    Row,
    /// A sink that the record is too large for.
    Sink,
}

impl Stage {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Decode, Self::Table, Self::Late, Self::Row, Self::Sink];

    /// Its name, as it stands in the column `stage`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Table => "table",
            Self::Late => "late",
            Self::Row => "row",
            Self::Sink => "sink",
        }
    }

    /// The stage of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.name() == name)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl DeadLetter {
    /// The reason without what differs from record to record: what was found, and numbers outside of quotes and parentheses. Letters of one
    /// cause have one text, so that they can be counted together.
    ///
    /// ```
    /// use tidemill_types::DeadLetter;
    /// let cause = |reason: &str| DeadLetter { reason: reason.to_owned(), ..DeadLetter::default() }.cause();
    /// assert_eq!(cause("field 'amount': expected DECIMAL(18, 2), found \"12,50\""), "field 'amount': expected DECIMAL(18, 2)");
    /// assert_eq!(cause("invalid JSON at byte 17: expected value"), "invalid JSON at byte …: expected value");
    /// ```
    #[must_use]
    pub fn cause(&self) -> String {
        let reason = self.reason.split(", found ").next().unwrap_or_default();
        let mut cause = String::with_capacity(reason.len());
        let (mut quoted, mut depth, mut in_number, mut last) = (false, 0_u32, false, ' ');
        for c in reason.chars() {
            match c {
                '\'' => quoted = !quoted,
                '(' => depth += 1,
                ')' => depth = depth.saturating_sub(1),
                _ => {}
            }
            let begins = !last.is_alphanumeric() && last != '_';
            let outside = !quoted && depth == 0;
            let is_number = c.is_ascii_digit() && outside && (in_number || begins);
            if is_number && !in_number {
                cause.push('…');
            } else if !is_number {
                cause.push(c);
            }
            (in_number, last) = (is_number, c);
        }
        cause
    }
}

/// The columns of the dead letters and of the late ledger.
#[must_use]
pub fn ledger_schema() -> SchemaRef {
    let needed = |name, data_type| Field::new(name, data_type, false);
    let optional = |name, data_type| Field::new(name, data_type, true);
    Arc::new(Schema::new(vec![
        needed("plan", DataType::Utf8),
        needed("stage", DataType::Utf8),
        needed("source", DataType::Utf8),
        needed("topic", DataType::Utf8),
        needed("partition", DataType::UInt32),
        needed("offset", DataType::Int64),
        needed("reason", DataType::Utf8),
        optional("timestamp", DataType::Int64),
        optional("key", DataType::Binary),
        optional("headers", DataType::Utf8),
        optional("bytes", DataType::Binary),
        needed("truncated", DataType::Boolean),
    ]))
}
