//! How far the data's time has come: which partitions have nothing to read, the steady clock, and the clock of the data.
//!
//! A partition is **idle** in an epoch when it was found at its end, by an end that was asked for after everything before the epoch had been
//! read, and has been at its end for the source's idle timeout. That nothing came is no sign of it: what was not read yet may be a backlog.
//! What is idle is said of the progress *before* the epoch's own records, so no record of the epoch can be overtaken by it.
//!
//! The **steady clock** is set by the wall clock once and goes on only while the job runs: an outage is no time on it.
//! The **data's clock** is the least, over the sources, of the greatest record time of each partition, idle ones aside. It never goes back.
//! A source without record times has the steady clock instead.
//!
//! Everything that an epoch takes from here stands in its journal record, so that replay decides alike.

use std::collections::{BTreeMap, BTreeSet};

use tidemill_checkpoints::{DataTimes, Manifest, Positions};
use tidemill_connectors_api::SourceBatch;
use tidemill_jobs::plan::JobPlan;
use tidemill_operators::Tick;
use tidemill_operators::decode::Standing;

/// How long a partition must have been at its end where no watermark says so, in milliseconds.
const IDLE_TIMEOUT_MS: i64 = 30_000;

/// What is to be known about a source.
#[derive(Debug, Clone)]
pub struct SourceSettings {
    /// Its name, as in the journal.
    pub name: String,
    /// Its partitions.
    pub partitions: Vec<u32>,
    /// The idle timeout of its watermark, if it has one.
    pub idle_timeout_ms: Option<i64>,
}

/// What an epoch takes from here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochTime {
    /// As it is journalled.
    pub times: DataTimes,
    /// The idle partitions of sources with a watermark, by source index.
    pub idle: Vec<(usize, u32)>,
    /// The partitions of sources with a watermark that were added after the epoch, by source index.
    pub absent: Vec<(usize, u32)>,
}

impl EpochTime {
    /// What the epoch knows of partitions beside their records, by source index.
    pub fn standings(&self) -> impl Iterator<Item = (usize, u32, Standing)> {
        let with =
            |standing| move |&(source, partition): &(usize, u32)| (source, partition, standing);
        let idle = self.idle.iter().map(with(Standing::Idle));
        idle.chain(self.absent.iter().map(with(Standing::Absent)))
    }
}

#[derive(Debug, Default)]
struct Partition {
    /// On the steady clock, when it was first and when last found at its end, nothing having come meanwhile.
    at_end_ms: Option<(i64, i64)>,
    /// How many batches of the source had come when it was last found at its end.
    found_after: u64,
    /// The greatest record time in closed epochs.
    newest_ms: Option<i64>,
}

#[derive(Debug)]
struct Source {
    settings: SourceSettings,
    partitions: BTreeMap<u32, Partition>,
    /// Batches that came so far, and those that were in closed epochs.
    batches: u64,
    closed: u64,
    /// Idle partitions that an epoch has told of since the last record.
    told: BTreeSet<u32>,
    /// True if it brought records without times.
    is_timeless: bool,
    /// True if the epoch that is being closed has records of it.
    has_records: bool,
}

/// The state of all that.
#[derive(Debug)]
pub struct DataTime {
    sources: Vec<Source>,
    times: DataTimes,
    /// The steady clock when the run went live.
    live_ms: i64,
    /// True once an epoch has told that a bounded run has come to the end of every partition, until records come.
    is_settled: bool,
}

impl DataTime {
    /// For these sources; `restored` is what the newest epoch before this run knew, `clock_ms` the wall clock for a job's first run.
    pub fn new(sources: Vec<SourceSettings>, restored: Option<DataTimes>, clock_ms: i64) -> Self {
        let mut data_time = Self {
            sources: sources.into_iter().map(Source::new).collect(),
            is_settled: false,
            live_ms: restored.as_ref().map_or(clock_ms, |times| times.steady_ms),
            times: restored.unwrap_or_default(),
        };
        data_time.is_settled = data_time.tells_all();
        data_time
    }

    /// What the newest epoch knew.
    pub const fn times(&self) -> &DataTimes {
        &self.times
    }

    /// A batch came, so long after the run went live, while the partition stood at `position`. False if it was about the partition's end
    /// alone, and is done with.
    pub fn gathered(
        &mut self,
        source: usize,
        batch: &SourceBatch,
        position: Option<i64>,
        live_for_ms: i64,
    ) -> bool {
        let now_ms = self.live_ms.saturating_add(live_for_ms);
        let source = &mut self.sources[source];
        let Some(partition) = source.partitions.get_mut(&batch.partition()) else {
            return batch.end_offset.is_none();
        };
        if let Some(end) = batch.end_offset {
            if position.unwrap_or(0) >= end {
                let (first_ms, _) = partition.at_end_ms.unwrap_or((now_ms, now_ms));
                partition.at_end_ms = Some((first_ms, now_ms));
                partition.found_after = source.batches;
            } else {
                partition.at_end_ms = None;
            }
            return false;
        }
        if !batch.records.is_empty() {
            partition.at_end_ms = None;
            source.batches += 1;
        }
        true
    }

