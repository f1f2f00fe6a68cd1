//! Draws the records of a source: events of a few keys, repeated, out of order, late, malformed, with gaps.

use rand::RngExt;
use serde_json::{Map, Value as Json, json};

use super::Draft;
use super::job::{Origin, Source};
use super::sources::{KEYS, RECORDS_MAX};
use crate::value::Type;

/// The first event's time: 2026-01-01T00:00:00Z.
const START_MS: i64 = 1_767_225_600_000;
/// How long after it was to be expected an event is written.
const AHEAD_MS: i64 = 60_000;
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
    /// Its value: no line feed is in it.
    pub bytes: Vec<u8>,
}

impl Draft {
    /// The records of a source of the job.
    pub(super) fn input(&mut self, source: usize) -> SourceInput {
        let source = self.job.sources[source].clone();
        let count = source.partitions as usize;
        let mut partitions: Vec<Vec<InputRecord>> = vec![Vec::new(); count];
        let mut sent: Vec<(i64, Vec<u8>)> = Vec::new();
        let mut now_ms = START_MS;
        for number in 0..self.rng.random_range(10..=RECORDS_MAX) {
            now_ms += self.rng.random_range(0..240_000);
            let (id, bytes) = if !sent.is_empty() && self.chance(10) {
                self.pick(&sent)
            } else {
                let id = self.rng.random_range(1..=KEYS);
                (id, self.record(&source, number, id, now_ms))
            };
            sent.push((id, bytes.clone()));
            let partition = if source.keys_stay {
                usize::try_from(id).unwrap_or_default() % count
            } else {
                self.rng.random_range(0..count)
            };
            partitions[partition].push(InputRecord {
                timestamp_ms: now_ms + AHEAD_MS,
                bytes,
            });
        }
        SourceInput { partitions }
    }

    fn record(&mut self, source: &Source, number: usize, id: i64, now_ms: i64) -> Vec<u8> {
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
        let mut event = Map::new();
        let tag = source.entity.bytes().last().unwrap_or_default();
        let uuid = format!("0190f3a1-7b2c-7def-81{tag:02x}-{number:012x}");
        event.insert("uuid".to_owned(), json!(uuid));
        event.insert("type".to_owned(), json!(kind));
        event.insert("ts".to_owned(), json!(ts));
        event.insert("entity".to_owned(), json!(source.entity));
        event.insert("id".to_owned(), json!(id));
        if kind != "delete" || self.chance(50) {
            event.insert("data".to_owned(), Json::Object(self.data(source, ts)));
        }
        if self.chance(8) {
            return self.malformed(source, event);
        }
        Json::Object(event).to_string().into_bytes()
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
                _ => json!(self.pick(&["a", "b", "7", "12", ""])),
            };
            data.insert(column.name.clone(), value);
        }
        data
    }

    /// A record that cannot be read, for one of many reasons.
    fn malformed(&mut self, source: &Source, mut event: Map<String, Json>) -> Vec<u8> {
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
