//! What lies in the input topics, read another way than the job does.

use std::collections::{BTreeMap, HashMap};

use anyhow::Result;
use serde::Deserialize;
use tidemill_studio::InputReader;

use super::{ACCOUNT, MOVEMENT};

/// Partition and offset.
pub type Position = (u32, i64);

/// An event of either topic.
#[derive(Debug, Clone, Deserialize)]
pub struct Event {
    /// Of the event.
    pub uuid: String,
    /// `create`, `update` or `delete`.
    #[serde(rename = "type")]
    pub change_type: String,
    /// Event time, in milliseconds.
    pub ts: i64,
    /// Of the account or the movement.
    pub id: i64,
    /// What it is now; none for a delete.
    pub data: Option<Data>,
}

/// Columns of both entities.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Data {
    /// Of an account.
    pub region: Option<String>,
    /// Of an account.
    pub owner: Option<String>,
    /// Of a movement.
    pub account_id: Option<i64>,
    /// Of a movement.
    pub kind: Option<String>,
    /// Of a movement, with two digits behind the point.
    pub amount: Option<String>,
}

impl Event {
    /// Its amount in cents.
    #[must_use]
    pub fn cents(&self) -> Option<i128> {
        let amount = self.data.as_ref()?.amount.as_ref()?;
        amount.replace('.', "").parse().ok()
    }
}

/// A topic's events, each once.
#[derive(Debug, Default)]
pub struct Events {
    /// By uuid.
    pub accepted: HashMap<String, Event>,
    /// The uuid of every readable record, also of those that came again.
    pub uuids: HashMap<Position, String>,
    /// Positions of what cannot be read.
    pub broken: Vec<Position>,
    /// The newest event of each key.
    pub newest: BTreeMap<i64, Event>,
    /// The highest time of each partition.
    pub highest: BTreeMap<u32, i64>,
}

impl Events {
    /// Reads a topic.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(inputs: &dyn InputReader, topic: &str) -> Result<Self> {
        let mut events = Self::default();
        inputs.read(
            topic,
            &mut |partition, offset, bytes| match serde_json::from_slice::<Event>(bytes) {
                Ok(event) => events.add((partition, offset), event),
                Err(_) => events.broken.push((partition, offset)),
            },
        )?;
        Ok(events)
    }

    fn add(&mut self, position: Position, event: Event) {
        let highest = self.highest.entry(position.0).or_insert(event.ts);
        *highest = event.ts.max(*highest);
        self.uuids.insert(position, event.uuid.clone());
        let newest = self.newest.entry(event.id).or_insert_with(|| event.clone());
        if newest.ts < event.ts {
            *newest = event.clone();
        }
        self.accepted.entry(event.uuid.clone()).or_insert(event);
    }

    /// What is there now, by key.
    pub fn rows(&self) -> impl Iterator<Item = (&Event, &Data)> {
        let present = self
            .newest
            .values()
            .filter(|event| event.change_type != "delete");
        present.filter_map(|event| Some((event, event.data.as_ref()?)))
    }
}

/// Both topics.
#[derive(Debug)]
pub struct Inputs {
    /// `chaos.account`.
    pub accounts: Events,
    /// `chaos.movement`.
    pub movements: Events,
}

impl Inputs {
    /// Reads both.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn read(inputs: &dyn InputReader) -> Result<Self> {
        Ok(Self {
            accounts: Events::read(inputs, ACCOUNT)?,
            movements: Events::read(inputs, MOVEMENT)?,
        })
    }
}

/// Cents as the job writes them.
#[must_use]
pub fn money(cents: i128) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    let cents = cents.unsigned_abs();
    format!("{sign}{}.{:02}", cents / 100, cents % 100)
}

/// A time as the job writes it.
#[must_use]
pub fn time(ms: i64) -> String {
    chrono::DateTime::from_timestamp_millis(ms).map_or_else(
        || ms.to_string(),
        |time| time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
    )
}