    /// True if an epoch without records would move a watermark: partitions became idle that none has told of.
    pub fn is_due(&self) -> bool {
        let mut with_watermark = self.sources.iter().filter(|source| source.has_watermark());
        with_watermark.any(|source| !source.idle().is_subset(&source.told))
    }

    /// True if a bounded run that has read everything owes an epoch that says so.
    pub fn is_unsettled(&self) -> bool {
        !self.is_settled && self.sources.iter().any(Source::has_watermark)
    }

    /// Closes an epoch of this input, and gives every record its time. `at_ends`: a bounded run has read and admitted all it was started
    /// for, so that every partition is at its end.
    pub fn close(
        &mut self,
        clock_ms: i64,
        live_for_ms: i64,
        at_ends: bool,
        input: &mut BTreeMap<usize, Vec<SourceBatch>>,
    ) -> EpochTime {
        let steady_ms = self.live_ms.saturating_add(live_for_ms);
        self.times.steady_ms = steady_ms;
        let idle: Vec<BTreeSet<u32>> = self
            .sources
            .iter()
            .map(|source| {
                if at_ends && source.has_watermark() {
                    source.partitions.keys().copied().collect()
                } else {
                    source.idle()
                }
            })
            .collect();
        // A source that has brought nothing yet, or waits, holds the clock where it is; one whose partitions are all idle does not.
        let sources = self.sources.iter().zip(&idle);
        let oldest_ms = sources.filter_map(|(source, idle)| source.oldest_ms(idle, steady_ms));
        self.times.oldest_ms = self.times.oldest_ms.max(oldest_ms.min().unwrap_or(0));
        self.times.newest_ms = self.times.newest_ms.max(self.stamp(clock_ms, input));
        self.times.idle.clear();
        let mut has_records = false;
        for (source, idle) in self.sources.iter_mut().zip(idle) {
            has_records |= source.has_records;
            source.closed(&idle);
            if !idle.is_empty() && source.has_watermark() {
                let idle = idle.into_iter().collect();
                self.times.idle.insert(source.settings.name.clone(), idle);
            }
        }
        self.is_settled = at_ends || self.is_settled && !has_records;
        self.epoch_time()
    }

    /// Closes a journalled epoch again, as it was: partitions that are not in its positions were not there, and hold nothing back.
    pub fn replay(
        &mut self,
        times: &DataTimes,
        positions: &Positions,
        clock_ms: i64,
        input: &mut BTreeMap<usize, Vec<SourceBatch>>,
    ) -> EpochTime {
        self.times = times.clone();
        self.live_ms = times.steady_ms;
        self.stamp(clock_ms, input);
        for source in &mut self.sources {
            source.closed(&BTreeSet::new());
            let partitions = source.partitions.values_mut();
            partitions.for_each(|partition| partition.at_end_ms = None);
        }
        self.is_settled = self.tells_all();
        EpochTime {
            absent: self.absent(positions),
            ..self.epoch_time()
        }
    }

    /// The partitions of sources with a watermark that are not in these positions.
    fn absent(&self, positions: &Positions) -> Vec<(usize, u32)> {
        let sources = self.sources.iter().enumerate();
        let absent = sources
            .filter(|(_, source)| source.has_watermark())
            .flat_map(|(index, source)| {
                let known = positions.get(&source.settings.name);
                let is_known =
                    move |partition: &u32| known.is_some_and(|known| known.contains_key(partition));
                let partitions = source.partitions.keys().copied();
                partitions
                    .filter(move |partition| !is_known(partition))
                    .map(move |partition| (index, partition))
            });
        absent.collect()
    }

    /// Gives every record of an epoch its time, and returns the greatest.
    fn stamp(&mut self, clock_ms: i64, input: &mut BTreeMap<usize, Vec<SourceBatch>>) -> i64 {
        let steady_ms = self.times.steady_ms;
        let sources = &mut self.sources;
        let stamp = |(&index, batches): (&usize, &mut Vec<SourceBatch>)| {
            sources[index].stamp(batches, clock_ms, steady_ms)
        };
        input.iter_mut().map(stamp).max().unwrap_or(0)
    }

    fn epoch_time(&self) -> EpochTime {
        let of = |(index, source): (usize, &Source)| {
            let idle = self.times.idle.get(&source.settings.name);
            let idle: Vec<u32> = idle.cloned().unwrap_or_default();
            idle.into_iter()
                .map(move |partition| (index, partition))
                .collect::<Vec<_>>()
        };
        EpochTime {
            idle: self.sources.iter().enumerate().flat_map(of).collect(),
            absent: Vec::new(),
            times: self.times.clone(),
        }
    }

