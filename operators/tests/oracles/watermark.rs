//! Watermark against its definition, computed from the whole history of every partition.
//!
//! Catches: a watermark that goes back, that an idle partition holds or a partition without events does not hold, that lets an epoch's own
//! events overtake a partition that was idle before it, that depends on a clock, or that a restart moves; workers that see different
//! watermarks in one epoch. Cannot catch: a partition that is called idle and is not (see the engine).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use tidemill_operators::watermark::{Fact, Settings, Watermark, owner, watermark_ticks};
use tidemill_operators::{Failure, Tick};
use timely::Config;
use timely::dataflow::operators::{Input, Inspect, Probe, probe};

use crate::common::{Disk, restored_tick, tick};

const DELAY_MS: i64 = 5;

fn watermark(disk: &Disk, partitions: &[u32]) -> Watermark {
    let settings = Settings {
        name: "payment_events".to_owned(),
        partitions: partitions.to_vec(),
        delay_ms: DELAY_MS,
    };
    Watermark::new(settings, disk.table()).expect("state is readable")
}

const fn fact(partition: u32, time_max_ms: i64) -> Fact {
    Fact::Time {
        partition,
        time_max_ms,
    }
}

const fn idle(partition: u32) -> Fact {
    Fact::Idle { partition }
}

/// The facts of each epoch.
type History = Vec<Vec<Fact>>;

/// The watermark after the last epoch of the history: the greatest of all that any epoch allows.
fn oracle(history: &History, partitions: &[u32]) -> Option<i64> {
    let reached = |epochs: &[Vec<Fact>], idle: &BTreeSet<u32>| -> Option<i64> {
        let time = |id: u32| {
            let of = |fact: &Fact| match *fact {
                Fact::Time {
                    partition,
                    time_max_ms,
                } if partition == id => Some(time_max_ms),
                _ => None,
            };
            epochs.iter().flatten().filter_map(of).max()
        };
        let live: Vec<u32> = partitions
            .iter()
            .copied()
            .filter(|id| !idle.contains(id))
            .collect();
        if live.is_empty() {
            return partitions.iter().filter_map(|&id| time(id)).min();
        }
        let times: Option<Vec<i64>> = live.into_iter().map(time).collect();
        times?.into_iter().min()
    };
    let at = |epoch: usize| {
        let said = history[epoch].iter();
        let idle = said.filter_map(|fact| match *fact {
            Fact::Idle { partition } => Some(partition),
            Fact::Time { .. } | Fact::Absent { .. } => None,
        });
        let before = reached(&history[..epoch], &idle.collect());
        before.max(reached(&history[..=epoch], &BTreeSet::new()))
    };
    let times = (0..history.len()).filter_map(at);
    times.max().map(|time| time - DELAY_MS)
}

