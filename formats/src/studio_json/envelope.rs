//! The envelope: one pass over a record that keeps the text of what is used and skips the rest, and then the rules of the envelope itself.

use serde::Deserialize;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use tidemill_types::system_columns::{OP_CREATE, OP_DELETE, OP_UPDATE};

use super::fields::FieldNames;
use super::{reason, token};

/// The members of a record as JSON texts, none of them checked yet.
#[derive(Debug, Default)]
pub(super) struct Envelope<'a> {
    uuid: Option<&'a str>,
    kind: Option<&'a str>,
    ts: Option<&'a str>,
    entity: Option<&'a str>,
    id: Option<&'a str>,
    data: Data,
}

/// What the member `data` is. The texts of its members are in the slots.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Data {
    #[default]
    Absent,
    Object,
    Other(&'static str),
}

/// A checked envelope. All texts are JSON, strings in their quotes.
#[derive(Debug)]
pub(super) struct Event<'a> {
    pub(super) operation: Operation,
    pub(super) uuid: &'a str,
    pub(super) kind: &'a str,
    pub(super) ts_ms: i64,
    pub(super) entity: &'a str,
    pub(super) id: &'a str,
}

/// The types of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Create,
    Read,
    Update,
    Delete,
}

impl Operation {
    fn of(name: &str) -> Option<Self> {
        match name {
            "create" => Some(Self::Create),
            "read" => Some(Self::Read),
            "update" => Some(Self::Update),
            "delete" => Some(Self::Delete),
            _ => None,
        }
    }

    /// The code of a change in the system columns; a read is no change.
    pub(super) const fn change(self) -> Option<u8> {
        match self {
            Self::Create => Some(OP_CREATE),
            Self::Read => None,
            Self::Update => Some(OP_UPDATE),
            Self::Delete => Some(OP_DELETE),
        }
    }
}

/// The record as text.
pub(super) fn text(bytes: &[u8]) -> Result<&str, String> {
    if bytes.is_empty() {
        return Err(reason::empty());
    }
    std::str::from_utf8(bytes).map_err(|error| reason::not_utf8(error.valid_up_to()))
}

impl<'a> Envelope<'a> {
    /// Reads a record; `slots` then holds the texts of the members of `data` that `fields` names.
    pub(super) fn parse(
        text: &'a str,
        fields: &mut FieldNames,
        slots: &mut [Option<&'a str>],
    ) -> Result<Self, String> {
        slots.fill(None);
        let mut json = serde_json::Deserializer::from_str(text);
        let members = Members { fields, slots };
        serde::Deserializer::deserialize_map(&mut json, members)
            .and_then(|envelope| json.end().map(|()| envelope))
            .map_err(|error| reason::not_json(text, &error))
    }

    /// Applies the rules of the envelope: all members but `data` are there and have their types, and a change has a state.
    pub(super) fn check(&self, expected_entity: Option<&str>) -> Result<Event<'a>, String> {
        let kind = present("type", self.kind)?;
        let kind_text =
            token::text(kind).map_err(|_| reason::wrong_member("type", "a string", kind))?;
        let operation = Operation::of(&kind_text).ok_or_else(|| reason::unknown_type(kind))?;
        let entity = present("entity", self.entity)?;
        let entity_text =
            token::text(entity).map_err(|_| reason::wrong_member("entity", "a string", entity))?;
        if let Some(expected) = expected_entity.filter(|expected| **expected != *entity_text) {
            return Err(reason::wrong_entity(expected, &entity_text));
        }
        let uuid = present("uuid", self.uuid)?;
        if !uuid.starts_with('"') || uuid == "\"\"" {
            return Err(reason::wrong_member(
                "uuid",
                "a string that is not empty",
                uuid,
            ));
        }
        let id = present("id", self.id)?;
        token::integer(id).map_err(|_| reason::wrong_member("id", "an integer of 64 bits", id))?;
        let ts = present("ts", self.ts)?;
        let ts_ms = token::timestamp(ts).map_err(|_| {
            reason::wrong_member(
                "ts",
                "milliseconds since 1970 or an ISO 8601 string, of the years 1 to 9999",
                ts,
            )
        })?;
        match (self.data, operation) {
            (Data::Other(found), _) => return Err(reason::data_not_an_object(found)),
            (Data::Absent, Operation::Create | Operation::Update) => {
                return Err(reason::no_state(&kind_text));
            }
            _ => {}
        }
        Ok(Event {
            operation,
            uuid,
            kind,
            ts_ms,
            entity,
            id,
        })
    }
}

