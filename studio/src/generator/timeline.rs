//! The order of events: a slot per event, and what kind of event each slot holds, as arithmetic instead of a list.
//!
//! Every `spacing`-th slot creates a production until there are enough. The other slots repeat a shuffled pattern that has a fixed number of
//! creations of each kind, updates, deletes, reads and bursts. So the slot in which an entity appears, and how many entities exist before a
//! slot, are known without generating anything, and an event only refers to what exists before it.

use super::draw::{Draw, Place};
use super::settings::{READ_SHARE, Settings};
use crate::{Error, Topic};

/// Slots of the pattern; a share is exact to a hundredth of a percent.
const PERIOD: usize = 10_000;
/// Slots between two productions without a slate.
const SPACING: u64 = 700;
/// Steps of a burst: changes of one entity in quick succession.
pub const BURST_STEPS: u8 = 3;
/// Share of the updates that come in bursts.
const BURST_SHARE: f64 = 0.03;
/// Events come in clusters of this many slots, so that neighbours are near in event time even when the whole run spans weeks.
pub const CLUSTER: u64 = 64;
/// Event time between two slots of a cluster, at most.
const CLUSTER_GAP_NS: u128 = 40_000_000;
/// Share of each kind among the creations, by topic; payments take the rest.
const MIX: [(Topic, f64); 4] = [
    (Topic::Talent, 0.04),
    (Topic::Schedule, 0.03),
    (Topic::Budget, 0.06),
    (Topic::CashFlow, 0.25),
];

/// What a slot holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotKind {
    /// The entity of this number appears.
    Create(Topic, u64),
    /// An entity that exists changes.
    Update,
    /// An entity that exists goes.
    Delete,
    /// An entity that exists is read: changes nothing.
    Read,
    /// A step of a burst that began in an earlier slot (or this one).
    Burst {
        /// The slot of its first step.
        first_slot: u64,
        /// Which step, from 0.
        step: u8,
    },
}

/// A slot of the pattern; creations carry their number within the pattern.
#[derive(Debug, Clone, Copy)]
enum Pattern {
    Create(Topic, u16),
    Update,
    Delete,
    Read,
    Burst(u8),
}

/// See the module.
#[derive(Debug)]
pub struct Timeline {
    start_ms: i64,
    gap_ns: u128,
    cluster_gap_ns: u128,
    spacing: u64,
    productions_max: u64,
    pattern: Vec<Pattern>,
    /// By topic: how many the pattern creates before each of its slots, and in all.
    created: [Vec<u16>; 6],
    /// By topic: the slot in the pattern of each creation.
    created_at: [Vec<u16>; 6],
}