fn facts() -> impl Strategy<Value = Vec<Fact>> {
    let fact = prop_oneof![
        3 => (0..4_u32, 0..100_i64).prop_map(|(partition, time)| fact(partition, time)),
        2 => (0..4_u32).prop_map(idle),
    ];
    prop::collection::vec(fact, 0..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_watermark_is_the_least_of_the_live_partitions_and_never_goes_back(
        epochs in prop::collection::vec((0..100_000_i64, facts(), prop::bool::weighted(0.15)), 1..12),
        roomy: bool,
    ) {
        let partitions = [0, 1, 2];
        let mut disk = Disk::new(roomy);
        let mut subject = watermark(&disk, &partitions);
        let (mut history, mut clock_ms, mut last) = (History::new(), 1000, None);
        for (clock_step_ms, facts, restart) in epochs {
            if restart {
                disk.restart();
                subject = watermark(&disk, &partitions);
                assert_eq!(subject.on_epoch(&restored_tick(clock_ms, None), &[fact(0, 1_000_000)]).expect("readable"), last);
            }
            clock_ms += clock_step_ms;
            let now = subject.on_epoch(&tick(clock_ms, None), &facts).expect("state is usable");
            history.push(facts);
            assert!(now >= last, "it never goes back");
            assert_eq!(now, oracle(&history, &partitions));
            last = now;
        }
    }
}

#[test]
fn a_partition_without_events_holds_the_watermark_back_until_it_is_idle() {
    let disk = Disk::new(true);
    let mut subject = watermark(&disk, &[0, 1]);
    let mut at = |clock_ms: i64, facts: &[Fact]| {
        subject
            .on_epoch(&tick(clock_ms, None), facts)
            .expect("state is usable")
    };
    assert_eq!(at(0, &[fact(0, 50)]), None);
    assert_eq!(at(10_000_000, &[fact(0, 60)]), None, "silence says nothing");
    assert_eq!(
        at(10_000_001, &[idle(1), fact(0, 70)]),
        Some(55),
        "it was idle before this epoch: what this one brings may be in both"
    );
    assert_eq!(at(10_000_002, &[idle(1)]), Some(65));
    assert_eq!(
        at(10_000_003, &[fact(1, 40)]),
        Some(65),
        "a partition that wakes up behind does not pull it back"
    );
    assert_eq!(at(10_000_004, &[fact(0, 90), fact(1, 80)]), Some(75));
}

#[test]
fn an_epoch_that_is_done_again_comes_to_what_it_came_to_before_a_partition_was_added() {
    let epochs = [
        vec![fact(0, 50), fact(1, 40)],
        vec![idle(1), fact(0, 90)],
        vec![fact(1, 70)],
    ];
    let watermarks = |partitions: &[u32], absent: &[Fact]| -> Vec<Option<i64>> {
        let disk = Disk::new(true);
        let mut subject = watermark(&disk, partitions);
        let mut at = |facts: &[Fact]| subject.on_epoch(&tick(0, None), facts);
        let epochs = epochs.iter().map(|facts| [facts, absent].concat());
        epochs
            .map(|facts| at(&facts).expect("state is usable"))
            .collect()
    };
    let before = watermarks(&[0, 1], &[]);
    assert_eq!(before, [Some(35), Some(45), Some(65)]);
    assert_eq!(
        watermarks(&[0, 1, 2], &[Fact::Absent { partition: 2 }]),
        before
    );
}

#[test]
fn a_backlog_in_every_partition_after_a_silence_moves_nothing_until_it_was_read() {
    let disk = Disk::new(true);
    let mut subject = watermark(&disk, &[0, 1]);
    let mut at = |facts: &[Fact]| {
        subject
            .on_epoch(&tick(0, None), facts)
            .expect("state is usable")
    };
    assert_eq!(at(&[fact(0, 50), fact(1, 50)]), Some(45));
    assert_eq!(at(&[idle(0), idle(1)]), Some(45));
    assert_eq!(at(&[idle(1), fact(0, 900)]), Some(45));
    assert_eq!(at(&[fact(0, 1_800)]), Some(45));
    assert_eq!(at(&[fact(1, 900)]), Some(895));
}

#[test]
fn while_every_partition_is_idle_only_the_empty_ones_are_left_out() {
    let disk = Disk::new(true);
    let mut subject = watermark(&disk, &[0, 1, 2]);
    let mut at = |facts: &[Fact]| {
        subject
            .on_epoch(&tick(0, None), facts)
            .expect("state is usable")
    };
    assert_eq!(at(&[fact(0, 50), fact(1, 70)]), None);
    assert_eq!(at(&[idle(0), idle(1), idle(2)]), Some(45));
}

#[test]
fn every_worker_sees_the_same_watermark_in_the_same_epoch_wherever_the_facts_come_in() {
    type Seen = BTreeMap<(usize, u64), Vec<Tick>>;
    let facts = [
        vec![fact(0, 10)],
        vec![fact(1, 20)],
        vec![],
        vec![fact(0, 40)],
    ];
    for workers in [1, 2, 3] {
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let (sink, facts) = (Arc::clone(&seen), facts.clone());
        let config = if workers == 1 {
            Config::thread()
        } else {
            Config::process(workers)
        };
        let threads = timely::execute(config, move |worker| {
            let (index, probe, sink) = (worker.index(), probe::Handle::new(), Arc::clone(&sink));
            let disk = Disk::new(true);
            let owned = (owner("payment_events", worker.peers()) == index)
                .then(|| watermark(&disk, &[0, 1]));
            let (mut fact_input, mut tick_input) = worker.dataflow::<u64, _, _>(|scope| {
                let (fact_input, facts) = scope.new_input::<Vec<Fact>>();
                let (tick_input, ticks) = scope.new_input::<Vec<Tick>>();
                let collect =
                    move |event: Result<(&timely::progress::Stamp<u64>, &Vec<Tick>), &[u64]>| {
                        if let Ok((stamp, ticks)) = event {
                            sink.lock()
                                .expect("no panic")
                                .entry((index, stamp.elements()[0]))
                                .or_default()
                                .extend(ticks);
                        }
                    };
                watermark_ticks(facts, ticks, owned, "payment_events", Failure::default())
                    .inspect_core(collect)
                    .probe_with(&probe);
                (fact_input, tick_input)
            });
            for (epoch, facts) in (1_u64..).zip(&facts) {
                fact_input.advance_to(epoch);
                tick_input.advance_to(epoch);
                tick_input.send(tick(i64::try_from(epoch).expect("small"), None));
                if usize::try_from(epoch).expect("small") % worker.peers() == index {
                    facts.iter().for_each(|fact| fact_input.send(*fact));
                }
            }
            drop((fact_input, tick_input));
            while !probe.done() {
                worker.step();
            }
        });
        threads
            .expect("workers start")
            .join()
            .into_iter()
            .for_each(|worker| worker.expect("no panic"));
        let expected = [None, Some(5), Some(5), Some(15)];
        let expected: Seen = (0..workers)
            .flat_map(|worker| {
                (1..).zip(expected).map(move |(epoch, watermark)| {
                    (
                        (worker, epoch),
                        vec![tick(i64::try_from(epoch).expect("small"), watermark)],
                    )
                })
            })
            .collect();
        assert_eq!(*seen.lock().expect("no panic"), expected);
    }
}
