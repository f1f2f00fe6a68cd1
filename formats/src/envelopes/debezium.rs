//! `debezium`: the change of a row of a database, with the row as it was and as it is.
//!
//! ```json
//! {"before": null, "after": {"id": 42, "amount": "12.50"}, "op": "c", "ts_ms": 1767225600200, "source": {"ts_ms": 1767225600123, "lsn": 7}}
//! ```
//!
//! Rows of the first snapshot (`r`) are rows; a changed primary key comes as a delete and a create; what stands in `source` and `transaction`
//! is metadata by its path. Source: Debezium's documentation of its change events.

use tidemill_types::format::{Contents, Deletes, Envelope, MetadataField, Path};
use tidemill_types::system_columns::{OP_CREATE, OP_DELETE, OP_UPDATE};

use super::{Event, Place, State, instant, optional, present};
use crate::encoding::{Found, Object, Value, Wanted};
use crate::reason;

/// A change event of Debezium.
pub static DEBEZIUM: Envelope = Envelope {
    name: "debezium",
    metadata: &[
        MetadataField::always("op", MetadataField::TEXT),
        MetadataField::always("ts", MetadataField::INSTANT),
        MetadataField::sometimes("source.*", MetadataField::ANY),
        MetadataField::sometimes("transaction.*", MetadataField::ANY),
    ],
    options: &[],
    deletes: Deletes::With(&[]),
    contents: Contents::Changes,
    needs_key: false,
};

const AFTER: &str = "after";
const BEFORE: &str = "before";
/// The connector whose events are cells that were written, and no rows.
const CASSANDRA: &str = "cassandra";

/// Where the members of the envelope are.
#[derive(Debug)]
pub struct Reading {
    op: usize,
    /// When the database changed, and when the connector saw it.
    times: [usize; 2],
    after: usize,
    before: usize,
    /// Which connector it was.
    connector: usize,
}

impl Reading {
    /// Of change events.
    pub fn new(wanted: &mut Wanted) -> Self {
        let path = |names: &[&str]| {
            names
                .iter()
                .map(|&name| name.to_owned())
                .collect::<Vec<_>>()
        };
        Self {
            op: wanted.value(&path(&["op"])),
            times: [
                wanted.value(&path(&["source", "ts_ms"])),
                wanted.value(&path(&["ts_ms"])),
            ],
            after: wanted.object(&path(&[AFTER])),
            before: wanted.object(&path(&[BEFORE])),
            connector: wanted.value(&path(&["source", "connector"])),
        }
    }

    /// The rules: an operation that is known, and the state that it needs.
    pub fn event<'a, V: Value<'a>>(&self, found: &Found<V>) -> Result<Event, String> {
        let connector = optional(found, self.connector).map(V::text);
        if let Some(Ok(connector)) = connector
            && connector == CASSANDRA
        {
            return Err(reason::cells());
        }
        let op = present(found, self.op, "op")?;
        let wrong = || reason::wrong_member("op", "c, r, u or d", &op.shown());
        let (op, name, object, state) = match &*op.text().map_err(|_| wrong())? {
            "c" | "r" => (OP_CREATE, AFTER, self.after, State::First),
            "u" => (OP_UPDATE, AFTER, self.after, State::First),
            "d" => (OP_DELETE, BEFORE, self.before, State::Second),
            // A message of the database's log, not of a row.
            "m" => return Ok(Event::Ignored),
            "t" => return Err(reason::truncated()),
            _ => return Err(wrong()),
        };
        let [changed, seen] = self.times;
        let ts = optional(found, changed).map(|value| instant(value, "source.ts_ms"));
        let ts_ms = match ts {
            Some(ts) => ts?,
            None => instant(present(found, seen, "ts_ms")?, "ts_ms")?,
        };
        let state = match found.objects[object] {
            Object::Other(found) => return Err(reason::wrong_member(name, "an object", found)),
            Object::Absent if op == OP_DELETE => State::Nowhere,
            Object::Absent => return Err(reason::missing_member(name)),
            Object::Is => state,
        };
        Ok(Event::Change {
            op,
            state,
            ts_ms: Some(ts_ms),
        })
    }
}

/// A member of the state: as it is, and as it was.
pub fn data(path: &Path, wanted: &mut Wanted) -> Place {
    let mut within = |outer| wanted.value(path.within(&[outer]).names());
    Place::State([within(AFTER), within(BEFORE)])
}

/// A member of the envelope.
pub fn metadata(name: &str, wanted: &mut Wanted) -> Option<Place> {
    match name {
        "op" => Some(Place::Member(wanted.value(&["op".to_owned()]))),
        "ts" => Some(Place::EventTime),
        _ if name.starts_with("source.") || name.starts_with("transaction.") => {
            let path = Path::parse(name)?;
            Some(Place::Member(wanted.value(path.names())))
        }
        _ => None,
    }
}