impl Timeline {
    /// A timeline of `slots` slots; `films` is the length of the slate.
    pub fn new(settings: &Settings, slots: u64, films: Option<u64>) -> Result<Self, Error> {
        let (spacing, productions_max) = match films {
            None => (SPACING, u64::MAX),
            Some(films) if films > 0 && slots >= 2 * films => ((slots / films).min(SPACING), films),
            Some(films) => {
                let problem = format!(
                    "is too low for a slate of {films} films; ask for at least {} events",
                    3 * films.max(1)
                );
                return Err(Error::Setting {
                    setting: "events",
                    problem,
                });
            }
        };
        let gap_ns = match settings.rate {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "the rate was checked to be positive"
            )]
            Some(rate) => (1e9 / rate) as u128,
            None => {
                u128::from(settings.span_ms.unsigned_abs()) * 1_000_000 / u128::from(slots.max(1))
            }
        };
        let cluster_gap_ns = if settings.rate.is_some() {
            gap_ns
        } else {
            gap_ns.min(CLUSTER_GAP_NS)
        };
        let pattern = shuffled_pattern(settings);
        let mut created: [Vec<u16>; 6] = Default::default();
        let mut created_at: [Vec<u16>; 6] = Default::default();
        for (at, slot) in pattern.iter().enumerate() {
            for topic in 0..6 {
                created[topic].push(
                    u16::try_from(created_at[topic].len()).expect("a pattern has 10,000 slots"),
                );
            }
            if let Pattern::Create(topic, _) = slot {
                created_at[topic.index()]
                    .push(u16::try_from(at).expect("a pattern has 10,000 slots"));
            }
        }
        Ok(Self {
            start_ms: settings.start_ms,
            gap_ns,
            cluster_gap_ns,
            spacing,
            productions_max,
            pattern,
            created,
            created_at,
        })
    }

    /// What a slot holds.
    pub fn at(&self, slot: u64) -> SlotKind {
        if slot.is_multiple_of(self.spacing) && slot / self.spacing < self.productions_max {
            return SlotKind::Create(Topic::Production, slot / self.spacing + 1);
        }
        let other = slot - self.productions_before(slot);
        let (round, at) = split(other);
        match self.pattern[at] {
            Pattern::Create(topic, number) => SlotKind::Create(
                topic,
                round * self.created_at[topic.index()].len() as u64 + u64::from(number) + 1,
            ),
            Pattern::Update => SlotKind::Update,
            Pattern::Delete => SlotKind::Delete,
            Pattern::Read => SlotKind::Read,
            Pattern::Burst(step) => SlotKind::Burst {
                first_slot: self.slot_of_other(other - u64::from(step)),
                step,
            },
        }
    }

    /// How many entities of a topic appear before a slot. They are numbered from 1.
    pub fn created_before(&self, topic: Topic, slot: u64) -> u64 {
        let productions = self.productions_before(slot);
        if topic == Topic::Production {
            return productions;
        }
        let (round, at) = split(slot - productions);
        round * self.created_at[topic.index()].len() as u64
            + u64::from(self.created[topic.index()][at])
    }

    /// The slot in which an entity appears.
    pub fn slot_of(&self, topic: Topic, id: u64) -> u64 {
        if topic == Topic::Production {
            return (id - 1) * self.spacing;
        }
        let places = &self.created_at[topic.index()];
        let (round, number) = (
            (id - 1) / places.len() as u64,
            (id - 1) % places.len() as u64,
        );
        let at = places[usize::try_from(number).expect("a pattern has 10,000 slots")];
        self.slot_of_other(round * PERIOD as u64 + u64::from(at))
    }

    /// Event time of a slot, in milliseconds since 1970.
    pub fn time_ms(&self, slot: u64) -> i64 {
        let (cluster, within) = (u128::from(slot / CLUSTER), u128::from(slot % CLUSTER));
        let ns = cluster * u128::from(CLUSTER) * self.gap_ns + within * self.cluster_gap_ns;
        self.start_ms
            + i64::try_from(ns / 1_000_000).expect("a run spans less than 292 million years")
    }

    fn productions_before(&self, slot: u64) -> u64 {
        slot.div_ceil(self.spacing).min(self.productions_max)
    }

    /// The slot of the n-th event that does not create a production.
    const fn slot_of_other(&self, other: u64) -> u64 {
        let group = other / (self.spacing - 1);
        if group < self.productions_max {
            other + group + 1
        } else {
            other + self.productions_max
        }
    }
}

fn split(other: u64) -> (u64, usize) {
    let at = usize::try_from(other % PERIOD as u64).expect("a pattern has 10,000 slots");
    (other / PERIOD as u64, at)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "shares were checked to be below 1"
)]
fn part(of: usize, share: f64) -> usize {
    (of as f64 * share).round() as usize
}

