//! Random jobs: every stage behind every other, through everything that may happen, against an oracle after every committed epoch.
//!
//! Catches: what recovery, commits or fencing lose, repeat or tear in any shape that the generator draws, and wrong results on the way. Cannot
//! catch: what the oracle and the engine get wrong alike, and what needs two threads at the same instant.

use std::collections::BTreeSet;

use tidemill_tests_kit::coverage::{covering, forms, forms_with_rows};
use tidemill_tests_kit::random_job::{Shapes, draw};
use tidemill_tests_kit::sim::kafka::Faults;
use tidemill_tests_kit::sim::scenario::Dangers;
use tidemill_tests_recovery::{random, seeds};

/// So many courses of events are tried until one has a crash.
const COURSES_MAX: u64 = 20;
/// In so many seeds every encoding is read and written in every envelope that it can have.
const FORMED_SEEDS: u64 = 200;

#[test]
fn every_epoch_is_what_the_oracle_says_when_nothing_happens() {
    seeds::each(
        "every_epoch_is_what_the_oracle_says_when_nothing_happens",
        40,
        |seed| random::run(&draw(seed), Dangers::NONE, seed).map(drop),
    );
}

#[test]
fn every_epoch_is_what_the_oracle_says_whatever_happens() {
    let mut met = BTreeSet::new();
    let ran = seeds::each(
        "every_epoch_is_what_the_oracle_says_whatever_happens",
        300,
        |seed| {
            let case = draw(seed);
            random::run(&case, Dangers::draw(seed), seed)?;
            met.extend(forms_with_rows(&case));
            Ok(())
        },
    );
    if ran >= FORMED_SEEDS {
        let missing: Vec<_> = forms().difference(&met).copied().collect();
        assert!(missing.is_empty(), "neither read nor written: {missing:?}");
    }
}

/// What one kind of danger does, undisturbed by the others.
fn under(name: &str, dangers: Dangers) {
    seeds::each(name, 30, |seed| {
        random::run(&draw(seed), dangers, seed).map(drop)
    });
}

#[test]
fn a_partition_that_is_added_changes_nothing_of_what_is_done_again() {
    under(
        "a_partition_that_is_added_changes_nothing_of_what_is_done_again",
        Dangers {
            grow: 8,
            crash: 12,
            ..Dangers::NONE
        },
    );
}

#[test]
fn a_backlog_is_not_silence() {
    let faults = Faults {
        leader_away: 200,
        starved: 15,
        ..Faults::NONE
    };
    under(
        "a_backlog_is_not_silence",
        Dangers {
            backlog: 1,
            crash: 2,
            faults,
            ..Dangers::NONE
        },
    );
}

#[test]
fn a_stopped_process_that_goes_on_repeats_nothing() {
    let faults = Faults {
        left_open: 60,
        answer_lost: 60,
        delayed: 60,
        ..Faults::NONE
    };
    under(
        "a_stopped_process_that_goes_on_repeats_nothing",
        Dangers {
            zombie: 25,
            faults,
            ..Dangers::NONE
        },
    );
}

#[test]
fn a_transaction_is_never_cut_and_nothing_that_is_confirmed_is_asked_for() {
    under(
        "a_transaction_is_never_cut_and_nothing_that_is_confirmed_is_asked_for",
        Dangers {
            is_database: true,
            backlog: 1,
            crash: 12,
            damage: 2,
            zombie: 4,
            ..Dangers::NONE
        },
    );
}

#[test]
fn a_topic_that_is_made_again_is_refused() {
    under(
        "a_topic_that_is_made_again_is_refused",
        Dangers {
            remake: 8,
            crash: 8,
            ..Dangers::NONE
        },
    );
}

/// Each pair of stages that the planner takes has been crashed, with rows on both sides.
#[test]
fn every_stage_behind_every_other_is_crashed() {
    let covering = covering(Shapes::default());
    let often = Dangers {
        crash: 25,
        ..Dangers::NONE
    };
    seeds::each(
        "every_stage_behind_every_other_is_crashed",
        covering.len() as u64,
        |index| {
            let Some(&seed) = usize::try_from(index)
                .ok()
                .and_then(|index| covering.get(index))
            else {
                return Ok(());
            };
            let case = draw(seed);
            for course in 0..COURSES_MAX {
                if random::run(&case, often, seed + course)?.starts > 1 {
                    return Ok(());
                }
            }
            Err("it was never crashed".to_owned())
        },
    );
}
