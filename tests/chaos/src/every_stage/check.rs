//! Holds what the second job committed against what its inputs give.

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::Result;
use serde::Deserialize;
use serde_json::{Value, json};
use tidemill_studio::OutputReader;

use super::events::{Events, Inputs, Position, time};
use super::oracle::{self, Expected};
use super::{ACCOUNT, MOVEMENT};
use crate::mirror::Mirror;
use crate::verdict::Verdict;

/// A row of the dead letters or the late ledger.
#[derive(Debug, Deserialize)]
struct Ledger {
    topic: String,
    partition: u32,
    offset: i64,
}

/// All topics of the job.
///
/// # Errors
/// If one cannot be read.
pub fn check(mirror: &Mirror) -> Result<Vec<Verdict>> {
    let inputs = Inputs::read(mirror)?;
    let mut verdicts = Vec::new();
    for (topic, expected) in oracle::expected(&inputs) {
        verdicts.push(upserts(mirror, topic, &expected)?);
    }
    let (late, late_uuids) = late(mirror, &inputs.movements)?;
    let (dead, dead_counts) = dead(mirror, &inputs)?;
    let late_count = late_uuids.len() as u64 + late.wrong();
    let late_counts = counts(&BTreeMap::from([(MOVEMENT, late_count)]));
    verdicts.push(upserts(mirror, "chaos.late_counts", &late_counts)?);
    verdicts.push(upserts(mirror, "chaos.dead_counts", &counts(&dead_counts))?);
    verdicts.extend([late, dead]);
    verdicts.push(changes(mirror, "chaos.seen", &inputs, None)?);
    verdicts.push(changes(mirror, "chaos.trail", &inputs, Some(&late_uuids))?);
    Ok(verdicts)
}

/// Folds a topic of upserts, and compares.
fn upserts(outputs: &dyn OutputReader, topic: &str, expected: &Expected) -> Result<Verdict> {
    let (mut verdict, mut found) = (Verdict::new(topic), BTreeMap::new());
    outputs.read(topic, &mut |_, _, _, key, value| {
        // Members in the order in which the oracle writes them.
        let key = serde_json::from_slice::<Value>(key).map_or_else(
            |_| String::from_utf8_lossy(key).into_owned(),
            |key| key.to_string(),
        );
        match value {
            Some(value) => found.insert(key, value.to_vec()),
            None => found.remove(&key),
        };
    })?;
    for (key, row) in &expected.rows {
        match found.remove(key) {
            Some(value) if serde_json::from_slice::<Value>(&value).ok().as_ref() == Some(row) => {
                verdict.equal += 1;
            }
            Some(value) => verdict
                .different(|| format!("{} instead of {row}", String::from_utf8_lossy(&value))),
            None if expected.open.contains(key) => {}
            None => verdict.missing(|| row.to_string()),
        }
    }
    for value in found.into_values() {
        verdict.extra(|| String::from_utf8_lossy(&value).into_owned());
    }
    Ok(verdict)
}

fn counts(records: &BTreeMap<&str, u64>) -> Expected {
    let row = |(&topic, &records): (&&str, &u64)| {
        let row = json!({"topic": topic, "records": records});
        (json!(topic).to_string(), row)
    };
    Expected {
        rows: records
            .iter()
            .filter(|&(_, &records)| records > 0)
            .map(row)
            .collect(),
        ..Expected::default()
    }
}

/// Every position at most once, each of a readable record; which uuids they are.
fn late(outputs: &dyn OutputReader, movements: &Events) -> Result<(Verdict, HashSet<String>)> {
    let (mut verdict, mut uuids) = (Verdict::new("chaos.late"), HashSet::new());
    ledger(outputs, "chaos.late", &mut |row, text| {
        let uuid = row
            .filter(|row| row.topic == MOVEMENT)
            .and_then(|row| movements.uuids.get(&(row.partition, row.offset)));
        match uuid {
            Some(uuid) if uuids.insert(uuid.clone()) => verdict.equal += 1,
            Some(_) => verdict.extra(|| format!("a second time: {text}")),
            None => verdict.extra(|| text.to_owned()),
        }
    })?;
    Ok((verdict, uuids))
}

