//! Checkpointing: when a checkpoint is due, and what has to come together for it.

use std::collections::BTreeSet;
use std::time::Duration;

use tidemill_checkpoints::Manifest;

use crate::Settings;

/// A checkpoint that is being made.
struct Current {
    manifest: Manifest,
    frozen: BTreeSet<usize>,
    /// It is being written.
    is_written: bool,
}

/// Checkpoints of a run: at most one is being made.
pub struct Checkpointing {
    interval: Duration,
    workers: usize,
    current: Option<Current>,
    /// Epoch of the newest one.
    newest: u64,
    begun_at: Duration,
}

impl Checkpointing {
    /// None is being made; the newest is of epoch `newest`, 0 for none.
    pub const fn new(settings: &Settings, newest: u64, now: Duration) -> Self {
        Self {
            interval: Duration::from_millis(settings.checkpoint_interval_ms),
            workers: settings.workers,
            current: None,
            newest,
            begun_at: now,
        }
    }

    /// Epoch of the newest one; 0 for none.
    pub const fn newest(&self) -> u64 {
        self.newest
    }

    /// True while one is being made.
    pub const fn is_under_way(&self) -> bool {
        self.current.is_some()
    }

    /// True if one is to be made now, of `epoch`. What had been committed before this run, `suppress_through`, must be done first.
    pub fn is_due(&self, now: Duration, epoch: u64, suppress_through: u64) -> bool {
        now.saturating_sub(self.begun_at) >= self.interval
            && self.current.is_none()
            && epoch > self.newest.max(suppress_through)
    }

    /// One is begun.
    pub fn begin(&mut self, now: Duration, manifest: Manifest) {
        self.begun_at = now;
        self.current = Some(Current {
            manifest,
            frozen: BTreeSet::new(),
            is_written: false,
        });
    }

    /// A worker's state is frozen as of the end of an epoch.
    pub fn frozen(&mut self, worker: usize, epoch: u64) {
        if let Some(current) = &mut self.current
            && current.manifest.epoch.0 == epoch
        {
            current.frozen.insert(worker);
        }
    }

    /// The checkpoint to write now, once: when every worker's state is frozen and its epoch is committed. A checkpoint of an epoch that
    /// never was committed would be state that no journal tells of.
    pub fn take_ready(&mut self, committed: u64) -> Option<Manifest> {
        let workers = self.workers;
        let ready = |current: &&mut Current| {
            !current.is_written
                && current.frozen.len() == workers
                && current.manifest.epoch.0 <= committed
        };
        let current = self.current.as_mut().filter(ready)?;
        current.is_written = true;
        Some(current.manifest.clone())
    }

    /// The one that was being made is whole.
    pub fn written(&mut self, epoch: u64) {
        self.newest = epoch;
        self.current = None;
    }

    /// The one that was being made could not be written; the one before stays.
    pub fn failed(&mut self) {
        self.current = None;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tidemill_checkpoints::Manifest;
    use tidemill_types::Epoch;

    use super::Checkpointing;
    use crate::Settings;

    fn manifest(epoch: u64) -> Manifest {
        Manifest {
            version: tidemill_checkpoints::manifest::VERSION,
            job: "job".to_owned(),
            epoch: Epoch(epoch),
            owner: String::new(),
            plan_hash: String::new(),
            plan_text: String::new(),
            workers: 2,
            clock_ms: 0,
            time: Default::default(),
            created_ms: 0,
            positions: Default::default(),
            incarnations: Default::default(),
            files: Vec::new(),
            state_bytes: 0,
        }
    }

    fn checkpointing() -> Checkpointing {
        let settings = Settings {
            workers: 2,
            checkpoint_interval_ms: 1_000,
            ..Settings::default()
        };
        Checkpointing::new(&settings, 3, Duration::ZERO)
    }

    #[test]
    fn a_checkpoint_is_due_at_its_interval_if_there_is_something_new_that_is_live() {
        let checkpointing = checkpointing();
        let second = Duration::from_secs(1);
        assert!(checkpointing.is_due(second, 9, 8));
        assert!(!checkpointing.is_due(second / 2, 9, 8), "too early");
        assert!(!checkpointing.is_due(second, 3, 0), "nothing new");
        assert!(!checkpointing.is_due(second, 8, 8), "still replaying");
    }

    #[test]
    fn a_checkpoint_is_written_once_when_all_workers_are_frozen_and_its_epoch_is_committed() {
        let mut checkpointing = checkpointing();
        checkpointing.begin(Duration::ZERO, manifest(9));
        checkpointing.frozen(0, 9);
        assert_eq!(checkpointing.take_ready(9), None, "a worker is not frozen");
        checkpointing.frozen(1, 8);
        assert_eq!(
            checkpointing.take_ready(9),
            None,
            "an older freeze does not count"
        );
        checkpointing.frozen(1, 9);
        assert_eq!(
            checkpointing.take_ready(8),
            None,
            "its epoch is not committed"
        );
        assert_eq!(checkpointing.take_ready(9), Some(manifest(9)));
        assert_eq!(checkpointing.take_ready(10), None, "it is being written");
    }

    #[test]
    fn a_checkpoint_that_failed_leaves_the_one_before() {
        let mut checkpointing = checkpointing();
        checkpointing.begin(Duration::ZERO, manifest(9));
        checkpointing.failed();
        assert_eq!(
            (checkpointing.newest(), checkpointing.is_under_way()),
            (3, false)
        );
        checkpointing.begin(Duration::ZERO, manifest(10));
        checkpointing.written(10);
        assert_eq!(
            (checkpointing.newest(), checkpointing.is_under_way()),
            (10, false)
        );
    }
}
