//! Admission: when an epoch is closed, whether there is room for it, and which epochs are under way to which of the two ends: the workers
//! and the committer. The limit on epochs in flight is the backpressure.

use std::collections::VecDeque;
use std::time::Duration;

use arrow_array::RecordBatch;
use tidemill_checkpoints::Positions;
use tidemill_connectors_api::SourceOffset;
use tidemill_types::OutputRecords;

use crate::Settings;
use crate::assemble::InFlight;
use crate::committing::CompleteEpoch;

/// What is known when it is decided whether an epoch is due.
#[derive(Debug, Clone, Copy)]
pub struct Pending {
    /// Records that wait.
    pub records: usize,
    /// Their bytes.
    pub bytes: usize,
    /// An epoch without records would change something: the sources were read beyond the newest epoch, if only over what holds no record,
    /// such as the ends of transactions; or partitions became idle.
    pub is_changed: bool,
    /// A bounded run has read everything and owes an epoch that says so.
    pub is_owed: bool,
}

/// Epochs under way.
pub struct Admission {
    interval: Duration,
    idle_interval: Duration,
    bytes_max: usize,
    in_flight_max: usize,
    /// With the workers.
    in_flight: InFlight,
    /// With the workers, and where the sources stand after each.
    admitted: VecDeque<(u64, Positions)>,
    /// With the committer.
    committing: VecDeque<(u64, Positions)>,
    newest: u64,
    clock_ms: i64,
    closed_at: Duration,
    /// Outputs up to this epoch were committed before this run.
    suppress_through: u64,
    /// The newest committed epoch.
    committed: u64,
}

impl Admission {
    /// Nothing under way. `restored` is the checkpoint's epoch and clock, `committed` the newest epoch that was committed before this run.
    pub fn new(
        settings: &Settings,
        keyed: Vec<bool>,
        restored: (u64, i64),
        committed: u64,
    ) -> Self {
        Self {
            interval: Duration::from_millis(settings.epoch_interval_ms),
            idle_interval: Duration::from_millis(settings.idle_epoch_ms),
            bytes_max: settings.epoch_bytes_max,
            in_flight_max: settings.epochs_in_flight_max,
            in_flight: InFlight::new(settings.workers, keyed),
            admitted: VecDeque::new(),
            committing: VecDeque::new(),
            newest: restored.0,
            clock_ms: restored.1,
            closed_at: Duration::ZERO,
            suppress_through: committed,
            committed,
        }
    }

    /// The newest admitted epoch, and its clock.
    pub const fn newest(&self) -> (u64, i64) {
        (self.newest, self.clock_ms)
    }

    /// The newest committed epoch.
    pub const fn committed(&self) -> u64 {
        self.committed
    }

    /// Outputs up to this epoch were committed before this run.
    pub const fn suppress_through(&self) -> u64 {
        self.suppress_through
    }

