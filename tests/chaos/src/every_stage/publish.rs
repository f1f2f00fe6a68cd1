//! Accounts and movements as they happen: created, changed and deleted, some twice, some late, some broken.
//!
//! At the end every partition gets an event of some time later, so that nothing before it waits for a watermark any
//! more.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tidemill_connectors_kafka::tools::Bulk;
use tidemill_studio::generator::WallClock;

use super::{ACCOUNT, MOVEMENT};

const TICK: Duration = Duration::from_millis(20);
const ACCOUNTS: i64 = 60;
/// Only the newest movements change.
const CHANGING: usize = 5_000;
/// Ids of what is published at the end.
const CLOSING_ID: i64 = 9_000_000_000;
/// Longer than a span and the watermark's delay together.
const CLOSING_AFTER_MS: i64 = 20_000;
/// A little more, because no event moves a watermark beyond the time at which it was written.
const CLOSING_WAIT: Duration = Duration::from_secs(21);
const REGIONS: [&str; 5] = ["north", "east", "south", "west", "overseas"];
const KINDS: [&str; 4] = ["fee", "refund", "salary", "travel"];

/// Publishes `rate` events a second until it is stopped; returns the number of records.
///
/// # Errors
/// Of the brokers.
pub fn publish(
    bootstrap: &str,
    (seed, rate): (u64, u64),
    partitions: &AtomicU32,
    stop: &AtomicBool,
) -> Result<u64> {
    let mut world = Accounts::new(seed);
    let mut topics = Topics::new(bootstrap, partitions.load(Ordering::SeqCst))?;
    let mut delayed: BTreeMap<(i64, u64), Record> = BTreeMap::new();
    let (started, mut events) = (Instant::now(), 0);
    while !stop.load(Ordering::SeqCst) {
        topics.have(partitions.load(Ordering::SeqCst))?;
        let due = u64::try_from(started.elapsed().as_millis())? * rate / 1000;
        while events < due {
            events += 1;
            for (delay_ms, record) in world.next() {
                let number = topics.records + delayed.len() as u64;
                if delay_ms == 0 {
                    topics.publish(&record)?;
                } else {
                    delayed.insert((record.ts + delay_ms, number), record);
                }
            }
        }
        let later = delayed.split_off(&(WallClock::now_ms(), 0));
        for record in std::mem::replace(&mut delayed, later).into_values() {
            topics.publish(&record)?;
        }
        std::thread::sleep(TICK);
    }
    for record in delayed.into_values() {
        topics.publish(&record)?;
    }
    topics.bulk.flush()?;
    std::thread::sleep(CLOSING_WAIT);
    topics.have(partitions.load(Ordering::SeqCst))?;
    for record in world.closing(topics.partitions) {
        topics.publish(&record)?;
    }
    topics.bulk.flush()?;
    Ok(topics.records)
}

/// A record, and where it goes.
#[derive(Debug, Clone)]
struct Record {
    topic: &'static str,
    /// The partition follows from it.
    id: i64,
    ts: i64,
    value: Vec<u8>,
}

/// The producer, and how many partitions it knows.
struct Topics<'a> {
    bootstrap: &'a str,
    bulk: Bulk,
    partitions: u32,
    records: u64,
}

impl<'a> Topics<'a> {
    fn new(bootstrap: &'a str, partitions: u32) -> Result<Self> {
        Ok(Self {
            bootstrap,
            bulk: Bulk::new(bootstrap)?,
            partitions,
            records: 0,
        })
    }

    /// A producer asks for the partitions of a topic once: when there are more, another one must.
    fn have(&mut self, partitions: u32) -> Result<()> {
        if partitions != self.partitions {
            self.bulk.flush()?;
            self.bulk = Bulk::new(self.bootstrap)?;
            self.partitions = partitions;
        }
        Ok(())
    }

    fn publish(&mut self, record: &Record) -> Result<()> {
        let partition = u32::try_from(record.id.rem_euclid(self.partitions.into()))?;
        self.records += 1;
        let value = Some(record.value.as_slice());
        Ok(self
            .bulk
            .produce(record.topic, Some(partition), None, value)?)
    }
}

/// What there is, as far as it can change.
struct Accounts {
    random: Xoshiro256PlusPlus,
    events: u64,
    /// No two events have the same time, so that the newest of a key is never in doubt.
    ts: i64,
    accounts: i64,
    movements: i64,
    changing: Vec<i64>,
}

impl Accounts {
    fn new(seed: u64) -> Self {
        Self {
            random: Xoshiro256PlusPlus::seed_from_u64(seed),
            events: 0,
            ts: 0,
            accounts: 0,
            movements: 0,
            changing: Vec::new(),
        }
    }

