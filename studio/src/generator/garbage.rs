//! Records that no decoder may accept, each wrong in one known way.

use super::draw::{Draw, Place};
use super::entities::World;
use super::event::Event;
use crate::Topic;

/// In which way a record is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Garbage {
    /// Not even UTF-8.
    RandomBytes,
    /// The end is missing.
    TruncatedJson,
    /// JSON, but no object.
    NotAnObject,
    /// A field of `data` has another type.
    WrongType,
    /// More fractional digits than money has.
    FractionOfACent,
    /// An entity that the topic does not carry.
    UnknownEntity,
    /// A type that no envelope has.
    UnknownType,
    /// No `id`.
    MissingId,
    /// No `uuid`.
    MissingUuid,
    /// A `uuid` that is none.
    BadUuid,
    /// An update without `data`.
    MissingData,
    /// The year 9999.
    FarFuture,
}

impl Garbage {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::RandomBytes,
        Self::TruncatedJson,
        Self::NotAnObject,
        Self::WrongType,
        Self::FractionOfACent,
        Self::UnknownEntity,
        Self::UnknownType,
        Self::MissingId,
        Self::MissingUuid,
        Self::BadUuid,
        Self::MissingData,
        Self::FarFuture,
    ];
}

/// 9999-12-31T00:00:00Z.
const FAR_FUTURE_MS: &str = "253402214400000";

impl World {
    /// Appends the garbage beside a slot: an update of the slot's entity, spoilt.
    pub fn write_garbage(&self, slot: u64, event: Event, arena: &mut Vec<u8>) -> Garbage {
        let mut draw = Draw::at(self.seed, Place::Garbage, slot);
        let garbage = draw.one_of(&Garbage::ALL);
        let topic = event.subject.topic;
        let mut text = Vec::new();
        self.write_update(
            event,
            u128::from(draw.bits()) << 64 | u128::from(draw.bits()),
            &mut text,
        );
        match garbage {
            Garbage::RandomBytes => {
                text.clear();
                text.push(0xff);
                let length = draw.between(1, 300);
                text.extend(
                    (0..length)
                        .map(|_| u8::try_from(draw.below(256)).expect("is below 256"))
                        .filter(|byte| !matches!(byte, b'\n' | b'\r')),
                );
            }
            Garbage::TruncatedJson => {
                text.truncate(text.len() / 4 + draw.index(text.len() * 3 / 4))
            }
            Garbage::NotAnObject => {
                text = draw
                    .one_of(&["[1,2,3]", "42", "null", "\"payment\"", "true"])
                    .into()
            }
            Garbage::WrongType => replace(
                &mut text,
                draw.one_of(wrong_fields(topic)),
                Some(draw.one_of(&["true", "[]", "{\"is\":\"wrong\"}"])),
            ),
            Garbage::FractionOfACent => replace(&mut text, money_field(topic), Some("\"12.345\"")),
            Garbage::UnknownEntity => replace(&mut text, "entity", Some("\"invoice\"")),
            Garbage::UnknownType => replace(&mut text, "type", Some("\"upsert\"")),
            Garbage::MissingId => replace(&mut text, "id", None),
            Garbage::MissingUuid => replace(&mut text, "uuid", None),
            Garbage::BadUuid => replace(&mut text, "uuid", Some("\"not-a-uuid\"")),
            Garbage::MissingData => {
                let at = position(&text, b",\"data\":").expect("an update has data");
                text.truncate(at);
                text.push(b'}');
            }
            Garbage::FarFuture if topic == Topic::CashFlow => {
                replace(&mut text, "booked_at", Some(FAR_FUTURE_MS))
            }
            Garbage::FarFuture => replace(&mut text, "ts", Some(FAR_FUTURE_MS)),
        }
        arena.extend_from_slice(&text);
        garbage
    }
}

/// Fields that every consumer of the topic looks at.
const fn wrong_fields(topic: Topic) -> &'static [&'static str] {
    match topic {
        Topic::Production => &["title", "release_date", "planned_budget"],
        Topic::Talent => &["production_id", "name", "role"],
        Topic::Schedule => &["production_id"],
        Topic::Budget => &["production_id", "amount"],
        Topic::Payment => &["production_id", "budget_id", "amount", "due_on", "status"],
        Topic::CashFlow => &["production_id", "direction", "amount", "booked_at"],
    }
}

/// The money that every consumer of the topic looks at; a schedule has none, and its production is no integer then.
const fn money_field(topic: Topic) -> &'static str {
    match topic {
        Topic::Production => "planned_budget",
        Topic::Talent | Topic::Schedule => "production_id",
        Topic::Budget | Topic::Payment | Topic::CashFlow => "amount",
    }
}

fn position(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

/// Puts other JSON in the place of a field's value, or takes the whole field away.
fn replace(text: &mut Vec<u8>, field: &str, value: Option<&str>) {
    let name = format!("\"{field}\":");
    let start = position(text, name.as_bytes()).expect("every event of the topic has the field");
    let value_start = start + name.len();
    let mut quoted = false;
    let mut escaped = false;
    let length = text[value_start..].iter().position(|byte| {
        let ends = !quoted && matches!(byte, b',' | b'}');
        quoted ^= *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    });
    let end = value_start + length.expect("every value is followed by something");
    match value {
        Some(value) => drop(text.splice(value_start..end, value.bytes())),
        None if text[end] == b',' => drop(text.drain(start..=end)),
        None => drop(text.drain(start - 1..end)),
    }
}
