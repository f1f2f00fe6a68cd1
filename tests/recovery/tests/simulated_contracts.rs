//! Records of several versions of their schema, with a registry that is away most of the time, through crashes, zombies, lost state and the rest.
//!
//! Catches: a record that goes on before its schema is known, one that is lost or comes twice while it waits, order that is lost within a
//! partition, a dead letter that is another one after a restart. Cannot catch: what a schema means, for which the decoder's own tests are.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tidemill_connectors_api::registry::{Compatibility, Registry, Schema, SchemaKind};
use tidemill_tests_kit::sim::history::Committed;
use tidemill_tests_kit::sim::registry::SimRegistry;
use tidemill_tests_kit::sim::scenario::{Dangers, Fed, Job, Topic};
use tidemill_tests_kit::sim::world::World;
use tidemill_tests_recovery::{seeds, written};

const SQL: &str = "
CREATE SOURCE orders (id BIGINT NOT NULL, city VARCHAR, part BIGINT METADATA FROM 'partition', place BIGINT METADATA FROM 'offset')
WITH (connector = 'sim', topic = 'orders', FORMATS, schema.registry.url = 'sim');
CREATE STREAM every_order FROM orders;
CREATE SINK out_sink WITH (connector = 'sim', topic = 'out', format = 'json') AS SELECT id, city, part, place FROM every_order;
CREATE SINK dead_sink WITH (connector = 'sim', topic = 'dead', format = 'json') AS SELECT \"offset\", reason FROM tidemill_dead_letters;
";
/// The registry has no such id.
const UNKNOWN: u8 = 99;

/// Where a record has its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Value,
    Key,
}

impl Part {
    const fn subject(self) -> &'static str {
        match self {
            Self::Value => "orders-value",
            Self::Key => "orders-key",
        }
    }

    /// The options of a source.
    fn formats(self, format: &str) -> String {
        match self {
            Self::Value => format!("format = '{format}', schema.version = '2'"),
            Self::Key => format!(
                "format = 'json', key = 'id, city', key.format = '{format}', key.schema.version = '2'"
            ),
        }
    }

    fn record(self, order: Vec<u8>) -> Fed {
        match self {
            Self::Value => Fed::of(order),
            Self::Key => Fed {
                key: Some(order),
                ..Fed::of(b"{}".to_vec())
            },
        }
    }
}

/// A language of contracts.
struct Language {
    format: &'static str,
    kind: SchemaKind,
    /// The versions of the subject: without the column, with it, with one more field, and without the column again.
    versions: [&'static str; 4],
    /// An order as the writer of a version writes it; ids are counted from 1, as versions are.
    order: fn(id: u8, version: u8) -> Vec<u8>,
    /// The city of an order whose writer did not have it yet.
    first_city: &'static str,
}

const AVRO: Language = Language {
    format: "avro",
    kind: SchemaKind::Avro,
    versions: [
        r#"{"type": "record", "name": "o", "fields": [{"name": "id", "type": "long"}]}"#,
        r#"{"type": "record", "name": "o", "fields": [{"name": "id", "type": "long"}, {"name": "city", "type": "string", "default": "Paris"}]}"#,
        r#"{"type": "record", "name": "o", "fields": [{"name": "id", "type": "long"}, {"name": "city", "type": "string", "default": "Paris"}, {"name": "note", "type": ["null", "string"], "default": null}]}"#,
        r#"{"type": "record", "name": "o", "fields": [{"name": "id", "type": "long"}, {"name": "note", "type": ["null", "string"], "default": null}]}"#,
    ],
    order: avro_order,
    first_city: "Paris",
};

const PROTOBUF: Language = Language {
    format: "protobuf",
    kind: SchemaKind::Protobuf,
    versions: [
        "syntax = \"proto3\"; message o { int64 id = 1; }",
        "syntax = \"proto3\"; message o { int64 id = 1; string city = 2; }",
        "syntax = \"proto3\"; message o { int64 id = 1; string town = 2; string note = 3; }",
        "syntax = \"proto3\"; message o { int64 id = 1; string note = 3; }",
    ],
    order: protobuf_order,
    first_city: "",
};

fn avro_order(id: u8, version: u8) -> Vec<u8> {
    let avro: &[u8] = match version {
        1 => &[],
        2 => b"\x08Rome",
        3 => b"\x08Bonn\x00",
        _ => b"\x00",
    };
    [&[0, 0, 0, 0, version, id * 2], avro].concat()
}

fn protobuf_order(id: u8, version: u8) -> Vec<u8> {
    let rest: &[u8] = match version {
        1 => &[],
        2 => b"\x12\x04Rome",
        3 => b"\x12\x04Bonn\x1a\x01x",
        _ => b"\x1a\x01x",
    };
    [&[0, 0, 0, 0, version, 0, 8, id], rest].concat()
}

/// A registry with four versions of the subject, the last of which has the column no more.
fn registry(seed: u64, language: &Language, part: Part) -> SimRegistry {
    let registry = SimRegistry::new(seed);
    registry.set_level(part.subject(), Compatibility::None);
    for text in language.versions {
        let schema = Schema::new(language.kind, text);
        registry
            .register(part.subject(), &schema)
            .expect("it answers, and allows everything");
    }
    registry
}

/// The version of a record's writer.
const fn version(id: u8) -> u8 {
    match id % 7 {
        0 => UNKNOWN,
        1 => 1,
        2 | 5 => 2,
        3 | 6 => 3,
        _ => 4,
    }
}

fn job(language: &Language, part: Part) -> Job {
    let partition = |from: u8| {
        let ids = (from..50).step_by(3);
        ids.map(|id| part.record((language.order)(id, version(id))))
            .collect()
    };
    Job {
        name: "contracts".to_owned(),
        sql: SQL.replace("FORMATS", &part.formats(language.format)),
        histories: Vec::new(),
        stages: vec![vec![Topic {
            name: "orders".to_owned(),
            partitions: (0..3).map(partition).collect(),
        }]],
    }
}

/// What the order of a number becomes.
fn city(id: u64, language: &Language) -> Option<&'static str> {
    match version(u8::try_from(id).ok()?) {
        1 => Some(language.first_city),
        2 => Some("Rome"),
        3 => Some("Bonn"),
        _ => None,
    }
}

