//! A record that is larger than its sink's topic takes is a dead letter: nothing stops for it, and an aggregate of the dead letters counts it
//! once, whatever happens.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tidemill_tests_kit::sim::history::Committed;
use tidemill_tests_kit::sim::scenario::{Dangers, Fed, Job, Topic};
use tidemill_tests_kit::sim::world::World;
use tidemill_tests_recovery::seeds;

const SQL: &str = "
CREATE SOURCE note_events (id BIGINT NOT NULL METADATA FROM 'id', note VARCHAR)
WITH (connector = 'sim', topic = 'notes', format = 'json', envelope = 'crud');
CREATE TABLE notes (PRIMARY KEY (id)) FROM note_events;
CREATE SINK notes_sink WITH (connector = 'sim', topic = 'out', format = 'json', key = 'id', record.bytes.max = '60') AS
SELECT id, note FROM notes;
CREATE VIEW refused AS SELECT topic, COUNT(*) AS letters FROM tidemill_dead_letters GROUP BY topic;
CREATE SINK refused_sink WITH (connector = 'sim', topic = 'refused', format = 'json', key = 'topic') AS
SELECT topic, letters FROM refused;
CREATE SINK dead_sink WITH (connector = 'sim', topic = 'dead', format = 'json') AS SELECT reason FROM tidemill_dead_letters;
";

/// Notes, of which every third is too large; and one that was not when it was written first.
fn job() -> Job {
    let event = |id: usize, note: &str| {
        let uuid = format!("00000000-0000-0000-0000-{id:012}");
        let event = json!({"uuid": uuid, "type": "create", "ts": 1_767_225_600_000_u64, "entity": "note", "id": id, "data": {"note": note}});
        Fed::of(event.to_string().into_bytes())
    };
    let large = "x".repeat(100);
    let note = |id: usize| {
        if id.is_multiple_of(3) {
            &large[..]
        } else {
            "small"
        }
    };
    let partition = |from: usize| {
        (from..24)
            .step_by(2)
            .map(|id| event(id, note(id)))
            .collect()
    };
    let topic = |partitions| {
        let name = "notes".to_owned();
        vec![Topic { name, partitions }]
    };
    Job {
        name: "oversized".to_owned(),
        sql: SQL.to_owned(),
        histories: Vec::new(),
        stages: vec![
            topic(vec![partition(0), partition(1)]),
            topic(vec![vec![], vec![event(1, &large)]]),
        ],
    }
}

/// What stands in a topic of upserts at the end.
fn standing(history: &[Committed], topic: &str) -> Vec<Value> {
    let mut rows = BTreeMap::new();
    for write in history
        .iter()
        .filter_map(|epoch| epoch.writes.get(topic))
        .flatten()
    {
        rows.insert(&write.key, &write.value);
    }
    let rows = rows.into_values().flatten();
    let mut rows: Vec<Value> = rows
        .map(|row| serde_json::from_slice(row).expect("a row is JSON"))
        .collect();
    rows.sort_by_key(|row| row["id"].as_u64());
    rows
}

#[test]
fn a_record_that_is_too_large_is_one_dead_letter_whatever_happens() {
    let job = job();
    let name = "a_record_that_is_too_large_is_one_dead_letter_whatever_happens";
    seeds::each(name, 30, |seed| {
        let end = World::new(&job, Dangers::draw(seed), seed)?.run()?;
        if end.is_refused {
            return Ok(());
        }
        let history = end.history;
        let small = (0..24).filter(|id| *id != 1 && id % 3 != 0);
        let small: Vec<_> = small.map(|id| json!({"id": id, "note": "small"})).collect();
        if standing(&history, "out") != small {
            return Err(format!("'out' has {:?}", standing(&history, "out")));
        }
        let counted = standing(&history, "refused");
        if counted != [json!({"topic": "notes_sink", "letters": 9})] {
            return Err(format!("'refused' has {counted:?}"));
        }
        let letters = history.iter().filter_map(|epoch| epoch.writes.get("dead"));
        let reasons: Vec<_> = letters
            .flatten()
            .filter_map(|write| write.value.clone())
            .collect();
        let told = |reason: &Vec<u8>| {
            String::from_utf8_lossy(reason).contains("sink 'notes_sink' can write 60")
        };
        if reasons.len() != 9 || !reasons.iter().all(told) {
            return Err(format!("'dead' has {} letters: {reasons:?}", reasons.len()));
        }
        Ok(())
    });
}
