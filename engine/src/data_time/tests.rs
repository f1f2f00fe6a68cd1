//! Which partitions are idle, and what the clocks show: by what the sources say, never by what did not come.

use super::{DataTime, EpochTime, SourceSettings};
use std::collections::BTreeMap;
use tidemill_checkpoints::{DataTimes, Positions};
use tidemill_connectors_api::SourceBatch;

const TIMEOUT_MS: i64 = 2_000;
/// The wall clock when a job first starts.
const START_MS: i64 = 1_000_000;

/// One source of three partitions, driven as the coordinator does.
struct Driven {
    data_time: DataTime,
    positions: BTreeMap<u32, i64>,
    waiting: Vec<SourceBatch>,
    now_ms: i64,
}

impl Driven {
    fn new() -> Self {
        Self::restored(None)
    }

    fn restored(times: Option<DataTimes>) -> Self {
        let settings = SourceSettings {
            name: "meters".to_owned(),
            partitions: vec![0, 1, 2],
            idle_timeout_ms: Some(TIMEOUT_MS),
        };
        Self {
            data_time: DataTime::new(vec![settings], times, START_MS),
            positions: BTreeMap::new(),
            waiting: Vec::new(),
            now_ms: 0,
        }
    }

    fn gathered(&mut self, batch: SourceBatch) {
        let position = self.positions.get(&batch.partition()).copied();
        if self.data_time.gathered(0, &batch, position, self.now_ms) {
            self.positions.insert(batch.partition(), batch.next_offset);
            self.waiting.push(batch);
        }
    }

    /// A record of a partition that was written at this time; not known below zero.
    fn record(&mut self, partition: u32, written_ms: i64) {
        let mut batch = SourceBatch::of(partition);
        let offset = self.positions.get(&partition).copied().unwrap_or(0);
        batch.push(offset, None, Some(b"{}"));
        batch.records.timestamps.push(written_ms);
        self.gathered(batch);
    }

    /// The ends of all partitions; `more` is how much of each was not read.
    fn ends(&mut self, more: [i64; 3]) {
        for (partition, more) in (0..).zip(more) {
            let position = self.positions.get(&partition).copied().unwrap_or(0);
            self.gathered(SourceBatch::end(partition, position + more));
        }
    }

    fn close(&mut self) -> EpochTime {
        self.close_at_ends(false)
    }

    fn close_at_ends(&mut self, at_ends: bool) -> EpochTime {
        let mut input = BTreeMap::from([(0, std::mem::take(&mut self.waiting))]);
        let clock_ms = START_MS + self.now_ms;
        self.data_time
            .close(clock_ms, self.now_ms, at_ends, &mut input)
    }

    /// The partitions that the next epoch calls idle.
    fn idle(&mut self) -> Vec<u32> {
        let idle = self.close().idle;
        idle.into_iter().map(|(_, partition)| partition).collect()
    }
}

#[test]
fn a_partition_is_idle_once_it_was_at_its_end_for_the_timeout() {
    let mut driven = Driven::new();
    driven.record(0, 1);
    driven.ends([0, 0, 5]);
    assert_eq!(driven.idle(), [0_u32; 0]);
    driven.now_ms = TIMEOUT_MS - 1;
    driven.ends([0, 0, 5]);
    assert_eq!(driven.idle(), [0_u32; 0]);
    driven.now_ms = TIMEOUT_MS;
    driven.ends([0, 0, 5]);
    assert_eq!(driven.idle(), [0, 1], "2 was never read to its end");
}

#[test]
fn silence_alone_makes_nothing_idle() {
    let mut driven = Driven::new();
    driven.ends([0, 0, 0]);
    driven.now_ms = 100 * TIMEOUT_MS;
    assert_eq!(
        driven.idle(),
        [0_u32; 0],
        "the source is away: whether something came is not known"
    );
}

#[test]
fn a_backlog_in_all_partitions_is_not_overtaken_by_the_first_that_is_read() {
    let mut driven = Driven::new();
    driven.ends([0, 0, 0]);
    driven.now_ms = TIMEOUT_MS;
    driven.ends([0, 0, 0]);
    // Something comes everywhere, but the first epochs have only what is in 0.
    driven.record(0, 1);
    assert_eq!(driven.idle(), [1, 2], "of what came before the record");
    driven.now_ms += 100;
    driven.record(0, 2);
    assert_eq!(
        driven.idle(),
        [0_u32; 0],
        "the ends are older than the record"
    );
    driven.now_ms += 900;
    driven.ends([50, 50, 50]);
    assert_eq!(driven.idle(), [0_u32; 0], "there is more to read");
    driven.record(1, 3);
    driven.ends([0, 0, 50]);
    assert_eq!(driven.idle(), [0_u32; 0], "1 has just come to its end");
}

#[test]
fn an_epoch_without_records_is_due_once_for_what_became_idle() {
    let mut driven = Driven::new();
    driven.record(0, 1);
    driven.close();
    driven.ends([0, 0, 0]);
    assert!(!driven.data_time.is_due());
    driven.now_ms = TIMEOUT_MS;
    driven.ends([0, 0, 0]);
    assert!(driven.data_time.is_due());
    assert_eq!(driven.idle(), [0, 1, 2]);
    driven.now_ms += 1_000;
    driven.ends([0, 0, 0]);
    assert!(!driven.data_time.is_due(), "it was told");
    driven.record(0, 2);
    driven.close();
    assert!(
        !driven.data_time.is_due(),
        "it has to be found at its end anew"
    );
    driven.ends([0, 0, 0]);
    assert!(
        driven.data_time.is_due(),
        "1 and 2 do not hold the new record back"
    );
}