    /// The records of an event, each with the milliseconds that it is late.
    fn next(&mut self) -> Vec<(i64, Record)> {
        let record = if self.accounts < ACCOUNTS / 2 || self.random.random_range(0..50) == 0 {
            self.account()
        } else {
            self.movement()
        };
        let delay_ms = match self.random.random_range(0..100) {
            0 => self.random.random_range(3_000..8_000),
            1..10 => self.random.random_range(1..3_000),
            _ => 0,
        };
        let mut records = Vec::new();
        if self.random.random_range(0..300) == 0 {
            records.push((0, self.broken(&record)));
        }
        if self.random.random_range(0..20) == 0 {
            let again_ms = self.random.random_range(0..5_000);
            records.push((delay_ms + again_ms, record.clone()));
        }
        records.insert(0, (delay_ms, record));
        records
    }

    fn account(&mut self) -> Record {
        let is_new = self.accounts < ACCOUNTS;
        let id = if is_new {
            self.accounts
        } else {
            self.random.random_range(0..ACCOUNTS)
        };
        self.accounts += i64::from(is_new);
        if !is_new && self.random.random_range(0..10) == 0 {
            return self.event("account", id, "delete", None);
        }
        let region = REGIONS[self.random.random_range(0..REGIONS.len())];
        let owner = format!("owner {}", self.random.random_range(0..1_000));
        let kind = if is_new { "create" } else { "update" };
        self.event(
            "account",
            id,
            kind,
            Some(json!({"region": region, "owner": owner})),
        )
    }

    fn movement(&mut self) -> Record {
        let draw = self.random.random_range(0..10);
        if draw < 6 || self.changing.is_empty() {
            self.movements += 1;
            if self.changing.len() == CHANGING {
                let old = self.random.random_range(0..CHANGING);
                self.changing.swap_remove(old);
            }
            self.changing.push(self.movements);
            let data = self.movement_data();
            return self.event("movement", self.movements, "create", Some(data));
        }
        let index = self.random.random_range(0..self.changing.len());
        let id = self.changing[index];
        if draw == 9 {
            self.changing.swap_remove(index);
            return self.event("movement", id, "delete", None);
        }
        let data = self.movement_data();
        self.event("movement", id, "update", Some(data))
    }

    fn movement_data(&mut self) -> Value {
        let cents: i64 = self.random.random_range(-200_000..1_000_000);
        let kind = KINDS[self.random.random_range(0..KINDS.len())];
        // Some accounts are not there yet, or never.
        let account = self.random.random_range(0..ACCOUNTS + 3);
        json!({"account_id": account, "kind": kind, "amount": super::events::money(cents.into())})
    }

    fn event(&mut self, entity: &str, id: i64, kind: &str, data: Option<Value>) -> Record {
        self.events += 1;
        self.ts = WallClock::now_ms().max(self.ts + 1);
        self.event_at(self.ts, entity, id, (kind, data))
    }

    fn event_at(
        &self,
        ts: i64,
        entity: &str,
        id: i64,
        (kind, data): (&str, Option<Value>),
    ) -> Record {
        let uuid = format!("7e57bec4-0001-4000-8000-{:012x}", self.events);
        let mut event = json!({"uuid": uuid, "type": kind, "ts": ts, "entity": entity, "id": id});
        if let Some(data) = data {
            event["data"] = data;
        }
        Record {
            topic: if entity == "account" {
                ACCOUNT
            } else {
                MOVEMENT
            },
            id,
            ts,
            value: event.to_string().into_bytes(),
        }
    }

    /// Beside a record, one that cannot be read.
    fn broken(&mut self, record: &Record) -> Record {
        let mut broken = record.clone();
        let text = String::from_utf8_lossy(&record.value).into_owned();
        broken.value = match self.random.random_range(0..3) {
            0 => text[..text.len() / 2].to_owned(),
            1 => text.replace("\"id\":", "\"no_id\":"),
            _ => "[]".to_owned(),
        }
        .into_bytes();
        broken
    }

    /// An event for every partition of both topics, some time after everything else.
    fn closing(&mut self, partitions: u32) -> Vec<Record> {
        let ts = self.ts + CLOSING_AFTER_MS;
        let mut records = Vec::new();
        for partition in 0..i64::from(partitions) {
            // So that it goes to that partition.
            let id = CLOSING_ID - CLOSING_ID.rem_euclid(partitions.into()) + partition;
            self.events += 1;
            let account = json!({"region": "closing", "owner": "closing"});
            records.push(self.event_at(ts, "account", id, ("create", Some(account))));
            self.events += 1;
            let movement = json!({"kind": "closing", "amount": "0.00"});
            records.push(self.event_at(ts, "movement", id, ("create", Some(movement))));
        }
        records
    }
}
