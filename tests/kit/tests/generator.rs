//! The generator, without the engine: its jobs are what the planner takes, its sinks have keys, its stages meet.

use std::collections::BTreeSet;

use tidemill_connectors_api::Connector as Port;
use tidemill_connectors_files::Files;
use tidemill_tests_kit::coverage::{covering, epochs, forms, forms_with_rows};
use tidemill_tests_kit::oracle::Oracle;
use tidemill_tests_kit::planned;
use tidemill_tests_kit::random_job::stages::{accepted, pairs};
use tidemill_tests_kit::random_job::{Connector, Shapes, draw};
use tidemill_types::format::NoContracts;

const FILES: Connector<'_> = Connector {
    name: "files",
    source_options: "path = '/data'",
    sink_options: "path = '/data'",
    delivered: None,
    histories: false,
};

#[test]
fn one_seed_gives_one_case() {
    let of = |seed| {
        let case = draw(seed);
        (case.job.sql(&FILES), format!("{:?}", case.input))
    };
    assert_eq!(of(7), of(7));
    assert_ne!(of(7), of(8));
}

#[test]
fn the_planner_takes_every_job() {
    let refused: Vec<String> = (0..400)
        .filter_map(|seed| {
            let sql = draw(seed).job.sql(&FILES);
            let planned = planned("random", &sql, &[Files.options()], &NoContracts);
            planned
                .err()
                .map(|error| format!("seed {seed}: {error}\n{sql}"))
        })
        .collect();
    assert!(
        refused.is_empty(),
        "{}\n{}",
        refused.len(),
        refused.join("\n")
    );
}

#[test]
fn every_stage_stands_behind_every_other_in_a_few_of_the_jobs() {
    let seeds = covering(Shapes::default());
    assert!(seeds.len() <= 120, "{} seeds", seeds.len());
}

#[test]
fn every_encoding_is_read_and_written_in_every_envelope_that_it_can_have() {
    let met: BTreeSet<_> = (0..200)
        .flat_map(|seed| forms_with_rows(&draw(seed)))
        .collect();
    let missing: Vec<_> = forms().difference(&met).copied().collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn no_job_has_a_pair_of_stages_that_is_not_accepted() {
    let accepted = accepted();
    for seed in 0..2_000 {
        let unknown: Vec<_> = pairs(&draw(seed).job)
            .difference(&accepted)
            .copied()
            .collect();
        assert!(unknown.is_empty(), "seed {seed}: {unknown:?}");
    }
}

#[test]
fn the_keys_of_sinks_tell_rows_apart_and_most_relations_have_rows() {
    let (mut relations, mut empty) = (0, 0);
    for seed in 0..300 {
        let case = draw(seed);
        let mut oracle = Oracle::new(&case.job);
        for epoch in epochs(&case, 4) {
            oracle.epoch(&epoch);
            assert_eq!(oracle.key_twice(), None, "seed {seed}");
        }
        relations += case.job.relations.len();
        empty += oracle.sizes().filter(|(_, rows)| *rows == 0).count();
    }
    assert!(empty * 4 < relations, "{empty} of {relations} are empty");
}