/// A member that must be there; null is not.
fn present<'a>(name: &str, token: Option<&'a str>) -> Result<&'a str, String> {
    token
        .filter(|token| *token != "null")
        .ok_or_else(|| reason::missing_member(name))
}

/// The members of the envelope by name.
#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Member {
    Uuid,
    Type,
    Ts,
    Entity,
    Id,
    Data,
    #[serde(other)]
    Other,
}

/// Reads the outer object.
struct Members<'s, 'a> {
    fields: &'s mut FieldNames,
    slots: &'s mut [Option<&'a str>],
}

impl<'a> Visitor<'a> for Members<'_, 'a> {
    type Value = Envelope<'a>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut members: M) -> Result<Envelope<'a>, M::Error> {
        let mut envelope = Envelope::default();
        while let Some(member) = members.next_key::<Member>()? {
            let token = match member {
                Member::Uuid => &mut envelope.uuid,
                Member::Type => &mut envelope.kind,
                Member::Ts => &mut envelope.ts,
                Member::Entity => &mut envelope.entity,
                Member::Id => &mut envelope.id,
                Member::Data => {
                    self.slots.fill(None);
                    envelope.data = members.next_value_seed(DataSeed {
                        fields: &mut *self.fields,
                        slots: &mut *self.slots,
                    })?;
                    continue;
                }
                Member::Other => {
                    members.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            *token = Some(members.next_value::<&RawValue>()?.get());
        }
        Ok(envelope)
    }
}

/// Reads the member `data`.
struct DataSeed<'s, 'a> {
    fields: &'s mut FieldNames,
    slots: &'s mut [Option<&'a str>],
}

impl<'a> DeserializeSeed<'a> for DataSeed<'_, 'a> {
    type Value = Data;

    fn deserialize<D: serde::Deserializer<'a>>(self, json: D) -> Result<Data, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for DataSeed<'_, 'a> {
    type Value = Data;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut members: M) -> Result<Data, M::Error> {
        self.fields.rewind();
        while let Some(slot) = members.next_key_seed(SlotSeed(&mut *self.fields))? {
            match slot {
                Some(slot) => self.slots[slot] = Some(members.next_value::<&RawValue>()?.get()),
                None => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Data::Object)
    }

    fn visit_seq<S: SeqAccess<'a>>(self, mut items: S) -> Result<Data, S::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Data::Other("an array"))
    }

    fn visit_unit<E>(self) -> Result<Data, E> {
        Ok(Data::Absent)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Data, E> {
        Ok(Data::Other("a boolean"))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Data, E> {
        Ok(Data::Other("a number"))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Data, E> {
        Ok(Data::Other("a number"))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Data, E> {
        Ok(Data::Other("a number"))
    }

    fn visit_str<E>(self, _: &str) -> Result<Data, E> {
        Ok(Data::Other("a string"))
    }
}

/// Reads a name within `data` and finds its slot.
struct SlotSeed<'s>(&'s mut FieldNames);

impl<'a> DeserializeSeed<'a> for SlotSeed<'_> {
    type Value = Option<usize>;

    fn deserialize<D: serde::Deserializer<'a>>(self, json: D) -> Result<Option<usize>, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for SlotSeed<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a name")
    }

    #[inline]
    fn visit_str<E>(self, name: &str) -> Result<Option<usize>, E> {
        Ok(self.0.slot(name))
    }
}
