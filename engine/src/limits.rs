//! How large a record of each sink may be. A journalled epoch has the limits that its record tells, whatever they are now: what was too large
//! then is so again when the epoch is done again.

use std::collections::{BTreeMap, VecDeque};

use tidemill_checkpoints::Record;
use tidemill_connectors_api::Committer;

use crate::outgoing::Outgoing;

/// Per sink, key and value together, in bytes; `None` is no limit. Empty where no sink has one.
type OfSinks = Vec<Option<u64>>;

/// The limits of a run.
#[derive(Debug)]
pub struct Limits {
    now: OfSinks,
    /// Of the journalled epochs that had others.
    replayed: BTreeMap<u64, OfSinks>,
}

impl Limits {
    /// The limits of the sinks as their committer tells them now, after a fence, and as the records of `replay` had them. What is delivered
    /// has none.
    pub fn new(committer: &dyn Committer, outgoing: &Outgoing, replay: &VecDeque<Record>) -> Self {
        let mut now: OfSinks = vec![None; outgoing.sinks()];
        for (of_committer, sink) in outgoing.of_committer().enumerate() {
            let limit = committer.record_bytes_max(of_committer);
            now[sink] = limit.map(|limit| limit as u64);
        }
        let now = if now.iter().all(Option::is_none) {
            OfSinks::new()
        } else {
            now
        };
        let others = replay
            .iter()
            .filter(|record| record.record_bytes_max != now);
        let replayed = others.map(|record| (record.epoch.0, record.record_bytes_max.clone()));
        Self {
            replayed: replayed.collect(),
            now,
        }
    }

    /// For the records of epochs that are closed now.
    pub fn now(&self) -> &[Option<u64>] {
        &self.now
    }

    /// How many bytes a record of `sink` may have in `epoch`.
    pub fn of(&self, sink: usize, epoch: u64) -> usize {
        let limits = self.replayed.get(&epoch).unwrap_or(&self.now);
        let limit = limits.get(sink).copied().flatten();
        limit.map_or(usize::MAX, |limit| {
            usize::try_from(limit).unwrap_or(usize::MAX)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::Limits;

    #[test]
    fn a_journalled_epoch_has_the_limits_that_its_record_tells() {
        let limits = Limits {
            now: vec![None, Some(10)],
            replayed: BTreeMap::from([(3, vec![Some(5), None])]),
        };
        assert_eq!((limits.of(0, 3), limits.of(1, 3)), (5, usize::MAX));
        assert_eq!((limits.of(0, 4), limits.of(1, 4)), (usize::MAX, 10));
    }
}
