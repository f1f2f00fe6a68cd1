//! Writes the envelope of an event, field by field, into an arena.

use std::io::Write;

use crate::Topic;
use crate::calendar::iso_date;

/// An open JSON object at the end of an arena. The texts that are written hold nothing that needs escaping.
pub struct Json<'a>(&'a mut Vec<u8>);

impl<'a> Json<'a> {
    /// Opens the envelope: all fields but `data`.
    pub fn envelope(
        arena: &'a mut Vec<u8>,
        uuid: u128,
        kind: &str,
        ts: i64,
        topic: Topic,
        id: u64,
    ) -> Self {
        arena.extend_from_slice(b"{\"uuid\":\"");
        uuid_text(arena, uuid);
        arena.extend_from_slice(b"\",\"type\":\"");
        arena.extend_from_slice(kind.as_bytes());
        arena.extend_from_slice(b"\",\"ts\":");
        integer(arena, ts);
        arena.extend_from_slice(b",\"entity\":\"");
        arena.extend_from_slice(topic.entity().as_bytes());
        arena.extend_from_slice(b"\",\"id\":");
        integer(arena, id.cast_signed());
        Self(arena)
    }

    /// Opens the field `data`.
    pub fn open_data(self, production_id: u64) -> Self {
        self.0.extend_from_slice(b",\"data\":{\"production_id\":");
        integer(self.0, production_id.cast_signed());
        self
    }

    /// Opens the field `data` with a first field of JSON text.
    pub fn open_data_raw(self, name: &str, json: &str) -> Self {
        self.0.extend_from_slice(b",\"data\":{\"");
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
        self.0.extend_from_slice(json.as_bytes());
        self
    }

    fn name(&mut self, name: &str) {
        self.0.extend_from_slice(b",\"");
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    /// JSON text as it stands.
    pub fn raw(mut self, name: &str, json: &str) -> Self {
        self.name(name);
        self.0.extend_from_slice(json.as_bytes());
        self
    }

    /// A string.
    pub fn text(mut self, name: &str, text: &str) -> Self {
        self.name(name);
        self.0.push(b'"');
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(b'"');
        self
    }

    /// An integer or null.
    pub fn number(mut self, name: &str, number: Option<i64>) -> Self {
        self.name(name);
        match number {
            Some(number) => integer(self.0, number),
            None => self.0.extend_from_slice(b"null"),
        }
        self
    }

    /// A day or null.
    pub fn date(mut self, name: &str, day: Option<i32>) -> Self {
        self.name(name);
        match day {
            Some(day) => {
                self.0.push(b'"');
                self.0.extend_from_slice(&iso_date(day));
                self.0.push(b'"');
            }
            None => self.0.extend_from_slice(b"null"),
        }
        self
    }

    /// Cents as a decimal string, as a JSON number instead, or null.
    pub fn money(mut self, name: &str, cents: Option<i64>, as_number: bool) -> Self {
        self.name(name);
        let Some(cents) = cents else {
            self.0.extend_from_slice(b"null");
            return self;
        };
        let quote: &[u8] = if as_number { b"" } else { b"\"" };
        self.0.extend_from_slice(quote);
        integer(self.0, cents / 100);
        let rest = cents.unsigned_abs() % 100;
        self.0
            .extend_from_slice(&[b'.', digit(rest / 10), digit(rest % 10)]);
        self.0.extend_from_slice(quote);
        self
    }

    /// Closes `data` and the envelope.
    pub fn close_data(self) {
        self.0.extend_from_slice(b"}}");
    }

    /// Closes an envelope without `data`.
    pub fn close(self) {
        self.0.push(b'}');
    }
}

fn digit(value: u64) -> u8 {
    b'0' + u8::try_from(value).expect("a digit is below 10")
}

fn integer(arena: &mut Vec<u8>, value: i64) {
    write!(arena, "{value}").expect("a vector takes every byte");
}

fn uuid_text(arena: &mut Vec<u8>, uuid: u128) {
    let mut text = uuid::Uuid::encode_buffer();
    arena.extend_from_slice(
        uuid::Builder::from_random_bytes(uuid.to_be_bytes())
            .into_uuid()
            .hyphenated()
            .encode_lower(&mut text)
            .as_bytes(),
    );
}
