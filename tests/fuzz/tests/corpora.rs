//! Every target on its seeds, on what was found before, and on mutations of both.
//!
//! Catches: what panics, hangs, believes a length that bytes say, reads records otherwise after other records. Cannot catch what takes
//! more luck than some thousand changes have: nothing leads them to code that was not run yet. What is found lies in `corpus/TARGET/`.

#![expect(
    clippy::unwrap_used,
    reason = "what a test cannot go on without fails it"
)]

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidemill_tests_fuzz::allocation::Counting;
use tidemill_tests_fuzz::check::{Finding, check};
use tidemill_tests_fuzz::mutate::mutated;
use tidemill_tests_fuzz::{TARGETS, Target};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// So many mutations of each target.
const MUTATIONS: usize = 2_000;

fn corpus(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target.name)
}

/// The seeds, then what was found before in the order of its names.
fn inputs(target: &Target) -> Vec<Vec<u8>> {
    let mut inputs = (target.seeds)();
    let Ok(entries) = fs::read_dir(corpus(target)) else {
        return inputs;
    };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    inputs.extend(paths.iter().map(|path| fs::read(path).unwrap()));
    inputs
}

/// The input as a command can take it again.
fn shown(input: &[u8]) -> String {
    let mut hex = String::new();
    for byte in input {
        write!(hex, "{byte:02x}").unwrap();
    }
    hex
}

fn hold(target: &Target, input: &[u8]) {
    if let Err(finding) = check(target, input) {
        panic!(
            "'{}' {finding}\nby these bytes: {}\nput them into {}/NAME (xxd -r -p) to keep them",
            target.name,
            shown(input),
            corpus(target).display()
        );
    }
}

/// Runs a target on its inputs, and on mutations of them.
fn run(name: &str) {
    let target = tidemill_tests_fuzz::named(name).unwrap();
    // What a target makes once, such as a server, is not the first input's.
    (target.run)(&[]);
    let inputs = inputs(target);
    for input in &inputs {
        hold(target, input);
    }
    let seed = name
        .bytes()
        .fold(0, |seed: u64, byte| seed.wrapping_mul(31) + u64::from(byte));
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for _ in 0..MUTATIONS {
        let input = &inputs[rng.random_range(0..inputs.len())];
        hold(target, &mutated(input, &inputs, &mut rng));
    }
}

macro_rules! tests {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                run(stringify!($name));
            }
        )*

        #[test]
        fn every_target_has_a_test() {
            let tested = [$(stringify!($name)),*];
            let targets: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(targets, tested);
        }
    };
}

tests! {
    json_plain json_upsert json_crud json_debezium json_cloudevents
    csv_plain csv_upsert raw_plain raw_upsert
    avro_plain avro_upsert avro_crud avro_debezium
    avro_confluent_plain avro_confluent_upsert avro_confluent_crud avro_confluent_debezium
    protobuf_plain protobuf_upsert protobuf_crud protobuf_debezium
    avro_keys protobuf_keys
    avro_schema protobuf_descriptors
    registry_answer registry_avro registry_json registry_protobuf
    guess journal manifest dead_letters
}

/// Targets with a fault, each of which the check must find.
fn planted(run: fn(&[u8])) -> Option<Finding> {
    let target = Target {
        name: "planted",
        run,
        seeds: Vec::new,
    };
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let seeds = [b"\x00\x00\x00\x05hello\x00\x00\x00\x02no".to_vec()];
    (0..MUTATIONS).find_map(|_| check(&target, &mutated(&seeds[0], &seeds, &mut rng)).err())
}

#[test]
fn a_length_that_is_believed_is_found() {
    let found = planted(|input| {
        if let Some((length, _)) = input.split_first_chunk() {
            let length = u32::from_be_bytes(*length) as usize;
            std::hint::black_box(Vec::<u8>::with_capacity(length.min(1 << 28)));
        }
    });
    assert!(matches!(found, Some(Finding::Held { .. })), "{found:?}");
}

#[test]
fn an_index_beyond_the_end_is_found() {
    let found = planted(|input| {
        if input.len() > 4 {
            let length = usize::from(input[3]);
            std::hint::black_box(&input[4..4 + length]);
        }
    });
    assert!(matches!(found, Some(Finding::Panicked(_))), "{found:?}");
}

#[test]
fn work_that_grows_with_the_square_of_the_input_is_found() {
    let found = planted(|input| {
        for at in 0..input.len() {
            for _ in 0..64 {
                std::hint::black_box(input[..at].to_vec());
            }
        }
    });
    assert!(matches!(found, Some(Finding::Churned { .. })), "{found:?}");
}

#[test]
fn a_target_within_its_bounds_has_no_finding() {
    let found = planted(|input| drop(std::hint::black_box(input.to_vec())));
    assert_eq!(found, None);
}