fn shuffled_pattern(settings: &Settings) -> Vec<Pattern> {
    let updates = part(PERIOD, settings.updates);
    let bursts = part(updates, BURST_SHARE) / usize::from(BURST_STEPS);
    let deletes = part(PERIOD, settings.deletes);
    let reads = part(PERIOD, READ_SHARE);
    let mut events = Vec::with_capacity(PERIOD);
    events.extend(std::iter::repeat_n(Pattern::Burst(0), bursts));
    events.extend(std::iter::repeat_n(
        Pattern::Update,
        updates - bursts * usize::from(BURST_STEPS),
    ));
    events.extend(std::iter::repeat_n(Pattern::Delete, deletes));
    events.extend(std::iter::repeat_n(Pattern::Read, reads));
    let creations = PERIOD - updates - deletes - reads;
    let mut payments = creations;
    for (topic, share) in MIX {
        let count = part(creations, share);
        payments -= count;
        events.extend(std::iter::repeat_n(Pattern::Create(topic, 0), count));
    }
    events.extend(std::iter::repeat_n(
        Pattern::Create(Topic::Payment, 0),
        payments,
    ));

    let mut draw = Draw::at(settings.seed, Place::Pattern, 0);
    for last in (1..events.len()).rev() {
        events.swap(last, draw.index(last + 1));
    }
    let mut numbers = [0_u16; 6];
    let mut pattern = Vec::with_capacity(PERIOD);
    for event in events {
        match event {
            Pattern::Create(topic, _) => {
                pattern.push(Pattern::Create(topic, numbers[topic.index()]));
                numbers[topic.index()] += 1;
            }
            Pattern::Burst(_) => pattern.extend((0..BURST_STEPS).map(Pattern::Burst)),
            other => pattern.push(other),
        }
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::{SlotKind, Timeline};
    use crate::Topic;
    use crate::generator::settings::Settings;

    const SLOTS: u64 = 40_000;

    fn timelines() -> Vec<Timeline> {
        let settings = Settings::default();
        [None, Some(100), Some(3_201)]
            .map(|films| Timeline::new(&settings, SLOTS, films).expect("can be made"))
            .into()
    }

    #[test]
    fn slots_and_numbers_agree_both_ways() {
        for timeline in timelines() {
            let mut created = [0; 6];
            for slot in 0..SLOTS {
                for topic in Topic::ALL {
                    assert_eq!(
                        timeline.created_before(topic, slot),
                        created[topic.index()],
                        "{topic:?} before {slot}"
                    );
                }
                if let SlotKind::Create(topic, id) = timeline.at(slot) {
                    created[topic.index()] += 1;
                    assert_eq!(id, created[topic.index()]);
                    assert_eq!(timeline.slot_of(topic, id), slot);
                }
            }
        }
    }

    #[test]
    fn the_steps_of_a_burst_follow_their_first_slot() {
        for timeline in timelines() {
            for slot in 0..SLOTS {
                if let SlotKind::Burst { first_slot, step } = timeline.at(slot) {
                    assert_eq!(
                        timeline.at(first_slot),
                        SlotKind::Burst {
                            first_slot,
                            step: 0
                        }
                    );
                    assert!(
                        slot - first_slot <= 2 * u64::from(step),
                        "a production or none lies between two steps"
                    );
                }
            }
        }
    }

    #[test]
    fn every_film_of_a_slate_gets_its_slot() {
        let [_, _, whole] = &timelines()[..] else {
            panic!("three timelines")
        };
        assert_eq!(whole.created_before(Topic::Production, SLOTS), 3_201);
    }

    #[test]
    fn a_slate_that_does_not_fit_is_refused() {
        let error =
            Timeline::new(&Settings::default(), 5_000, Some(3_201)).expect_err("is refused");
        assert!(
            error.to_string().contains("at least 9603 events"),
            "{error}"
        );
    }

    #[test]
    fn time_never_goes_back_and_fills_the_span() {
        for timeline in timelines() {
            assert!((1..SLOTS).all(|slot| timeline.time_ms(slot) >= timeline.time_ms(slot - 1)));
            let span_days =
                (timeline.time_ms(SLOTS - 1) - timeline.time_ms(0)) / crate::calendar::DAY_MS;
            assert_eq!(span_days, 29, "just below 30 days");
        }
    }
}
