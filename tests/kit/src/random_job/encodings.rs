//! Gives the sources and sinks of a job their encodings, keys and headers, and the records the bytes and places that these ask for.
//!
//! It comes after everything else is drawn, and draws for itself: so it changes how a job's events travel, and never what happens in them.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value as Json};

use super::Case;
use super::input::InputRecord;
use super::job::{Encoding, Envelope, Origin, Relation, Sink, Source, Written};
use super::relations::has_nested;
use crate::codec;

/// The column that may be a header.
const OF_HEADER: &str = "label";
/// The column that may be of the key.
const OF_KEY: &str = "k";
/// The column that may be the record's timestamp.
const OF_TIMESTAMP: &str = "ts";

/// Draws for a case.
pub(super) fn draw(case: &mut Case, seed: u64) {
    let mut draws = Draws(ChaCha8Rng::seed_from_u64(!seed));
    for (source, input) in case.job.sources.iter_mut().zip(&mut case.input) {
        draws.source(source);
        let is_binary = source.envelope == Envelope::CloudEvents && draws.chance(50);
        for record in input.partitions.iter_mut().flatten() {
            dress(source, is_binary, record);
        }
    }
    for sink in &mut case.job.sinks {
        draws.sink(sink, &case.job.relations[sink.input]);
    }
    // Drawn last, as what came later. In each fourth job none is delivered, in each fourth all that can be.
    let percent = [0, 40, 40, 100][draws.0.random_range(0..4)];
    for sink in &mut case.job.sinks {
        let is_bare = sink.headers.is_empty() && sink.timestamp.is_none();
        sink.is_delivered = draws.chance(percent) && is_bare && sink.written != Written::Debezium;
    }
}

struct Draws(ChaCha8Rng);

impl Draws {
    /// True so many times in a hundred.
    fn chance(&mut self, percent: u32) -> bool {
        self.0.random_range(0..100) < percent
    }

    fn source(&mut self, source: &mut Source) {
        let is_header = self.chance(30);
        let has_bare_states = matches!(source.envelope, Envelope::Plain | Envelope::Upsert);
        let is_key = has_bare_states && self.chance(40);
        let is_written = has_bare_states && self.chance(25);
        for column in &mut source.columns {
            match column.name.as_str() {
                OF_HEADER if is_header => column.origin = Origin::Header,
                OF_KEY if is_key => column.origin = Origin::Key,
                OF_TIMESTAMP if is_written => column.origin = Origin::Written,
                _ => {}
            }
        }
        let is_nested = source.columns.iter().any(|column| column.ty.is_nested());
        source.encoding = self.encoding(source.envelope.encodings(), is_nested);
        if source.encoding == Encoding::Raw {
            self.leave_one(source);
        }
    }

    /// One column of a source stays in the value, what else was there goes to the key.
    fn leave_one(&mut self, source: &mut Source) {
        let columns = source.columns.iter().enumerate();
        let data = columns.filter(|(_, column)| column.origin == Origin::Data);
        let data: Vec<usize> = data.map(|(index, _)| index).collect();
        let stays = self.pick(&data);
        for (index, column) in source.columns.iter_mut().enumerate() {
            if index != stays && !matches!(column.origin, Origin::Header | Origin::Written) {
                column.origin = Origin::Key;
            }
        }
    }

    /// One of some encodings, of those that have values in values if there are such.
    fn encoding(&mut self, of: &[Encoding], is_nested: bool) -> Encoding {
        let fits = |encoding: &&Encoding| !is_nested || encoding.is_nested();
        let fitting: Vec<Encoding> = of.iter().filter(fits).copied().collect();
        let flat = [Encoding::Csv, Encoding::Raw];
        // Few sources could have them.
        if fitting.contains(&Encoding::Raw) && self.chance(40) {
            return self.pick(&flat);
        }
        self.pick(&fitting)
    }

