//! The contract of the envelope, as a reader of the documentation would check it.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::entities::{Entity, Texts};
use crate::calendar::{parse_date, parse_time};
use crate::money::Money;

/// Why a record is a dead letter, in our own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// Not UTF-8, not JSON, or not an object.
    NotAnObject,
    /// `uuid`, `type`, `ts`, `entity` or `id` is missing.
    MissingField,
    /// A value has another type than its field, or cannot be represented exactly.
    WrongType,
    /// The entity of another topic, or of none.
    WrongEntity,
    /// A type that is none of the four.
    UnknownType,
    /// A create or an update without the object `data`, or something else in its place.
    MissingData,
    /// Its time is more than five minutes ahead of now.
    FarFuture,
}

impl Reason {
    /// As it stands in reports.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::NotAnObject => "not a JSON object",
            Self::MissingField => "field missing",
            Self::WrongType => "wrong type",
            Self::WrongEntity => "wrong entity",
            Self::UnknownType => "unknown type",
            Self::MissingData => "data missing",
            Self::FarFuture => "far in the future",
        }
    }
}

/// How far ahead of now an event may be.
const MAX_FUTURE_MS: i64 = 5 * 60 * 1000;
/// Largest DECIMAL(18, 2), in cents.
const CENTS_MAX: i128 = 999_999_999_999_999_999;

/// A raw value of the JSON; `None` is missing or null.
pub type Raw<'a> = Option<&'a RawValue>;

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    uuid: Raw<'a>,
    #[serde(borrow, default, rename = "type")]
    kind: Raw<'a>,
    #[serde(borrow, default)]
    ts: Raw<'a>,
    #[serde(borrow, default)]
    entity: Raw<'a>,
    #[serde(borrow, default)]
    id: Raw<'a>,
    #[serde(borrow, default)]
    data: Raw<'a>,
}

/// A valid event.
#[derive(Debug)]
pub enum Decoded<T> {
    /// Changes nothing.
    Read,
    /// A version of an entity.
    Change(Change<T>),
}

/// A version of an entity.
#[derive(Debug)]
pub struct Change<T> {
    /// Of the event.
    pub uuid: u128,
    /// Its version.
    pub ts: i64,
    /// The entity's number.
    pub id: i64,
    /// The entity's state; `None` if it is gone.
    pub state: Option<T>,
}

/// Decodes a record of the entity's topic.
pub fn decode<T: Entity>(
    bytes: &[u8],
    now_ms: i64,
    texts: &mut Texts,
) -> Result<Decoded<T>, Reason> {
    let text = std::str::from_utf8(bytes).map_err(|_| Reason::NotAnObject)?;
    // A struct may also be read from a JSON array, which an envelope is not.
    if !text.trim_ascii_start().starts_with('{') {
        return Err(Reason::NotAnObject);
    }
    let envelope: Envelope<'_> = serde_json::from_str(text).map_err(|_| Reason::NotAnObject)?;
    let uuid = required(string(envelope.uuid)?)?;
    let uuid = uuid::Uuid::try_parse(&uuid)
        .map_err(|_| Reason::WrongType)?
        .as_u128();
    let kind = required(string(envelope.kind)?)?;
    let ts = required(time(envelope.ts)?)?;
    let entity = required(string(envelope.entity)?)?;
    let id = required(integer(envelope.id)?)?;
    if entity != T::TOPIC.entity() {
        return Err(Reason::WrongEntity);
    }
    let data = match envelope.data {
        Some(data) if !data.get().starts_with('{') => return Err(Reason::MissingData),
        data => data,
    };
    let state = match (&*kind, data) {
        ("create" | "update", Some(data)) => Some(T::from_data(data.get(), texts)?),
        ("create" | "update", None) => return Err(Reason::MissingData),
        ("delete" | "read", _) => None,
        _ => return Err(Reason::UnknownType),
    };
    // A time may be any i64: saturate, it is far ahead either way.
    if state
        .as_ref()
        .map_or_else(|| T::time_of_delete(ts), |state| state.time(ts))
        .is_some_and(|time| time.saturating_sub(MAX_FUTURE_MS) > now_ms)
    {
        return Err(Reason::FarFuture);
    }
    Ok(if &*kind == "read" {
        Decoded::Read
    } else {
        Decoded::Change(Change {
            uuid,
            ts,
            id,
            state,
        })
    })
}

fn required<T>(value: Option<T>) -> Result<T, Reason> {
    value.ok_or(Reason::MissingField)
}

/// A VARCHAR: a JSON string.
pub fn string(raw: Raw<'_>) -> Result<Option<std::borrow::Cow<'_, str>>, Reason> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] std::borrow::Cow<'a, str>);
    let Some(raw) = raw else { return Ok(None) };
    serde_json::from_str::<Text<'_>>(raw.get())
        .map(|text| Some(text.0))
        .map_err(|_| Reason::WrongType)
}

/// A BIGINT: a JSON integer.
pub fn integer(raw: Raw<'_>) -> Result<Option<i64>, Reason> {
    raw.map(|raw| raw.get().parse().map_err(|_| Reason::WrongType))
        .transpose()
}

/// A DECIMAL(18, 2): a decimal string or a JSON number.
pub fn decimal(raw: Raw<'_>) -> Result<Option<Money>, Reason> {
    let Some(raw) = raw else { return Ok(None) };
    let text = raw
        .get()
        .strip_prefix('"')
        .map_or(raw.get(), |text| text.strip_suffix('"').unwrap_or(text));
    let money = Money::parse(text).filter(|money| money.0.abs() <= CENTS_MAX);
    money.map(Some).ok_or(Reason::WrongType)
}

/// A DATE: an ISO string; days since 1970.
pub fn date(raw: Raw<'_>) -> Result<Option<i32>, Reason> {
    string(raw)?
        .map(|text| parse_date(&text).ok_or(Reason::WrongType))
        .transpose()
}

/// A TIMESTAMP: integer milliseconds since 1970, or an ISO string.
pub fn time(raw: Raw<'_>) -> Result<Option<i64>, Reason> {
    match raw {
        Some(text) if text.get().starts_with('"') => string(raw)?
            .map(|text| parse_time(&text).ok_or(Reason::WrongType))
            .transpose(),
        _ => integer(raw),
    }
}