/// Every order once, and those of a partition in its order. (Which partition that is is nobody's choice where one is added meanwhile.)
fn check(history: &[Committed], language: &Language, part: Part) -> Result<(), String> {
    let rows = written::rows(history, "out");
    let mut ids = BTreeSet::new();
    let mut places: BTreeMap<u64, u64> = BTreeMap::new();
    for row in &rows {
        let [id, partition, place] = ["id", "part", "place"].map(|name| row[name].as_u64());
        let (Some(id), Some(partition), Some(place)) = (id, partition, place) else {
            return Err(format!("a row lacks something: {row}"));
        };
        if row["city"].as_str() != city(id, language) || !ids.insert(id) {
            return Err(format!("{row} is wrong, or there twice"));
        }
        if places
            .insert(partition, place)
            .is_some_and(|before| before > place)
        {
            return Err(format!("{row} comes too late"));
        }
    }
    if !ids
        .into_iter()
        .eq((0..50).filter(|id| city(*id, language).is_some()))
    {
        return Err(format!("some are missing: {rows:?}"));
    }
    let letters = written::rows(history, "dead");
    let of = |what: &str| {
        let told = |letter: &&Value| {
            letter["reason"]
                .as_str()
                .is_some_and(|of| of.contains(what))
        };
        letters.iter().filter(told).count()
    };
    let counts = |wanted: fn(u8) -> bool| (0..50).filter(|id| wanted(version(*id))).count();
    let removed = format!(
        "('{}' version 4), by which it was written, has no field 'city' any more",
        part.subject()
    );
    let (all, of_key) = (letters.len(), of("key: "));
    if of_key != if part == Part::Key { all } else { 0 } {
        return Err(format!(
            "which part cannot be read is not said: {letters:?}"
        ));
    }
    let found = [all, of(&removed), of("the registry has no schema 99")];
    let wanted = [
        counts(|version| version > 3),
        counts(|version| version == 4),
        counts(|version| version == UNKNOWN),
    ];
    if found == wanted {
        Ok(())
    } else {
        Err(format!(
            "of {wanted:?} dead letters there are {found:?}: {letters:?}"
        ))
    }
}

fn whatever_happens(name: &str, language: &Language, part: Part) {
    let job = job(language, part);
    seeds::each(name, 60, |seed| {
        let registry = registry(seed, language, part);
        let world = World::with_registry(&job, Dangers::draw(seed), seed, registry.clone())?;
        registry.set_away(if seed % 2 == 0 { 800 } else { 200 });
        let end = world.run()?;
        if end.is_refused {
            return Ok(());
        }
        check(&end.history, language, part)
    });
}

#[test]
fn every_record_is_read_by_its_schema_once_although_the_registry_is_away_whatever_happens() {
    let name =
        "every_record_is_read_by_its_schema_once_although_the_registry_is_away_whatever_happens";
    whatever_happens(name, &AVRO, Part::Value);
}

#[test]
fn every_message_is_read_by_its_schema_once_although_the_registry_is_away_whatever_happens() {
    let name =
        "every_message_is_read_by_its_schema_once_although_the_registry_is_away_whatever_happens";
    whatever_happens(name, &PROTOBUF, Part::Value);
}

#[test]
fn every_key_is_read_by_its_schema_once_although_the_registry_is_away_whatever_happens() {
    let name =
        "every_key_is_read_by_its_schema_once_although_the_registry_is_away_whatever_happens";
    whatever_happens(name, &AVRO, Part::Key);
}

#[test]
fn every_message_of_a_key_is_read_once_although_the_registry_is_away_whatever_happens() {
    let name = "every_message_of_a_key_is_read_once_although_the_registry_is_away_whatever_happens";
    whatever_happens(name, &PROTOBUF, Part::Key);
}