    fn sink(&mut self, sink: &mut Sink, relation: &Relation) {
        let mut spare: Vec<usize> = (0..relation.columns.len())
            .filter(|index| !sink.key.contains(index) && sink.timestamp != Some(*index))
            .collect();
        sink.encoding = self.encoding(&Encoding::ALL, has_nested(relation));
        if sink.encoding == Encoding::Raw && spare.is_empty() {
            sink.encoding = Encoding::Json;
        }
        if sink.encoding == Encoding::Raw {
            let stays = self.pick(&spare);
            spare.retain(|index| *index != stays);
            sink.headers = spare;
        }
        let writes_changes = sink.encoding.written().contains(&Written::Debezium);
        if sink.upsert && writes_changes && self.chance(40) {
            sink.written = Written::Debezium;
        }
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.0.random_range(0..of.len())]
    }
}

/// Takes what a record's JSON says to the places and into the bytes of its source.
fn dress(source: &Source, is_binary: bool, record: &mut InputRecord) {
    let has = |origin| source.columns.iter().any(|column| column.origin == origin);
    let mut event = record
        .value
        .as_deref()
        .and_then(|value| serde_json::from_slice::<Json>(value).ok());
    if let Some(Json::Object(event)) = &mut event {
        // A schema of its own is Connect's way in JSON.
        if source.encoding != Encoding::Json
            && let Some(Json::Object(payload)) = event.remove("payload")
        {
            *event = payload;
        }
        if has(Origin::Header)
            && let Some(Json::String(text)) = take(source.envelope, event, OF_HEADER)
        {
            let header = (OF_HEADER.as_bytes().to_vec(), text.into_bytes());
            record.headers.push(header);
        }
        if is_binary {
            unwrap(event, record);
        }
    }
    if has(Origin::Key) {
        let state = event.as_mut().and_then(Json::as_object_mut);
        record.key = key_of(source, record.key.as_deref(), state);
    }
    let Some(value) = record.value.take() else {
        return;
    };
    record.value = match event {
        // What is null there is no value elsewhere.
        Some(Json::Null) if source.encoding != Encoding::Json => None,
        Some(event @ Json::Object(_)) => {
            let encoded = codec::encode(source, &event);
            Some(encoded.unwrap_or_else(|| broken(source, &value)))
        }
        _ if source.encoding == Encoding::Json => Some(value),
        _ => Some(broken(source, &value)),
    };
}

/// Bytes that are nothing, of a kind that depends on what could not be said.
fn broken(source: &Source, value: &[u8]) -> Vec<u8> {
    codec::broken(source.encoding, value.len()).to_vec()
}

/// A member of the state, which it is taken from.
fn take(envelope: Envelope, event: &mut Map<String, Json>, name: &str) -> Option<Json> {
    let mut within = |names: &[&str]| {
        let mut at = &mut *event;
        for name in names {
            at = at.get_mut(*name)?.as_object_mut()?;
        }
        at.remove(name)
    };
    match envelope {
        Envelope::Plain | Envelope::Upsert => within(&[]),
        Envelope::Crud | Envelope::CloudEvents => within(&["data"]),
        Envelope::Debezium => within(&["after"])
            .or_else(|| within(&["before"]))
            .or_else(|| within(&["payload", "after"]))
            .or_else(|| within(&["payload", "before"])),
    }
}

/// An event in binary mode: its data alone, and the attributes in headers.
fn unwrap(event: &mut Map<String, Json>, record: &mut InputRecord) {
    let Some(Json::Object(data)) = event.remove("data") else {
        return;
    };
    for (name, value) in std::mem::replace(event, data) {
        if let Json::String(text) = value {
            let header = (format!("ce_{name}").into_bytes(), text.into_bytes());
            record.headers.push(header);
        }
    }
}

/// A record's key with what a state says of its columns; an id that the key has stays as it is. None if there is neither.
fn key_of(
    source: &Source,
    key: Option<&[u8]>,
    state: Option<&mut Map<String, Json>>,
) -> Option<Vec<u8>> {
    let id = key.and_then(|key| serde_json::from_slice(key).ok());
    let mut key = match id {
        Some(Json::Object(key)) => key,
        Some(id) => Map::from_iter([("id".to_owned(), id)]),
        None if state.is_none() => return None,
        None => Map::new(),
    };
    if let Some(state) = state {
        let columns = source.columns.iter();
        for column in columns.filter(|column| column.origin == Origin::Key) {
            if let Some(value) = state.remove(&column.name) {
                key.entry(&column.name).or_insert(value);
            }
        }
    }
    Some(Json::Object(key).to_string().into_bytes())
}
