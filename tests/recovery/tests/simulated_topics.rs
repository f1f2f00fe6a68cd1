//! One source over topics that come to be while the job runs, through crashes, zombies, lost state and the rest.
//!
//! Catches: a partition whose number means another place after a restart, records of a new topic that are left out or come twice, a dead
//! letter or a column that names the wrong topic. Cannot catch: how the real brokers tell of topics, for which the contract suite is.

use std::collections::{BTreeMap, BTreeSet};

use tidemill_tests_kit::sim::history::Committed;
use tidemill_tests_kit::sim::scenario::{Dangers, Fed, Job, Topic};
use tidemill_tests_kit::sim::world::World;
use tidemill_tests_recovery::{seeds, written};

const SQL: &str = "
CREATE SOURCE orders (
    id BIGINT NOT NULL, home VARCHAR, topic VARCHAR METADATA FROM 'topic', part BIGINT METADATA FROM 'partition',
    place BIGINT METADATA FROM 'offset'
) WITH (connector = 'sim', topic.pattern = 'orders-.*', format = 'json');
CREATE STREAM every_order FROM orders;
CREATE SINK out_sink WITH (connector = 'sim', topic = 'out', format = 'json') AS SELECT id, home, topic, part, place FROM every_order;
CREATE SINK dead_sink WITH (connector = 'sim', topic = 'dead', format = 'json')
    AS SELECT topic, \"partition\", \"offset\", reason FROM tidemill_dead_letters;
";

/// Each topic with its stage and its partitions, and from which id on its records are counted.
const TOPICS: [(&str, usize, usize, u64); 5] = [
    ("orders-m", 0, 2, 0),
    ("orders-z", 0, 1, 100),
    ("orders-m", 1, 2, 200),
    ("orders-a", 1, 2, 300),
    ("orders-q", 2, 1, 400),
];
/// Records of a topic in a stage.
const COUNT: u64 = 14;

/// Every seventh has no id that is one.
const fn is_bad(id: u64) -> bool {
    id % 7 == 3
}

fn record(topic: &str, id: u64) -> Fed {
    let quote = if is_bad(id) { "\"#" } else { "" };
    let end = if is_bad(id) { "\"" } else { "" };
    Fed::of(format!(r#"{{"id": {quote}{id}{end}, "home": "{topic}"}}"#).into_bytes())
}

fn job() -> Job {
    let mut stages = vec![Vec::new(); 3];
    for (name, stage, partitions, from) in TOPICS {
        let partition = |number: usize| {
            let ids = (from..from + COUNT).skip(number).step_by(partitions);
            ids.map(|id| record(name, id)).collect()
        };
        stages[stage].push(Topic {
            name: name.to_owned(),
            partitions: (0..partitions).map(partition).collect(),
        });
    }
    Job {
        name: "topics".to_owned(),
        sql: SQL.to_owned(),
        histories: Vec::new(),
        stages,
    }
}

/// All ids, of the good records or the bad ones.
fn ids(bad: bool) -> usize {
    let all = TOPICS.iter().flat_map(|&(.., from)| from..from + COUNT);
    all.filter(|id| is_bad(*id) == bad).count()
}

/// Every order once, by its own topic, and those of a partition in its order; every bad one a letter of its own place.
fn check(history: &[Committed]) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    let mut places: BTreeMap<(String, u64), u64> = BTreeMap::new();
    for row in written::rows(history, "out") {
        let [id, part, place] = ["id", "part", "place"].map(|name| row[name].as_u64());
        let (Some(id), Some(part), Some(place)) = (id, part, place) else {
            return Err(format!("a row lacks something: {row}"));
        };
        let topic = row["topic"].as_str().unwrap_or_default().to_owned();
        if row["home"] != row["topic"] || !seen.insert(id) {
            return Err(format!("{row} has another topic, or is there twice"));
        }
        if places
            .insert((topic, part), place)
            .is_some_and(|before| before >= place)
        {
            return Err(format!("{row} comes too late"));
        }
    }
    let letters = written::rows(history, "dead");
    let of_letters: BTreeSet<String> = letters
        .iter()
        .map(|letter| {
            format!(
                "{} {} {}",
                letter["topic"], letter["partition"], letter["offset"]
            )
        })
        .collect();
    let found = (seen.len(), letters.len(), of_letters.len());
    if found == (ids(false), ids(true), ids(true)) {
        return Ok(());
    }
    Err(format!(
        "of {} orders and {} letters there are {found:?}: {letters:?}",
        ids(false),
        ids(true)
    ))
}

#[test]
fn topics_that_come_to_be_are_read_once_by_their_own_names_whatever_happens() {
    let job = job();
    let name = "topics_that_come_to_be_are_read_once_by_their_own_names_whatever_happens";
    seeds::each(name, 60, |seed| {
        let end = World::new(&job, Dangers::draw(seed), seed)?.run()?;
        if end.is_refused {
            return Ok(());
        }
        check(&end.history).map_err(|wrong| format!("{wrong}\n{}", end.notes))
    });
}
