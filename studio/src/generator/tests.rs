//! The generator's promises, checked through the oracle's eyes.

use std::collections::BTreeMap;

use super::Generator;
use super::garbage::Garbage;
use super::pace::{Pace, Unpaced};
use super::settings::Settings;
use super::summary::Summary;
use crate::Topic;
use crate::oracle::{Books, Counts, DeadLetters, Loader, Reason, Tables};
use crate::testing::Inputs;

const NOW_MS: i64 = 1_800_000_000_000;

fn settings(events: u64) -> Settings {
    Settings {
        events,
        threads: 2,
        ..Settings::default()
    }
}

fn generate(settings: &Settings) -> (Inputs, Summary) {
    let mut inputs = Inputs::default();
    let generator = Generator::new(settings).expect("settings are valid");
    let summary = generator
        .run(&mut inputs, &mut Unpaced)
        .expect("memory takes everything");
    (inputs, summary)
}

fn load(inputs: &Inputs) -> (Books, DeadLetters, BTreeMap<Topic, Counts>) {
    let mut loader = Loader::new(inputs, NOW_MS);
    let tables = Tables {
        productions: loader.load(|_| ()).expect("memory can be read"),
        talents: loader.load(|_| ()).expect("memory can be read"),
        schedules: loader.load(|_| ()).expect("memory can be read"),
        budgets: loader.load(|_| ()).expect("memory can be read"),
        payments: loader.load(|_| ()).expect("memory can be read"),
        cash_flows: loader.load(|_| ()).expect("memory can be read"),
    };
    (
        Books::new(tables, loader.texts),
        loader.dead_letters,
        loader.counts,
    )
}

fn share(part: u64, of: u64) -> f64 {
    part as f64 / of as f64
}

#[test]
fn the_seed_decides_and_the_number_of_threads_does_not() {
    let (one, _) = generate(&Settings {
        threads: 1,
        ..settings(30_000)
    });
    let (three, _) = generate(&Settings {
        threads: 3,
        ..settings(30_000)
    });
    let (other, _) = generate(&Settings {
        seed: 43,
        ..settings(30_000)
    });
    assert!(one.0 == three.0, "the same bytes in the same partitions");
    assert!(one.0 != other.0);
}

#[test]
fn shares_are_kept() {
    let (inputs, summary) = generate(&settings(100_000));
    assert_eq!(summary.records, 100_000);
    assert_eq!(
        inputs
            .0
            .values()
            .map(|records| records.len() as u64)
            .sum::<u64>(),
        100_000
    );
    assert_eq!(summary.duplicates, 5_000);
    assert_eq!(summary.garbage.values().sum::<u64>(), 100);
    let unique = summary.creates + summary.updates + summary.deletes + summary.reads;
    assert_eq!(unique, 94_900);
    assert!(
        (share(summary.updates, unique) - 0.10).abs() < 0.002,
        "{summary}"
    );
    assert!(
        (share(summary.deletes, unique) - 0.01).abs() < 0.001,
        "{summary}"
    );
    assert!(
        (share(summary.reads, unique) - 0.005).abs() < 0.001,
        "{summary}"
    );
    assert!((4_980..=5_000).contains(&summary.displaced), "{summary}");
    assert!(
        (215..300).contains(&(summary.bytes / summary.records)),
        "{summary}"
    );
    assert!(
        (share(summary.by_topic[Topic::Payment.index()], 100_000) - 0.62).abs() < 0.02,
        "{summary}"
    );
    assert!(
        (share(summary.by_topic[Topic::CashFlow.index()], 100_000) - 0.24).abs() < 0.02,
        "{summary}"
    );
}

#[test]
fn all_garbage_is_undecodable_and_nothing_else_is() {
    let (inputs, summary) = generate(&Settings {
        garbage: 0.02,
        ..settings(50_000)
    });
    assert!(
        Garbage::ALL
            .iter()
            .all(|garbage| summary.garbage.contains_key(garbage)),
        "{:?}",
        summary.garbage
    );
    let (_, dead, counts) = load(&inputs);
    assert_eq!(dead.len(), 1_000);
    let far = dead
        .values()
        .filter(|(reason, _)| *reason == Reason::FarFuture)
        .count() as u64;
    assert_eq!(far, summary.garbage[&Garbage::FarFuture]);
    assert!(dead.values().all(|(_, bytes)| !bytes.contains(&b'\n')));
    let accepted: u64 = counts.values().map(|counts| counts.accepted).sum();
    assert_eq!(
        accepted,
        summary.creates + summary.updates + summary.deletes,
        "no event is lost"
    );
    let repeated: u64 = counts
        .values()
        .map(|counts| counts.duplicates + counts.reads)
        .sum();
    assert_eq!(repeated, summary.duplicates + summary.reads);
}

