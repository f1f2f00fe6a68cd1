//! When a checkpoint is due, and what has to come together for it.

use super::*;

impl Coordinator<'_> {
    pub(super) fn checkpoint_if_due(&mut self) {
        let due = self.checkpoint_at.elapsed()
            >= Duration::from_millis(self.settings.checkpoint_interval_ms);
        if due
            && self.checkpoint.is_none()
            && self.newest > self.checkpoint_epoch.max(self.suppress_through)
        {
            self.begin_checkpoint();
        }
    }

    pub(super) fn begin_checkpoint(&mut self) {
        self.checkpoint_at = Instant::now();
        let manifest = Manifest {
            version: tidemill_checkpoints::manifest::VERSION,
            job: self.plan.name.clone(),
            epoch: Epoch(self.newest),
            plan_hash: self.plan_hash.clone(),
            plan_text: self.plan.to_string(),
            workers: self.settings.workers,
            clock_ms: self.clock_ms,
            time: self.data_time.times().clone(),
            created_ms: clock::now_ms(),
            positions: self.positions.clone(),
            files: Vec::new(),
            state_bytes: 0,
        };
        self.checkpoint = Some(Checkpoint {
            manifest,
            started: Instant::now(),
            frozen: BTreeMap::new(),
        });
        for worker in 0..self.settings.workers {
            self.command(
                worker,
                Command::Freeze {
                    epoch: self.newest,
                    oldest_ms: self.data_time.times().oldest_ms,
                },
            );
        }
    }

    pub(super) fn sized(&mut self, worker: usize, disk_bytes: u64, cache_bytes: u64) {
        self.sizes[worker] = (disk_bytes, cache_bytes);
        let sum = |of: fn(&(u64, u64)) -> u64| self.sizes.iter().map(of).sum();
        self.status
            .state_bytes
            .store(sum(|size| size.0), Ordering::Relaxed);
        self.status
            .cache_bytes
            .store(sum(|size| size.1), Ordering::Relaxed);
    }

    pub(super) fn frozen(
        &mut self,
        worker: usize,
        epoch: u64,
        frozen: Frozen,
    ) -> Result<(), Error> {
        let Some(checkpoint) = self
            .checkpoint
            .as_mut()
            .filter(|checkpoint| checkpoint.manifest.epoch.0 == epoch)
        else {
            return Ok(());
        };
        checkpoint.frozen.insert(worker, frozen);
        self.write_checkpoint_if_ready()
    }

    /// Writes the checkpoint once every worker's state is frozen and its epoch is committed: a checkpoint of an epoch that never was
    /// would be state that no journal tells of.
    pub(super) fn write_checkpoint_if_ready(&mut self) -> Result<(), Error> {
        let (workers, committed) = (self.settings.workers, self.committed_epoch);
        let ready = |checkpoint: &&mut Checkpoint| {
            checkpoint.frozen.len() == workers && checkpoint.manifest.epoch.0 <= committed
        };
        if let Some(checkpoint) = self.checkpoint.as_mut().filter(ready) {
            let frozen = FrozenCheckpoint {
                manifest: checkpoint.manifest.clone(),
                frozen: std::mem::take(&mut checkpoint.frozen)
                    .into_values()
                    .collect(),
                started: checkpoint.started,
                keep: self.settings.checkpoints_kept,
            };
            checkpointer::spawn(self.store.clone(), frozen, self.channels.events_in.clone())?;
        }
        Ok(())
    }
}
