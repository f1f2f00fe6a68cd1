//! Gathers input, closes epochs, and sends them to the workers.

use tidemill_formats::studio_json::Clocks;

use super::*;

impl Coordinator<'_> {
    /// Waits for what is wanted, or until the epoch is due; then takes what is there.
    pub(super) fn wait(&mut self, wanted: Wanted) -> Result<(), Error> {
        let sources = match wanted {
            Wanted::Events => 0..0,
            Wanted::AllSources => 0..self.channels.batches.len(),
            Wanted::Source(source) => source..source + 1,
        };
        let mut select = Select::new();
        select.recv(&self.channels.events);
        self.channels.batches[sources.clone()]
            .iter()
            .for_each(|batches| {
                select.recv(batches);
            });
        let due = self
            .epoch_interval()
            .saturating_sub(self.closed_at.elapsed());
        let timeout = if self.waiting_records > 0 && !due.is_zero() {
            due
        } else {
            LOOK_AGAIN
        };
        // Which one is ready does not matter: everything that is there is taken.
        if select.ready_timeout(timeout).is_err() {
            return Ok(());
        }
        while let Ok(event) = self.channels.events.try_recv() {
            self.handle(event)?;
        }
        // Replay takes what it misses, whatever else waits: the journal says how far it has to read.
        let bytes_max = if matches!(wanted, Wanted::Source(_)) {
            usize::MAX
        } else {
            self.settings.epoch_bytes_max
        };
        self.gather(sources, bytes_max);
        Ok(())
    }

    pub(super) fn gather(&mut self, sources: std::ops::Range<usize>, bytes_max: usize) {
        for source in sources {
            while self.waiting_bytes < bytes_max
                && let Ok(batches) = self.channels.batches[source].try_recv()
            {
                let (status, plan) = (&self.status.sources[source], &self.plan.sources[source]);
                for batch in batches {
                    let position = self
                        .read_positions
                        .get(&plan.name)
                        .and_then(|read| read.get(&batch.partition))
                        .copied();
                    let live_for_ms = data_time::elapsed_ms(self.live_at);
                    if !(self.data_time).gathered(source, &batch, position, live_for_ms) {
                        continue;
                    }
                    status.records.add(batch.len() as u64);
                    status.bytes.add(batch.arena.len() as u64);
                    self.waiting_records += batch.len();
                    self.waiting_bytes += batch.arena.len();
                    self.read_positions
                        .entry(plan.name.clone())
                        .or_default()
                        .insert(batch.partition, batch.next_offset);
                    self.waiting[source].push(batch);
                }
            }
        }
    }

    /// How long the epoch gathers input: half as long while everything before it is committed, since nothing would wait for it.
    fn epoch_interval(&self) -> Duration {
        let interval = Duration::from_millis(self.settings.epoch_interval_ms);
        if self.epochs_in_flight() == 0 {
            interval / 2
        } else {
            interval
        }
    }

    pub(super) fn is_epoch_due(&self) -> bool {
        let since_closed = self.closed_at.elapsed();
        if self.waiting_records > 0 {
            return since_closed >= self.epoch_interval()
                || self.waiting_bytes >= self.settings.epoch_bytes_max;
        }
        // Without records an epoch changes something only if partitions became idle.
        self.newest > 0
            && (self.data_time.is_due()
                && since_closed >= Duration::from_millis(self.settings.idle_epoch_ms)
                || self.is_read() && self.data_time.is_unsettled())
    }

    pub(super) fn close_epoch(&mut self) {
        let at_ends = self.is_read();
        self.clock_ms = self.clock_ms.max(clock::now_ms());
        let mut input: BTreeMap<usize, Vec<SourceBatch>> = self
            .waiting
            .iter_mut()
            .map(Waiting::take_all)
            .enumerate()
            .collect();
        (self.waiting_bytes, self.waiting_records) = (0, 0);
        self.positions = self.read_positions.clone();
        let epoch = self.newest + 1;
        let live_for_ms = data_time::elapsed_ms(self.live_at);
        let time = (self.data_time).close(self.clock_ms, live_for_ms, at_ends, &mut input);
        let record = Record::new(
            Epoch(epoch),
            self.plan_hash.clone(),
            self.clock_ms,
            time.times.clone(),
            self.positions.clone(),
        );
        let tick = data_time::tick(self.clock_ms, &time.times, false);
        data_time::tell(&time.idle, &mut input);
        self.admit(epoch, tick, input, record.encode());
        self.closed_at = Instant::now();
    }

    /// Sends an epoch to the workers.
    pub(super) fn admit(
        &mut self,
        epoch: u64,
        tick: Tick,
        input: BTreeMap<usize, Vec<SourceBatch>>,
        journal: Vec<u8>,
    ) {
        let workers = self.settings.workers;
        let mut per_worker: Vec<Vec<(usize, RawBatch)>> =
            (0..workers).map(|_| Vec::new()).collect();
        for (source, batches) in input {
            for batch in batches {
                if batch.is_empty() && batch.end_offset.is_none() {
                    continue;
                }
                let SourceBatch {
                    partition,
                    offsets,
                    bounds,
                    arena,
                    timestamps,
                    end_offset,
                    ..
                } = batch;
                per_worker[(source + partition as usize) % workers].push((
                    source,
                    RawBatch {
                        partition,
                        offsets,
                        bounds,
                        arena,
                        timestamps,
                        clocks: Clocks {
                            wall_ms: tick.clock_ms,
                            steady_ms: tick.steady_ms,
                        },
                        is_idle: end_offset.is_some(),
                    },
                ));
            }
        }
        self.newest = epoch;
        self.in_flight
            .admitted(epoch, journal, self.source_offsets());
        self.admitted_positions
            .push_back((epoch, self.positions.clone()));
        for (worker, batches) in per_worker.into_iter().enumerate() {
            self.command(
                worker,
                Command::Epoch {
                    epoch,
                    tick,
                    batches,
                },
            );
        }
    }

    pub(super) fn command(&self, worker: usize, command: Command) {
        // A worker that has gone has reported why.
        let _ = self.channels.commands[worker].send(command);
        self.channels.workers[worker].unpark();
    }

    pub(super) fn source_offsets(&self) -> Vec<SourceOffset> {
        let of = |(source, status): (
            &tidemill_jobs::plan::SourcePlan,
            &crate::status::SourceStatus,
        )| {
            let positions = self
                .positions
                .get(&source.name)
                .cloned()
                .unwrap_or_default();
            let topic = status.topic.clone();
            positions
                .into_iter()
                .map(move |(partition, next_offset)| SourceOffset {
                    topic: topic.clone(),
                    partition,
                    next_offset,
                })
        };
        self.plan
            .sources
            .iter()
            .zip(&self.status.sources)
            .flat_map(of)
            .collect()
    }
}
