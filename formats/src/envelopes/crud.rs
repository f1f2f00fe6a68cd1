//! `crud`: an event says what it does to which entity, and carries the whole new state or, for a delete, none.
//!
//! ```json
//! {"uuid": "…", "type": "update", "ts": 1767225600123, "entity": "payment", "id": 42, "data": {"amount": "12.50"}}
//! ```

use tidemill_types::format::{Contents, Deletes, Envelope, Error, MetadataField, Options, Path};
use tidemill_types::system_columns::{OP_CREATE, OP_DELETE, OP_UPDATE};

use super::{Event, Place, State, instant, present};
use crate::encoding::{Found, Object, Value, Wanted};
use crate::reason;

/// An event of a create, a read, an update or a delete.
pub static CRUD: Envelope = Envelope {
    name: "crud",
    metadata: &[
        MetadataField::always("uuid", MetadataField::UUID),
        MetadataField::always("type", MetadataField::TEXT),
        MetadataField::always("ts", MetadataField::INSTANT),
        MetadataField::always("entity", MetadataField::TEXT),
        MetadataField::always("id", MetadataField::IDENTIFIER),
    ],
    options: &[
        ENTITY,
        "member.uuid",
        "member.type",
        "member.ts",
        "member.entity",
        "member.id",
        "member.data",
    ],
    deletes: Deletes::With(&[ID]),
    contents: Contents::Rows,
    needs_key: false,
};

/// The option that says which entity every event must be of.
const ENTITY: &str = "entity";
/// The member of the state that falls back to the envelope's member.
const ID: &str = "id";

/// Where the members of the envelope are.
#[derive(Debug)]
pub struct Reading {
    uuid: Member,
    kind: Member,
    ts: Member,
    entity: Member,
    id: Member,
    /// The name of the member with the state.
    data: String,
    /// The slot of what that member is.
    state: usize,
    expected_entity: Option<String>,
}

/// A member of the envelope: its slot, and the name that a producer knows it by.
#[derive(Debug)]
struct Member {
    slot: usize,
    name: String,
}

impl Reading {
    /// Of events whose members have the names that the options say.
    pub fn new(options: &Options, wanted: &mut Wanted) -> Result<Self, Error> {
        let name = |member: &str| {
            let option = format!("member.{member}");
            match options.get(&option) {
                Some(name) if name.is_empty() => Err(Error::OptionValue {
                    option,
                    value: String::new(),
                    expected: "the name of a member".to_owned(),
                }),
                Some(name) => Ok(name.clone()),
                None => Ok(member.to_owned()),
            }
        };
        let mut member = |of: &str| {
            let name = name(of)?;
            Ok::<_, Error>(Member {
                slot: wanted.value(std::slice::from_ref(&name)),
                name,
            })
        };
        let (uuid, kind, ts) = (member("uuid")?, member("type")?, member("ts")?);
        let (entity, id) = (member("entity")?, member(ID)?);
        let data = name("data")?;
        let state = wanted.object(std::slice::from_ref(&data));
        Ok(Self {
            uuid,
            kind,
            ts,
            entity,
            id,
            data,
            state,
            expected_entity: options.get(ENTITY).cloned(),
        })
    }

    /// A member of the state.
    pub fn data(&self, path: &Path, wanted: &mut Wanted) -> Place {
        let slot = wanted.value(path.within(&[&self.data]).names());
        if path.is_member(ID) {
            Place::StateOr(slot, self.id.slot)
        } else {
            Place::State([slot, slot])
        }
    }

    /// A member of the envelope.
    pub fn metadata(&self, name: &str) -> Option<Place> {
        Some(match name {
            "uuid" => Place::Member(self.uuid.slot),
            "type" => Place::Member(self.kind.slot),
            "ts" => Place::EventTime,
            "entity" => Place::Member(self.entity.slot),
            ID => Place::Member(self.id.slot),
            _ => return None,
        })
    }

    /// Applies the rules: all members but the state are there and have their types, and a change has a state.
    pub fn event<'a, V: Value<'a>>(&self, found: &Found<V>) -> Result<Event, String> {
        let of = |member: &Member| present(found, member.slot, &member.name);
        let wrong = |member: &Member, expected: &str, value: V| {
            reason::wrong_member(&member.name, expected, &value.shown())
        };
        let kind = of(&self.kind)?;
        let text = kind
            .text()
            .map_err(|_| wrong(&self.kind, "a string", kind))?;
        let op = match &*text {
            "create" => Some(OP_CREATE),
            "read" => None,
            "update" => Some(OP_UPDATE),
            "delete" => Some(OP_DELETE),
            _ => return Err(wrong(&self.kind, "create, read, update or delete", kind)),
        };
        let entity = of(&self.entity)?;
        let named = entity
            .text()
            .map_err(|_| wrong(&self.entity, "a string", entity))?;
        if let Some(expected) = &self.expected_entity
            && **expected != *named
        {
            return Err(reason::wrong_member(&self.entity.name, expected, &named));
        }
        let uuid = of(&self.uuid)?;
        if !uuid.is_named() {
            return Err(wrong(&self.uuid, "a string that is not empty", uuid));
        }
        let id = of(&self.id)?;
        if !id.is_scalar() {
            return Err(wrong(&self.id, "a number or a string", id));
        }
        let ts_ms = instant(of(&self.ts)?, &self.ts.name)?;
        match found.objects[self.state] {
            Object::Other(found) => {
                let name = &self.data;
                Err(reason::wrong_member(name, "an object", found))
            }
            Object::Absent if matches!(op, Some(OP_CREATE | OP_UPDATE)) => {
                Err(reason::no_state(&text, &self.data))
            }
            _ => Ok(op.map_or(Event::Ignored, |op| Event::Change {
                op,
                state: State::First,
                ts_ms: Some(ts_ms),
            })),
        }
    }
}
