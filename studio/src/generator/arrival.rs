//! In which order records arrive: events in the order of their slots, but for the displaced ones; duplicates some way behind their originals;
//! garbage in between.
//!
//! Slots are taken in blocks. What arrives in a block comes from its own slots or from the block before, because nothing is moved by more
//! than [`REACH`] slots; so a block is planned without knowing the others.

use super::draw::{Draw, Place};
use super::timeline::CLUSTER;

/// Slots of a block.
pub const BLOCK: u64 = 4_096;
/// Slots from an event to its duplicate, at most.
const DUPLICATE_REACH: u64 = 1_500;
/// Share of the displaced events that leave their cluster: in a run over weeks they come too late for a watermark of seconds.
const FAR_SHARE: f64 = 0.02;
/// Clusters that such an event is displaced by, at most.
const FAR_CLUSTERS: u64 = 4;
/// How far a record is moved at most, in slots.
const REACH: u64 = FAR_CLUSTERS * CLUSTER + 1 + DUPLICATE_REACH;
const _: () = assert!(
    REACH < BLOCK,
    "a record arrives in its own block or in the next"
);
const _: () = assert!(BLOCK.is_multiple_of(CLUSTER), "clusters are not torn");

/// What arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// An event in its place.
    Event,
    /// An event, later than its place.
    Displaced,
    /// An event again.
    Duplicate,
    /// Garbage beside the event.
    Garbage,
}

/// One record, to arrive just after the slot `arrival` is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrival {
    pub arrival: u64,
    pub what: What,
    pub slot: u64,
}

/// How many of each in all.
#[derive(Debug, Clone, Copy)]
pub struct Quota {
    pub slots: u64,
    pub displaced: u64,
    pub duplicates: u64,
    pub garbage: u64,
}

/// Picks exactly as many as wanted out of a row of candidates, each as likely (Knuth's algorithm S).
struct Picker {
    wanted: u64,
    left: u64,
}

impl Picker {
    /// A picker for the slots of a block: its fair part of the total.
    fn new(total: u64, slots: u64, from: u64, to: u64) -> Self {
        let until = |slot: u64| {
            u64::try_from(u128::from(slot) * u128::from(total) / u128::from(slots))
                .expect("a part of the total")
        };
        Self {
            wanted: until(to) - until(from),
            left: to - from,
        }
    }

    fn picks(&mut self, draw: &mut Draw) -> bool {
        let hit = self.wanted > 0 && draw.below(self.left) < self.wanted;
        self.wanted -= u64::from(hit);
        self.left -= 1;
        hit
    }
}

/// How many blocks there are.
pub const fn blocks(quota: &Quota) -> u64 {
    quota.slots.div_ceil(BLOCK)
}

/// What comes from the slots of a block, in no order.
fn departures(seed: u64, quota: &Quota, block: u64) -> Vec<Arrival> {
    let (from, to) = (block * BLOCK, ((block + 1) * BLOCK).min(quota.slots));
    let picker = |total| Picker::new(total, quota.slots, from, to);
    let (mut displaced, mut duplicates, mut garbage) = (
        picker(quota.displaced),
        picker(quota.duplicates),
        picker(quota.garbage),
    );
    let mut draw = Draw::at(seed, Place::Arrival, block);
    let last = quota.slots - 1;
    let mut found =
        Vec::with_capacity(usize::try_from(to - from).expect("a block is small") * 9 / 8);
    for slot in from..to {
        let mut arrival = slot;
        if displaced.picks(&mut draw) {
            let to_cluster_end = CLUSTER - 1 - slot % CLUSTER;
            arrival += match to_cluster_end {
                _ if draw.share(FAR_SHARE) => CLUSTER * (1 + draw.below(FAR_CLUSTERS)),
                0 => CLUSTER / 2,
                rest => 1 + draw.below(rest),
            };
        }
        let what = if arrival == slot {
            What::Event
        } else {
            What::Displaced
        };
        found.push(Arrival {
            arrival: arrival.min(last),
            what,
            slot,
        });
        if duplicates.picks(&mut draw) {
            let again = arrival + 1 + draw.below(DUPLICATE_REACH);
            found.push(Arrival {
                arrival: again.min(last),
                what: What::Duplicate,
                slot,
            });
        }
        if garbage.picks(&mut draw) {
            found.push(Arrival {
                arrival: slot,
                what: What::Garbage,
                slot,
            });
        }
    }
    found
}

/// What arrives in a block, in order.
pub fn arrivals(seed: u64, quota: &Quota, block: u64) -> Vec<Arrival> {
    let (from, to) = (block * BLOCK, (block + 1) * BLOCK);
    let mut arrivals = departures(seed, quota, block);
    arrivals.retain(|record| record.arrival < to);
    if let Some(before) = block.checked_sub(1) {
        arrivals.extend(
            departures(seed, quota, before)
                .into_iter()
                .filter(|record| record.arrival >= from),
        );
    }
    arrivals.sort_unstable();
    arrivals
}

#[cfg(test)]
mod tests {
    use super::{Quota, What, arrivals, blocks};

    #[test]
    fn every_record_arrives_once_and_originals_before_their_duplicates() {
        let quota = Quota {
            slots: 10_001,
            displaced: 500,
            duplicates: 600,
            garbage: 11,
        };
        let all: Vec<_> = (0..blocks(&quota))
            .flat_map(|block| arrivals(7, &quota, block))
            .collect();
        assert!(all.is_sorted());
        assert_eq!(all.len(), 10_001 + 600 + 11);
        let mut seen = vec![false; 10_001];
        for record in &all {
            let slot = usize::try_from(record.slot).expect("is small");
            match record.what {
                What::Event | What::Displaced => assert!(
                    !std::mem::replace(&mut seen[slot], true),
                    "slot {slot} arrives twice"
                ),
                What::Duplicate => assert!(seen[slot], "the duplicate of slot {slot} comes first"),
                What::Garbage => {}
            }
        }
        assert!(seen.iter().all(|seen| *seen));
        let displaced = all
            .iter()
            .filter(|record| record.what == What::Displaced)
            .count();
        assert!(
            (495..=500).contains(&displaced),
            "{displaced}: all but what would pass the end"
        );
    }
}