#[test]
fn duplicates_lie_in_the_partition_of_their_original_and_behind_it() {
    let (inputs, summary) = generate(&Settings {
        garbage: 0.0,
        ..settings(20_000)
    });
    let repeated: usize = inputs
        .0
        .values()
        .map(|records| {
            records.len()
                - records
                    .iter()
                    .collect::<std::collections::HashSet<_>>()
                    .len()
        })
        .sum();
    assert_eq!(repeated as u64, summary.duplicates);
}

#[test]
fn versions_of_one_entity_arrive_out_of_order_but_few_of_them_late() {
    let (inputs, _) = generate(&Settings {
        duplicates: 0.0,
        garbage: 0.0,
        ..settings(100_000)
    });
    let mut loader = Loader::new(&inputs, NOW_MS);
    let (mut newest, mut highest) = (BTreeMap::new(), BTreeMap::new());
    let (mut disordered, mut late) = (0, 0);
    let table = loader.load::<crate::oracle::Payment>(|seen| {
        let newest = newest.entry(seen.id).or_insert(seen.ts);
        disordered += u64::from(seen.ts < *newest);
        *newest = seen.ts.max(*newest);
        let highest = highest.entry(seen.partition).or_insert(seen.ts);
        late += u64::from(seen.ts < *highest - 5_000);
        *highest = seen.ts.max(*highest);
    });
    table.expect("memory can be read");
    assert!(
        disordered > 50,
        "{disordered} payments have a newer version before an older one"
    );
    assert!(
        (5..200).contains(&late),
        "{late} payments of some 60,000 come too late"
    );
}

#[test]
fn spending_exceeds_some_budgets_and_not_others() {
    let (inputs, _) = generate(&settings(100_000));
    let (books, ..) = load(&inputs);
    let rows: Vec<_> = books
        .production_ids()
        .filter_map(|id| books.production(id))
        .filter(|row| row.payments > 0)
        .collect();
    let over = rows.iter().filter(|row| row.over_budget).count();
    assert!(
        rows.len() > 100 && over > 5 && over < rows.len() * 9 / 10,
        "{over} of {} are over budget",
        rows.len()
    );
}

#[test]
fn a_slate_keeps_its_warts() {
    let slate = r#"[{"Title": "July", "Production Budget": 100, "Release Date": "Jul 16 2027", "Director": "D"},
                    {"Title": 1776, "Production Budget": null, "Release Date": "Nov 09 1972"},
                    {"Title": "Odd", "Production Budget": null, "Release Date": "9-Nov-72"}]"#;
    let settings = Settings {
        slate: Some(slate.to_owned()),
        updates: 0.0,
        deletes: 0.0,
        garbage: 0.0,
        duplicates: 0.0,
        ..settings(3_000)
    };
    let (inputs, _) = generate(&settings);
    let (books, dead, _) = load(&inputs);
    assert_eq!(
        books.production_ids().collect::<Vec<_>>(),
        [1],
        "the others cannot be decoded"
    );
    let july = books.production(1).expect("is there");
    assert_eq!(july.title.expect("has a title").0, "July");
    assert_eq!(july.planned_budget, Some(crate::money::Money(10_000)));
    assert!(dead.len() >= 2 && dead.keys().all(|(topic, ..)| *topic == Topic::Production));
}

#[test]
fn a_paced_run_waits_for_each_event_to_be_due() {
    /// A clock that only moves when it is waited for.
    struct Clock(i64, u64);
    impl Pace for Clock {
        fn ahead_ms(&mut self, due_ms: i64) -> Option<u64> {
            u64::try_from(due_ms - self.0).ok().filter(|ms| *ms > 0)
        }
        fn wait(&mut self, ms: u64) {
            self.0 += ms.cast_signed();
            self.1 += 1;
        }
    }
    let settings = Settings {
        rate: Some(100.0),
        start_ms: 5_000,
        ..settings(1_000)
    };
    let mut clock = Clock(5_000, 0);
    let generator = Generator::new(&settings).expect("settings are valid");
    generator
        .run(&mut Inputs::default(), &mut clock)
        .expect("memory takes everything");
    assert!(
        (14_000..=15_000).contains(&clock.0),
        "some 950 slots at 100 per second: {}",
        clock.0
    );
    assert!(clock.1 > 900, "each slot is waited for: {}", clock.1);
}
