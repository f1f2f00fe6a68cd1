//! Draws the records of a source: events of a few keys, repeated, out of order, late, malformed, with gaps.

use rand::RngExt;
use serde_json::{Map, Value as Json, json};

use super::Draft;
use super::job::{Envelope, Origin, Source};
use super::sources::{KEYS, RECORDS_MAX};
use crate::sim::kafka::Header;
use crate::value::{Nested, Type};

/// The first event's time: 2026-01-01T00:00:00Z.
const START_MS: i64 = 1_767_225_600_000;
/// How long after it was to be expected an event is written.
const AHEAD_MS: i64 = 60_000;
/// What texts are: some are numbers, some are no text in CSV without quotes.
const TEXTS: [&str; 7] = ["a", "b", "7", "12", "", "x, \"y\"", "\u{e9}\n\\"];
/// Too far ahead of every clock.
const FUTURE_MS: i64 = 4_102_444_800_000;

/// The records of a source.
#[derive(Debug, Clone)]
pub struct SourceInput {
    /// Per partition its records, as they arrive.
    pub partitions: Vec<Vec<InputRecord>>,
}

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputRecord {
    /// When it was written; never goes back within a source, and no event's time is later, unless far.
    pub timestamp_ms: i64,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value: as JSON, no line feed is in it.
    pub value: Option<Vec<u8>>,
    /// Its headers.
    pub headers: Vec<Header>,
}

impl InputRecord {
    /// Its value as a line of a file, which cannot say that there is none but in JSON.
    #[must_use]
    pub fn line(&self) -> Vec<u8> {
        self.value.clone().unwrap_or_else(|| b"null".to_vec())
    }
}

/// An event, before it has a form.
struct Event {
    kind: &'static str,
    uuid: String,
    ts: i64,
    id: Json,
    data: Option<Map<String, Json>>,
}

/// A record's key and value.
type Record = (Option<Vec<u8>>, Option<Vec<u8>>);

impl Draft {
    /// The records of a source of the job.
    pub(super) fn input(&mut self, source: usize) -> SourceInput {
        let source = self.job.sources[source].clone();
        let count = source.partitions as usize;
        let mut partitions: Vec<Vec<InputRecord>> = vec![Vec::new(); count];
        let mut sent: Vec<(i64, Record)> = Vec::new();
        let mut now_ms = START_MS;
        for number in 0..self.rng.random_range(10..=RECORDS_MAX) {
            now_ms += self.rng.random_range(0..240_000);
            let (id, record) = if !sent.is_empty() && self.chance(10) {
                self.pick(&sent)
            } else {
                let id = self.rng.random_range(1..=KEYS);
                (id, self.record(&source, number, id, now_ms))
            };
            sent.push((id, record.clone()));
            let partition = if source.keys_stay {
                usize::try_from(id).unwrap_or_default() % count
            } else {
                self.rng.random_range(0..count)
            };
            partitions[partition].push(InputRecord {
                timestamp_ms: now_ms + AHEAD_MS,
                key: record.0,
                value: record.1,
                headers: Vec::new(),
            });
        }
        SourceInput { partitions }
    }

    fn record(&mut self, source: &Source, number: usize, id: i64, now_ms: i64) -> Record {
        let ts = match self.rng.random_range(0..20) {
            0..=11 => now_ms,
            12..=16 => now_ms - self.rng.random_range(0..600_000),
            17 => now_ms - self.rng.random_range(0..7_200_000),
            // The same time again.
            18 => START_MS + 60_000,
            _ => now_ms + self.rng.random_range(0..AHEAD_MS),
        };
        let kind = match self.rng.random_range(0..100) {
            0..=29 => "create",
            30..=79 => "update",
            80..=95 => "delete",
            _ => "read",
        };
        let tag = source.entity.bytes().last().unwrap_or_default();
        let has_data = kind != "delete" || self.chance(50);
        let event = Event {
            kind,
            uuid: format!("0190f3a1-7b2c-7def-81{tag:02x}-{number:012x}"),
            ts,
            id: json!(id),
            data: has_data.then(|| self.data(source, ts)),
        };
        if !self.chance(8) {
            return self.formed(source, event);
        }
        match source.envelope {
            Envelope::Crud => {
                let event = Self::crud(source, event);
                (None, Some(self.malformed_crud(source, event)))
            }
            _ => self.malformed(source, event),
        }
    }

