//! From the body of a request to its events, each with its key: all of them, or which one is wrong and why.
//!
//! *Promises* that an event is a JSON object and is taken byte for byte, without the white space around it; that reading builds no tree. *Does
//! not* judge what deeper members have beyond JSON's grammar: two of one name, or depth.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::settings::Key;

/// How the events of a request come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One object, or an array of objects.
    Json,
    /// An object a line.
    Lines,
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event<'a> {
    /// Its record's key.
    pub key: Option<Cow<'a, [u8]>>,
    /// The event as it came.
    pub text: &'a str,
}

/// Why the events of a request cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// Which event, counted from 1; nothing if it is not about one.
    pub event: Option<usize>,
    /// Why.
    pub reason: String,
    /// True if it is too much of what could be right.
    pub is_too_large: bool,
}

/// What is taken, and how.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// How they come.
    pub shape: Shape,
    /// Where keys are.
    pub key: &'a Key,
    /// The key of all of them, where the request has it.
    pub key_of_all: Option<&'a [u8]>,
    /// Most events.
    pub events_max: usize,
    /// Largest event and key together.
    pub event_bytes_max: usize,
}

/// The events of a body.
pub fn read<'a>(body: &'a [u8], rules: &Rules<'a>) -> Result<Vec<Event<'a>>, Wrong> {
    let text = std::str::from_utf8(body).map_err(|error| {
        let line = memchr::memchr_iter(b'\n', &body[..error.valid_up_to()]).count() + 1;
        wrong(None, format!("line {line} of the body is no UTF-8"))
    })?;
    let texts = match rules.shape {
        Shape::Json => of_json(text, rules.events_max)?,
        Shape::Lines => of_lines(text, rules.events_max)?,
    };
    let events = texts.into_iter().enumerate();
    events
        .map(|(index, text)| rules.event(index + 1, text))
        .collect()
}

fn of_json(text: &str, events_max: usize) -> Result<Vec<&str>, Wrong> {
    let text = text.trim_matches(is_space);
    if !text.starts_with('[') {
        return if text.is_empty() {
            let reason = "the body is empty; send a JSON object, or an array of them";
            Err(wrong(None, reason.to_owned()))
        } else {
            Ok(vec![text])
        };
    }
    let mut found = Vec::new();
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let read = deserializer.deserialize_seq(Items {
        found: &mut found,
        max: events_max,
    });
    match read.and_then(|()| deserializer.end()) {
        Ok(()) => Ok(found),
        Err(_) if found.len() > events_max => Err(too_many(events_max)),
        Err(error) => Err(wrong(Some(found.len() + 1), no_json(&error))),
    }
}

fn of_lines(text: &str, events_max: usize) -> Result<Vec<&str>, Wrong> {
    let lines = text.split('\n').map(|line| line.trim_matches(is_space));
    let lines: Vec<&str> = lines
        .filter(|line| !line.is_empty())
        .take(events_max + 1)
        .collect();
    if lines.len() > events_max {
        return Err(too_many(events_max));
    }
    Ok(lines)
}

const fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

impl<'a> Rules<'a> {
    fn event(&self, number: usize, text: &'a str) -> Result<Event<'a>, Wrong> {
        let wrong_here = |reason| wrong(Some(number), reason);
        if !text.starts_with('{') {
            return Err(wrong_here("it is no JSON object".to_owned()));
        }
        let key = match self.key {
            Key::Member(path) => {
                let found = member(text, path).map_err(wrong_here)?;
                Some(found)
            }
            Key::None | Key::Header(_) => {
                let checked = serde_json::from_str::<IgnoredAny>(text);
                checked.map_err(|error| wrong_here(no_json(&error)))?;
                self.key_of_all.map(Cow::Borrowed)
            }
        };
        let bytes = text.len() + key.as_ref().map_or(0, |key| key.len());
        if bytes > self.event_bytes_max {
            return Err(Wrong {
                event: Some(number),
                reason: format!(
                    "it has {bytes} bytes with its key, and {} are taken",
                    self.event_bytes_max
                ),
                is_too_large: true,
            });
        }
        Ok(Event { key, text })
    }
}

fn wrong(event: Option<usize>, reason: String) -> Wrong {
    Wrong {
        event,
        reason,
        is_too_large: false,
    }
}

fn too_many(events_max: usize) -> Wrong {
    Wrong {
        event: None,
        reason: format!("the request has more than {events_max} events; send several smaller ones"),
        is_too_large: true,
    }
}

fn no_json(error: &serde_json::Error) -> String {
    format!("it is no JSON: {error}")
}

/// The member at the end of a path, as the bytes of a key: a text without its quotes, a number as it is written. The whole event is checked.
fn member<'a>(event: &'a str, path: &[String]) -> Result<Cow<'a, [u8]>, String> {
    let mut text = event;
    for (depth, name) in path.iter().enumerate() {
        let name_of = || path[..=depth].join(".");
        if !text.starts_with('{') {
            let parent = path[..depth].join(".");
            return Err(format!(
                "its member '{parent}' is no object, and the key is in it at '{}'",
                path.join(".")
            ));
        }
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let found = Seek(name).deserialize(&mut deserializer);
        let found = found.and_then(|found| deserializer.end().map(|()| found));
        let found = found.map_err(|error| no_json(&error))?;
        let found = found.ok_or_else(|| format!("it lacks the member '{}', its key", name_of()))?;
        text = found.get();
    }
    match text.as_bytes().first() {
        Some(b'"') => {
            let key = serde_json::from_str::<Text<'a>>(text).map_err(|error| no_json(&error))?;
            Ok(match key.0 {
                Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                Cow::Owned(text) => Cow::Owned(text.into_bytes()),
            })
        }
        Some(b'-' | b'0'..=b'9') => Ok(Cow::Borrowed(text.as_bytes())),
        _ => Err(format!(
            "its member '{}', its key, is no text and no number",
            path.join(".")
        )),
    }
}

/// A text that is borrowed where it has no escapes.
#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The elements of an array, each as it is written.
struct Items<'f, 'de> {
    found: &'f mut Vec<&'de str>,
    max: usize,
}

impl<'de> Visitor<'de> for Items<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while let Some(element) = elements.next_element::<&'de RawValue>()? {
            self.found.push(element.get());
            if self.found.len() > self.max {
                return Err(A::Error::custom("too many"));
            }
        }
        Ok(())
    }
}

/// Looks for a member of an object, which may have it once.
struct Seek<'n>(&'n str);

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Seek<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(is_it) = members.next_key_seed(Name(self.0))? {
            if !is_it {
                members.next_value::<IgnoredAny>()?;
            } else if found.replace(members.next_value()?).is_some() {
                let twice = format!("the member '{}' is there twice", self.0);
                return Err(A::Error::custom(twice));
            }
        }
        Ok(found)
    }
}

/// True if a member has this name.
struct Name<'n>(&'n str);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}

#[cfg(test)]
mod tests;
