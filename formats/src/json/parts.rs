//! What lies in a JSON value: the members of an object and the elements of an array, one by one, as they stand in the text.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::token::Token;
use crate::fault::Fault;

type Each<'e, V> = &'e mut dyn FnMut(V) -> Result<(), Fault>;

/// Hands over the members of a text that is an object.
///
/// # Errors
/// If it is none, a name is no text, or what `each` returns.
pub fn members<'a>(
    text: &'a str,
    each: &mut dyn FnMut(&str, Token<'a>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    if !text.starts_with('{') {
        return Err(Fault::WrongType);
    }
    let mut each = |(name, token): (Cow<'a, str>, Token<'a>)| each(&name, token);
    walk(&mut each, |walker| {
        serde_json::Deserializer::from_str(text).deserialize_map(walker)
    })
}

/// Hands over the elements of a text that is an array.
///
/// # Errors
/// If it is none, or what `each` returns.
pub fn items<'a>(
    text: &'a str,
    each: &mut dyn FnMut(Token<'a>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    if !text.starts_with('[') {
        return Err(Fault::WrongType);
    }
    walk(each, |walker| {
        serde_json::Deserializer::from_str(text).deserialize_seq(walker)
    })
}

/// Walks; what stops the walk and is no fault of a part is one of the text.
fn walk<V>(
    each: Each<'_, V>,
    text: impl FnOnce(Walker<'_, '_, V>) -> Result<(), serde_json::Error>,
) -> Result<(), Fault> {
    let mut fault = None;
    let walked = text(Walker {
        each,
        fault: &mut fault,
    });
    match (walked, fault) {
        (Ok(()), _) => Ok(()),
        (Err(_), Some(fault)) => Err(fault),
        // Only half of a surrogate pair in a name can fail here.
        (Err(_), None) => Err(Fault::Malformed),
    }
}

struct Walker<'w, 'e, V> {
    each: Each<'e, V>,
    fault: &'w mut Option<Fault>,
}

impl<V> Walker<'_, '_, V> {
    fn give<E: Error>(&mut self, part: V) -> Result<(), E> {
        (self.each)(part).map_err(|fault| {
            *self.fault = Some(fault);
            E::custom("a part does not fit")
        })
    }
}

impl<'a> Visitor<'a> for Walker<'_, '_, (Cow<'a, str>, Token<'a>)> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'a>>(mut self, mut members: M) -> Result<(), M::Error> {
        while let Some(name) = members.next_key_seed(Name)? {
            let value = members.next_value::<&RawValue>()?.get();
            self.give((name, Token(value)))?;
        }
        Ok(())
    }
}

impl<'a> Visitor<'a> for Walker<'_, '_, Token<'a>> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<S: SeqAccess<'a>>(mut self, mut items: S) -> Result<(), S::Error> {
        while let Some(item) = items.next_element::<&RawValue>()? {
            self.give(Token(item.get()))?;
        }
        Ok(())
    }
}

/// Reads a name; borrowed, unless it has escapes.
struct Name;

impl<'a> DeserializeSeed<'a> for Name {
    type Value = Cow<'a, str>;

    fn deserialize<D: Deserializer<'a>>(self, json: D) -> Result<Cow<'a, str>, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'a> Visitor<'a> for Name {
    type Value = Cow<'a, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, name: &'a str) -> Result<Cow<'a, str>, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Cow<'a, str>, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}
