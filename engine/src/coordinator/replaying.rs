//! Replaying: recovery's second half, the journalled epochs again, with their outputs suppressed.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tidemill_checkpoints::Record;

use super::intake::Missing;
use super::{Coordinator, Next, Stage, Wanted, for_events};
use crate::Error;
use crate::crew::Crew;
use crate::data_time;

/// So many times in a row, about a second apart, a source must say that a partition ends before what the journal tells of it, until that is
/// believed: just after another broker became its leader it may know less than is there. One that says nothing is waited for.
const ANSWERS_MIN: u32 = 60;

/// The epochs that are still to be done again.
pub(super) struct Replaying {
    records: VecDeque<Record>,
    /// By source and partition: where it ends, and how often in a row that was said.
    ends: BTreeMap<(usize, u32), (i64, u32)>,
}

impl Replaying {
    pub(super) const fn new(records: VecDeque<Record>) -> Self {
        Self {
            records,
            ends: BTreeMap::new(),
        }
    }

    /// A source says where a partition ends.
    pub(super) fn heard(&mut self, source: usize, partition: u32, end: i64) {
        let (known, answers) = self.ends.entry((source, partition)).or_insert((end, 0));
        if *known != end {
            (*known, *answers) = (end, 0);
        }
        *answers += 1;
    }

    /// True if a partition ends before what is missing of it, beyond doubt.
    fn is_short(&self, missing: &Missing) -> bool {
        let known = self.ends.get(&(missing.source, missing.partition));
        known.is_some_and(|&(end, answers)| end < missing.end && answers >= ANSWERS_MIN)
    }
}

impl Coordinator {
    /// Admits the next journalled epoch as soon as its input is there and there is room for it.
    pub(super) fn replay(
        &mut self,
        now: Duration,
        stop: bool,
        crew: &mut dyn Crew,
    ) -> Result<Option<Next>, Error> {
        if stop {
            return Ok(self.enter(Stage::Done));
        }
        let Some(record) = self.replaying.records.front() else {
            self.admission.went_live(now);
            self.live_at = now;
            self.enter(Stage::Live);
            if self.admission.has_caught_up() {
                self.recovered();
            }
            return Ok(None);
        };
        if let Some(missing) = self.intake.missing(record, &self.positions) {
            if self.replaying.is_short(&missing) {
                return Err(Error::ReplayShort {
                    epoch: self.replaying.records[0].epoch,
                    source_name: self.run.plan.sources[missing.source].name.clone(),
                    partition: missing.partition,
                    offset: missing.end,
                });
            }
            return Ok(Some(Next::Wait {
                wanted: Wanted::Source(missing.source),
                at_most: super::LOOK_AGAIN,
            }));
        }
        if !self.admission.has_room() {
            return Ok(Some(for_events()));
        }
        if let Some(record) = self.replaying.records.pop_front() {
            let mut input = self.intake.take(&record);
            let time =
                self.data_time
                    .replay(&record.time, &record.positions, record.clock_ms, &mut input);
            let tick = data_time::tick(record.clock_ms, &time.times, false);
            let workers = self.run.settings.workers;
            let input = super::by_worker(input, time.standings(), workers, &tick);
            // What was added later stands where it was opened.
            for (source, positions) in record.positions {
                self.positions.entry(source).or_default().extend(positions);
            }
            self.newest_owner = record.owner;
            self.admit(record.epoch.0, tick, input, Vec::new(), crew);
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::{ANSWERS_MIN, Missing, Replaying};

    #[test]
    fn a_partition_is_short_once_it_was_said_often_enough_and_never_while_it_is_away() {
        let missing = Missing {
            source: 1,
            partition: 2,
            end: 9,
        };
        let mut replaying = Replaying::new(VecDeque::new());
        assert!(!replaying.is_short(&missing), "nobody said anything");
        (1..ANSWERS_MIN).for_each(|_| replaying.heard(1, 2, 5));
        assert!(!replaying.is_short(&missing), "it may be a new leader");
        replaying.heard(1, 2, 6);
        assert!(!replaying.is_short(&missing), "it gets on");
        (1..ANSWERS_MIN).for_each(|_| replaying.heard(1, 2, 6));
        assert!(replaying.is_short(&missing));
        (0..ANSWERS_MIN).for_each(|_| replaying.heard(1, 2, 9));
        assert!(!replaying.is_short(&missing), "it is all there");
    }
}