    /// An event in its source's envelope.
    fn formed(&mut self, source: &Source, event: Event) -> Record {
        let json = match source.envelope {
            Envelope::Crud => Json::Object(Self::crud(source, event)),
            Envelope::Debezium => match self.debezium(event) {
                Some(change) => change,
                // What follows a delete.
                None if self.chance(50) => Json::Null,
                None => return (None, None),
            },
            Envelope::Upsert => return self.upsert(event),
            Envelope::Plain => {
                let ts = event.ts;
                let mut state = Self::state(event);
                state.insert("ts".to_owned(), json!(ts));
                Json::Object(state)
            }
            Envelope::CloudEvents => Self::cloud_event(event),
        };
        (None, Some(json.to_string().into_bytes()))
    }

    fn crud(source: &Source, event: Event) -> Map<String, Json> {
        let mut crud = Map::new();
        crud.insert("uuid".to_owned(), json!(event.uuid));
        crud.insert("type".to_owned(), json!(event.kind));
        crud.insert("ts".to_owned(), json!(event.ts));
        crud.insert("entity".to_owned(), json!(source.entity));
        crud.insert("id".to_owned(), event.id);
        if let Some(data) = event.data {
            crud.insert("data".to_owned(), Json::Object(data));
        }
        crud
    }

    /// The whole state, with what identifies it.
    fn state(event: Event) -> Map<String, Json> {
        let mut state = event.data.unwrap_or_default();
        state.insert("id".to_owned(), event.id);
        state.insert("uuid".to_owned(), json!(event.uuid));
        state
    }

    /// A change of a row; none for what is no change.
    fn debezium(&mut self, event: Event) -> Option<Json> {
        let (ts, kind) = (event.ts, event.kind);
        let state = Json::Object(Self::state(event));
        let (op, before, after) = match kind {
            "create" if self.chance(30) => ("r", Json::Null, state),
            "create" => ("c", Json::Null, state),
            "update" => ("u", Json::Null, state),
            "delete" => ("d", state, Json::Null),
            _ => return None,
        };
        let change = json!({"before": before, "after": after, "source": {"ts_ms": ts}, "op": op, "ts_ms": ts + 7});
        if self.chance(70) {
            return Some(change);
        }
        let schema = json!({"type": "struct", "fields": []});
        Some(json!({"schema": schema, "payload": change}))
    }

    /// The state of a key.
    fn upsert(&mut self, event: Event) -> Record {
        let key = if self.chance(50) {
            event.id.to_string()
        } else {
            json!({"id": event.id}).to_string()
        };
        let key = Some(key.into_bytes());
        if event.kind == "delete" {
            let null = self.chance(30).then(|| b"null".to_vec());
            return (key, null);
        }
        let ts = event.ts;
        let mut state = Self::state(event);
        state.insert("ts".to_owned(), json!(ts));
        state.insert("id".to_owned(), json!("another"));
        (key, Some(Json::Object(state).to_string().into_bytes()))
    }

