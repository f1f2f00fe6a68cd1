//! Replaying: recovery's second half, the journalled epochs again, with their outputs suppressed.

use std::collections::VecDeque;
use std::time::Duration;

use tidemill_checkpoints::{Positions, Record};

use super::{Coordinator, Next, Stage, Wanted, for_events};
use crate::Error;
use crate::crew::Crew;
use crate::data_time;

/// How long replay waits for a record that the journal says exists.
const PATIENCE: Duration = Duration::from_secs(60);

/// The epochs that are still to be done again.
pub(super) struct Replaying {
    records: VecDeque<Record>,
    /// How far the sources were read when they last got on, and when that was.
    read: Positions,
    got_on_at: Duration,
}

impl Replaying {
    pub(super) const fn new(records: VecDeque<Record>, now: Duration) -> Self {
        Self {
            records,
            read: Positions::new(),
            got_on_at: now,
        }
    }

    /// True if the sources have not got on for too long.
    fn has_lost_patience(&mut self, now: Duration, read: &Positions) -> bool {
        if self.read != *read {
            self.read.clone_from(read);
            self.got_on_at = now;
        }
        now.saturating_sub(self.got_on_at) > PATIENCE
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
            if self.replaying.has_lost_patience(now, self.intake.read()) {
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
            data_time::tell(&time.idle, &mut input);
            self.positions = record.positions;
            self.newest_owner = record.owner;
            self.admit(record.epoch.0, tick, input, Vec::new(), crew);
        }
        Ok(None)
    }
}
