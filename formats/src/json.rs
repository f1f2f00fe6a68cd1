//! JSON (`format = 'json'`): records that are objects, and rows written as objects.

mod connect;
mod field_names;
mod members;
mod parts;
mod rows;
mod token;

use tidemill_types::RawRecords;
use tidemill_types::format::{Decoder, Encoder, Envelope, Error, Format, SinkSpec, SourceSpec};

use crate::decoder;
use crate::encoding::{Conversion, Encoding, Found, Wanted};
use crate::envelopes::{CLOUDEVENTS, CRUD, DEBEZIUM, PLAIN, UPSERT};
use crate::metadata;
use crate::options::{CONNECT_SCHEMA, SINK_OPTIONS, SOURCE_OPTIONS};
use crate::reason;
use connect::Wrapper;
use members::Members;
use rows::JsonRows;
pub use rows::{prefixes, write_object};
pub use token::Token;

static READ: [&Envelope; 5] = [&PLAIN, &UPSERT, &CRUD, &DEBEZIUM, &CLOUDEVENTS];
static WRITTEN: [&Envelope; 3] = [&PLAIN, &UPSERT, &DEBEZIUM];

/// The format `json`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Json;

impl Format for Json {
    fn name(&self) -> &'static str {
        "json"
    }

    fn read_envelopes(&self) -> &'static [&'static Envelope] {
        &READ
    }

    fn written_envelopes(&self) -> &'static [&'static Envelope] {
        &WRITTEN
    }

    fn source_options(&self) -> &'static [&'static str] {
        &SOURCE_OPTIONS
    }

    fn sink_options(&self) -> &'static [&'static str] {
        &SINK_OPTIONS
    }

    fn decoder(&self, spec: &SourceSpec<'_>) -> Result<Box<dyn Decoder>, Error> {
        let wrapped = spec.options.get(CONNECT_SCHEMA).map(String::as_str);
        let decoder = decoder::Decoder::new(spec, self, |wanted, reading| {
            let is_wrapped = match wrapped {
                None => reading.is_of_connect(),
                Some("true") => true,
                Some("false") => false,
                Some(other) => {
                    return Err(Error::OptionValue {
                        option: CONNECT_SCHEMA.to_owned(),
                        value: other.to_owned(),
                        expected: "'true' or 'false'".to_owned(),
                    });
                }
            };
            Ok(JsonReader::new(wanted, is_wrapped))
        });
        Ok(Box::new(decoder?))
    }

    fn encoder(&self, spec: &SinkSpec<'_>) -> Result<Box<dyn Encoder>, Error> {
        metadata::beside(spec, JsonRows::new(spec)?)
    }
}

/// Finds values in JSON texts.
#[derive(Debug)]
pub struct JsonReader {
    members: Members,
    /// Present where records may carry their schema.
    wrapper: Option<Wrapper>,
}

impl JsonReader {
    /// A reader of what is wanted; of records that may carry their schema, if so.
    pub fn new(wanted: &Wanted, is_wrapped: bool) -> Self {
        Self {
            members: Members::new(wanted),
            wrapper: is_wrapped.then(Wrapper::default),
        }
    }

    /// The one value of a text that is a number or a string, and no object.
    pub fn bare<'a>(&mut self, bytes: &'a [u8]) -> Option<Token<'a>> {
        let text = std::str::from_utf8(bytes).ok()?;
        let text = match &mut self.wrapper {
            Some(wrapper) => wrapper.payload(text).unwrap_or(text),
            None => text,
        };
        if text.starts_with('{') {
            return None;
        }
        let value: &serde_json::value::RawValue = serde_json::from_str(text).ok()?;
        let text = value.get();
        (!text.starts_with(['{', '['])).then_some(Token(text))
    }
}

impl Encoding for JsonReader {
    const IS_NESTED: bool = true;

    type Value<'a> = Token<'a>;
    type Schema = ();

    fn schema(&mut self, _: &RawRecords) {}

    fn read<'a>(
        &mut self,
        (): &'a (),
        bytes: &'a [u8],
        found: &mut Found<Token<'a>>,
    ) -> Result<bool, String> {
        if bytes.is_empty() {
            return Err(reason::empty());
        }
        let text =
            std::str::from_utf8(bytes).map_err(|error| reason::not_utf8(error.valid_up_to()))?;
        let mut payload = text;
        // What follows a delete, and has no schema, is not taken for another schema.
        if payload.trim_ascii() == "null" {
            return Ok(false);
        }
        if let Some(wrapper) = &mut self.wrapper {
            if let Some(likely) = wrapper.likely_payload(text) {
                if self.members.read(likely, found).is_ok() {
                    return Ok(true);
                }
                found.clear();
            }
            payload = wrapper.payload(text).unwrap_or(text);
        }
        if payload.trim_ascii() == "null" {
            return Ok(false);
        }
        self.members
            .read(payload, found)
            .map_err(|error| reason::not_json(payload, &error))?;
        Ok(true)
    }

    fn has_new_schema(&mut self) -> bool {
        self.wrapper.as_mut().is_some_and(Wrapper::has_new_schema)
    }

    fn conversion(&self, path: &[String]) -> Option<Conversion> {
        self.wrapper.as_ref()?.conversion(path)
    }
}