/// Every broken record once, and nothing else; how many there are by topic.
fn dead<'a>(
    outputs: &dyn OutputReader,
    inputs: &Inputs,
) -> Result<(Verdict, BTreeMap<&'a str, u64>)> {
    let mut verdict = Verdict::new("chaos.dead");
    let of = |topic: &'static str, events: &Events| {
        let positions = events.broken.iter();
        positions
            .map(|&position| ((topic, position), false))
            .collect::<Vec<_>>()
    };
    let mut expected: HashMap<(&str, Position), bool> = of(ACCOUNT, &inputs.accounts)
        .into_iter()
        .chain(of(MOVEMENT, &inputs.movements))
        .collect();
    ledger(outputs, "chaos.dead", &mut |row, text| {
        let found = row.and_then(|row| {
            let topic = [ACCOUNT, MOVEMENT]
                .into_iter()
                .find(|topic| row.topic == **topic)?;
            expected.get_mut(&(topic, (row.partition, row.offset)))
        });
        match found {
            Some(is_found) if !*is_found => {
                *is_found = true;
                verdict.equal += 1;
            }
            Some(_) => verdict.extra(|| format!("a second time: {text}")),
            None => verdict.extra(|| text.to_owned()),
        }
    })?;
    for ((topic, (partition, offset)), _) in expected.iter().filter(|&(_, is_found)| !is_found) {
        verdict.missing(|| format!("{topic} {partition}/{offset}"));
    }
    let by_topic = BTreeMap::from([
        (ACCOUNT, inputs.accounts.broken.len() as u64),
        (MOVEMENT, inputs.movements.broken.len() as u64),
    ]);
    Ok((verdict, by_topic))
}

fn ledger(
    outputs: &dyn OutputReader,
    topic: &str,
    on_row: &mut dyn FnMut(Option<Ledger>, &str),
) -> Result<()> {
    outputs.read(topic, &mut |_, _, _, _, value| {
        let value = value.unwrap_or_default();
        on_row(
            serde_json::from_slice(value).ok(),
            &String::from_utf8_lossy(value),
        );
    })?;
    Ok(())
}

/// Every accepted movement once. With a late ledger: there or here, in order per movement, and what the watermark has
/// not passed may still wait.
fn changes(
    outputs: &dyn OutputReader,
    topic: &str,
    inputs: &Inputs,
    late: Option<&HashSet<String>>,
) -> Result<Verdict> {
    let (mut verdict, mut found) = (Verdict::new(topic), HashSet::new());
    let mut last: HashMap<i64, i64> = HashMap::new();
    outputs.read(topic, &mut |partition, offset, _, _, value| {
        let text = String::from_utf8_lossy(value.unwrap_or_default());
        let row: Value = serde_json::from_str(&text).unwrap_or_default();
        let uuid = row["uuid"].as_str().unwrap_or_default();
        let Some(event) = inputs.movements.accepted.get(uuid) else {
            return verdict.extra(|| format!("at {partition}/{offset}: {text}"));
        };
        let expected = json!({
            "id": event.id,
            "uuid": uuid,
            "change_type": event.change_type,
            "amount": event.data.as_ref().and_then(|data| data.amount.clone()),
            "ts": time(event.ts),
        });
        let newest = last.entry(event.id).or_insert(i64::MIN);
        if !found.insert(uuid.to_owned()) {
            verdict.extra(|| format!("a second time at {partition}/{offset}: {text}"));
        } else if late.is_some_and(|late| late.contains(uuid)) {
            verdict
                .extra(|| format!("in the late ledger as well, at {partition}/{offset}: {text}"));
        } else if row != expected {
            verdict.different(|| format!("{text} instead of {expected}"));
        } else if late.is_some() && event.ts < *newest {
            verdict.different(|| format!("out of order at {partition}/{offset}: {text}"));
        } else {
            verdict.equal += 1;
        }
        *newest = event.ts.max(*newest);
    })?;
    let watermark = oracle::watermark(inputs);
    for (uuid, event) in &inputs.movements.accepted {
        let is_late = late.is_some_and(|late| late.contains(uuid));
        let may_wait = late.is_some() && event.ts + oracle::DELAY_MS >= watermark;
        if !found.contains(uuid) && !is_late && !may_wait {
            verdict.missing(|| format!("event {uuid} of {}", event.id));
        }
    }
    Ok(verdict)
}