#[test]
fn a_bounded_run_ends_with_an_epoch_that_has_every_partition_at_its_end() {
    let mut driven = Driven::new();
    driven.record(0, 1);
    driven.close();
    assert!(driven.data_time.is_unsettled());
    let settled = driven.close_at_ends(true);
    assert_eq!(settled.idle, [(0, 0), (0, 1), (0, 2)]);
    assert!(!driven.data_time.is_unsettled());
    let mut again = Driven::restored(Some(settled.times));
    assert!(
        !again.data_time.is_unsettled(),
        "nothing new, nothing to tell"
    );
    again.record(0, 2);
    again.close();
    assert!(again.data_time.is_unsettled());
}

#[test]
fn the_steady_clock_stands_still_while_the_job_is_down() {
    let mut driven = Driven::new();
    driven.now_ms = 500;
    let before = driven.close().times;
    assert_eq!(before.steady_ms, START_MS + 500);
    let mut restarted = Driven::restored(Some(before));
    restarted.now_ms = 20;
    assert_eq!(restarted.close().times.steady_ms, START_MS + 520);
}

#[test]
fn the_clock_of_the_data_is_the_slowest_partitions_and_never_goes_back() {
    let mut driven = Driven::new();
    driven.record(0, 5_000);
    driven.record(1, 3_000);
    driven.close();
    assert_eq!(driven.close().times.oldest_ms, 0, "2 has brought nothing");
    driven.record(2, 4_000);
    assert_eq!(
        driven.close().times.oldest_ms,
        0,
        "it is of what came before"
    );
    let times = driven.close().times;
    assert_eq!((times.oldest_ms, times.newest_ms), (3_000, 5_000));
    driven.ends([0, 0, 0]);
    driven.now_ms = TIMEOUT_MS;
    driven.ends([0, 0, 0]);
    driven.record(0, 9_000);
    driven.close();
    driven.ends([0, 0, 0]);
    assert_eq!(
        driven.close().times.oldest_ms,
        9_000,
        "1 and 2 are idle and wait for nothing"
    );
    driven.record(1, 8_000);
    driven.close();
    assert_eq!(driven.close().times.oldest_ms, 9_000);
}

#[test]
fn after_a_restart_the_clock_of_the_data_waits_for_every_partition() {
    let mut driven = Driven::new();
    (0..3).for_each(|partition| driven.record(partition, 5_000));
    driven.close();
    let times = driven.close().times;
    assert_eq!(times.oldest_ms, 5_000);
    let mut restarted = Driven::restored(Some(times));
    restarted.ends([7, 7, 7]);
    restarted.record(0, 900_000);
    restarted.close();
    assert_eq!(
        restarted.close().times.oldest_ms,
        5_000,
        "what lies in 1 and 2 is of the time of the outage"
    );
}

#[test]
fn a_record_is_not_newer_than_the_epoch_nor_older_than_the_one_before_it() {
    let mut driven = Driven::new();
    driven.record(0, 7_000);
    driven.record(0, 6_000);
    driven.record(0, -1);
    driven.record(1, i64::MAX);
    let mut input = BTreeMap::from([(0, std::mem::take(&mut driven.waiting))]);
    driven.now_ms = 10;
    let times = driven
        .data_time
        .close(START_MS + 10, 10, false, &mut input)
        .times;
    let stamped: Vec<i64> = input[&0]
        .iter()
        .flat_map(|batch| batch.records.times.clone())
        .collect();
    assert_eq!(stamped, [7_000, 7_000, START_MS + 10, START_MS + 10]);
    assert_eq!(times.newest_ms, START_MS + 10);
}

#[test]
fn replay_decides_as_the_journal_says() {
    let mut driven = Driven::new();
    driven.record(0, 5_000);
    let times = DataTimes {
        steady_ms: 42,
        oldest_ms: 3,
        newest_ms: 5_000,
        idle: BTreeMap::from([("meters".to_owned(), vec![2])]),
    };
    let mut input = BTreeMap::from([(0, std::mem::take(&mut driven.waiting))]);
    let positions = Positions::from([(
        "meters".to_owned(),
        BTreeMap::from([(0, 1), (1, 0), (2, 0)]),
    )]);
    let replayed = driven
        .data_time
        .replay(&times, &positions, START_MS, &mut input);
    assert_eq!(replayed.idle, [(0, 2)]);
    assert_eq!(replayed.times, times);
    assert_eq!(driven.close().times.steady_ms, 42);
}

#[test]
fn a_partition_that_an_epoch_did_not_know_holds_nothing_back_when_it_is_done_again() {
    let mut driven = Driven::new();
    driven.record(0, 5_000);
    let mut input = BTreeMap::from([(0, std::mem::take(&mut driven.waiting))]);
    let before = Positions::from([("meters".to_owned(), BTreeMap::from([(0, 1), (1, 0)]))]);
    let times = DataTimes::default();
    let replayed = driven
        .data_time
        .replay(&times, &before, START_MS, &mut input);
    assert_eq!(
        (replayed.idle, replayed.absent),
        (vec![], vec![(0, 2)]),
        "it was added after the epoch"
    );
    assert_eq!(replayed.times, times);
}
