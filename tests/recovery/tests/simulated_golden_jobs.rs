//! Every golden job comes to its golden output whatever happens on the way.
//!
//! Catches: what recovery loses, repeats or tears in the shapes that the golden jobs have. Cannot catch a wrong result in the middle of a
//! run, or in another shape: the random jobs are for those.

use tidemill_tests_kit::sim::scenario::Dangers;
use tidemill_tests_kit::sim::world::World;
use tidemill_tests_recovery::{golden, seeds};

#[test]
fn every_golden_job_comes_to_its_output_when_nothing_happens() {
    for name in golden::all() {
        let golden = golden::load(&name);
        let world = World::new(&golden.job, Dangers::NONE, 0).unwrap();
        let upserts = world.upserts();
        let end = world
            .run()
            .unwrap_or_else(|failure| panic!("{name}: {failure}"));
        if let Err(failure) = golden.check(&end.history, &upserts) {
            panic!("{name}: {failure}");
        }
    }
}

#[test]
fn every_golden_job_comes_to_its_output_whatever_happens() {
    let names = golden::all();
    seeds::each(
        "every_golden_job_comes_to_its_output_whatever_happens",
        60,
        |seed| {
            let name = &names[usize::try_from(seed).unwrap() % names.len()];
            let golden = golden::load(name);
            // The output is that of the partitions that the input has.
            let dangers = Dangers {
                grow: 0,
                ..Dangers::draw(seed)
            };
            let world = World::new(&golden.job, dangers, seed)?;
            let upserts = world.upserts();
            let end = world
                .run()
                .map_err(|failure| format!("{name}: {failure}"))?;
            if end.is_refused {
                return Ok(());
            }
            golden
                .check(&end.history, &upserts)
                .map_err(|failure| format!("{name}: {failure}"))
        },
    );
}

/// What feeds keyed state must be computed again after a checkpoint, although its own outputs were committed.
#[test]
fn a_window_behind_a_join_counts_what_was_committed_before_a_crash() {
    let golden = golden::load("join_into_window");
    let name = "a_window_behind_a_join_counts_what_was_committed_before_a_crash";
    seeds::each(name, 30, |seed| {
        let dangers = Dangers {
            crash: 10,
            ..Dangers::NONE
        };
        let world = World::new(&golden.job, dangers, seed)?;
        let upserts = world.upserts();
        golden.check(&world.run()?.history, &upserts)
    });
}

#[test]
fn one_seed_gives_one_course_of_events() {
    let golden = golden::load("windows_over_a_table");
    let trace = || {
        World::new(&golden.job, Dangers::draw(7), 7)
            .unwrap()
            .run()
            .unwrap()
            .trace
    };
    assert_eq!(trace(), trace());
}
