//! Whatever reads bytes that others wrote, as *targets*: functions from an input to nothing, which panic if a promise does not hold.
//!
//! - `decoders`: each encoding in each envelope, with keys, headers and times; and the schemas of Avro and Protobuf.
//! - `registry`: answers and schemas of registries. `guess`: what `tidemill try` takes a sample for. `kept`: what lies on disk.
//!
//! `tests/corpora.rs` runs every target on its seeds, on what fuzzing found before (`corpus/TARGET/`), and on thousands of mutations of both.
//!
//! Promises: a target depends on its input alone, so that what was found once is found again. Does not judge whether what is decoded is right,
//! only that it is decoded alike whenever it is.

pub mod allocation;
pub mod check;
mod decoders;
mod guess;
pub mod input;
mod kept;
pub mod mutate;
mod registry;
mod seeds;

use decoders::{Source, decode};
use decoders::{avro, json, keys, protobuf, schemas, text};

/// Something that reads bytes.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, which is also that of its corpus.
    pub name: &'static str,
    /// Reads an input; panics if a promise does not hold.
    pub run: fn(&[u8]),
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// A target that decodes records by one of some sources.
macro_rules! sources {
    ($name:literal, $sources:path, $seeds:path) => {
        Target {
            name: $name,
            run: |input| {
                static SOURCES: std::sync::LazyLock<Vec<Source>> =
                    std::sync::LazyLock::new($sources);
                decode(&SOURCES, input);
            },
            seeds: $seeds,
        }
    };
}

/// A target that is a function.
macro_rules! function {
    ($name:literal, $run:path, $seeds:path) => {
        Target {
            name: $name,
            run: $run,
            seeds: $seeds,
        }
    };
}

/// All targets.
pub static TARGETS: [Target; 33] = [
    sources!("json_plain", json::plain, json::plain_seeds),
    sources!("json_upsert", json::upsert, json::upsert_seeds),
    sources!("json_crud", json::crud, json::crud_seeds),
    sources!("json_debezium", json::debezium, json::debezium_seeds),
    sources!(
        "json_cloudevents",
        json::cloudevents,
        json::cloudevents_seeds
    ),
    sources!("csv_plain", text::csv_plain, text::csv_plain_seeds),
    sources!("csv_upsert", text::csv_upsert, text::csv_upsert_seeds),
    sources!("raw_plain", text::raw_plain, text::raw_plain_seeds),
    sources!("raw_upsert", text::raw_upsert, text::raw_upsert_seeds),
    sources!("avro_plain", avro::plain, avro::plain_seeds),
    sources!("avro_upsert", avro::upsert, avro::upsert_seeds),
    sources!("avro_crud", avro::crud, avro::crud_seeds),
    sources!("avro_debezium", avro::debezium, avro::debezium_seeds),
    sources!(
        "avro_confluent_plain",
        avro::confluent_plain,
        avro::confluent_seeds
    ),
    sources!(
        "avro_confluent_upsert",
        avro::confluent_upsert,
        avro::confluent_seeds
    ),
    sources!(
        "avro_confluent_crud",
        avro::confluent_crud,
        avro::confluent_crud_seeds
    ),
    sources!(
        "avro_confluent_debezium",
        avro::confluent_debezium,
        avro::confluent_debezium_seeds
    ),
    sources!("protobuf_plain", protobuf::plain, protobuf::plain_seeds),
    sources!("protobuf_upsert", protobuf::upsert, protobuf::upsert_seeds),
    sources!("protobuf_crud", protobuf::crud, protobuf::crud_seeds),
    sources!(
        "protobuf_debezium",
        protobuf::debezium,
        protobuf::debezium_seeds
    ),
    sources!("avro_keys", keys::avro, keys::avro_seeds),
    sources!("protobuf_keys", keys::protobuf, keys::protobuf_seeds),
    function!("avro_schema", schemas::avro, schemas::avro_seeds),
    function!(
        "protobuf_descriptors",
        schemas::protobuf,
        schemas::protobuf_seeds
    ),
    function!("registry_answer", registry::answer, registry::answer_seeds),
    function!("registry_avro", registry::avro, registry::avro_seeds),
    function!("registry_json", registry::json, registry::json_seeds),
    function!(
        "registry_protobuf",
        registry::protobuf,
        registry::protobuf_seeds
    ),
    function!("guess", guess::sample, guess::seeds),
    function!("journal", kept::journal, kept::journal_seeds),
    function!("manifest", kept::manifest, kept::manifest_seeds),
    function!("dead_letters", kept::dead_letters, kept::dead_letters_seeds),
];

/// The target of a name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