    /// True if the newest epoch told that every partition of every source with a watermark is at its end.
    fn tells_all(&self) -> bool {
        self.sources
            .iter()
            .filter(|source| source.has_watermark())
            .all(|source| {
                let told = self.times.idle.get(&source.settings.name);
                told.is_some_and(|told| told.len() == source.partitions.len())
            })
    }
}

/// For a plan's sources, from the checkpoint that the run starts at.
pub fn of_plan(
    plan: &JobPlan,
    partitions: &[Vec<u32>],
    checkpoint: Option<&Manifest>,
    clock_ms: i64,
) -> DataTime {
    let sources = plan.sources.iter().zip(partitions);
    let settings = sources.map(|(source, partitions)| SourceSettings {
        name: source.name.clone(),
        partitions: partitions.clone(),
        idle_timeout_ms: source.watermark.as_ref().map(|mark| mark.idle_timeout_ms),
    });
    let restored = checkpoint.map(|manifest| manifest.time.clone());
    DataTime::new(settings.collect(), restored, clock_ms)
}

/// The tick of an epoch.
pub const fn tick(clock_ms: i64, times: &DataTimes, restored: bool) -> Tick {
    Tick {
        clock_ms,
        steady_ms: times.steady_ms,
        oldest_ms: times.oldest_ms,
        newest_ms: times.newest_ms,
        restored,
        watermark: None,
    }
}

impl Source {
    fn new(settings: SourceSettings) -> Self {
        let partitions = settings.partitions.iter();
        Self {
            partitions: partitions
                .map(|&partition| (partition, Partition::default()))
                .collect(),
            settings,
            batches: 0,
            closed: 0,
            told: BTreeSet::new(),
            is_timeless: false,
            has_records: false,
        }
    }

    const fn has_watermark(&self) -> bool {
        self.settings.idle_timeout_ms.is_some()
    }

    /// The partitions that hold nothing back: at their ends for long enough, and found there after all that closed epochs have.
    fn idle(&self) -> BTreeSet<u32> {
        let timeout_ms = self.settings.idle_timeout_ms.unwrap_or(IDLE_TIMEOUT_MS);
        let is_idle = |partition: &Partition| {
            partition.found_after >= self.closed
                && partition
                    .at_end_ms
                    .is_some_and(|(first_ms, last_ms)| last_ms - first_ms >= timeout_ms)
        };
        self.partitions
            .iter()
            .filter(|(_, partition)| is_idle(partition))
            .map(|(&partition, _)| partition)
            .collect()
    }

    /// The source's part in the data's clock; `Some(0)` holds it where it is, `None` leaves it to the others.
    fn oldest_ms(&self, idle: &BTreeSet<u32>, steady_ms: i64) -> Option<i64> {
        if self.is_timeless {
            return Some(steady_ms);
        }
        let live = self.partitions.iter().filter(|(id, _)| !idle.contains(id));
        live.map(|(_, partition)| partition.newest_ms.unwrap_or(0))
            .min()
    }

    /// Gives every record of an epoch its time: when it was written, but neither after the epoch's clock nor before a record that stands in
    /// front of it in its partition; the steady clock's where that is not known. Returns the greatest.
    fn stamp(&mut self, batches: &mut [SourceBatch], clock_ms: i64, steady_ms: i64) -> i64 {
        let mut last: BTreeMap<u32, i64> = BTreeMap::new();
        let records = batches.iter_mut().map(|batch| &mut batch.records);
        for records in records.filter(|records| !records.is_empty()) {
            let last_ms = last.entry(records.partition).or_insert(0);
            if records.timestamps.is_empty() {
                self.is_timeless = true;
                *last_ms = steady_ms;
            }
            let time_of = |&timestamp_ms: &i64| {
                let written_ms = if timestamp_ms < 0 {
                    steady_ms
                } else {
                    timestamp_ms
                };
                *last_ms = written_ms.min(clock_ms).max(*last_ms);
                *last_ms
            };
            records.times = records.timestamps.iter().map(time_of).collect();
        }
        self.has_records = !last.is_empty();
        for (partition, &last_ms) in &last {
            if let Some(partition) = self.partitions.get_mut(partition) {
                partition.newest_ms = partition.newest_ms.max(Some(last_ms));
            }
        }
        last.into_values().max().unwrap_or(0)
    }

    /// An epoch with everything that came so far was closed, and told of these idle partitions, of the progress before its records.
    fn closed(&mut self, idle: &BTreeSet<u32>) {
        if std::mem::take(&mut self.has_records) {
            self.told.clear();
        } else {
            self.told.extend(idle);
        }
        self.closed = self.batches;
    }
}

#[cfg(test)]
mod tests;
