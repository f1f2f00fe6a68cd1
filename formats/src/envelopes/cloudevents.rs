//! `cloudevents`: an event by the specification of the CNCF, in either mode of its Kafka binding.
//!
//! Structured: the value has everything, `{"specversion": "1.0", "id": "…", "source": "…", "type": "…", "data": {…}}`, and the header
//! `content-type` begins with `application/cloudevents`. Binary: the value is the data, and the attributes are headers that begin with `ce_`.
//! Every event is a row. Source: CloudEvents 1.0.2, "Kafka Protocol Binding" §3.

use tidemill_types::RawRecord;
use tidemill_types::format::{Contents, Deletes, Envelope, MetadataField, Path};
use tidemill_types::system_columns::OP_CREATE;

use super::{Event, Place, State, instant, optional, present};
use crate::encoding::{Found, Object, Value, Wanted};
use crate::reason;
use crate::temporal;

/// An event of the CNCF's specification.
pub static CLOUDEVENTS: Envelope = Envelope {
    name: "cloudevents",
    metadata: &[
        MetadataField::always("id", MetadataField::UUID),
        MetadataField::always("source", MetadataField::TEXT),
        MetadataField::always("type", MetadataField::TEXT),
        MetadataField::sometimes("time", MetadataField::INSTANT),
        MetadataField::sometimes("subject", MetadataField::TEXT),
        MetadataField::sometimes("extension.*", MetadataField::ANY),
    ],
    options: &[],
    deletes: Deletes::Never,
    contents: Contents::Rows,
    needs_key: false,
};

const DATA: &str = "data";
/// The attributes that every event has.
const REQUIRED: [&str; 4] = ["specversion", "id", "source", "type"];

/// Where the attributes are, in a value that has them.
#[derive(Debug)]
pub struct Reading {
    required: [usize; 4],
    time: usize,
    data: usize,
}

impl Reading {
    /// Of events.
    pub fn new(wanted: &mut Wanted) -> Self {
        let mut value = |name: &str| wanted.value(&[name.to_owned()]);
        Self {
            required: REQUIRED.map(&mut value),
            time: value("time"),
            data: wanted.object(&[DATA.to_owned()]),
        }
    }

    /// The rules: the required attributes are there, wherever they are.
    pub fn event<'a, V: Value<'a>>(
        &self,
        found: &Found<V>,
        record: &RawRecord<'a>,
    ) -> Result<Event, String> {
        let header = |name: &str| record.headers.get(name.as_bytes()).flatten();
        let (state, ts_ms) = if header("ce_specversion").is_some() {
            let missing = REQUIRED
                .iter()
                .find(|&name| header(&format!("ce_{name}")).is_none_or(<[u8]>::is_empty));
            if let Some(name) = missing {
                return Err(reason::missing_header(&format!("ce_{name}")));
            }
            (State::Second, header("ce_time").map(time_of).transpose()?)
        } else {
            for (name, &slot) in REQUIRED.iter().zip(&self.required) {
                present(found, slot, name)?;
            }
            let time = optional(found, self.time).map(|value| instant(value, "time"));
            let state = match found.objects[self.data] {
                Object::Is => State::First,
                Object::Absent => State::Nowhere,
                Object::Other(found) => {
                    return Err(reason::wrong_member(DATA, "an object", found));
                }
            };
            (state, time.transpose()?)
        };
        Ok(Event::Change {
            op: OP_CREATE,
            state,
            ts_ms,
        })
    }
}

fn time_of(header: &[u8]) -> Result<i64, String> {
    let text = std::str::from_utf8(header).ok();
    let time_ms = text.and_then(temporal::parse_timestamp);
    time_ms.ok_or_else(|| {
        let found = String::from_utf8_lossy(header);
        reason::wrong_header("ce_time", "an ISO 8601 string", &found)
    })
}

/// A member of the data: of the value's member, or of the value.
pub fn data(path: &Path, wanted: &mut Wanted) -> Place {
    let structured = wanted.value(path.within(&[DATA]).names());
    Place::State([structured, wanted.value(path.names())])
}

/// An attribute.
pub fn metadata(name: &str, wanted: &mut Wanted) -> Option<Place> {
    let attribute = match name.strip_prefix("extension.") {
        Some(extension) => extension,
        None if matches!(name, "id" | "source" | "type" | "subject") => name,
        None if name == "time" => return Some(Place::EventTime),
        None => return None,
    };
    let header = format!("ce_{attribute}").into_bytes();
    let slot = wanted.value(&[attribute.to_owned()]);
    Some(Place::Attribute(slot, header.into_boxed_slice()))
}
