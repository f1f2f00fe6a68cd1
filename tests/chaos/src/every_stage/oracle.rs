//! What every upsert topic of the second job must hold, by plain maps over all events.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::events::{Data, Event, Inputs, money, time};

/// Length of the job's windows.
const SPAN_MS: i64 = 10_000;
/// How far the watermark stays behind.
pub const DELAY_MS: i64 = 5_000;

/// What a topic must hold.
#[derive(Debug, Default)]
pub struct Expected {
    /// By key.
    pub rows: BTreeMap<String, Value>,
    /// Keys of windows that the watermark need not have passed: they may be there, and right, or not.
    pub open: BTreeSet<String>,
}

/// Sum, count, and what else is asked of a group.
#[derive(Debug, Default)]
struct Group {
    cents: i128,
    count: u64,
    least: Option<i128>,
    most: Option<i128>,
    kinds: BTreeSet<String>,
}

impl Group {
    fn add(&mut self, event: &Event, data: &Data) {
        let cents = event.cents().unwrap_or_default();
        self.cents += cents;
        self.count += 1;
        self.least = Some(self.least.map_or(cents, |least| least.min(cents)));
        self.most = Some(self.most.map_or(cents, |most| most.max(cents)));
        self.kinds.extend(data.kind.clone());
    }
}

/// Up to where the watermark must have come: every partition was read to its end.
#[must_use]
pub fn watermark(inputs: &Inputs) -> i64 {
    let highest = inputs.movements.highest.values().min();
    highest.map_or(i64::MIN, |highest| highest - DELAY_MS)
}

/// What the topics hold, by their names.
#[must_use]
pub fn expected(inputs: &Inputs) -> BTreeMap<&'static str, Expected> {
    let (spans, kinds) = of_windows(inputs);
    BTreeMap::from([
        ("chaos.booked", booked(inputs)),
        ("chaos.by_region", by_region(inputs)),
        ("chaos.regional_spans", regional_spans(inputs)),
        ("chaos.spans", spans),
        ("chaos.kinds", kinds),
        ("chaos.words", words(inputs)),
    ])
}

fn account<'a>(inputs: &'a Inputs, movement: &Data) -> Option<&'a Data> {
    let account = inputs.accounts.newest.get(&movement.account_id?)?;
    (account.change_type != "delete")
        .then_some(account.data.as_ref())
        .flatten()
}

fn booked(inputs: &Inputs) -> Expected {
    let mut expected = Expected::default();
    for (event, data) in inputs.movements.rows() {
        let account = account(inputs, data);
        let row = json!({
            "id": event.id,
            "account_id": data.account_id,
            "kind": data.kind,
            "amount": data.amount,
            "region": account.and_then(|account| account.region.clone()),
            "owner": account.and_then(|account| account.owner.clone()),
        });
        expected.rows.insert(event.id.to_string(), row);
    }
    expected
}

fn by_region(inputs: &Inputs) -> Expected {
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for (event, data) in inputs.movements.rows() {
        if let Some(region) = account(inputs, data).and_then(|account| account.region.clone()) {
            groups.entry(region).or_default().add(event, data);
        }
    }
    let mut expected = Expected::default();
    for (region, group) in groups {
        let row = json!({
            "region": region,
            "total": money(group.cents),
            "movements": group.count,
            "least": group.least.map(money),
            "most": group.most.map(money),
            "kinds": group.kinds.len(),
        });
        expected.rows.insert(json!(region).to_string(), row);
    }
    expected
}

/// The start of the window that a time lies in.
const fn span(ts: i64) -> i64 {
    ts - ts.rem_euclid(SPAN_MS)
}

fn regional_spans(inputs: &Inputs) -> Expected {
    let mut groups: BTreeMap<(String, i64), Group> = BTreeMap::new();
    for (event, data) in inputs.movements.rows() {
        if let Some(region) = account(inputs, data).and_then(|account| account.region.clone()) {
            let group = groups.entry((region, span(event.ts))).or_default();
            group.add(event, data);
        }
    }
    let (mut expected, watermark) = (Expected::default(), watermark(inputs));
    for ((region, start), group) in groups {
        let key = json!({"region": region, "span": time(start)}).to_string();
        if start + SPAN_MS > watermark {
            expected.open.insert(key.clone());
        }
        let row = json!({
            "region": region,
            "span": time(start),
            "total": money(group.cents),
            "movements": group.count,
        });
        expected.rows.insert(key, row);
    }
    expected
}

/// Of every event that is no delete, whatever became of its key; and what these windows come to by kind, once they
/// are closed.
fn of_windows(inputs: &Inputs) -> (Expected, Expected) {
    let mut groups: BTreeMap<(String, i64), Group> = BTreeMap::new();
    for event in inputs.movements.accepted.values() {
        if let Some(data) = &event.data {
            let kind = data.kind.clone().unwrap_or_default();
            let group = groups.entry((kind, span(event.ts))).or_default();
            group.add(event, data);
        }
    }
    let (mut spans, watermark) = (Expected::default(), watermark(inputs));
    let mut by_kind: BTreeMap<String, (i128, u64, u64)> = BTreeMap::new();
    for ((kind, start), group) in groups {
        let key = json!({"kind": kind, "span": time(start)}).to_string();
        if start + SPAN_MS > watermark {
            spans.open.insert(key.clone());
        } else {
            let sums = by_kind.entry(kind.clone()).or_default();
            *sums = (sums.0 + group.cents, sums.1 + 1, sums.2 + group.count);
        }
        let row = json!({
            "kind": kind,
            "span": time(start),
            "total": money(group.cents),
            "events": group.count,
        });
        spans.rows.insert(key, row);
    }
    let mut kinds = Expected::default();
    for (kind, (cents, spans, events)) in by_kind {
        let row = json!({"kind": kind, "total": money(cents), "spans": spans, "events": events});
        kinds.rows.insert(json!(kind).to_string(), row);
    }
    (spans, kinds)
}

fn words(inputs: &Inputs) -> Expected {
    let regions = inputs.accounts.rows().map(|(_, data)| data.region.clone());
    let kinds = inputs.movements.rows().map(|(_, data)| data.kind.clone());
    let words: BTreeSet<_> = regions.chain(kinds).collect();
    let row = |word| (json!(word).to_string(), json!({"word": word}));
    Expected {
        rows: words.into_iter().map(row).collect(),
        open: BTreeSet::new(),
    }
}

#[cfg(test)]
mod tests;