    /// How many epochs are under way.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len() + self.committing.len()
    }

    /// True if another epoch may be admitted.
    pub fn has_room(&self) -> bool {
        self.in_flight() < self.in_flight_max
    }

    /// True if what waits fills an epoch.
    pub const fn is_full(&self, bytes: usize) -> bool {
        bytes >= self.bytes_max
    }

    /// How long the epoch gathers input: half as long while everything before it is committed, since nothing would wait for it.
    fn interval(&self) -> Duration {
        if self.in_flight() == 0 {
            self.interval / 2
        } else {
            self.interval
        }
    }

    /// True if an epoch is to be closed now.
    pub fn is_due(&self, now: Duration, pending: Pending) -> bool {
        let since_closed = now.saturating_sub(self.closed_at);
        if pending.records > 0 {
            return since_closed >= self.interval() || self.is_full(pending.bytes);
        }
        let is_idle = since_closed >= self.idle_interval;
        self.newest > 0 && (pending.is_owed || pending.is_changed && is_idle)
    }

    /// When the epoch that gathers `records` will be due, from now; none if nothing waits, or if it is due already.
    pub fn due_in(&self, now: Duration, records: usize) -> Option<Duration> {
        let due = self
            .interval()
            .saturating_sub(now.saturating_sub(self.closed_at));
        (records > 0 && !due.is_zero()).then_some(due)
    }

    /// A live epoch is closed now: its number, and its clock, which never goes back.
    pub fn close(&mut self, now: Duration, wall_ms: i64) -> (u64, i64) {
        self.closed_at = now;
        (self.newest + 1, self.clock_ms.max(wall_ms))
    }

    /// From now on epochs are live.
    pub const fn went_live(&mut self, now: Duration) {
        self.closed_at = now;
    }

    /// An epoch goes to the workers.
    pub fn admitted(
        &mut self,
        (epoch, clock_ms): (u64, i64),
        positions: Positions,
        journal: Vec<u8>,
        source_offsets: Vec<SourceOffset>,
    ) {
        (self.newest, self.clock_ms) = (epoch, clock_ms);
        self.in_flight.admitted(epoch, journal, source_offsets);
        self.admitted.push_back((epoch, positions));
    }

    /// A worker wrote to a sink.
    pub fn output(
        &mut self,
        epoch: u64,
        sink: usize,
        partition: Option<u32>,
        records: OutputRecords,
    ) {
        self.in_flight.output(epoch, sink, partition, records);
    }

    /// A worker has dead letters to keep.
    pub fn dead_letters(&mut self, epoch: u64, rows: RecordBatch) {
        self.in_flight.dead_letters(epoch, rows);
    }

    /// Some events of an epoch were decoded.
    pub fn decoded(&mut self, epoch: u64, time_ms: i64, rows: u64) {
        self.in_flight.decoded(epoch, time_ms, rows);
    }

    /// A worker finished every epoch before one; those that this completes, in order, for the committer: also those that had been committed
    /// before, which it knows.
    pub fn progress(&mut self, worker: usize, before: u64) -> Vec<CompleteEpoch> {
        let complete = self.in_flight.progress(worker, before);
        let count = complete.len().min(self.admitted.len());
        self.committing.extend(self.admitted.drain(..count));
        complete
    }

    /// True once every worker has done all that had been committed before this run.
    pub fn has_caught_up(&self) -> bool {
        self.in_flight.len() == 0 || self.in_flight.finished() > self.suppress_through
    }

    /// Everything up to an epoch is committed; where the sources stand after it.
    pub fn committed_through(&mut self, epoch: u64) -> Option<Positions> {
        self.committed = self.committed.max(epoch);
        let mut newest = None;
        while let Some((_, positions)) = self
            .committing
            .pop_front_if(|(under_way, _)| *under_way <= epoch)
        {
            newest = Some(positions);
        }
        newest
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tidemill_checkpoints::Positions;

    use super::{Admission, Pending};
    use crate::Settings;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn admission(committed: u64) -> Admission {
        let settings = Settings {
            workers: 2,
            epochs_in_flight_max: 2,
            ..Settings::default()
        };
        Admission::new(&settings, vec![true], (0, 0), committed)
    }

    fn admit(admission: &mut Admission, epoch: u64) {
        admission.admitted((epoch, 0), Positions::new(), Vec::new(), Vec::new());
    }

    const ONE: Pending = Pending {
        records: 1,
        bytes: 1,
        is_changed: true,
        is_owed: false,
    };

    #[test]
    fn an_epoch_gathers_half_as_long_while_nothing_is_in_flight() {
        let mut admission = admission(0);
        assert!(!admission.is_due(ms(49), ONE) && admission.is_due(ms(50), ONE));
        admit(&mut admission, 1);
        assert!(!admission.is_due(ms(99), ONE) && admission.is_due(ms(100), ONE));
        assert_eq!(admission.due_in(ms(40), 1), Some(ms(60)));
    }

    #[test]
    fn a_full_epoch_is_due_at_once() {
        let full = Pending {
            bytes: 5 << 19,
            ..ONE
        };
        assert!(admission(0).is_due(ms(0), full));
    }

    #[test]
    fn an_epoch_without_records_is_due_if_it_changes_something_and_at_once_if_it_is_owed() {
        let mut admission = admission(0);
        let changed = Pending {
            records: 0,
            bytes: 0,
            ..ONE
        };
        let owed = Pending {
            is_owed: true,
            ..changed
        };
        assert!(
            !admission.is_due(ms(1_000), owed),
            "nothing was ever committed"
        );
        admit(&mut admission, 1);
        assert!(!admission.is_due(ms(999), changed) && admission.is_due(ms(1_000), changed));
        assert!(admission.is_due(ms(0), owed));
    }

    #[test]
    fn an_epoch_counts_as_in_flight_until_it_is_committed() {
        let mut admission = admission(0);
        (1..=2).for_each(|epoch| admit(&mut admission, epoch));
        assert!(!admission.has_room());
        assert_eq!(
            admission.progress(0, 3).len(),
            0,
            "the other worker is not so far"
        );
        assert_eq!(admission.progress(1, 2).len(), 1);
        assert!(!admission.has_room());
        assert!(admission.committed_through(1).is_some());
        assert!(admission.has_room());
    }

    #[test]
    fn what_was_committed_before_stays_committed_while_it_is_done_again() {
        let mut admission = admission(1);
        (1..=2).for_each(|epoch| admit(&mut admission, epoch));
        admission.progress(0, 3);
        assert!(!admission.has_caught_up());
        assert_eq!(admission.progress(1, 3).len(), 2);
        assert!(admission.has_caught_up());
        assert!(admission.committed_through(0).is_none());
        assert_eq!(admission.committed(), 1);
        assert!(admission.committed_through(1).is_some());
    }

    #[test]
    fn the_clock_of_an_epoch_never_goes_back() {
        let mut admission = admission(0);
        let closed = admission.close(ms(1), 1_000);
        admission.admitted(closed, Positions::new(), Vec::new(), Vec::new());
        assert_eq!(admission.close(ms(2), 400), (2, 1_000));
    }
}
