//! Watermark against its definition, computed from the whole history of every partition.
//!
//! Catches: a watermark that goes back, that a silent partition holds for ever or a partition without events does not hold at all, that
//! depends on the machine's clock, or that a restart moves; workers that see different watermarks in one epoch. Cannot catch: an idle
//! timeout that is too short for the stream (then events are late, by declaration).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use tidemill_operators::watermark::{Fact, Settings, Watermark, owner, watermark_ticks};
use tidemill_operators::{Failure, Tick};
use timely::Config;
use timely::dataflow::operators::{Input, Inspect, Probe, probe};

use crate::common::{Disk, restored_tick, tick};

const DELAY_MS: i64 = 5;
const IDLE_TIMEOUT_MS: i64 = 100;

fn settings(partitions: &[u32]) -> Settings {
    Settings {
        name: "payment_events".to_owned(),
        partitions: partitions.to_vec(),
        delay_ms: DELAY_MS,
        idle_timeout_ms: IDLE_TIMEOUT_MS,
    }
}

fn watermark(disk: &Disk, partitions: &[u32]) -> Watermark {
    Watermark::new(settings(partitions), disk.table()).expect("state is readable")
}

const fn fact(partition: u32, time_max_ms: i64) -> Fact {
    Fact {
        partition,
        time_max_ms,
    }
}

/// Per epoch the clock, and the greatest time of some batches.
type History = Vec<(i64, Vec<Fact>)>;

/// The watermark after the last epoch of the history.
fn oracle(history: &History, partitions: &[u32]) -> Option<i64> {
    let after = |epochs: &[(i64, Vec<Fact>)]| {
        let clock_ms = epochs.last()?.0;
        let of = |partition: u32| {
            epochs.iter().flat_map(move |(clock, facts)| {
                facts
                    .iter()
                    .filter(move |fact| fact.partition == partition)
                    .map(|fact| (*clock, fact.time_max_ms))
            })
        };
        let active = |partition: u32| {
            of(partition)
                .map(|(clock, _)| clock)
                .max()
                .unwrap_or(epochs[0].0)
        };
        let live = partitions
            .iter()
            .copied()
            .filter(|&partition| clock_ms - active(partition) <= IDLE_TIMEOUT_MS);
        let times: Option<Vec<i64>> = live
            .map(|partition| of(partition).map(|(_, time)| time).max())
            .collect();
        times?.into_iter().min().map(|time| time - DELAY_MS)
    };
    (1..=history.len())
        .map(|epochs| after(&history[..epochs]))
        .max()
        .flatten()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_watermark_is_the_least_of_the_live_partitions_and_never_goes_back(
        epochs in prop::collection::vec((prop_oneof![3 => 0..60_i64, 1 => 90..110_i64], prop::collection::vec((0..4_u32, 0..100_i64), 0..4), prop::bool::weighted(0.15)), 1..12),
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
            let facts: Vec<Fact> = facts.into_iter().map(|(partition, time)| fact(partition, time)).collect();
            let now = subject.on_epoch(&tick(clock_ms, None), &facts).expect("state is usable");
            history.push((clock_ms, facts));
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
    assert_eq!(
        at(100, &[fact(0, 60)]),
        None,
        "silent for exactly the timeout is not idle"
    );
    assert_eq!(at(101, &[fact(0, 70)]), Some(65));
    assert_eq!(
        at(102, &[fact(1, 40)]),
        Some(65),
        "a partition that wakes up behind does not pull it back"
    );
    assert_eq!(at(103, &[fact(0, 90), fact(1, 80)]), Some(75));
}

#[test]
fn the_watermark_stays_while_every_partition_is_idle() {
    let disk = Disk::new(true);
    let mut subject = watermark(&disk, &[0]);
    assert_eq!(
        subject
            .on_epoch(&tick(0, None), &[fact(0, 50)])
            .expect("usable"),
        Some(45)
    );
    assert_eq!(
        subject.on_epoch(&tick(10_000, None), &[]).expect("usable"),
        Some(45)
    );
}

#[test]
fn a_stop_of_the_job_makes_no_partition_idle() {
    const TIMEOUT_MS: i64 = 30_000;
    let mut disk = Disk::new(true);
    let patient = || Settings {
        idle_timeout_ms: TIMEOUT_MS,
        ..settings(&[0, 1])
    };
    let mut subject = Watermark::new(patient(), disk.table()).expect("state is readable");
    let facts = [fact(0, 50), fact(1, 40)];
    let first = subject.on_epoch(&tick(0, None), &facts);
    assert_eq!(first.expect("usable"), Some(35));
    disk.restart();
    let mut subject = Watermark::new(patient(), disk.table()).expect("state is readable");
    let hour_later = subject.on_epoch(&tick(3_600_000, None), &[fact(0, 3_000_000)]);
    assert_eq!(
        hour_later.expect("usable"),
        Some(35),
        "what partition 1 holds was not read yet"
    );
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
