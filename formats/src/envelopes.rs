//! The envelopes: what the values of a record say of a change. Each has a description, which the planner reads as well, and the logic that
//! finds its event in what an encoding found.

mod cloudevents;
mod crud;
mod debezium;

use tidemill_types::RawRecord;
use tidemill_types::format::{Contents, Deletes, Envelope, Error, Options, Path};
use tidemill_types::system_columns::{OP_CREATE, OP_DELETE};

use crate::encoding::{Found, Value, Wanted};
use crate::reason;

pub use cloudevents::CLOUDEVENTS;
pub use crud::CRUD;
pub use debezium::DEBEZIUM;

/// Every record is a row.
pub static PLAIN: Envelope = Envelope {
    name: "plain",
    metadata: &[],
    options: &[],
    deletes: Deletes::Never,
    contents: Contents::Rows,
    needs_key: false,
};

/// Every record is the state of its key; one without a value deletes it.
pub static UPSERT: Envelope = Envelope {
    name: "upsert",
    metadata: &[],
    options: &[],
    deletes: Deletes::With(&[]),
    contents: Contents::States,
    needs_key: true,
};

/// What a record does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Nothing.
    Ignored,
    /// A change.
    Change {
        /// One of the operations of the system columns.
        op: u8,
        /// Where its state is.
        state: State,
        /// When it happened, in milliseconds since 1970, if the envelope says so.
        ts_ms: Option<i64>,
    },
}

/// Which of an envelope's states counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The first, usually the only one.
    First,
    /// The second.
    Second,
    /// None is there.
    Nowhere,
}

/// Where the decoder finds a column's values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The slots of a member of the state: in the first, and in the second.
    State([usize; 2]),
    /// The slot of a member of the state, and of the envelope's member that stands in for it.
    StateOr(usize, usize),
    /// The slot of a member of the envelope.
    Member(usize),
    /// The slot of a member of the envelope, and the header that has it in records whose value is the state alone.
    Attribute(usize, Box<[u8]>),
    /// When the event happened.
    EventTime,
}

/// How the envelope of one source is read.
#[derive(Debug)]
pub enum Reading {
    /// [`PLAIN`].
    Plain,
    /// [`UPSERT`].
    Upsert,
    /// [`CRUD`].
    Crud(crud::Reading),
    /// [`DEBEZIUM`].
    Debezium(debezium::Reading),
    /// [`CLOUDEVENTS`].
    CloudEvents(cloudevents::Reading),
}

impl Reading {
    /// The reading of an envelope with these options.
    pub fn new(envelope: &str, options: &Options, wanted: &mut Wanted) -> Result<Self, Error> {
        match envelope {
            "plain" => Ok(Self::Plain),
            "upsert" => Ok(Self::Upsert),
            "crud" => Ok(Self::Crud(crud::Reading::new(options, wanted)?)),
            "debezium" => Ok(Self::Debezium(debezium::Reading::new(wanted))),
            "cloudevents" => Ok(Self::CloudEvents(cloudevents::Reading::new(wanted))),
            _ => Err(Error::UnknownEnvelope {
                envelope: envelope.to_owned(),
            }),
        }
    }

    /// Where a member of the state is found.
    pub fn data(&self, path: &Path, wanted: &mut Wanted) -> Place {
        match self {
            Self::Plain | Self::Upsert => {
                let slot = wanted.value(path.names());
                Place::State([slot, slot])
            }
            Self::Crud(crud) => crud.data(path, wanted),
            Self::Debezium(_) => debezium::data(path, wanted),
            Self::CloudEvents(_) => cloudevents::data(path, wanted),
        }
    }

    /// Where a metadata field of the envelope's own is found; none if it has no such field.
    pub fn metadata(&self, name: &str, wanted: &mut Wanted) -> Option<Place> {
        match self {
            Self::Plain | Self::Upsert => None,
            Self::Crud(crud) => crud.metadata(name),
            Self::Debezium(_) => debezium::metadata(name, wanted),
            Self::CloudEvents(_) => cloudevents::metadata(name, wanted),
        }
    }

    /// What a record with a value does, of which `found` is known.
    ///
    /// # Errors
    /// The reason, if the rules of the envelope are broken.
    #[inline]
    pub fn event<'a, V: Value<'a>>(
        &self,
        found: &Found<V>,
        record: &RawRecord<'a>,
    ) -> Result<Event, String> {
        match self {
            Self::Plain | Self::Upsert => Ok(Event::create(None)),
            Self::Crud(crud) => crud.event(found),
            Self::Debezium(debezium) => debezium.event(found),
            Self::CloudEvents(cloudevents) => cloudevents.event(found, record),
        }
    }

    /// What a record without value does.
    ///
    /// # Errors
    /// The reason, if the envelope has no such records.
    pub fn no_value(&self) -> Result<Event, String> {
        match self {
            Self::Upsert => Ok(Event::Change {
                op: OP_DELETE,
                state: State::Nowhere,
                ts_ms: None,
            }),
            // Kafka's compaction wants it after a delete, which has said everything.
            Self::Debezium(_) => Ok(Event::Ignored),
            Self::Plain | Self::Crud(_) | Self::CloudEvents(_) => Err(reason::no_value()),
        }
    }

    /// True for an envelope whose records Kafka Connect may wrap into `{"schema": …, "payload": …}`.
    pub const fn is_of_connect(&self) -> bool {
        matches!(self, Self::Debezium(_))
    }
}

impl Event {
    const fn create(ts_ms: Option<i64>) -> Self {
        Self::Change {
            op: OP_CREATE,
            state: State::First,
            ts_ms,
        }
    }
}

/// A member that must be there; null is not.
fn present<'a, V: Value<'a>>(found: &Found<V>, slot: usize, name: &str) -> Result<V, String> {
    found.values[slot]
        .filter(|value| !value.is_null())
        .ok_or_else(|| reason::missing_member(name))
}

/// A member that may be absent or null.
fn optional<'a, V: Value<'a>>(found: &Found<V>, slot: usize) -> Option<V> {
    found.values[slot].filter(|value| !value.is_null())
}

/// The point in time that a member must be.
fn instant<'a, V: Value<'a>>(value: V, name: &str) -> Result<i64, String> {
    value.time_ms().map_err(|_| {
        let expected = "milliseconds since 1970 or an ISO 8601 string, of the years 1 to 9999";
        reason::wrong_member(name, expected, &value.shown())
    })
}
