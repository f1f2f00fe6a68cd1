//! One pass over a JSON text that keeps the texts of the wanted members and skips the rest.

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::field_names::FieldNames;
use super::token::Token;
use crate::encoding::{Found, Object, Wanted};

/// What is wanted of an object: its members by name.
#[derive(Debug, Default)]
pub struct Members {
    names: FieldNames,
    /// By the names' places.
    members: Vec<Member>,
    /// The slot that says what it is.
    slot: Option<usize>,
    /// The slots of all values in it, for an object that comes twice.
    values: Vec<usize>,
}

/// What is wanted of a member: its value, or what lies in it, or both.
#[derive(Debug, Default)]
struct Member {
    value: Option<usize>,
    within: Option<Members>,
}

impl Members {
    /// Everything that is wanted.
    pub fn new(wanted: &Wanted) -> Self {
        let mut root = Self::default();
        for (slot, path) in wanted.values().iter().enumerate() {
            if let Some((last, outer)) = path.split_last() {
                let object = root.within(outer, Some(slot));
                object.values.push(slot);
                object.member(last).value = Some(slot);
            }
        }
        for (slot, path) in wanted.objects().iter().enumerate() {
            root.within(path, None).slot = Some(slot);
        }
        root
    }

    /// The object at a path; `value` is the slot of a value in it.
    fn within(&mut self, path: &[String], value: Option<usize>) -> &mut Self {
        let mut object = self;
        for name in path {
            object.values.extend(value);
            object = object.member(name).within.get_or_insert_default();
        }
        object
    }

    fn member(&mut self, name: &str) -> &mut Member {
        let place = self.names.add(name);
        if place == self.members.len() {
            self.members.push(Member::default());
        }
        &mut self.members[place]
    }

    /// Finds what is wanted in a text that is one object; `Err` for any other text.
    pub fn read<'a>(
        &mut self,
        text: &'a str,
        found: &mut Found<Token<'a>>,
    ) -> Result<(), serde_json::Error> {
        let mut json = serde_json::Deserializer::from_str(text);
        let outermost = Outermost(Within {
            object: self,
            found,
        });
        serde::Deserializer::deserialize_map(&mut json, outermost)?;
        json.end()
    }
}

/// Reads an object.
struct Within<'s, 'a> {
    object: &'s mut Members,
    found: &'s mut Found<Token<'a>>,
}

/// Reads an object, and refuses anything else.
struct Outermost<'s, 'a>(Within<'s, 'a>);

impl<'a> Visitor<'a> for Outermost<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<M: MapAccess<'a>>(self, members: M) -> Result<(), M::Error> {
        self.0.visit_map(members).map(drop)
    }
}

impl<'a> DeserializeSeed<'a> for Within<'_, 'a> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'a>>(self, json: D) -> Result<(), D::Error> {
        let Self { object, found } = self;
        let slot = object.slot;
        // Of two members with one name the last one counts.
        object
            .values
            .iter()
            .for_each(|&slot| found.values[slot] = None);
        let is = json.deserialize_any(Within {
            object,
            found: &mut *found,
        })?;
        if let Some(slot) = slot {
            found.objects[slot] = is;
        }
        Ok(())
    }
}

impl<'a> Visitor<'a> for Within<'_, 'a> {
    type Value = Object;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut members: M) -> Result<Object, M::Error> {
        let Self { object, found } = self;
        object.names.rewind();
        while let Some(place) = members.next_key_seed(Name(&mut object.names))? {
            let Some(place) = place else {
                members.next_value::<IgnoredAny>()?;
                continue;
            };
            let member = &mut object.members[place];
            match (member.value, &mut member.within) {
                (Some(slot), None) => {
                    let text = members.next_value::<&RawValue>()?.get();
                    found.values[slot] = Some(Token(text));
                }
                (None, Some(object)) => {
                    members.next_value_seed(Within {
                        object,
                        found: &mut *found,
                    })?;
                }
                (Some(slot), Some(object)) => {
                    let text = members.next_value::<&RawValue>()?.get();
                    found.values[slot] = Some(Token(text));
                    let within = Within {
                        object,
                        found: &mut *found,
                    };
                    let mut json = serde_json::Deserializer::from_str(text);
                    within
                        .deserialize(&mut json)
                        .map_err(serde::de::Error::custom)?;
                }
                (None, None) => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Object::Is)
    }

    fn visit_seq<S: SeqAccess<'a>>(self, mut items: S) -> Result<Object, S::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Object::Other("an array"))
    }

    fn visit_unit<E>(self) -> Result<Object, E> {
        Ok(Object::Absent)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Object, E> {
        Ok(Object::Other("a boolean"))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Object, E> {
        Ok(Object::Other("a number"))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Object, E> {
        Ok(Object::Other("a number"))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Object, E> {
        Ok(Object::Other("a number"))
    }

    fn visit_str<E>(self, _: &str) -> Result<Object, E> {
        Ok(Object::Other("a string"))
    }
}

/// Reads a name and finds its place.
struct Name<'s>(&'s mut FieldNames);

impl<'a> DeserializeSeed<'a> for Name<'_> {
    type Value = Option<usize>;

    fn deserialize<D: serde::Deserializer<'a>>(self, json: D) -> Result<Option<usize>, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a name")
    }

    #[inline]
    fn visit_str<E>(self, name: &str) -> Result<Option<usize>, E> {
        Ok(self.0.slot(name))
    }
}