    fn cloud_event(event: Event) -> Json {
        let time = chrono::DateTime::from_timestamp_millis(event.ts);
        let time = time.map(|time| time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true));
        let mut data = event.data.unwrap_or_default();
        data.insert("id".to_owned(), event.id);
        json!({"specversion": "1.0", "id": event.uuid, "source": "/sim", "type": event.kind, "time": time, "data": data})
    }

    fn data(&mut self, source: &Source, ts: i64) -> Map<String, Json> {
        let mut data = Map::new();
        for column in &source.columns {
            if column.origin != Origin::Data || (column.nullable && self.chance(8)) {
                continue;
            }
            let value = match column.ty {
                _ if column.nullable && self.chance(8) => Json::Null,
                Type::Int if column.name == "n" => json!(self.rng.random_range(0..4)),
                Type::Int => json!(self.rng.random_range(1..=KEYS)),
                Type::Decimal(_) => {
                    let cents: i64 = self.rng.random_range(-2_000..20_000);
                    let sign = if cents < 0 { "-" } else { "" };
                    let cents = cents.abs();
                    json!(format!("{sign}{}.{:02}", cents / 100, cents % 100))
                }
                Type::Bool => json!(self.chance(50)),
                Type::Date => json!(format!("2026-0{}-15", self.rng.random_range(1..=4))),
                Type::Time => json!(ts - self.rng.random_range(0..300_000)),
                Type::Nested(of) => self.nested(of),
                _ => json!(self.pick(&TEXTS)),
            };
            data.insert(column.name.clone(), value);
        }
        data
    }

    /// A value with others in it, now and then with one that cannot be read.
    fn nested(&mut self, of: Nested) -> Json {
        let (number, text) = (self.rng.random_range(0..4), self.pick(&TEXTS));
        let is_wrong = self.chance(4);
        match (of, self.rng.random_range(0..4)) {
            (Nested::Struct, _) if is_wrong => json!({"n": "one", "label": text}),
            (Nested::Struct, 0) => json!({"label": text}),
            (Nested::Struct, 1) => json!({"n": null, "label": text}),
            (Nested::Struct, _) => json!({"n": number, "label": text}),
            (Nested::Array, _) if is_wrong => json!(["1.50", "12,50"]),
            (Nested::Array, 0) => json!([]),
            (Nested::Array, 1) => json!([format!("{number}.50"), null, "-0.05"]),
            (Nested::Array, _) => json!([format!("{number}.25")]),
            (Nested::Map, _) if is_wrong => json!({"a": "one"}),
            (Nested::Map, 0) => json!({}),
            (Nested::Map, 1) => json!({text: number, "c": null}),
            (Nested::Map, _) => json!({"b": 1, "a": number}),
        }
    }

    /// A record that cannot be read, for one of many reasons.
    fn malformed(&mut self, source: &Source, mut event: Event) -> Record {
        let key = |event: &Event| {
            let is_keyed = source.envelope == Envelope::Upsert;
            is_keyed.then(|| event.id.to_string().into_bytes())
        };
        let bytes: &[u8] = match self.rng.random_range(0..8) {
            0 => b"",
            1 => b"\xff\xfe",
            2 => b"{\"uuid\": \"0190",
            3 => b"[1, 2]",
            4 => b"7",
            5 => {
                event.id = json!("one");
                return self.formed(source, event);
            }
            _ => {
                event.kind = "update";
                event.data = json!({"k": 1, "n": 1, "amount": "12,50"})
                    .as_object()
                    .cloned();
                return self.formed(source, event);
            }
        };
        (key(&event), Some(bytes.to_vec()))
    }

    /// An event of the studio that cannot be read, for one of many reasons.
    fn malformed_crud(&mut self, source: &Source, mut event: Map<String, Json>) -> Vec<u8> {
        let mut set = |name: &str, value: Json| {
            event.insert(name.to_owned(), value);
        };
        let required = source
            .columns
            .iter()
            .any(|column| !column.nullable && column.name == "n");
        match self.rng.random_range(0..10) {
            0 => return Vec::new(),
            1 => return b"\xff\xfe".to_vec(),
            2 => return b"{\"uuid\": \"0190".to_vec(),
            3 => return b"[1, 2]".to_vec(),
            4 => set("entity", json!("another")),
            5 => set("id", json!("one")),
            6 => {
                // Where the time is not the watermark's, nobody minds how far ahead it is.
                let column = source
                    .watermark
                    .map(|mark| source.columns[mark.column].origin);
                if column == Some(Origin::Ts) {
                    set("ts", json!(FUTURE_MS));
                } else {
                    set("ts", json!("yesterday"));
                }
            }
            7 => {
                event.remove("uuid");
            }
            8 if required => {
                set("type", json!("update"));
                set("data", json!({"k": 1, "n": null}));
            }
            _ => {
                set("type", json!("update"));
                set("data", json!({"k": 1, "n": 1, "amount": "12,50"}));
            }
        }
        Json::Object(event).to_string().into_bytes()
    }
}
