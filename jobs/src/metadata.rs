//! The columns of a sink that stand beside the values of its records: as headers, and as their time.
//!
//! Promises: what is named exists, has a type that fits, and leaves the value and the key their columns. Does not know which texts a header may
//! have: the format does.

use std::collections::BTreeSet;

use arrow_schema::{Field, Schema};

use crate::catalog::TIMESTAMP;
use crate::error::{Error, Location};
use crate::with::With;

/// The option with the columns that are headers.
pub const HEADERS: &str = "headers";
/// The option with the column that is the time of the records.
pub const TIME: &str = "timestamp";
/// Headers that begin like this are Tidemill's own.
const TAKEN: &str = "tidemill-";

/// What the options of a sink name.
#[derive(Debug, Clone)]
pub struct Metadata {
    /// The headers.
    pub headers: Vec<String>,
    /// The time.
    pub timestamp: Option<String>,
    headers_at: Location,
    timestamp_at: Location,
}

impl Metadata {
    /// Of a sink.
    pub fn of(with: &With<'_>) -> Result<Self, Error> {
        let metadata = Self {
            headers: with.list(HEADERS),
            timestamp: with.get(TIME).map(str::to_owned),
            headers_at: with.place(HEADERS),
            timestamp_at: with.place(TIME),
        };
        let mut seen = BTreeSet::new();
        for header in &metadata.headers {
            let wrong = if !seen.insert(header) {
                format!("'{header}' stands among the headers twice")
            } else if header.to_lowercase().starts_with(TAKEN) {
                format!(
                    "headers that begin with '{TAKEN}' are taken; give '{header}' another name by AS"
                )
            } else {
                continue;
            };
            return Err(Error::contradiction(metadata.headers_at, wrong));
        }
        Ok(metadata)
    }

    /// Compares them with the columns that the sink's query has, and with its key.
    pub fn check(&self, schema: &Schema, key: &[String]) -> Result<(), Error> {
        for header in &self.headers {
            self.beside("header", self.headers_at, header, schema, key)?;
        }
        if let Some(name) = &self.timestamp {
            let at = self.timestamp_at;
            let column = self.beside("timestamp column", at, name, schema, key)?;
            if *column.data_type() != TIMESTAMP {
                let message = format!("'{name}' is the time of records and no TIMESTAMP; CAST it");
                return Err(Error::contradiction(at, message));
            }
        }
        let is_beside =
            |name: &String| self.headers.contains(name) || self.timestamp.as_ref() == Some(name);
        if schema.fields().iter().all(|field| is_beside(field.name())) {
            let at = if self.headers.is_empty() {
                self.timestamp_at
            } else {
                self.headers_at
            };
            let message = "no column is left for the value; leave one out, or SELECT one twice, under another name";
            return Err(Error::contradiction(at, message));
        }
        Ok(())
    }

    /// A column that is no member of the value.
    fn beside<'a>(
        &self,
        what: &'static str,
        at: Location,
        name: &str,
        schema: &'a Schema,
        key: &[String],
    ) -> Result<&'a Field, Error> {
        let Ok(column) = schema.field_with_name(name) else {
            let known = schema.fields().iter().map(|field| field.name().as_str());
            return Err(Error::unknown(at, what, name, known));
        };
        if key.iter().any(|key| key == name) {
            let message = format!(
                "'{name}' is of the key, which is in the value as well; SELECT it twice, and name the second one here"
            );
            return Err(Error::contradiction(at, message));
        }
        Ok(column)
    }
}
