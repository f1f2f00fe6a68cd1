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
use tidemill_tests_recovery::seeds;

const SQL: &str = "
CREATE SOURCE orders (id BIGINT NOT NULL, city VARCHAR, part BIGINT METADATA FROM 'partition', place BIGINT METADATA FROM 'offset')
WITH (connector = 'sim', topic = 'orders', format = 'avro', schema.registry.url = 'sim', schema.version = '2');
CREATE STREAM every_order FROM orders;
CREATE SINK out_sink WITH (connector = 'sim', topic = 'out', format = 'json') AS SELECT id, city, part, place FROM every_order;
CREATE SINK dead_sink WITH (connector = 'sim', topic = 'dead', format = 'json') AS SELECT \"offset\", reason FROM tidemill_dead_letters;
";
const ID: &str = r#"{"name": "id", "type": "long"}"#;
const CITY: &str = r#"{"name": "city", "type": "string", "default": "Paris"}"#;
const NOTE: &str = r#"{"name": "note", "type": ["null", "string"], "default": null}"#;
/// The registry has no such id.
const UNKNOWN: u8 = 99;

/// A registry with four versions of the subject, the last of which has the column no more.
fn registry(seed: u64) -> SimRegistry {
    let registry = SimRegistry::new(seed);
    registry.set_level("orders-value", Compatibility::None);
    for fields in [
        ID.to_owned(),
        format!("{ID}, {CITY}"),
        format!("{ID}, {CITY}, {NOTE}"),
        format!("{ID}, {NOTE}"),
    ] {
        let text = format!(r#"{{"type": "record", "name": "o", "fields": [{fields}]}}"#);
        let schema = Schema::new(SchemaKind::Avro, text);
        registry
            .register("orders-value", &schema)
            .expect("it answers, and allows everything");
    }
    registry
}

/// An order as the writer of a version writes it; ids are counted from 1, as versions are.
fn order(id: u8, version: u8) -> Vec<u8> {
    let avro: &[u8] = match version {
        1 => &[],
        2 => b"\x08Rome",
        3 => b"\x08Bonn\x00",
        _ => b"\x00",
    };
    [&[0, 0, 0, 0, version, id * 2], avro].concat()
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

fn job() -> Job {
    let partition = |from: u8| {
        let ids = (from..50).step_by(3);
        ids.map(|id| Fed::of(order(id, version(id)))).collect()
    };
    Job {
        name: "contracts".to_owned(),
        sql: SQL.to_owned(),
        stages: vec![vec![Topic {
            name: "orders".to_owned(),
            partitions: (0..3).map(partition).collect(),
        }]],
    }
}

fn written(history: &[Committed], topic: &str) -> Vec<Value> {
    let writes = history.iter().filter_map(|epoch| epoch.writes.get(topic));
    let values = writes.flatten().filter_map(|write| write.value.as_ref());
    values
        .map(|value| serde_json::from_slice(value).expect("a row is JSON"))
        .collect()
}

/// What the order of a number becomes.
fn city(id: u64) -> Option<&'static str> {
    match version(u8::try_from(id).ok()?) {
        1 => Some("Paris"),
        2 => Some("Rome"),
        3 => Some("Bonn"),
        _ => None,
    }
}

/// Every order once, and those of a partition in its order. (Which partition that is is nobody's choice where one is added meanwhile.)
fn check(history: &[Committed]) -> Result<(), String> {
    let rows = written(history, "out");
    let mut ids = BTreeSet::new();
    let mut places: BTreeMap<u64, u64> = BTreeMap::new();
    for row in &rows {
        let [id, partition, place] = ["id", "part", "place"].map(|name| row[name].as_u64());
        let (Some(id), Some(partition), Some(place)) = (id, partition, place) else {
            return Err(format!("a row lacks something: {row}"));
        };
        if row["city"].as_str() != city(id) || !ids.insert(id) {
            return Err(format!("{row} is wrong, or there twice"));
        }
        if places
            .insert(partition, place)
            .is_some_and(|before| before > place)
        {
            return Err(format!("{row} comes too late"));
        }
    }
    if !ids.into_iter().eq((0..50).filter(|id| city(*id).is_some())) {
        return Err(format!("some are missing: {rows:?}"));
    }
    let letters = written(history, "dead");
    let of = |what: &str| {
        let told = |letter: &&Value| {
            letter["reason"]
                .as_str()
                .is_some_and(|of| of.contains(what))
        };
        letters.iter().filter(told).count()
    };
    let counts = |wanted: fn(u8) -> bool| (0..50).filter(|id| wanted(version(*id))).count();
    let found = [
        letters.len(),
        of("('orders-value' version 4), by which it was written, has no field 'city' any more"),
        of("the registry has no schema 99"),
    ];
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

#[test]
fn every_record_is_read_by_its_schema_once_although_the_registry_is_away_whatever_happens() {
    let job = job();
    let name =
        "every_record_is_read_by_its_schema_once_although_the_registry_is_away_whatever_happens";
    seeds::each(name, 60, |seed| {
        let registry = registry(seed);
        let world = World::with_registry(&job, Dangers::draw(seed), seed, registry.clone())?;
        registry.set_away(if seed % 2 == 0 { 800 } else { 200 });
        let end = world.run()?;
        if end.is_refused {
            return Ok(());
        }
        check(&end.history)
    });
}
