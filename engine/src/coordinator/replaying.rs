//! Recovery's second half: the journalled epochs again, with their outputs suppressed.

use super::*;

impl Coordinator<'_> {
    /// Replays one epoch; false if the run is to stop.
    pub(super) fn replay(&mut self, record: &Record, stop: &AtomicBool) -> Result<bool, Error> {
        let mut waited = Instant::now();
        loop {
            let missing = self.missing(record);
            let Some((source, partition, offset)) = missing else {
                break;
            };
            if stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            let before = self.read_positions.clone();
            self.wait(Wanted::Source(source))?;
            if self.read_positions != before {
                waited = Instant::now();
            } else if waited.elapsed() > REPLAY_PATIENCE {
                let source_name = self.plan.sources[source].name.clone();
                return Err(Error::ReplayShort {
                    epoch: record.epoch,
                    source_name,
                    partition,
                    offset,
                });
            }
        }
        while self.epochs_in_flight() >= self.settings.epochs_in_flight_max {
            self.wait(Wanted::Events)?;
        }
        let mut input = BTreeMap::new();
        for (source, plan) in self.plan.sources.iter().enumerate() {
            for (&partition, &end) in record.positions.get(&plan.name).into_iter().flatten() {
                let batches = self.waiting[source].take_until(partition, end);
                self.waiting_bytes -= batches.iter().map(|batch| batch.arena.len()).sum::<usize>();
                self.waiting_records -= batches.iter().map(SourceBatch::len).sum::<usize>();
                input.entry(source).or_insert_with(Vec::new).extend(batches);
            }
        }
        self.positions = record.positions.clone();
        self.clock_ms = record.clock_ms;
        let time = (self.data_time).replay(&record.time, record.clock_ms, &mut input);
        let tick = data_time::tick(record.clock_ms, &time.times, false);
        data_time::tell(&time.idle, &mut input);
        self.admit(record.epoch.0, tick, input, Vec::new());
        Ok(true)
    }

    /// A partition that has not sent all of an epoch yet.
    pub(super) fn missing(&self, record: &Record) -> Option<(usize, u32, i64)> {
        let ends = self
            .plan
            .sources
            .iter()
            .enumerate()
            .flat_map(|(source, plan)| {
                record
                    .positions
                    .get(&plan.name)
                    .into_iter()
                    .flatten()
                    .map(move |(&partition, &end)| (source, &plan.name, partition, end))
            });
        let mut missing = ends.filter(|&(source, name, partition, end)| {
            let before = self
                .positions
                .get(name)
                .and_then(|positions| positions.get(&partition))
                .copied();
            before != Some(end) && !self.waiting[source].reaches(partition, end)
        });
        missing
            .next()
            .map(|(source, _, partition, end)| (source, partition, end))
    }

    pub(super) fn went_live(&mut self) {
        if self.in_flight.len() == 0 {
            self.recovered();
        }
        (self.closed_at, self.live_at) = (Instant::now(), Instant::now());
    }

    pub(super) fn recovered(&self) {
        if self.status.phase() == Phase::Recovering {
            self.status.recovery_ms.store(
                i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX),
                Ordering::Relaxed,
            );
            self.status.set_phase(Phase::Running);
        }
    }
}
